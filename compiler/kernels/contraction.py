"""The one generator of kernels: a nest and a plan become loops around a register tile.

In: `Nest` (what is computed) and `Plan` (plan.py: which axis runs over lanes, which are unrolled, in what order).
Out: `Function`.

    y[a0: 512, a1: 128] = tanh(Σ_{r0: 784} @0[512 r0 + a0] · @1[128 r0 + a1]),  tile 14 × 2 vectors of 16 lanes

    loop over tiles (a0 in steps of 14, a1 in steps of 32)                 what threads divide
      loop r0 carries 28 accumulators
        14 scalar loads, 2 vector loads, 28 multiply-adds
      28 × tanh, 28 stores

The lane axis is one of the results' (a vector is 16 results), or one of the reduction's (a vector is 16 partial results,
added up in fixed order behind the loops). An extent that the tile does not divide is finished by a tile that begins earlier
and computes some results twice, with the same bits; where that is not harmless the plan has a tile that divides.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..mathematics.expression import Axis, Expression
from .accumulators import better, combined, neutral
from .arithmetic import Arithmetic
from .bounds import Bounds, Split, split_conditions
from .lanes import Evaluator
from .loop_builder import Builder
from .loops import Element, Function, Store, Value
from .nest import Nest, Result, total
from .plan import Plan, Shift
from .products import addends

_BITS = {"f32": 32, "f64": 64}
_MASKED_BITS = 512  # vectors of so many bits have masks in hardware


def generate(nest: Nest, plan: Plan, name: str) -> Function:
    """The kernel of a nest."""
    return _Kernel(nest, plan).function(name)


class _Kernel:
    """One kernel while it is being generated."""

    def __init__(self, nest: Nest, plan: Plan) -> None:
        self.nest = nest
        self.plan = plan
        self.builder = Builder([f"b{n}" for n in range(len(nest.buffers))])
        self.starts: dict[Axis, Value] = {}
        self.real: Element = "f32" if nest.real == "float32" else "f64"
        self.shifts = plan.shifts(nest)
        #: The lane axis of the results, if its last vector is masked.
        self.masked = plan.lane if plan.is_masked(nest) else None

    def _evaluator(self, lane: Axis | None, shifted: Sequence[Axis]) -> Evaluator:
        return Evaluator(
            self.builder, self.nest, self.starts, lane=lane, lanes=self.plan.lanes, shifted=shifted
        )

    def function(self, name: str) -> Function:
        builder, plan, nest = self.builder, self.plan, self.nest
        place, _ = builder.open_loop(builder.begin, builder.end)
        self._open_tiles(place)
        if nest.kind == "scatter":
            self._scatter()
        else:
            self._results(self._reduce() if nest.kind else {})
        for at in reversed(range(plan.parallel, len(plan.order))):
            if plan.blocks(at) > 1:
                builder.close()
        builder.close()
        return builder.function(name)

    def _open_tiles(self, place: Value) -> None:
        """Set the start of every axis of the results; open the loops over tiles that are not divided among threads."""
        builder, plan = self.builder, self.plan
        inner = plan.extent
        for at, axis in enumerate(plan.order):
            count, size = plan.blocks(at), plan.tile[at]
            if at < plan.parallel:
                inner //= count
                block = place
                if inner > 1:
                    block = builder.emit("udiv", (block, builder.integer(inner)), "i64")
                if at > 0 and count > 1:
                    block = builder.emit("urem", (block, builder.integer(count)), "i64")
                if count == 1:
                    block = builder.integer(0)
            elif count > 1:
                block, _ = builder.open_loop(builder.integer(0), builder.integer(count))
            else:
                block = builder.integer(0)
            start = builder.multiply(block, builder.integer(size))
            if axis.size % size and not self.nest.whole and axis != self.masked:
                assert self.nest.idempotent and size <= axis.size, "a tile must divide what is not idempotent"
                start = builder.minimum(start, builder.integer(axis.size - size))
            self.starts[axis] = start

    def _existing(self, shift: Shift) -> Value | None:
        """The mask of lanes within the extent of the results' lane axis, where a tile may run over its end."""
        if self.masked is None:
            return None
        place = self.builder.add(
            self.starts[self.masked], self.builder.integer(shift[self.plan.order.index(self.masked)])
        )
        return self._lanes_below(self.builder.subtract(self.builder.integer(self.masked.size), place))

    def _lanes_below(self, count: Value) -> Value | None:
        """The mask of the first `count` lanes; None for all of them."""
        builder, lanes = self.builder, self.plan.lanes
        if count.is_constant and count.attribute >= lanes:  # type: ignore[operator]
            return None
        left = builder.splat(builder.convert(count, "i32"), lanes)
        return Arithmetic(builder, self.real).compare("slt", builder.lane_numbers(lanes, "i32"), left)

    # ---------------------------------------------------------------------------------------------- reductions

    def _reduce(self) -> dict[Shift, list[Value]]:
        """Open the reduction's loops, accumulate, close them; the accumulators of every shift."""
        nest, plan, builder = self.nest, self.plan, self.builder
        self.evaluator = self._evaluator(plan.lane, (*plan.order, *plan.written))
        self.loop_evaluator = self._evaluator(None, ())
        varying = {a for a, t in zip(plan.order, plan.tile, strict=True) if t > 1} | {*plan.repeated}
        self.starts |= dict.fromkeys(plan.repeated, builder.integer(0))
        split = split_conditions(
            nest.where, plan.loops, varying, plan.lane if plan.lane in nest.reduced else None
        )
        first = self._neutral()
        width = len(first)
        carried = [v for _ in range(plan.ways) for _ in self.shifts for v in first]
        for test in split.before:
            carried = builder.open_branch(self.loop_evaluator.value(test), carried)
        carried = self._loops(split, 0, carried, None)
        for _ in split.before:
            carried = builder.close(carried)
        way = len(self.shifts) * width
        ways = [carried[n * way : (n + 1) * way] for n in range(plan.ways)]
        while len(ways) > 1:  # partial results in pairs
            pairs = zip(ways[::2], ways[1::2], strict=False)
            ways = [
                [combined(nest.kind, self.evaluator.arithmetic, a, b) for a, b in zip(*p, strict=True)]
                for p in pairs
            ] + (ways[-1:] if len(ways) % 2 else [])
        return {shift: ways[0][n * width : (n + 1) * width] for n, shift in enumerate(self.shifts)}

    def _loops(self, split: Split, at: int, carried: list[Value], end: Value | None) -> list[Value]:
        """The reduction's loops from number `at` inwards, and what stands in them. `end`: where the lanes end, if it is to be
        seen to.

        Where lanes are not masked at no cost, a loop that may end within a vector goes over whole vectors first.
        """
        builder, plan = self.builder, self.plan
        if at == len(plan.loops):
            return self._terms(split, carried, end)
        axis, bounds = plan.loops[at], split.loops[at]
        lower, upper, guarded = self._extent(axis, bounds)
        step = bounds.step * self._steps_at_once(axis)
        if axis == plan.lane:
            end = self._end_of_lanes(lower, upper, step)
        if axis != plan.lane or end is None or plan.lanes * _BITS[self.real] >= _MASKED_BITS:
            return self._loop(split, at, carried, end, (lower, upper, step, guarded))
        length = builder.subtract(upper, lower)
        if length.is_constant:
            whole = builder.integer(int(length.attribute) // step * step)  # type: ignore[call-overload]
        else:
            positive = builder.maximum(length, builder.integer(0))
            whole = builder.emit("and", (positive, builder.integer(-step)), "i64")
        whole = builder.add(lower, whole)
        if not (lower.is_constant and whole.is_constant and whole.attribute == lower.attribute):
            carried = self._loop(split, at, carried, None, (lower, whole, step, guarded))
            self.evaluator.forget()
        self.starts[axis] = whole
        carried = builder.open_branch(builder.emit("icmp", (whole, upper), "i1", 1, "slt"), carried)
        return builder.close(self._loops(split, at + 1, carried, end))

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
        self.starts[axis], carried = builder.open_loop(lower, upper, step, carried, guarded=guarded)
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
        width = len(carried) // (plan.ways * len(self.shifts))
        for number, step in enumerate(plan.steps):
            tail = None
            if end is not None:
                tail = self._lanes_before(end, step)
            elif self.masked is None:
                self.evaluator.tail = None
            first = number % plan.ways * len(self.shifts) * width
            for n, shift in enumerate(self.shifts):
                place = (*shift, *step)
                mask = tail
                if self.masked is not None:
                    self.evaluator.tail = self._existing(shift)
                for condition in split.masks:
                    holds = self.evaluator.value(condition, place)
                    mask = holds if mask is None else builder.both(mask, holds)
                at = slice(first + n * width, first + (n + 1) * width)
                carried[at] = self._accumulate(place, carried[at], mask)
        return carried

    def _extent(self, axis: Axis, bounds: Bounds) -> tuple[Value, Value, bool]:
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
        place = self.starts[plan.lane]
        if plan.lane in plan.written:
            place = builder.add(place, builder.integer(step[plan.written.index(plan.lane)]))
        mask = self._lanes_below(builder.subtract(end, place))
        assert mask is not None
        self.evaluator.tail = mask if self.loads_run_over else None
        return mask

    def _neutral(self) -> list[Value]:
        """What the accumulators of one result begin with."""
        assert self.nest.term is not None
        element: Element = self.real if self.nest.term.type == "real" else "i64"
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

    # ------------------------------------------------------------------------------------------------ results

    def _results(self, totals: dict[Shift, list[Value]]) -> None:
        """Evaluate what stands behind the reduction at every place of the tile, then store all of it."""
        nest, builder = self.nest, self.builder
        lane = self.plan.lane if self.plan.lane in self.plan.order else None
        evaluator = self._evaluator(lane, self.plan.order)
        for shift, values in totals.items():
            value = values[-1]
            if lane is None and value.lanes > 1:
                value = self._across_lanes(values)
            for kind in ("real", "integer"):
                evaluator.given[total(kind), shift] = value  # type: ignore[arg-type]
        stores: list[Store] = []
        for shift in self.shifts:
            evaluator.tail = self._existing(shift)
            for result in nest.results:
                value = evaluator.vector(result.value, shift)
                pointer, index = evaluator.place(result.buffer, result.offset, shift)
                stores.append(Store(pointer, self._as_stored(value, result), index, evaluator.tail))
        for statement in stores:
            builder.store(statement)

    def _across_lanes(self, values: list[Value]) -> Value:
        """Partial results of all lanes as one, in fixed order."""
        (value,) = values
        return self.builder.emit("reduce", (value,), value.element, 1, self.nest.kind)

    def _as_stored(self, value: Value, result: Result) -> Value:
        kinds: dict[str, Element] = {"float32": "f32", "float64": "f64", "int32": "i32", "int64": "i64"}
        return self.builder.convert(value, kinds[self.nest.buffers[result.buffer].data_type])

    def _scatter(self) -> None:
        """Add each term to its result in memory, in order of the reduction's axes."""
        nest, plan, builder = self.nest, self.plan, self.builder
        assert nest.term is not None and nest.term.type == "real"
        self.evaluator = evaluator = self._evaluator(plan.lane, plan.order)
        self.loop_evaluator = self._evaluator(None, ())
        varying = {a for a, t in zip(plan.order, plan.tile, strict=True) if t > 1}
        split = split_conditions(nest.where, plan.reduced, varying)
        opened = 0
        for test in split.before:
            builder.open_branch(self.loop_evaluator.value(test))
            opened += 1
        for axis, bounds in zip(plan.reduced, split.loops, strict=True):
            lower, upper, guarded = self._extent(axis, bounds)
            self.starts[axis], _ = builder.open_loop(lower, upper, bounds.step, guarded=guarded)
            opened += 1
            for test in bounds.tests:
                builder.open_branch(self.loop_evaluator.value(test))
                opened += 1
        (result,) = nest.results
        for shift in self.shifts:
            evaluator.tail = mask = self._existing(shift)
            for condition in split.masks:
                holds = evaluator.value(condition, shift)
                mask = holds if mask is None else builder.both(mask, holds)
            value = self._as_stored(evaluator.vector(nest.term, shift, mask), result)
            pointer, index = evaluator.place(result.buffer, result.offset, shift)
            if mask is not None:
                mask = builder.splat(mask, value.lanes)
            if mask is not None and value.lanes == 1:
                builder.open_branch(mask)
            operands = (pointer,) if index is None else (pointer, index)
            before = builder.emit_here(
                "load" if index is None else "gather", operands, value.element, value.lanes
            )
            after = builder.emit("fadd", (before, value), value.element, value.lanes)
            builder.store(Store(pointer, after, index, mask if value.lanes > 1 else None))
            if mask is not None and value.lanes == 1:
                builder.close()
        for _ in range(opened):
            builder.close()
