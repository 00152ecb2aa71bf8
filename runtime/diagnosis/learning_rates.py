"""The rate of learning over the steps of a training, as its train section has it.

In: a network, its plan, the records of its epochs.  Out: a curve for each different rate.

    learning_rates(net.elaborated, plan, history)    {"": (epochs, rates)}, or {"hidden.w": …, "other weights": …}

The expression of the rate is evaluated as it stands, with its schedule, the factors of `rates` and the scale that `reduce
rate(…)` had.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...compiler.mathematics.graph import RATE_SCALE
from ...compiler.source import DiagnosticError
from ..training.history import History
from ..training.plateau import PlateauWatch
from ..training.settings import TrainingPlan
from .evaluation import evaluate_within

if TYPE_CHECKING:
    from ...compiler.elaborate import Network
    from ...compiler.mathematics.expression import Expression
    from ...compiler.mathematics.graph import Family
    from ...compiler.syntax import Call

#: Points of a curve.
POINTS = 300

Curve = tuple[np.ndarray, np.ndarray]


def learning_rates(network: Network, plan: TrainingPlan, history: History) -> dict[str, Curve]:
    """Name → (epochs done, rate): one nameless curve where all weights have the same rate. Empty where there is none."""
    if not len(history) or history[-1].step < 1:
        return {}
    try:
        rates, schedules = network.known(
            f"rates: {plan.optimizer!r}", lambda: _equations(network, plan.optimizer)
        )
    except DiagnosticError:  # an optimizer of Python has no equations
        return {}
    graph = network.graph.copy(families={**network.graph.families, **schedules})
    ends = np.array([record.step for record in history], np.float64)
    steps = np.unique(np.linspace(1, ends[-1], POINTS).round())
    epoch = np.searchsorted(ends, steps - 1, side="right").clip(0, len(ends) - 1)
    begins = np.concatenate([[0.0], ends[:-1]])
    done = epoch + (steps - begins[epoch]) / np.maximum(ends[epoch] - begins[epoch], 1)
    clocks = {"step": steps, "epoch": epoch.astype(np.float64), RATE_SCALE: _scales(plan, history)[epoch]}
    curves: dict[str, Curve] = {}
    groups: dict[bytes, list[str]] = {}
    for weight, rate in rates.items():
        values = evaluate_within(graph, rate, clocks)
        if values is None:
            return {}
        values = np.broadcast_to(values.astype(np.float64), steps.shape)
        groups.setdefault(values.tobytes(), []).append(weight)
        curves[weight] = (done, values)
    if len(groups) == 1:
        return {"": next(iter(curves.values()))}
    return {_listed(weights): curves[weights[0]] for weights in groups.values()}


def _equations(network: Network, optimizer: Call) -> tuple[dict[str, Expression], dict[str, Family]]:
    """Weight → its rate, and the families that rates load."""
    from ...compiler.elaborate import optimizer_rates

    graph = network.graph.copy(gradients={a.name: a.name for a in network.graph.weights if not a.frozen})
    rates = optimizer_rates(network, graph, optimizer)
    return rates, {name: f for name, f in graph.families.items() if name not in network.graph.families}


def _scales(plan: TrainingPlan, history: History) -> np.ndarray:
    """What `reduce rate(…)` had made of the rate in each epoch."""
    scales = np.ones(len(history))
    if plan.reduce is not None:
        watch = PlateauWatch(plan.reduce)
        scales[1:] = [watch.see(record) for record in history][:-1]
    return scales


def _listed(weights: list[str]) -> str:
    return ", ".join(weights[:3]) + (f" and {len(weights) - 3} more" if len(weights) > 3 else "")
