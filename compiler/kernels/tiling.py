"""Tiling: which axis of a nest runs over lanes, what is unrolled into a register tile, and in what order loops stand.

In: `Nest`, and how wide and how many the target's vector registers are.  Out: `Plan` (contraction.py), the one that the cost
model (cost.py) finds fastest.

    dense [512, 128] over 784, 32 registers of 16 floats   →   lanes along 128, tile 14 × 32
    a gradient summed over the batch                       →   lanes along the batch, tile 5 × 5, lanes added up behind
"""

from __future__ import annotations

import bisect
import dataclasses
import heapq
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ..mathematics.affine import linear
from ..mathematics.expression import Axis
from .candidates import (
    Registers,
    Tile,
    all_tile_orders,
    first_tiles,
    lane_axes,
    reduction_orders,
    tile_orders,
)
from .cost import CostModel, LaneCost
from .division import is_worth_dividing
from .lower_bound import bounded_tiles, least_cycles
from .memory import SIZES
from .nest import Nest, accesses, buffer_of
from .packed_plans import in_packed_order
from .panels import in_panels
from .plan import Plan, body

#: Lane axes of which all tiles are tried: those that are best with a small tile.
_LANE_AXES = 3
#: Of so many plans that are at most so much slower than the best, other orders of the loops over tiles are tried.
_ORDERED = 6
_NEAR = 1.1
#: In nests of more cycles than this, what the loops touch (footprints.py) decides between so many of the best plans, and on the
#: order of their loops; and so many of those with the lowest bounds.
_LARGE = 30_000.0
_WALKED = 4
_BOUNDED = 3
#: In nests of more cycles than this, orders of the reduction's loops are tried for blocks and copies: all of so many.
_HUGE = 1_000_000.0
_PERMUTED = 3
#: A sum is done in blocks if that takes less than so much of the time.
_WORTH_BLOCKS = 0.93
#: Nests of fewer cycles get simple tiles.
_SIMPLE = 3_000.0
#: Nests of fewer cycles are for one thread, whatever is said of their index points (division.py).
_ALONE = 6_600.0
#: Of so few first plans no lower bounds are found.
_FEW = 3

#: Cycles of the best of the first tiles along a lane axis, a number, that tile, and the costs.
_Way = tuple[float, int, Tile, LaneCost]
#: Costs, tiles, and their lower bounds.
_Group = tuple[LaneCost, Sequence[Tile], np.ndarray]

__all__ = ["Choice", "Registers", "choose"]


class Choice(NamedTuple):
    """A plan, about how many cycles it takes, and how many a machine would take that never waits for anything."""

    plan: Plan
    cycles: float
    ideal: float


