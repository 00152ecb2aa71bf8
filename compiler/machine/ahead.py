"""Kernels compiled ahead: while a large program is still being lowered, a thread of its own compiles the kernels that are ready.

In: kernels, as the schedule makes them.  Out: the object files of those that were begun, when a routine is asked for.

    ahead = Ahead(target)
    program = lower(graph, …, ready=ahead.take)
    ahead.finished(symbols)                        {"dln_kernel_…": object file, …}

LLVM runs in another process, or at least outside of Python's lock, so this costs the lowering next to nothing, where there is a
second core. The results are the same as without it.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Container

from ..kernels.program import Kernel
from . import code_processes
from .module import kernel_symbol, kernel_text
from .native import NativeError, available_cores, compile_text
from .target import Target

#: Seconds of lowering after which the thread begins where LLVM works in this process: what is done sooner is not worth one.
_PATIENCE = 0.1
#: Seconds after which a thread lets another one have Python's lock, while kernels are compiled ahead.
_INTERVAL = 0.0005


class Ahead:
    """The kernels of one program."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._begun = time.monotonic()
        self._several = available_cores() > 1
        self._waiting: deque[Kernel] = deque()
        self._under_way = ""
        self._files: dict[str, bytes] = {}
        self._thread: threading.Thread | None = None

    def take(self, kernel: Kernel) -> None:
        """A kernel that is ready. Returns at once."""
        if not self._several:
            return
        self._waiting.append(kernel)
        working = self._thread is not None and self._thread.is_alive()
        patience = 0.0 if code_processes.are_available() else _PATIENCE
        if not working and time.monotonic() - self._begun >= patience:
            self._thread = threading.Thread(target=self._compile, name="dln kernels")
            self._thread.start()

    def finished(self, symbols: Container[str]) -> dict[str, bytes]:
        """Object files, by symbol, of those kernels that the thread has begun; it begins no other."""
        self._waiting.clear()
        if self._thread is not None and self._under_way in symbols:
            self._thread.join()
        return {symbol: file for symbol, file in dict(self._files).items() if symbol in symbols}

    def _compile(self) -> None:
        """Compile what waits, until nothing does. A process that ends waits for its threads: then no kernel is begun."""
        interval = sys.getswitchinterval()
        # After every call into LLVM the thread waits for Python's lock, by default for 5 ms: longer than most calls take.
        sys.setswitchinterval(min(interval, _INTERVAL))
        try:
            self._compile_waiting()
        finally:
            sys.setswitchinterval(interval)

    def _compile_waiting(self) -> None:
        while self._waiting and threading.main_thread().is_alive():
            try:
                kernel = self._waiting.popleft()
            except IndexError:  # somebody asked for what is finished
                return
            self._under_way = symbol = kernel_symbol(kernel)
            try:
                self._files[symbol] = compile_text(kernel_text(kernel, self.target, symbol), self.target)
            except NativeError:
                continue  # whoever needs the kernel compiles it again, and is told
            finally:
                self._under_way = ""
