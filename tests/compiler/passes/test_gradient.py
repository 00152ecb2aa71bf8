"""Every pass keeps the values; the derived gradients equal finite differences of the loss (brute force, float64)."""

import numpy as np
import pytest
from dln.compiler.mathematics.expression import Apply
from dln.compiler.mathematics.graph import verify
from dln.compiler.mathematics.walks import axes_in
from dln.compiler.passes.gradient import differentiate
from dln.compiler.passes.operands import lift_operands
from dln.compiler.passes.order import in_order
from dln.compiler.passes.sharing import solve
from dln.compiler.passes.simplify import simplify
from dln.compiler.passes.tables import tabulate

from ..family_oracle import evaluate, random_values
from ..graphs import GRAPHS

SAMPLES = 3
PASSES = (simplify, lift_operands, differentiate, simplify, solve, tabulate, simplify, in_order)


def finite_differences(graph, values, name, step=1e-5):
    """Central differences of the loss with respect to every entry of one weight."""
    result = np.zeros_like(values[name])
    for index in np.ndindex(*result.shape):
        kept = values[name][index]
        losses = []
        for sign in (1, -1):
            values[name][index] = kept + sign * step
            losses.append(evaluate(graph, values, SAMPLES)["loss"])
        values[name][index] = kept
        result[index] = (losses[0] - losses[1]) / (2 * step)
    return result


@pytest.mark.parametrize("name", GRAPHS)
def test_passes_keep_the_loss_and_gradients_equal_finite_differences(name):
    graph = GRAPHS[name]()
    verify(graph)
    values = random_values(graph, SAMPLES)
    loss = evaluate(graph, values, SAMPLES)["loss"]
    expected = {w.name: finite_differences(graph, values, w.name) for w in graph.weights}
    current = graph
    for step in PASSES:
        current = step(current)
        verify(current)
        found = evaluate(current, values, SAMPLES)
        assert found["loss"] == pytest.approx(loss, rel=1e-12), step.__name__
        for weight, family in current.gradients.items():
            np.testing.assert_allclose(
                found[family], expected[weight], rtol=1e-6, atol=1e-8, err_msg=step.__name__
            )
    assert set(current.gradients) == set(expected)


@pytest.mark.parametrize("name", GRAPHS)
def test_no_equality_with_an_index_to_solve_for_is_left(name):
    graph = solve(simplify(differentiate(lift_operands(simplify(GRAPHS[name]())))))
    for family in graph.families.values():
        if family.reduction is None or family.role != "gradient":
            continue
        for condition in family.reduction.where:
            if isinstance(condition, Apply) and condition.function == "==":
                # What is left compares data (the winner of a maximum); it sums over no index of its own alone.
                assert not set(axes_in(condition)) <= set(family.reduction.axes), family.name


def test_the_gradient_of_the_shared_pair_is_the_textbook_sum():
    """∂E/∂w_k = Σ over i − j = k of ∂E/∂h.sum_j · x_i, written out in loops."""
    graph = in_order(differentiate(GRAPHS["shared_pair"]()))
    values = random_values(graph, SAMPLES)
    found = evaluate(graph, values, SAMPLES)
    by_hand = np.zeros(2)
    for sample in range(SAMPLES):
        for i in range(4):
            for j in range(3):
                if 0 <= i - j < 2:
                    by_hand[i - j] += found["∂h.sum"][sample, j] * values["x"][sample, i]
    np.testing.assert_allclose(found["∂w"], by_hand, rtol=1e-12)
