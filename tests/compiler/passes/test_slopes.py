"""Slopes: one array in place of several waits for the backward pass, and no gradient is another."""

from __future__ import annotations

import numpy as np
import pytest
from dln.compiler.mathematics.graph import Graph, verify
from dln.compiler.pass_order import run_passes
from dln.compiler.pipeline import front_text
from dln.compiler.printing.listing import family_text

from ..family_oracle import evaluate, random_values

TEXT = """function swish_like(z) = z * sigmoid(2 * z)
input x[5]
layer a[4] = {layer}
layer b[3] = dense(a)
loss  average[batch] sum[j] b[j]^2
"""


def stages(layer: str) -> tuple[Graph, Graph]:
    """Before and after the pass."""
    found = dict(run_passes(front_text(TEXT.format(layer=layer)), verified=True))
    return found["values"], found["slopes"]


@pytest.mark.parametrize("layer", ["gelu(dense(x))", "swish_like(dense(x))", "silu(dense(x))"])
def test_one_array_in_place_of_two(layer):
    before, after = stages(layer)
    verify(after)
    (slope,) = after.families.keys() - before.families.keys()
    assert after.families[slope].role == "slope"
    (reader,) = [f for f in after.families.values() if slope in f.sources]
    assert family_text(reader).split(" = ")[1] == f"∂a[batch, j] * {slope}[batch, j]"
    assert len(before.families[reader.name].sources) >= 3
    values = random_values(before, 3)
    old, new = evaluate(before, values, 3), evaluate(after, values, 3)
    for name in before.gradients.values():
        np.testing.assert_allclose(new[name], old[name], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("layer", ["tanh(dense(x))", "relu(dense(x))", "dense(x)", "softplus(dense(x))"])
def test_what_would_save_nothing_stays(layer):
    """The derivative of tanh reads the value of the layer, which is stored in any case."""
    before, after = stages(layer)
    assert after is before


def test_a_value_that_is_needed_elsewhere_is_not_replaced():
    """The pre-activation is a layer of its own, which people see."""
    text = TEXT.format(layer="gelu(z[j])").replace("layer a", "layer z[4] = dense(x)\nlayer a", 1)
    found = dict(run_passes(front_text(text.replace("a[4]", "a[j: 4]")), verified=True))
    assert found["slopes"] is found["values"]
