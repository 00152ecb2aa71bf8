"""Schedule: which families make one kernel, in what order kernels run, and which of them each routine calls.

In: a graph in order, with its equalities solved (sharing.py).  Out: `Program`.

    lower(graph, capacity=32, precision="float32", target=host_target())

The graph is scheduled once. A routine ('train', 'gradient', 'evaluate', 'forward') is the part of that schedule that its
results need, so memory is planned once, and a kernel never computes what one of the routines that run it must not compute.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from ..kernels import contraction, llvm, loops, transpose
from ..kernels.followed import follow
from ..kernels.likeness import likeness
from ..kernels.lower_bound import Least
from ..kernels.memory import (
    OVERRUN,
    SIZES,
    Layout,
    Lifetime,
    batch_goes_innermost,
    layout_of,
    layouts,
    padded_capacity,
    plan,
    table_key,
    without_steps,
)
from ..kernels.nest import Nest, Real
from ..kernels.nest_builder import Member, build
from ..kernels.program import Kernel, Placement, Program, Routine
from ..kernels.tiling import Choice, Registers, choose
from ..mathematics.expression import Axis, Load, new_axis, real
from ..mathematics.graph import Family, Graph
from ..passes.recurrence import time_slices
from .columns import Columns
from .fusion import clusters
from .grouping import Cluster, Loops, of_one_step
from .one_sample import of_one_sample
from .own_sums import is_own, shown
from .partial_sums import PartialSums
from .reading_order import in_reading_order
from .relayout import Relayout
from .routines import Step, calls, last_uses, standard_routines
from .updates import in_place

#: Cycles that one more kernel costs.
_CALL = 100.0


class Target(Protocol):
    """What the schedule asks of a target: the width of a vector register and how many there are."""

    @property
    def vector_bits(self) -> int: ...

    @property
    def registers(self) -> int: ...


def lower(
    graph: Graph,
    *,
    capacity: int,
    precision: Real = "float32",
    target: Target,
    routines: Mapping[str, Iterable[str]] | None = None,
    ready: Callable[[Kernel], None] | None = None,
    verified: bool = True,
) -> Program:
    """The program of a graph. `routines` gives the families that each routine is for (default: `standard_routines`), and `ready`
    is told of every kernel as soon as it is made.

    `verified`: every kernel is checked before it is text; LLVM checks the text in any case, and tells less.

    `capacity` is the most samples that a minibatch holds; the program's own may be larger, to fill vectors. A routine that
    has updates among its roots stores them and advances the clock; losses and metrics among them are its results.
    """
    wanted = {n: tuple(r) for n, r in (routines or standard_routines(graph)).items()}
    return _Lowering(graph, capacity, precision, target, wanted, ready, verified).program()


class _Lowering:
    """The lowering of one graph, step by step."""

    def __init__(
        self,
        graph: Graph,
        capacity: int,
        precision: Real,
        target: Target,
        routines: dict[str, tuple[str, ...]],
        ready: Callable[[Kernel], None] | None = None,
        verified: bool = True,
    ) -> None:
        self.ready, self.verified = ready, verified
        size = 64 if precision == "float64" else 32
        self.registers = Registers(target.vector_bits, target.registers)
        lanes = max(1, target.vector_bits // size)
        self.batch_inside = batch_goes_innermost(graph, capacity, lanes)
        self.capacity = padded_capacity(capacity, lanes) if self.batch_inside else capacity
        self.precision = precision
        self.routines = routines
        made, self.graph = clusters(of_one_sample(graph) if capacity == 1 else graph, routines)
        order = in_place(made, self.graph, routines)
        self.clusters, self.storage, self.copies = order.clusters, order.storage, order.copies
        self.slices = time_slices(self.graph, {c.loops for c in made if c.loops})
        self.layouts = layouts(
            self.graph,
            capacity=self.capacity,
            real=precision,
            batch_inside=self.batch_inside,
            outermost=self.slices,
        )
        for name in of_one_step(self.graph, made, {r for roots in routines.values() for r in roots}):
            self.layouts[name] = without_steps(self.layouts[name], self.slices[name])
        self.kernels: dict[str, Kernel] = {}
        self.known: dict[Nest, tuple[str, int]] = {}
        self.plans: dict[Nest, Choice] = {}
        self.trials: dict[tuple[Nest, int | None], Choice] = {}
        self.bounds: dict[Nest, Least] = {}
        self.built: dict[tuple[tuple[int, bool], ...], tuple[Nest, tuple[str, ...], tuple[Member, ...]]] = {}
        self.alike: dict[Hashable, tuple[Nest, tuple[str, ...], tuple[str, ...]]] = {}
        self.relayout = Relayout(
            self.graph, self.layouts, self._build, self._weigh, self._try, self._least, self.capacity
        )
        self.partial_sums = PartialSums(
            self.graph, self.layouts, self._build, self._weigh, self._try, self._lay_out, self._least
        )
        self.columns = Columns(self.graph, self.layouts, self._build, self._weigh, self._lay_out)
        #: Copies in another layout: the number of the step that makes each.
        self.copied: dict[str, int] = {}
        self.steps: list[Step] = []

    def program(self) -> Program:
        for _, group in itertools.groupby(self.clusters, key=lambda c: id(c.loops[0]) if c.loops else id(c)):
            self._add_clusters(list(group))
        for source, destination in self.copies:
            self._add_copy(source, destination)
        offsets, persistent, end = self._plan_memory()
        placements = {
            name: self._placement(name, self.layouts[name], offsets[self.storage.get(name, name)])
            for name in self.layouts
            if self.storage.get(name, name) in offsets
        }
        constants = {}
        for name, table in self.graph.tables.items():
            if table_key(name) in placements:
                kind = self.layouts[table_key(name)].data_type
                constants[table_key(name)] = np.ascontiguousarray(table.values, dtype=kind)
        return Program(
            name=self.graph.name,
            capacity=self.capacity,
            placements=placements,
            constants=constants,
            bytes=end + OVERRUN,
            kernels=self.kernels,
            routines={name: self._routine(name, roots, offsets) for name, roots in self.routines.items()},
            float_type=self.precision,
            persistent_bytes=persistent,
        )

    # ------------------------------------------------------------------------------------------------- kernels

    def _add_clusters(self, group: Sequence[Cluster]) -> None:
        """The kernel of a cluster, or those of all clusters of a time loop. Copies in another layout stand before it."""
        computed = {m for c in group for m in c.members} if group[0].loops else set()
        repeats = group[0].loops[0].extent if group[0].loops else 1
        improved: list[tuple[Sequence[Member], Sequence[Member]]] = []
        for cluster in group:
            families = [self.graph.families[name] for name in cluster.members]
            time = [tuple(loop.axes[f.name] for loop in cluster.loops) for f in families]
            members = [
                Member(f, f.name in cluster.stored, t, cluster.spread.get(f.name))
                for f, t in zip(families, time, strict=True)
            ]
            better: Sequence[Member] = members
            own = is_own(members[0].family.name) and not cluster.loops
            if own:  # what was found for the same sum of the other routines, which is by itself, holds for it
                better = [replace(members[0], stored=True)]
            fresh: list[str] = []
            if cluster.loops and self.batch_inside:
                better, copies = in_reading_order(members, computed, self.graph, self.layouts)
                fresh = [name for name in copies if name not in self.copied]
            if not fresh:
                better, fresh = self.relayout.improve(better, computed, repeats)
            for name in fresh:
                self.copied[name] = len(self.steps)
                self._add_nest([Member(self.graph.families[name])], cluster.routines)
            for name in better[0].family.sources:
                if name in self.copied:
                    self.steps[self.copied[name]].routines |= cluster.routines
            improved.append((better, members if own else []))
        for cluster, (better, whole) in zip(group, improved, strict=True):
            first = better[0].family
            if first.reduction is not None and first.reduction.scatter:
                zero = Family(first.name, first.axes, real(0), role=first.role, of=first.of)
                self._add_nest([replace(better[0], family=zero)], cluster.routines, cluster.loops)
            kernels: list[Sequence[Member]] = [better] if cluster.loops else self._divided(better)
            if len(whole) > 1:
                kernels = self._followed(kernels, whole)
            for kernel in kernels:
                for part in self._split(kernel):
                    self._add_nest(part, cluster.routines, cluster.loops)

    def _divided(self, members: Sequence[Member]) -> list[Sequence[Member]]:
        """One kernel, or those that do its work in parts."""
        return [part for kernel in self.columns.divide(members) for part in self.partial_sums.divide(kernel)]

    def _followed(self, kernels: list[Sequence[Member]], members: Sequence[Member]) -> list[Sequence[Member]]:
        """The kernels of a sum, of which the last does the work of the other members too, under the plan that it has without."""
        (*parts, (last,)) = kernels
        whole = [replace(last, stored=members[0].stored), *members[1:]]
        (nest, _), (alone, _) = self._build(whole), self._build([last])
        if nest not in self.plans:
            choice = follow(nest, alone, self._choice(alone), self.registers)
            if choice is not None:
                self.plans[nest] = choice
        return [*parts, whole]

    def _split(self, members: Sequence[Member]) -> list[Sequence[Member]]:
        """One kernel, or two where what follows the sum is faster by itself: on whole vectors, if the sum's lanes are added up
        behind its loops, or if it is an update that the sum's tiles do not suit."""
        nest, _ = self._build(members)
        plan, fused, _ = self._choice(nest)
        if len(members) == 1 or not (plan.lane in nest.reduced or is_own(members[0].family.name)):
            return [members]
        parts = [[replace(members[0], stored=True)], members[1:]]
        return parts if sum(self._weigh(p).cycles for p in parts) + _CALL < fused else [members]

    def _build(self, members: Sequence[Member]) -> tuple[Nest, tuple[str, ...]]:
        key = tuple((id(m.family), m.stored) for m in members)
        if key not in self.built:
            # The members keep their identities while they are kept.
            self.built[key] = (*self._nest(members), tuple(members))
        return self.built[key][:2]

    def _nest(self, members: Sequence[Member]) -> tuple[Nest, tuple[str, ...]]:
        """The nest of members, built once for all that are alike, and the names of its buffers."""
        like, memories = likeness(members, self.graph, self.layouts, self.storage)
        found = self.alike.get(like)
        if found is None:
            precise: Real = self.precision if members[0].family.axes else "float64"
            nest, names = build(
                members, self.graph, self.layouts, capacity=self.capacity, real=precise, storage=self.storage
            )
            self.alike[like] = nest, names, memories
            return nest, names
        nest, names, others = found
        own = dict(zip(others, memories, strict=True))
        return nest, tuple(own.get(name, name) for name in names)

    def _weigh(self, members: Sequence[Member]) -> Choice:
        return self._choice(self._build(members)[0])

    def _try(self, members: Sequence[Member], through: str | None = None) -> Choice:
        """About what `_weigh` gives, for members that may not be computed at all; of plans whose lanes run through an array."""
        nest, buffers = self._build(members)
        at = buffers.index(through) if through in buffers else None
        if at is None and nest in self.plans:
            return self.plans[nest]
        if (nest, at) not in self.trials:
            self.trials[nest, at] = choose(nest, self.registers, at, roughly=True)
        return self.trials[nest, at]

    def _least(self, nest: Nest) -> Least:
        if nest not in self.bounds:
            self.bounds[nest] = Least(nest, self.registers)
        return self.bounds[nest]

    def _lay_out(self, family: Family) -> Layout:
        return layout_of(family, self.capacity, self.precision, batch_inside=self.batch_inside)

    def _choice(self, nest: Nest) -> Choice:
        if nest not in self.plans:
            self.plans[nest] = choose(nest, self.registers)
        return self.plans[nest]

    def _add_nest(self, members: Sequence[Member], routines: frozenset[str], loops: Loops = ()) -> None:
        nest, buffers = self._build(members)
        self._add_step(nest, buffers, tuple(m.family.name for m in members), routines, loops)

    def _add_copy(self, source: str, destination: str) -> None:
        """Store a family into the array whose next value it is, at the end of the step."""
        array = self.graph.arrays[destination]
        axes: tuple[Axis, ...] = tuple(new_axis(f"i{n}", e) for n, e in enumerate(array.extents))
        copy = Family(destination, axes, Load(source, axes, self.graph.families[source].type))
        nest, buffers = self._build([Member(copy)])
        routines = frozenset(n for n, roots in self.routines.items() if source in roots)
        self._add_step(nest, buffers, (source,), routines)

    def _add_step(
        self,
        nest: Nest,
        buffers: tuple[str, ...],
        families: tuple[str, ...],
        routines: frozenset[str],
        loops: Loops = (),
    ) -> None:
        kernel, extent = self._kernel(nest)
        cycles = float(self.plans[nest].cycles) if nest in self.plans else 0.0
        stored = frozenset(buffers[r.buffer] for r in nest.results)
        loaded = frozenset(buffers[n] for n in nest.loaded)
        points = math.prod(a.size for a in nest.axes + nest.reduced)
        size = sum(self._bytes_of_a_step(n, loops) for n in dict.fromkeys(buffers))
        reads = loaded | (stored if nest.kind == "scatter" else frozenset())
        self.steps.append(
            Step(
                kernel,
                buffers,
                reads,
                stored,
                extent,
                tuple(map(shown, families)),
                points,
                size,
                routines,
                loops,
                cycles,
                self.kernels[kernel].scratch,
            )
        )

    def _bytes_of_a_step(self, name: str, loops: Loops) -> int:
        """Bytes of a buffer that one call of a time loop's body may touch, or a call outside of all loops."""
        layout = self.layouts[name]
        times = [n for n in self.slices.get(name, ()) if loops and layout.strides[n]]
        return layout.bytes // math.prod(layout.shape[n] for n in times)

    def _kernel(self, nest: Nest) -> tuple[str, int]:
        """The name of the nest's kernel and the size of its parallel range; equal nests have one kernel."""
        found = self.known.get(nest)
        if found is None:
            name = f"k{len(self.kernels)}_{nest.kind or 'map'}"
            turned = transpose.find(nest, self.registers.bits)
            if turned is not None:
                function, extent = transpose.generate(nest, turned, name)
            else:
                tiles = self._choice(nest).plan
                function, extent = contraction.generate(nest, tiles, name), tiles.extent
            function.vector_bits = self.registers.bits
            if self.verified:
                loops.verify(function)
            self.kernels[name] = llvm.kernel(function)
            if self.ready is not None:
                self.ready(self.kernels[name])
            found = self.known[nest] = (name, extent)
        return found

    # -------------------------------------------------------------------------------------------------- memory

    def _plan_memory(self) -> tuple[dict[str, int], int, int]:
        """Offsets of all that is used; what people see or that outlives a step keeps memory of its own."""
        graph = self.graph
        kept: dict[str, int] = {}
        ranks = {"weight": 0, "state": 1, "clock": 2, "input": 4}
        arrays = sorted(graph.arrays.values(), key=lambda a: ranks[a.kind])
        used = {name for step in self.steps for name in step.buffers}
        names = [a.name for a in arrays if a.kind != "input"]
        names += [n for n in map(table_key, graph.tables) if n in used]
        names += [a.name for a in arrays if a.kind == "input"]
        names += [root for roots in self.routines.values() for root in roots]
        for name in names:
            kept.setdefault(self.storage.get(name, name), self.layouts[name].bytes)
        uses = last_uses(self.steps, kept)
        return plan(kept, [Lifetime(n, self.layouts[n].bytes, *between) for n, between in uses.items()])

    def _placement(self, name: str, layout: Layout, offset: int) -> Placement:
        size = SIZES[layout.data_type]
        strides = tuple(s * size for s in layout.strides)
        return Placement(name, offset, layout.shape, strides, layout.data_type)

    # ------------------------------------------------------------------------------------------------- routines

    def _routine(self, name: str, roots: tuple[str, ...], offsets: Mapping[str, int]) -> Routine:
        graph = self.graph
        steps = [s for s in self.steps if name in s.routines]
        loaded = {n for s in steps for n in s.reads}
        scalars = {*graph.metrics.values(), *([graph.loss] if graph.loss else [])}
        return Routine(
            name,
            calls(steps, lambda n: (offsets[n], offsets[n] + self.layouts[n].bytes)),
            inputs=tuple(a.name for a in graph.inputs if a.name in loaded),
            outputs=tuple(r for r in roots if r in graph.outputs),
            results=tuple(r for r in roots if r in scalars),
            advances=any(r in graph.updates.values() for r in roots),
        )
