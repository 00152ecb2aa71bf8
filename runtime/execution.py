"""Running the routines of a compiled program over samples: many minibatches in one native call.

In: a `Compiled` network (compiler/pipeline.py) and arrays that fit it.  Out: sums of results, outputs, gradients.

    execution = Execution(compiled, threads=2)
    execution.evaluate(arrays)                       {"loss": 0.21, "accuracy": 0.96}

A native call is kept to about 50 ms, so that progress can be shown and Ctrl-C is answered. How the minibatches fall
into calls never shows in the results: sums go on from call to call in the same order.
"""

from __future__ import annotations

import ctypes
import os
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import RunError
from .memory import Memory
from .training.history import Figures
from .training.interrupt import Interrupt

if TYPE_CHECKING:
    from ..compiler.pipeline import Compiled

#: Seconds that one native call should take.
CALL_SECONDS = 0.05


def default_threads() -> int:
    """$DLN_THREADS, or the number of cores that this process may use."""
    wanted = os.environ.get("DLN_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _word(seed: int) -> int:
    """A seed of any size as 32 bits, of which a random draw is made; small ones stay as they are."""
    return seed if 0 <= seed < 2**32 else zlib.crc32(str(seed).encode())


class Pace:
    """How many minibatches to give to a native call, from how long the last one took."""

    def __init__(self) -> None:
        self.minibatches = 1

    def pieces(self, start: int, stop: int, batch: int) -> Iterator[tuple[int, int]]:
        """Consecutive ranges of whole minibatches that cover start … stop; measures the time between two of them."""
        while start < stop:
            end = min(stop, start + self.minibatches * batch)
            before = time.perf_counter()
            yield start, end
            spent = max(time.perf_counter() - before, 1e-7)
            done = -(-(end - start) // batch)
            wish = int(done * CALL_SECONDS / spent)
            # The first call may include compilation, so growth is stepwise rather than final.
            self.minibatches = max(1, min(wish, 16 * self.minibatches))
            start = end


class Totals:
    """Sums over samples of a routine's results, and the number of samples, in double precision."""

    def __init__(self, names: tuple[str, ...]):
        self.names = names
        self.sums = np.zeros(len(names) + 1)

    @property
    def count(self) -> float:
        return float(self.sums[-1])

    def mean(self) -> dict[str, float]:
        """Mean of every result over the samples so far."""
        count = max(self.count, 1.0)
        return {n: float(s) / count for n, s in zip(self.names, self.sums[:-1], strict=True)}


class Execution:
    """A compiled network, its memory, and the calls into its native code. Not safe for two threads at once."""

    def __init__(self, compiled: Compiled, threads: int | None = None):
        self.compiled = compiled
        self.program = compiled.program
        self.memory = Memory(compiled.program)
        self.threads = threads if threads is not None else default_threads()
        self.step = 0
        #: Of the random draws in the network.
        self.seed = 0
        #: Weights and states: all that a step changes for the next.
        self.kept = [
            a.name
            for a in compiled.graph.arrays.values()
            if a.kind in ("weight", "state") and a.name in self.program.placements
        ]
        self._paces: dict[str, Pace] = {}

    # ------------------------------------------------------------------------------------------- native calls

    def run(
        self,
        routine: str,
        arrays: Mapping[str, np.ndarray],
        start: int,
        stop: int,
        *,
        totals: Totals | None = None,
        order: np.ndarray | None = None,
        batch: int | None = None,
        epoch: int = 0,
        training: bool = False,
        outputs: Mapping[str, np.ndarray] | None = None,
        interrupt: Interrupt | None = None,
        profile: np.ndarray | None = None,
    ) -> int:
        """One native call: the minibatches of samples start … stop−1 (of `order`, where given).

        `profile`: int64, one number per call of the routine, to which the nanoseconds are added that the first thread spends in
        it; only code that was compiled for it does so.
        Returns how far it came: `stop`, or less where `interrupt` was requested meanwhile.
        """
        what = self.program.routines[routine]
        if totals is None:
            totals = Totals(what.results)
        datasets = (ctypes.c_void_p * max(1, len(what.inputs)))()
        for k, name in enumerate(what.inputs):
            datasets[k] = arrays[name].ctypes.data
        into = (ctypes.c_void_p * max(1, len(what.outputs)))()
        for k, name in enumerate(what.outputs):
            into[k] = outputs[name].ctypes.data if outputs is not None else None
        from ..compiler.machine.job import Job

        job = Job()
        job.memory = self.memory.address
        job.datasets = ctypes.addressof(datasets)
        job.order = order.ctypes.data if order is not None else None
        job.start, job.stop = start, stop
        job.batch = batch or self.program.capacity
        job.results = totals.sums.ctypes.data
        job.outputs = ctypes.addressof(into)
        job.step, job.epoch, job.training, job.seed = self.step, epoch, int(training), _word(self.seed)
        if profile is not None:
            job.profile = profile.ctypes.data
        if interrupt is not None:
            job.stop_flag = ctypes.addressof(interrupt.flag)
        self.compiled.code.run(routine, job, self.threads)
        if what.advances:
            self.step = int(job.step)
        return int(job.done)

    def run_all(
        self,
        routine: str,
        arrays: Mapping[str, np.ndarray],
        count: int,
        *,
        progress: Callable[[int, Totals], None] | None = None,
        interrupt: Interrupt | None = None,
        batch: int | None = None,
        first: int = 0,
        totals: Totals | None = None,
        **options: Any,
    ) -> Totals:
        """All samples, in calls of about 50 ms; `progress` is told after each. Stops early where an interrupt comes.

        `first` and `totals`: how far an earlier call had come, and the sums that it had by then.
        """
        totals = totals or Totals(self.program.routines[routine].results)
        pace = self._paces.setdefault(routine, Pace())
        batch = batch or self.program.capacity
        for start, stop in pace.pieces(first, count, batch):
            if interrupt is not None and interrupt.requested:
                break
            self.run(routine, arrays, start, stop, totals=totals, interrupt=interrupt, batch=batch, **options)
            if progress is not None:
                progress(stop, totals)
        return totals

    # ----------------------------------------------------------------------------------- what callers ask for

    def figures(self, means: Mapping[str, float]) -> Figures:
        """Results under the names that a person knows: `loss`, and the metrics'."""
        graph = self.compiled.graph
        named = {"loss": graph.loss, **graph.metrics}
        return {name: means[f] for name, f in named.items() if f is not None and f in means}

    def evaluate(
        self,
        arrays: Mapping[str, np.ndarray],
        count: int,
        *,
        epoch: int = 0,
        interrupt: Interrupt | None = None,
    ) -> Figures:
        """Loss and metrics over samples, as means over all of them; {} where an interrupt came."""
        totals = self.run_all("evaluate", arrays, count, epoch=epoch, interrupt=interrupt)
        if totals.count < count:
            return {}
        return self.figures(totals.mean())

    def forward(
        self, arrays: Mapping[str, np.ndarray], count: int, *, training: bool = False
    ) -> dict[str, np.ndarray]:
        """The layers' values for all samples, samples first."""
        routine = self.program.routines["forward"]
        outputs = {}
        for name in routine.outputs:
            place = self.program.placements[name]
            shape = place.shape[1:] if self.compiled.graph.families[name].batched else place.shape
            outputs[name] = np.empty((count, *shape), place.data_type)
        self.run_all("forward", arrays, count, outputs=outputs, training=training)
        return outputs

    def loss_and_gradient(
        self,
        arrays: Mapping[str, np.ndarray],
        count: int,
        *,
        training: bool = False,
        additive: bool = False,
    ) -> tuple[float, dict[str, np.ndarray]]:
        """Loss and its derivative by every weight.

        Over several minibatches they are put together as means weighted by the samples, or as sums where the loss is
        `additive` (a sum over the batch).
        """
        graph = self.compiled.graph
        results = self.program.routines["gradient"].results
        loss = 0.0
        sums: dict[str, np.ndarray] = {}
        capacity = self.program.capacity
        for start in range(0, count, capacity):
            stop = min(count, start + capacity)
            totals = Totals(results)
            if self.run("gradient", arrays, start, stop, totals=totals, training=training) < stop:
                raise RunError("a native call ended before its time")
            share = 1.0 if additive else (stop - start) / count
            loss += share * self.figures(totals.mean())["loss"]
            for weight, family in graph.gradients.items():
                part = self.memory.view(family)
                if count <= capacity:
                    sums[weight] = part.copy()
                else:
                    sums[weight] = sums.get(weight, 0.0) + share * part.astype(np.float64)
        kind = np.dtype(self.program.float_type)
        return loss, {name: value.astype(kind, copy=False) for name, value in sums.items()}
