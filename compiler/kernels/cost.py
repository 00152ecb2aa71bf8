"""Cost: roughly how many cycles a nest takes under a plan, by counting what its innermost loop issues.

In: `Nest`.  Out: `CostModel`, which tiling.py asks for every plan that it considers.

    dense, tile 14 × 2 vectors:   14 + 2 loads, 28 multiply-adds   →   18 cycles for 28 · 16 multiply-adds
    dense, tile  1 × 1 vector:     1 + 1 loads,  1 multiply-add    →    4 cycles (the sum's own latency) for 16

What the machine issues in a cycle stands in processor.py, what its caches must bring in traffic.py; a gather counts its lanes.
(The figures were compared with measurements of dense and convolutional layers and their gradients on server cores with AVX-512
and with AVX2; most are within a third.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..mathematics.affine import bounds, linear
from ..mathematics.expression import Apply, Axis, Constant, Expression
from ..mathematics.walks import axes_in, postorder
from ..record import record
from .footprints import ENTRY, FAR_WAITING, Footprints, Movement, Walks
from .lanes import STRIDES
from .memory import SIZES
from .nest import Nest, buffer_of, is_access, is_guarded
from .plan import Body, body
from .processor import LATENCY, NARROW, OPERATIONS_PER_CYCLE, WIDE, in_time, near_within
from .products import addends
from .traffic import Access, Traffic
from .trips import Trips

#: Operations that a scalar function takes; one where nothing is said.
_WEIGHTS = {
    "/": 8, "sqrt": 10, "exp": 14, "expm1": 18, "log": 16, "log1p": 20, "tanh": 20, "sigmoid": 18, "erf": 20,
    "sin": 40, "cos": 40, "^": 50, "div": 3, "mod": 3, "real": 1, "stop_gradient": 0, "neg": 1,
}  # fmt: skip


@record
class Work:
    """What is done at every point of an iteration space: loads, and operations with the axes that they depend on."""

    accesses: tuple[Access, ...]
    operations: tuple[tuple[int, float], ...]


class CostModel:
    """The cost of one nest under different plans. Axes are known by number: first the results', then the reduction's."""

    def __init__(self, nest: Nest, *, masks: bool = True) -> None:
        """`masks`: whether the machine's vector registers have masks; without them a gather is a load for every lane."""
        self.nest = nest
        self.processor = WIDE if masks else NARROW
        self.all = nest.axes + nest.reduced
        self.number = {axis: n for n, axis in enumerate(self.all)}
        self.products = 0
        free: set[Expression] = set()
        terms: tuple[Expression, ...] = ()
        if nest.term is not None:
            terms, self.products = (nest.term,), 3 if nest.kind.startswith("arg") else 2
            if nest.kind == "sum" and nest.term.type == "real":
                sums = addends(nest.term)
                self.products = len(sums)
                terms = tuple(dict.fromkeys(f for _, fs in sums for f in fs))
                free = set(postorder(nest.term)) - set(postorder(*terms))
        self.term = self._work_of(terms, free)
        self.conditions = {c: self._work_of((c,)) for c in nest.where}
        self.behind = self._work_of(tuple(r.value for r in nest.results if r.value is not nest.term))
        #: The reduction's axes: what moves along none of them is found once.
        self.moving = self._bits(nest.reduced)
        once = tuple(o for o in self.term.operations if not o[0] & self.moving)
        often = tuple(o for o in self.term.operations if o[0] & self.moving)
        self.term = Work(self.term.accesses, often)
        self.behind = Work(self.behind.accesses, self.behind.operations + once)
        self.stores = [linear(r.offset) for r in nest.results]
        self.trips = Trips(nest)
        #: The axes that conditions depend on: what else varies in a tile changes no loop.
        self.conditional = self._bits(tuple(self.trips.conditional))
        sizes = [SIZES[b.data_type] for b in nest.buffers]
        self.footprints = Footprints(
            [
                Movement(
                    tuple(abs(s) * sizes[a.buffer] for s in a.steps),
                    a.opaque,
                    sizes[a.buffer],
                    nest.buffers[a.buffer].elements * sizes[a.buffer],
                )
                for a in self.term.accesses
            ]
        )

    def _bits(self, axes: Sequence[Expression]) -> int:
        return sum(1 << self.number[a] for a in dict.fromkeys(axes) if a in self.number)  # type: ignore[index,misc]

    def _work_of(self, roots: tuple[Expression, ...], free: set[Expression] = frozenset()) -> Work:  # type: ignore[assignment]
        """The loads and operations of expressions; nodes in `free` cost nothing (they are counted elsewhere)."""
        accesses: list[Access] = []
        operations: dict[int, float] = {}
        in_offsets: set[Expression] = set()
        order = postorder(*roots)
        bits: dict[Expression, int] = {}
        for node in order:
            below = 1 << self.number[node] if isinstance(node, Axis) else 0
            for child in node.children:
                below |= bits[child]
            bits[node] = below
            if not is_access(node):
                continue
            form = linear(node.children[0])
            steps = [0] * len(self.all)
            opaque = 0
            reach = []
            for atom, coefficient in form.coefficients.items():
                if isinstance(atom, Axis):
                    steps[self.number[atom]] = coefficient
                else:
                    opaque |= bits[atom]
                    between = bounds(atom, self.nest.graph)
                    count = self.nest.buffers[buffer_of(node)].elements
                    reach.append((count if between is None else between[1] - between[0] + 1, coefficient))
            guarded, constant = is_guarded(node), form.constant
            accesses.append(
                Access(tuple(steps), opaque, below, buffer_of(node), guarded, constant, tuple(reach))
            )
            in_offsets.update(n for n in postorder(node.children[0]) if _is_sum(n))
        for node in order:
            if isinstance(node, Apply) and node not in free and node not in in_offsets:
                weight: float = _WEIGHTS.get(node.function, 1)
                if node.function in ("div", "mod") and isinstance(node.arguments[1], Constant):
                    divisor = int(node.arguments[1].value)
                    weight = 1 if divisor & (divisor - 1) == 0 else 4
                if node.type == "integer":
                    weight *= 0.5
                operations[bits[node]] = operations.get(bits[node], 0.0) + weight
        return Work(tuple(accesses), tuple(operations.items()))

    def ideal(self, lanes: int) -> float:
        """Cycles of a nest whose vector units are always busy with multiply-adds."""
        trips, _ = self.trips.average(self.nest.reduced, (), None)
        points = math.prod(a.size for a in self.nest.axes) * math.prod(trips)
        return points * self.products / lanes / OPERATIONS_PER_CYCLE

    def along(
        self, lane: Axis | None, lanes: int, reduced: Sequence[Axis], *, copied: bool = False
    ) -> LaneCost:
        """The cost of plans with a given lane axis and order of the reduction's loops. `copied`: they read nothing but packed
        copies (packing.py)."""
        return LaneCost(self, lane, lanes, tuple(reduced), copied)


