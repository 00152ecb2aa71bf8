"""Penalties, clipping, decay, rates of weights, max-norm: each against NumPy, and PyTorch's where it has the same."""

from __future__ import annotations

from typing import Any

import dln
import numpy as np
import pytest
from dln.compiler.source import DiagnosticError
from dln.tests.runtime.small_regression import (
    NETWORK,
    Arrays,
    adding,
    assert_close,
    clipped_by_norm,
    compiled,
    data,
    everywhere,
    first_weights,
    follow,
    loss_and_gradient,
    minibatches,
    sgd,
    trained,
)

SGD = "optimizer sgd(rate = 0.2)\n "


# -------------------------------------------------------------------------------------------------- penalties

PENALTIES: dict[str, Any] = {
    "l2(0.1)": everywhere(lambda w: 0.1 * w),
    "l2(0.1) w": adding(hidden__w=lambda w: 0.1 * w, out__w=lambda w: 0.1 * w),
    "l2(0.1) hidden": adding(hidden__w=lambda w: 0.1 * w, hidden__b=lambda w: 0.1 * w),
    "l1(0.05) out.w": adding(out__w=lambda w: 0.05 * np.sign(w)),
    "l2(0.1) hidden.w out.b, l1(0.02) hidden.w": adding(
        hidden__w=lambda w: 0.1 * w + 0.02 * np.sign(w), out__b=lambda w: 0.1 * w
    ),
    "elastic_net(0.02, second = 0.1)": everywhere(lambda w: 0.02 * np.sign(w) + 0.1 * w),
    "own(0.3, 2)": everywhere(lambda w: 0.3 * 2 * w / (1 + 2 * w**2) ** 2 * 2),
    "l2(strength) w": adding(hidden__w=lambda w: 0.3 * w, out__w=lambda w: 0.3 * w),
}

OWN = """
param strength = 0.3
function own(w, height, sharp) = height * (1 - 1 / (1 + sharp * w^2))
"""


@pytest.mark.parametrize("penalty", PENALTIES)
def test_penalty(penalty: str) -> None:
    actual = trained(f"{SGD} penalty {penalty}", declarations=OWN)
    assert_close(actual, follow(sgd, change=PENALTIES[penalty]))


