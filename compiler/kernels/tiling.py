"""Tiling: which axis of a nest runs over lanes, what is unrolled into a register tile, and in what order loops stand.

In: `Nest`, and how wide and how many the target's vector registers are.  Out: `Plan` (contraction.py), the one that the cost
model (cost.py) finds fastest.

    dense [512, 128] over 784, 32 registers of 16 floats   →   lanes along 128, tile 14 × 32
    a gradient summed over the batch                       →   lanes along the batch, tile 5 × 5, lanes added up behind
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..mathematics.affine import linear
from ..mathematics.expression import Axis
from ..mathematics.walks import axes_in
from .cost import CostModel, LaneCost
from .nest import VALID, Nest, accesses, buffer_of
from .plan import Plan, body

#: Sizes that are tried along an axis of a tile, and where two or three axes are tried together.
_SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 13, 14, 16, 20, 24, 28)
_PAIR_SIZES = (2, 3, 4, 5, 6, 7)
_VECTORS = (1, 2, 3, 4, 6, 8)

#: Lane axes of which all tiles are tried: those that are best with a small tile.
_LANE_AXES = 3
#: Of so many plans that are at most so much slower than the best, other orders of the loops over tiles are tried.
_ORDERED = 6
_NEAR = 1.1
#: In nests of more cycles than this, what the loops touch (footprints.py) decides between so many of the best plans, and on the
#: order of their loops: up to so many of them are tried in every order.
_LARGE = 30_000.0
_WALKED = 4
_PERMUTED = 4
#: Nests of fewer cycles get simple tiles.
_SIMPLE = 3_000.0

Tile = tuple[int, ...]


@dataclass(frozen=True)
class Registers:
    """The vector registers: bits of each, and how many; whether lanes can be masked at no cost."""

    bits: int = 512
    count: int = 32

    @property
    def masks(self) -> bool:
        return self.bits >= 512

    def lanes(self, nest: Nest) -> int:
        return max(1, self.bits // (64 if nest.real == "float64" else 32))


class Choice(NamedTuple):
    """A plan, about how many cycles it takes, and how many a machine would take that never waits for anything."""

    plan: Plan
    cycles: float
    ideal: float


def choose(nest: Nest, registers: Registers, through: int | None = None) -> Choice:
    """The best plan of a nest; of those whose lanes walk through a given buffer without gaps, if there are such."""
    model = CostModel(nest, masks=registers.masks)
    ways: list[tuple[float, int, tuple[int, ...], LaneCost]] = []
    lane_axes = list(_lane_axes(nest, registers))
    if through is not None:
        offsets = [linear(n.children[0]) for n in accesses(*nest.expressions) if buffer_of(n) == through]
        walked = {a for f in offsets for a, step in f.coefficients.items() if step == 1}
        lane_axes = [(a, lanes) for a, lanes in lane_axes if a in walked] or lane_axes
    for lane, lanes in lane_axes:
        cost = model.along(lane, lanes, _reduction_order(nest, lane))
        least: float = math.inf
        best: tuple[int, ...] = ()
        for tile in _first_tiles(nest, lane, lanes, registers):
            cycles = cost.cycles(tile, limit=least)
            if cycles < least * 0.999:  # ties go to the first, the smaller tile
                least, best = cycles, tile
        ways.append((least, len(ways), best, cost))
    ways.sort(key=lambda way: way[:2])
    least, _, best, chosen = ways[0]
    near = [(least, best, chosen)]  # the plans that some order of the loops over tiles may make the best
    if nest.kind and nest.kind != "scatter":
        for _, _, _, cost in ways[: _LANE_AXES if least > _SIMPLE else 1]:
            for tile in _tiles(nest, cost.lane, cost.lanes, registers, pairs=least > _SIMPLE):
                cycles = cost.cycles(tile, limit=least * _NEAR)
                if cycles < least * _NEAR:
                    near.append((cycles, tile, cost))
                if cycles < least * 0.999:
                    least, best, chosen = cycles, tile, cost
    order: Sequence[int] = range(len(nest.axes))
    if least > _SIMPLE:
        for cycles, tile, cost in sorted((n for n in near if n[0] < least * _NEAR), key=lambda n: n[0])[
            :_ORDERED
        ]:
            for other in _orders(nest, tile, cost.lane):
                cycles = cost.cycles(tile, other, limit=least)
                if cycles < least * 0.99:
                    least, best, chosen, order = cycles, tile, cost, other
    if least > _LARGE:
        best, chosen, order = _walk(nest, near, (least, best, chosen), order)
    axes, tile = tuple(nest.axes[n] for n in order), tuple(best[n] for n in order)
    plan = Plan(axes, _parallel(axes, tile), tile, chosen.reduced, chosen.lane, chosen.lanes)
    return Choice(_written_out(nest, plan), least, model.ideal(registers.lanes(nest)))


def _walk(
    nest: Nest,
    near: Sequence[tuple[float, Tile, LaneCost]],
    least: tuple[float, Tile, LaneCost],
    order: Sequence[int],
) -> tuple[Tile, LaneCost, Sequence[int]]:
    """Of some of the best tiles, the one whose loops touch least in the best order: the tile, its cost, and the order."""
    _, best, chosen = least
    fewest = chosen.cycles(best, order, walked=True)
    limit = least[0] * _NEAR
    for _, tile, cost in sorted((n for n in near if n[0] < limit), key=lambda n: n[0])[:_WALKED]:
        for way in _reduction_orders(nest, cost):
            for other in _walks(nest, tile):
                cycles = way.cycles(tile, other, limit=fewest, walked=True)
                if cycles < fewest * 0.99:
                    fewest, best, chosen, order = cycles, tile, way, other
    return best, chosen, order


def _reduction_orders(nest: Nest, cost: LaneCost) -> Iterator[LaneCost]:
    """The cost with the reduction's loops in the order that it has, and with each of the others innermost."""
    yield cost
    if cost.in_results:
        for axis in cost.reduced[:-1]:
            others = tuple(a for a in cost.reduced if a != axis)
            yield cost.model.along(cost.lane, cost.lanes, (*others, axis))


