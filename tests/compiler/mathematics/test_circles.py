"""Strongly connected components, and circles, against networkx."""

import random
import subprocess
import sys

import networkx
import pytest
from dln.compiler.mathematics.circles import circle, pairs_around, strongly_connected


def random_graph(seed):
    chance = random.Random(seed)
    nodes = [f"n{n}" for n in range(chance.randint(1, 30))]
    edges = {a: [b for b in nodes if chance.random() < chance.choice((0.02, 0.08))] for a in nodes}
    graph = networkx.DiGraph((a, b) for a, after in edges.items() for b in after)
    graph.add_nodes_from(nodes)
    return nodes, edges, graph


@pytest.mark.parametrize("seed", range(40))
def test_components_of_random_graphs(seed):
    nodes, edges, graph = random_graph(seed)
    found = strongly_connected(edges)
    assert {frozenset(c) for c in found} == {
        frozenset(c) for c in networkx.strongly_connected_components(graph)
    }
    assert found == sorted((sorted(c, key=nodes.index) for c in found), key=lambda c: nodes.index(c[0]))


@pytest.mark.parametrize("seed", range(40))
def test_a_circle_of_random_graphs(seed):
    nodes, edges, graph = random_graph(seed)
    found = circle(edges)
    assert bool(found) != networkx.is_directed_acyclic_graph(graph)
    assert len(set(found)) == len(found) and all(b in edges[a] for a, b in pairs_around(found))
    if found:
        on_circles = [n for c in networkx.strongly_connected_components(graph) if len(c) > 1 for n in c]
        on_circles += [n for n in nodes if n in edges[n]]
        assert found[0] == min(on_circles, key=nodes.index)
        through = [c for c in networkx.simple_cycles(graph, length_bound=len(found)) if found[0] in c]
        assert min(map(len, through)) == len(found)


def test_networks_without_an_impossible_circle_import_no_networkx() -> None:
    source = "input x[9]\\nlayer h[t: 9] = tanh(0.5 * h[t-1 else 0] + x[t])\\nlayer y[2] = dense(h)\\n"
    command = f"import sys, dln; dln.compile('{source}'); sys.exit('networkx' in sys.modules)"
    environment = {"DLN_CACHE": "off", "PATH": ""}
    assert subprocess.run([sys.executable, "-c", command], env=environment, check=False).returncode == 0


def test_a_long_circle_needs_no_deep_stack():
    edges = {n: [(n + 1) % 50_000] for n in range(50_000)}
    assert [len(c) for c in strongly_connected(edges)] == [50_000]
    assert len(strongly_connected({n: [n + 1] if n < 49_999 else [] for n in range(50_000)})) == 50_000
