"""Numbers at the edge: scores of ±1000, infinities, not-a-numbers, ties, and what NumPy says of each."""

from __future__ import annotations

import math
from typing import Any

import dln
import numpy as np
import pytest

pytestmark = pytest.mark.parametrize("precision", ["float32", "float64"])

NAN, INF = math.nan, math.inf


def run(text: str, precision: str, weights: dict[str, Any], inputs: dict[str, Any]) -> Any:
    """Layers, loss and gradient of a network with these weights."""
    net = dln.compile(text, precision=precision)
    for name, value in weights.items():
        net.weights[name] = np.asarray(value, dtype=precision)
    outputs = net(**inputs)
    loss, gradient = net.loss_and_gradient(**inputs)
    return outputs, loss, gradient


def equal(actual: Any, expected: Any, precision: str) -> None:
    """As NumPy's assert_allclose: equal infinities and not-a-numbers, numbers to a few units in the last place."""
    rtol = 1e-6 if precision == "float32" else 1e-14
    np.testing.assert_allclose(np.asarray(actual, np.float64), expected, rtol=rtol, atol=rtol * 1e-3)


SCORES = np.array(
    [[1000.0, -1000.0, 0.0], [-1000.0, -1000.0, -1000.0], [1000.0, 999.0, 1000.0], [0.0, 0.5, -700.0]]
)


def stable_log_softmax(x: np.ndarray) -> np.ndarray:
    shifted = x - x.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


@pytest.mark.parametrize("label", [0, 1, 2])
def test_cross_entropy_of_huge_scores(label: int, precision: str) -> None:
    text = """
input label: class[3]
weight w[4, 3]
let   log_p[4, 3] = log_softmax(w)
layer p[4, 3] = softmax(w)
layer q[4, 3] = log_p
loss -average[batch] sum[r] log_p[r, label]
"""
    outputs, loss, gradient = run(text, precision, {"w": SCORES}, {"label": np.array([label])})
    log_p = stable_log_softmax(SCORES)
    equal(np.squeeze(outputs["q"]), log_p, precision)
    equal(np.squeeze(outputs["p"]), np.exp(log_p), precision)
    equal(loss, -log_p[:, label].sum(), precision)
    equal(gradient["w"], np.exp(log_p) - np.eye(3)[label], precision)


def test_cross_entropy_of_the_prelude(precision: str) -> None:
    text = """
input x
input label: class[3]
weight w[3]
layer score[k] = w[k] * x
loss cross_entropy(score, label)
"""
    x, label = np.array([1.0, -1.0, 0.001, 1.0]), np.array([0, 0, 1, 2])
    w = np.array([1000.0, -1000.0, 500.0])
    _, loss, gradient = run(text, precision, {"w": w}, {"x": x, "label": label})
    log_p = stable_log_softmax(x[:, None] * w)
    equal(loss, -log_p[np.arange(4), label].mean(), precision)
    expected = ((np.exp(log_p) - np.eye(3)[label]) * x[:, None]).mean(0)
    equal(gradient["w"], expected, precision)


def test_binary_cross_entropy_of_huge_scores(precision: str) -> None:
    text = """
input t[6]
weight w[6]
layer y[k] = w[k]
loss binary_cross_entropy(w, t)
"""
    w = np.array([1000.0, 1000.0, -1000.0, -1000.0, 0.0, 0.0])
    t = np.array([[1.0, 0.0, 1.0, 0.0, 1.0, 0.0]])
    _, loss, gradient = run(text, precision, {"w": w}, {"t": t})
    each = np.maximum(w, 0) - t[0] * w + np.log1p(np.exp(-np.abs(w)))
    equal(loss, each.mean(), precision)
    equal(gradient["w"], (np.array([1, 1, 0, 0, 0.5, 0.5]) - t[0]) / 6, precision)


# function: values and derivatives at −1000, −50, 0.5, 50, 1000
SATURATED: dict[str, tuple[list[float], list[float]]] = {
    "softplus": ([0, math.exp(-50), math.log1p(math.exp(0.5)), 50, 1000], [0, math.exp(-50), 1 / (1 + math.exp(-0.5)), 1, 1]),
    "sigmoid": ([0, math.exp(-50), 1 / (1 + math.exp(-0.5)), 1, 1], [0, math.exp(-50), 0.2350037122015945, math.exp(-50), 0]),
    "tanh": ([-1, -1, math.tanh(0.5), 1, 1], [0, 0, 1 - math.tanh(0.5) ** 2, 0, 0]),
    "gelu": ([0, 0, 0.34573123063700656, 50, 1000], [0, 0, 0.8674951246561629, 1, 1]),
    "silu": ([0, -50 * math.exp(-50), 0.3112296656009273, 50, 1000], [0, -49 * math.exp(-50), 0.7399611873026519, 1, 1]),
    "elu": ([-1, -1, 0.5, 50, 1000], [0, math.exp(-50), 1, 1, 1]),
    "relu": ([0, 0, 0.5, 50, 1000], [0, 0, 1, 1, 1]),
    "leaky_relu": ([-100, -5, 0.5, 50, 1000], [0.1, 0.1, 1, 1, 1]),
}  # fmt: skip


