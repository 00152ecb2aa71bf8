"""Small graphs by hand, one for each kind of sharing map and reduction: what the passes and the backend are tested on.

graph = GRAPHS["circulant"]()      a graph with a loss
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from dln.compiler.mathematics.expression import (
    BATCH,
    Expression,
    Load,
    Lookup,
    apply,
    at_most,
    conjunction,
    less,
    new_axis,
    select,
)
from dln.compiler.mathematics.graph import Array, Family, Graph, Reduction, Table

SAMPLES = apply("real", Load("batch_size", (), "integer"))


def weight(name: str, *extents: int) -> Array:
    return Array(name, "weight", extents)


def real_input(name: str, *extents: int) -> Array:
    return Array(name, "input", extents, batched=True)


def class_input(name: str, classes: int, *extents: int) -> Array:
    return Array(name, "input", extents, batched=True, type="integer", classes=classes)


def start(*arrays: Array) -> Graph:
    graph = Graph(arrays={a.name: a for a in arrays})
    graph.arrays["batch_size"] = Array("batch_size", "clock", (), type="integer")
    return graph


def with_loss(graph: Graph, output: Load) -> Graph:
    """loss = average over the batch of Σ (y²/2 + y)."""
    axes = tuple(a if a == BATCH else new_axis(a.name, a.size) for a in graph.families[output.array].axes)
    y = Load(output.array, axes)
    graph.add(Family("loss.sum", (), 0.5 * y * y + y, Reduction("sum", axes)))
    graph.add(Family("loss", (), Load("loss.sum") / SAMPLES, role="loss"))
    graph.loss, graph.outputs = "loss", (output.array,)
    return graph


def within(subscript: Expression, extent: int) -> Expression:
    return conjunction([at_most(0, subscript), less(subscript, extent)])


def axes(names: str, *extents: int):  # type: ignore[no-untyped-def]
    return [new_axis(n, e) for n, e in zip(names, extents, strict=True)]


def dense(inputs: int = 6, outputs: int = 5, function: str = "tanh") -> Graph:
    graph = start(weight("w", inputs, outputs), weight("b", outputs), real_input("x", inputs))
    i, j = axes("ij", inputs, outputs)
    total = graph.add(
        Family("h.sum", (BATCH, j), Load("w", (i, j)) * Load("x", (BATCH, i)), Reduction("sum", (i,)))
    )
    return with_loss(graph, graph.add(Family("h", (BATCH, j), apply(function, total + Load("b", (j,))))))


def shared_pair() -> Graph:
    graph = start(weight("w", 2), real_input("x", 4))
    i, j = axes("ij", 4, 3)
    where = (at_most(0, i - j), less(i - j, 2))
    body = Load("w", (i - j,)) * Load("x", (BATCH, i))
    total = graph.add(Family("h.sum", (BATCH, j), body, Reduction("sum", (i,), where)))
    return with_loss(graph, graph.add(Family("h", (BATCH, j), apply("tanh", total))))


def strided_convolutions() -> Graph:
    """LeCun 1989 in small: stride 2, border −1, then planes by a table, border 0."""
    graph = start(weight("w", 3, 5, 5), weight("b", 3, 4, 4), real_input("x", 8, 8), weight("w2", 4, 2, 3, 3))
    f, y, x, v, u = axes("fyxvu", 3, 4, 4, 5, 5)
    row, column = 2 * y + v - 2, 2 * x + u - 2
    inside = apply("and", within(row, 8), within(column, 8))
    body = Load("w", (f, v, u)) * select(inside, Load("x", (BATCH, row, column)), -1.0)
    total = graph.add(Family("h.sum", (BATCH, f, y, x), body, Reduction("sum", (v, u))))
    graph.add(Family("h", (BATCH, f, y, x), apply("tanh", total + Load("b", (f, y, x)))))
    graph.tables["plane"] = Table("plane", np.array([[0, 1], [1, 2]]))
    f, y, x, c, v, u = axes("fyxcvu", 4, 2, 2, 2, 3, 3)
    row, column = 2 * y + v - 1, 2 * x + u - 1
    inside = apply("and", within(row, 4), within(column, 4))
    plane = Lookup("plane", (apply("div", f, 2), c))
    body = Load("w2", (f, c, v, u)) * select(inside, Load("h", (BATCH, plane, row, column)), 0.0)
    total = graph.add(Family("h2.sum", (BATCH, f, y, x), body, Reduction("sum", (c, v, u))))
    return with_loss(graph, graph.add(Family("h2", (BATCH, f, y, x), apply("max", total, 0.0))))


def _scaled_input(graph: Graph, extent: int) -> None:
    """z = a · x, so that the gradient flows to what the map reads."""
    k = new_axis("k", extent)
    graph.add(Family("z", (BATCH, k), Load("a", (k,)) * Load("x", (BATCH, k))))


def circulant(extent: int = 5) -> Graph:
    graph = start(weight("w", extent), weight("a", extent), real_input("x", extent))
    _scaled_input(graph, extent)
    i, j = axes("ij", extent, extent)
    body = Load("w", (apply("mod", j - i, extent),)) * Load("z", (BATCH, i))
    return with_loss(graph, graph.add(Family("h", (BATCH, j), body, Reduction("sum", (i,)))))


def toeplitz_and_blocks() -> Graph:
    """Subscripts with abs and div."""
    graph = start(weight("w", 4), weight("w2", 3), real_input("x", 6))
    i, j = axes("ij", 6, 6)
    distance = apply("abs", i - j)
    body = Load("w", (distance,)) * Load("x", (BATCH, i))
    graph.add(Family("h", (BATCH, j), body, Reduction("sum", (i,), (less(distance, 4),))))
    i, j = axes("ij", 6, 3)
    body = Load("w2", (apply("div", i + j, 4),)) * Load("h", (BATCH, i))
    return with_loss(graph, graph.add(Family("h2", (BATCH, j), body, Reduction("sum", (i,)))))


def table_with_gaps() -> Graph:
    graph = start(weight("w", 7), weight("a", 8), real_input("x", 8))
    generator = np.random.default_rng(1)
    values = generator.integers(0, 7, (8, 6))
    values[generator.random((8, 6)) < 0.6] = -1
    graph.tables["K"] = Table("K", values)
    _scaled_input(graph, 8)
    i, j = axes("ij", 8, 6)
    entry = Lookup("K", (i, j))
    body = Load("w", (entry,)) * Load("z", (BATCH, i))
    return with_loss(
        graph, graph.add(Family("h", (BATCH, j), body, Reduction("sum", (i,), (at_most(0, entry),))))
    )


def random_table(sources: int = 8, targets: int = 6, fan_in: int = 3, weights: int = 7) -> Graph:
    graph = start(weight("w", weights), weight("a", sources), real_input("x", sources))
    generator = np.random.default_rng(2)
    graph.tables["K"] = Table("K", generator.integers(0, weights, (targets, fan_in)))
    graph.tables["S"] = Table("S", generator.integers(0, sources, (targets, fan_in)))
    _scaled_input(graph, sources)
    r, j = axes("rj", fan_in, targets)
    body = Load("w", (Lookup("K", (j, r)),)) * Load("z", (BATCH, Lookup("S", (j, r))))
    return with_loss(graph, graph.add(Family("h", (BATCH, j), body, Reduction("sum", (r,)))))


def hashed_table(sources: int = 8, targets: int = 6, fan_in: int = 3, weights: int = 7) -> Graph:
    """As random_table, with the tables written as expressions that only a table can hold."""
    graph = start(weight("w", weights), weight("a", sources), real_input("x", sources))
    _scaled_input(graph, sources)
    r, j = axes("rj", fan_in, targets)
    number = fan_in * j + r
    source = apply("mod", apply("mod", number * number * 31 + number * 17, 101), sources)
    body = Load("w", (apply("mod", number * number * 13 + 5, weights),)) * Load("z", (BATCH, source))
    return with_loss(graph, graph.add(Family("h", (BATCH, j), body, Reduction("sum", (r,)))))


def max_pooling() -> Graph:
    """Windows side by side, then overlapping ones."""
    graph = start(weight("w", 3), real_input("x", 7, 6))
    c, p, q = axes("cpq", 3, 7, 6)
    graph.add(Family("z", (BATCH, c, p, q), apply("sin", Load("w", (c,)) * Load("x", (BATCH, p, q)))))
    c, y, x, v, u = axes("cyxvu", 3, 3, 3, 2, 2)
    body: Expression = Load("z", (BATCH, c, 2 * y + v, 2 * x + u))
    graph.add(Family("h", (BATCH, c, y, x), body, Reduction("max", (v, u))))
    c, y, x, v, u = axes("cyxvu", 3, 2, 2, 2, 2)
    body = Load("h", (BATCH, c, y + v, x + u))
    return with_loss(graph, graph.add(Family("h2", (BATCH, c, y, x), body, Reduction("max", (v, u)))))


def cross_entropy(inputs: int = 4, classes: int = 5) -> Graph:
    graph = start(weight("w", inputs, classes), real_input("x", inputs), class_input("label", classes))
    i, j = axes("ij", inputs, classes)
    graph.add(Family("score", (BATCH, j), Load("w", (i, j)) * Load("x", (BATCH, i)), Reduction("sum", (i,))))
    (j,) = axes("j", classes)
    largest = graph.add(Family("m", (BATCH,), Load("score", (BATCH, j)), Reduction("max", (j,))))
    largest = graph.add(Family("constant", (BATCH,), apply("stop_gradient", largest)))
    (j,) = axes("j", classes)
    body = apply("exp", Load("score", (BATCH, j)) - largest)
    total = graph.add(Family("total", (BATCH,), body, Reduction("sum", (j,))))
    (j,) = axes("j", classes)
    graph.add(Family("y", (BATCH, j), Load("score", (BATCH, j)) - largest - apply("log", total)))
    body = -Load("y", (BATCH, Load("label", (BATCH,), "integer")))
    graph.add(Family("loss.sum", (), body, Reduction("sum", (BATCH,))))
    graph.add(Family("loss", (), Load("loss.sum") / SAMPLES, role="loss"))
    graph.loss, graph.outputs = "loss", ("score",)
    return graph


def embedding() -> Graph:
    graph = start(weight("E", 6, 3), class_input("token", 6, 4))
    t, d = axes("td", 4, 3)
    body = apply("tanh", Load("E", (Load("token", (BATCH, t), "integer"), d)))
    return with_loss(graph, graph.add(Family("h", (BATCH, t, d), body)))


def product_and_operand() -> Graph:
    """A product (with its gradient by the other factors), and a sum with a costly factor that repeats."""
    graph = start(weight("w", 4, 3), weight("v", 4), real_input("x", 4))
    i, j = axes("ij", 4, 3)
    body = Load("w", (i, j)) * Load("x", (BATCH, i))
    graph.add(Family("h", (BATCH, j), body, Reduction("product", (i,))))
    i, j = axes("ij", 4, 3)
    body = Load("h", (BATCH, j)) * apply("tanh", Load("v", (i,)) * Load("x", (BATCH, i)))
    return with_loss(graph, graph.add(Family("h2", (BATCH,), body, Reduction("sum", (i, j)))))


GRAPHS: dict[str, Callable[[], Graph]] = {
    function.__name__: function
    for function in (
        dense, shared_pair, strided_convolutions, circulant, toeplitz_and_blocks, table_with_gaps, random_table,
    hashed_table,
        max_pooling, cross_entropy, embedding, product_and_operand,
    )
}  # fmt: skip
