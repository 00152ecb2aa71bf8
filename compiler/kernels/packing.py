"""Packing: elements of a sum's factors copied into the order in which its tiles read them.

In: a `Tile` whose plan says what to pack, and a block of the reduction.  Out: loads from the copies, in place of those from the
arrays.

    Σ_k w[k, n] · x[k, m],  tile 6 × 16:   of w, for every six columns:   w[0, n … n+5], w[1, n … n+5], …      24 bytes a step
                                           of x, for every sixteen:       x[0, m … m+15], x[1, m … m+15], …    64 bytes a step

What tiles of one row read is packed when the row begins and stays in the first-level cache; what tiles of every row read is
packed once for all of them. Each line of the cache is full of what is wanted, the lines follow one another, and no page is
changed at every step. This is the packing of K. Goto and R. van de Geijn, Anatomy of high-performance matrix multiplication,
ACM Transactions on Mathematical Software 34 (2008); the order of additions, and so every bit, is as without it.
"""

from __future__ import annotations

import math
from functools import partial

from ..mathematics.affine import linear
from ..mathematics.expression import Axis, Expression, Load
from .loops import Store, Value
from .nest import Nest, accesses, buffer_of, is_guarded
from .packed import Packed
from .plan import Plan
from .prefetch import ask_for_slice, is_large
from .reduction import Reduction
from .tile import Tile

#: No reduction has a loop of so many turns.
_FAR = 1 << 40


