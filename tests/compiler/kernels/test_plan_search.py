"""The search for plans: bounds are bounds, and what is not looked at would not have been chosen."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from dln.compiler.kernels.candidates import (
    Registers,
    first_tiles,
    lane_axes,
    reduction_order,
    reduction_orders,
    tiles,
)
from dln.compiler.kernels.cost import CostModel
from dln.compiler.kernels.lower_bound import Least, least_cycles
from dln.compiler.kernels.nest import VALID, Buffer, Nest, Result, total
from dln.compiler.kernels.tiling import best_ways, choose
from dln.compiler.mathematics.expression import Axis, Load, at_most, less

REGISTERS = [Registers(256, 16), Registers(512, 32)]


def dense(rows: int, columns: int, inner: int, *, batch: bool = False, transposed: bool = False) -> Nest:
    """c[m, n] = Σ_k a[m, k] · b[k, n], k among the valid samples if it is the batch; b lies by columns if it is transposed."""
    m, n, k = Axis("a0", rows, -1), Axis("a1", columns, -3), Axis("r0", inner, -2)
    term = Load("0", (m * inner + k,)) * Load("1", (n * inner + k if transposed else k * columns + n,))
    sizes = (rows * inner, inner * columns, rows * columns)
    buffers = tuple(Buffer("float32", size) for size in sizes)
    where = (less(k, VALID),) if batch else ()
    return Nest(
        (m, n), "sum", (k,), where, term, (Result(2, m * columns + n, total("real")),), buffers, "float32"
    )


def window(planes: int, size: int, samples: int) -> Nest:
    """y[f, i, b] = Σ_{c, u: 0 ≤ i + u − 1 < size} w[f, c, u] · x[c, i + u − 1, b]"""
    f, i, b = Axis("a0", planes, -1), Axis("a1", size, -3), Axis("a2", samples, -5)
    c, u = Axis("r0", planes, -2), Axis("r1", 3, -4)
    place = i + u - 1
    inner = Load("1?", ((c * size + place) * samples + b,))
    term = Load("0", ((f * planes + c) * 3 + u,)) * inner
    buffers = tuple(Buffer("float32", n) for n in (planes * planes * 3, *[planes * size * samples] * 2))
    results = (Result(2, (f * size + i) * samples + b, total("real")),)
    where = (at_most(0, place), less(place, size))
    return Nest((f, i, b), "sum", (c, u), where, term, results, buffers, "float32")


NESTS = [
    dense(128, 96, 64),
    dense(500, 256, 500),
    dense(784, 100, 128, batch=True),
    dense(7, 13, 5),
    window(16, 28, 64),
    window(6, 12, 8),
]


@pytest.mark.parametrize("registers", REGISTERS, ids=["AVX2", "AVX-512"])
@pytest.mark.parametrize("nest", NESTS)
def test_no_plan_takes_less_than_its_lower_bound(nest: Nest, registers: Registers) -> None:
    model = CostModel(nest, masks=registers.masks)
    for lane, lanes in lane_axes(nest, registers):
        cost = model.along(lane, lanes, reduction_order(nest, lane))
        candidates = [
            *first_tiles(nest, lane, lanes, registers),
            *tiles(nest, lane, lanes, registers, pairs=True),
        ]
        bounds = least_cycles(cost, candidates)
        cycles = [cost.cycles(tile) for tile in candidates]
        assert all(bound <= exact for bound, exact in zip(bounds, cycles, strict=True))
        assert max(b / c for b, c in zip(bounds, cycles, strict=True)) > 0.8  # and says something


@pytest.mark.parametrize("registers", REGISTERS, ids=["AVX2", "AVX-512"])
@pytest.mark.parametrize("nest", NESTS)
def test_no_tile_of_the_best_lane_axis_is_better_than_the_chosen_one(
    nest: Nest, registers: Registers
) -> None:
    choice = choose(nest, registers)
    model = CostModel(nest, masks=registers.masks)
    for lane, lanes in lane_axes(nest, registers):
        if lane == choice.plan.lane:
            cost = model.along(lane, lanes, reduction_order(nest, lane))
            least = min(map(cost.cycles, tiles(nest, lane, lanes, registers, pairs=True)), default=math.inf)
            assert choice.cycles <= 1.002 * least or choice.cycles < 3000


@pytest.mark.parametrize("registers", REGISTERS, ids=["AVX2", "AVX-512"])
@pytest.mark.parametrize("nest", NESTS)
def test_no_nest_takes_less_than_its_lower_bound(nest: Nest, registers: Registers) -> None:
    assert 0.4 < Least(nest, registers).cycles() / choose(nest, registers).cycles <= 1


@pytest.mark.parametrize("registers", REGISTERS, ids=["AVX2", "AVX-512"])
@pytest.mark.parametrize("sizes", [(128, 96, 64), (500, 256, 500), (24, 300, 7)])
def test_the_bound_of_a_copy_is_found_without_it(sizes: tuple[int, int, int], registers: Registers) -> None:
    """The copy has the columns innermost, so the nest that reads it is the one that is not transposed."""
    before, copied = Least(dense(*sizes, transposed=True), registers), choose(dense(*sizes), registers, 1)
    assert 0.5 < before.cycles(1, "a1") / copied.cycles <= 1
    assert before.cycles(1) <= before.cycles(1, "a1")
    assert before.cycles(1) <= before.cycles()


@pytest.mark.parametrize("registers", REGISTERS, ids=["AVX2", "AVX-512"])
@pytest.mark.parametrize("sizes", [(128, 96, 64), (500, 256, 500), (24, 300, 7)])
def test_lanes_along_other_axes_gather_from_a_copy(sizes: tuple[int, int, int], registers: Registers) -> None:
    """A bound that knows along which axis the copy is contiguous is higher, and still one of every plan that reads the copy."""
    before, copied = Least(dense(*sizes, transposed=True), registers), dense(*sizes)
    (columns,) = [a for a in copied.axes if a.name == "a1"]
    bound = before.cycles(1, innermost=("a1", columns.size))
    assert before.cycles(1) <= bound <= choose(copied, registers).cycles
    along_the_sum = before.cycles(1, innermost=("r0", copied.reduced[0].size))
    assert along_the_sum >= before.cycles(1)
    results = [lane for lane, _ in lane_axes(copied, registers) if lane == columns]
    if results:  # with lanes along the columns, a copy that is contiguous along the sum is gathered
        assert before.cycles(1, "a1", ("r0", copied.reduced[0].size)) > 1.5 * before.cycles(1, "a1")


def test_walks_in_every_order_are_what_the_loops_one_by_one_bring() -> None:
    nest = window(16, 28, 64)
    cost = CostModel(nest, masks=False).along(nest.axes[2], 8, nest.reduced)
    for tile in ((4, 1, 16), (1, 2, 8), (12, 1, 8)):
        for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2)):
            alone = CostModel(nest, masks=False).along(nest.axes[2], 8, nest.reduced)
            exact = alone.cycles(tile, order, walked=True)
            assert cost.cycles(tile, order, walked=True) == exact
            assert cost.cycles(tile, order, limit=exact * 1.001, walked=True) == exact
            assert cost.cycles(tile, order, limit=exact / 8, walked=True) == math.inf


def test_what_no_step_of_a_sum_changes_is_found_once() -> None:
    """c[m, n] = Σ_k a[place[m] + k] · b[k, n]: where row m begins is looked up for a tile, and not for every k."""
    plain = dense(96, 128, 64)
    (m, n), (k,) = plain.axes, plain.reduced
    term = Load("0", (Load("3", (m,), "integer") + k,)) * Load("1", (k * 128 + n,))
    looked_up = replace(plain, term=term, buffers=(*plain.buffers, Buffer("int32", 96, (0, 95 * 64))))
    cycles = [
        CostModel(nest, masks=False).along(nest.axes[1], 8, nest.reduced).cycles((6, 16))
        for nest in (plain, looked_up)
    ]
    tiles_and_rows = 16 * 8 * 6
    assert 0 <= cycles[1] - cycles[0] <= 12 * tiles_and_rows


def test_blocks_of_a_large_nest_know_every_order_of_its_sums() -> None:
    """∂w[f, c, v, u] = Σ_{y, x, b} ∂h[f, y, x, b] · image[y + v, x + u, b, c]: blocks of all samples of one x."""
    f, c, v, u = (Axis(f"a{n}", size, -2 * n - 1) for n, size in enumerate((64, 32, 3, 3)))
    y, x, b = (Axis(f"r{n}", size, -2 * n - 2) for n, size in enumerate((3, 24, 64)))
    outer = Load("0", (((f * 3 + y) * 24 + x) * 64 + b,))
    term = outer * Load("1", ((((y + v) * 26 + x + u) * 64 + b) * 32 + c,))
    buffers = tuple(Buffer("float32", n) for n in (64 * 3 * 24 * 64, 5 * 26 * 64 * 32, 64 * 32 * 9))
    results = (Result(2, ((f * 32 + c) * 3 + v) * 3 + u, total("real")),)
    nest = Nest((f, c, v, u), "sum", (y, x, b), (), term, results, buffers, "float32")
    plan = choose(nest, Registers(256, 16)).plan
    assert plan.depth == 1
    assert plan.reduced[0] == x
    # A block is 3 · 64 terms: 24 KB of the image, which all filters read. In the order of the sum it would have 24 · 64.


def gradient_of_filters(filters: int, channels: int, window: int, size: int, samples: int) -> Nest:
    """∂w[f, c, v, u] = Σ_{y, x, b} ∂h[f, y, x, b] · image[c, y + v, x + u, b]"""
    f, c, v, u = (Axis(f"a{n}", e, -2 * n - 1) for n, e in enumerate((filters, channels, window, window)))
    y, x, b = (Axis(f"r{n}", e, -2 * n - 2) for n, e in enumerate((size, size, samples)))
    wide = size + window - 1
    term = Load("0", (((f * size + y) * size + x) * samples + b,)) * Load(
        "1", (((c * wide + y + v) * wide + x + u) * samples + b,)
    )
    sizes = (filters * size**2 * samples, channels * wide**2 * samples, filters * channels * window**2)
    results = (Result(2, ((f * channels + c) * window + v) * window + u, total("real")),)
    buffers = tuple(Buffer("float32", n) for n in sizes)
    return Nest((f, c, v, u), "sum", (y, x, b), (), term, results, buffers, "float32")


def test_packing_is_a_small_part_of_the_work() -> None:
    """Of each of 25 windows 600 numbers would be packed for 16 filters: a copy of the image for every one of them."""
    assert not choose(gradient_of_filters(16, 6, 5, 10, 64), Registers(256, 16)).plan.packed


def test_products_of_rows_are_packed_in_squares() -> None:
    """∂w[i, j] = Σ_b x[i, b] · ∂y[j, b]: lanes along j are far apart, and no array needs another order for that."""
    i, j, b = Axis("a0", 500, -1), Axis("a1", 500, -3), Axis("r0", 256, -2)
    term = Load("0", (i * 256 + b,)) * Load("1", (j * 256 + b,))
    buffers = tuple(Buffer("float32", n) for n in (500 * 256, 500 * 256, 500 * 500))
    results = (Result(2, i * 500 + j, total("real")),)
    nest = Nest((i, j), "sum", (b,), (), term, results, buffers, "float32")
    choice = choose(nest, Registers(256, 16))
    assert choice.plan.packed == (0, 1)
    assert choice.cycles < 1.5 * choice.ideal


def test_terms_that_must_first_find_what_they_read_are_not_written_out() -> None:
    """Σ_k score[k, label[k]] of 64 samples: gathers of all of them would take LLVM a quarter of a second."""
    a, k = Axis("a0", 3, -1), Axis("r0", 64, -2)
    label = Load("1", (k,), "integer")
    buffers = (Buffer("float32", 64 * 65), Buffer("int32", 64, (0, 64)), Buffer("float32", 3))
    steps = []
    for place in (k, label):
        term = Load("0", (k * 65 + place,))
        nest = Nest((a,), "sum", (k,), (), term, (Result(2, a, total("real")),), buffers, "float32")
        assert nest.places_from_data == (place is label)
        plan = choose(nest, Registers(256, 16)).plan
        steps.append(math.prod(axis.size for axis in plan.repeated) * plan.stride)
    assert steps[1] <= 8 < steps[0]


@pytest.mark.parametrize("registers", REGISTERS, ids=["AVX2", "AVX-512"])
@pytest.mark.parametrize("nest", NESTS)
@pytest.mark.parametrize("count", [1, 3])
def test_the_best_lane_axes_are_those_of_a_search_through_all(
    nest: Nest, registers: Registers, count: int
) -> None:
    lanes_along = list(lane_axes(nest, registers))
    found = best_ways(nest, registers, CostModel(nest, masks=registers.masks), lanes_along, count)
    every = []
    for lane, lanes in lanes_along:
        for reduced in reduction_orders(nest, lane, registers):
            cost = CostModel(nest, masks=registers.masks).along(lane, lanes, reduced)
            every.append((min(map(cost.cycles, first_tiles(nest, lane, lanes, registers))), lane, reduced))
    every.sort(key=lambda way: way[0])
    small = every[0][0] <= 3000  # then the best alone is looked for
    for (cycles, _, _, cost), (least, lane, reduced) in zip(
        found, every[: 1 if small else count], strict=False
    ):
        assert cycles == pytest.approx(least, rel=0.001)
        assert (cost.lane, cost.reduced) == (lane, reduced) or cycles == pytest.approx(least, rel=1e-9)
    assert small or len(found) == min(count, len(every))


@pytest.mark.parametrize("nest", NESTS)
def test_what_is_remembered_from_other_tiles_changes_no_cost(nest: Nest) -> None:
    """Each tile after many others, in another order of loops, and alone."""
    registers = Registers(256, 16)
    for lane, lanes in lane_axes(nest, registers):
        order = reduction_order(nest, lane)
        several = list(tiles(nest, lane, lanes, registers, pairs=True))[:40]
        model = CostModel(nest, masks=False)
        cost, turned = model.along(lane, lanes, order), range(len(nest.axes))[::-1]
        for tile in several:
            cost.cycles(tile)
        for tile in several[::7]:
            alone = CostModel(nest, masks=False).along(lane, lanes, order)
            assert cost.cycles(tile, turned) == alone.cycles(tile, turned)
            assert cost.cycles(tile) == alone.cycles(tile)
