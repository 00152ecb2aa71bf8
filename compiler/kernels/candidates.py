"""Candidates: the plans of a nest that may be worth anything. Which of them is best, tiling.py finds.

In: `Nest`, and how wide and how many the target's vector registers are.  Out: axes that may run over lanes, tiles, and orders of
loops.

    dense [512, 128] over 784, 16 lanes   →   lanes along 512, 128 or 784; tiles 1 × 16, 4 × 16, … in either order of loops
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from ..mathematics.expression import Axis
from ..mathematics.walks import axes_in
from ..record import record
from .nest import VALID, Nest

#: Sizes that are tried along an axis of a tile, and where two or three axes are tried together.
_SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 13, 14, 16, 20, 24, 28)
_PAIR_SIZES = (2, 3, 4, 5, 6, 7)
_VECTORS = (1, 2, 3, 4, 6, 8)
#: So many vectors along an axis are one tile, where results must not be computed twice.
_ACROSS = 4
#: Up to so many loops over tiles are tried in every order.
_PERMUTED = 4

Tile = tuple[int, ...]


@record
class Registers:
    """The vector registers: bits of each, and how many; whether lanes can be masked at no cost."""

    bits: int = 512
    count: int = 32

    @property
    def masks(self) -> bool:
        return self.bits >= 512

    def lanes(self, nest: Nest) -> int:
        return max(1, self.bits // (64 if nest.real == "float64" else 32))


def lane_axes(nest: Nest, registers: Registers) -> Iterator[tuple[Axis | None, int]]:
    """The axes that may run over lanes, with the number of lanes."""
    most = registers.lanes(nest)
    yield None, 1
    for axis in nest.axes:
        lanes = _lanes_of_results(nest, axis, registers) if axis != nest.several else 1
        if lanes > 1:
            yield axis, lanes
    if nest.kind and not nest.kind.startswith("arg") and nest.kind != "scatter":
        for axis in nest.reduced:
            lanes = min(most, 1 << max(axis.size - 1, 1).bit_length())
            if lanes > 1 and (axis.size % lanes == 0 or axis.size > lanes // 2):
                yield axis, lanes


def _lanes_of_results(nest: Nest, axis: Axis, registers: Registers) -> int:
    """Lanes along an axis of the results: as many as it has elements, rounded up where the rest can be masked or is known.

    Otherwise a power of two that fits its extent, and divides it where results must not be computed twice, or all vectors along
    the axis are one tile.
    """
    most = registers.lanes(nest)
    if nest.whole:
        return most
    if registers.masks or axis.size < most:
        return min(most, 1 << (axis.size - 1).bit_length())
    lanes = min(most, 1 << (axis.size.bit_length() - 1))
    if not nest.may_overlap and (nest.kind == "scatter" or axis.size > _ACROSS * lanes):
        lanes = min(lanes, axis.size & -axis.size)
    return lanes


def _vectors(nest: Nest, lane: Axis | None, lanes: int, registers: Registers) -> list[int]:
    """Numbers of vectors that may be computed together along the lane axis."""
    if lane is None or lane not in nest.axes:
        return [1]
    if nest.whole:  # the padding is for one vector
        return [v for v in (1, 2, 4) if -(-lane.size // lanes) % v == 0]
    across = -(
        -lane.size // lanes
    )  # vectors that overlap, if they must: a tile is loaded before it is stored
    whole = nest.kind != "scatter" and lanes <= lane.size
    one = registers.masks or nest.may_overlap or lane.size < lanes
    return [
        v for v in _VECTORS if (v == 1 and one) or _fits(nest, lane, v * lanes) or (v == across and whole)
    ]


def _fits(nest: Nest, axis: Axis, size: int) -> bool:
    """True where a tile may have this size: it fits, and divides the axis where results must not be computed twice."""
    if axis == nest.several:
        return size == axis.size
    return size <= axis.size and (nest.may_overlap or axis.size % size == 0)


def first_tiles(nest: Nest, lane: Axis | None, lanes: int, registers: Registers) -> Iterator[Tile]:
    """A few vectors; for a reduction also four places of another axis, to see how well a lane axis does."""
    ones = _smallest(nest)
    for v in _vectors(nest, lane, lanes, registers):
        if v > _ACROSS or (v > 1 and v * _sums(nest) + v >= registers.count):
            break
        if lane in nest.axes:
            ones[nest.axes.index(lane)] = v * lanes
        yield tuple(ones)
        if nest.kind and nest.kind != "scatter" and 5 * v < registers.count and nest.several is None:
            for n, axis in enumerate(nest.axes):
                if axis != lane and _fits(nest, axis, 4):
                    yield (*ones[:n], 4, *ones[n + 1 :])


def tiles(nest: Nest, lane: Axis | None, lanes: int, registers: Registers, *, pairs: bool) -> Iterator[Tile]:
    """Tiles for one lane axis: vectors along it and one other axis, or one vector and up to three other axes."""
    axes = nest.axes
    others = [n for n, a in enumerate(axes) if a not in (lane, nest.several)]
    sums = _sums(nest)
    fitting = {n: [size for size in _SIZES if _fits(nest, axes[n], size)] for n in others}
    for v in _vectors(nest, lane, lanes, registers):
        ones = [v * lanes if a == lane else one for a, one in zip(axes, _smallest(nest), strict=True)]
        if not others:
            yield tuple(ones)
        for n in others:
            for size in fitting[n]:
                if size * v * sums + min(size * sums, v) + 1 > registers.count:
                    break
                yield (*ones[:n], size, *ones[n + 1 :])
    if not pairs or nest.several is not None:
        return
    tile = [lanes if a == lane else 1 for a in axes]
    paired = {n: [size for size in fitting[n] if size in _PAIR_SIZES] for n in others}
    most = registers.count - 3
    for at, first in enumerate(others):
        for then, second in enumerate(others[at + 1 :], at + 1):
            for one, other in itertools.product(paired[first], paired[second]):
                if one * other + min(one, other) > most:
                    continue
                tile[first], tile[second] = one, other
                yield tuple(tile)
                if axes[first].size != one and axes[second].size != other:
                    continue
                for third in others[then + 1 :]:
                    for another in paired[third]:
                        if one * other * another <= most:
                            tile[third] = another
                            yield tuple(tile)
                    tile[third] = 1
            tile[second] = 1
        tile[first] = 1


def _sums(nest: Nest) -> int:
    return nest.several.size if nest.several is not None else 1


def _smallest(nest: Nest) -> list[int]:
    return [axis.size if axis == nest.several else 1 for axis in nest.axes]


def tile_orders(nest: Nest, tile: Tile, lane: Axis | None) -> Iterator[Sequence[int]]:
    """Orders of the loops over tiles in which an axis that is tiled is innermost, but for the lane axis."""
    last = [n for n, a in enumerate(nest.axes) if a == lane]
    for n, size in enumerate(tile):
        if size > 1 and n not in last and nest.axes[n] != nest.several:
            yield [*(m for m in range(len(tile)) if m != n and m not in last), n, *last]
    if last and len(tile) > 1:
        yield [*last, *(m for m in range(len(tile)) if m not in last)]


def all_tile_orders(nest: Nest, tile: Tile) -> Iterator[Sequence[int]]:
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


def reduction_order(nest: Nest, lane: Axis | None) -> tuple[Axis, ...]:
    """The reduction's loops, outermost first.

    Lanes over other axes than the batch go innermost, where memory is walked without gaps. Lanes over the batch stand around
    the innermost loop, so that the mask of its last vector is not found at every step.
    """
    if lane is None or lane not in nest.reduced:
        return nest.reduced
    others = tuple(a for a in nest.reduced if a != lane)
    bounded = any(lane in axes_in(c) and VALID in c.children for c in nest.where)
    return (*others[:-1], lane, *others[-1:]) if bounded else (*others, lane)


def reduction_orders(nest: Nest, lane: Axis | None, registers: Registers) -> list[tuple[Axis, ...]]:
    """Orders of the reduction's loops that are worth trying: where vectors have no masks, whole vectors over the batch come first
    and the rest of it behind them, so that they may go innermost too."""
    first = reduction_order(nest, lane)
    if lane is None or lane not in nest.reduced or registers.masks:
        return [first]
    return list(dict.fromkeys([first, (*(a for a in nest.reduced if a != lane), lane)]))
