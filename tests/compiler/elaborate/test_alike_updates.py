"""Weights of the same extents have the same updates, each of itself: as if every weight's had been resolved from the body."""

from __future__ import annotations

import numpy as np
import pytest
from dln.compiler import syntax
from dln.compiler.elaborate import instantiate_optimizer
from dln.compiler.elaborate.alike_updates import Updates
from dln.compiler.mathematics.graph import Graph, verify
from dln.compiler.parse import parse_expression
from dln.compiler.passes.gradient import differentiate
from dln.tests.compiler.elaborating import network, values

NETWORK = """
input x[3]
weight slope = 0.5
weight offset = 0.25
let h1[3] = tanh(dense(x))
let h2[3] = tanh(dense(h1))
layer y[3] = slope * dense(h2) + offset
loss sum[i] y[i]^2
"""
#: An optimizer of the file.
OWN = """
optimizer scaled(rate) {
  state  v = 1
  let    size = sqrt(abs(weight) + gradient^2)
  update v <- 0.9 * v + gradient / size
  update weight <- weight - rate * v
}
"""


def optimized(text: str, call: str) -> Graph:
    net = network(text)
    graph = differentiate(net.graph)
    expression = parse_expression(call)
    assert isinstance(expression, syntax.Call)
    instantiate_optimizer(net, graph, expression)
    verify(graph)
    return graph


@pytest.mark.parametrize("call", ["sgd(0.1)", "adam(0.1 * 0.5^(epoch div 10))", "adadelta()", "scaled(0.1)"])
def test_updates_of_weights_that_are_alike(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = NETWORK + OWN
    written = []
    write = Updates.write

    def noted(self: Updates, weight: str, gradient: str) -> bool:
        done = write(self, weight, gradient)
        written.append(weight if done else "")
        return done

    monkeypatch.setattr(Updates, "write", noted)
    graph = optimized(text, call)
    assert len([w for w in written if w]) == 5, (
        "two of three matrices, two of three vectors, one of two numbers"
    )
    monkeypatch.setattr(Updates, "write", lambda *_: False)
    resolved = optimized(text, call)
    assert graph.updates == resolved.updates
    assert list(graph.families) == list(resolved.families)
    assert set(graph.arrays) == set(resolved.arrays)
    found, expected = values(graph, 4), values(resolved, 4)
    for name in graph.updates.values():
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    starts = {n: a.initializer.value for n, a in graph.arrays.items() if a.kind == "state" and a.initializer}
    for name, start in starts.items():
        other = resolved.arrays[name].initializer
        assert other is not None and other.value == start
    owners: dict[object, set[str]] = {}
    for name in graph.updates.values():
        for axis in graph.families[name].axes:
            owners.setdefault(axis, set()).add(name.split(".w.")[0].split(".b.")[0])
    assert all(len(names) == 1 for names in owners.values()), "no two weights share an index"