@pytest.mark.parametrize("function", SATURATED)
def test_saturated_activation(function: str, precision: str) -> None:
    text = f"""
input x
weight w[5]
layer y[k] = {function}(w[k]) + 0 * x
loss average[batch] sum[k] {function}(w[k]) + 0 * x
"""
    z = [-1000.0, -50.0, 0.5, 50.0, 1000.0]
    outputs, _, gradient = run(text, precision, {"w": z}, {"x": np.zeros(1)})
    values, derivatives = SATURATED[function]
    equal(outputs["y"][0], values, precision)
    found = np.asarray(gradient["w"], np.float64)
    assert np.isfinite(found).all()
    # σ(50) rounds to 1, so that the derivative from the output, σ(1 − σ), is 0 and not 2e-22.
    np.testing.assert_allclose(found, derivatives, rtol=2e-6 if precision == "float32" else 1e-13, atol=1e-15)


EDGES = [0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, 2.5, -2.5, 1e-30, 1e30]

BINARY = {
    "max(x[i], y[i])": np.maximum, "min(x[i], y[i])": np.minimum, "x[i] + y[i]": np.add, "x[i] - y[i]": np.subtract,
    "x[i] * y[i]": np.multiply, "x[i] / y[i]": np.divide, "x[i] ^ y[i]": np.power,
    "1 if x[i] < y[i] else 0": np.less, "1 if x[i] <= y[i] else 0": np.less_equal,
    "1 if x[i] == y[i] else 0": np.equal, "1 if x[i] != y[i] else 0": np.not_equal,
}  # fmt: skip


@pytest.mark.parametrize("formula", BINARY)
def test_operators_of_infinities_and_not_a_numbers(formula: str, precision: str) -> None:
    pairs = np.array([(a, b) for a in EDGES for b in EDGES], dtype=precision)
    n = len(pairs)
    net = dln.compile(f"input x[{n}]\ninput y[{n}]\nlayer z[i: {n}] = {formula}\n", precision=precision)
    x, y = pairs[:, 0], pairs[:, 1]
    with np.errstate(all="ignore"):
        expected = BINARY[formula](x, y).astype(np.float64)
    equal(net(x=x[None], y=y[None])["z"][0], expected, precision)


UNARY = {
    "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "abs": np.abs, "sin": np.sin, "cos": np.cos, "tanh": np.tanh,
    "expm1": np.expm1, "log1p": np.log1p, "floor": np.floor, "sign": np.sign,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x.astype(np.float64))),
    "erf": np.vectorize(lambda v: math.erf(v), otypes=[np.float64]),
}  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_infinities_and_not_a_numbers(name: str, precision: str) -> None:
    x = np.array([*EDGES, 88.8, -104.0, 709.9, -746.0, 3e4], dtype=precision)
    net = dln.compile(f"input x[{len(x)}]\nlayer z[i: {len(x)}] = {name}(x[i])\n", precision=precision)
    with np.errstate(all="ignore"):
        expected = UNARY[name](x).astype(np.float64)
    equal(net(x=x[None])["z"][0], expected, precision)


