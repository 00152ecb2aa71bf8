"""Packed: copies of one factor of a sum, in the order in which tiles read it.

In: a `Tile` whose plan says what to pack, and an access of its term.  Out: loads from the copies, in place of those from the
array.

    x[0, m … m+15], x[1, m … m+15], …      what lies side by side within a tile is copied as vectors
    w[n, 0 … 7] … w[n+5, 0 … 7]            what lies side by side along the sum is turned, in squares of eight points

What is packed when, packing.py says.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

from ..mathematics.affine import Linear, linear
from ..mathematics.expression import Expression
from .bounds import Split
from .lanes import Evaluator
from .loops import Element, Store, Value
from .memory import ALIGNMENT
from .nest import buffer_of, is_guarded
from .plan import Shift
from .reduction import Reduction, points_of_a_block
from .squares import columns
from .tile import Tile

_BYTES = {"f32": 4, "f64": 8}
#: Squares of elements that are turned have so many rows at most.
_SIDE = 8
#: Scalars that lie side by side are copied so many at a time.
_CHUNKS = (8, 4, 2)


class Packed:
    """The copies of one access, for the tiles along some neighbouring axes of the order, `count` slices.

    A slice holds what one tile reads in one block: for every point of the reduction the elements of all places, one after
    the other.
    """

    def __init__(self, tile: Tile, node: Expression, along: range, count: int) -> None:
        self.tile, self.node, self.along = tile, node, along
        plan, builder = tile.plan, tile.builder
        form = linear(node.children[0])
        self.lanes = plan.lanes if form.coefficients.get(plan.lane, 0) else 1  # type: ignore[arg-type]
        steps = [form.coefficients.get(axis, 0) for axis in plan.order]
        # The places in the tile, in the order of what they load.
        self.varying = [n for n, step in enumerate(steps) if step]
        distances: dict[Shift, int] = {}
        for shift in tile.shifts:
            key = tuple(shift[n] for n in self.varying)
            distances[key] = sum(steps[n] * s for n, s in zip(self.varying, key, strict=True))
        self.places = sorted(distances, key=lambda key: distances[key])
        self.distances = [distances[key] for key in self.places]
        self.number = {key: n for n, key in enumerate(self.places)}
        # Points of the reduction are numbered with its loops outside of what is written out.
        self.points = points_of_a_block(plan)
        self.width = _BYTES[tile.real] * self.lanes
        self.size = -(-math.prod(self.points) * len(self.places) * self.width // ALIGNMENT) * ALIGNMENT
        #: So many points of the innermost loop are copied at once, in squares that are turned; 0: one by one.
        self.square = self._square(form)
        self.copying = replace(plan, stride=self.square) if self.square else plan
        # The last square may be wider than what is left of it.
        self.memory = builder.reserve(self.size * count + (ALIGNMENT if self.square else 0))
        self.slice = self.memory

    def _square(self, form: Linear) -> int:
        """The side of squares that copy what lies side by side along the innermost loop, and apart within the tile."""
        plan, nest = self.tile.plan, self.tile.nest
        side = min(plan.lanes, _SIDE)
        if plan.unrolled or not plan.loops or side < 2 or len(self.places) * self.lanes < 2:
            return 0
        steps, axis = form.coefficients, plan.loops[-1]
        together = self.lanes > 1 and steps.get(plan.lane, 0) == 1  # type: ignore[arg-type]
        if steps.get(axis, 0) != 1 or together or axis.size < 2 * side or is_guarded(self.node):
            return 0
        return side if nest.buffers[buffer_of(self.node)].data_type == nest.real else 0

    def fill(self, number: Value, block: Value | None, at: Value) -> None:
        """Pack slice `number` of the block, to place `at` of the copies."""
        tile = self.tile
        tile.start_along(self.along, number)
        self.choose(at)
        reduction = Reduction(tile, block)
        reduction.everywhere = True
        if self.square:
            reduction.plan, reduction.steps = self.copying, self.copying.steps
            reduction.evaluator = tile.evaluator(tile.plan.lane, (*tile.plan.order, *self.copying.written))
        if not is_guarded(self.node):  # it is in range everywhere
            reduction.where = ()
        reduction.inside = partial(self._copy, reduction)  # type: ignore[method-assign]
        reduction.accumulate([])

    def choose(self, at: Value) -> None:
        """Read from place `at` of the copies from now on."""
        builder = self.tile.builder
        self.slice = builder.emit(
            "address", (self.memory, builder.multiply(at, builder.integer(self.size))), "ptr"
        )

    def load(self, reduction: Reduction, shift: Shift) -> Value:
        """What the access has loaded for a place of the tile and of what is written out."""
        builder, plan = self.tile.builder, self.tile.plan
        place = self.number[tuple(shift[n] for n in self.varying)]
        pointer = self._place(reduction, shift[len(plan.order) :], place)
        return builder.emit_here("load", (pointer,), self.tile.real, self.lanes)

    def _copy(
        self, reduction: Reduction, split: Split, carried: list[Value], end: Value | None
    ) -> list[Value]:
        """What stands in the innermost loop of the reduction: the elements of all places are copied."""
        tile, plan, builder = self.tile, self.tile.plan, self.tile.builder
        assert end is None and not split.masks
        buffer = tile.nest.buffers[buffer_of(self.node)]
        element: Element = "f32" if buffer.data_type == "float32" else "f64"
        scalars = tile.evaluator(None, (*plan.order, *self.copying.written))
        if self.square and len(reduction.steps) == self.square:
            self._turn(reduction, scalars, element)
            return carried
        for step in reduction.steps:
            number = 0
            while number < len(self.places):
                full = [0] * len(plan.order)
                for n, s in zip(self.varying, self.places[number], strict=True):
                    full[n] = s
                shift = (*full, *step)
                together = self._together(number) if self.lanes == 1 else 1
                if together > 1:
                    pointer, _ = scalars.place(buffer_of(self.node), self.node.children[0], shift)
                    value = builder.emit_here("load", (pointer,), element, together)
                    value = builder.convert(value, tile.real)
                else:
                    value = reduction.evaluator.value(self.node, shift)
                builder.store(Store(self._place(reduction, step, number), value))
                number += together
        return carried

    def _turn(self, reduction: Reduction, scalars: Evaluator, element: Element) -> None:
        """The elements of all places at as many points as a square has columns.

        Rows of a square are places, and lanes of them. What is left of the last square is filled with one of its rows, and stored
        as what comes next: that is copied later, so the last square goes first.
        """
        plan, builder, side = self.tile.plan, self.tile.builder, self.square
        buffer, offset = buffer_of(self.node), self.node.children[0]
        rows = []
        for place in self.places:
            for lane in range(self.lanes):
                shift = [0] * len(plan.order)
                for n, s in zip(self.varying, place, strict=True):
                    shift[n] = s + (lane if plan.order[n] == plan.lane else 0)
                pointer, _ = scalars.place(buffer, offset, (*shift, *reduction.steps[0]))
                rows.append(builder.emit_here("load", (pointer,), element, side))
        size = self.width // self.lanes
        for first in reversed(range(0, len(rows), side)):
            some = rows[first : first + side]
            some += some[-1:] * ((1 << (len(some) - 1).bit_length()) - len(some))
            for step, column in zip(reduction.steps, columns(builder, some), strict=True):
                pointer = self._place(reduction, step, 0, first * size)
                builder.store(Store(pointer, column))

    def _together(self, first: int) -> int:
        """How many elements from number `first` on are copied at once: they lie side by side."""
        for several in _CHUNKS:
            run = self.distances[first : first + several]
            if len(run) == several and run[-1] - run[0] == several - 1:
                return several
        return 1

    def _place(self, reduction: Reduction, step: Shift, place: int, further: int = 0) -> Value:
        """Where the copy of an element is, for the values that the reduction's loops have, and so many bytes further."""
        tile, plan, builder = self.tile, self.tile.plan, self.tile.builder
        row = len(self.places) * self.width
        strides = [math.prod(self.points[n + 1 :]) * row for n in range(len(self.points))]
        pointer = self.slice
        if reduction.point is not None:
            stride = math.prod(self.points[len(plan.loops) :]) * row
            pointer = self._behind(pointer, reduction.point, stride)
        else:
            for n, (axis, stride) in enumerate(zip(plan.loops, strides, strict=False)):
                value = tile.starts[axis]
                if n == 0 and reduction.block is not None:
                    value = builder.subtract(value, reduction.block)
                pointer = self._behind(pointer, value, stride)
        offset = place * self.width + further
        for axis, distance in zip(reduction.plan.written, step, strict=True):
            offset += strides[plan.reduced.index(axis)] * distance
        return builder.emit("address", (pointer, builder.integer(offset)), "ptr") if offset else pointer

    def _behind(self, pointer: Value, number: Value, stride: int) -> Value:
        builder = self.tile.builder
        return builder.emit("address", (pointer, builder.multiply(number, builder.integer(stride))), "ptr")
