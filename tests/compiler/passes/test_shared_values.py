"""Shared values: what is computed once, and that nothing else changes."""

from __future__ import annotations

import numpy as np
from dln.compiler.mathematics.expression import BATCH, Load, apply, integer
from dln.compiler.mathematics.graph import Family, Reduction, verify
from dln.compiler.passes.gradient import differentiate
from dln.compiler.passes.shared_values import share_values
from dln.compiler.passes.sharing import solve
from dln.compiler.passes.simplify import simplify
from dln.compiler.printing.listing import family_text

from ..family_oracle import evaluate, random_values
from ..graphs import axes, real_input, start, weight, with_loss
from ..recurrent_graphs import gated


def lines(graph):
    return {name: family_text(f).split(" = ", 1)[1] for name, f in graph.families.items()}


def unchanged(before, after, samples=3):
    verify(after)
    values = random_values(before, samples)
    old, new = evaluate(before, values, samples), evaluate(after, values, samples)
    for name in old:
        np.testing.assert_allclose(new[name], old[name], rtol=1e-12, atol=1e-14)


def test_a_function_of_two_equations_is_a_family():
    graph = start(real_input("x", 4))
    i, j = axes("ij", 4, 3)
    graph.add(Family("a", (BATCH, i), 2.0 * apply("exp", Load("x", (BATCH, i)))))
    graph.add(Family("b", (BATCH, j), 1.0 + apply("exp", Load("x", (BATCH, j + 1)))))
    result = share_values(graph)
    unchanged(graph, result)
    assert lines(result) == {
        "a.exp": "exp(x[batch, i])",
        "a": "2 * a.exp[batch, i]",
        "b": "1 + a.exp[batch, j + 1]",
    }


def test_what_one_equation_uses_stays():
    graph = start(real_input("x", 4))
    (i,) = axes("i", 4)
    graph.add(Family("a", (BATCH, i), 2.0 * apply("exp", Load("x", (BATCH, i)))))
    graph.add(Family("b", (BATCH, i), 2.0 * apply("exp", Load("a", (BATCH, i)))))
    assert share_values(graph) is graph


def test_the_most_general_occurrence_is_the_pattern():
    graph = start(real_input("x", 4, 5))
    i, j, k = axes("ijk", 4, 5, 4)
    graph.add(Family("a", (BATCH, k), 3.0 * apply("tanh", Load("x", (BATCH, k, integer(2))))))
    graph.add(Family("b", (BATCH, i, j), 2.0 * apply("tanh", Load("x", (BATCH, i, j)))))
    result = share_values(graph)
    unchanged(graph, result)
    assert lines(result)["a"] == "3 * b.tanh[batch, k, 2]"


def test_different_constants_are_different_values():
    graph = start(real_input("x", 3, 4))
    i, j = axes("ij", 4, 4)
    for name, axis, gate in (("a", i, 0), ("b", j, 1)):
        graph.add(Family(name, (BATCH, axis), 2.0 * apply("tanh", Load("x", (BATCH, integer(gate), axis)))))
    assert share_values(graph) is graph


def test_what_does_not_depend_on_all_indices_is_computed_once_for_each_value():
    graph = start(weight("d", 4), real_input("x", 4))
    (i,) = axes("i", 4)
    graph.add(Family("a", (BATCH, i), apply("sigmoid", Load("d", (i,))) * Load("x", (BATCH, i))))
    result = share_values(graph)
    unchanged(graph, result)
    assert lines(result) == {"a.sigmoid": "sigmoid(d[i])", "a": "a.sigmoid[i] * x[batch, i]"}


def test_sums_share_what_three_of_them_use():
    """Additive attention: tanh(q[t] + k[s]) in the score, and in the derivatives of q, k and v."""
    graph = start(weight("v", 3), weight("q", 4, 3), real_input("k", 5, 3))
    t, s, j = axes("tsj", 4, 5, 3)
    body = Load("v", (j,)) * apply("tanh", Load("q", (t, j)) + Load("k", (BATCH, s, j)))
    graph = with_loss(graph, graph.add(Family("r", (BATCH, t, s), body, Reduction("sum", (j,)))))
    assert share_values(graph) is graph
    for step in (differentiate, simplify, solve, simplify):
        graph = step(graph)
    result = share_values(graph)
    unchanged(graph, result)
    assert sum(text.count("tanh(") for text in lines(result).values()) == 1


def test_two_subscripts_that_must_agree():
    graph = start(real_input("x", 4, 4))
    i, j, k = axes("ijk", 4, 4, 4)
    graph.add(Family("a", (BATCH, i), 2.0 * apply("tanh", Load("x", (BATCH, i, i)))))
    graph.add(Family("b", (BATCH, j, k), 2.0 * apply("tanh", Load("x", (BATCH, j, k)))))
    result = share_values(graph)
    unchanged(graph, result)
    assert lines(result)["a"] == "2 * b.tanh[batch, i, i]"


def test_gates_are_computed_once_for_both_directions():
    graph = gated()
    for step in (simplify, differentiate, simplify, solve, simplify):
        graph = step(graph)
    result = share_values(graph)
    unchanged(graph, result)
    functions = [n for n, text in lines(result).items() if text.startswith(("sigmoid(", "tanh("))]
    assert len(functions) == 2
    assert sum(text.count("sigmoid(") + text.count("tanh(") for text in lines(result).values()) == 2


def test_losses_with_derivatives_agree():
    graph = start(weight("w", 4), real_input("x", 4))
    (i,) = axes("i", 4)
    z = Load("w", (i,)) * Load("x", (BATCH, i))
    graph = with_loss(graph, graph.add(Family("y", (BATCH, i), z * apply("sigmoid", z))))
    for step in (differentiate, simplify, solve, simplify):
        graph = step(graph)
    unchanged(graph, share_values(graph))
