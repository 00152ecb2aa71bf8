"""Clipping of gradients, max-norm of weights, and all changes of the step together; against NumPy."""

from __future__ import annotations

from typing import Any

import dln
import numpy as np
import pytest
from dln.compiler.mathematics.graph import verify
from dln.compiler.pass_order import run_passes
from dln.tests.runtime.small_regression import (
    Arrays,
    adding,
    assert_close,
    clipped_by_norm,
    clipped_by_value,
    compiled,
    follow,
    limited,
    sgd,
    trained,
)

SGD = "optimizer sgd(rate = 0.2)\n "


# --------------------------------------------------------------------------------------------------- clipping


CLIPS: dict[str, Any] = {
    "norm(0.2)": clipped_by_norm(0.2),
    "norm(1000)": lambda w, g: g,
    "norm(0.1) hidden": clipped_by_norm(0.1, "hidden.w", "hidden.b"),
    "norm(0.1) out.w, norm(0.2) b": lambda w, g: clipped_by_norm(0.2, "hidden.b", "out.b")(
        w, clipped_by_norm(0.1, "out.w")(w, g)
    ),
    "value(0.05)": clipped_by_value(0.05),
    "value(0.05), norm(0.2)": lambda w, g: clipped_by_norm(0.2)(w, clipped_by_value(0.05)(w, g)),
    "norm(0.3), value(0.05)": lambda w, g: clipped_by_value(0.05)(w, clipped_by_norm(0.3)(w, g)),
}


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("clip", CLIPS)
def test_clip(clip: str, precision: str) -> None:
    actual = trained(f"{SGD} clip {clip}", precision=precision)
    assert_close(actual, follow(sgd, change=CLIPS[clip]), 1e-5 if precision == "float32" else 1e-9)


def test_a_gradient_of_zero_is_not_clipped() -> None:
    text = """
input x
weight w = 3
loss average[batch] 0 * w * x
train {
  optimizer sgd
  clip norm(1)
}
"""
    net = dln.compile(text, threads=1)
    net.train({"x": np.ones(4)}, epochs=1)
    assert net.weights["w"] == 3


def test_an_exploding_gradient_is_a_step_of_bounded_length() -> None:
    text = """
input x
weight w = 2
loss average[batch] exp(w * x)
train {
  optimizer sgd(rate = 0.5)
  clip norm(1)
  batch 1
  order fixed
}
"""
    net = dln.compile(text, threads=1)
    net.train({"x": np.array([30.0])}, epochs=1)
    assert net.weights["w"] == 1.5


# --------------------------------------------------------------------------------------------------- max-norm


def test_limit_of_dense_layers() -> None:
    """By default of all weights that units sum over; biases have no such sum."""

    def after(w: Arrays, step: int, epoch: int) -> None:
        limited(w, "hidden.w", 0.7, (0,))
        limited(w, "out.w", 0.7, (0,))

    expected = follow(sgd, after=after)
    assert_close(trained(f"{SGD} limit norm(0.7)"), expected)
    assert np.sqrt((expected["out.w"] ** 2).sum(0)).max() == pytest.approx(0.7)


def test_limit_of_some_weights() -> None:
    def after(w: Arrays, step: int, epoch: int) -> None:
        limited(w, "out.w", 0.5, (0,))

    assert_close(trained(f"{SGD} limit norm(0.5) out"), follow(sgd, after=after))


