"""The printed text means what was differentiated: read back, it has the value of the expression and of its slope.

The oracle is a reader of the printed text: `value_of` turns it into Python's own notation and evaluates it, so that a missing
parenthesis, a wrong sign or a lost factor shows. Slopes are compared with central differences.
"""

from __future__ import annotations

import math
import random
import re
from typing import Any

import numpy as np
import pytest
from dln.compiler.mathematics.expression import Apply, Constant, Expression, Load, apply, real, select
from dln.compiler.mathematics.graph import Array, Family, Graph
from dln.compiler.mathematics.scalar import SCALAR_FUNCTIONS
from dln.compiler.mathematics.walks import postorder
from dln.compiler.printing.equations import forward_equations, gradient_equations


def scalar_graph(expression: Expression, names: str = "xyz") -> Graph:
    """A loss that is an expression of weights without axes."""
    graph = Graph("scalar")
    for name in names:
        graph.arrays[name] = Array(name, "weight", ())
    graph.add(Family("loss", (), expression, role="loss"))
    graph.loss = "loss"
    return graph


FUNCTIONS = ("sin", "cos", "exp", "tanh", "sigmoid", "abs", "sqrt", "log1p", "expm1", "log", "erf")
_DIGITS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")


def value_of(printed: str, values: dict[str, float]) -> float:
    """The value of a printed right-hand side, read by Python."""
    right = printed.split(" = ", 1)[1]
    where = dict(re.findall(r"^    where (z\d+) = (.*)$", right, flags=re.M))
    known: dict[str, Any] = {
        "abs_": abs, "√": math.sqrt, "σ": lambda v: 1 / (1 + math.exp(-v)), "bracket": lambda *conditions: float(all(conditions)),
        "sin": math.sin, "cos": math.cos, "exp": math.exp, "tanh": math.tanh, "log": math.log, "erf": math.erf,
        "root": math.sqrt, "logistic": lambda v: 1 / (1 + math.exp(-v)), "π": math.pi, "max": max, "min": min, "sign": np.sign,
        **values,
    }  # fmt: skip
    for name, text_of_name in where.items():
        known[name] = _evaluate(text_of_name, known)
    return _evaluate(right.split("\n")[0], known)


def _evaluate(printed: str, known: dict[str, Any]) -> float:
    python = printed
    for mark, spelled in (
        ("−", "-"),
        ("·", "*"),
        ("½", "0.5"),
        ("¼", "0.25"),
        ("¾", "0.75"),
        ("≤", "<="),
        ("≥", ">="),
        ("≠", "!="),
    ):
        python = python.replace(mark, spelled)
    python = (
        re.sub(r"√([a-zπ2])", r"root(\1)", python.replace("√π", "√(π)"))
        .replace("√(", "root(")
        .replace("σ", "logistic")
    )
    python = re.sub(
        r"([a-z]+)([⁰¹²³⁴⁵⁶⁷⁸⁹]+)\(", lambda m: f"Raised({m[1]}, {m[2].translate(_DIGITS)})(", python
    )
    python = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+", lambda m: f"**{m[0].translate(_DIGITS)}", python)
    python = re.sub(r"(?<![\w.])(\d+(?:\.\d+)?)([xyzE]\b)", r"\1*\2", python).replace("^", "**")
    python = python.replace("[", "bracket(").replace("]", ")")
    while "|" in python:
        python = re.sub(r"\|([^|]*)\|", r"abs_(\1)", python, count=1)
    known["Raised"] = lambda function, power: lambda *v: function(*v) ** power
    return float(eval(python, {"__builtins__": {}}, known))


def random_expression(draw: random.Random, depth: int) -> Expression:
    if depth == 0 or draw.random() < 0.15:
        return draw.choice(
            [Load("x"), Load("y"), Load("z"), real(draw.choice([0.5, 2, 3, 1.5, -1, 0.1, 1 / 3, 7]))]
        )
    a, b = random_expression(draw, depth - 1), random_expression(draw, depth - 1)
    match draw.randrange(9):
        case 0 | 1:
            return a + b
        case 2:
            return a - b
        case 3 | 4:
            return a * b
        case 5:
            return a / (b * b + 1)
        case 6:
            return -a
        case 7:
            function = draw.choice(["sin", "cos", "tanh", "sigmoid", "erf"])
            return apply(function, a) if draw.random() < 0.7 else apply("sqrt", a * a + 1)
    match draw.randrange(4):
        case 0:
            return a**2
        case 1:
            return apply("log1p", apply("exp", -apply("tanh", a)))
        case 2:
            return select(apply("<", a, b), a, 0.0)
    return apply("max", a, b)


def evaluate(root: Expression, values: dict[str, float]) -> float:
    """The expression by the table of scalar functions, in double precision."""
    done: dict[Expression, Any] = {}
    for node in postorder(root):
        if isinstance(node, Load):
            done[node] = np.float64(values[node.array])
        elif isinstance(node, Constant):
            done[node] = np.float64(node.value)
        else:
            assert isinstance(node, Apply)
            done[node] = SCALAR_FUNCTIONS[node.function].value(*(done[a] for a in node.arguments))
    return float(done[root])


@pytest.mark.parametrize("seed", range(150))
def test_printed_text_has_the_value_of_the_expression(seed: int) -> None:
    """Forward against the expression; backward against central differences of it."""
    draw = random.Random(seed)
    root = random_expression(draw, draw.randint(1, 5))
    values = {name: draw.uniform(0.2, 1.4) for name in "xyz"}
    graph = scalar_graph(root)
    forward, backward = ([e.text for e in made(graph)] for made in (forward_equations, gradient_equations))
    assert value_of(forward[0], values) == pytest.approx(evaluate(root, values), rel=1e-9, abs=1e-9)
    step = 1e-6
    for name, printed in zip("xyz", backward, strict=True):
        assert printed.startswith(f"∂E/∂{name} = ")
        # The derivative of max asks whether E ≤ b; where E is b, rounding must not decide.
        loss = value_of(forward[0], values) - 1e-13
        up, down = ({**values, name: values[name] + s} for s in (step, -step))
        slope = (evaluate(root, up) - evaluate(root, down)) / (2 * step)
        assert value_of(printed, {**values, "E": loss}) == pytest.approx(slope, rel=1e-5, abs=1e-6), printed


def test_what_grows_out_of_hand_is_named() -> None:
    x: Expression = Load("x")
    for _ in range(40):
        x = apply("sin", x) * apply("exp", -x)
    graph = scalar_graph(x, "x")
    forward, backward = ([e.text for e in made(graph)] for made in (forward_equations, gradient_equations))
    assert len(forward[0]) < 5_000 and len(backward[0]) < 40_000 and "where z1 = " in forward[0]
    assert value_of(forward[0], {"x": 0.3}) == pytest.approx(evaluate(x, {"x": 0.3}), rel=1e-9)


def test_depth_costs_no_stack() -> None:
    x: Expression = Load("x")
    for _ in range(5_000):
        x = apply("sin", x + 1)
    assert forward_equations(scalar_graph(x, "x"))[0].text.count("sin(") == 5_000