class Packing:
    """All that a kernel packs: what the tiles of a row read, and what the tiles of every row read, its columns.

    The order of the loops over tiles: groups, rows, columns, as `Plan.split` says. Columns are packed anew for each group.
    """

    def __init__(self, tile: Tile) -> None:
        plan = tile.plan
        self.tile, self.builder = tile, tile.builder
        first, then = plan.split
        self.group_axes, self.row_axes = range(first), range(first, then)
        self.column_axes = range(then, len(plan.order))
        self.row_count, self.column_count = (
            math.prod(plan.blocks(n) for n in axes) for axes in (self.row_axes, self.column_axes)
        )
        self.rows: list[Packed] = []
        self.columns: list[Packed] = []
        nodes = accesses(tile.nest.term) if plan.packed else []  # type: ignore[arg-type]
        for number in plan.packed:
            if axes_along(plan, nodes[number]) & set(self.row_axes):
                self.rows.append(Packed(tile, nodes[number], self.row_axes, 1))
            else:
                self.columns.append(Packed(tile, nodes[number], self.column_axes, self.column_count))

    def open_tiles(self, begin: Value, end: Value, block: Value | None, *, pack: bool = True) -> Value:
        """Open the loops over the tiles with numbers from `begin` to `end`, and pack what they read; the tile's number."""
        builder, tile = self.builder, self.tile
        group, before, low, high = self._within(begin, end, self.row_count * self.column_count)
        tile.start_along(self.group_axes, group)
        if pack and self.columns:
            self._fill_columns(group, block)
        row, within, low, high = self._within(low, high, self.column_count)
        tile.start_along(self.row_axes, row)
        if pack:
            for packed in self.rows:
                packed.fill(row, block, builder.integer(0))
        column, _ = builder.open_loop(low, high)
        tile.start_along(self.column_axes, column)
        for packed in self.columns:
            packed.choose(column)
        if pack:
            self._ask_for_next(row, column, block)
        return builder.add(builder.add(before, within), column)

    def _ask_for_next(self, row: Value, column: Value, block: Value | None) -> None:
        """Ask for what the next row packs, a part of it in each tile of this one."""
        builder, tile, plan = self.builder, self.tile, self.tile.plan
        if len(plan.reduced) != 1 or plan.unrolled or self.row_count == 1:
            return
        (loop,) = plan.loops
        following = builder.minimum(builder.add(row, builder.integer(1)), builder.integer(self.row_count - 1))
        with tile.elsewhere():
            tile.start_along(self.row_axes, following)
            tile.starts[loop] = builder.integer(0) if block is None else block
            for packed in self.rows:
                if is_large(tile, buffer_of(packed.node)):
                    ask_for_slice(tile, packed.node, packed.points[0], column, self.column_count)

    def _fill_columns(self, group: Value, block: Value | None) -> None:
        """Pack the columns of a group, unless an earlier part of the call has left them: the first word of the memory says which
        are there."""
        builder = self.builder
        wanted = builder.add(group, builder.integer(1))
        if block is not None:
            wanted = builder.add(builder.multiply(wanted, builder.integer(_FAR)), block)
        there = builder.emit_here("load", (builder.scratch,), "i64")
        builder.open_branch(builder.emit("icmp", (there, wanted), "i1", 1, "ne"))
        for packed in self.columns:
            number, _ = builder.open_loop(builder.integer(0), builder.integer(self.column_count))
            packed.fill(number, block, number)
            builder.close()
        builder.store(Store(builder.scratch, wanted))
        builder.close()

    def _within(self, begin: Value, end: Value, count: int) -> tuple[Value, Value, Value, Value]:
        """Open a loop over those runs of `count` numbers that have some from `begin` to `end`: the number of a run, where it
        begins, and which of its numbers there are, from and to."""
        builder = self.builder
        size = builder.integer(count)
        if count == 1:
            number, _ = builder.open_loop(begin, end)
        else:
            first = builder.emit("udiv", (begin, size), "i64")
            behind = builder.emit("udiv", (builder.add(end, builder.integer(count - 1)), size), "i64")
            number, _ = builder.open_loop(first, behind)
        before = builder.multiply(number, size)
        low = builder.maximum(builder.subtract(begin, before), builder.integer(0))
        return number, before, low, builder.minimum(builder.subtract(end, before), size)

    def close_tiles(self) -> None:
        """Close the loops of `open_tiles`."""
        for _ in range(3):
            self.builder.close()

    def reduction(self, block: Value | None) -> Reduction:
        """The reduction of the tile that is open, in a block."""
        result = Reduction(self.tile, block)
        for packed in (*self.rows, *self.columns):
            result.evaluator.packed[packed.node] = partial(packed.load, result)
        result.in_one_loop = self._in_one_loop()
        return result

    def _in_one_loop(self) -> bool:
        """Whether nothing but what is packed depends on the reduction's axes: they may be one loop."""
        nest, plan = self.tile.nest, self.tile.plan
        if nest.where or not plan.packed or (plan.depth and plan.loops[0].size % plan.depth):
            return False
        stack: list[Expression] = [nest.term]  # type: ignore[list-item]
        packed = {p.node for p in (*self.rows, *self.columns)}
        while stack:
            node = stack.pop()
            if node in nest.reduced:
                return False
            if node not in packed:
                stack.extend(node.children)
        return True


def axes_along(plan: Plan, node: Expression) -> set[int]:
    """The numbers of the order's axes along which an access moves from tile to tile or within one."""
    form = linear(node.children[0])
    return {n for n, axis in enumerate(plan.order) if form.coefficients.get(axis, 0)}


def may_be_packed(nest: Nest, plan: Plan, node: Expression) -> bool:
    """Whether an access may be loaded before its tile is computed, whatever the place of the tile along other axes."""
    if nest.kind != "sum" or nest.term is None or nest.term.type != "real" or plan.lane not in plan.order:
        return False
    if not isinstance(node, Load) or node.type != "real" or plan.is_masked(nest):
        return False
    if not all(isinstance(atom, Axis) for atom in linear(node.children[0]).coefficients):
        return False
    moving = {plan.order[n] for n in axes_along(plan, node)}
    single = {a for a, size in zip(plan.order, plan.tile, strict=True) if size == 1}
    return not is_guarded(node) or all(
        axes & set(nest.axes) <= moving & single for axes in nest.axes_of_conditions
    )
