"""Footprints in caches: counted by formula, and by enumerating every access."""

import itertools
from collections import OrderedDict

import numpy as np
import pytest
from dln.compiler.kernels import footprints
from dln.compiler.kernels.footprints import LINE, Footprints, Movement, lines_of
from dln.compiler.kernels.memory import in_order
from dln.compiler.kernels.nest import Buffer, Nest, Result, total
from dln.compiler.kernels.tiling import Registers, choose
from dln.compiler.mathematics.expression import Axis, Load


def places(moving):
    """All values of Σ step · n."""
    result = np.zeros(1, np.int64)
    for step, count in moving:
        result = (result[:, None] + step * np.arange(count)).ravel()
    return result


@pytest.mark.parametrize(
    "moving",
    [
        [],
        [(4, 16)],
        [(4, 6)],
        [(36, 4), (4, 3)],
        [(6208, 3), (256, 3), (148992, 8)],
        [(6208, 3), (6208, 5), (256, 3), (256, 26), (4, 16)],  # a window over a part of an image
        [(512, 40), (4, 16)],
        [(2064, 128), (4, 6)],
        [(160, 30), (4, 8)],
    ],
)
def test_lines_are_those_that_are_touched(moving):
    begins = range(0, 64 * 64, 64 if all(step % 64 == 0 or step == 4 for step, _ in moving) else 4)
    first = {step * count for step, count in moving if step == 4} or {4}
    begins = [b for b in begins if b % min(64, *first) == 0]
    touched = np.mean([len(np.unique((places(moving) + b) // LINE)) for b in begins])
    lines, _, _ = lines_of(moving, 4)
    assert lines == pytest.approx(touched, rel=0.35)


@pytest.mark.parametrize(
    "moving",
    [
        [(1024, 32)],
        [(256, 26), (6208, 3)],
        [(512, 64), (4, 32)],
        [(148992, 64), (6208, 3), (256, 3)],
        [(2112, 64), (4, 16)],
    ],
)
def test_pieces_that_are_powers_of_two_apart_crowd_into_few_sets(moving):
    sets = np.unique(places(moving) // LINE % 64)
    lines, _, crowding = lines_of(moving, 4)
    assert min(64, lines * crowding) / min(64, lines) == pytest.approx(
        min(64, lines) / len(sets), rel=0.5
    ) or crowding == pytest.approx(64 / len(sets), rel=0.5)


@pytest.mark.parametrize("shape", [(64, 24, 24, 64), (64, 12, 12, 32), (256, 512), (768, 128)])
def test_planes_and_rows_of_large_arrays_fall_into_many_sets(shape):
    """The same place in all planes: 64 lines of which no set of 8 holds more than two or three."""
    layout = in_order("float32", shape, range(len(shape)))
    for count, stride in zip(shape, layout.strides, strict=True):
        if stride * 4 >= 512:
            sets = np.unique(np.arange(min(count, 64)) * stride * 4 // LINE % 64)
            assert len(sets) >= min(count, 64) / 4


def misses(loads, axes, capacity):
    """Lines that a cache of least recently used lines must fetch, for loops over `axes` (name, begin of each turn), outermost
    first; loads are (array, {axis: bytes}, bytes read at once)."""
    cache: OrderedDict[tuple[int, int], None] = OrderedDict()
    count = 0
    for turn in itertools.product(*(range(0, size, step) for _, size, step in axes)):
        place = dict(zip((name for name, _, _ in axes), turn, strict=True))
        for array, steps, width in loads:
            begin = sum(steps.get(name, 0) * at for name, at in place.items())
            for line in range(begin // LINE, (begin + width - 1) // LINE + 1):
                if (array, line) in cache:
                    cache.move_to_end((array, line))
                else:
                    count += 1
                    cache[array, line] = None
                    if len(cache) * LINE > capacity:
                        cache.popitem(last=False)
    return count


@pytest.mark.parametrize("order", list(itertools.permutations("ij")))
@pytest.mark.parametrize(("depth", "stays"), [(64, True), (600, False)])
def test_a_matrix_product_fetches_what_does_not_stay(order, depth, stays, monkeypatch):
    """y[i, j] = Σ_k a[k, i] · b[k, j] in tiles of 16 × 16: the panel that the inner loop does not move away from is fetched once,
    if a tile's two panels stay in the cache."""
    rows, columns = 128, 256
    monkeypatch.setattr(footprints, "FIRST_LEVEL", 16_384)
    monkeypatch.setattr(footprints, "NEAR_SINGLE", 0.0)
    steps_a, steps_b = {"i": 4, "k": rows * 4 + 64}, {"j": 4, "k": columns * 4 + 64}
    sizes = {"i": (rows, 16), "j": (columns, 16), "k": (depth, 1)}
    counted = misses(
        [(0, steps_a, 64), (1, steps_b, 64)], [(name, *sizes[name]) for name in (*order, "k")], 16_384
    )
    movements = [Movement(tuple(steps.get(n, 0) for n in "ijk"), 0, 4, 10**7) for steps in (steps_a, steps_b)]
    loops = [(2, float(depth), float(depth))]
    loops += [("ij".index(n), sizes[n][0] / 16, float(sizes[n][0])) for n in reversed(order)]
    near, _ = Footprints(movements).brought([16.0, 16.0, 1.0], loops)
    assert near / LINE == pytest.approx(counted, rel=0.1)
    twice = 2 * depth * (rows // 16) * (columns // 16)
    assert (counted < 0.7 * twice) == stays


@pytest.mark.parametrize(("part", "again"), [(0.25, 1 / 16), (0.5, 1 / 4), (2.0, 1.0)])
def test_the_more_of_the_second_level_a_loop_needs_the_more_of_it_comes_again(part, again):
    """A vector is read from begin to end four times; three times a part of it has gone, the square of what it needs."""
    size = int(part * footprints.SECOND_LEVEL)
    vector = Footprints([Movement((0, 4), 0, 4, size)])
    elements = float(size // 4)
    inside = vector.start([1.0, 1.0])
    inside = vector.around(inside, 1, elements, elements)
    assert sum(inside.fars) == pytest.approx(size, rel=0.01)
    inside = vector.around(inside, 0, 4.0, 4.0)
    assert sum(inside.fars) == pytest.approx(size * (1 + 3 * again), rel=0.01)


def test_filters_of_a_convolution_go_over_a_place_while_it_is_near():
    """c[f, y, (x, batch)] = Σ w[f, c, v, u] · image[c, y + v, x + u, batch]: what 16 samples read is 288 lines, and there are 64
    filters. The other way round all places would be read again for every few filters."""
    f, y, x = Axis("a1", 64, -3), Axis("a2", 24, -5), Axis("a0", 1536, -1)
    c, v, u = Axis("r0", 32, -2), Axis("r1", 3, -4), Axis("r2", 3, -6)
    term = Load("0", (288 * f + 9 * c + 3 * v + u,)) * Load(
        "1", (x + 43280 * c + 1664 * y + 1664 * v + 64 * u,)
    )
    sizes = (64 * 288, 32 * 43280, 64 * 37248)
    nest = Nest(
        (x, f, y),
        "sum",
        (c, v, u),
        (),
        term,
        (Result(2, x + 37248 * f + 1552 * y, total("real")),),
        tuple(Buffer("float32", n) for n in sizes),
        "float32",
    )
    assert choose(nest, Registers(256, 16)).plan.order[-1] == f
