"""Lowered programs compute what the families say: every graph, capacity, precision and width against brute force."""

import numpy as np
import pytest
from dln.compiler.kernels.memory import layouts
from dln.compiler.kernels.nest_builder import Member, build
from dln.compiler.mathematics.expression import (
    BATCH,
    Load,
    Lookup,
    apply,
    at_most,
    conjunction,
    less,
    new_axis,
    select,
)
from dln.compiler.mathematics.graph import Array, Family, Graph, Reduction, Table, verify
from dln.compiler.passes.order import in_order
from dln.compiler.passes.tables import tabulate
from dln.compiler.schedule.schedule import lower

from ..family_oracle import evaluate, random_values
from ..graphs import GRAPHS, axes, real_input, start, weight, with_loss
from ..lowered import PASSES, compare, prepared
from ..running import Runner, VectorMachine


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize(("capacity", "samples"), [(1, 1), (4, 3), (16, 16), (32, 13)])
def test_graphs(name, capacity, samples):
    compare(prepared(GRAPHS[name]()), capacity, samples, "float32", VectorMachine())


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize(
    ("precision", "bits", "threads"), [("float64", 512, 1), ("float64", 128, 3), ("float32", 256, 3)]
)
def test_precisions_and_widths(name, precision, bits, threads):
    compare(prepared(GRAPHS[name]()), 20, 18, precision, VectorMachine(bits, 16), threads)


@pytest.mark.parametrize("name", GRAPHS)
def test_bits_do_not_depend_on_threads(name):
    graph = prepared(GRAPHS[name]())
    blocks = [compare(graph, 32, 29, "float32", VectorMachine(), t).memory.tobytes() for t in (1, 2, 5)]
    assert blocks[0] == blocks[1] == blocks[2]


def with_momentum(graph):
    """m ← 0.9 m + g, w ← w − 0.1 m / (1 − 0.9^step) for every weight, as an optimizer's equations are."""
    graph.arrays["step"] = Array("step", "clock", ())
    for name, gradient in list(graph.gradients.items()):
        shape = graph.arrays[name].extents
        graph.arrays[f"{name}.m"] = Array(f"{name}.m", "state", shape)
        i = tuple(new_axis(f"i{n}", e) for n, e in enumerate(shape))
        m = graph.add(Family(f"{name}.m'", i, 0.9 * Load(f"{name}.m", i) + Load(gradient, i), role="update"))
        rate = 0.1 / (1.0 - apply("^", 0.9, Load("step", ())))
        graph.add(Family(f"{name}'", i, Load(name, i) - rate * m, role="update"))
        graph.updates |= {f"{name}.m": f"{name}.m'", name: f"{name}'"}
    return graph


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize(("capacity", "bits"), [(1, 256), (1, 512), (24, 512)])
def test_updates(name, capacity, bits):
    graph = with_momentum(prepared(GRAPHS[name]()))
    verify(graph)
    values = random_values(graph, capacity)
    program = lower(graph, capacity=capacity, precision="float64", target=VectorMachine(bits))
    runner = Runner(program)
    for step in (1, 2):
        values["step"] = np.float64(step)
        for array in graph.arrays.values():
            if (array.name in program.placements and array.kind in ("input", "clock")) or step == 1:
                runner.set(array.name, values[array.name], array.batched)
        runner.run("train", capacity)
        expected = evaluate(graph, values, capacity)
        values |= {target: expected[family] for target, family in graph.updates.items()}
        for target in graph.updates:
            np.testing.assert_allclose(runner.get(target), values[target], rtol=1e-11, atol=1e-12)
    for routine in ("forward", "evaluate", "gradient"):
        runner.run(routine, capacity)
    for target in graph.updates:
        np.testing.assert_allclose(runner.get(target), values[target], rtol=1e-11, atol=1e-12)


def test_updates_that_need_each_other():
    """Exchange two states, shift a third: no order lets all be stored in place."""
    graph = Graph(arrays={n: Array(n, "state", (5,)) for n in "abc"})
    (i,) = axes("i", 5)
    graph.add(Family("a'", (i,), Load("b", (i,)) + 1.0, role="update"))
    graph.add(Family("b'", (i,), Load("a", (i,)) + 2.0, role="update"))
    graph.add(Family("c'", (i,), Load("c", (apply("mod", i + 1, 5),)), role="update"))
    graph.updates = {"a": "a'", "b": "b'", "c": "c'"}
    runner = Runner(lower(graph, capacity=1, precision="float64", target=VectorMachine()))
    a, b, c = (np.arange(5.0) + 10 * n for n in range(3))
    for name, value in zip("abc", (a, b, c), strict=True):
        runner.set(name, value)
    runner.run("train", 1)
    assert (runner.get("a") == b + 1).all() and (runner.get("b") == a + 2).all()
    assert (runner.get("c") == np.roll(c, -1)).all()


