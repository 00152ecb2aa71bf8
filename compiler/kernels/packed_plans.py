"""Packed plans: plans whose sums read copies of their factors, in the order in which they are read (packing.py).

In: the costs of a nest along some lane axes.  Out: `PackedPlan`, the best such plan, if it is better than one that is known.

    y[batch: 256, j: 500] = Σ_{i: 500} w[i, j] · x[i, batch],  tile 6 × 16
    →   for all six columns of w (rows of the plan, packed as their row begins, 12 KB):
            for all sixteen samples (columns of the plan, packed once for all rows, 512 KB): 3,000 cycles, and 10 to pack

Every large factor is packed, so that nothing but copies is read, each line of the cache is full, and loops over several axes
become one. A factor whose elements lie side by side along the sum is turned on the way, in squares.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .candidates import Registers, Tile
from .cost import LaneCost
from .footprints import ENTRY, FAR_BANDWIDTH, FIRST_LEVEL, LINE, NEAR_BANDWIDTH, SECOND_LEVEL
from .lower_bound import bounded_tiles
from .memory import SIZES
from .nest import Nest, accesses, buffer_of
from .packing import may_be_packed
from .plan import Plan
from .processor import in_time

#: Of so many tiles, those that would be best if all data were near, packed plans are tried.
_TILES = 4
#: Cycles to copy a vector, or a few scalars that lie side by side, and so many of these on average.
_VECTOR, _SCALARS, _TOGETHER = 5.0, 2.0, 3.0
#: Cycles for each line of a large array that is stored far from the one before.
_APART = 2.0
#: Cycles to copy an element of a vector that is gathered, besides, or turned in a square.
_GATHERED, _TURNED = 1.5, 0.4
#: Packing is not worth its while if it is so large a part of the cycles: what is read in place is then near anyway.
_SHARE = 0.25
#: So many threads, on average, each pack the columns for themselves.
_THREADS = 2
#: Bytes of columns that are packed, at most, in memory of each thread's own.
_MOST = 1_200_000
#: How much of the time in which copies come from beyond the second level is not hidden: one line follows another. The same of
#: the second level, from which columns come at every tile. What part of a row does not stay in the first level, its size decides.
_WAITING, _NEAR_WAITING = 0.2, 0.25


class PackedPlan(NamedTuple):
    """A plan that packs: its cycles, its tile and the cost that it belongs to, the order of its loops, `Plan.packed`, and
    `Plan.split`."""

    cycles: float
    tile: Tile
    cost: LaneCost
    order: tuple[int, ...]
    packed: tuple[int, ...]
    split: tuple[int, int]


def in_packed_order(
    nest: Nest, registers: Registers, costs: Sequence[LaneCost], limit: float
) -> PackedPlan | None:
    """The best plan that packs all that it reads, of less than `limit` cycles."""
    best: PackedPlan | None = None
    some = [c for c in costs if c.in_results and c.reduced]
    copied = [c.model.along(c.lane, c.lanes, c.reduced, copied=True) for c in some]
    for cost, tile in _tiles(nest, registers, copied, limit):
        for order, split in _orders(nest, cost):
            found = _cost_of(nest, cost, tile, order, split)
            if found is not None and found.cycles < limit:
                best, limit = found, found.cycles
    return best


def _tiles(
    nest: Nest, registers: Registers, costs: Sequence[LaneCost], limit: float
) -> list[tuple[LaneCost, Tile]]:
    """The tiles that would be best if all data were near."""
    found: list[tuple[float, int, LaneCost, Tile]] = []
    number = itertools.count()
    for cost in costs:
        candidates, bounds = bounded_tiles(cost, registers)
        found += [
            (bound, next(number), cost, tile)
            for bound, tile in zip(bounds.tolist(), candidates, strict=True)
            if bound < limit
        ]
    return [(cost, tile) for _, _, cost, tile in heapq.nsmallest(_TILES, found)]


def _orders(nest: Nest, cost: LaneCost) -> Iterator[tuple[tuple[int, ...], tuple[int, int]]]:
    """Orders of the loops over tiles: axes that all factors move along, those of one factor, and those of the others."""
    moving = [a.axes & (1 << len(nest.axes)) - 1 for a in cost.model.term.accesses]
    every = [n for n in range(len(nest.axes)) if all(m >> n & 1 for m in moving)]
    for one in dict.fromkeys(moving):
        rows = [n for n in range(len(nest.axes)) if one >> n & 1 and n not in every]
        columns = [n for n in range(len(nest.axes)) if n not in rows and n not in every]
        if rows and columns:
            yield (*every, *rows, *columns), (len(every), len(every) + len(rows))


def _cost_of(
    nest: Nest, cost: LaneCost, tile: Tile, order: tuple[int, ...], split: tuple[int, int]
) -> PackedPlan | None:
    """The cycles of a packed plan; None where some factor cannot be packed, or packing takes too much of them."""
    tiled = cost.tiled(tile)
    axes = tuple(nest.axes[n] for n in order)
    plan = Plan(axes, len(axes), tuple(tile[n] for n in order), cost.reduced, cost.lane, cost.lanes)
    blocks = [plan.blocks(n) for n in range(len(order))]
    groups, rows = math.prod(blocks[: split[0]]), math.prod(blocks[split[0] : split[1]])
    columns = math.prod(blocks[split[1] :])
    row_bits, column_bits = (
        sum(1 << n for n in some) for some in (order[split[0] : split[1]], order[split[1] :])
    )
    points = math.prod(a.size for a in cost.reduced)
    packing, row_bytes, column_bytes = 0.0, 0, 0
    nodes = accesses(nest.term)  # type: ignore[arg-type]
    for node, access in zip(nodes, cost.model.term.accesses, strict=True):
        if (access.axes & row_bits and access.axes & column_bits) or not may_be_packed(nest, plan, node):
            return None
        places = math.prod(n for bit, n in tiled.counts if access.axes & bit)
        along_lane = bool(access.axes & cost.lane_bit)
        size = points * places * SIZES[nest.buffers[buffer_of(node)].data_type]
        # As packed.py decides it.
        turned = not tiled.unrolled and access.steps[cost.model.number[cost.reduced[-1]]] == 1
        if along_lane:
            size *= cost.lanes
            each = _VECTOR
            if access.steps[cost.lane_number] != 1:
                each += _TURNED * cost.lanes if turned else _GATHERED * cost.lanes
        else:
            adjacent = any(access.steps[bit.bit_length() - 1] == 1 for bit, _ in tiled.counts)
            each = _SCALARS / _TOGETHER if adjacent else 2 * _TURNED if turned else _SCALARS
        copying = points * places * each
        if access.axes & row_bits:
            row_bytes += size
            packing += copying * groups * rows
        else:
            column_bytes += size
            packing += copying * groups * columns * min(_THREADS, rows)
    if columns * column_bytes > _MOST or row_bytes > SECOND_LEVEL:
        return None
    near = far = 0.0
    if columns * column_bytes > SECOND_LEVEL:
        far = column_bytes / FAR_BANDWIDTH
    elif columns * column_bytes + row_bytes > FIRST_LEVEL:
        near = column_bytes / NEAR_BANDWIDTH
    near += row_bytes / NEAR_BANDWIDTH * min(row_bytes / FIRST_LEVEL, 1.0) ** 2
    entered = math.prod(tiled.runs[: max(len(tiled.runs) - 1 - tiled.unrolled, 0)])
    computing = tiled.walking
    if not nest.where:  # one loop
        computing -= (entered - 1) * ENTRY
    behind = tiled.behind + _APART * _stored_apart(nest, cost, tile, order)
    cycles = tiled.blocks * (in_time(computing, near, far, _WAITING, _NEAR_WAITING) + behind) + packing
    if packing > _SHARE * cycles:
        return None
    return PackedPlan(cycles, tile, cost, order, tuple(range(len(nodes))), split)


def _stored_apart(nest: Nest, cost: LaneCost, tile: Tile, order: Sequence[int]) -> float:
    """Lines of large arrays that a tile stores, where the next tile does not go on along them."""
    inner = [nest.axes[n] for n in order if tile[n] < nest.axes[n].size][-1:]
    lines = 0.0
    for result, form in zip(nest.results, cost.model.stores, strict=True):
        buffer = nest.buffers[result.buffer]
        size = SIZES[buffer.data_type]
        if buffer.elements * size > SECOND_LEVEL and not any(form.coefficients.get(a) == 1 for a in inner):
            pairs = zip(nest.axes, tile, strict=True)
            run = math.prod(n for axis, n in pairs if form.coefficients.get(axis, 0) == 1)
            lines += math.prod(tile) / run * math.ceil(run * size / LINE)
    return lines
