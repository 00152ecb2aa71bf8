"""Lower bounds: cycles that many plans take at least, found for all of them at once.

In: the costs of one lane axis (cost.py), and tiles.  Out: for each tile what `LaneCost.cycles` is not less than.

    bounds = least_cycles(cost, [(1, 8), (4, 8), (6, 16)])

What is issued is counted as cost.py counts it; that data must come, and that masks are found anew, is left out. A plan whose
bound lies above the cost of another need not be looked at; nor need a nest be built whose bound (`Least`) is too high.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..mathematics.expression import Axis
from .candidates import Registers, Tile, first_tiles, lane_axes, reduction_orders, tiles
from .cost import CostModel, LaneCost, gathered
from .nest import Nest
from .plan import CHAINS
from .processor import LATENCY, LOADS_PER_CYCLE, OPERATIONS_PER_CYCLE, Processor

_Many = np.ndarray | float

#: Sums of numbers in another order differ by less than this.
_ROUNDING = 1 - 1e-9


def least_cycles(cost: LaneCost, tiles: Sequence[tuple[int, ...]]) -> np.ndarray:
    """Of each tile (elements along each axis of the results) cycles that the nest takes at least."""
    return _Bounds(cost, tiles).cycles(cost.term_loads)


class _Bounds:
    """The lower bounds of some tiles, for different costs of the loads of the reduction."""

    def __init__(self, cost: LaneCost, tiles: Sequence[tuple[int, ...]]) -> None:
        model, nest = cost.model, cost.model.nest
        sizes = np.array(tiles, dtype=np.float64).reshape(len(tiles), len(nest.axes)).T
        self.processor, self.summed = model.processor, bool(nest.kind)
        blocks = np.full(len(tiles), _ROUNDING)
        counts: list[np.ndarray] = []
        for n, axis in enumerate(nest.axes):
            blocks *= np.ceil(axis.size / sizes[n])
            counts.append(sizes[n] / cost.lanes if n == cost.lane_number else sizes[n])
        self.blocks, self.counts = blocks, counts
        #: Places of a tile along some axes, by the axes' bits.
        self.places: dict[int, _Many] = {}
        together = math.prod(counts, start=np.ones(len(tiles)))
        loads, operations = self._total(cost.behind_loads), self._total(model.behind.operations)
        self.rest = _issued(self.processor, loads + together * cost.stored, operations) + 4
        if nest.kind:
            self.runs, entries, masks = _loops(cost, counts)
            operations = self._total(model.term.operations) + together * (model.products + 0.5 * masks)
            self.operations = operations + self.processor.counting
            chains = 1 if nest.kind.startswith("arg") else np.maximum(CHAINS // together, 1)
            self.waiting = LATENCY * model.products / chains
            self.rest = self.rest + entries * 5
            if cost.lane is not None and not cost.in_results:
                self.rest = self.rest + together * 5

    def cycles(self, term_loads: Sequence[tuple[int, float]]) -> np.ndarray:
        """Cycles at least, if this is what the loads of the reduction cost."""
        if not self.summed:
            return self.blocks * self.rest
        step = _issued(self.processor, self._total(term_loads), self.operations)
        return self.blocks * (self.runs * np.maximum(step, self.waiting) + self.rest)

    def _total(self, costs: Sequence[tuple[int, float]]) -> _Many:
        """Σ cost · places of the tile at which it is due."""
        total: _Many = 0.0
        for axes, cost in costs:
            places = self.places.get(axes)
            if places is None:
                several = [count for n, count in enumerate(self.counts) if axes >> n & 1]
                places = self.places[axes] = math.prod(several, start=1.0)
            total = total + cost * places
        return total


def bounded_tiles(
    cost: LaneCost, registers: Registers, *, pairs: bool = True
) -> tuple[list[Tile], np.ndarray]:
    """The tiles that may be tried along a lane axis, and their lower bounds; found once for a cost."""
    found = cost.bounded.get(pairs)
    if found is None:
        several = list(tiles(cost.model.nest, cost.lane, cost.lanes, registers, pairs=pairs))
        found = cost.bounded[pairs] = several, least_cycles(cost, several)
    return found


class Least:
    """Lower bounds of one nest, and of others that differ from it in the order of one array."""

    def __init__(self, nest: Nest, registers: Registers) -> None:
        self.nest, self.registers = nest, registers
        self._model: CostModel | None = None
        self._bounds: dict[Axis | None, list[tuple[LaneCost, _Bounds]]] = {}

    def cycles(self, near: int | None = None, along: str = "", innermost: tuple[str, int] = ("", 0)) -> float:
        """Of the nest; if each load of the buffer `near` cost no more than one of a vector, and lanes ran `along` an axis (by its
        name, where the nest has it). `innermost`: the name and the size of the axis that the buffer would be contiguous along,
        where it is known: lanes along other axes gather from it."""
        lanes = [lane for lane, _ in lane_axes(self.nest, self.registers)]
        lanes = [lane for lane in lanes if lane and lane.name == along] or lanes
        found = math.inf
        for lane in lanes:
            gathers = innermost[0] and lane is not None and lane.name != innermost[0]
            for cost, bounds in self._along(lane):
                accesses = zip(cost.term_loads, cost.model.term.accesses, strict=True)
                each = gathered(cost, innermost[1]) if gathers else 1.0
                loads = [
                    (n, (each if a.axes & cost.lane_bit else 1.0) if c and a.buffer == near else c)
                    for (n, c), a in accesses
                ]
                found = min(found, float(bounds.cycles(loads).min()))
        return found

    def _along(self, lane: Axis | None) -> list[tuple[LaneCost, _Bounds]]:
        known = self._bounds.get(lane)
        if known is None:
            if self._model is None:
                self._model = CostModel(self.nest, masks=self.registers.masks)
            lanes = dict(lane_axes(self.nest, self.registers))[lane]
            several = list(first_tiles(self.nest, lane, lanes, self.registers))
            if self.nest.kind and self.nest.kind != "scatter":
                several += tiles(self.nest, lane, lanes, self.registers, pairs=True)
            orders = reduction_orders(self.nest, lane, self.registers)
            costs = [self._model.along(lane, lanes, order) for order in orders]
            known = self._bounds[lane] = [(cost, _Bounds(cost, several)) for cost in costs]
        return known


def _loops(cost: LaneCost, counts: Sequence[np.ndarray]) -> tuple[_Many, _Many, _Many]:
    """Of each tile: how often the body of the reduction's innermost loop runs, how often that loop is entered, and the number of
    conditions that remain masks."""
    always = cost.lane_bit if cost.in_results else 0
    conditional = cost.model.conditional & ~always
    deciding = [n for n in range(len(counts)) if conditional >> n & 1]
    if not deciding:
        runs, masks = cost.average(always)
        return math.prod(runs), math.prod(runs[:-1]), len(masks)
    varying = np.full(counts[0].shape, always)
    for n in deciding:
        varying |= (counts[n] > 1).astype(np.int64) << n
    kinds, which = np.unique(varying, return_inverse=True)
    found = np.empty((3, len(kinds)))
    for k, kind in enumerate(kinds):
        runs, masks = cost.average(int(kind))
        found[:, k] = math.prod(runs), math.prod(runs[:-1]), len(masks)
    return tuple(found[:, which.ravel()])  # type: ignore[return-value]


def _issued(processor: Processor, loads: _Many, operations: _Many) -> _Many:
    """`Processor.issued` of many."""
    least = np.maximum(loads / LOADS_PER_CYCLE, operations / OPERATIONS_PER_CYCLE)
    least = np.maximum(least, (loads + operations) / processor.issue)
    return least + processor.friction * np.minimum(loads, operations)
