"""Printed equations: as a textbook writes them, and on one line.

That the text also means what it should is test_printed_values.py's matter.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dln.compiler.mathematics.expression import (
    BATCH,
    Axis,
    Expression,
    Load,
    Lookup,
    apply,
    at_most,
    conjunction,
    less,
    new_axis,
    real,
    select,
)
from dln.compiler.mathematics.graph import Array, Family, Graph, Reduction, Table, verify
from dln.compiler.passes.gradient import differentiate
from dln.compiler.pipeline import front, front_text
from dln.compiler.printing.equations import forward_equations, gradient_equations
from dln.compiler.printing.listing import text
from dln.compiler.printing.notation import Notation
from dln.compiler.printing.typeset import Typesetter

MODELS = Path(__file__).parents[3] / "models"


def scalar_graph(expression: Expression, names: str = "xyz") -> Graph:
    """A loss that is an expression of weights without axes."""
    graph = Graph("scalar")
    for name in names:
        graph.arrays[name] = Array(name, "weight", ())
    graph.add(Family("loss", (), expression, role="loss"))
    graph.loss = "loss"
    return graph


def shared_pair() -> Graph:
    """language.md's first example, with the squared error."""
    graph = Graph("shared_pair")
    graph.arrays["x"] = Array("x", "input", (4,), True)
    graph.arrays["t"] = Array("t", "input", (3,), True)
    graph.arrays["w"] = Array("w", "weight", (2,))
    graph.arrays["batch_size"] = Array("batch_size", "clock", ())
    i, j, other = new_axis("i", 4), new_axis("j", 3), new_axis("j", 3)
    where = (at_most(0, i - j), less(i - j, 2))
    body = Load("w", (i - j,)) * Load("x", (BATCH, i))
    total = graph.add(Family("h.sum", (BATCH, j), body, Reduction("sum", (i,), where), "term"))
    graph.add(Family("h", (BATCH, j), apply("tanh", total), role="layer"))
    miss = Load("h", (BATCH, other)) - Load("t", (BATCH, other))
    error = graph.add(Family("loss.sum", (), 0.5 * (miss * miss), Reduction("sum", (BATCH, other)), "term"))
    graph.add(Family("loss", (), error / Load("batch_size"), role="loss"))
    graph.loss, graph.outputs = "loss", ("h",)
    return graph


def lines(graph: Graph) -> tuple[list[str], list[str]]:
    verify(graph)
    backward = differentiate(graph)
    verify(backward)
    return [e.text for e in forward_equations(graph)], [e.text for e in gradient_equations(backward)]


def test_shared_pair_reads_as_in_the_textbook() -> None:
    forward, backward = lines(shared_pair())
    assert forward == [
        "h[j] = tanh(Σ_{i: 0 ≤ i − j < 2} w[i − j] · x[i])",
        "E = 1/(2·|batch|) · Σ_{batch, j} (h[j] − t[j])²",
    ]
    assert backward == [
        "∂E/∂h[j] = (h[j] − t[j]) / |batch|",
        "∂E/∂w[k] = Σ_{batch, i, j: i − j = k} ∂E/∂h[j] · (1 − h[j]²) · x[i]",
    ]


def test_shared_pair_in_latex() -> None:
    equations = gradient_equations(differentiate(shared_pair()))
    assert equations[-1].latex == (
        r"\frac{\partial E}{\partial w_{k}} = \sum_{\text{batch},i,j \,:\, i - j = k} "
        r"\frac{\partial E}{\partial h_{j}} \, (1 - h_{j}^{2}) \, x_{i}"
    )


def test_gradients_are_derived_where_they_are_missing() -> None:
    graph = shared_pair()
    assert [e.text for e in gradient_equations(graph)] == [
        e.text for e in gradient_equations(differentiate(graph))
    ]
    graph.loss = None
    assert gradient_equations(graph) == []


def test_the_example_of_the_curriculum() -> None:
    """J = cos(sin(x²) + 3x²)."""
    x = Load("x")
    forward, backward = lines(scalar_graph(apply("cos", apply("sin", x**2) + 3 * x**2), "x"))
    assert forward == ["E = cos(sin(x²) + 3x²)"]
    assert backward == ["∂E/∂x = −2x · sin(sin(x²) + 3x²) · (cos(x²) + 3)"]
    latex = gradient_equations(scalar_graph(apply("cos", apply("sin", x**2) + 3 * x**2), "x"))[0].latex
    assert latex == (
        r"\frac{\partial E}{\partial x} = -2x \, \sin(\sin(x^{2}) + 3x^{2}) \, (\cos(x^{2}) + 3)"
    )