def _walks(nest: Nest, tile: Tile) -> Iterator[Sequence[int]]:
    """Orders of the loops over tiles: all of them for a few loops, otherwise each loop innermost, or outermost."""
    several = [n for n, (axis, size) in enumerate(zip(nest.axes, tile, strict=True)) if size < axis.size]
    single = [n for n in range(len(tile)) if n not in several]
    if len(several) <= _PERMUTED:
        yield from ([*single, *order] for order in itertools.permutations(several))
        return
    for n in several:
        others = [m for m in several if m != n]
        yield [*single, *others, n]
        yield [*single, n, *others]


def _lane_axes(nest: Nest, registers: Registers) -> Iterator[tuple[Axis | None, int]]:
    """The axes that may run over lanes, with the number of lanes."""
    most = registers.lanes(nest)
    yield None, 1
    for axis in nest.axes:
        lanes = _lanes_of_results(nest, axis, registers)
        if lanes > 1:
            yield axis, lanes
    if nest.kind and not nest.kind.startswith("arg") and nest.kind != "scatter":
        for axis in nest.reduced:
            lanes = min(most, 1 << max(axis.size - 1, 1).bit_length())
            if lanes > 1 and (axis.size % lanes == 0 or axis.size > lanes // 2):
                yield axis, lanes


def _lanes_of_results(nest: Nest, axis: Axis, registers: Registers) -> int:
    """Lanes along an axis of the results: as many as it has elements, rounded up where the rest can be masked.

    Otherwise a power of two that fits its extent, and divides it where it must.
    """
    most = registers.lanes(nest)
    if nest.whole:
        return most
    if registers.masks:
        return min(most, 1 << (axis.size - 1).bit_length())
    lanes = min(most, 1 << (axis.size.bit_length() - 1))
    if not nest.idempotent:
        lanes = min(lanes, axis.size & -axis.size)
    return lanes


def _vectors(nest: Nest, lane: Axis | None, lanes: int) -> list[int]:
    """Numbers of vectors that may be computed together along the lane axis."""
    if lane is None or lane not in nest.axes:
        return [1]
    if nest.whole:  # the padding is for one vector
        return [v for v in (1, 2, 4) if -(-lane.size // lanes) % v == 0]
    return [v for v in _VECTORS if v == 1 or _fits(nest, lane, v * lanes)]


def _fits(nest: Nest, axis: Axis, size: int) -> bool:
    """True where a tile may have this size: it fits, and divides the axis where results must not be computed twice."""
    return size <= axis.size and (nest.idempotent or axis.size % size == 0)


def _first_tiles(nest: Nest, lane: Axis | None, lanes: int, registers: Registers) -> Iterator[Tile]:
    """A few vectors; for a reduction also four places of another axis, to see how well a lane axis does."""
    ones = [1] * len(nest.axes)
    for v in _vectors(nest, lane, lanes):
        if v > 4:
            break
        if lane in nest.axes:
            ones[nest.axes.index(lane)] = v * lanes
        yield tuple(ones)
        if nest.kind and nest.kind != "scatter" and 5 * v < registers.count:
            for n, axis in enumerate(nest.axes):
                if axis != lane and _fits(nest, axis, 4):
                    yield (*ones[:n], 4, *ones[n + 1 :])


def _tiles(nest: Nest, lane: Axis | None, lanes: int, registers: Registers, *, pairs: bool) -> Iterator[Tile]:
    """Tiles for one lane axis: vectors along it and one other axis, or one vector and up to three other axes."""
    axes = nest.axes
    others = [n for n, a in enumerate(axes) if a != lane]
    for v in _vectors(nest, lane, lanes):
        ones = [v * lanes if a == lane else 1 for a in axes]
        if not others:
            yield tuple(ones)
        for n in others:
            for size in _SIZES:
                if size * v + v + 1 > registers.count:
                    break
                if _fits(nest, axes[n], size):
                    yield (*ones[:n], size, *ones[n + 1 :])
    if not pairs:
        return
    along = ((axes.index(lane), lanes),) if lane in axes else ()  # type: ignore[arg-type]
    most = registers.count - 3
    for at, first in enumerate(others):
        for then, second in enumerate(others[at + 1 :], at + 1):
            for one in _PAIR_SIZES:
                if not _fits(nest, axes[first], one):
                    continue
                for other in _PAIR_SIZES:
                    if one * other + min(one, other) > most or not _fits(nest, axes[second], other):
                        continue
                    yield _with(axes, *along, (first, one), (second, other))
                    if axes[first].size != one and axes[second].size != other:
                        continue
                    for third in others[then + 1 :]:
                        for another in _PAIR_SIZES:
                            if one * other * another <= most and _fits(nest, axes[third], another):
                                yield _with(axes, *along, (first, one), (second, other), (third, another))


def _orders(nest: Nest, tile: Tile, lane: Axis | None) -> Iterator[Sequence[int]]:
    """Orders of the loops over tiles in which an axis that is tiled is innermost, but for the lane axis."""
    last = [n for n, a in enumerate(nest.axes) if a == lane]
    for n, size in enumerate(tile):
        if size > 1 and n not in last:
            yield [*(m for m in range(len(tile)) if m != n and m not in last), n, *last]
    if last and len(tile) > 1:
        yield [*last, *(m for m in range(len(tile)) if m not in last)]


def _with(axes: Sequence[Axis], *sizes: tuple[int, int]) -> Tile:
    known = dict(sizes)
    return tuple(known.get(n, 1) for n in range(len(axes)))


def _reduction_order(nest: Nest, lane: Axis | None) -> tuple[Axis, ...]:
    """The reduction's loops, outermost first.

    Lanes over other axes than the batch go innermost, where memory is walked without gaps. Lanes over the batch stand around
    the innermost loop, so that the mask of its last vector is not found at every step.
    """
    if lane is None or lane not in nest.reduced:
        return nest.reduced
    others = tuple(a for a in nest.reduced if a != lane)
    bounded = any(lane in axes_in(c) and VALID in c.children for c in nest.where)
    return (*others[:-1], lane, *others[-1:]) if bounded else (*others, lane)


def _written_out(nest: Nest, plan: Plan) -> Plan:
    """The plan with what stands in the body of the reduction's innermost loop."""
    if nest.kind in ("", "scatter"):
        return plan
    places = math.prod(
        n // plan.lanes if a == plan.lane else n for a, n in zip(plan.order, plan.tile, strict=True)
    )
    varying = [a for a, n in zip(plan.order, plan.tile, strict=True) if n > 1]
    inside = body(nest, plan.reduced, plan.lane, plan.lanes, places, varying)
    return dataclasses.replace(plan, unrolled=inside.unrolled, stride=inside.stride, ways=inside.ways)


def _parallel(order: tuple[Axis, ...], tile: Sequence[int], enough: int = 64) -> int:
    """How many of the outer axes make a range that threads can divide evenly."""
    extent, count = 1, 0
    for axis, size in zip(order, tile, strict=True):
        if extent >= enough:
            break
        extent *= math.ceil(axis.size / size)
        count += 1
    return count
