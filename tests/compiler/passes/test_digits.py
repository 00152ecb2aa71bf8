"""Indices of sums in digits: the same values, and nothing left that is looked up."""

from __future__ import annotations

import numpy as np
import pytest
from dln.compiler.mathematics.expression import BATCH, Load, Lookup, apply, integer
from dln.compiler.mathematics.graph import Family, Reduction, verify
from dln.compiler.mathematics.walks import postorder
from dln.compiler.passes.digits import split_digits
from dln.compiler.passes.gradient import differentiate
from dln.compiler.passes.sharing import solve
from dln.compiler.passes.simplify import simplify
from dln.compiler.passes.tables import tabulate

from ..family_oracle import evaluate, random_values
from ..graphs import axes, real_input, start, weight, with_loss


def unchanged(before, after, samples=3):
    verify(after)
    values = random_values(before, samples)
    old, new = evaluate(before, values, samples), evaluate(after, values, samples)
    for name in old:
        np.testing.assert_allclose(new[name], old[name], rtol=1e-12, atol=1e-14)


def flattened(read):
    """p = v · x; h[b, j] = Σ_i w[i, j] · p[b, (subscripts that `read` makes of i)]"""
    graph = start(real_input("x", 4, 3, 5), weight("v", 4, 3, 5), weight("w", 60, 7))
    j, i, *places = axes("jicyx", 7, 60, 4, 3, 5)
    graph.add(Family("p", (BATCH, *places), Load("v", tuple(places)) * Load("x", (BATCH, *places))))
    body = Load("w", (i, j)) * Load("p", (BATCH, *read(i)))
    graph.add(Family("h", (BATCH, j), body, Reduction("sum", (i,)), role="layer"))
    return graph


def row_major(i):
    return (
        apply("div", i, integer(15)),
        apply("mod", apply("div", i, integer(5)), integer(3)),
        apply("mod", i, integer(5)),
    )


def test_a_flattened_array_is_read_plane_by_plane():
    graph = flattened(row_major)
    result = split_digits(graph)
    unchanged(graph, result)
    assert [a.extent for a in result.families["h"].reduction.axes] == [4, 3, 5]
    (read,) = [load for load in result.families["h"].loads if load.array == "p"]
    assert read.subscripts == (BATCH, *result.families["h"].reduction.axes)


def test_its_gradient_is_a_sum_over_the_outputs_alone():
    graph = flattened(row_major)
    graph = simplify(differentiate(with_loss(graph, Load("h", graph.families["h"].axes))))
    result = tabulate(solve(split_digits(graph)))
    unchanged(graph, result)
    for name, family in result.families.items():
        extents = [a.extent for a in family.reduction.axes] if family.reduction else []
        assert 60 not in extents, name
        if family.reduction is not None:
            assert not any(isinstance(n, Lookup) for n in postorder(*family.reduction.where))


@pytest.mark.parametrize(
    ("read", "digits"),
    [
        (lambda i: (apply("div", i, integer(15)), integer(0), integer(1)), [4, 15]),
        (lambda i: (integer(1), integer(2), apply("mod", i, integer(5))), [12, 5]),
        # Overlapping digits: one of four and one of eight neighbours, and the remainder of both.
        (
            lambda i: (
                apply("mod", apply("div", i, integer(6)), integer(2)),
                apply("mod", apply("div", i, integer(12)), integer(2)),
                apply("mod", i, integer(3)),
            ),
            None,
        ),
        # Places that do not divide one another, or not the extent: left as they are.
        (lambda i: (apply("div", i, integer(16)), integer(0), integer(0)), [60]),
        (lambda i: (apply("mod", i, integer(4)), integer(0), apply("mod", i, integer(5))), [60]),
        (lambda i: (apply("mod", i, integer(4)), integer(0), integer(0)), [15, 4]),
    ],
)
def test_digits_of_other_subscripts(read, digits):
    graph = flattened(read)
    result = split_digits(graph)
    unchanged(graph, result)
    if digits is not None:
        assert [a.extent for a in result.families["h"].reduction.axes] == digits


def test_the_place_of_a_winner_stays_a_number_of_the_whole_index():
    graph = start(real_input("x", 4, 3, 5))
    (i,) = axes("i", 60)
    body = Load("x", (BATCH, *row_major(i)))
    graph.add(Family("m", (BATCH,), body, Reduction("argmax", (i,))))
    assert split_digits(graph).families["m"] == graph.families["m"]
