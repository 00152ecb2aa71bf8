"""Plans: what is chosen for well-known kernels, and that every plan gives the same values."""

import ctypes
import dataclasses

import numpy as np
import pytest
from dln.compiler.kernels.contraction import generate
from dln.compiler.kernels.llvm import print_function
from dln.compiler.kernels.loops import verify
from dln.compiler.kernels.nest import VALID, Buffer, Nest, Result, total
from dln.compiler.kernels.plan import Plan
from dln.compiler.kernels.tiling import Registers, choose
from dln.compiler.machine.vector_math import definitions
from dln.compiler.mathematics.expression import Axis, Load, at_most, less, select

from ..running import machine_code

REGISTERS = Registers(512, 32)


def axis(name, extent, serial):
    return Axis(name, extent, serial)


def dense(outputs=512, batch=128, inputs=784):
    """y[j, b] = Σ_i w[i, j] · x[i, b]"""
    j, b, i = axis("a0", outputs, -1), axis("a1", batch, -3), axis("r0", inputs, -2)
    term = Load("0", (i * outputs + j,)) * Load("1", (i * batch + b,))
    sizes = (inputs * outputs, inputs * batch, outputs * batch)
    buffers = tuple(Buffer("float32", n) for n in sizes)
    return Nest((j, b), "sum", (i,), (), term, (Result(2, j * batch + b, total("real")),), buffers, "float32")


def gradient(inputs=40, outputs=30, batch=64):
    """∂w[i, j] = Σ_b x[i, b] · ∂y[j, b], over the samples that are there."""
    i, j, b = axis("a0", inputs, -1), axis("a1", outputs, -3), axis("r0", batch, -2)
    term = Load("0", (i * batch + b,)) * Load("1", (j * batch + b,))
    buffers = tuple(Buffer("float32", n) for n in (inputs * batch, outputs * batch, inputs * outputs))
    result = Result(2, i * outputs + j, total("real"))
    return Nest((i, j), "sum", (b,), (less(b, VALID),), term, (result,), buffers, "float32")


def window(places=23, width=5):
    """h[y] = Σ_v w[v] · x[y + v − 2] inside of x"""
    y, v = axis("a0", places, -1), axis("r0", width, -2)
    term = Load("0", (v,)) * Load("1?", (y + v - 2,))
    where = (at_most(0, y + v - 2), less(y + v - 2, places))
    buffers = tuple(Buffer("float32", n) for n in (width, places, places))
    return Nest((y,), "sum", (v,), where, term, (Result(2, y, total("real")),), buffers, "float32")


def run(nest, plan, valid=64, arrays=None):
    """The results of a nest under a plan, for inputs drawn at random if none are given, in two parts as two threads would."""
    function = generate(nest, plan, "kernel")
    verify(function)
    engine = machine_code(print_function(function) + definitions(function.requires))
    generator = np.random.default_rng(0)
    if arrays is None:
        arrays = [generator.standard_normal(b.elements).astype(np.float32) for b in nest.buffers]
    # Behind every array is memory of somebody else: it must not be written, and what is in it must not matter.
    padded = [np.concatenate([a, np.full(64, np.nan, np.float32)]) for a in arrays]
    own = [np.full(function.scratch + 64, 0xA5, np.uint8)] if function.scratch else []  # the thread's memory
    for memory in own:
        memory[:8] = 0
    kinds = [ctypes.c_void_p] * len(arrays), [ctypes.c_int64] * 4, [ctypes.c_void_p] * len(own)
    call = ctypes.CFUNCTYPE(None, *(kind for group in kinds for kind in group))(
        engine.get_function_address("kernel")
    )
    half = plan.extent // 2
    for begin, end in ((half, plan.extent), (0, half)):
        call(*(p.ctypes.data for p in padded), valid, 0, begin, end, *(m.ctypes.data for m in own))
    assert all(np.isnan(p[-64:]).all() for p in padded)
    assert all((m[-64:] == 0xA5).all() for m in own)
    return padded[nest.results[0].buffer][:-64], arrays


def test_dense_has_a_tile_that_fills_the_registers():
    plan = choose(dense(), REGISTERS).plan
    vectors = plan.tile[1] // plan.lanes
    assert (plan.lane.name, plan.lanes) == ("a1", 16)
    assert 20 <= plan.tile[0] * vectors <= 28 and vectors >= 2