def test_subscripts_guards_tables_and_pooling() -> None:
    graph = Graph("planes")
    graph.arrays["image"] = Array("image", "input", (8,), True)
    graph.arrays["w1"] = Array("w1", "weight", (6, 5))
    graph.arrays["w2"] = Array("w2", "weight", (6, 3))
    graph.tables["plane"] = Table("plane", np.arange(18).reshape(6, 3) % 6)
    f, y, u = new_axis("f", 6), new_axis("y", 4), new_axis("u", 5)
    place = 2 * y + u - 2
    inside = conjunction([at_most(0, place), less(place, 8)])
    body = Load("w1", (f, u)) * select(inside, Load("image", (BATCH, place)), real(-1))
    total = graph.add(Family("h1.sum", (BATCH, f, y), body, Reduction("sum", (u,)), "term"))
    graph.add(Family("h1", (BATCH, f, y), apply("tanh", total), role="layer"))
    f, y, c = new_axis("f", 6), new_axis("y", 4), new_axis("c", 3)
    body = Load("w2", (f, c)) * Load("h1", (BATCH, Lookup("plane", (f, c)), y))
    graph.add(Family("h2", (BATCH, f, y), body, Reduction("sum", (c,)), "layer"))
    f, y, v = new_axis("f", 6), new_axis("y", 2), new_axis("v", 2)
    graph.add(
        Family("pool", (BATCH, f, y), Load("h2", (BATCH, f, 2 * y + v)), Reduction("max", (v,)), "layer")
    )
    f, y = new_axis("f", 6), new_axis("y", 2)
    graph.add(Family("loss", (), Load("pool", (BATCH, f, y)), Reduction("sum", (BATCH, f, y)), "loss"))
    graph.loss, graph.outputs = "loss", ("h1", "h2", "pool")
    forward, backward = lines(graph)
    assert forward == [
        "h1[f, y] = tanh(Σ_{u} w1[f, u] · image[2y + u − 2 else −1])",
        "h2[f, y] = Σ_{c} w2[f, c] · h1[plane(f, c), y]",
        "pool[f, y] = max_{v} h2[f, 2y + v]",
        "E = Σ_{batch, f, y} pool[f, y]",
    ]
    assert backward == [
        "∂E/∂pool[f, y] = 1",
        "∂E/∂h2[f, y] = Σ_{y′, v: 2y′ + v = y, v = argmax_{v′} h2[f, 2y′ + v′]} ∂E/∂pool[f, y′]",
        "∂E/∂h1[f, y] = Σ_{f′, c: plane(f′, c) = f} ∂E/∂h2[f′, y] · w2[f′, c]",
        "∂E/∂w1[f, u] = Σ_{batch, y} ∂E/∂h1[f, y] · (1 − h1[f, y]²) · image[2y + u − 2 else −1]",
        "∂E/∂w2[f, c] = Σ_{batch, y} ∂E/∂h2[f, y] · h1[plane(f, c), y]",
    ]


def test_a_sum_with_one_solution_is_solved() -> None:
    """x[i + 1] gives its derivative back to i = k − 1."""
    graph = Graph("shift")
    graph.arrays["w"] = Array("w", "weight", (5,))
    i = new_axis("i", 4)
    graph.add(Family("h", (i,), apply("tanh", Load("w", (i + 1,))), role="layer"))
    i = new_axis("i", 4)
    graph.add(Family("loss", (), Load("h", (i,)), Reduction("sum", (i,)), "loss"))
    graph.loss, graph.outputs = "loss", ("h",)
    assert lines(graph)[1] == ["∂E/∂h[i] = 1", "∂E/∂w[k] = ∂E/∂h[k − 1] · (1 − h[k − 1]²) · [k ≥ 1]"]


def test_a_sum_that_is_used_twice_has_its_own_equation() -> None:
    graph = Graph("twice")
    graph.arrays["w"] = Array("w", "weight", (3,))
    i = new_axis("i", 3)
    total = graph.add(Family("loss.sum", (), Load("w", (i,)), Reduction("sum", (i,)), "term"))
    graph.add(Family("loss", (), apply("exp", total) + apply("sin", total), role="loss"))
    graph.loss = "loss"
    forward, backward = lines(graph)
    assert forward == ["loss.sum = Σ_{i} w[i]", "E = exp(loss.sum) + sin(loss.sum)"]
    assert backward == ["∂E/∂w[i] = cos(loss.sum) + exp(loss.sum)"]


DIGITS = """
network digits
input image[64]
input label: class[10]
layer hidden[32] = relu(dense(image))
layer score[10] = dense(hidden)
loss cross_entropy(score, label)
"""


