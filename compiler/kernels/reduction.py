"""The loops of a reduction, and what they add up for the places of a register tile.

In: a `Tile` whose loops are open.  Out: the accumulators of its places.

    reduction = Reduction(tile)
    carried = reduction.accumulate(reduction.beginning())       # the loops, and all terms
    totals = reduction.totals(carried)                          # one result for every place
"""

from __future__ import annotations

import math

from ..mathematics.expression import Axis, Expression
from .accumulators import better, combined, neutral
from .bounds import Bounds, Split, split_conditions
from .limits import limits
from .loops import MASKED_BITS, Element, Value
from .plan import Plan, Shift
from .products import addends
from .tile import Tile

_BITS = {"f32": 32, "f64": 64}


def points_of_a_block(plan: Plan) -> list[int]:
    """How many values each axis of the reduction takes in a block, the outermost first."""
    points = [axis.size for axis in plan.reduced]
    if plan.depth:
        points[0] = min(points[0], plan.depth)
    return points


class Reduction:
    """The reduction of one tile.

    `block`: where a block of the outermost loop begins, if only `Plan.depth` of its values are to be added up.
    """

    def __init__(self, tile: Tile, block: Value | None = None) -> None:
        self.tile, self.nest, self.plan, self.builder = tile, tile.nest, tile.plan, tile.builder
        self.block = block
        #: The conditions of its terms, and what stands in the innermost loop.
        self.where = self.nest.where
        self.inside = self._terms
        #: Whether every point is wanted, be its term zero or not (packing.py).
        self.everywhere = False
        #: The steps of the innermost loop that stand in its body.
        self.steps = self.plan.steps
        #: Whether one loop goes over all points: nothing needs to know where each axis is (packing.py). `point` is its variable.
        self.in_one_loop = False
        self.point: Value | None = None
        self.evaluator = tile.evaluator(self.plan.lane, (*self.plan.order, *self.plan.written))
        self.loop_evaluator = tile.evaluator(None, ())

    def beginning(self) -> list[Value]:
        """What the accumulators of all places begin with."""
        return [v for _ in range(self.plan.ways) for _ in self.tile.shifts for v in self._neutral()]

    def accumulate(self, carried: list[Value]) -> list[Value]:
        """Open the reduction's loops, accumulate, close them; the accumulators behind them."""
        nest, plan, builder = self.nest, self.plan, self.builder
        if self.in_one_loop:
            count = math.prod(points_of_a_block(plan)[: len(plan.loops)])
            nothing, whole = Split([], [], []), count // plan.stride * plan.stride
            for begin, end, self.steps in ((0, whole, plan.steps), (whole, count, plan.left_over)):
                if begin < end:
                    self.point, carried = builder.open_loop(
                        builder.integer(begin),
                        builder.integer(end),
                        plan.stride if end == whole else 1,
                        carried,
                    )
                    carried = builder.close(self.inside(nothing, carried, None))
                    self.evaluator.forget()
            self.steps = plan.steps
            return carried
        varying = {a for a, t in zip(plan.order, plan.tile, strict=True) if t > 1} | {*plan.repeated}
        self.tile.starts |= dict.fromkeys(plan.repeated, builder.integer(0))
        split = split_conditions(
            self.where, plan.loops, varying, plan.lane if plan.lane in nest.reduced else None
        )
        for test in split.before:
            carried = builder.open_branch(self.loop_evaluator.value(test), carried)
        carried = self._loops(split, 0, carried, None)
        for _ in split.before:
            carried = builder.close(carried)
        return carried

    def totals(self, carried: list[Value]) -> dict[Shift, list[Value]]:
        """The accumulators of every place, those of all ways as one."""
        width = len(self._neutral())
        way = len(self.tile.shifts) * width
        ways = [carried[n * way : (n + 1) * way] for n in range(self.plan.ways)]
        while len(ways) > 1:  # partial results in pairs
            pairs = zip(ways[::2], ways[1::2], strict=False)
            ways = [
                [combined(self.nest.kind, self.evaluator.arithmetic, a, b) for a, b in zip(*p, strict=True)]
                for p in pairs
            ] + (ways[-1:] if len(ways) % 2 else [])
        return {shift: ways[0][n * width : (n + 1) * width] for n, shift in enumerate(self.tile.shifts)}

    def _loops(self, split: Split, at: int, carried: list[Value], end: Value | None) -> list[Value]:
        """The reduction's loops from number `at` inwards, and what stands in them. `end`: where the lanes end, if it is to be
        seen to.

        Where lanes are not masked at no cost, a loop that may end within a vector goes over whole vectors first.
        """
        builder, plan = self.builder, self.plan
        if at == len(plan.loops):
            return self.inside(split, carried, end)
        axis, bounds = plan.loops[at], split.loops[at]
        lower, upper, guarded = self.extent(axis, bounds)
        step = bounds.step * self._steps_at_once(axis)
        if axis == plan.lane:
            end = self._end_of_lanes(lower, upper, step)
        if axis != plan.lane and axis == plan.loops[-1] and plan.stride > 1:
            return self._in_strides(split, at, carried, end, (lower, upper, step, guarded))
        if axis != plan.lane or end is None or plan.lanes * _BITS[self.tile.real] >= MASKED_BITS:
            return self._loop(split, at, carried, end, (lower, upper, step, guarded))
        whole = self._whole(lower, upper, step)
        if not (lower.is_constant and whole.is_constant and whole.attribute == lower.attribute):
            carried = self._loop(split, at, carried, None, (lower, whole, step, guarded))
            self.evaluator.forget()
        self.tile.starts[axis] = whole
        carried = builder.open_branch(builder.emit("icmp", (whole, upper), "i1", 1, "slt"), carried)
        return builder.close(self._loops(split, at + 1, carried, end))

    def _whole(self, lower: Value, upper: Value, step: int) -> Value:
        """Where the last whole step of a loop ends. `step`: a power of two, unless the loop's length is constant."""
        builder = self.builder
        length = builder.subtract(upper, lower)
        if length.is_constant:
            whole = builder.integer(int(length.attribute) // step * step)  # type: ignore[call-overload]
        else:
            positive = builder.maximum(length, builder.integer(0))
            whole = builder.emit("and", (positive, builder.integer(-step)), "i64")
        return builder.add(lower, whole)

    def _in_strides(
        self,
        split: Split,
        at: int,
        carried: list[Value],
        end: Value | None,
        extent: tuple[Value, Value, int, bool],
    ) -> list[Value]:
        """The innermost loop, several steps at once, and those that are left over one by one."""
        lower, upper, step, guarded = extent
        plan, axis = self.plan, self.plan.loops[at]
        whole = lower
        if step == plan.stride and not split.loops[at].tests:  # no condition on single steps
            size = plan.depth if self.block is not None and axis == plan.loops[0] else axis.size
            if size % step == 0 and axis.size % size == 0 and not guarded:
                return self._loop(split, at, carried, end, extent)
            whole = self._whole(lower, upper, step)
            if not (whole.is_constant and lower.is_constant and whole.attribute == lower.attribute):
                carried = self._loop(split, at, carried, end, (lower, whole, step, guarded))
                self.evaluator.forget()
        self.steps = plan.left_over
        carried = self._loop(split, at, carried, end, (whole, upper, step // plan.stride, guarded))
        self.steps = plan.steps
        return carried

    def _loop(
        self,
        split: Split,
        at: int,
        carried: list[Value],
        end: Value | None,
        extent: tuple[Value, Value, int, bool],
    ) -> list[Value]:
        """One loop with its tests, and those within it."""
        builder, axis, tests = self.builder, self.plan.loops[at], split.loops[at].tests
        lower, upper, step, guarded = extent
        self.tile.starts[axis], carried = builder.open_loop(lower, upper, step, carried, guarded=guarded)
        for test in tests:
            carried = builder.open_branch(self.loop_evaluator.value(test), carried)
        carried = self._loops(split, at + 1, carried, end)
        for _ in range(len(tests) + 1):
            carried = builder.close(carried)
        return carried

    def _terms(self, split: Split, carried: list[Value], end: Value | None) -> list[Value]:
        """The accumulators after the terms that stand in the innermost loop."""
        builder, plan = self.builder, self.plan
        carried = list(carried)
        width = len(carried) // (plan.ways * len(self.tile.shifts))
        for number, step in enumerate(self.steps):
            tail = None
            if end is not None:
                tail = self._lanes_before(end, step)
            elif self.tile.masked is None:
                self.evaluator.tail = None
            first = number % plan.ways * len(self.tile.shifts) * width
            for n, shift in enumerate(self.tile.shifts):
                place = (*shift, *step)
                mask = tail
                if self.tile.masked is not None:
                    self.evaluator.tail = self.tile.existing(shift)
                for condition in split.masks:
                    holds = self.evaluator.value(condition, place)
                    mask = holds if mask is None else builder.both(mask, holds)
                at = slice(first + n * width, first + (n + 1) * width)
                carried[at] = self._accumulate(place, carried[at], mask)
        return carried

    def extent(self, axis: Axis, bounds: Bounds) -> tuple[Value, Value, bool]:
        """Where a loop of the reduction begins and ends, and whether that makes loads in it safe."""
        builder, evaluate = self.builder, self.loop_evaluator
        lower, upper = builder.integer(0), builder.integer(axis.size)
        guarded = bool(bounds.tests) or bounds.step > 1
        for expression in bounds.lower:
            reach = evaluate.range(expression)
            if reach is None or reach[1] > 0:
                lower, guarded = builder.maximum(lower, evaluate.value(expression)), True
        for expression in bounds.upper:
            reach = evaluate.range(expression)
            if reach is None or reach[0] < axis.size:
                upper, guarded = builder.minimum(upper, evaluate.value(expression)), True
        if not (self.everywhere or bounds.step > 1):
            first, behind = limits(self.tile, axis)
            lower = lower if first is None else builder.maximum(lower, first)
            upper = upper if behind is None else builder.minimum(upper, behind)
        if self.block is not None and axis == self.plan.loops[0]:
            end = builder.add(self.block, builder.integer(self.plan.depth))
            if axis.size % self.plan.depth or not (upper.is_constant and upper.attribute == axis.size):
                end = builder.minimum(end, upper)
            at_zero = lower.is_constant and lower.attribute == 0
            lower = self.block if at_zero else builder.maximum(lower, self.block)
            upper = end
        if bounds.congruent is not None:
            first = evaluate.value(bounds.congruent)
            if not (lower.is_constant and lower.attribute == 0):
                distance = builder.subtract(first, lower)
                step = builder.integer(bounds.step)
                first = builder.add(lower, evaluate.arithmetic.divide("mod", distance, step, None))
            lower = first
        return lower, upper, guarded

    def _steps_at_once(self, axis: Axis) -> int:
        """How far a loop of the reduction goes at once, but for conditions."""
        stride = self.plan.stride if axis == self.plan.loops[-1] else 1
        return stride * (self.plan.lanes if axis == self.plan.lane else 1)

    def _end_of_lanes(self, lower: Value, upper: Value, step: int) -> Value | None:
        """Where the loop over lanes ends, if that may be within a vector."""
        ends = upper.attribute if upper.is_constant else self.plan.lane.size  # type: ignore[union-attr]
        from_zero = lower.is_constant and lower.attribute == 0
        self.loads_run_over = not (ends % step == 0 and from_zero)  # type: ignore[operator]
        return None if not self.loads_run_over and upper.is_constant else upper

    def _lanes_before(self, end: Value, step: Shift) -> Value:
        """The mask of lanes in front of the end of the loop that runs over lanes."""
        builder, plan = self.builder, self.plan
        assert plan.lane is not None
        place = self.tile.starts[plan.lane]
        if plan.lane in plan.written:
            place = builder.add(place, builder.integer(step[plan.written.index(plan.lane)]))
        mask = self.tile.lanes_below(builder.subtract(end, place))
        assert mask is not None
        self.evaluator.tail = mask if self.loads_run_over else None
        return mask

    def _neutral(self) -> list[Value]:
        """What the accumulators of one result begin with."""
        assert self.nest.term is not None
        element: Element = self.tile.real if self.nest.term.type == "real" else "i64"
        return neutral(self.builder, self.nest.kind, element, self.plan.lanes if self.plan.lane else 1)

    def _position(self, shift: Shift, lanes: int) -> Value:
        """Where this point stands, for arg-reductions."""
        assert self.nest.position is not None
        here = self.builder.convert(self.evaluator.value(self.nest.position, shift), "i64")
        return self.builder.splat(here, lanes)

    def _accumulate(self, shift: Shift, before: list[Value], mask: Value | None) -> list[Value]:
        """One result's accumulators after the term at this point."""
        nest, builder, evaluator = self.nest, self.builder, self.evaluator
        arithmetic = evaluator.arithmetic
        term, lanes = nest.term, before[0].lanes
        assert term is not None
        if nest.kind == "sum" and term.type == "real":
            after = [self._add_products(term, shift, before[0], mask)]
        else:
            value = evaluator.value(term, shift, mask)
            if term.type == "integer":
                value = builder.convert(value, "i64")
            value = builder.splat(value, lanes)
            arg = nest.kind.startswith("arg")
            after = (
                better(nest.kind, arithmetic, before, value, self._position(shift, before[1].lanes))
                if arg
                else [combined(nest.kind, arithmetic, before[0], value)]
            )
        if mask is None:
            return after
        condition = builder.splat(mask, lanes)
        return [arithmetic.select(condition, a, b) for a, b in zip(after, before, strict=True)]

    def _add_products(self, term: Expression, shift: Shift, total: Value, mask: Value | None) -> Value:
        """total + term, each addend that is a product as a fused multiply-add.

        Factors that vary along the same axes of the tile are multiplied first: there are fewer of those products.
        """
        arithmetic, evaluator = self.evaluator.arithmetic, self.evaluator
        for negative, factors in addends(term):
            groups: dict[tuple[int, ...], Value] = {}
            for factor in factors:
                value = evaluator.value(factor, shift, mask)
                tile = self.plan.tile
                bits = tuple(b for b in evaluator.bits(factor) if b < len(tile) and tile[b] > 1)
                known = groups.get(bits)
                groups[bits] = value if known is None else arithmetic.multiply(known, value)
            values = [groups[bits] for bits in sorted(groups, key=lambda b: (len(b), b))]
            while len(values) > 2:
                values[:2] = [arithmetic.multiply(values[0], values[1])]
            if negative:
                values[0] = arithmetic.negate(values[0])
            values = [self.builder.splat(v, total.lanes) for v in values]
            if len(values) == 2:
                total = arithmetic.fused(values[0], values[1], total)
            else:
                total = self.builder.emit("fadd", (total, values[0]), total.element, total.lanes)
        return total
