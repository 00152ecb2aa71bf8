"""Trainings in processes of their own, as many at once as there are cores.

In: `Job`s.  Out: for each what its run told, in the order in which they end.

    for job, result in run_jobs(jobs, workers=2):
        print(job.name, result["test"])

A process that fails, or dies, is one failed job among the others. What a job leaves does not depend on how many run at once.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from ..execution import default_threads

#: What a job tells: figures by part, epochs, seconds, folder; or an error.
Result = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """One training: a file, its overrides, the folder that it leaves."""

    name: str
    file: str
    folder: str
    settings: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1
    precision: str = "float32"


def train_job(job: Job) -> Result:
    """Train, here. An error that is the user's is part of the result: exceptions of a file cannot travel between processes."""
    from ...compiler.source import DiagnosticError
    from ..errors import RunError
    from ..run import Run, prepare
    from ..run_folder import RunFolder

    started = time.perf_counter()
    try:
        net = prepare(job.file, job.settings, job.threads, job.precision)
        run = Run(net, net.load_data(), RunFolder.at(Path(job.folder)), job.file, job.settings)
        run.started = started
        whole = run.train()
        return {**run.finish(inside=False), **({} if whole else {"error": run.message})}
    except (DiagnosticError, RunError, OSError, MemoryError) as error:
        return {"error": str(error) or type(error).__name__}


def share_cores(jobs: int, workers: int | None, threads: int | None) -> tuple[int, int]:
    """Processes, and threads in each: all cores together, unless told otherwise."""
    cores = default_threads()
    workers = max(1, min(workers or cores // (threads or 1), jobs))
    return workers, threads or max(1, cores // workers)


def run_jobs(jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, Result]]:
    """Run them; yields each with its result when it ends.

    A lone worker is this process. On Ctrl-C the running ones end by themselves, and no other is begun.
    """
    if workers == 1:
        for job in jobs:
            yield job, train_job(job)
        return
    # 'spawn': a forked copy of a process with native threads may hang.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    waiting: dict[Future[Result], Job] = {pool.submit(train_job, job): job for job in jobs}
    try:
        while waiting:
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield waiting.pop(future), _result(future)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list((getattr(pool, "_processes", None) or {}).values()):
            with contextlib.suppress(OSError):
                process.terminate()  # a training answers as it does to Ctrl-C, and leaves a whole folder
        raise
    pool.shutdown()


def _result(future: Future[Result]) -> Result:
    try:
        return future.result()
    except BrokenProcessPool:
        return {"error": "the process ended unexpectedly (out of memory?)"}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
