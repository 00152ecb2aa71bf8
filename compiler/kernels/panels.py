"""Panels: plans that do a long sum in blocks, so that what all tiles of a panel read stays in a near cache.

In: the costs of a nest along some lane axes.  Out: `Panelled`, the best such plan, if it is better than a plan without blocks.

    ∂w[i, j] = Σ_{batch: 12} Σ_{t: 64} x[batch, t, i] · ∂y[batch, t, j]
    →   for every sample: for all tiles of a panel: 3 × 32 results, which wait in memory for the next sample (Plan.depth = 1)

The 64 rows of ∂y that a block reads fit into the first-level cache, those of all samples do not. This is the blocking of the
summed index in K. Goto and R. van de Geijn, Anatomy of high-performance matrix multiplication (2008), without their copies.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .candidates import Registers, Tile, all_tile_orders
from .cost import LaneCost
from .footprints import ENTRY, FAR_WAITING
from .lower_bound import bounded_tiles
from .nest import Nest
from .processor import in_time, near_within

#: Bytes in which the accumulators of a panel wait, at most.
_MEMORY = 262_144
#: Cycles to load an accumulator and to store it again.
_KEEPING = 2.5
#: Terms of a block: at least and at most so many.
_SHORTEST, _LONGEST = 48, 512
#: Of so many tiles, those that would be best if all data were near, blocks are tried; and so many sizes of blocks.
_TILES = 4
_DEPTHS = 3
#: Blocks cost at least so much.
_OVERHEAD = 1.06


class Panelled(NamedTuple):
    """A plan in blocks: its cycles, its tile and the cost that it belongs to, the order of its loops, `Plan.depth`, and the tiles
    of a panel."""

    cycles: float
    tile: Tile
    cost: LaneCost
    order: Sequence[int]
    depth: int
    tiles: int


def in_panels(nest: Nest, registers: Registers, costs: Sequence[LaneCost], limit: float) -> Panelled | None:
    """The best plan in blocks of less than `limit` cycles."""
    best: Panelled | None = None
    for _, _, tile, cost in _tiles(nest, registers, costs, limit):
        for depth in _depths(cost, tile):
            count = max(_MEMORY // (math.prod(tile) * registers.bits // 8 // cost.lanes), 1)
            for order in all_tile_orders(nest, tile):
                cycles = _cycles(cost, tile, order, depth, count, limit)
                if cycles < limit * 0.99:
                    best, limit = Panelled(cycles, tile, cost, order, depth, count), cycles
    return best


def _tiles(
    nest: Nest, registers: Registers, costs: Sequence[LaneCost], limit: float
) -> list[tuple[float, int, Tile, LaneCost]]:
    """The tiles that would be best if all data were near, with a lower bound of their cycles."""
    found: list[tuple[float, int, Tile, LaneCost]] = []
    number = itertools.count()
    for cost in costs:
        if cost.in_results and len(cost.reduced) > 0:
            candidates, bounds = bounded_tiles(cost, registers)
            found += [
                (bound, next(number), tile, cost)
                for bound, tile in zip(bounds.tolist(), candidates, strict=True)
                if bound * _OVERHEAD < limit
            ]
    return heapq.nsmallest(_TILES, found)


def _depths(cost: LaneCost, tile: Tile) -> Iterator[int]:
    """Numbers of values of the outermost loop that make a block."""
    tiled = cost.tiled(tile)
    if tiled.unrolled >= len(cost.reduced):
        return
    runs, size = tiled.runs, cost.reduced[0].size
    inner = math.prod(runs[1:])
    # Not all numbers up to the size are tried: a batch may be beyond counting.
    fewest, most = max(1, math.ceil(_SHORTEST / inner)), min(size - 1, int(_LONGEST / inner))
    wanted = [n for n in range(fewest, most + 1) if size % n == 0]
    if (
        len(cost.reduced) - tiled.unrolled == 1
    ):  # the loop is the innermost too: a block ends with a step of it
        wanted = [n for n in wanted if n % tiled.stride == 0]
    yield from wanted[-_DEPTHS:]


def _cycles(cost: LaneCost, tile: Tile, order: Sequence[int], depth: int, count: int, limit: float) -> float:
    """Cycles of a plan whose blocks are `depth` values of the outermost loop, in panels of `count` tiles; or infinity if they are
    certainly more than `limit`."""
    tiled, walks = cost.tiled(tile), cost.walks(tile)
    *inner, (axis, turns, values) = walks.inner
    within = min(float(depth), turns)
    computing = tiled.walking + math.ceil(turns / within) * (tiled.together * _KEEPING + ENTRY)
    room = limit / tiled.blocks - tiled.behind
    if computing > room:
        return math.inf
    loops = [*inner, (axis, within, within)]
    left = float(count)
    for n in reversed(order):
        number, blocks, size = walks.outer[n]
        now = min(blocks, left)
        if left > 0 and now > 1:
            loops.append((number, now, size * now / blocks))
        if blocks > left > 0:  # the panel ends within this loop
            loops += [(axis, turns / within, values), (number, blocks / now, size)]
            left = 0.0
        elif left == 0:
            loops.append((number, blocks, size))
        else:
            left /= blocks
    if left > 0:
        loops.append((axis, turns / within, values))
    found = walks.brought(loops, near_within(computing, room))
    if found is None:
        return math.inf
    near, far = found
    return tiled.blocks * (in_time(computing, near, far, FAR_WAITING) + tiled.behind)