def test_a_window_of_a_weight():
    """Subscripts that begin inside of the array and end behind it: the padded copy is as long as the array, and moved."""
    graph = start(weight("w", 7), real_input("x", 3))
    i, j = axes("ij", 3, 3)
    place = i + 2 * j + 3
    body = Load("w", (place,)) * Load("x", (BATCH, i))
    graph.add(Family("h", (BATCH, j), body, Reduction("sum", (i,), (less(place, 7),))))
    graph.outputs = ("h",)
    for capacity in (1, 4, 16):
        compare(graph, capacity, capacity, "float64", VectorMachine())


def bordered(low, conditions=4):
    """y[b, u, v] = x[b, u + low, v − 2] within x, and −1 in the border; or where the first of four conditions hold."""
    graph = start(real_input("x", 6, 9))
    u, v = axes("uv", 11, 13)
    places = (u + low, v - 2)
    inside = [c for p, n in zip(places, (6, 9), strict=True) for c in (at_most(0, p), less(p, n))]
    value = select(conjunction(inside[:conditions]), Load("x", (BATCH, *places)), -1.0)
    graph.add(Family("y", (BATCH, u, v), value))
    graph.outputs = ("y",)
    return graph


@pytest.mark.parametrize("bits", [128, 256, 512])
@pytest.mark.parametrize("low", [-3, 0, 2])
def test_a_border_is_a_masked_load(bits, low):
    """What a condition keeps in range is loaded side by side, not number by number."""
    runner = compare(bordered(low), 1, 1, "float32", VectorMachine(bits, 16))
    (kernel,) = runner.program.kernels.values()
    assert "masked.load" in kernel.text and "gather" not in kernel.text
    compare(bordered(low), 16, 13, "float64", VectorMachine(bits, 16))


def test_a_condition_that_does_not_keep_in_range():
    """Where a condition says too little, the load is clamped, and nothing outside of the array is read."""
    compare(bordered(-3, conditions=3), 1, 1, "float32", VectorMachine(256, 16))


def transposed_convolution(stride, planes=9):
    """∂x[b, c, p, q] = Σ_{f, y, x} d[b, f, y, x] · w[f, c, p − stride·y, q − stride·x], in range: 5 × 4 weights."""
    rows, columns = 3 * stride + 5, 3 * stride + 4
    graph = start(weight("w", 7, planes, 5, 4), real_input("d", 7, 4, 4))
    c, p, q = axes("cpq", planes, rows, columns)
    f, y, x = axes("fyx", 7, 4, 4)
    v, u = p - stride * y, q - stride * x
    where = (at_most(0, v), less(v, 5), at_most(0, u), less(u, 4))
    body = Load("d", (BATCH, f, y, x)) * Load("w", (f, c, v, u))
    graph.add(Family("h", (BATCH, c, p, q), body, Reduction("sum", (f, y, x), where)))
    graph.outputs = ("h",)
    return graph


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(("capacity", "precision", "bits"), [(1, "float32", 256), (2, "float64", 512)])
def test_columns(stride, capacity, precision, bits):
    """Products at every place, then the sum of those that meet: without batch there is no other full vector."""
    runner = compare(transposed_convolution(stride), capacity, capacity, precision, VectorMachine(bits, 16))
    calls = runner.program.routines["forward"].calls
    assert capacity > 1 or [c.families for c in calls] == [("h in columns",), ("h",)]
    blocks = [runner.memory.tobytes()]
    for threads in (2, 5):
        again = compare(
            transposed_convolution(stride), capacity, capacity, precision, VectorMachine(bits, 16), threads
        )
        blocks.append(again.memory.tobytes())
    assert blocks[0] == blocks[1] == blocks[2]


@pytest.mark.parametrize("step", [2, 3, 4])
@pytest.mark.parametrize(("precision", "bits"), [("float32", 256), ("float32", 512), ("float64", 512)])
def test_every_nth_element(step, precision, bits):
    """A few steps from lane to lane are vectors and shuffles, and the last vector ends with the array."""
    graph = start(weight("w", 5), real_input("x", 6, 31 * step + 5))
    c, p, v = axes("cpv", 6, 32, 5)
    body = Load("w", (v,)) * Load("x", (BATCH, c, step * p + v))
    graph.add(Family("h", (BATCH, c, p), body, Reduction("sum", (v,))))
    i = new_axis("i", 32)
    graph.add(Family("y", (BATCH, i), 2.0 * Load("x", (BATCH, i - i, step * i + 4))))
    graph.outputs = ("h", "y")
    runner = compare(graph, 1, 1, precision, VectorMachine(bits, 16))
    texts = [k.text for k in runner.program.kernels.values()]
    assert all("shuffle" in text and "gather" not in text for text in texts)


