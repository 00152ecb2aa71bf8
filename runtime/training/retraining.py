"""Training again with the validation part, once it has said when to stop.

In: a finished training and all its data.  Out: weights that have seen every sample.

    retrain afresh     from the first weights, on all data, for as many steps as the best weights had taken
    retrain further    from the best weights, on all data, until the loss of the validation part has come down to the loss
                       that the training part had at the stop, or the epochs are over

I. Goodfellow, Y. Bengio and A. Courville, Deep learning (2016), algorithms 7.2 and 7.3. The figures of the validation part say
nothing about new data afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np

from ..arrays import count_samples
from ..errors import InputError
from .history import Figures, History
from .loop import Arrays, OnEpoch, TrainingState
from .settings import TrainingPlan


class Run(Protocol):
    """Trains by a plan: on these arrays, from this state."""

    def __call__(
        self,
        plan: TrainingPlan,
        train: Arrays,
        validation: Arrays | None,
        state: TrainingState,
        *,
        on_epoch: OnEpoch | None,
        steps: int | None = None,
        goal: float | None = None,
    ) -> History: ...


def check_retraining(plan: TrainingPlan, validation: Arrays | None) -> None:
    """Raise an InputError where there is nothing to learn from besides the training part."""
    if plan.retrain and validation is None:
        raise InputError(
            "retrain trains again with the validation part, and there is none;"
            " give one in split, or as data['validation']"
        )


def retrain(
    run: Run,
    plan: TrainingPlan,
    train: Arrays,
    validation: Arrays,
    state: TrainingState,
    *,
    begin_again: Callable[[], None],
    measure: Callable[[Arrays], Figures],
    on_epoch: OnEpoch | None,
) -> History:
    """The second training. `state` is the first one's; `begin_again` sets the first weights."""
    history = state.history
    everything = together(train, validation)
    quiet = replace(plan, patience=None, keep="last", retrain="")
    after = _numbered(on_epoch, len(history))
    best = history[history.best_epoch - 1] if history.best_epoch else None
    if best is None:
        raise InputError("there is no best epoch to train again from")
    if plan.retrain == "afresh":
        begin_again()
        each = -(-count_samples(everything) // (plan.batch or count_samples(everything)))
        quiet = replace(quiet, epochs=-(-best.step // each))
        return run(quiet, everything, None, TrainingState(), on_epoch=after, steps=best.step)
    goal = measure(train)["loss"]
    if measure(validation)["loss"] <= goal:
        return History(ending="reached")
    first = TrainingState(best.epoch, best.step, dict(state.best or state.current))
    quiet = replace(quiet, epochs=best.epoch + plan.epochs)
    return run(quiet, everything, validation, first, on_epoch=after, goal=goal)


def together(train: Arrays, validation: Arrays) -> dict[str, np.ndarray]:
    """The samples of both parts, those of the training first."""
    return {name: np.concatenate([value, validation[name]]) for name, value in train.items()}


def _numbered(on_epoch: OnEpoch | None, done: int) -> OnEpoch | None:
    """The same callback, the epochs counted on from those of the first training."""
    if on_epoch is None:
        return None
    count = iter(range(done + 1, 1 << 62))
    return lambda record: on_epoch(replace(record, epoch=next(count)))


__all__ = ["check_retraining", "retrain", "together"]
