"""A register tile while its code is generated: the loops over tiles, and what is known within one.

In: `Nest` and `Plan`.  Out: `Tile`, in which reduction.py and contraction.py put their code.

    tile = Tile(nest, plan)
    place, _ = tile.builder.open_loop(tile.builder.begin, tile.builder.end)
    tile.open_divided(place)             # the tiles that threads divide
    number = tile.open_inner()           # the others; tile.starts[axis] is where the tile begins along each axis
    …
    tile.close_inner()
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..mathematics.expression import Axis
from .arithmetic import Arithmetic
from .lanes import Evaluator
from .loop_builder import Builder
from .loops import Element, Value
from .nest import Nest
from .plan import Plan, Shift


class Tile:
    """One tile of a nest under a plan. `starts`: where it begins along each axis; the loops of the reduction add theirs."""

    def __init__(self, nest: Nest, plan: Plan) -> None:
        self.nest = nest
        self.plan = plan
        self.builder = Builder([f"b{n}" for n in range(len(nest.buffers))])
        self.starts: dict[Axis, Value] = {}
        #: Where it would begin if it ran over the extent's end: nearer to the start are results of another tile.
        self.firsts: dict[Axis, Value] = {}
        self.real: Element = "f32" if nest.real == "float32" else "f64"
        self.shifts = plan.shifts(nest)
        #: The places of results: of several sums at a place, those of the first.
        self.results = [shift for shift in self.shifts if self.sum_at(shift)[0] == 0]
        #: The lane axis of the results, if its last vector is masked.
        self.masked = plan.lane if plan.is_masked(nest) else None

    def sum_at(self, shift: Shift) -> tuple[int, Shift]:
        """Which of several sums a place of the tile is of, and the place of their results."""
        if self.nest.several is None:
            return 0, shift
        at = self.plan.order.index(self.nest.several)
        return shift[at], (*shift[:at], 0, *shift[at + 1 :])

    def evaluator(self, lane: Axis | None, shifted: Sequence[Axis]) -> Evaluator:
        """What evaluates expressions at the places of this tile."""
        return Evaluator(
            self.builder, self.nest, self.starts, lane=lane, lanes=self.plan.lanes, shifted=shifted
        )

    def open_divided(self, place: Value) -> None:
        """Set the starts along the axes whose tiles threads divide; `place` is a number in the range that they divide."""
        self.start_along(range(self.plan.parallel), place)

    def start_along(self, places: range, number: Value) -> None:
        """Set the starts along some neighbouring axes of the order: those of tile `number` of all their tiles."""
        builder, plan = self.builder, self.plan
        inner = math.prod(plan.blocks(at) for at in places)
        for at in places:
            count = plan.blocks(at)
            inner //= count
            block = number
            if inner > 1:
                block = builder.emit("udiv", (block, builder.integer(inner)), "i64")
            if at > places.start and count > 1:
                block = builder.emit("urem", (block, builder.integer(count)), "i64")
            if count == 1:
                block = builder.integer(0)
            self._start(at, block)

    def open_inner(self) -> Value:
        """Open the loops over the tiles that are not divided; the number of the tile among them."""
        builder, plan = self.builder, self.plan
        number = builder.integer(0)
        for at in range(plan.parallel, len(plan.order)):
            count = plan.blocks(at)
            block = builder.integer(0)
            if count > 1:
                block, _ = builder.open_loop(builder.integer(0), builder.integer(count))
                number = builder.add(builder.multiply(number, builder.integer(count)), block)
            self._start(at, block)
        return number

    def close_inner(self) -> None:
        """Close the loops of `open_inner`."""
        for at in range(self.plan.parallel, len(self.plan.order)):
            if self.plan.blocks(at) > 1:
                self.builder.close()

    def _start(self, at: int, block: Value) -> None:
        """Where tile number `block` begins along axis number `at`."""
        builder, axis, size = self.builder, self.plan.order[at], self.plan.tile[at]
        start = self.firsts[axis] = builder.multiply(block, builder.integer(size))
        if axis.size % size and not self.nest.whole and axis != self.masked:
            assert self.nest.may_overlap or size > axis.size, "a tile must divide what is not idempotent"
            start = builder.minimum(start, builder.integer(max(axis.size - size, 0)))
        self.starts[axis] = start

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """A while in which the tile may begin in another place."""
        starts, firsts = dict(self.starts), dict(self.firsts)
        yield
        for now, before in ((self.starts, starts), (self.firsts, firsts)):
            now.clear()
            now.update(before)

    @property
    def overlapping(self) -> list[int]:
        """The numbers of the order's axes along which the last tile begins earlier, within another."""
        axes = enumerate(self.plan.order)
        return [n for n, axis in axes if self.starts[axis] is not self.firsts[axis]]

    def existing(self, shift: Shift) -> Value | None:
        """The mask of lanes within the extent of the results' lane axis, where a tile may run over its end."""
        if self.masked is None:
            return None
        place = self.builder.add(
            self.starts[self.masked], self.builder.integer(shift[self.plan.order.index(self.masked)])
        )
        return self.lanes_below(self.builder.subtract(self.builder.integer(self.masked.size), place))

    def lanes_below(self, count: Value) -> Value | None:
        """The mask of the first `count` lanes; None for all of them."""
        builder, lanes = self.builder, self.plan.lanes
        if count.is_constant and count.attribute >= lanes:  # type: ignore[operator]
            return None
        left = builder.splat(builder.convert(count, "i32"), lanes)
        return Arithmetic(builder, self.real).compare("slt", builder.lane_numbers(lanes, "i32"), left)
