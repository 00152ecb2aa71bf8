"""Packed factors: sums read copies in another order, and the results are the same bits as without copies."""

import ctypes
import dataclasses

import numpy as np
import pytest
from dln.compiler.kernels.contraction import generate
from dln.compiler.kernels.llvm import print_function
from dln.compiler.kernels.loop_builder import Builder
from dln.compiler.kernels.loops import Store
from dln.compiler.kernels.nest import Buffer, Nest, Result, total
from dln.compiler.kernels.plan import Plan
from dln.compiler.kernels.squares import columns
from dln.compiler.kernels.tiling import Registers, choose
from dln.compiler.mathematics.expression import Load, at_most, less

from ..running import machine_code
from .test_tiling import axis, dense, gradient, run

REGISTERS = Registers(256, 16)


@pytest.mark.parametrize("depth", [0, 16, 40])
@pytest.mark.parametrize("packed", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize(
    ("tile", "lane", "reverse"),
    [((6, 16), 1, False), ((16, 5), 0, True), ((8, 16), 1, True), ((3, 8), 1, False)],
)
def test_packing_changes_no_bit(tile, lane, reverse, packed, depth):
    """Tiles that overlap at the ends of both axes, rows of either factor, blocks that do not divide the sum."""
    nest = dense(30, 40, 64)
    order, sizes = (nest.axes[::-1], tile[::-1]) if reverse else (nest.axes, tile)
    whole = Plan(order, 2, sizes, nest.reduced, nest.axes[lane], 8)
    expected, (w, x, _) = run(nest, whole)
    np.testing.assert_allclose(
        expected.reshape(30, 40), w.reshape(64, 30).T @ x.reshape(64, 40), rtol=1e-4, atol=1e-4
    )
    plan = dataclasses.replace(whole, packed=packed, split=(0, 1), depth=depth, places=7 if depth else 1)
    np.testing.assert_array_equal(run(nest, plan)[0], expected)


def products(batch=3, rows=20, columns=24, inner=10):
    """y[b, i, j] = Σ_r x[b, r, i] · z[b, j, r]"""
    b, i, j = axis("a0", batch, -1), axis("a1", rows, -2), axis("a2", columns, -3)
    r = axis("r0", inner, -4)
    term = Load("0", (b * (inner * rows) + r * rows + i,)) * Load(
        "1", (b * (columns * inner) + j * inner + r,)
    )
    sizes = (batch * inner * rows, batch * columns * inner, batch * rows * columns)
    result = Result(2, b * (rows * columns) + i * columns + j, total("real"))
    return Nest(
        (b, i, j), "sum", (r,), (), term, (result,), tuple(Buffer("float32", n) for n in sizes), "float32"
    )


@pytest.mark.parametrize("lane", [1, 2])  # lanes that lie side by side, and lanes that a copy gathers
@pytest.mark.parametrize("depth", [0, 5])
def test_columns_are_packed_anew_for_every_group(lane, depth):
    nest = products()
    tile = (1, 8, 3) if lane == 1 else (1, 5, 8)
    plan = Plan(
        nest.axes,
        3,
        tile,
        nest.reduced,
        nest.axes[lane],
        8,
        depth=depth,
        places=1000,
        packed=(0, 1),
        split=(1, 2),
    )
    got, (x, z, _) = run(nest, plan)
    expected = np.einsum("bri,bjr->bij", x.reshape(3, 10, 20), z.reshape(3, 24, 10))
    np.testing.assert_allclose(got.reshape(3, 20, 24), expected, rtol=1e-4, atol=1e-5)


def rows_by_rows(rows=20, columns=26, outer=3, inner=43):
    """y[i, j] = Σ_{q, r} x[i, q, r] · z[j, q, r]: both factors lie side by side along the sum."""
    i, j = axis("a0", rows, -1), axis("a1", columns, -3)
    q, r = axis("r0", outer, -2), axis("r1", inner, -4)
    term = Load("0", ((i * outer + q) * inner + r,)) * Load("1", ((j * outer + q) * inner + r,))
    sizes = (rows * outer * inner, columns * outer * inner, rows * columns)
    buffers = tuple(Buffer("float32", n) for n in sizes)
    return Nest(
        (i, j), "sum", (q, r), (), term, (Result(2, i * columns + j, total("real")),), buffers, "float32"
    )


@pytest.mark.parametrize("packed", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("depth", [0, 2])
@pytest.mark.parametrize(("inner", "stride"), [(43, 1), (43, 4), (40, 4), (16, 1), (15, 1)])
@pytest.mark.parametrize("tile", [(6, 16), (3, 24), (5, 8), (4, 8), (1, 16), (2, 8)])
def test_squares_that_are_turned_change_no_bit(tile, inner, stride, depth, packed):
    """Squares of 8 × 8, squares that some rows are missing from, points that no square has, blocks of the sum."""
    nest = rows_by_rows(inner=inner)
    whole = Plan(nest.axes, 2, tile, nest.reduced, nest.axes[1], 8)
    expected, (x, z, _) = run(nest, whole)
    product = x.reshape(20, 3 * inner) @ z.reshape(26, 3 * inner).T
    np.testing.assert_allclose(expected.reshape(20, 26), product, rtol=1e-4, atol=1e-4)
    plan = dataclasses.replace(
        whole, packed=packed, split=(0, 1), depth=depth, places=7 if depth else 1, stride=stride
    )
    np.testing.assert_array_equal(run(nest, plan)[0], expected)
    lines = print_function(generate(nest, plan, "kernel")).splitlines()
    exchanged = any("shufflevector" in line and "poison" not in line for line in lines)
    assert exchanged == (inner >= 16 and (1 in packed or tile[0] > 1))


@pytest.mark.parametrize(("depth", "stride"), [(16, 4), (20, 4), (52, 4), (21, 1)])
def test_blocks_that_no_squares_fill_change_no_bit(depth, stride):
    """Blocks of the only loop, whose last points are copied one by one."""
    nest = gradient()
    whole = Plan(nest.axes, 2, (4, 16), nest.reduced, nest.axes[1], 8)
    plan = dataclasses.replace(whole, packed=(0, 1), split=(0, 1), depth=depth, places=7, stride=stride)
    for valid in (64, 50, 1):
        np.testing.assert_array_equal(run(nest, plan, valid)[0], run(nest, whole, valid)[0])


@pytest.mark.parametrize("count", [2, 4, 8])
def test_columns_of_a_block(count):
    """A block of 2, 4 or 8 rows of eight: its columns are the rows of NumPy's transpose."""
    builder = Builder(["source", "target"])
    builder.open_loop(builder.begin, builder.end)
    source, target = builder.buffers

    def at(pointer, number):
        return builder.emit("address", (pointer, builder.integer(4 * number)), "ptr")

    rows = [builder.emit_here("load", (at(source, 8 * n),), "f32", 8) for n in range(count)]
    for n, column in enumerate(columns(builder, rows)):
        builder.store(Store(at(target, count * n), column))
    builder.close()
    function = machine_code(print_function(builder.function("kernel")))
    block, result = np.arange(8 * count, dtype=np.float32), np.zeros(8 * count, np.float32)
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 4)(
        function.get_function_address("kernel")
    )
    call(block.ctypes.data, result.ctypes.data, 1, 0, 0, 1)
    np.testing.assert_array_equal(result.reshape(8, count), block.reshape(count, 8).T)


@pytest.mark.parametrize("valid", [64, 50, 1, 0])
def test_packed_sums_over_the_samples_that_are_there(valid):
    nest = gradient()
    plan = Plan(nest.axes, 2, (4, 8), nest.reduced, nest.axes[1], 8, packed=(0, 1), split=(0, 1))
    got, (x, dy, _) = run(nest, plan, valid)
    expected = x.reshape(40, 64)[:, :valid] @ dy.reshape(30, 64)[:, :valid].T
    np.testing.assert_allclose(got.reshape(40, 30), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("packed", "loops"), [((0,), 2), ((1,), 2), ((0, 1), 2)])
def test_a_packed_window_stays_inside_of_its_array(packed, loops):
    """y[p, f, s] = Σ_{v, c} w[f, c, v] · x[c, p + v − 2, s]: what is behind the border is not loaded, nor its copy used."""
    places, filters, samples, channels, width = 9, 6, 16, 4, 5
    p, f, s = axis("a0", places, -1), axis("a1", filters, -2), axis("a2", samples, -3)
    v, c = axis("r0", width, -4), axis("r1", channels, -5)
    x = Load("1?", (c * (places * samples) + (p + v - 2) * samples + s,))
    w = Load("0", (f * (channels * width) + c * width + v,))
    where = (at_most(0, p + v - 2), less(p + v - 2, places))
    sizes = (filters * channels * width, channels * places * samples, places * filters * samples)
    result = Result(2, p * (filters * samples) + f * samples + s, total("real"))
    nest = Nest(
        (p, f, s),
        "sum",
        (v, c),
        where,
        w * x,
        (result,),
        tuple(Buffer("float32", n) for n in sizes),
        "float32",
    )
    order = (p, s, f)
    whole = Plan(order, 3, (1, 16, 3), nest.reduced, s, 8)
    expected, (kernel, image, _) = run(nest, whole)
    padded = np.pad(image.reshape(channels, places, samples), ((0, 0), (2, 2), (0, 0)))
    windows = np.stack([padded[:, n : n + width] for n in range(places)])
    np.testing.assert_allclose(
        expected.reshape(places, filters, samples),
        np.einsum("fcv,pcvs->pfs", kernel.reshape(filters, channels, width), windows),
        rtol=1e-4,
        atol=1e-5,
    )
    plan = dataclasses.replace(whole, packed=packed, split=(0, 2))
    np.testing.assert_array_equal(run(nest, plan)[0], expected)


def test_a_thread_packs_columns_once_for_all_parts_of_a_call():
    nest = dense(30, 40, 64)
    plan = Plan(nest.axes, 2, (6, 8), nest.reduced, nest.axes[1], 8, packed=(0, 1), split=(0, 1))
    function = generate(nest, plan, "kernel")
    engine = machine_code(print_function(function))
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, *[ctypes.c_int64] * 4, ctypes.c_void_p)(
        engine.get_function_address("kernel")
    )
    generator = np.random.default_rng(0)
    w, x, y = (
        np.append(generator.standard_normal(b.elements), np.zeros(64)).astype(np.float32)
        for b in nest.buffers
    )
    memory = np.zeros(function.scratch, np.uint8)

    def part(begin, end):
        call(*(a.ctypes.data for a in (w, x, y)), 64, 0, begin, end, memory.ctypes.data)

    expected = w[: 64 * 30].reshape(64, 30).T @ x[: 64 * 40].reshape(64, 40)
    part(0, 10)
    x[:] = np.nan
    part(10, plan.extent)
    np.testing.assert_allclose(y[: 30 * 40].reshape(30, 40), expected, rtol=1e-4, atol=1e-4)
    memory[:8] = 0  # another call
    part(0, plan.extent)
    assert np.isnan(y[: 30 * 40]).all()


def test_large_products_are_packed_in_little_memory():
    plan = choose(dense(500, 256, 500), REGISTERS).plan
    assert plan.packed == (0, 1)
    for outputs, batch, inputs in ((500, 256, 500), (512, 128, 784), (3000, 3000, 3000)):
        nest = dense(outputs, batch, inputs)
        assert generate(nest, choose(nest, REGISTERS).plan, "kernel").scratch < 1_500_000
    assert not choose(dense(30, 40, 64), REGISTERS).plan.packed, "small products are near already"
