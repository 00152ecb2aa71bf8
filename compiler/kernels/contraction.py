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
from dataclasses import replace

from ..mathematics.expression import Apply
from ..mathematics.walks import postorder
from .bounds import split_conditions
from .lanes import Evaluator
from .loops import Element, Function, Store, Value
from .nest import Nest, Result, total
from .packing import Packing
from .pairing import PAIRED, pair_calls
from .plan import Plan, Shift
from .prefetch import ask_ahead
from .reduction import Reduction
from .tile import Tile
from .waiting import Waiting


def generate(nest: Nest, plan: Plan, name: str) -> Function:
    """The kernel of a nest."""
    return pair_calls(_Kernel(nest, plan).function(name))


class _Kernel:
    """One kernel while it is being generated."""

    def __init__(self, nest: Nest, plan: Plan) -> None:
        self.nest, self.plan, self.tile = nest, plan, Tile(nest, plan)
        self.builder = self.tile.builder

    def function(self, name: str) -> Function:
        """Loops over tiles, and each tile's reduction and results within."""
        builder, tile, nest = self.builder, self.tile, self.nest
        if self.plan.packed or self.plan.depth:
            self._in_blocks()
            return builder.function(name)
        place, _ = builder.open_loop(builder.begin, builder.end)
        tile.open_divided(place)
        tile.open_inner()
        if nest.kind == "scatter":
            self._scatter()
        elif nest.kind:
            ask_ahead(tile)
            reduction = Reduction(tile)
            self._results(reduction.totals(reduction.accumulate(reduction.beginning())))
        else:
            self._results({})
        tile.close_inner()
        builder.close()
        return builder.function(name)

    def _in_blocks(self) -> None:
        """The reduction of all tiles of a panel block by block, from packed copies of some factors.

        The accumulators of all tiles wait in memory for the next block; if there is but one, each tile is finished at once.
        """
        builder, tile, plan = self.builder, self.tile, self.plan
        packing = Packing(tile)
        # Tiles have one number each, in the order of all loops over them.
        begin, end = (builder.multiply(n, builder.integer(plan.inner)) for n in (builder.begin, builder.end))
        if not plan.depth:
            packing.open_tiles(begin, end, None)
            ask_ahead(tile)
            reduction = packing.reduction(None)
            self._results(reduction.totals(reduction.accumulate(reduction.beginning())))
            packing.close_tiles()
            return
        assert len(plan.loops) > 1 or plan.depth % plan.stride == 0, (
            "a step would run over the end of its block"
        )
        first = Reduction(tile).beginning()
        count = plan.places * plan.inner
        waiting = Waiting(builder, first, count)
        zero = builder.integer(0)
        panel, _ = builder.open_loop(begin, end, count)
        end = builder.minimum(builder.add(panel, builder.integer(count)), end)
        number, _ = builder.open_loop(zero, builder.subtract(end, panel))
        waiting.store(waiting.pointers(number), first)
        builder.close()
        block, _ = builder.open_loop(zero, builder.integer(plan.loops[0].size), plan.depth)
        place = packing.open_tiles(panel, end, block)
        here = waiting.pointers(builder.subtract(place, panel))
        waiting.store(here, packing.reduction(block).accumulate(waiting.load(here)))
        packing.close_tiles()
        builder.close()
        place = packing.open_tiles(panel, end, None, pack=False)
        here = waiting.pointers(builder.subtract(place, panel))
        self._results(Reduction(tile).totals(waiting.load(here)))
        packing.close_tiles()
        builder.close()

    def _results(self, totals: dict[Shift, list[Value]]) -> None:
        """Evaluate what stands behind the reduction, two vectors of the tile at a time, and store it: at once if nothing that is
        stored is loaded by this kernel, so that few values wait in registers."""
        nest, tile = self.nest, self.tile
        lane = self.plan.lane if self.plan.lane in self.plan.order else None
        evaluator = tile.evaluator(lane, self.plan.order)
        for place, values in totals.items():
            number, shift = tile.sum_at(place)
            value = values[-1]
            if lane is None and value.lanes > 1:
                value = self._across_lanes(values)
            for kind in ("real", "integer"):
                evaluator.given[total(kind, number), shift] = value  # type: ignore[arg-type]
        nodes = postorder(*(result.value for result in nest.results))
        elementary = [n for n in nodes if isinstance(n, Apply) and n.function in PAIRED]
        stores: list[tuple[Shift, Store]] = []
        at_once = nest.idempotent or (nest.in_place and not self._overlaps_itself())
        for at in range(0, len(tile.results), 2):
            pair = tile.results[at : at + 2]
            self._elementary(evaluator, elementary, pair)
            for shift in pair:
                evaluator.tail = tile.existing(shift)
                for result in nest.results:
                    value = evaluator.vector(result.value, shift)
                    pointer, index = evaluator.place(result.buffer, result.offset, shift)
                    statement = Store(pointer, self._as_stored(value, result), index, evaluator.tail)
                    stores.append((shift, statement))
            if at_once:
                self._store(stores)
                stores.clear()
        self._store(stores)

    def _overlaps_itself(self) -> bool:
        """Whether the tile's vectors overlap each other."""
        return any(size > axis.size for axis, size in zip(self.plan.order, self.plan.tile, strict=True))

    def _store(self, stores: Sequence[tuple[Shift, Store]]) -> None:
        """Store results; of a tile that begins within another, where what is stored was read before, those that are its own."""
        builder, tile, axes = self.builder, self.tile, self.plan.order
        within = tile.overlapping if self.nest.in_place else []
        whole = builder.constant(True, "i1")
        for n in within:
            ends = tile.starts[axes[n]], tile.firsts[axes[n]]
            whole = builder.both(whole, builder.emit("icmp", ends, "i1", 1, "eq"))
        if within:
            builder.open_branch(whole)
        for _, statement in stores:
            builder.store(statement)
        if not within:
            return
        builder.close()
        builder.open_branch(builder.emit("xor", (whole, builder.constant(True, "i1")), "i1"))
        for shift, statement in stores:
            self._store_own(shift, statement, within)
        builder.close()

    def _store_own(self, shift: Shift, statement: Store, within: Sequence[int]) -> None:
        """Store what is not of an earlier tile, which this one begins within along some axes."""
        builder, tile, axes = self.builder, self.tile, self.plan.order
        mask, opened = statement.mask, 0
        for n in within:
            place = builder.add(tile.starts[axes[n]], builder.integer(shift[n]))
            before = builder.subtract(tile.firsts[axes[n]], place)
            if axes[n] == self.plan.lane:
                lanes = statement.value.lanes
                left = builder.splat(builder.convert(before, "i32"), lanes)
                own = builder.emit("icmp", (builder.lane_numbers(lanes, "i32"), left), "i1", lanes, "sge")
                mask = own if mask is None else builder.both(mask, own)
            else:
                builder.open_branch(builder.emit("icmp", (before, builder.integer(0)), "i1", 1, "sle"))
                opened += 1
        builder.store(replace(statement, mask=mask))
        for _ in range(opened):
            builder.close()

    def _elementary(self, evaluator: Evaluator, calls: Sequence[Apply], pair: Sequence[Shift]) -> None:
        """Evaluate elementary functions for two vectors of the tile: their calls stand side by side (pairing.py)."""
        for call in calls:
            for wanted in (*call.arguments, call):
                for shift in pair:
                    evaluator.tail = self.tile.existing(shift)
                    evaluator.value(wanted, shift)

    def _across_lanes(self, values: list[Value]) -> Value:
        """Partial results of all lanes as one, in fixed order."""
        (value,) = values
        return self.builder.emit("reduce", (value,), value.element, 1, self.nest.kind)

    def _as_stored(self, value: Value, result: Result) -> Value:
        kinds: dict[str, Element] = {"float32": "f32", "float64": "f64", "int32": "i32", "int64": "i64"}
        return self.builder.convert(value, kinds[self.nest.buffers[result.buffer].data_type])

    def _scatter(self) -> None:
        """Add each term to its result in memory, in order of the reduction's axes."""
        nest, plan, builder, tile = self.nest, self.plan, self.builder, self.tile
        assert nest.term is not None and nest.term.type == "real"
        evaluator = tile.evaluator(plan.lane, plan.order)
        reduction = Reduction(tile)
        varying = {a for a, t in zip(plan.order, plan.tile, strict=True) if t > 1}
        split = split_conditions(nest.where, plan.reduced, varying)
        opened = 0
        for test in split.before:
            builder.open_branch(reduction.loop_evaluator.value(test))
            opened += 1
        for axis, bounds in zip(plan.reduced, split.loops, strict=True):
            lower, upper, guarded = reduction.extent(axis, bounds)
            tile.starts[axis], _ = builder.open_loop(lower, upper, bounds.step, guarded=guarded)
            opened += 1
            for test in bounds.tests:
                builder.open_branch(reduction.loop_evaluator.value(test))
                opened += 1
        (result,) = nest.results
        for shift in tile.shifts:
            evaluator.tail = mask = tile.existing(shift)
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
