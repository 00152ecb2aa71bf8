"""Loops that take several steps at once: what is left over is done one by one, and the results are the same bits."""

import dataclasses

import numpy as np
import pytest
from dln.compiler.kernels.nest import Buffer, Nest, Result, total
from dln.compiler.kernels.plan import Plan
from dln.compiler.kernels.tiling import Registers, choose
from dln.compiler.mathematics.expression import Load

from .test_tiling import axis, dense, gradient, run

REGISTERS = Registers(256, 16)


@pytest.mark.parametrize("packed", [(), (0,), (0, 1)])
@pytest.mark.parametrize("length", [1, 3, 4, 37])
@pytest.mark.parametrize("stride", [2, 4])
def test_steps_that_are_left_over_are_done_one_by_one(length, stride, packed):
    nest = dense(30, 40, length)
    single = Plan(nest.axes, 2, (3, 16), nest.reduced, nest.axes[1], 8, packed=packed, split=(0, 1))
    got, (w, x, _) = run(nest, dataclasses.replace(single, stride=stride))
    np.testing.assert_allclose(
        got.reshape(30, 40), w.reshape(length, 30).T @ x.reshape(length, 40), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_array_equal(got, run(nest, single)[0])


@pytest.mark.parametrize("packed", [(), (0, 1)])
@pytest.mark.parametrize("depth", [0, 32])
@pytest.mark.parametrize("valid", [64, 50, 33, 3, 1, 0])
def test_a_sum_over_the_samples_that_are_there(valid, depth, packed):
    """The loop ends early, within a block of the sum as well."""
    nest = gradient()
    plan = Plan(
        nest.axes,
        2,
        (4, 8),
        nest.reduced,
        nest.axes[1],
        8,
        stride=4,
        packed=packed,
        split=(0, 1),
        depth=depth,
    )
    got, _ = run(nest, plan, valid)
    expected, _ = run(nest, dataclasses.replace(plan, stride=1, packed=(), depth=0), valid)
    np.testing.assert_array_equal(got, expected)


def difference(rows=24, columns=32, inner=64):
    """y[i, j] = Σ_r w[r − i + 24] · x[r, j]: each step shares all but one of its weights with the step before"""
    i, j, r = axis("a0", rows, -1), axis("a1", columns, -2), axis("r0", inner, -3)
    term = Load("0", (r - i + rows,)) * Load("1", (r * columns + j,))
    sizes = (inner + rows, inner * columns, rows * columns)
    result = Result(2, i * columns + j, total("real"))
    return Nest(
        (i, j), "sum", (r,), (), term, (result,), tuple(Buffer("float32", n) for n in sizes), "float32"
    )


def test_registers_are_for_the_sums_and_not_for_weights_of_the_next_step():
    assert choose(dense(30, 40, 64), REGISTERS).plan.stride == 4
    assert choose(difference(), REGISTERS).plan.stride == 1
