"""The machine code of a program: its routines, run on this machine.

In: a lowered `Program` and a `Target`.  Out: `Code`.

    code = compile_program(program, host_target())
    code.run("train", job, threads=2)

A routine is compiled when it is first asked for, together with those of its kernels that no earlier one brought along.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from ..kernels.division import calls_of, is_divided
from ..kernels.program import Program
from . import threads as thread_pools
from .driver import rows_per_thread
from .driver_threads import pool_text
from .job import Job
from .module import copies_of, entry_text, kernel_symbol, kernel_text, whole_text, with_attributes
from .native import Library, Target, compile_text, compile_texts, host_target, load_code
from .team import Team


def emit_object(program: Program, target: Target, routines: Iterable[str] | None = None) -> bytes:
    """An object file with the entries `dln_routine_NAME` of a program for any target (not linked, not run)."""
    return compile_text(whole_text(program, routines or program.routines, target), target)


@cache
def _pool_functions() -> tuple[int, int]:
    """The addresses of the functions of driver_threads.py. Their library is never unloaded: threads run in it."""
    target = host_target()
    code = compile_text(pool_text(target.architecture), target)
    library = load_code([code], ("dln_pool_worker", "dln_pool_run"))
    _immortal.append(library)
    return library.addresses["dln_pool_worker"], library.addresses["dln_pool_run"]


@cache
def _copy_function(name: str, text: str, target: Target) -> int:
    """The address of a function that copies rows (driver_copy.py). Programs share them, so they stay loaded."""
    library = load_code([compile_text(with_attributes(text, target), target)], [name])
    _immortal.append(library)
    return library.addresses[name]


_immortal: list[Library] = []
_Entry = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)


@dataclass
class _Loaded:
    address: int
    function: Callable[[int, int], None]
    divided: bool
    teams: dict[int, Team] = field(default_factory=dict)  # by number of threads


@dataclass
class Code:
    """The machine code of a program's routines on this machine.

    seconds   routine → time that it took to compile and load
    """

    program: Program
    target: Target
    profile: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    _loaded: dict[str, _Loaded] = field(default_factory=dict)
    _kernels: dict[str, int] = field(default_factory=dict)
    _libraries: list[Library] = field(default_factory=list)
    _lock: Any = field(default_factory=threading.Lock)

    def load(self, routine: str) -> _Loaded:
        """Compile and load a routine, if that has not been done. Raises NativeError."""
        with self._lock:
            if routine not in self._loaded:
                self._loaded[routine] = self._compile(routine)
            return self._loaded[routine]

    def _compile(self, routine: str) -> _Loaded:
        start = time.perf_counter()
        program, target = self.program, self.target
        calls = list(calls_of(program.routines[routine]))
        kernels = {
            kernel_symbol(k): k for k in (program.kernels[name] for name in {c.kernel: None for c in calls})
        }
        fresh = [symbol for symbol in kernels if symbol not in self._kernels]
        texts = [
            entry_text(program, routine, target, self.profile),
            *(kernel_text(kernels[s], target) for s in fresh),
        ]
        known = {symbol: self._kernels[symbol] for symbol in kernels if symbol in self._kernels}
        for name, text in copies_of(program, routine, target).items():
            known[name] = _copy_function(name, text, target)
        entry = f"dln_routine_{routine}"
        library = load_code(compile_texts(texts, target), [entry, *fresh], known)
        self._libraries.append(library)
        self._kernels |= {symbol: library.addresses[symbol] for symbol in fresh}
        self.seconds[routine] = time.perf_counter() - start
        address = library.addresses[entry]
        return _Loaded(address, _Entry(address), any(map(is_divided, calls)))

    def run(self, routine: str, job: Job, threads: int = 1) -> None:
        """Go through the job's positions. Several threads may run jobs at once, on memory of their own.

        threads: at the most; a routine that runs faster on one thread gets one. The results do not depend on it.
        """
        loaded = self.load(routine)
        if not 1 <= job.batch <= self.program.capacity:
            raise ValueError(f"a batch of {job.batch}, but the program has room for {self.program.capacity}")
        job.halt = job.arrived = 0
        job.done = job.start
        job.clock_function, job.yield_function = _system_functions()
        rows = (ctypes.c_int64 * (max(threads, 1) * rows_per_thread(self.program)))()
        job.rows = ctypes.addressof(rows)
        minibatches = -(-(job.stop - job.start) // job.batch)
        several, team = False, None
        if threads > 1 and loaded.divided:
            team = loaded.teams.setdefault(threads, Team())
            several = team.choose(minibatches)
        start = time.perf_counter()
        if not (several and thread_pools.run(_pool_functions, loaded.address, job, threads)):
            job.threads = 1
            loaded.function(ctypes.addressof(job), 0)
        if team is not None and job.done == job.stop:
            team.record(several, minibatches, time.perf_counter() - start)


@cache
def _system_functions() -> tuple[int | None, int | None]:
    return thread_pools.function_address("clock_gettime"), thread_pools.function_address("sched_yield")


def compile_program(program: Program, target: Target | None = None, *, profile: bool = False) -> Code:
    """Code for this machine. `target` may leave out features that the machine has, or ask for narrower vectors."""
    return Code(program, target or host_target(), profile)
