"""Optimizers that change the weights from outside of the compiled step: line search, L-BFGS, Newton, objects of Python.

In: a class with the one method of `OuterOptimizer`.  Out: trained weights.

    class Descent:
        def step(self, weights, objective):
            loss, gradient = objective()
            for name, value in weights.items():
                value -= 0.1 * gradient[name]

    net.train(optimizer=Descent())

The compiled step still does all the rest: it computes J of a minibatch with its penalties, its gradient, clipped and decayed as
the train section says, and updates the network's states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ...compiler.mathematics.graph import PENALTY
from ..errors import InputError
from ..execution import Execution, Totals
from .interrupt import Interrupt
from .lbfgs import LimitedMemoryBfgs
from .newton import Newton

if TYPE_CHECKING:
    from ...compiler.elaborate import Network
    from ...compiler.syntax import Call

Arrays = Mapping[str, np.ndarray]

#: Halvings and the like after which a line search gives up.
TRIALS = 60


class OuterOptimizer(Protocol):
    """What `net.train(optimizer=…)` takes.

    One that remembers something from step to step may have two more methods, so that a training which was broken off goes on
    with it: `saved()`, which tells it as name → array, and `restore(saved)`; {} stands for nothing.
    """

    def step(self, weights: dict[str, np.ndarray], objective: Objective) -> Any:
        """Change the weights, in place: `weights` maps names to live arrays. Called for every minibatch.

        `objective()` is the loss J (a float) and its gradient (name → array) for this minibatch and the weights as they are
        at that moment; it may be called any number of times, and random numbers in the network are then the same. A true
        answer ends the training.
        """


class _Interrupted(Exception):
    """Ctrl-C came while the objective was computed."""


class Objective:
    """J of one minibatch, at the weights that the network holds. `of_all_samples`: whether it has all of them."""

    def __init__(
        self, execution: Execution, arrays: Arrays, span: tuple[int, int], count: int, options: dict[str, Any]
    ):
        self._execution, self._arrays, self._span, self._options = execution, arrays, span, options
        self._step = execution.step
        self.of_all_samples = span == (0, count)
        self.first: Totals | None = None
        graph = execution.compiled.graph
        self.names = {w: f"{w}.slope" for w in graph.gradients if f"{w}.slope" in graph.arrays}

    def __call__(self) -> tuple[float, dict[str, np.ndarray]]:
        """The loss and its gradient."""
        execution, (start, stop) = self._execution, self._span
        execution.step = self._step  # the step is the same, however often it is tried
        totals = Totals(execution.program.routines["train"].results)
        if execution.run("train", self._arrays, start, stop, totals=totals, **self._options) < stop:
            raise _Interrupted
        self.first = self.first or totals
        loss = execution.figures(totals.mean())["loss"]
        if PENALTY in execution.program.placements:
            loss += float(execution.memory.view(PENALTY))
        return loss, {w: execution.memory.view(slope).copy() for w, slope in self.names.items()}


class Outer:
    """Runs an outer optimizer over all minibatches, as `Execution.run_all` runs the compiled one."""

    def __init__(self, optimizer: OuterOptimizer):
        if not callable(getattr(optimizer, "step", None)):
            raise InputError(f"an optimizer has a method step(weights, objective); {optimizer!r} has none")
        self.optimizer = optimizer
        self.finished = False

    def saved(self) -> dict[str, np.ndarray]:
        """What the optimizer remembers."""
        saved = getattr(self.optimizer, "saved", None)
        return dict(saved()) if saved is not None else {}

    def restore(self, saved: Mapping[str, np.ndarray]) -> None:
        """Let it remember this, and nothing else."""
        restore = getattr(self.optimizer, "restore", None)
        if restore is not None:
            restore(saved)

    def run_all(
        self,
        execution: Execution,
        arrays: Arrays,
        count: int,
        *,
        batch: int,
        progress: Callable[[int, Totals], None],
        interrupt: Interrupt,
        **options: Any,
    ) -> Totals:
        """One epoch. Stops early where an interrupt comes; the weights are then those before the step."""
        sums = Totals(execution.program.routines["train"].results)
        options |= {"batch": batch, "interrupt": interrupt}
        for start in range(0, count, batch):
            objective = Objective(execution, arrays, (start, min(count, start + batch)), count, options)
            weights = {name: execution.memory.view(name) for name in objective.names}
            before = {name: value.copy() for name, value in weights.items()}
            try:
                self.finished = bool(self.optimizer.step(weights, objective))
                if objective.first is None:
                    objective()
            except _Interrupted:
                execution.memory.put_back(before)
                break
            assert objective.first is not None
            sums.sums += objective.first.sums
            progress(min(count, start + batch), sums)
            if self.finished and start + batch < count:
                break
        return sums


class LineSearch:
    """Steepest descent with backtracking: Nocedal and Wright, algorithm 3.1."""

    def __init__(self, rate: float = 1.0, shrink: float = 0.5, sufficient: float = 1e-4):
        if not (rate > 0 and 0 < shrink < 1 and 0 < sufficient < 1):
            raise InputError("line_search needs rate > 0, 0 < shrink < 1 and 0 < sufficient < 1")
        self.rate, self.shrink, self.sufficient = rate, shrink, sufficient

    def step(self, weights: dict[str, np.ndarray], objective: Objective) -> bool:
        """True where no step makes J of all samples smaller: the slope is 0 as far as the precision can tell."""
        loss, slope = objective()
        before = {name: value.copy() for name, value in weights.items()}
        square = sum(float(np.vdot(g, g)) for g in slope.values())
        rate = self.rate
        for _ in range(TRIALS if square > 0 else 0):
            for name, value in weights.items():
                value[...] = before[name] - rate * slope[name]
            if objective()[0] <= loss - self.sufficient * rate * square:
                return False
            rate *= self.shrink
        for name, value in weights.items():
            value[...] = before[name]
        return objective.of_all_samples


BUILT_IN: dict[str, Callable[..., OuterOptimizer]] = {
    "line_search": LineSearch,
    "lbfgs": LimitedMemoryBfgs,
    "newton": Newton,
}


def outer_optimizer(network: Network, call: Call, given: OuterOptimizer | None) -> Outer | None:
    """What changes the weights from outside; None where the optimizer is all equations. Raises InputError."""
    if given is not None:
        return Outer(given)
    if not network.leaves_weights(call):
        return None
    if call.function not in BUILT_IN:
        raise InputError(f"the optimizer '{call.function}' is an object: net.train(optimizer=…)")

    def find() -> dict[str, float]:
        from ...compiler.elaborate import optimizer_numbers

        return optimizer_numbers(network, call)

    return Outer(BUILT_IN[call.function](**network.known(f"numbers: {call!r}", find)))


__all__ = ["LimitedMemoryBfgs", "LineSearch", "Objective", "OuterOptimizer", "outer_optimizer"]