@pytest.mark.parametrize("samples", [1, 5, 33])
@pytest.mark.parametrize("kind", ["max", "min"])
def test_reductions_pass_not_a_number_on(kind: str, samples: int, precision: str) -> None:
    generator = np.random.default_rng(0)
    x = generator.standard_normal((samples, 6, 5)).astype(precision)
    x[0, 3, 2] = NAN
    x[samples // 2, 1, :] = -INF
    x[-1, 4, 4] = INF
    text = f"input x[6, 5]\nlayer a[i] = {kind}[j] x[i, j]\nlayer b[j] = {kind}[i] x[i, j]\nlayer c = {kind}[i, j] x[i, j]\n"
    outputs = dln.compile(text, precision=precision)(x=x)
    reduce = np.max if kind == "max" else np.min
    equal(outputs["a"], reduce(x, axis=2), precision)
    equal(outputs["b"], reduce(x, axis=1), precision)
    equal(outputs["c"], reduce(x, axis=(1, 2)), precision)


@pytest.mark.parametrize("kind", ["argmax", "argmin"])
def test_the_first_of_equal_winners(kind: str, precision: str) -> None:
    generator = np.random.default_rng(1)
    x = generator.integers(0, 3, (40, 4, 7)).astype(precision)
    text = f"input x[4, 7]\nlayer a[i] = ({kind}[j] x[i, j]) + 0.0\nlayer c = ({kind}[i, j] x[i, j]) + 0.0\n"
    outputs = dln.compile(text, precision=precision)(x=x)
    winner = np.argmax if kind == "argmax" else np.argmin
    np.testing.assert_array_equal(outputs["a"], winner(x, axis=2))
    np.testing.assert_array_equal(outputs["c"], winner(x.reshape(40, -1), axis=1))


@pytest.mark.parametrize("kind", ["max", "min"])
def test_the_gradient_of_a_tie_goes_to_one_winner(kind: str, precision: str) -> None:
    text = f"""
input x[6]
weight w[6]
layer h = {kind}[i] w[i] * x[i]
loss average[batch] h
"""
    _, _, gradient = run(text, precision, {"w": np.full(6, 0.5)}, {"x": np.full((3, 6), 2.0)})
    assert gradient["w"].tolist() == [2.0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    "formula", ["max(a, b)", "min(a, b)", "max(a, a)", "abs(a - b) + a", "relu(a - b) + a"]
)
def test_the_gradient_of_two_equal_numbers_is_that_of_one(formula: str, precision: str) -> None:
    text = f"input x\nweight a\nweight b\nlayer y = {formula} + x\nloss average[batch] ({formula} + x)\n"
    _, _, gradient = run(text, precision, {"a": 0.7, "b": 0.7}, {"x": np.zeros(2)})
    assert float(gradient["a"]) + float(gradient.get("b", 0.0)) == pytest.approx(1.0)


def test_max_pooling_of_a_flat_image(precision: str) -> None:
    text = """
input x[4, 4]
weight w[4, 4]
let z[i, j] = w[i, j] * x[i, j]
layer y[2, 2] = max_pool(z)
loss average[batch] sum[i, j] y[i, j]
"""
    _, _, gradient = run(text, precision, {"w": np.ones((4, 4))}, {"x": np.ones((1, 4, 4))})
    expected = np.zeros((4, 4))
    expected[::2, ::2] = 1  # the first of each window
    np.testing.assert_array_equal(gradient["w"], expected)


SLOPES_AT_ZERO = {"softplus(w)": 0.5, "elu(w)": 1, "leaky_relu(w)": 0.1, "gelu(w)": 0.5, "silu(w)": 0.5}


@pytest.mark.parametrize(("call", "slope"), SLOPES_AT_ZERO.items())
def test_derivatives_at_exactly_zero(call: str, slope: float, precision: str) -> None:
    """Weights start at zero: these smooth functions must not take the derivative of one of their pieces there."""
    text = f"input x\nweight w\nlayer y = {call} + x\nloss average[batch] ({call} + x)\n"
    _, _, gradient = run(text, precision, {"w": 0.0}, {"x": np.zeros(1)})
    assert float(gradient["w"]) == pytest.approx(slope)


def test_a_branch_not_taken_leaves_no_trace(precision: str) -> None:
    """0 · ∞ must not reach the gradient of the branch that was taken."""
    text = """
input x[4]
weight w
layer y[i] = log(x[i]) * w if x[i] > 0 else x[i] * w
loss average[batch] sum[i] y[i]
"""
    x = np.array([[1.0, 0.0, -1.0, 4.0]])
    outputs, _, gradient = run(text, precision, {"w": 2.0}, {"x": x})
    equal(outputs["y"][0], [0, 0, -2, 2 * math.log(4)], precision)
    equal(gradient["w"], math.log(4) - 1, precision)


def test_whole_numbers_divide_downwards(precision: str) -> None:
    text = "input x\nlayer y[i: 11] = ((i - 5) div 3) + 10 * ((i - 5) mod 3) + 0 * x\n"
    found = dln.compile(text, precision=precision)(x=np.zeros(1))["y"][0]
    assert found.tolist() == [(i - 5) // 3 + 10 * ((i - 5) % 3) for i in range(11)]


def test_large_sums_in_single_precision(precision: str) -> None:
    """Ones are counted exactly up to the precision of the type, and a mean over many samples is exact."""
    net = dln.compile("input x[3000]\nlayer s = sum[i] x[i]\nloss average[batch] s\n", precision=precision)
    samples = 501
    outputs = net(x=np.ones((samples, 3000)))
    assert (outputs["s"] == 3000).all()
    figures = net.evaluate({"x": np.ones((samples, 3000))})
    assert figures["loss"] == 3000