def test_a_penalty_may_change_with_time() -> None:
    steps = iter(range(10**6))

    def change(w: Arrays, g: Arrays) -> Arrays:
        strength = 0.2 * np.exp(-0.1 * (next(steps) // 5))
        return {n: g[n] + strength * w[n] for n in g}

    actual = trained(f"{SGD} penalty l2(0.2 * exponential_decay(epoch, 0.1))")
    assert_close(actual, follow(sgd, change=change))


def test_connections_that_do_not_exist_are_not_penalised() -> None:
    text = """
input x[4]
weight w[i: 4, j: 4] = 0.5 where abs(i - j) <= 1
layer y[j: 4] = sum[i] w[i, j] * x[i]
loss average[batch] sum[j] 0 * y[j]
function towards_one(w, strength) = strength * (w - 1)^2
train {
  optimizer sgd(rate = 0.25)
  penalty towards_one(1)
  clip norm(1000)
}
"""
    net = dln.compile(text, threads=1)
    net.train({"x": np.ones((4, 4))}, epochs=1)
    rows = np.arange(4)
    band = abs(rows[:, None] - rows) <= 1
    assert (net.weights["w"] == np.where(band, 0.75, 0)).all()


def test_a_layer_may_be_called_like_a_penalty() -> None:
    text = """
input x[3]
layer l2[2] = dense(x)
loss average[batch] sum[j] l2[j]^2
train {
  optimizer sgd(rate = 1)
  penalty l2(0.25)
  batch 1
}
"""
    net = dln.compile(text, threads=1)
    before = np.array(net.weights["l2.w"])
    net.train({"x": np.zeros((1, 3))}, epochs=1)
    assert net.weights["l2.w"] == pytest.approx(0.75 * before)


def test_the_reported_loss_is_without_the_penalty() -> None:

    net = compiled(f"{SGD} penalty l2(10)")
    loss = loss_and_gradient(first_weights(), *data().values())[0]
    assert net.evaluate(data())["loss"] == pytest.approx(loss)
    assert net.loss_and_gradient(**data())[0] == pytest.approx(loss)


# ------------------------------------------------------------------------------------------- decay and rates


def test_coupled_decay_is_added_after_clipping() -> None:
    def change(w: Arrays, g: Arrays) -> Arrays:
        g = clipped_by_norm(0.2)(w, {n: g[n] + 0.3 * w[n] for n in g})
        return {n: g[n] + (0.1 * w[n] if n.endswith("w") else 0) for n in g}

    actual = trained(f"{SGD} decay coupled(0.1) w\n clip norm(0.2)\n penalty l2(0.3)")
    assert_close(actual, follow(sgd, change=change))


def test_decoupled_decay_of_any_optimizer() -> None:
    def rule(w, g, s, step, epoch):
        rate = 0.1 * 0.9**epoch
        s["v"] = 0.5 * s.get("v", 0) + g
        return (1 - rate * 0.2) * w - rate * s["v"]

    actual = trained("optimizer momentum(rate = 0.1 * 0.9^epoch, momentum = 0.5)\n decay decoupled(0.2)")
    assert_close(actual, follow(rule))


def test_decoupled_decay_makes_adamw_of_adam() -> None:
    ours = trained("optimizer adam(rate = 0.01)\n decay decoupled(0.3)")
    assert_close(ours, trained("optimizer adamw(rate = 0.01, decay = 0.3)"), 1e-12)


def test_rates_of_weights() -> None:
    """Factors of the same weight multiply; one may change with time, and be 0."""
    factors = {"hidden.w": 0.1, "hidden.b": 0.1 * 3, "out.w": 1, "out.b": 3}
    order = list(first_weights())
    calls = iter(range(10**6))

    def rule(w, g, s, step, epoch):
        name = order[next(calls) % len(order)]
        return w - 0.1 * factors[name] * (epoch >= 2 if name.startswith("hidden") else 1) * g

    actual = trained("optimizer sgd(rate = 0.1)\n rates 0.1 hidden, 3 b, (1 if epoch >= 2 else 0) hidden")
    assert_close(actual, follow(rule))


def test_rates_reach_decoupled_decay_too() -> None:
    def rule(w, g, s, step, epoch):
        return w - 0.05 * (g + 0.4 * w)

    assert_close(
        trained("optimizer sgd(rate = 0.1)\n rates 0.5 hidden, 0.5 out\n decay decoupled(0.4)"), follow(rule)
    )


TORCH: dict[str, Any] = {
    "optimizer sgd(rate = 0.1)\n decay coupled(0.2)": lambda t, p: t.SGD(p, lr=0.1, weight_decay=0.2),
    "optimizer adam(rate = 0.01)\n decay coupled(0.2)": lambda t, p: t.Adam(p, lr=0.01, weight_decay=0.2),
    "optimizer adam(rate = 0.01)\n decay decoupled(0.2)": lambda t, p: t.AdamW(p, lr=0.01, weight_decay=0.2),
    "optimizer nesterov(rate = 0.05)\n clip norm(0.15)": lambda t, p: t.SGD(
        p, lr=0.05, momentum=0.9, nesterov=True
    ),
    "optimizer adam(rate = 0.01)\n clip value(0.01)": lambda t, p: t.Adam(p, lr=0.01),
    "optimizer adam(rate = 0.01)\n rates 0.1 hidden": lambda t, p: t.Adam(
        [{"params": p[:2], "lr": 0.001}, {"params": p[2:]}], lr=0.01
    ),
}


@pytest.mark.parametrize("settings", TORCH)
def test_pytorch(settings: str) -> None:
    torch = pytest.importorskip("torch")
    w = {n: torch.tensor(v, requires_grad=True) for n, v in first_weights().items()}
    optimizer = TORCH[settings](torch.optim, list(w.values()))
    for _, _, x, t in minibatches():
        optimizer.zero_grad()
        y = torch.tanh(torch.tensor(x) @ w["hidden.w"] + w["hidden.b"]) @ w["out.w"] + w["out.b"]
        torch.nn.functional.mse_loss(y, torch.tensor(t)).backward()
        if "clip norm" in settings:
            torch.nn.utils.clip_grad_norm_(list(w.values()), 0.15)
        if "clip value" in settings:
            torch.nn.utils.clip_grad_value_(list(w.values()), 0.01)
        optimizer.step()
    # Clipping by norm adds 1e-6 to the norm there.
    assert_close(trained(settings), {n: v.detach().numpy() for n, v in w.items()}, 1e-5)


# ---------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("penalty l3(0.1)", r"E201.*unknown function 'l3'"),
        ("penalty 0.1", r"E214.*a penalty is a function of a weight"),
        (
            "penalty l2(0.1) hiden",
            r"E201.*names a weight that does not exist: 'hiden'[\s\S]*did you mean 'hidden'",
        ),
        ("penalty l2(0.1, 3)", r"E205.*'l2' takes 2 arguments"),
        ("penalty l2(step * x)", "E2"),
        ("clip norm", r"E205.*takes one number, and 0 are given[\s\S]*norm\(largest\)"),
        ("clip norm(0)", r"E214.*'clip' is more than 0, got 0"),
        (
            "clip norn(1)",
            r"E214.*'clip' is followed by norm\(largest\) or value\(largest\)[\s\S]*did you mean 'norm'",
        ),
        ("clip value(size = 1)", r"E205.*'value' has no parameter 'size'"),
        ("decay coupled(-1)", r"E214.*'decay' is at least 0, got -1"),
        ("rates 0.1 missing", r"E201.*does not exist: 'missing'[\s\S]*the weights are hidden\.w"),
        ("average ema(1)", r"E214.*less than 1, got 1"),
        ("average ema(0.9), mean()", r"E214.*there is one average"),
        ("limit norm(batch_size)", r"E216.*may depend on step and epoch only"),
        ("reduce rate(factor = 2)", r"E706.*between 0 and 1, got 2"),
        ("reduce momentum(0.5)", r"E706.*expected rate"),
        ("reduce rate(maximize = hits)", r"E706.*'hits' is not measured"),
        ("retrain again", r"E706.*expected afresh or further"),
        ("averaging ema(0.9)", r"E214.*unknown key 'averaging'"),
    ],
)
def test_mistakes(settings: str, message: str) -> None:
    with pytest.raises(DiagnosticError, match=message):
        dln.compile(f"{NETWORK} train {{\n optimizer adam\n {settings}\n}}")


