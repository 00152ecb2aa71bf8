"""Strongly connected components, against networkx."""

import random

import networkx
import pytest
from dln.compiler.mathematics.circles import strongly_connected


@pytest.mark.parametrize("seed", range(40))
def test_components_of_random_graphs(seed):
    chance = random.Random(seed)
    nodes = [f"n{n}" for n in range(chance.randint(1, 30))]
    edges = {a: [b for b in nodes if chance.random() < chance.choice((0.02, 0.08))] for a in nodes}
    graph = networkx.DiGraph((a, b) for a, after in edges.items() for b in after)
    graph.add_nodes_from(nodes)
    found = strongly_connected(edges)
    assert {frozenset(c) for c in found} == {
        frozenset(c) for c in networkx.strongly_connected_components(graph)
    }
    assert found == sorted((sorted(c, key=nodes.index) for c in found), key=lambda c: nodes.index(c[0]))


def test_a_long_circle_needs_no_deep_stack():
    edges = {n: [(n + 1) % 50_000] for n in range(50_000)}
    assert [len(c) for c in strongly_connected(edges)] == [50_000]
    assert len(strongly_connected({n: [n + 1] if n < 49_999 else [] for n in range(50_000)})) == 50_000
