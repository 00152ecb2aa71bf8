"""What a layer did, against NumPy: slopes of functions, dead and saturated units, gradients by layer and by step of time."""

from __future__ import annotations

import math

import dln
import numpy as np
import pytest
from dln.runtime.diagnosis.layer_statistics import look_inside, moments
from dln.runtime.diagnosis.layers import bends, layers_of, slope_at
from dln.runtime.diagnosis.learning_rates import learning_rates
from dln.runtime.training.history import History, Record

POINTS = np.array([-3.0, -0.7, -0.01, 0.02, 0.9, 2.5])
FUNCTIONS = [
    ("tanh(z)", np.tanh, 1.0),
    ("relu(z)", lambda z: np.maximum(z, 0), 1.0),
    ("leaky_relu(z)", lambda z: np.where(z > 0, z, 0.1 * z), 1.0),
    ("sigmoid(z)", lambda z: 1 / (1 + np.exp(-z)), 0.25),
    ("softplus(z)", lambda z: np.log1p(np.exp(z)), 1.0),
    ("elu(z)", lambda z: np.where(z > 0, z, np.expm1(z)), 1.0),
    ("3 * z * sigmoid(z)", lambda z: 3 * z / (1 + np.exp(-z)), 3.2995),
    ("gelu(z)", lambda z: np.array([0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in z]), 1.1289),
]


def graph_of(equation: str):
    text = f"network n\ninput x[4]\nweight b[4] = 0\nlet z[j: 4] = 2 * x[j]\nlayer y[j: 4] = {equation}\nloss sum[j] y[j]"
    return dln.compile(text).elaborated.graph


@pytest.mark.parametrize("text, value, steepest", FUNCTIONS)
def test_slopes_against_differences(text, value, steepest):
    bend = bends(graph_of(text.replace("z", "z[j]")))["y"]
    step = 1e-6
    expected = (value(POINTS + step) - value(POINTS - step)) / (2 * step)
    np.testing.assert_allclose(slope_at(bend.body, bend.inner, POINTS), expected, atol=1e-8)
    assert bend.steepest == pytest.approx(steepest, rel=1e-4)


def test_what_is_bent_and_what_is_not():
    straight = ["2 * z[j] - 1", "z[j] + x[j]", "z[j] * b[j]", "z[j]"]
    assert all("y" not in bends(graph_of(equation)) for equation in straight)
    bend = bends(graph_of("tanh(b[j] + z[j] - x[j])"))["y"]
    values = {"b": np.array([0.1, 0, 0, 0]), "z": np.ones((2, 4)), "x": np.arange(8.0).reshape(2, 4)}
    inner = values["b"] + values["z"] - values["x"]
    np.testing.assert_allclose(bend.slopes(values), 1 - np.tanh(inner) ** 2, atol=1e-12)
    assert "y" not in bends(graph_of("z[j] * tanh(x[j])"))  # a function of two numbers


MLP = """network mlp
input x[3]
input t
layer h[5] = relu(dense(x))
layer s[4] = tanh(dense(h))
let   y[1] = dense(s)
loss  (y[0] - t)^2
train {
  optimizer sgd(rate = 0.1)
}
"""