def choose(nest: Nest, registers: Registers, through: int | None = None, *, roughly: bool = False) -> Choice:
    """The best plan of a nest; of those whose lanes walk through a given buffer without gaps, if there are such.

    `roughly`: with lanes along one axis only, and without a look at what blocks of the sum and other orders of loops would
    gain; to compare nests of which one will be chosen.
    """
    model = CostModel(nest, masks=registers.masks)
    lanes_along = list(lane_axes(nest, registers))
    if through is not None:
        offsets = [linear(n.children[0]) for n in accesses(*nest.expressions) if buffer_of(n) == through]
        walked = {a for f in offsets for a, step in f.coefficients.items() if step == 1}
        lanes_along = [(a, lanes) for a, lanes in lanes_along if a in walked] or lanes_along
    one = roughly or not nest.kind or nest.kind == "scatter"
    ways = best_ways(nest, registers, model, lanes_along, 1 if one else _LANE_AXES)
    least, _, best, chosen = ways[0]
    groups: list[_Group] = []
    near = [(least, best, chosen)]  # the plans that some order of the loops over tiles may make the best
    if nest.kind and nest.kind != "scatter":
        simple = least <= _SIMPLE
        groups = [
            (cost, *bounded_tiles(cost, registers, pairs=not simple))
            for _, _, _, cost in ways[: 1 if simple or roughly else _LANE_AXES]
        ]
        near += _cheapest(groups, least, 1 if simple or roughly else _ORDERED)
        least, best, chosen = _first(near)
    order: Sequence[int] = range(len(nest.axes))
    if least > _SIMPLE:
        for cycles, tile, cost in sorted((n for n in near if n[0] < least * _NEAR), key=lambda n: n[0])[
            :_ORDERED
        ]:
            for other in tile_orders(nest, tile, cost.lane):
                cycles = cost.cycles(tile, other, limit=least)
                if cycles < least * 0.99:
                    least, best, chosen, order = cycles, tile, cost, other
    panelled = None
    if least > _LARGE and not roughly:
        fewest, best, chosen, order = _walk(nest, near, groups, (least, best, chosen), order)
        costs = [cost for _, _, _, cost in ways[:_LANE_AXES]]
        if least > _HUGE:
            costs += _other_orders(costs)
        if nest.kind and nest.kind != "scatter":
            panelled = in_panels(nest, registers, costs, fewest * _WORTH_BLOCKS)
    packed = None
    if least > _LARGE and not roughly and nest.kind == "sum":
        limit = (fewest if panelled is None else panelled.cycles) * model.processor.packing
        packed = in_packed_order(nest, registers, costs, limit)
    if packed is not None:
        _, best, chosen, order, _, _ = packed
        least = min(least, packed.cycles)
    elif panelled is not None:
        _, best, chosen, order, _, _ = panelled
        least = min(least, panelled.cycles)
    axes, tile = tuple(nest.axes[n] for n in order), tuple(best[n] for n in order)
    parallel = _parallel(axes, tile) if least > _ALONE and _may_be_divided(nest) else 0
    plan = Plan(axes, parallel, tile, chosen.reduced, chosen.lane, chosen.lanes)
    if packed is not None:
        plan = dataclasses.replace(plan, parallel=len(axes), packed=packed.packed, split=packed.split)
    elif panelled is not None:
        # All loops over tiles are one range: a panel holds so many tiles, and no more than its memory is for.
        plan = dataclasses.replace(plan, parallel=len(axes), depth=panelled.depth, places=panelled.tiles)
    plan = _written_out(nest, plan)
    return Choice(plan, least, model.ideal(registers.lanes(nest)))


def best_ways(
    nest: Nest,
    registers: Registers,
    model: CostModel,
    lanes_along: Sequence[tuple[Axis | None, int]],
    count: int,
) -> list[_Way]:
    """The `count` best axes for lanes, with orders of the reduction's loops, by the best of their first tiles; of small nests the
    best alone. Those whose lower bounds are too high are not looked at."""
    ways: list[_Way] = []

    def worst() -> float:
        """What a way must not take more than."""
        if ways and ways[0][0] <= _SIMPLE:
            return ways[0][0]
        return ways[-1][0] if len(ways) >= count else math.inf

    for several in (True, False):  # vectors, then numbers one by one
        trials: list[tuple[float, int, LaneCost, list[Tile], np.ndarray]] = []
        for place, (lane, lanes) in enumerate(lanes_along):
            if (lanes > 1) != several or model.ideal(lanes) * 0.99 > worst():
                continue
            first = list(first_tiles(nest, lane, lanes, registers))
            for order, reduced in enumerate(reduction_orders(nest, lane, registers)):
                cost = model.along(lane, lanes, reduced)
                bounds = least_cycles(cost, first) if len(first) > _FEW else np.zeros(len(first))
                trials.append((float(bounds.min()), 2 * place + order, cost, first, bounds))
        for least, number, cost, first, bounds in sorted(trials, key=lambda trial: trial[:2]):
            if least > worst():
                break
            if near := _cheapest([(cost, first, bounds)], worst()):
                cycles, best, _ = _first(near)
                bisect.insort(ways, (cycles, number, best, cost), key=lambda way: way[:2])
                del ways[count:]
    return ways


def _cheapest(
    groups: Sequence[_Group], known: float = math.inf, count: int = 1
) -> list[tuple[float, Tile, LaneCost]]:
    """Of so many plans, in their order, those that may be among the `count` best, of cycles near those of the best or of one that
    is `known`. Plans are looked at in the order of their lower bounds, until these are too high."""
    trials = [(cost, tile) for cost, group, _ in groups for tile in group]
    bounds = np.concatenate([lower for _, _, lower in groups])
    found: list[tuple[int, float]] = []
    least: list[float] = [known]  # in order
    for n in np.argsort(bounds, kind="stable").tolist():
        limit = min(least[0] * _NEAR, math.inf if len(least) < count else least[count - 1])
        if bounds[n] > limit:
            break
        cost, tile = trials[n]
        cycles = cost.cycles(tile, limit=limit)
        if cycles <= limit and cycles < math.inf:
            found.append((n, cycles))
            bisect.insort(least, cycles)
    return [(cycles, trials[n][1], trials[n][0]) for n, cycles in sorted(found)]


