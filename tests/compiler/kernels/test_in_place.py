"""Sums whose results replace what they read: every element is replaced once, wherever tiles begin."""

import dataclasses

import numpy as np
import pytest
from dln.compiler.kernels.followed import follow
from dln.compiler.kernels.nest import Nest, Result, accesses, total
from dln.compiler.kernels.plan import Plan
from dln.compiler.kernels.tiling import Registers, choose
from dln.compiler.mathematics.expression import Load

from .test_tiling import axis, dense, gradient, run


def update(inputs=37, outputs=30, batch=64) -> Nest:
    """w[i, j] ← w[i, j] − 0.1 · (g[j] · m[i, j] + Σ_b x[i, b] · ∂y[j, b]),  m[i, j] ← 0.9 · m[i, j] + Σ_b …"""
    nest = dataclasses.replace(gradient(inputs, outputs, batch), where=())
    (result,) = nest.results
    w, m = Load("2", (result.offset,)), Load("3", (result.offset,))
    g = Load("4", (axis("a1", outputs, -3),))
    results = (
        Result(2, result.offset, w - 0.1 * (g * m + total("real"))),
        Result(3, result.offset, 0.9 * m + total("real")),
    )
    buffers = (*nest.buffers, nest.buffers[2], dataclasses.replace(nest.buffers[2], elements=outputs))
    return dataclasses.replace(nest, results=results, buffers=buffers)


def expected(nest: Nest, arrays: list[np.ndarray]) -> np.ndarray:
    x, dy, w, m, g = arrays
    i, j = (a.size for a in nest.axes)
    sums = x.reshape(i, -1).astype(np.float64) @ dy.reshape(j, -1).astype(np.float64).T
    return w.reshape(i, j) - 0.1 * (g * m.reshape(i, j) + sums)


@pytest.mark.parametrize(("packed", "depth"), [((), 0), ((0, 1), 0), ((), 16), ((0, 1), 16)])
@pytest.mark.parametrize(
    ("tile", "lane"),
    [((6, 16), 1), ((3, 24), 1), ((24, 4), 0), ((16, 7), 0), ((37, 8), 1), ((5, 32), 1), ((40, 3), 0)],
)
@pytest.mark.parametrize("reverse", [False, True])
def test_what_a_tile_begins_within_is_left(tile, lane, reverse, packed, depth):
    """The last tiles run first (test_tiling.run), so what they would store twice would be read again."""
    nest = update()
    assert nest.in_place and not nest.idempotent
    order, sizes = (nest.axes[::-1], tile[::-1]) if reverse else (nest.axes, tile)
    plan = Plan(order, 2, sizes, nest.reduced, nest.axes[lane], 8, packed=packed, split=(0, 1))
    plan = dataclasses.replace(plan, depth=depth, places=5 if depth else 1)
    got, arrays = run(nest, plan)
    np.testing.assert_allclose(got.reshape(37, 30), expected(nest, arrays), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("registers", [Registers(256, 16), Registers(512, 32)])
def test_an_update_has_the_tiles_of_its_sum(registers):
    nest = update(500, 500, 256)
    alone = dataclasses.replace(nest, results=dense(500, 500, 256).results)
    plan = choose(nest, registers).plan
    assert plan.tile == choose(alone, registers).plan.tile and any(500 % n for n in plan.tile)


@pytest.mark.parametrize("registers", [Registers(256, 16), Registers(512, 32)])
def test_what_follows_needs_no_search(registers):
    """The plan of the sum by itself, and about the cycles that a search would find."""
    nest = update(500, 500, 256)
    alone = dataclasses.replace(nest, results=dense(500, 500, 256).results)
    choice = choose(alone, registers)
    found = follow(nest, alone, choice, registers)
    assert found.plan == choice.plan and found.ideal == choice.ideal
    assert choice.cycles < found.cycles == pytest.approx(choose(nest, registers).cycles, rel=0.05)
    other = dataclasses.replace(alone, term=alone.term * alone.term)
    assert follow(nest, other, choice, registers) is None
    assert follow(dataclasses.replace(nest, time=2), alone, choice, registers) is None


def test_what_is_read_elsewhere_is_not_in_place():
    nest = update()
    (w, *_) = (n for n in accesses(nest.results[0].value) if n.array == "2")
    shifted = Load("2", (nest.results[0].offset + 1,))
    first = dataclasses.replace(nest.results[0], value=nest.results[0].value + shifted)
    assert not dataclasses.replace(nest, results=(first, nest.results[1])).in_place
    assert not dataclasses.replace(nest, term=nest.term * w).in_place
    assert not dataclasses.replace(nest, kind="").in_place
