"""Counts of units, connections and weights: published figures, formulas by hand, and brute force over every index point."""

from __future__ import annotations

import itertools
import random
import time

import numpy as np
import pytest
from dln.compiler.mathematics.counts import count, count_sharing, unused_weights
from dln.compiler.mathematics.expression import Constant, Expression, apply, integer, new_axis
from dln.compiler.mathematics.graph import Graph
from dln.compiler.mathematics.lattice import count_points, values_taken
from dln.compiler.mathematics.static_values import evaluate
from dln.tests.compiler.elaborating import network

LECUN = """
network lecun1989
input  image[16, 16]
weight w1[12, 5, 5] ~ uniform(-2.4, 2.4) / sqrt(fan_in)
weight b1[12, 8, 8] = 0
layer  h1[f, y, x] = tanh(b1[f, y, x] +
         sum[v, u] w1[f, v, u] * image[2*y + v - 2, 2*x + u - 2 else -1])
map    plane(f, c) = [[0,1,2,3,4,5,6,7], [4,5,6,7,8,9,10,11], [0,1,2,3,8,9,10,11]][f div 4, c]
weight w2[12, 8, 5, 5] ~ uniform(-2.4, 2.4) / sqrt(fan_in)
weight b2[12, 4, 4] = 0
layer  h2[f, y, x] = tanh(b2[f, y, x] +
         sum[c, v, u] w2[f, c, v, u] * h1[plane(f, c), 2*y + v - 2, 2*x + u - 2 else -1])
layer  h3[30] = tanh(dense(flatten(h2)))
layer  score[10] = tanh(dense(h3))
"""


def total(text: str) -> tuple[int, int, int]:
    sizes = count(network(text).graph).total
    return sizes.units, sizes.connections, sizes.weights


def test_shared_pair_has_six_connections_and_two_weights() -> None:
    text = "input x[4]\nweight w[2]\nmap K(i, j) = i - j\nlayer h[j: 3] = tanh(sum[i] w[K(i, j)] * x[i])"
    assert total(text) == (7, 6, 2)
    assert count_sharing(network(text).graph) == {"h.sum": (6, 2)}


def test_lecuns_network_of_1989_has_the_published_sizes() -> None:
    """Y. LeCun et al., Backpropagation applied to handwritten zip code recognition (1989), section 3.3."""
    assert total(LECUN) == (1256, 64660, 9760)
    rows = {r.name: (r.units, r.connections, r.weights) for r in count(network(LECUN).graph).rows}
    assert rows["h1"] == (768, 19968, 1068)
    assert rows["h2"] == (192, 38592, 2592)
    assert rows["h3"] == (30, 5790, 5790)
    assert rows["score"] == (10, 310, 310)


def test_a_billion_connections_are_counted_at_once() -> None:
    graph = network("input x[50000]\nlayer h[40000] = dense(x)").graph
    before = time.perf_counter()
    sizes = count(graph).total
    assert time.perf_counter() - before < 0.5
    assert sizes.connections == sizes.weights == 50000 * 40000 + 40000
    assert sizes.multiply_adds == 50000 * 40000


def test_borders_without_connections_are_counted_exactly() -> None:
    # A window of 5 over 8 units whose weights end at the border: 3 + 4 + 5·4 + 4 + 3.
    text = "input x[8]\nweight w[5]\nlayer h[j: 8] = sum[i: 8] w[i - j + 2] * x[i]"
    assert total(text)[1:] == (3 + 4 + 5 * 4 + 4 + 3, 5)


def test_maps_by_tables_are_enumerated() -> None:
    text = "input x[2]\nweight w[9]\nmap K(i, j) = [[0, 1, -1], [-1, 4, 0]]\nlayer h[j] = sum[i] w[K(i, j)] * x[i]"
    assert total(text)[1:] == (4, 3)


def test_circulant_weights_are_all_used() -> None:
    text = "input x[8]\nweight w[8]\nlayer h[j: 8] = sum[i] w[(j - i) mod 8] * x[i]"
    assert total(text)[1:] == (64, 8)


def test_weights_that_do_not_exist_are_not_counted() -> None:
    text = (
        "param N = 10\ninput x[N]\nweight w[N, N] where abs(i - j) <= 1\nlayer h[j] = sum[i] w[i, j] * x[i]"
    )
    assert total(text)[1:] == (28, 28)


