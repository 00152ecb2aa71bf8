"""Sums leave out what indices say is zero: the same bits, and no term that is far from any other."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from dln.compiler.kernels.nest import Buffer, Nest, Result, total
from dln.compiler.kernels.plan import Plan
from dln.compiler.kernels.support import support
from dln.compiler.mathematics.affine import linear
from dln.compiler.mathematics.expression import Load
from dln.compiler.pass_order import run_passes
from dln.compiler.pipeline import front_text

from .test_tiling import axis, run

ROWS, COLUMNS, TERMS = 21, 24, 32
HALVES = "lower", "upper"


def triangle(which: str) -> Nest:
    """y[t, j] = Σ_s a[t, s] · v[s, j], where a[t, s] = 0 for s > t + 3 or for s < t."""
    t, j, s = axis("a0", ROWS, -1), axis("a1", COLUMNS, -3), axis("r0", TERMS, -2)
    term = Load("0", (t * TERMS + s,)) * Load("1", (s * COLUMNS + j,))
    sizes = (ROWS * TERMS, TERMS * COLUMNS, ROWS * COLUMNS)
    result = Result(2, t * COLUMNS + j, total("real"))
    buffers = tuple(Buffer("float32", n) for n in sizes)
    bound = t + 3 - s if which == "lower" else s - t
    return Nest(
        (t, j), "sum", (s,), (), term, (result,), buffers, "float32", support=(linear(bound).expression(),)
    )


def inputs(which: str) -> list[np.ndarray]:
    random = np.random.default_rng(3)
    a = random.standard_normal((ROWS, TERMS)).astype(np.float32)
    a = np.tril(a, 3) if which == "lower" else np.triu(a)
    v = random.standard_normal((TERMS, COLUMNS)).astype(np.float32)
    return [a.ravel(), v.ravel(), np.zeros(ROWS * COLUMNS, np.float32)]


@pytest.mark.parametrize("which", HALVES)
@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize(
    ("tile", "lane", "reverse", "more"),
    [
        ((3, 16), 1, False, {}),
        ((8, 3), 0, False, {}),
        ((5, 8), 1, True, {}),
        ((3, 8), 1, False, {"packed": (0, 1), "split": (0, 1)}),
        ((3, 8), 1, False, {"depth": 8, "places": 5}),
    ],
)
def test_the_same_bits_as_with_all_terms(which, stride, tile, lane, reverse, more):
    """Tiles that overlap, lanes along either axis, copies and blocks."""
    nest = triangle(which)
    order, sizes = (nest.axes[::-1], tile[::-1]) if reverse else (nest.axes, tile)
    plan = Plan(order, 2, sizes, nest.reduced, nest.axes[lane], 8, stride=stride, **more)
    found, (a, v, _) = run(nest, plan, arrays=inputs(which))
    np.testing.assert_allclose(
        found.reshape(ROWS, COLUMNS),
        a.reshape(ROWS, TERMS) @ v.reshape(TERMS, COLUMNS),
        rtol=1e-4,
        atol=1e-5,
    )
    whole, _ = run(dataclasses.replace(nest, support=()), plan, arrays=inputs(which))
    np.testing.assert_array_equal(found, whole)


@pytest.mark.parametrize("which", HALVES)
@pytest.mark.parametrize("stride", [1, 4])
def test_a_tile_reads_no_term_beyond_its_last_step(which, stride):
    """Zero times NaN would be NaN."""
    nest = triangle(which)
    plan = Plan(nest.axes, 2, (3, 8), nest.reduced, nest.axes[1], 8, stride=stride)
    spoilt = False
    for first in range(0, ROWS, 3):
        arrays = inputs(which)
        low, high = (0, first + 6) if which == "lower" else (first, TERMS)
        low, high = low // stride * stride, min(-(-high // stride) * stride, TERMS)
        v = arrays[1].reshape(TERMS, COLUMNS)
        v[:low] = v[high:] = np.nan
        found = run(nest, plan, arrays=arrays)[0].reshape(ROWS, COLUMNS)
        assert np.isfinite(found[first : first + 3]).all()
        spoilt |= np.isnan(found).any()
    assert spoilt


CAUSAL = """
param  D = 8
input  x[24, D]
weight w[D, D]
let    q[t: 24, d: 8] = sum[i] x[t, i] * w[i, d]
let    e[t: 24, s: 24] = sum[d] q[t, d] * q[s, d]
let    a[t: 24, s: 24] = exp(e[t, s] - 4) if s <= t else {other}
let    z[t: 24]        = sum[s] a[t, s]^2
let    y[t: 24, d: 8]  = sum[s] a[t, s] * q[s, d]
loss   average[batch] sum[t] z[t] + average[batch] sum[t, d] y[t, d]^2
"""


def supports(other: str) -> dict[str, tuple[int, int]]:
    """Of each sum that has one the only form of its support: what an index of its results and one of the sum is multiplied by."""
    graph = dict(run_passes(front_text(CAUSAL.format(other=other))))["slopes"]
    found = {}
    for name, family in graph.families.items():
        for bound in support(family, graph):
            assert name not in found and linear(bound).constant == 0
            assert family.reduction is not None and len(linear(bound).coefficients) == 2
            summed = {
                axis in family.reduction.axes: step for axis, step in linear(bound).coefficients.items()
            }
            found[name] = summed[False], summed[True]
    return found


def test_sums_of_a_causal_matrix_know_their_support():
    """Forward and backward; a sum over its rows, and one over its columns."""
    found = supports("0")
    assert found.pop("z") == found.pop("y") == (1, -1)
    assert all(name.startswith("∂q") for name in found)
    assert sorted(found.values()) == [(-1, 1), (-1, 1), (1, -1)]
    # The derivative of a constant is zero, what it is.
    assert sorted(supports("1").values()) == [(-1, 1), (1, -1)]
