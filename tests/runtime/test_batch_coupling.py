"""Couplings found by the rules, against what cutting the batch in two really does to the numbers."""

from __future__ import annotations

import numpy as np
import pytest
from dln.compiler.mathematics.expression import (
    BATCH,
    Apply,
    Constant,
    Expression,
    Load,
    apply,
    integer,
    select,
)
from dln.compiler.mathematics.graph import Array, Family, Graph, Reduction
from dln.compiler.mathematics.scalar import SCALAR_FUNCTIONS
from dln.runtime.batch_coupling import coupling_of

X, W, N = Load("x", (BATCH,)), Load("w"), Load("batch_size")
TRAINING = apply("!=", Load("training", (), "integer"), integer(0))


def total(name: str, body: Expression) -> Family:
    return Family(name, (), body, Reduction("sum", (BATCH,)))


def at_own(name: str, body: Expression) -> Family:
    return Family(name, (BATCH,), body)


# Loss, with the families before it.
CASES: dict[str, tuple[str, list[Family]]] = {
    "mean of samples": ("mean", [total("s", apply("exp", X * W)), Family("e", (), Load("s") / N)]),
    "mean by shares": ("mean", [total("e", (X * X) / N)]),
    "mean by 1 / n": ("mean", [total("s", X), Family("e", (), (1 / N) * Load("s") * W)]),
    "mean and penalty": ("mean", [total("s", X), Family("e", (), Load("s") / N + 0.1 * W * W)]),
    "penalty alone": ("constant", [Family("e", (), apply("exp", W))]),
    "sum": ("sum", [total("s", X * W), Family("e", (), 3 * Load("s"))]),
    "sum and penalty": ("mixed", [total("s", X), Family("e", (), Load("s") + W)]),
    "square of the mean": ("mixed", [total("s", X), Family("e", (), apply("exp", Load("s") / N))]),
    "centred": (
        "mixed",
        [
            total("s", X),
            at_own("c", X - Load("s") / N),
            total("q", Load("c", (BATCH,)) * Load("c", (BATCH,))),
            Family("e", (), Load("q") / N),
        ],
    ),
    "centred while training": (
        "mean",
        [
            total("s", X),
            at_own("c", X - select(TRAINING, Load("s") / N, W)),
            total("q", Load("c", (BATCH,)) * Load("c", (BATCH,))),
            Family("e", (), Load("q") / N),
        ],
    ),
    "largest": ("mixed", [Family("e", (), X, Reduction("max", (BATCH,)))]),
    "sum over the size": ("mixed", [total("s", X), Family("e", (), Load("s") * N)]),
}


def graph_of(families: list[Family]) -> Graph:
    arrays = {
        "x": Array("x", "input", (), True),
        "w": Array("w", "weight", ()),
        "batch_size": Array("batch_size", "clock", ()),
        "training": Array("training", "clock", (), type="integer"),
    }
    return Graph("g", arrays, {}, {f.name: f for f in families}, loss="e")


@pytest.mark.parametrize("case", CASES)
def test_the_rules(case):
    expected, families = CASES[case]
    assert coupling_of(graph_of(families), training=False)["e"] == expected


def test_training_is_told_apart():
    families = CASES["centred while training"][1]
    assert coupling_of(graph_of(families), training=True)["e"] == "mixed"


@pytest.mark.parametrize("case", CASES)
def test_cutting_the_batch_agrees(case):
    """The claim itself, by evaluating the families in NumPy on all samples and on two unequal parts."""
    expected, families = CASES[case]
    x = np.random.default_rng(0).normal(1, 1, 7)

    def loss(samples: np.ndarray) -> float:
        values = {"x": samples, "w": 0.7, "batch_size": float(len(samples)), "training": 0}
        for family in families:
            value = _value(family.body, values)
            if family.reduction is not None:
                reduce = np.sum if family.reduction.kind == "sum" else np.max
                value = reduce(np.broadcast_to(value, samples.shape))
            values[family.name] = value
        return float(values["e"])

    whole, first, second = loss(x), loss(x[:3]), loss(x[3:])
    as_mean, as_sum = (3 * first + 4 * second) / 7, first + second
    if expected in ("mean", "constant"):
        assert whole == pytest.approx(as_mean, rel=1e-12)
    elif expected == "sum":
        assert whole == pytest.approx(as_sum, rel=1e-12)
    else:
        assert whole != pytest.approx(as_mean, rel=1e-3)
        assert whole != pytest.approx(as_sum, rel=1e-3)


def _value(expression: Expression, values: dict) -> np.ndarray:
    if isinstance(expression, Load):
        return np.asarray(values[expression.array])
    if isinstance(expression, Constant):
        return np.asarray(expression.value)
    assert isinstance(expression, Apply)
    arguments = [_value(a, values) for a in expression.arguments]
    return SCALAR_FUNCTIONS[expression.function].value(*arguments)