def test_few_registers_make_a_small_tile():
    plan = choose(dense(), Registers(256, 16)).plan
    assert plan.lanes == 8 and plan.tile[0] * (plan.tile[1] // 8) <= 14


def test_what_stands_behind_a_sum_does_not_change_the_order_in_its_tile():
    """Six loads of one number and two of vectors: the vectors are held, and each number is used up at once."""
    nest = dense()
    j, b = nest.axes
    mask = Load("3", (j * 128 + b,))  # as of a relu whose gradient this is
    buffers = (*nest.buffers, Buffer("float32", 512 * 128))
    masked = (Result(2, nest.results[0].offset, select(less(0.0, mask), total("real"), 0.0)),)
    plan = Plan((b, j), 2, (16, 6), nest.reduced, b, 8)
    order = plan.shifts(nest)
    assert order[:4] == [(0, 0), (8, 0), (0, 1), (8, 1)]
    assert plan.shifts(dataclasses.replace(nest, results=masked, buffers=buffers)) == order


def test_a_gradient_over_the_batch_adds_up_lanes():
    plan = choose(gradient(20, 6, 1024), REGISTERS).plan
    assert plan.lane in plan.reduced and plan.tile[0] > 1 and plan.tile[1] > 1


@pytest.mark.parametrize("valid", [64, 50, 1])
@pytest.mark.parametrize("tile", [(1, 1), (4, 5), (7, 3), (6, 16)])
@pytest.mark.parametrize("lane", ["a1", "r0", None])
def test_plans_of_a_gradient(lane, tile, valid):
    nest = gradient()
    axes = {a.name: a for a in (*nest.axes, *nest.reduced)}
    if lane == "a1":
        tile = (tile[0], 16)
    plan = Plan(nest.axes, 2, tile, nest.reduced, axes.get(lane), 16 if lane else 1)
    got, (x, dy, _) = run(nest, plan, valid)
    expected = x.reshape(40, 64)[:, :valid] @ dy.reshape(30, 64)[:, :valid].T
    np.testing.assert_allclose(got.reshape(40, 30), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("lanes", [16, 8])  # with masks in hardware, and without
@pytest.mark.parametrize("valid", [128, 77, 64, 3])
@pytest.mark.parametrize(("stride", "ways"), [(1, 1), (2, 2), (4, 3), (8, 8)])
def test_steps_of_a_loop_over_lanes(stride, ways, valid, lanes):
    nest = gradient(3, 2, 128)
    plan = Plan(nest.axes, 2, (3, 1), nest.reduced, nest.reduced[0], lanes, stride=stride, ways=ways)
    got, (x, dy, _) = run(nest, plan, valid)
    expected = x.reshape(3, 128)[:, :valid] @ dy.reshape(2, 128)[:, :valid].T
    np.testing.assert_allclose(got.reshape(3, 2), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("lanes", [4, 8])
@pytest.mark.parametrize("inner", [1, 3, 8, 21])
def test_lanes_over_a_sum_that_ends_within_a_vector(inner, lanes):
    """And whose next values are not numbers: they belong to somebody else."""
    nest = dense(5, 3, inner)
    i = nest.reduced[0]
    term = Load("0", (nest.axes[0] * inner + i,)) * Load("1", (nest.axes[1] * inner + i,))
    nest = dataclasses.replace(nest, term=term)
    plan = Plan(nest.axes, 2, (5, 3), nest.reduced, i, lanes)
    got, (w, x, _) = run(nest, plan)
    expected = w.reshape(5, inner) @ x.reshape(3, inner).T
    np.testing.assert_allclose(got.reshape(5, 3), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("unrolled", "ways"), [(0, 1), (1, 1), (1, 3)])
@pytest.mark.parametrize(("tile", "lanes"), [(1, 1), (3, 1), (8, 8), (16, 16), (32, 32)])
def test_plans_of_a_window(tile, lanes, unrolled, ways):
    nest = window()
    lane = nest.axes[0] if lanes > 1 else None
    plan = Plan(nest.axes, 1, (tile,), nest.reduced, lane, lanes, unrolled=unrolled, ways=ways)
    got, (w, x, _) = run(nest, plan)
    np.testing.assert_allclose(got, np.convolve(x, w[::-1], "same"), rtol=1e-5, atol=1e-5)


def in_place(extent):
    """x[i] + 1, stored where x was."""
    i = axis("a0", extent, -1)
    result = Result(0, i, Load("0", (i,)) + 1.0)
    return Nest((i,), "", (), (), None, (result,), (Buffer("float32", extent),), "float32")


@pytest.mark.parametrize(
    ("bits", "extent", "tile"),
    [
        (512, 21, 32),  # all of the axis, in vectors that overlap: it is loaded before anything is stored
        (128, 21, 1),  # too many vectors for that
        (128, 14, 16),
        (256, 10, 16),
        (256, 5, 8),  # one vector, stored in pieces
        (256, 77, 1),
        (512, 77, 16),  # masked
    ],
)
def test_an_update_in_place_is_computed_once(bits, extent, tile):
    """A tile that does not divide the axis would compute the last results twice."""
    nest = in_place(extent)
    plan = choose(nest, Registers(bits, 16)).plan
    assert plan.tile == (tile,)
    got, (x,) = run(nest, plan)
    np.testing.assert_array_equal(got, x + 1)


def test_a_whole_buffer_is_computed_in_vectors():
    nest = in_place(21)
    whole = choose(dataclasses.replace(nest, whole=True), REGISTERS).plan
    assert whole.tile[0] % 16 == 0


def test_what_threads_do_not_share_is_one_piece():
    """Two microseconds of work are not divided; more is."""
    assert choose(dense(64, 8, 32), REGISTERS).plan.extent == 1
    assert choose(dense(), REGISTERS).plan.extent > 1
