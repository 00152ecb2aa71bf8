"""The order of families against networkx: components, and that everything stands behind what it needs."""

from __future__ import annotations

import random
import subprocess
import sys

import networkx as nx
import pytest
from dln.compiler.passes.order import grouped_in_order


@pytest.mark.parametrize("seed", range(40))
def test_components_in_order(seed: int) -> None:
    draw = random.Random(seed)
    count = draw.randint(1, 12)
    nodes = list("abcdefghijkl"[:count])
    draw.shuffle(nodes)
    edges = [(draw.choice(nodes), draw.choice(nodes)) for _ in range(draw.randint(0, 2 * count))]
    needs = {node: [b for a, b in edges if a == node] for node in nodes}
    found = grouped_in_order(needs)
    oracle = nx.DiGraph()
    oracle.add_nodes_from(nodes)
    oracle.add_edges_from(edges)
    assert {frozenset(c) for c in found} == {frozenset(c) for c in nx.strongly_connected_components(oracle)}
    assert all(c == sorted(c, key=nodes.index) for c in found)
    place = {node: n for n, component in enumerate(found) for node in component}
    assert all(place[b] <= place[a] for a, b in edges)
    # Of the components that could come next, the one whose first member stands first in the mapping does.
    for n, component in enumerate(found):
        for other in found[n + 1 :]:
            if nodes.index(other[0]) < nodes.index(component[0]):
                assert any(place[b] >= n and b not in other for a, b in edges if a in other)


def test_a_network_without_circles_imports_no_networkx() -> None:
    command = (
        "import sys, dln; dln.compile('input x[2]\\nlayer h[2] = tanh(dense(x))\\n'); "
        "sys.exit('networkx' in sys.modules)"
    )
    environment = {"DLN_CACHE": "off", "PATH": ""}
    assert subprocess.run([sys.executable, "-c", command], env=environment, check=False).returncode == 0
