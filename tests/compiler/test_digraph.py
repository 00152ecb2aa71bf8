"""Groups and orders of directed graphs against networkx, on random graphs and on long ones."""

from __future__ import annotations

import random

import networkx
import pytest
from dln.compiler.passes.digraph import circle, components


@pytest.mark.parametrize("seed", range(60))
def test_components_are_those_of_networkx(seed: int) -> None:
    draw = random.Random(seed)
    names = [f"n{k}" for k in range(draw.randrange(1, 14))]
    draw.shuffle(names)
    pairs = [(draw.choice(names), draw.choice(names)) for _ in range(draw.randrange(3 * len(names)))]
    after: dict[str, list[str]] = {}
    for first, second in pairs:
        after.setdefault(first, []).append(second)
    graph = networkx.DiGraph()
    graph.add_nodes_from(names)
    graph.add_edges_from(pairs)
    condensed = networkx.condensation(graph)
    place = {name: n for n, name in enumerate(names)}
    first_of = {c: min(place[m] for m in data["members"]) for c, data in condensed.nodes(data=True)}
    expected = [
        sorted(condensed.nodes[c]["members"], key=place.__getitem__)
        for c in networkx.lexicographical_topological_sort(condensed, key=first_of.__getitem__)
    ]
    assert components(names, after) == expected
    for start in names:
        found = circle(start, after)
        reached = {start} | networkx.descendants(graph, start)
        cyclic = not networkx.is_directed_acyclic_graph(graph.subgraph(reached))
        assert bool(found) == cyclic
        assert set(found) <= reached
        assert all(graph.has_edge(*pair) for pair in zip(found, found[1:] + found[:1], strict=True))


def test_long_chains_need_no_stack() -> None:
    names = [str(k) for k in range(20_000)]
    after = {str(k): [str(k + 1)] for k in range(len(names) - 1)}
    assert components(list(reversed(names)), after) == [[name] for name in names]
    assert circle("0", after) == []
    after[names[-1]] = ["0"]
    assert [sorted(group) for group in components(names, after)] == [sorted(names)]
