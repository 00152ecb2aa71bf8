"""Reductions block by block: accumulators wait in memory, and the results are the same bits as without blocks."""

import dataclasses
import math

import numpy as np
import pytest
from dln.compiler.kernels.plan import Plan
from dln.compiler.kernels.tiling import Registers, choose
from dln.compiler.mathematics.expression import apply, integer, less

from .test_tiling import dense, gradient, run, window


@pytest.mark.parametrize("depth", [1, 7, 16, 40, 64])
@pytest.mark.parametrize(("parallel", "places"), [(0, 1), (1, 2), (2, 1), (2, 7), (2, 1000)])
@pytest.mark.parametrize(("tile", "reverse"), [((6, 16), False), ((16, 5), True), ((8, 16), False)])
def test_blocks_change_no_bit(tile, reverse, parallel, places, depth):
    nest = dense(30, 40, 64)
    order, tile = (nest.axes[::-1], tile[::-1]) if reverse else (nest.axes, tile)
    lane = nest.axes[0 if tile[order.index(nest.axes[0])] % 8 == 0 else 1]
    whole = Plan(order, 2, tile, nest.reduced, lane, 8)
    expected, (w, x, _) = run(nest, whole)
    np.testing.assert_allclose(
        expected.reshape(30, 40), w.reshape(64, 30).T @ x.reshape(64, 40), rtol=1e-4, atol=1e-4
    )
    got, _ = run(nest, dataclasses.replace(whole, parallel=parallel, depth=depth, places=places))
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("valid", [64, 50, 1, 0])
def test_blocks_behind_the_last_sample_are_empty(valid):
    nest = gradient()
    plan = Plan(nest.axes, 1, (4, 8), nest.reduced, nest.axes[1], 8, depth=16, places=3)
    got, (x, dy, _) = run(nest, plan, valid)
    expected = x.reshape(40, 64)[:, :valid] @ dy.reshape(30, 64)[:, :valid].T
    np.testing.assert_allclose(got.reshape(40, 30), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
@pytest.mark.parametrize("ways", [1, 2])
def test_blocks_under_conditions(depth, ways):
    nest = window()
    plan = Plan(nest.axes, 0, (8,), nest.reduced, nest.axes[0], 8, ways=ways, depth=depth)
    got, (w, x, _) = run(nest, plan)
    padded = np.pad(x, 2)
    expected = [w @ padded[y : y + 5] for y in range(23)]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("depth", [1, 3, 4, 6])
@pytest.mark.parametrize(("first", "end"), [(1, 12), (0, 11), (5, 12), (0, 2), (2, 9)])
def test_blocks_of_a_loop_that_begins_later_or_ends_earlier(first, end, depth):
    nest = dense(30, 40, 12)
    (r,) = nest.reduced
    where = (apply("<=", integer(first), r), less(r, integer(end)))
    plan = Plan(nest.axes, 1, (6, 16), nest.reduced, nest.axes[1], 8, depth=depth, places=3)
    got, (w, x, _) = run(dataclasses.replace(nest, where=where), plan)
    w, x = w.reshape(12, 30)[first:end], x.reshape(12, 40)[first:end]
    np.testing.assert_allclose(got.reshape(30, 40), w.T @ x, rtol=1e-4, atol=1e-4)


def test_blocks_of_a_maximum():
    nest = dataclasses.replace(dense(10, 24, 33), kind="max")
    plan = Plan(nest.axes, 1, (5, 8), nest.reduced, nest.axes[1], 8, depth=10, places=2)
    got, (w, x, _) = run(nest, plan)
    products = w.reshape(33, 10)[:, :, None] * x.reshape(33, 24)[:, None, :]
    np.testing.assert_allclose(got.reshape(10, 24), products.max(axis=0), rtol=1e-6)


@pytest.mark.parametrize("registers", [Registers(256, 16), Registers(512, 32)])
def test_accumulators_wait_in_little_memory(registers):
    """Whatever the numbers of tiles: they wait in memory of each thread's own."""
    chosen = 0
    for outputs, batch, inputs in ((64, 40_000, 900), (500, 256, 500), (9_000, 64, 700), (70, 70, 5_000)):
        plan = choose(dense(outputs, batch, inputs), registers).plan
        if plan.depth:
            chosen += 1
            assert plan.places * plan.inner * math.prod(plan.tile) * 4 <= 262_144
    assert chosen


@pytest.mark.parametrize("inputs", [500, 900, 1_000, 4_000])
@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_blocks_hold_whole_steps(outputs, inputs):
    """Few results: several steps of the loop stand one after the other, and none may run over the end of a block."""
    nest = dense(outputs, 4_096, inputs)
    plan = choose(nest, Registers(256, 16)).plan
    assert not plan.depth or len(plan.loops) > 1 or plan.depth % plan.stride == 0
    got, (w, x, _) = run(nest, plan)
    expected = w.reshape(inputs, outputs).T.astype(np.float64) @ x.reshape(inputs, 4_096)
    np.testing.assert_allclose(got.reshape(outputs, 4_096), expected, atol=1e-3)
