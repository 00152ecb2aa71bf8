"""Updates: kernels in an order in which the next values of weights and states can be stored where the present ones are.

In: clusters (fusion.py) and the graph's updates.  Out: the order, whose memory a family is stored in if not in its own, and the
copies that remain.

    w' = w − 0.1 g        runs after every other kernel that reads w, and stores into w
    a' = b, b' = a        no order will do: one is stored in memory of its own, and copied when all is done

The kernels of a time loop stay together, in the order that they are in.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Mapping

from ..mathematics.graph import Family, Graph
from ..record import record
from .grouping import Cluster


@record(frozen=False)
class Order:
    """`storage`: family → the array in whose memory it is stored.  `copies`: (family, array), at the end of the step."""

    clusters: list[Cluster]
    storage: dict[str, str]
    copies: list[tuple[str, str]]


def in_place(made: list[Cluster], graph: Graph, routines: Mapping[str, tuple[str, ...]]) -> Order:
    """Order the clusters, and decide which updates are stored in place."""
    groups = [list(g) for _, g in itertools.groupby(made, key=lambda c: id(c.loops[0]) if c.loops else id(c))]
    home = {name: n for n, group in enumerate(groups) for cluster in group for name in cluster.members}
    readers: dict[str, set[int]] = {}
    after: list[set[int]] = [set() for _ in groups]
    for n, group in enumerate(groups):
        for name in (m for cluster in group for m in cluster.members):
            for source in graph.families[name].sources:
                if source in graph.arrays:
                    readers.setdefault(source, set()).add(n)
                elif home[source] != n:
                    after[home[source]].add(n)
    storage: dict[str, str] = {}
    before: dict[int, set[int]] = {}  # updating group → the groups that read the old values
    for target, name in graph.updates.items():
        if name not in home or not _may_replace(target, name, groups[home[name]], graph, routines, storage):
            continue
        storage[name] = target
        before.setdefault(home[name], set()).update(readers.get(target, set()) - {home[name]})
    order = _topological(after, before)
    while len(order) < len(
        groups
    ):  # some reader of an old value needs a new one: those updates get their own memory
        done = set(order)
        stuck = next(n for n in before if n not in done)
        del before[stuck]
        for name in groups[stuck][0].members:
            storage.pop(name, None)
        order = _topological(after, before)
    copies = [(name, to) for to, name in graph.updates.items() if name in home and storage.get(name) != to]
    return Order([cluster for n in order for cluster in groups[n]], storage, copies)


def _may_replace(
    target: str,
    name: str,
    group: list[Cluster],
    graph: Graph,
    routines: Mapping[str, tuple[str, ...]],
    storage: Mapping[str, str],
) -> bool:
    """True where storing the family over the old value harms nobody inside its own cluster or in another routine."""
    family = graph.families[name]
    (cluster, *more) = group
    if more or cluster.loops:
        return False  # a step of a loop would change what later steps read
    if name in storage or family.type != graph.arrays[target].type or name in graph.outputs:
        return False
    if not family.axes and graph.arrays[target].type == "real":
        return False  # computed in double precision, kept in the array's own
    if any(name not in routines[r] for r in cluster.routines):
        return False
    return all(_reads_in_place(graph.families[m], target) for m in cluster.members)


def _reads_in_place(family: Family, target: str) -> bool:
    """True where every load of an array is at the family's own axes, and nothing is reduced."""
    return all(
        load.array != target or (family.reduction is None and load.subscripts == family.axes)
        for load in family.loads
    )


def _topological(after: list[set[int]], before: Mapping[int, set[int]]) -> list[int]:
    """The clusters in order, the earliest that is ready first; those on a cycle are left out."""
    follows = [set(successors) for successors in after]
    for updating, readers in before.items():
        for reader in readers:
            follows[reader].add(updating)
    waiting = [0] * len(after)
    for successors in follows:
        for n in successors:
            waiting[n] += 1
    ready = [n for n, count in enumerate(waiting) if not count]
    heapq.heapify(ready)
    order: list[int] = []
    while ready:
        n = heapq.heappop(ready)
        order.append(n)
        for successor in follows[n]:
            waiting[successor] -= 1
            if not waiting[successor]:
                heapq.heappush(ready, successor)
    return order