class LaneCost:
    """The cost of plans that differ in their tiles alone."""

    def __init__(
        self, model: CostModel, lane: Axis | None, lanes: int, reduced: tuple[Axis, ...], copied: bool
    ) -> None:
        self.model = model
        self.lane, self.lanes, self.reduced, self.copied = lane, lanes, reduced, copied
        self.lane_number = model.number[lane] if lane is not None else -1
        self.lane_bit = 1 << self.lane_number if lane is not None else 0
        self.in_results = lane in model.nest.axes
        self.conditional = model.trips.conditional
        self._averages: dict[int, tuple[list[float], list[tuple[int, Work]]]] = {}
        self._bodies: dict[tuple[int, int], tuple[Body, int]] = {}
        #: Tiles with lower bounds of their cycles (lower_bound.py).
        self.bounded: dict[bool, tuple[list[tuple[int, ...]], np.ndarray]] = {}
        self._tiled: dict[tuple[int, ...], Tiled] = {}
        behind_bit = self.lane_bit if self.in_results else 0
        self.stored: float = sum(
            model.processor.scattering * lanes if behind_bit and form.coefficients.get(lane, 0) != 1 else 1.0  # type: ignore[arg-type,misc]
            for form in model.stores
        )
        if model.nest.several is not None:  # the results lack this axis
            self.stored /= model.nest.several.size
        loads = self._loads(model.term, self.lane_bit)
        if copied:
            loads = [(axes, 1.0) for axes, _ in loads]
        self.term_loads = [(axes, cost if axes & model.moving else 0.0) for axes, cost in loads]
        self.behind_loads = self._loads(model.behind, behind_bit)
        self.behind_loads += [(axes, cost) for axes, cost in loads if not axes & model.moving]
        loops = [model.number[a] for a in self.reduced]
        self.traffic = Traffic(
            model.nest, model.term.accesses, model.processor, loops, self.lane_number, lanes
        )

    def _loads(self, work: Work, lane_bit: int) -> list[tuple[int, float]]:
        """(axes, cost) of each load."""
        result = []
        ends = self.lane in self.conditional and not self.in_results  # within a vector
        for access in work.accesses:
            moves = access.axes & lane_bit
            apart = moves and (access.opaque & lane_bit or access.steps[self.lane_number] != 1)
            kind = 2 if ends or access.guarded else 1 if access.opaque & lane_bit else 0
            cost = 1.0
            if apart and kind == 0:
                cost = gathered(self, access.steps[self.lane_number])
            elif apart:
                cost = self.model.processor.gathering[kind] * self.lanes
            result.append((access.axes, cost))
        return result

    def cycles(
        self,
        tile: Sequence[int],
        order: Sequence[int] | None = None,
        limit: float = math.inf,
        *,
        walked: bool = False,
    ) -> float:
        """Cycles of the whole nest, or infinity if they are certainly more than `limit`.

        `tile`: elements of each axis of the results that are computed together (of the lane axis, whole vectors' worth).
        `order`: the numbers of these axes, outermost loop first.  `walked`: by what the loops in this order really touch
        (footprints.py), which tells orders apart.
        """
        tiled = self.tiled(tile)
        model, total = self.model, tiled.adding
        if model.nest.kind:
            computing = tiled.walking if walked else tiled.computing
            if tiled.blocks * computing > limit:
                return math.inf
            order = range(len(tile)) if order is None else order
            waits = FAR_WAITING if walked else model.processor.waiting
            if self.traffic.is_small:
                near, far = 0.0, 0.0
            elif walked:
                room = limit / tiled.blocks - tiled.adding - tiled.behind
                found = self.walks(tile).in_order(order, near_within(computing, room))
                if found is None:
                    return math.inf
                near, far = found
            else:
                near, far = self.traffic.cycles(tiled.counts, tiled.runs, tile, order)
            total += in_time(computing, near, far, waits)
        return tiled.blocks * (total + tiled.behind)

    def tiled(self, tile: Sequence[int]) -> Tiled:
        """What the cycles of a tile are made of."""
        found = self._tiled.get(tuple(tile))
        if found is None:
            found = self._tiled[tuple(tile)] = self._issue(tile)
        return found

    def _issue(self, tile: Sequence[int]) -> Tiled:
        """What is the same for all orders of the loops over tiles."""
        model, nest, lanes = self.model, self.model.nest, self.lanes
        counts = []
        together, blocks = 1, 1
        for n, (axis, size) in enumerate(zip(nest.axes, tile, strict=True)):
            blocks *= -(-axis.size // size)
            count = size // lanes if n == self.lane_number else size
            if count > 1:
                counts.append((1 << n, count))
                together *= count
        loads = _total(self.behind_loads, counts) + together * self.stored
        behind = model.processor.issued(loads, _total(model.behind.operations, counts)) + 4
        if not nest.kind:
            return Tiled(blocks, counts, behind)
        varying = sum(bit for bit, _ in counts) | (self.lane_bit if self.in_results else 0)
        runs, masks = self.average(varying)
        inside, kept = self._body(varying, together)
        loads = _total(self.term_loads, counts)
        operations = _total(model.term.operations, counts) + together * model.products
        for axes, work in masks:
            operations += 0.5 * together
            if axes & ~kept:  # some loop changes it
                loads += _total([(a.axes, 1.0) for a in work.accesses], counts)
                operations += _total(work.operations, counts)
        step = max(
            model.processor.issued(loads, operations + model.processor.counting),
            LATENCY * model.products / inside.ways,
        )
        step += model.processor.turning / inside.terms
        entries = math.prod(runs[: max(len(runs) - 1 - inside.unrolled, 0)])
        return Tiled(
            blocks,
            counts,
            behind,
            adding=together * 5 if self.lane is not None and not self.in_results else 0.0,
            runs=runs,
            together=together,
            unrolled=inside.unrolled,
            stride=inside.stride,
            computing=math.prod(runs) * step + math.prod(runs[:-1]) * 5,
            walking=math.prod(runs) * step + entries * ENTRY,
        )

    def walks(self, tile: Sequence[int]) -> Walks:
        """What the loops of a tile touch."""
        tiled = self.tiled(tile)
        if tiled.walks is None:
            tiled.walks = self._walks(tile, tiled.runs)
        return tiled.walks

    def _walks(self, tile: Sequence[int], runs: Sequence[float]) -> Walks:
        """What the loops touch, from the innermost outwards: those of the reduction, and around them those over tiles."""
        model, axes = self.model, self.model.nest.axes
        covered: list[float] = [*tile, *(1.0 for _ in self.reduced)]
        if self.lane is not None and not self.in_results:
            covered[self.lane_number] = self.lanes
        loops: list[tuple[int, float, float]] = []
        for axis, turns in zip(reversed(self.reduced), reversed(runs), strict=True):
            number = model.number[axis]
            loops.append((number, turns, covered[number] * turns))
        blocks = [-(-axis.size // size) for axis, size in zip(axes, tile, strict=True)]
        return Walks(model.footprints, covered, loops, [(n, blocks[n], a.size) for n, a in enumerate(axes)])

    def _body(self, varying: int, together: int) -> tuple[Body, int]:
        """What stands in the body of the innermost loop, and the axes that no loop of the reduction is along."""
        varying &= self.model.conditional
        found = self._bodies.get((varying, together))
        if found is None:
            nest = self.model.nest
            axes = [a for a, n in self.model.number.items() if varying >> n & 1]
            inside = body(nest, self.reduced, self.lane, self.lanes, together, axes, copied=self.copied)
            loops = self.reduced[: len(self.reduced) - inside.unrolled]
            found = self._bodies[varying, together] = (inside, ~self.model._bits(loops))
        return found

    def average(self, varying: int) -> tuple[list[float], list[tuple[int, Work]]]:
        """Average trips of the reduction's loops, and the conditions that remain masks, with the axes of each, for axes that vary
        in a tile."""
        varying &= self.model.conditional
        found = self._averages.get(varying)
        if found is None:
            model = self.model
            axes = [a for a, n in model.number.items() if varying >> n & 1]
            trips, masks = model.trips.average(self.reduced, axes, self.lane)
            runs = [
                max(n / self.lanes, 1.0) if a == self.lane else n
                for a, n in zip(self.reduced, trips, strict=True)
            ]
            found = self._averages[varying] = (
                runs,
                [(model._bits(axes_in(m)), model.conditions[m]) for m in masks],
            )
        return found


def gathered(cost: LaneCost, step: int) -> float:
    """What a load of elements at a distance costs, in loads of a vector."""
    each = cost.model.processor.gathering[0] * cost.lanes
    return min(each, 1.5 * step) if step in STRIDES else each  # vectors side by side, and shuffles


@record(frozen=False)
class Tiled:
    """What the cycles of a tile are made of.

    blocks     how many tiles there are
    counts     (bit of an axis, places along it) where there are several
    behind     cycles behind the reduction, and `adding` those in which lanes are added up
    runs       trips of the reduction's loops
    together   vectors of results
    unrolled   loops of the reduction that are written out, and `stride` steps of the innermost of the others at once
    computing  cycles of the reduction if all data are near, and `walking` as they are counted with footprints
    walks      what the loops touch, once somebody has asked
    """

    blocks: int
    counts: list[tuple[int, int]]
    behind: float
    adding: float = 0.0
    runs: Sequence[float] = ()
    together: int = 1
    unrolled: int = 0
    stride: int = 1
    computing: float = 0.0
    walking: float = 0.0
    walks: Walks | None = None


def _total(costs: Sequence[tuple[int, float]], counts: Sequence[tuple[int, int]]) -> float:
    """Σ cost · places of the tile at which it is due."""
    total = 0.0
    if not counts:
        return sum([cost for _, cost in costs], total)
    for axes, cost in costs:
        for bit, n in counts:
            if axes & bit:
                cost *= n
        total += cost
    return total


def _is_sum(node: Expression) -> bool:
    return isinstance(node, Apply) and node.type == "integer" and node.function in ("+", "-", "*", "neg")
