"""Trips: how often the loops of a reduction run on average, when its conditions bound them.

In: `Nest`, and a choice of axes that vary within a register tile.  Out: the average number of trips of each loop, and the
conditions that remain masks.

    Σ_{v: 0 ≤ y+v−1 < 28} in a loop over y          →   2.93 of 3
    Σ_{q: start[k] ≤ q < start[k+1]} of 4096 in 64  →   64 (what a table holds is not looked at)

Averages are taken over a few index points drawn at random, the same in every run.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property

import numpy as np

from ..mathematics.expression import Axis, Constant, Expression
from ..mathematics.scalar import SCALAR_FUNCTIONS
from ..mathematics.walks import axes_in, postorder
from .bounds import Bounds, split_conditions
from .nest import TIME, VALID, Nest, is_access

_POINTS = 64


class Trips:
    """Average trips of one nest's loops under different tiles."""

    def __init__(self, nest: Nest) -> None:
        self.nest = nest
        self.known: dict[object, tuple[tuple[float, ...], tuple[Expression, ...]]] = {}
        self._known_trips: dict[object, float] = {}
        self._known_values: dict[Expression, np.ndarray | None] = {}
        self.conditional = frozenset(axes_in(*nest.where))

    def average(
        self, reduced: Sequence[Axis], varying: Collection[Axis], lane: Axis | None
    ) -> tuple[tuple[float, ...], tuple[Expression, ...]]:
        """Trips of each loop in `reduced` (as if they were without lanes), and the masks."""
        relevant = frozenset(a for a in varying if a in self.conditional)
        key = (tuple(reduced), relevant, lane if lane in self.conditional else None)
        found = self.known.get(key)
        if found is None:
            split = split_conditions(self.nest.where, reduced, relevant, lane if lane in reduced else None)
            trips = tuple(self._trips(a, b) for a, b in zip(reduced, split.loops, strict=True))
            found = self.known[key] = (trips, tuple(split.masks))
        return found

    @cached_property
    def points(self) -> dict[Expression, np.ndarray]:
        """Index points drawn at random, and steps of the time loop."""
        generator = np.random.default_rng(0)
        axes = (*self.nest.axes, *self.nest.reduced)
        sizes: dict[Expression, int] = {axis: axis.size for axis in axes}
        sizes[TIME] = self.nest.time
        return {of: generator.integers(0, size, _POINTS).astype(np.int64) for of, size in sizes.items()}

    def _trips(self, axis: Axis, bounds: Bounds) -> float:
        if not bounds.lower and not bounds.upper:
            return axis.size / bounds.step
        key = (axis, *bounds.lower, None, *bounds.upper, bounds.step)
        found = self._known_trips.get(key)
        if found is None:
            found = self._known_trips[key] = self._counted(axis, bounds)
        return found

    def _counted(self, axis: Axis, bounds: Bounds) -> float:
        lower = np.zeros(_POINTS, dtype=np.int64)
        upper = np.full(_POINTS, axis.size, dtype=np.int64)
        fewest = float(axis.size)
        for expression in (*bounds.lower, *bounds.upper):
            if expression not in self._known_values:
                self._known_values[expression] = self._values(expression)
            values = self._known_values[expression]
            if values is None:  # a list: its entries are shared out among those who look it up
                if not any(n == VALID for n in postorder(expression)):
                    sharers = np.prod([a.size for a in axes_in(expression)], dtype=float)
                    fewest = min(fewest, max(1.0, axis.size / sharers))
            elif expression in bounds.lower:
                lower = np.maximum(lower, values)
            else:
                upper = np.minimum(upper, values)
        average = float(np.maximum(upper - lower, 0).mean()) / bounds.step
        return max(min(average, fewest), 0.05)

    def _values(self, root: Expression) -> np.ndarray | None:
        """An integer expression at the points; None where it depends on what is only known at run time."""
        values: dict[Expression, np.ndarray] = {}
        for node in postorder(root):
            if isinstance(node, Constant):
                values[node] = np.asarray(node.value)
            elif isinstance(node, Axis) or node == TIME:
                values[node] = self.points[node]
            elif is_access(node) or node == VALID:
                return None
            else:
                function = SCALAR_FUNCTIONS[node.function].value  # type: ignore[attr-defined]
                with np.errstate(all="ignore"):
                    values[node] = function(*(values[c] for c in node.children))
        return values[root]
