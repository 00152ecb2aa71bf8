"""L-BFGS: Newton's step with a curvature that is put together from the last changes of the slope.

In: live weights and an objective, as in outer_optimizers.py.  Out: changed weights.

    w ← w − t H g        H ≈ (∂²J/∂w²)⁻¹ from the pairs s = Δw, y = Δg of the last steps

J. Nocedal and S. Wright, Numerical optimization (2006), algorithms 7.4 and 7.5; t by wolfe_search.py. The rules for when to
forget, to skip a pair and to end are those of L-BFGS-B, R. Byrd, P. Lu, J. Nocedal and C. Zhu (1995), without bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ..errors import InputError
from .wolfe_search import wolfe_step

Objective = Callable[[], tuple[float, Mapping[str, np.ndarray]]]
#: A pair whose curvature is below this share of the slope says nothing about it.
PRECISION = float(np.finfo(np.float64).eps)


class LimitedMemoryBfgs:
    """Some iterations an epoch. What is remembered of the curvature lasts from epoch to epoch, and is part of a checkpoint.

    memory      pairs that are remembered
    iterations  of an epoch
    tolerance   the training ends where no entry of the slope is larger
    """

    def __init__(self, memory: float = 10, iterations: float = 20, tolerance: float = 1e-5):
        for name, value in (("memory", memory), ("iterations", iterations)):
            if value != int(value) or value < 1:
                raise InputError(f"lbfgs needs a whole number from 1 as {name}, got {value:g}")
        self.memory, self.iterations, self.tolerance = int(memory), int(iterations), tolerance
        #: (s, y), the oldest first; never changed once they are made.
        self._pairs: list[tuple[np.ndarray, np.ndarray]] = []

    def saved(self) -> dict[str, np.ndarray]:
        """What the next epoch depends on."""
        names = ("change", "slope")
        return {
            f"{what} {k}": v
            for k, pair in enumerate(self._pairs)
            for what, v in zip(names, pair, strict=True)
        }

    def restore(self, saved: Mapping[str, np.ndarray]) -> None:
        """Go on from what `saved` gave; from {} afresh."""
        self._pairs = [(saved[f"change {k}"], saved[f"slope {k}"]) for k in range(len(saved) // 2)]

    def step(self, weights: dict[str, np.ndarray], objective: Objective) -> bool:
        """True where the slope is small, or the precision allows no smaller J."""

        def put(point: np.ndarray) -> None:
            start = 0
            for value in weights.values():
                value[...] = point[start : start + value.size].reshape(value.shape)
                start += value.size

        def evaluate(point: np.ndarray) -> tuple[float, np.ndarray]:
            put(point)
            loss, slope = objective()
            return loss, np.concatenate([slope[name].ravel() for name in weights]).astype(np.float64)

        point = np.concatenate([value.ravel() for value in weights.values()]).astype(np.float64)
        loss, slope = evaluate(point)
        for _ in range(self.iterations):
            if np.abs(slope).max(initial=0.0) <= self.tolerance:
                return True
            found = self._iterate(point, loss, slope, evaluate)
            if found is None:
                put(point)
                return True
            before, (point, loss, slope) = loss, found
            if loss >= before:
                return True
        return bool(np.abs(slope).max(initial=0.0) <= self.tolerance)

    def _iterate(
        self,
        point: np.ndarray,
        loss: float,
        slope: np.ndarray,
        evaluate: Callable[[np.ndarray], tuple[float, np.ndarray]],
    ) -> tuple[np.ndarray, float, np.ndarray] | None:
        """The next point with its loss and slope; None where none in the direction of the slope is better."""
        while True:
            direction = -self._times_curvature(slope)
            descent = float(slope @ direction)
            if descent < 0:
                tried: list[tuple[np.ndarray, float, np.ndarray]] = []

                def at(
                    step: float, direction: np.ndarray = direction, tried: list = tried
                ) -> tuple[float, float]:
                    place = point + step * direction
                    tried[:] = [(place, *evaluate(place))]
                    return tried[0][1], float(tried[0][2] @ direction)

                guess = 1.0 if self._pairs else 1.0 / float(np.linalg.norm(direction))
                if wolfe_step(loss, descent, guess, at) is not None:
                    self._remember(tried[0][0] - point, tried[0][2] - slope, slope)
                    return tried[0]
            if not self._pairs:
                return None
            self._pairs = []  # it misled: begin again with the slope itself

    def _remember(self, change: np.ndarray, turn: np.ndarray, slope: np.ndarray) -> None:
        if float(change @ turn) > PRECISION * -float(change @ slope):
            self._pairs = [*self._pairs, (change, turn)][-self.memory :]

    def _times_curvature(self, slope: np.ndarray) -> np.ndarray:
        """H g, by the recursion over the pairs and back (algorithm 7.4)."""
        result = slope.copy()
        shares = []
        for change, turn in reversed(self._pairs):
            share = float(change @ result) / float(change @ turn)
            result -= share * turn
            shares.append(share)
        if self._pairs:
            change, turn = self._pairs[-1]
            result *= float(change @ turn) / float(turn @ turn)
        for (change, turn), share in zip(self._pairs, reversed(shares), strict=True):
            result += (share - float(turn @ result) / float(change @ turn)) * change
        return result
