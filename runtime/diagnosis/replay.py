"""Which minibatch broke a training: the steps since the last good state once more, one by one.

In: the epoch in which it broke: the execution that trained, the last good state, the samples.  Out: the message of nonfinite.py.

    where_it_arose(BrokenEpoch(execution, plan, state, arrays, order, epoch=3, count=1000))

Every step gives the same bits as before, so the first one after which something is not finite is the one that broke it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ...compiler.source import Diagnostic
from ..arrays import count_samples
from ..execution import Execution, Totals
from .inside import Inside
from .nonfinite import Minibatch, first_nonfinite

if TYPE_CHECKING:
    from ..training.loop import TrainingState
    from ..training.settings import TrainingPlan


@dataclass(frozen=True)
class BrokenEpoch:
    """An epoch of a training in which something is no longer finite.

    execution   which trained; its weights may be spoiled, and are lost when they are replayed
    state       the last good one: as the epoch began, or at the last checkpoint in it
    arrays      the samples of the epoch, in this `order` (None: as they are)
    epoch       from 1
    count       of the samples that the epoch goes over
    """

    execution: Execution
    plan: TrainingPlan
    state: TrainingState
    arrays: Mapping[str, np.ndarray]
    order: np.ndarray | None
    epoch: int
    count: int

    @property
    def batch(self) -> int:
        return self.plan.batch or self.count

    def minibatch(self, start: int, step: int) -> Minibatch:
        """The one that begins with this sample, `step` steps after the training began."""
        stop, seed = min(self.count, start + self.batch), self.execution.seed
        return Minibatch(
            self.arrays, start, stop, self.order, self.batch, self.epoch - 1, step, seed, training=True
        )

    @property
    def largest(self) -> int:
        """Samples that are computed together at most."""
        return min(self.batch, self.execution.program.capacity)

    @cached_property
    def inside(self) -> Inside:
        """The network compiled so that every value can be looked at."""
        compiled = self.execution.compiled
        return Inside(
            compiled.network,
            self.largest,
            precision=compiled.precision,
            threads=self.execution.threads,
            optimizer=self.plan.optimizer,
        )


def where_it_arose(broken: BrokenEpoch) -> Diagnostic | None:
    """In which equation of which step of this epoch. The execution's weights are lost."""
    bad = _first_bad(broken)
    if bad is None:
        return None
    start, before, step = bad
    return _first_in_parts(broken, before, broken.minibatch(start, step))


def where_objective_broke(broken: BrokenEpoch) -> Diagnostic | None:
    """The same where an optimizer of Python or a line search changes the weights: the loss of every minibatch at the weights
    as they are, or as they were when the epoch began where it has already spoiled them."""
    execution, state = broken.execution, broken.state
    weights = execution.memory.copy_of(execution.kept)
    if not all(np.isfinite(weights[name]).all() for name in weights):
        weights = state.current
    for start in range(0, broken.count, broken.batch):
        if (found := _first_in_parts(broken, weights, broken.minibatch(start, state.step))) is not None:
            return found
    return None


def _first_in_parts(
    broken: BrokenEpoch, weights: Mapping[str, np.ndarray], at: Minibatch
) -> Diagnostic | None:
    """Of a minibatch that is larger than what was compiled: part after part."""
    size = broken.largest
    for start in range(at.start, at.stop, size):
        part = replace(at, start=start, stop=min(at.stop, start + size), batch=size)
        if (found := first_nonfinite(broken.inside, weights, part)) is not None:
            return found
    return None


def where_validation_broke(
    execution: Execution, arrays: Mapping[str, np.ndarray], epoch: int
) -> Diagnostic | None:
    """In which equation for which samples of the validation part."""
    network, capacity = execution.compiled.network, execution.program.capacity
    inside = Inside(network, capacity, precision=execution.compiled.precision, gradient=False)
    weights = execution.memory.copy_of(execution.kept)
    count = count_samples(arrays)
    for start in range(0, count, capacity):
        stop = min(count, start + capacity)
        at = Minibatch(
            arrays, start, stop, None, capacity, epoch - 1, execution.step, execution.seed, training=False
        )
        if (found := first_nonfinite(inside, weights, at)) is not None:
            return found
    return None


def _first_bad(broken: BrokenEpoch) -> tuple[int, dict[str, np.ndarray], int] | None:
    """The first sample of the minibatch, the weights and states before it, the steps done by then."""
    execution, state = broken.execution, broken.state
    memory = execution.memory
    memory.put_back(state.current)
    execution.step = state.step
    results = execution.program.routines["train"].results
    before = memory.copy_of(execution.kept)
    for start in range(state.done, broken.count, broken.batch):
        at, totals = broken.minibatch(start, execution.step), Totals(results)
        execution.run(
            "train",
            at.arrays,
            at.start,
            at.stop,
            totals=totals,
            order=at.order,
            batch=at.batch,
            epoch=at.epoch,
            training=True,
        )
        good = np.isfinite(totals.sums).all()
        if not good or not all(np.isfinite(memory.view(name)).all() for name in execution.kept):
            return start, before, at.step
        for name, value in before.items():
            np.copyto(value, memory.view(name))
    return None
