"""The trainings that one call of `Network.train` asks for: the first, and where the file says so a second on all data.

In: a network's executions, a plan, the data in parts.  Out: `History`; the main execution holds the weights to keep.

    plan = changed_plan(net.plan, epochs=5)
    history = train(executions, plan, data, evaluate, Watchers())
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...compiler.syntax import Call
from .. import checkpoint
from ..arrays import count_samples
from ..data.reading import Data
from ..errors import InputError
from ..executions import Executions
from .history import Figures, History
from .loop import Keeper, OnEpoch, OnProgress, Training, TrainingState
from .outer_optimizers import OuterOptimizer, outer_optimizer
from .retraining import check_retraining, retrain
from .settings import TrainingPlan

#: The plan's optimizer where an object of Python is given instead.
OUTSIDE = Call("outside", ())


@dataclass(frozen=True)
class Watchers:
    """Who looks on while a network learns; see `Network.train`."""

    on_epoch: OnEpoch | None = None
    on_progress: OnProgress | None = None
    keeper: Keeper | None = None
    traces: bool = True


def changed_plan(plan: TrainingPlan, **changes: Any) -> TrainingPlan:
    """The plan with other numbers, each of them whole; None: as it is. Raises InputError."""
    given = {key: value for key, value in changes.items() if value is not None}
    for key, value in given.items():
        if (key, value) == ("batch", "all"):
            given[key] = None
            continue
        least = 0 if key == "seed" else 1
        if not isinstance(value, int) or value < least:
            raise InputError(f"{key} should be a whole number from {least}, got {value!r}")
    return replace(plan, **given)


def train(
    executions: Executions,
    plan: TrainingPlan,
    parts: Data,
    evaluate: Callable[..., Figures],
    watchers: Watchers,
    *,
    state: TrainingState | None = None,
    optimizer: OuterOptimizer | None = None,
) -> History:
    """Train by the plan, then once more where it says `retrain`.

    evaluate   (execution, arrays, epoch=, interrupt=) → figures of the weights that the execution holds
    state      of an earlier training, to go on from there
    optimizer  instead of the plan's

    Raises InputError, TrainingDiverged, TrainingInterrupted.
    """
    if optimizer is not None:
        plan = replace(plan, optimizer=OUTSIDE)
    outer = outer_optimizer(executions.elaborated, plan.optimizer, optimizer)

    def run(
        plan: TrainingPlan,
        train: Mapping[str, np.ndarray],
        validation: Mapping[str, np.ndarray] | None,
        state: TrainingState,
        **more: Any,
    ) -> History:
        plan = replace(plan, batch=plan.batch or count_samples(train))
        with executions.lent(plan) as execution:
            if state.current:
                held = execution.memory.copy_of(execution.kept)
                checkpoint.check_names(state.current, held, "the checkpoint")
                execution.memory.put_back(state.current)
            return Training(
                execution, plan, train, validation, state=state, evaluate=evaluate,
                on_progress=watchers.on_progress, outer=outer, augmentation=parts.augmentation,
                traces=watchers.traces, **more,
            ).run()  # fmt: skip

    learned, validation = parts["train"], parts.parts.get("validation")
    check_retraining(plan, validation)
    main = executions.main
    again = plan.retrain and validation is not None
    first = main.memory.copy_of(executions.names("weight", "state")) if again else {}
    state = state or TrainingState()
    history = run(plan, learned, validation, state, on_epoch=watchers.on_epoch, keeper=watchers.keeper)
    if again and validation is not None:
        history.retraining = retrain(
            run, plan, learned, validation, state,
            begin_again=lambda: main.memory.put_back(first),
            measure=lambda arrays: evaluate(main, arrays),
            on_epoch=watchers.on_epoch,
        )  # fmt: skip
    return history
