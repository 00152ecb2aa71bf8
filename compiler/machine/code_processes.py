"""Processes in which LLVM makes machine code, beside the one that trains.

In: LLVM text and a `Target`.  Out: object code.

    object_code(text, host_target())

A process that trains needs none of LLVM's 80 MB, and waits for none of Python's locks while another makes its code. The others
run code_generation.py, a job at a time, and end when nobody has needed them for some seconds, or with the process that they
work for. Where none can be started (no Linux, no interpreter to run, no right to), LLVM works in this process: the code does
the same.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from . import code_generation
from .code_generation import CodeError, Host, pack, unpack
from .target import Target

#: Seconds after which a process that nobody needs ends.
_PATIENCE = 3.0

__all__ = ["are_available", "host", "object_code", "start"]


class _Process:
    """One process. It is ready when it has said so, which is waited for with the first request."""

    def __init__(self, folder: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", code_generation.__file__, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # an interruption at the terminal is for us alone
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.requests, self.answers = self.process.stdin, self.process.stdout
        self.ready = False
        self.idle_since = time.monotonic()

    def wait(self) -> None:
        """Until it is ready. Raises EOFError or OSError if it does not come to that."""
        if not self.ready:
            unpack(self.answers)
            self.ready = True

    def ask(self, *parts: bytes) -> list[bytes]:
        """The answer to a request. Raises CodeError; EOFError or OSError if the process has ended."""
        self.wait()
        self.requests.write(pack(*parts))
        self.requests.flush()
        said, *answer = unpack(self.answers)
        if said == b"error":
            raise CodeError(answer[0].decode())
        return answer

    def close(self, *, now: bool = False) -> int | None:
        """End it: when it is done, or at once. Gives what it ended with."""
        if now:
            self.process.kill()
        self._hang_up()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(5)
        return None

    def leave(self) -> None:
        """Nobody waits for its end."""
        self._hang_up()
        self.process.returncode = 0

    def _hang_up(self) -> None:
        for stream in (self.requests, self.answers):
            with contextlib.suppress(OSError):
                stream.close()


_lock = threading.Lock()
_idle: list[_Process] = []
_closing: threading.Timer | None = None
_folder: str | None = None
#: An application that Python is a part of is no interpreter to run.
_given_up = (
    sys.platform != "linux"
    or getattr(sys, "frozen", False)
    or not Path(sys.executable or "").name.startswith(("python", "pypy"))
)


def _forget() -> None:
    """When this process ends, and in a forked child, whose parent the processes work for."""
    global _lock, _closing
    for one in _idle:
        one.leave()
    _lock, _closing = threading.Lock(), None
    _idle.clear()


atexit.register(_forget)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def are_available() -> bool:
    """Whether there are, or may be, processes."""
    return not _given_up


def start() -> None:
    """Start a process before it is needed, if none is there. Returns at once."""
    if are_available() and not _idle:
        with contextlib.suppress(OSError, ImportError):
            _give_back(_new())


def object_code(text: str, target: Target) -> bytes:
    """Object code of one module. Raises CodeError for text that is not valid."""
    request = [part.encode() for part in (text, target.triple, target.cpu, target.features, target.abi)]
    answer = _ask(b"object", *request)
    if answer is None:
        return code_generation.object_code(text, target.triple, target.cpu, target.features, target.abi)
    return answer[0]


def host() -> Host:
    """This machine."""
    answer = _ask(b"host")
    if answer is None:
        return code_generation.host()
    triple, cpu, features, bits, registers = (part.decode() for part in answer)
    return Host(triple, cpu, features, int(bits), int(registers))


def _ask(*parts: bytes) -> list[bytes] | None:
    """The answer of some process; None if there are no processes."""
    global _given_up
    if _given_up:
        return None
    process = None
    try:
        process = _taken()
        process.wait()
    except (OSError, ImportError, EOFError):
        _given_up = True
        if process is not None:
            process.close(now=True)
        return None
    except BaseException:
        if process is not None:
            process.close(now=True)
        raise
    try:
        answer = process.ask(*parts)
    except CodeError:
        _give_back(process)
        raise
    except (OSError, EOFError):
        code = process.close()
        raise CodeError(f"LLVM ended without an answer (exit code {code})") from None
    except BaseException:  # an interruption: what it is at, nobody wants
        process.close(now=True)
        raise
    _give_back(process)
    return answer


def _new() -> _Process:
    global _folder
    if _folder is None:
        found = importlib.util.find_spec("llvmlite")
        if found is None or found.origin is None:
            raise ImportError("there is no llvmlite")
        _folder = str(Path(found.origin).parents[1])
    return _Process(_folder)


def _taken() -> _Process:
    with _lock:
        while _idle:
            process = _idle.pop()
            if process.process.poll() is None:  # nobody has killed it meanwhile
                return process
    return _new()


def _give_back(process: _Process) -> None:
    global _closing
    process.idle_since = time.monotonic()
    with _lock:
        _idle.append(process)
        if _closing is None:
            _closing = _timer(_close_idle)


def _timer(function: Callable[[], None]) -> threading.Timer:
    timer = threading.Timer(_PATIENCE, function)
    timer.daemon = True
    timer.start()
    return timer


def _close_idle() -> None:
    """End those that nobody has needed for long."""
    global _closing
    now = time.monotonic()
    with _lock:
        old = [one for one in _idle if now - one.idle_since >= _PATIENCE]
        _idle[:] = [one for one in _idle if one not in old]
        _closing = _timer(_close_idle) if _idle else None
    for one in old:
        one.close()