def test_what_needs_a_rate() -> None:
    own = "optimizer steps(size = 0.1) { update weight <- weight - size * gradient }\n"
    for settings in ("rates 0.1 w", "reduce rate(0.5)", "decay decoupled(0.1)"):
        with pytest.raises(DiagnosticError, match="the optimizer 'steps' has no parameter 'rate'"):
            dln.compile(f"{NETWORK}{own} train {{\n optimizer steps\n {settings}\n}}")


def test_the_command_line_sets_them() -> None:
    net = compiled(f"{SGD} penalty l2(5)", penalty="l2(0.1) w")

    net.train(data())
    expected = follow(sgd, change=PENALTIES["l2(0.1) w"])
    assert_close({n: np.array(v) for n, v in net.weights.items()}, expected)


@pytest.mark.parametrize(
    "settings",
    [
        "penalty l1(1e-3), l2(1e-3)",
        "clip value(1)",
        "decay coupled(0.1)",
        "decay decoupled(0.1)",
        "rates 0.1 w",
    ],
)
def test_what_is_done_to_each_entry_is_done_in_the_kernel_of_the_update(settings: str) -> None:
    """No further pass over the weights, and no further memory of their size."""
    programs = [compiled(f"optimizer adam\n {more}")._main.program for more in ("", settings)]
    lengths = [sum(c.multiply_adds > 4 for c in p.routines["train"].calls) for p in programs]
    assert lengths[0] == lengths[1]
