"""Order: every family after what it loads; families that depend on each other are recurrences along an axis.

In: a graph in any order.  Out: the same graph in order, and `components`, the recurrent groups.

    components(graph)   →   [["h.sum", "h"], …]     (groups of mutually dependent families, in order)

A group is a time loop when every load inside it is delayed along one axis; elaborate refuses the others.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..mathematics.graph import Graph
from . import digraph


def components(graph: Graph) -> list[list[str]]:
    """Strongly connected components in topological order, members in the graph's own order.

    Ties are broken by the graph's present order, so that the result is the same in every run.
    """
    needed_by: dict[str, list[str]] = {}
    for name, family in graph.families.items():
        for source in family.sources:
            if source in graph.families:
                needed_by.setdefault(source, []).append(name)
    return digraph.components(list(graph.families), needed_by)


def recurrent(graph: Graph) -> list[list[str]]:
    """The components that are recurrences: several families, or one that loads itself."""
    return [c for c in components(graph) if len(c) > 1 or c[0] in graph.families[c[0]].sources]


def in_order(graph: Graph) -> Graph:
    """The graph with its families in topological order."""
    names: Iterable[str] = (name for component in components(graph) for name in component)
    result = graph.copy()
    result.families = {name: graph.families[name] for name in names}
    return result