def test_a_weight_used_by_two_layers_counts_once_in_all() -> None:
    text = (
        "input x[4]\nweight w[4, 3]\nlayer h[j] = sum[i] w[i, j] * x[i]\nlayer y[i] = sum[j] w[i, j] * h[j]"
    )
    sizes = count(network(text).graph)
    assert [r.weights for r in sizes.rows] == [0, 12, 12]
    assert sizes.total.weights == 12 and sizes.total.connections == 24


def test_embeddings_may_use_every_class() -> None:
    text = "input token[6]: class[9]\nweight E[9, 4]\nlayer h[t, d] = E[token[t], d]"
    assert total(text)[1:] == (24, 36)


def test_weights_of_the_loss_are_no_connections() -> None:
    text = (
        "input x[4]\ninput t\nweight w[4]\nlayer y = sum[i] w[i] * x[i]\nloss (y - t)^2 + 0.1 * sum[i] w[i]^2"
    )
    assert total(text) == (5, 4, 4)


def test_unused_entries_are_reported_with_their_number() -> None:
    graph = network(
        "input x[4]\nweight w[4]\nweight u[9]\nlayer h[j: 3] = sum[i] w[i] * u[i + j] * x[i]"
    ).graph
    (warning,) = unused_weights(graph)
    assert warning.code == "W502" and "9 entries" in warning.message and "only 6" in warning.message


# ------------------------------------------------------------------------------------------- brute force


def random_form(generator: random.Random, axes: list) -> Expression:  # type: ignore[type-arg]
    form: Expression = integer(generator.randint(-4, 4))
    for axis in axes:
        if generator.random() < 0.6:
            form = form + axis * generator.randint(-3, 3)
    return form


@pytest.mark.parametrize("seed", range(40))
def test_counts_equal_those_of_visiting_every_point(seed: int) -> None:
    generator = random.Random(seed)
    graph = Graph()
    for _ in range(25):
        axes = [new_axis("abcd"[n], generator.randint(1, 6)) for n in range(generator.randint(1, 4))]
        forms: list[Expression] = []
        conditions: list[Expression] = []
        for _ in range(generator.randint(0, 4)):
            form = (
                generator.choice(forms)
                if forms and generator.random() < 0.5
                else random_form(generator, axes)
            )
            forms.append(form)
            if generator.random() < 0.1:
                form = apply("mod", form, integer(3))
            function = generator.choice(["<", "<=", ">", ">=", "==", "!=", "<=", ">=", "<=", ">="])
            bound = integer(generator.randint(-3, 5))
            pair = (form, bound) if generator.random() < 0.5 else (bound, form)
            conditions.append(apply(function, *pair))
        subscripts = [
            generator.choice(forms) if forms and generator.random() < 0.3 else random_form(generator, axes)
            for _ in range(generator.randint(1, 2))
        ]
        extents = [generator.randint(1, 7) for _ in subscripts]
        number, taken = 0, np.zeros(extents, dtype=bool)
        for point in itertools.product(*[range(a.size) for a in axes]):
            environment = dict(zip(axes, [np.int64(p) for p in point], strict=True))
            if all(_holds(graph, c, environment) for c in conditions):
                number += 1
                places = tuple(int(evaluate(graph, s, environment)) for s in subscripts)
                if all(0 <= p < e for p, e in zip(places, extents, strict=True)):
                    taken[places] = True
        assert count_points(graph, axes, conditions) == number
        np.testing.assert_array_equal(values_taken(graph, axes, conditions, subscripts, extents), taken)


def _holds(graph: Graph, condition: Expression, environment: dict) -> bool:  # type: ignore[type-arg]
    return bool(
        condition.value if isinstance(condition, Constant) else evaluate(graph, condition, environment)
    )


def test_long_axes_are_not_visited() -> None:
    i, j, k = new_axis("i", 10**6), new_axis("j", 10**6), new_axis("k", 10**3)
    conditions = [apply("<=", integer(0), i - j), apply("<", i - j, integer(5))]
    assert count_points(Graph(), [i, j, k], conditions) == (5 * 10**6 - 10) * 1000
