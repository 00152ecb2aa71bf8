"""Order: every family after what it loads; families that depend on each other are recurrences along an axis.

In: a graph in any order.  Out: the same graph in order, and `components`, the recurrent groups.

    components(graph)   →   [["h.sum", "h"], …]     (groups of mutually dependent families, in order)

A group is a time loop when every load inside it is delayed along one axis; elaborate refuses the others.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

from ..mathematics.circles import strongly_connected
from ..mathematics.graph import Graph

Node = TypeVar("Node", bound=Hashable)


def grouped_in_order(needs: Mapping[Node, Iterable[Node]]) -> list[list[Node]]:
    """Strongly connected components in topological order: a node behind what it needs; those that need each other are one group.

    Ties, and the members of a group, are in the order of `needs`, so that the result is the same in every run.
    """
    position = {node: n for n, node in enumerate(needs)}
    group = {node: node for node in needs}  # the group of each node, known by its first member
    members = {node: [node] for node in needs}
    order = _in_order(needs, group, position)
    if len(order) < len(needs):
        members = {inside[0]: inside for inside in strongly_connected(needs)}
        group = {node: first for first, inside in members.items() for node in inside}
        order = _in_order(needs, group, position)
    return [members[node] for node in order]


def _in_order(
    needs: Mapping[Node, Iterable[Node]], group: Mapping[Node, Node], position: Mapping[Node, int]
) -> list[Node]:
    """Groups behind those that they need, as far as none of them goes round in a circle."""
    waiting = dict.fromkeys(group.values(), 0)
    readers: dict[Node, list[Node]] = {}
    for node, others in needs.items():
        for other in others:
            if group[other] != group[node]:
                waiting[group[node]] += 1
                readers.setdefault(group[other], []).append(group[node])
    ready = [position[node] for node, count in waiting.items() if not count]
    heapq.heapify(ready)
    nodes = list(position)
    order: list[Node] = []
    while ready:
        node = nodes[heapq.heappop(ready)]
        order.append(node)
        for reader in readers.get(node, ()):
            waiting[reader] -= 1
            if not waiting[reader]:
                heapq.heappush(ready, position[reader])
    return order


def components(graph: Graph) -> list[list[str]]:
    """Strongly connected components of the families in topological order, members in the graph's own order."""
    return grouped_in_order(
        {
            name: [source for source in family.sources if source in graph.families]
            for name, family in graph.families.items()
        }
    )


def recurrent(graph: Graph) -> list[list[str]]:
    """The components that are recurrences: several families, or one that loads itself."""
    return [c for c in components(graph) if len(c) > 1 or c[0] in graph.families[c[0]].sources]


def in_order(graph: Graph) -> Graph:
    """The graph with its families in topological order."""
    names: Iterable[str] = (name for component in components(graph) for name in component)
    result = graph.copy()
    result.families = {name: graph.families[name] for name in names}
    return result
