"""Choices: what is wanted only where a choice has it is not stored besides, and no gradient is another."""

from __future__ import annotations

import numpy as np
import pytest
from dln.compiler.mathematics.graph import Graph, verify
from dln.compiler.pass_order import run_passes
from dln.compiler.pipeline import front_text
from dln.compiler.printing.listing import family_text

from ..family_oracle import evaluate, random_values

TEXT = """
input  x[4, 3]
weight w[3, 3]
let    q[t: 4, j: 3] = sum[i] x[t, i] * w[i, j]
let    e[t: 4, s: 4] = sum[d] q[t, d] * x[s, d]
{choice}
let    y[t: 4, j: 3] = sum[s] a[t, s] * q[s, j]
loss   average[batch] sum[t, j] y[t, j]^2{more}
"""
SOFTMAX = "let a[t: 4, s: 4] = softmax[s where s <= t](e[t, s])"
PLAIN = """let p[t: 4, s: 4] = exp(e[t, s])
let a[t: 4, s: 4] = p[t, s] if s <= t else 2"""


def stages(choice: str, more: str = "") -> tuple[Graph, Graph]:
    """Before and after the pass."""
    found = dict(run_passes(front_text(TEXT.format(choice=choice, more=more)), verified=True))
    return found["values"], found["choices"]


@pytest.mark.parametrize(
    ("choice", "chosen", "read"), [(SOFTMAX, "a.softmax.e.exp", "a.softmax.e"), (PLAIN, "p", "a")]
)
def test_the_choice_is_read_and_what_it_chooses_is_not(choice, chosen, read):
    before, after = stages(choice)
    verify(after)
    assert [f.name for f in before.families.values() if chosen in f.sources] == [read, "∂e"]
    assert [f.name for f in after.families.values() if chosen in f.sources] == [read]
    assert f" * {read}[batch, t, s]" in family_text(after.families["∂e"])
    values = random_values(before, 3)
    old, new = evaluate(before, values, 3), evaluate(after, values, 3)
    for name in before.gradients.values():
        np.testing.assert_array_equal(new[name], old[name])


@pytest.mark.parametrize("more", [" + average[batch] sum[t, s] p[t, s]", " + average[batch] p[0, 1]"])
def test_what_is_read_elsewhere_too_stays(more):
    before, after = stages(PLAIN, more)
    assert after is before
