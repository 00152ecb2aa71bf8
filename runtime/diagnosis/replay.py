"""Which minibatch broke a training: the steps since the last good state once more, one by one.

In: the execution that trained, the last good state, the samples of the epoch.  Out: the message of nonfinite.py.

    where_it_arose(execution, plan, state, arrays, order, epoch, count)

Every step gives the same bits as before, so the first one after which something is not finite is the one that broke it.
"""

from __future__ import annotations

from collections.abc import Mapping
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


def where_it_arose(
    execution: Execution,
    plan: TrainingPlan,
    state: TrainingState,
    arrays: Mapping[str, np.ndarray],
    order: np.ndarray | None,
    epoch: int,
    count: int,
) -> Diagnostic | None:
    """In which equation of which step of this epoch (from 1). The execution's weights are lost."""
    batch = plan.batch or count
    bad = _first_bad(execution, state, arrays, order, epoch, count, batch)
    if bad is None:
        return None
    start, before, step = bad
    at = Minibatch(
        arrays, start, min(count, start + batch), order, batch, epoch - 1, step, execution.seed, training=True
    )
    return first_nonfinite(_inside(execution, plan, batch), before, at)


def where_objective_broke(
    execution: Execution,
    plan: TrainingPlan,
    state: TrainingState,
    arrays: Mapping[str, np.ndarray],
    order: np.ndarray | None,
    epoch: int,
    count: int,
) -> Diagnostic | None:
    """The same where an optimizer of Python or a line search changes the weights: the loss of every minibatch at the weights
    as they are, or as they were when the epoch began where it has already spoiled them."""
    batch, memory = plan.batch or count, execution.memory
    weights = memory.copy_of(execution.kept)
    if not all(np.isfinite(weights[name]).all() for name in weights):
        weights = state.current
    inside = _inside(execution, plan, batch)
    for start in range(0, count, batch):
        stop = min(count, start + batch)
        at = Minibatch(
            arrays, start, stop, order, batch, epoch - 1, state.step, execution.seed, training=True
        )
        if (found := first_nonfinite(inside, weights, at)) is not None:
            return found
    return None


def _inside(execution: Execution, plan: TrainingPlan, batch: int) -> Inside:
    compiled = execution.compiled
    return Inside(
        compiled.network,
        batch,
        precision=compiled.precision,
        threads=execution.threads,
        optimizer=plan.optimizer,
    )


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


def _first_bad(
    execution: Execution,
    state: TrainingState,
    arrays: Mapping[str, np.ndarray],
    order: np.ndarray | None,
    epoch: int,
    count: int,
    batch: int,
) -> tuple[int, dict[str, np.ndarray], int] | None:
    """The first sample of the minibatch, the weights and states before it, the steps done by then."""
    memory = execution.memory
    memory.put_back(state.current)
    execution.step = state.step
    results = execution.program.routines["train"].results
    before = memory.copy_of(execution.kept)
    for start in range(state.done, count, batch):
        stop, step, totals = min(count, start + batch), execution.step, Totals(results)
        execution.run(
            "train",
            arrays,
            start,
            stop,
            totals=totals,
            order=order,
            batch=batch,
            epoch=epoch - 1,
            training=True,
        )
        good = np.isfinite(totals.sums).all()
        if not good or not all(np.isfinite(memory.view(name)).all() for name in execution.kept):
            return start, before, step
        for name, value in before.items():
            np.copyto(value, memory.view(name))
    return None
