"""Grouping: families over the same axes become clusters, each of which is one kernel.

In: a graph in order, and the routines that need each family.  Out: `Cluster`s in order.

A cluster is a family that reduces, or none, with elementwise families over the same axes, each of which reads others of them at
its own indices. Families are fused only if the same routines need them, so that no kernel computes what one of its routines must
not.

The members of a recurrence (recurrence.py) are fused with each other alone: their kernels compute one step of a time loop. What
they read of another step is memory, as if another kernel had made it.

A family that chooses by one of its indices may have that index besides those of the cluster: it is computed for each value of it,
and nothing remains of the choice.

    ∂a[g, t, j] = select(g = 0, …, 0) + select(g = 1, …, 0) + …     in the kernel of ∂h[t, j], which it reads: four results

In a step of a time loop so may the sum itself, if what reads it does so for one value at a time: several sums are one kernel.

    a[g, t, j] = Σ_k U[g, k, j] · h[t − 1, k],  c[t, j] = a[0, t, j] · c[t − 1, j] + a[1, t, j],  …      four sums, then c and h
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import field, replace

from ..mathematics.expression import BATCH, Apply, Axis, Constant, Load
from ..mathematics.graph import Family, Graph
from ..mathematics.walks import axes_in, postorder
from ..passes.recurrence import Recurrence, in_steps
from ..record import record

#: The time loops around a family, the outermost first.
Loops = tuple[Recurrence, ...]

#: The most values of an index that a family is written out for, and a sum: its values wait in registers.
_CASES = 8
_SUMS = 4


@record(frozen=False)
class Cluster:
    """Families of one kernel, in order; those in `stored` have memory. `routines`: those that run it.  `loops`: the time loops
    that it is a step of, the outermost first.  `spread`: the index that a member has besides those of the kernel."""

    members: list[str]
    stored: set[str] = field(default_factory=set)
    routines: frozenset[str] = frozenset()
    loops: Loops = ()
    spread: dict[str, Axis] = field(default_factory=dict)


def core(family: Family, cluster: Cluster) -> tuple[Axis, ...]:
    """The axes that a member has in common with its cluster."""
    return tuple(a for a in family.axes if a != cluster.spread.get(family.name))


def is_here(
    load: Load, axes: tuple[Axis, ...], cluster: Cluster, graph: Graph, own: Axis | None = None
) -> bool:
    """True for the read of a member at the very place that the kernel computes, `axes` being those of the reader that it has in
    common with the kernel, and `own` the one that it has besides."""
    spread = cluster.spread.get(load.array)
    if spread is None:
        return load.subscripts == axes
    at = graph.families[load.array].axes.index(spread)
    one = isinstance(load.subscripts[at], Constant) or (own is not None and load.subscripts[at] == own)
    return one and (*load.subscripts[:at], *load.subscripts[at + 1 :]) == axes


def grouped(graph: Graph, users: Mapping[str, frozenset[str]]) -> tuple[Graph, list[Cluster]]:
    """Families in clusters, in order of the clusters' first members; and the graph in that order.

    A family joins a cluster only if everything else that it reads is made by clusters before that one. So the order of first
    members stays an order in which kernels can run.
    """
    graph, found = in_steps(graph)
    return graph, _Grouping(graph, users, _loops_around(found)).clusters()


def of_one_step(graph: Graph, clusters: Iterable[Cluster], kept: Collection[str]) -> set[str]:
    """Members of time loops that only kernels of the same step read: memory for one step is enough. `kept` are not among them."""
    loops = {m: c.loops for c in clusters for m in c.members}
    found = {m for m, around in loops.items() if around and m not in kept}
    for family in graph.families.values():
        for load in family.loads:
            if load.array in found:
                around = loops[load.array]
                here = loops.get(family.name, ())
                if here != around or any(loop.is_delayed(graph, family, load) for loop in around):
                    found.discard(load.array)
    return found


def _loops_around(found: Iterable[Recurrence]) -> dict[str, Loops]:
    """The time loops around each member of a recurrence."""
    around: dict[str, Loops] = {}
    stack: list[tuple[Recurrence, Loops]] = [(r, (r,)) for r in found]
    while stack:
        recurrence, loops = stack.pop()
        for step in recurrence.steps:
            if isinstance(step, Recurrence):
                stack.append((step, (*loops, step)))
            else:
                around[step] = loops
    return around


def _index_of_cases(family: Family, loops: Loops) -> Axis | None:
    """The index that an elementwise family chooses by: a few values, each compared with a constant."""
    if family.reduction is not None:
        return None
    times = _times(family, loops)
    for node in postorder(family.body):
        match node:
            case Apply(function="==", arguments=(Constant(), Axis() as axis) | (Axis() as axis, Constant())):
                if axis != BATCH and axis in family.axes and axis not in times and 1 < axis.size <= _CASES:
                    return axis
    return None


def _times(family: Family, loops: Loops) -> set[Axis]:
    return {loop.axes[family.name] for loop in loops}


def _same_extents(some: Iterable[Axis], others: Iterable[Axis]) -> bool:
    return [a.extent for a in some] == [a.extent for a in others]


@record(frozen=False)
class _Grouping:
    graph: Graph
    users: Mapping[str, frozenset[str]]
    loops: Mapping[str, Loops]
    made: list[Cluster] = field(default_factory=list)
    place: dict[str, int] = field(default_factory=dict)  # family → number of its cluster
    #: Array or family → clusters over the same axes that read it at their own indices.
    readers: dict[str, list[int]] = field(default_factory=dict)

    def clusters(self) -> list[Cluster]:
        self.updated = {family: target for target, family in self.graph.updates.items()}
        for family in self.graph.families.values():
            self._add(family)
        return self.made

    def _add(self, family: Family) -> None:
        loops = self.loops.get(family.name, ())
        cases = _index_of_cases(family, loops)
        joined, spread = None, None
        for axis in dict.fromkeys((None, cases, *self._written_out(family, loops))):
            axes = tuple(a for a in family.axes if a != axis)
            for n in self._candidates(family, axes, loops):
                if self._may_join(family, axes, self.made[n], n, axis):
                    joined, spread = n, axis
                    break
            if joined is not None:
                break
        if joined is None and loops and family.reduction is None:
            joined = self._joining_sums(family, loops)
        if joined is None:
            joined, spread = len(self.made), cases
            self.made.append(Cluster([], routines=self.users[family.name], loops=loops))
        cluster = self.made[joined]
        cluster.members.append(family.name)
        self.place[family.name] = joined
        if spread is not None:
            cluster.spread[family.name] = spread
        for source in self._read_at_own_indices(family, core(family, cluster)):
            if joined not in self.readers.setdefault(source, []):
                self.readers[source].append(joined)

    def _read_at_own_indices(self, family: Family, axes: tuple[Axis, ...]) -> list[str]:
        if family.reduction is not None:
            return []
        return list(dict.fromkeys(load.array for load in family.loads if load.subscripts == axes))

    def _candidates(self, family: Family, axes: tuple[Axis, ...], loops: Loops) -> list[int]:
        """Clusters that the family may join, the last first."""
        at_own = self._read_at_own_indices(family, axes)
        found = {self.place[s] for s in at_own if s in self.place}
        found.update(n for s in at_own for n in self.readers.get(s, ()))
        if loops and family.reduction is None:  # any kernel of the step may do it along the way
            found.update(n for n, cluster in enumerate(self.made) if cluster.loops == loops)
        return sorted((n for n in found if self.made[n].loops == loops), reverse=True)

    def _written_out(self, family: Family, loops: Loops) -> list[Axis]:
        """The indices by which sums that an elementwise family reads at its own indices are written out."""
        if not loops or family.reduction is not None:
            return []
        found = []
        for load in family.loads:
            spread = (
                self.made[self.place[load.array]].spread.get(load.array) if load.array in self.place else None
            )
            if spread is not None and load.subscripts == family.axes:
                found.append(family.axes[self.graph.families[load.array].axes.index(spread)])
        return found

    def _joining_sums(self, family: Family, loops: Loops) -> int | None:
        """A cluster of the step that a family joins if its sum is written out by one of its indices; that is done."""
        for number in sorted({self.place[s] for s in family.sources if s in self.place}, reverse=True):
            cluster = self.made[number]
            first = self.graph.families[cluster.members[0]]
            if cluster.loops != loops or cluster.spread or not self._may_be_several(first, loops):
                continue
            for at, axis in enumerate(first.axes):
                if axis == BATCH or axis in _times(first, loops) or not 1 < axis.size <= _SUMS:
                    continue
                if not self._has_rows(first, axis, loops):
                    continue
                trial = replace(cluster, spread={m: self.graph.families[m].axes[at] for m in cluster.members})
                if self._may_join(family, family.axes, trial, number, None):
                    cluster.spread = trial.spread
                    return number
        return None

    def _may_be_several(self, first: Family, loops: Loops) -> bool:
        """Whether a family is a sum without conditions on more than time."""
        reduction = first.reduction
        if reduction is None or reduction.kind != "sum" or reduction.scatter or first.type != "real":
            return False
        return set(axes_in(*reduction.where)) <= _times(first, loops)

    def _has_rows(self, first: Family, axis: Axis, loops: Loops) -> bool:
        """Whether all that a sum reads for one value of an index was there before the loop, and is read by plain indices."""
        for load in first.loads:
            if axis in axes_in(*load.subscripts):
                plain = all(isinstance(s, Axis | Constant) and s != BATCH for s in load.subscripts)
                if not plain or self.loops.get(load.array, ()) == loops:
                    return False
        return True

    def _may_join(
        self, family: Family, axes: tuple[Axis, ...], cluster: Cluster, number: int, spread: Axis | None
    ) -> bool:
        graph = self.graph
        first = graph.families[cluster.members[0]]
        own = core(first, cluster)
        if cluster.routines != self.users[family.name] or not _same_extents(own, axes):
            return False
        if first.reduction is not None and first.reduction.scatter:
            return False
        for loop in cluster.loops:
            if own.index(loop.axes[first.name]) != axes.index(loop.axes[family.name]):
                return False
        shared = False
        for load in family.loads:
            if any(loop.is_delayed(graph, family, load) for loop in cluster.loops):
                continue
            if load.array in cluster.members:
                if not is_here(load, axes, cluster, graph, spread):
                    return False
                shared = True
            elif load.array in self.place and self.place[load.array] >= number:
                return False
        if first.reduction is not None and not shared:
            return False
        return self._keeps_old_values([*cluster.members, family.name])

    def _keeps_old_values(self, names: list[str]) -> bool:
        """An update in a cluster may stay in place only if all its members read the old value at their own indices."""
        members = [self.graph.families[name] for name in names]
        targets = {self.updated[name] for name in names if name in self.updated}
        return all(
            load.array not in targets or (load.subscripts == m.axes and m.reduction is None)
            for m in members
            for load in m.loads
        )