def _first(plans: Sequence[tuple[float, Tile, LaneCost]]) -> tuple[float, Tile, LaneCost]:
    """The plan of fewest cycles; ties go to the first, the smaller tile."""
    least = plans[0]
    for plan in plans:
        if plan[0] < least[0] * 0.999:
            least = plan
    return least


def _walk(
    nest: Nest,
    near: Sequence[tuple[float, Tile, LaneCost]],
    groups: Sequence[_Group],
    least: tuple[float, Tile, LaneCost],
    order: Sequence[int],
) -> tuple[float, Tile, LaneCost, Sequence[int]]:
    """Of some of the best tiles, the one whose loops touch least in the best order: cycles, the tile, its cost, and the order.

    The best are those by cycles, and those that would be best if all data were near.
    """
    _, best, chosen = least
    fewest = chosen.cycles(best, order, walked=True)
    limit = least[0] * _NEAR
    tried = sorted((n for n in near if n[0] < limit), key=lambda n: n[0])[:_WALKED]
    tried += heapq.nsmallest(_BOUNDED, _with_bounds(groups), key=lambda n: n[0])
    for tile, cost in dict.fromkeys((tile, cost) for _, tile, cost in tried):
        for way in _reduction_orders(nest, cost):
            for other in all_tile_orders(nest, tile):
                cycles = way.cycles(tile, other, limit=fewest, walked=True)
                if cycles < fewest * 0.99:
                    fewest, best, chosen, order = cycles, tile, way, other
    return fewest, best, chosen, order


def _with_bounds(groups: Sequence[_Group]) -> Iterator[tuple[float, Tile, LaneCost]]:
    """The tiles with lanes along results, and their lower bounds."""
    for cost, tiles, bounds in groups:
        if cost.in_results:
            yield from ((bound, tile, cost) for tile, bound in zip(tiles, bounds.tolist(), strict=True))


def _reduction_orders(nest: Nest, cost: LaneCost) -> Iterator[LaneCost]:
    """The cost with the reduction's loops in the order that it has, and with each of the others innermost."""
    yield cost
    if cost.in_results:
        for axis in cost.reduced[:-1]:
            others = tuple(a for a in cost.reduced if a != axis)
            yield cost.model.along(cost.lane, cost.lanes, (*others, axis))


def _other_orders(costs: Sequence[LaneCost]) -> list[LaneCost]:
    """The first of these costs whose lanes run along results, with the reduction's loops in each other order; of more than a few,
    with each innermost."""
    for cost in costs:
        if cost.in_results:
            axes = cost.reduced
            orders: Iterator[tuple[Axis, ...]] = itertools.permutations(axes)
            if len(axes) > _PERMUTED:
                orders = ((*axes[:n], *axes[n + 1 :], axes[n]) for n in range(len(axes)))
            return [cost.model.along(cost.lane, cost.lanes, o) for o in orders if o != axes]
    return []


def _written_out(nest: Nest, plan: Plan) -> Plan:
    """The plan with what stands in the body of the reduction's innermost loop."""
    if nest.kind in ("", "scatter"):
        return plan
    places = math.prod(
        n // plan.lanes if a == plan.lane else n for a, n in zip(plan.order, plan.tile, strict=True)
    )
    varying = [a for a, n in zip(plan.order, plan.tile, strict=True) if n > 1]
    inside = body(nest, plan.reduced, plan.lane, plan.lanes, places, varying, copied=bool(plan.packed))
    return dataclasses.replace(plan, unrolled=inside.unrolled, stride=inside.stride, ways=inside.ways)


def _may_be_divided(nest: Nest) -> bool:
    """Whether threads may share the nest: a call of it never has more index points and bytes than these."""
    size = sum(b.elements * SIZES[b.data_type] for b in nest.buffers)
    return is_worth_dividing(math.prod(a.size for a in nest.axes + nest.reduced), 2 * size)


def _parallel(order: tuple[Axis, ...], tile: Sequence[int], enough: int = 64) -> int:
    """How many of the outer axes make a range that threads can divide evenly."""
    extent, count = 1, 0
    for axis, size in zip(order, tile, strict=True):
        if extent >= enough:
            break
        extent *= math.ceil(axis.size / size)
        count += 1
    return count
