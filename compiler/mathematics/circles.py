"""Circles: which nodes of a graph need each other.

In: for every node the nodes that it leads to.  Out: the strongly connected components; a circle.

    strongly_connected({"a": ["b"], "b": ["a", "c"], "c": []})   →   [["a", "b"], ["c"]]
    circle({"a": ["b"], "b": ["a", "c"], "c": []})               →   ["a", "b"]

R. Tarjan, Depth-first search and linear graph algorithms, SIAM Journal on Computing 1 (1972); without recursion, for chains of
any length. networkx has it too; importing that takes a seventh of a second, which only a message about a circle is worth.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

Node = TypeVar("Node", bound=Hashable)


def strongly_connected(edges: Mapping[Node, Iterable[Node]]) -> list[list[Node]]:
    """The components, in order of their first members, each with its members in the order of `edges`."""
    position = {node: n for n, node in enumerate(edges)}
    number: dict[Node, int] = {}
    low: dict[Node, int] = {}
    stack: list[Node] = []
    found: list[list[Node]] = []
    for root in edges:
        if root in number:
            continue
        number[root] = low[root] = len(number)
        stack.append(root)
        work = [(root, iter(edges[root]))]
        while work:
            node, following = work[-1]
            for after in following:
                if after not in number:
                    number[after] = low[after] = len(number)
                    stack.append(after)
                    work.append((after, iter(edges[after])))
                    break
                # What has left the stack belongs to another component.
                low[node] = min(low[node], low[after])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == number[node]:
                    component = [stack.pop()]
                    while component[-1] is not node:
                        component.append(stack.pop())
                    low.update(dict.fromkeys(component, len(edges)))
                    found.append(sorted(component, key=position.__getitem__))
    return sorted(found, key=lambda component: position[component[0]])


def circle(edges: Mapping[Node, Collection[Node]]) -> list[Node]:
    """Nodes of which each leads to the next, and the last to the first: a shortest circle through the first node that is on one.
    Empty where there is none."""
    for component in strongly_connected(edges):
        first = component[0]
        if first in edges[first]:
            return [first]
        if len(component) > 1:
            import networkx

            members = set(component)
            graph = networkx.DiGraph((a, b) for a in component for b in edges[a] if b in members)
            ways = [networkx.shortest_path(graph, after, first) for after in graph[first]]
            return [first, *min(ways, key=len)[:-1]]
    return []


def pairs_around(nodes: Sequence[Node]) -> Iterator[tuple[Node, Node]]:
    """Each node of a circle with the next."""
    return zip(nodes, [*nodes[1:], *nodes[:1]], strict=True)