def test_layers_against_numpy():
    net = dln.compile(MLP, precision="float64", seed=2)
    draws = np.random.default_rng(0)
    arrays = {"x": draws.normal(size=(700, 3)), "t": draws.normal(size=700)}
    first = net.saved_arrays()
    second = {name: 4 * value for name, value in first.items()}
    second["h.b"] = np.array([-50.0, 0, 0, 0, 0])  # one unit is dead
    looks = look_inside(net.elaborated, arrays, {0: first, 7: second}, precision="float64")
    assert looks.samples == 256 and looks.epochs == looks.shown == [0, 7]
    assert layers_of(net.elaborated.graph) == ["h", "s", "y"] == list(looks.layers)
    rows = np.linspace(0, 699, 256).astype(int)
    x, t = arrays["x"][rows], arrays["t"][rows]
    for epoch, w in ((0, first), (7, second)):
        net_h = x @ w["h.w"] + w["h.b"]
        h = np.maximum(net_h, 0)
        s = np.tanh(h @ w["s.w"] + w["s.b"])
        y = s @ w["y.w"] + w["y.b"]
        dy = 2 * (y - t[:, None]) / len(t)
        ds = dy @ w["y.w"].T
        dh = (ds * (1 - s**2)) @ w["s.w"].T
        for name, values, slopes in (("h", h, dh), ("s", s, ds), ("y", y, dy)):
            look = looks.layers[name][epoch]
            assert look.mean == pytest.approx(values.mean()) and look.deviation == pytest.approx(values.std())
            assert (look.low, look.high) == pytest.approx(tuple(np.percentile(values, (5, 95))))
            assert look.gradient == pytest.approx(np.sqrt((slopes**2).mean()))
            np.testing.assert_allclose(look.values, values.ravel())
        look = looks.layers["h"][epoch]
        assert look.dead == (net_h <= 0).all(axis=0).mean() and look.saturated == (net_h <= 0).mean()
        assert looks.layers["s"][epoch].saturated == pytest.approx((1 - s**2 < 0.05).mean())
        assert looks.layers["y"][epoch].dead is None
        weight = looks.weights["s.w"][epoch]
        assert weight.gradient == pytest.approx(np.linalg.norm(h.T @ (ds * (1 - s**2))))
        assert weight.norm == pytest.approx(np.linalg.norm(w["s.w"]))
    assert looks.layers["h"][7].dead >= 0.2


def test_the_gradient_by_step_of_time():
    # h_t = a h_{t-1} + x_t and E = h_T² / 2: ∂E/∂h_t = a^(T − t) h_T.
    text = """network line
input  x[6]
weight a = 0.5
layer  h[t: 6] = a * h[t-1 else 0] + x[t]
loss   0.5 * h[5]^2
"""
    net = dln.compile(text, precision="float64")
    looks = look_inside(net.elaborated, {"x": np.ones((1, 6))}, {3: net.saved_arrays()}, precision="float64")
    last = sum(0.5**k for k in range(6))
    np.testing.assert_allclose(looks.steps["h"][3], [0.5 ** (5 - t) * last for t in range(6)])


def test_moments():
    assert moments([0, 1, 2, 5, 9]) == [0, 2, 9] and moments([4]) == [4] and moments([]) == []


def test_learning_rates_against_their_formulas():
    text = MLP.replace(
        "sgd(rate = 0.1)",
        "sgd(rate = 0.1 * 0.5^epoch * warm_up(step, 4))\n  rates 0.1 h.b, 0 y\n  reduce rate(factor = 0.5, patience = 1)",
    )
    net = dln.compile(text)
    records = [Record(k, 10 * k, {"loss": loss}) for k, loss in enumerate([3.0, 2.0, 2.5, 2.5], start=1)]
    curves = learning_rates(net.elaborated, net.plan, History(records))
    assert set(curves) == {"h.w, s.w, s.b", "h.b", "y.w, y.b"}
    done, rates = curves["h.w, s.w, s.b"]
    steps = np.arange(1, 41)
    np.testing.assert_allclose(done, steps / 10)
    # The third epoch brought no improvement: half the rate in the fourth.
    scale = np.array([1, 1, 1, 0.5])[(steps - 1) // 10]
    expected = 0.1 * 0.5 ** ((steps - 1) // 10) * np.minimum(steps / 4, 1) * scale
    np.testing.assert_allclose(rates, expected)
    np.testing.assert_allclose(curves["h.b"][1], 0.1 * expected)
    assert not curves["y.w, y.b"][1].any()
    assert learning_rates(net.elaborated, net.plan, History()) == {}