def test_layers_of_the_prelude_read_as_on_a_board() -> None:
    graph = front_text(DIGITS).graph
    forward = [e.text for e in forward_equations(graph)]
    assert forward[:2] == [
        "hidden[j] = max(hidden.b[j] + Σ_{i} hidden.w[i, j] · image[i], 0)",
        "score[j] = score.b[j] + Σ_{i} score.w[i, j] · hidden[i]",
    ]
    assert forward[-1] == "E = −1/|batch| · Σ_{batch} loss.log_softmax.y[label]"
    backward = [e.text for e in gradient_equations(graph)]
    for line in (
        # p − t, as every textbook has it, with the softmax written out
        "∂E/∂score[j] = (exp(score[j] − loss.log_softmax.top) / loss.log_softmax.y.sum − [label = j]) / |batch|",
        "∂E/∂hidden[i] = Σ_{j} ∂E/∂score[j] · score.w[i, j]",
        "∂E/∂hidden.y[j] = ∂E/∂hidden[j] · [hidden[j] > 0]",
        "∂E/∂hidden.w[i, j] = Σ_{batch} ∂E/∂hidden.y[j] · image[i]",
        "∂E/∂score.b[j] = Σ_{batch} ∂E/∂score[j]",
    ):
        assert line in backward


@pytest.mark.parametrize("model", sorted(MODELS.glob("*.dln")), ids=lambda path: path.stem)
def test_every_weight_of_every_model_has_an_equation(model: Path) -> None:
    graph = front(model).graph
    equations = gradient_equations(graph)
    assert {w.name for w in graph.weights if not w.frozen} <= {e.name for e in equations}
    for equation in forward_equations(graph) + equations:
        assert equation.text.count("(") == equation.text.count(")")
        assert equation.latex.count("{") == equation.latex.count("}")
        assert equation.latex.count(r"\left") == equation.latex.count(r"\right")
        assert len(equation.text.splitlines()) == 1


# ------------------------------------------------------------------------------------------------ small parts


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (0.5, "½"), (2.0, "2"), (-3.0, "−3"), (0.1, "0.1"), (1 / 3, "1/3"), (0.0625, "1/16"), (0.001, "0.001"),
        (0.044715, "0.044715"), (1e-8, "1e-08"), (0.1 + 0.2, "0.3"), (1 / 784, "1/784"),
    ],
)  # fmt: skip
def test_numbers(value: float, printed: str) -> None:
    notation = Notation()
    assert Typesetter().line(notation.number(value)) == printed


def test_parentheses_only_where_they_are_needed() -> None:
    n = Notation()
    x, y, w = n.symbol("x"), n.symbol("y"), n.symbol("w", n.symbol("k"))
    line = Typesetter().line
    assert line(n.sum(x, n.negative(n.sum(y, x)))) == "−y"
    assert line(n.product(n.sum(x, y), n.sum(x, n.negative(y)))) == "(x + y) · (x − y)"
    assert line(n.quotient(n.product(x, y), n.product(w, n.number(2)))) == "x · y / (2·w[k])"
    assert line(n.product(n.number(-3), w)) == "−3·w[k]"
    assert line(n.power(n.make("apply", "tanh", x), 2)) == "tanh²(x)"
    assert line(n.sum(n.number(1), n.negative(n.power(n.sum(x, y), 2)))) == "1 − (x + y)²"


def test_listing_tells_indices_apart_without_serial_numbers() -> None:
    def build() -> str:
        return text(differentiate(shared_pair()))

    assert build() == build()
    assert build().splitlines()[:8] == [
        "graph shared_pair",
        "input    x[batch, 4]",
        "input    t[batch, 3]",
        "weight   w[2]",
        "clock    batch_size",
        "term     h.sum[batch, j: 3] = sum[i: 4 where 0 <= i - j and i - j < 2] w[i - j] * x[batch, i]",
        "layer    h[batch, j: 3] = tanh(h.sum[batch, j])",
        "term     loss.sum = sum[batch, j: 3] 0.5 * ((h[batch, j] - t[batch, j]) * (h[batch, j] - t[batch, j]))",
    ]


def test_listing_primes_an_index_that_hides_another() -> None:
    graph = Graph("square")
    graph.arrays["w"] = Array("w", "weight", (3, 3))
    outer, inner = Axis("i", 3, 10_001), Axis("i", 3, 10_002)
    graph.add(Family("h", (outer,), Load("w", (outer, inner)), Reduction("sum", (inner,)), "layer"))
    graph.outputs = ("h",)
    assert "h[i: 3] = sum[i': 3] w[i, i']" in text(graph)
