"""Order: every family after what it loads; families that depend on each other are recurrences along an axis.

In: a graph in any order.  Out: the same graph in order, and `components`, the recurrent groups.

    components(graph)   →   [["h.sum", "h"], …]     (groups of mutually dependent families, in order)

A group is a time loop when every load inside it is delayed along one axis; elaborate refuses the others.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

import networkx as nx

from ..mathematics.graph import Graph


def dependencies(graph: Graph) -> nx.DiGraph:
    """The directed graph of families: an edge from each family to those that load it."""
    edges: nx.DiGraph = nx.DiGraph()
    edges.add_nodes_from(graph.families)
    for name, family in graph.families.items():
        edges.add_edges_from((source, name) for source in family.sources if source in graph.families)
    return edges


def components(graph: Graph) -> list[list[str]]:
    """Strongly connected components in topological order, members in the graph's own order.

    Ties are broken by the graph's present order, so that the result is the same in every run.
    """
    edges = dependencies(graph)
    position = {name: n for n, name in enumerate(graph.families)}
    condensed = nx.condensation(edges)
    members = {c: sorted(data["members"], key=position.__getitem__) for c, data in condensed.nodes(data=True)}
    waiting = {c: condensed.in_degree(c) for c in condensed}
    ready = [(position[members[c][0]], c) for c, count in waiting.items() if not count]
    heapq.heapify(ready)
    order: list[list[str]] = []
    while ready:
        _, component = heapq.heappop(ready)
        order.append(members[component])
        for after in condensed.successors(component):
            waiting[after] -= 1
            if not waiting[after]:
                heapq.heappush(ready, (position[members[after][0]], after))
    return order


def recurrent(graph: Graph) -> list[list[str]]:
    """The components that are recurrences: several families, or one that loads itself."""
    return [c for c in components(graph) if len(c) > 1 or c[0] in graph.families[c[0]].sources]


def in_order(graph: Graph) -> Graph:
    """The graph with its families in topological order."""
    names: Iterable[str] = (name for component in components(graph) for name in component)
    result = graph.copy()
    result.families = {name: graph.families[name] for name in names}
    return result
