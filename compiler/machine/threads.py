"""Pools of threads that run a job together.

In: the address of a routine's entry, a `Job`, and how many threads are wanted.  Out: the job, done.

    run(functions, entry, job, threads=4)      # this thread is number 0, three of a pool are 1, 2, 3

The threads belong to the system, not to Python: they never hold Python's lock. An idle one looks for work for some 30 µs,
then sleeps. A pool serves one job at a time; Python threads that run jobs at the same time get a pool each. A forked child
starts with no pools. Where the system has no POSIX threads, or grants no more of them, fewer threads do the same work: the
results do not depend on their number.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable

from .driver_threads import POOL_FIELDS
from .job import FIELD_TYPES, Job


class PoolState(ctypes.Structure):
    """What a pool's threads share (driver_threads.POOL_FIELDS)."""

    _fields_ = [(name, FIELD_TYPES[kind]) for name, kind in POOL_FIELDS]


class Worker(ctypes.Structure):
    """What one thread is given when it starts."""

    _fields_ = [("pool", ctypes.c_void_p), ("thread", ctypes.c_int64)]


def _system() -> ctypes.CDLL | None:
    """The C library of this process, if it has POSIX threads."""
    if os.name != "posix":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "pthread_create") else None


def function_address(name: str) -> int | None:
    """The address of a function of the C library."""
    library = _system()
    if library is None or not hasattr(library, name):
        return None
    return ctypes.cast(getattr(library, name), ctypes.c_void_p).value


class Pool:
    """Threads that wait for jobs. They and what they share live as long as the process: nothing is ever freed."""

    def __init__(self, worker: int, run: int, wanted: int) -> None:
        """worker, run: addresses of the functions of driver_threads.pool_text. `workers` is how many threads could be started."""
        library = _system()
        assert library is not None
        library.calloc.restype = ctypes.c_void_p
        library.calloc.argtypes = (ctypes.c_size_t, ctypes.c_size_t)
        block = library.calloc(1, 4096 + ctypes.sizeof(Worker) * wanted)
        if not block:
            raise MemoryError
        self.state = PoolState.from_address(block)
        mutex, condition, workers = block + 2048, block + 3072, block + 4096
        library.pthread_mutex_init(ctypes.c_void_p(mutex), None)
        library.pthread_cond_init(ctypes.c_void_p(condition), None)
        self.state.mutex, self.state.condition = mutex, condition
        for field, name in (("lock", "pthread_mutex_lock"), ("unlock", "pthread_mutex_unlock"),
                            ("wait", "pthread_cond_wait"), ("broadcast", "pthread_cond_broadcast"),
                            ("yield_function", "sched_yield")):  # fmt: skip
            setattr(self.state, field, function_address(name))
        self._run = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, ctypes.c_int32)(run)
        self._address = block
        self.workers = 0
        while self.workers < wanted:
            one = Worker.from_address(workers + self.workers * ctypes.sizeof(Worker))
            one.pool, one.thread = block, self.workers + 1
            identifier = ctypes.c_void_p()
            if library.pthread_create(
                ctypes.byref(identifier),
                None,
                ctypes.c_void_p(worker),
                ctypes.c_void_p(ctypes.addressof(one)),
            ):
                break
            self.workers += 1

    def run(self, entry: int, job: Job) -> None:
        """Run a job on all threads of the pool and this one."""
        job.threads = self.workers + 1
        self._run(self._address, entry, ctypes.addressof(job), self.workers)


_free: dict[int, list[Pool]] = {}
_lock = threading.Lock()


def _forget() -> None:
    """In a forked child the pools' threads do not exist."""
    global _lock
    _lock = threading.Lock()
    _free.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def run(functions: Callable[[], tuple[int, int]], entry: int, job: Job, threads: int) -> bool:
    """Run a job on `threads` threads, or on fewer if the system has not so many. False if it has no threads at all.

    functions: gives the addresses of dln_pool_worker and dln_pool_run; called only when a pool has to be made.
    """
    if _system() is None:
        return False
    with _lock:
        waiting = _free.setdefault(threads, [])
        pool = waiting.pop() if waiting else None
    if pool is None:
        pool = Pool(*functions(), threads - 1)
    try:
        pool.run(entry, job)
    finally:
        with _lock:
            _free.setdefault(threads, []).append(pool)
    return True