@pytest.mark.parametrize(
    ("layer", "axes"),
    [
        ("weight w[2, 3, 3, 3] ~ normal(0, 1)\nlayer h[f, y: 4, x: 4] = "
         "sum[c, v, u] w[f, c, v, u] * image[c, y + v, x + u]", (1, 2, 3)),
        ("weight w[2] ~ normal(0, 1)\nlayer h[y: 5] = sum[v] w[v] * image[0, y + v, 0]", (0,)),
        ("weight w[5, 6] ~ normal(0, 1)\nlayer h[j: 5] = sum[v] w[j, v] * image[1, v, 0]", (1,)),
    ],
)  # fmt: skip
def test_limit_of_other_connections(layer: str, axes: tuple[int, ...]) -> None:
    """The norm runs over what the unit sums over, whatever the order of subscripts; shared weights are one vector."""
    text = f"""
input image[3, 6, 6]
{layer}
loss average[batch] 0 * h[{"0, 0, 0" if "f," in layer else "0"}]
train {{
  optimizer sgd
  limit norm(1)
  batch 1
}}
"""
    net = dln.compile(text, threads=1, precision="float64")
    expected = {"w": np.array(net.weights["w"])}
    limited(expected, "w", 1.0, axes)
    net.train({"image": np.zeros((1, 3, 6, 6))}, epochs=1)
    assert_close({"w": np.array(net.weights["w"])}, expected)


# --------------------------------------------------------------------------------------------- all together

EVERYTHING = """optimizer adam(rate = 0.01 * warm_up(step, 10))
 penalty l2(1e-2) w, l1(1e-3) hidden
 clip value(0.5), norm(0.1)
 decay coupled(1e-2) b, decoupled(0.1) w
 rates 0.5 hidden, 2 b
 limit norm(0.8)
 average mean(start = 3)
 reduce rate(0.5, 3)
"""


def test_the_graph_is_sound_after_every_pass() -> None:
    net = compiled(EVERYTHING)
    names = [
        name
        for name, graph in run_passes(net.elaborated, optimizer=net.plan.optimizer)
        if verify(graph) is None
    ]
    assert (
        names.index("gradient")
        < names.index("regularise")
        < names.index("optimizer")
        < names.index("constrain")
    )


def test_all_together() -> None:
    def change(w: Arrays, g: Arrays) -> Arrays:
        g = adding(
            hidden__w=lambda w: 0.01 * w + 0.001 * np.sign(w),
            hidden__b=lambda w: 0.001 * np.sign(w),
            out__w=lambda w: 0.01 * w,
        )(w, g)
        g = clipped_by_norm(0.1)(w, clipped_by_value(0.5)(w, g))
        seen.extend(g)
        return {n: g[n] + (0.01 * w[n] if n.endswith("b") else 0) for n in g}

    seen: list[str] = []

    def rule(w, g, s, step, epoch):
        name = seen.pop(0)
        rate = 0.01 * min(step / 10, 1) * (0.5 if "hidden" in name else 1) * (2 if name.endswith("b") else 1)
        s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
        s["v"] = 0.999 * s.get("v", 0) + 0.001 * g**2
        new = w - rate * (s["m"] / (1 - 0.9**step)) / (np.sqrt(s["v"] / (1 - 0.999**step)) + 1e-8)
        return new - (rate * 0.1 * w if name.endswith("w") else 0)

    def after(w: Arrays, step: int, epoch: int) -> None:
        limited(w, "hidden.w", 0.8, (0,))
        limited(w, "out.w", 0.8, (0,))

    settings = EVERYTHING.replace("average mean(start = 3)", "").replace("reduce rate(0.5, 3)", "")
    assert_close(trained(settings), follow(rule, change=change, after=after), 1e-8)


@pytest.mark.parametrize("threads", [2, 3])
def test_the_bits_do_not_depend_on_the_threads(threads: int) -> None:
    text = """
input x[64]
input t[8]
layer hidden[300] = tanh(dense(x))
layer y[8] = dense(hidden)
loss mean_squared_error(y, t)
train {
"""
    generator = np.random.default_rng(0)
    arrays = {"x": generator.standard_normal((64, 64)), "t": generator.standard_normal((64, 8))}
    kept = []
    for count in (1, threads):
        net = dln.compile(text + EVERYTHING + "}", threads=count)
        net.train(arrays, epochs=4)
        kept.append({name: np.array(view) for name, view in net.weights.items()})
    assert all((kept[0][name] == kept[1][name]).all() for name in kept[0])
