"""The order of families: everything stands behind what it needs, otherwise as in the file."""

from __future__ import annotations

import random

import pytest
from dln.compiler.mathematics.circles import strongly_connected
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
    # Whether these are the components, and in order within, test_circles.py asks.
    assert sorted(found) == sorted(strongly_connected(needs))
    place = {node: n for n, component in enumerate(found) for node in component}
    assert all(place[b] <= place[a] for a, b in edges)
    # Of the components that could come next, the one whose first member stands first in the mapping does.
    for n, component in enumerate(found):
        for other in found[n + 1 :]:
            if nodes.index(other[0]) < nodes.index(component[0]):
                assert any(place[b] >= n and b not in other for a, b in edges if a in other)