@pytest.mark.parametrize("extent", [3, 5, 7, 11, 21])
@pytest.mark.parametrize(("precision", "bits"), [("float32", 256), ("float32", 512), ("float64", 256)])
def test_the_end_of_an_axis(extent, precision, bits):
    """Vectors that fit no axis: the last one overlaps with the one before, or is stored in pieces. No neighbour is touched."""
    graph = start(weight("w", 4, 6), real_input("x", 4, 2 * extent + 6))
    c, k, y = axes("cky", 4, extent, 6)
    for name, places in (("h", k + y), ("g", 2 * k + y)):
        body = Load("w", (c, y)) * Load("x", (BATCH, c, places))
        graph.add(Family(name, (BATCH, c, k), body, Reduction("sum", (y,))))
    graph.add(Family("s", (BATCH, c, k), apply("tanh", Load("x", (BATCH, c, k + 2)))))
    graph.outputs = ("h", "g", "s")
    runner = compare(graph, 1, 1, precision, VectorMachine(bits, 16))
    assert bits == 512 or not any("masked.store" in k.text for k in runner.program.kernels.values())


@pytest.mark.parametrize("capacity", [1, 16])
def test_tables_by_digits(capacity):
    """h[f, k] = Σ_c w[f, c] · x[plane[f div 4, c], k]: what a table is looked up with is the same for four values of f."""
    graph = start(weight("w", 12, 8), real_input("x", 12, 5))
    graph.tables["plane"] = Table("plane", np.array([range(8), range(4, 12), [0, 1, 2, 3, 8, 9, 10, 11]]))
    f, k, c = axes("fkc", 12, 5, 8)
    plane = Lookup("plane", (apply("div", f, 4), c))
    body = Load("w", (f, c)) * Load("x", (BATCH, plane, k))
    graph = with_loss(graph, graph.add(Family("h", (BATCH, f, k), body, Reduction("sum", (c,)))))
    for step in (*PASSES[:-1], tabulate, in_order):
        graph = step(graph)
    assert [t for t in graph.tables if "subscript" in t] == []
    for bits in (256, 512):
        compare(graph, capacity, capacity, "float64", VectorMachine(bits, 16))
    lay = layouts(graph, capacity=capacity, real="float32")
    nest, _ = build([Member(graph.families["h"])], graph, lay, capacity=capacity, real="float32")
    assert [a.size for a in nest.axes][:2] == [3, 4]


@pytest.mark.parametrize("bits", [256, 512])
def test_one_sample(bits):
    """With one sample the derivative of a weight is no sum: a step computes it while it changes the weight, in place."""
    graph = prepared(GRAPHS["dense"]())
    for name, gradient in graph.gradients.items():
        i = tuple(new_axis(f"i{n}", e) for n, e in enumerate(graph.arrays[name].extents))
        graph.add(Family(f"{name}'", i, Load(name, i) - 0.1 * Load(gradient, i), role="update"))
        graph.updates[name] = f"{name}'"
    verify(graph)
    values = random_values(graph, 1)
    runner = Runner(lower(graph, capacity=1, target=VectorMachine(bits, 16)))
    computed = {f for call in runner.program.routines["train"].calls for f in call.families}
    assert not computed & set(graph.gradients.values())
    for name, array in graph.arrays.items():
        if name in runner.program.placements:
            runner.set(name, values[name], array.batched)
    expected = evaluate(graph, values, 1)
    runner.run("gradient", 1)
    for gradient in graph.gradients.values():
        np.testing.assert_allclose(runner.get(gradient), expected[gradient], rtol=1e-5, atol=1e-6)
    runner.run("train", 1)
    for name, update in graph.updates.items():
        np.testing.assert_allclose(runner.get(name), expected[update], rtol=1e-5, atol=1e-6)


def test_parts_of_a_sum_that_no_cache_holds():
    """Eight parts of 5.5 MB each would cost more on the way to memory and back than they save."""
    graph = start(weight("w", 64, 32, 3, 3), real_input("d", 64, 24, 24))
    c, y, x, f, v, u = axes("cyxfvu", 32, 26, 26, 64, 3, 3)
    row, column = y - v, x - u
    where = tuple(bound for p in (row, column) for bound in (at_most(0, p), less(p, 24)))
    body = Load("w", (f, c, v, u)) * Load("d", (BATCH, f, row, column))
    graph.add(Family("h", (BATCH, c, y, x), body, Reduction("sum", (f, v, u), where)))
    graph.outputs = ("h",)
    program = lower(graph, capacity=64, target=VectorMachine(256, 16))
    assert [call.families for call in program.routines["forward"].calls] == [("h",)]
    assert program.bytes < 2 * 4 * 64 * (32 * 26 * 26 + 64 * 24 * 24)
