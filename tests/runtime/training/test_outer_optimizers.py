"""Optimizers outside of the compiled step: full-batch descent, line search, objects of Python."""

from __future__ import annotations

import itertools
import os
import signal
from typing import Any

import dln
import numpy as np
import pytest
from dln.compiler.source import DiagnosticError
from dln.runtime.errors import InputError, TrainingDiverged, TrainingInterrupted
from dln.tests.runtime.small_regression import (
    NETWORK,
    SAMPLES,
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
)


def held(net: dln.Network) -> Arrays:
    return {n: np.array(v) for n, v in net.weights.items()}


def with_first_weights(net: dln.Network) -> dln.Network:
    for name, value in first_weights().items():
        net.weights[name] = value
    return net


def whole(settings: str, **options: Any) -> dln.Network:
    text = f"{NETWORK} train {{\n epochs 10\n order fixed\n {settings}\n}}"
    return with_first_weights(dln.compile(text, precision="float64", threads=1, **options))


def descent(steps: int, slope: Any = None) -> Arrays:
    w, arrays = first_weights(), data()
    for _ in range(steps):
        g = loss_and_gradient(w, arrays["x"], arrays["t"])[1]
        w = {n: w[n] - 0.2 * (slope(w, g) if slope else g)[n] for n in w}
    return w


# ------------------------------------------------------------------------------------------------- full batch


def test_full_batch_gradient_descent() -> None:
    net = whole("optimizer sgd(rate = 0.2)\n batch all")
    history = net.train(data())
    assert_close(held(net), descent(10))
    assert [record.step for record in history] == list(range(1, 11))


def test_full_batch_asked_for_in_python() -> None:
    net = compiled("optimizer sgd(rate = 0.2)")
    net.train(data(), batch="all")
    assert_close(held(net), descent(10))


def test_full_batch_of_many_samples() -> None:
    net = whole("optimizer sgd(rate = 0.2)\n batch all")
    many = {name: np.tile(value, (300, 1)) for name, value in data().items()}
    assert len(many["x"]) == 300 * SAMPLES
    net.train(many)
    assert_close(held(net), descent(10), 1e-8)


# ------------------------------------------------------------------------------------------- objects of Python


class Descent:
    def __init__(self, rate: float = 0.2, evaluations: int = 1):
        self.rate, self.evaluations, self.calls = rate, evaluations, 0

    def step(self, weights: dict[str, np.ndarray], objective: Any) -> None:
        self.calls += 1
        for _ in range(self.evaluations):
            self.loss, gradient = objective()
        for name, value in weights.items():
            value -= self.rate * gradient[name]


@pytest.mark.parametrize("evaluations", [1, 3])
def test_an_object_of_python(evaluations: int) -> None:
    optimizer = Descent(evaluations=evaluations)
    net = compiled("optimizer adam")
    history = net.train(data(), optimizer=optimizer)
    assert_close(held(net), follow(sgd))
    assert optimizer.calls == history[-1].step == 50
    equations = compiled("optimizer sgd(rate = 0.2)").train(data())
    assert history.curve("train") == pytest.approx(equations.curve("train"), rel=1e-9)


def test_an_object_is_given_the_clipped_and_penalised_gradient() -> None:
    net = compiled("penalty l2(0.1) w\n clip norm(0.2)\n decay coupled(0.3) b")

    def change(w: Arrays, g: Arrays) -> Arrays:
        g = adding(hidden__w=lambda w: 0.1 * w, out__w=lambda w: 0.1 * w)(w, g)
        g = clipped_by_norm(0.2)(w, g)
        return {n: g[n] + (0.3 * w[n] if n.endswith("b") else 0) for n in g}

    net.train(data(), optimizer=Descent())
    assert_close(held(net), follow(sgd, change=change))


def test_an_object_sees_the_objective_with_its_penalty() -> None:
    arrays, seen = data(), []

    class Look:
        def step(self, weights: dict[str, np.ndarray], objective: Any) -> bool:
            seen.append(objective()[0])
            return True

    net = whole("penalty l2(0.1) w, l1(0.05) b")
    history = net.train(arrays, optimizer=Look())
    w = first_weights()
    penalty = sum(0.05 * (w[n] ** 2).sum() for n in ("hidden.w", "out.w"))
    penalty += sum(0.05 * np.abs(w[n]).sum() for n in ("hidden.b", "out.b"))
    assert seen == [pytest.approx(loss_and_gradient(w, arrays["x"][:32], arrays["t"][:32])[0] + penalty)]
    assert (history.ending, len(history)) == ("converged", 1)


def test_states_of_the_network_are_updated() -> None:
    text = """
input x[3]
state seen = 0
weight w[3] = 1
layer y = sum[i] w[i] * x[i]
update seen <- seen + 1
loss average[batch] y^2
train { batch 4 }
"""
    net = dln.compile(text, threads=1)
    net.train({"x": np.ones((8, 3))}, epochs=3, optimizer=Descent(0.01))
    assert net.saved_arrays()["seen"] == 6


def test_frozen_weights_are_not_offered() -> None:
    text = """
input x[3]
frozen weight w[3] = 2
weight b = 0
layer y = b + sum[i] w[i] * x[i]
loss average[batch] y^2
"""
    names: list[list[str]] = []

    class Look:
        def step(self, weights: dict[str, np.ndarray], objective: Any) -> None:
            names.append(list(weights))

    history = dln.compile(text, threads=1).train({"x": np.ones((8, 3))}, epochs=1, optimizer=Look())
    assert names == [["b"]]
    assert history[0].train["loss"] == pytest.approx(36)


def test_random_numbers_are_the_same_in_one_step_and_others_in_the_next() -> None:
    text = """
input x[50]
weight w[50] = 1
layer y[i: 50] = w[i] * x[i] * bernoulli(0.5)
loss average[batch] sum[i] y[i]
train { batch 4 }
"""
    seen: list[tuple[float, float]] = []

    class Look:
        def step(self, weights: dict[str, np.ndarray], objective: Any) -> None:
            seen.append((objective()[0], objective()[0]))

    dln.compile(text, threads=1).train({"x": np.ones((12, 50))}, epochs=2, optimizer=Look())
    assert len(seen) == 6 and all(a == b for a, b in seen)
    assert len({a for a, _ in seen}) > 3


def test_an_interrupt_puts_the_weights_of_the_step_back() -> None:
    class Interrupted(Descent):
        def step(self, weights: dict[str, np.ndarray], objective: Any) -> None:
            super().step(weights, objective)
            if self.calls == 3:
                os.kill(os.getpid(), signal.SIGINT)
                super().step(weights, objective)

    net = compiled("optimizer adam")
    with pytest.raises(TrainingInterrupted):
        net.train(data(), optimizer=Interrupted())
    w = first_weights()
    for _, _, x, t in list(minibatches())[:2]:
        g = loss_and_gradient(w, x, t)[1]
        w = {n: w[n] - 0.2 * g[n] for n in w}
    assert_close(held(net), w)


def test_early_stopping_with_an_object() -> None:
    net = compiled("optimizer adam\n stop early(patience = 2)")
    rising = Descent(rate=-0.05)
    history = net.train({"train": data(), "validation": data()}, optimizer=rising)
    assert (history.ending, history.best_epoch, len(history)) == ("early", 1, 3)


@pytest.mark.filterwarnings("ignore:overflow")
def test_divergence_with_an_object() -> None:
    with pytest.raises(TrainingDiverged):
        compiled("").train(data(), optimizer=Descent(rate=1e200), epochs=5)


def test_errors_of_an_object_are_its_own() -> None:
    class Broken:
        def step(self, weights: dict[str, np.ndarray], objective: Any) -> None:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        compiled("").train(data(), optimizer=Broken())


def test_what_an_object_cannot_have() -> None:
    with pytest.raises(InputError, match=r"an optimizer has a method step\(weights, objective\)"):
        compiled("").train(data(), optimizer=object())  # type: ignore[arg-type]
    for settings in (
        "limit norm(1)",
        "average mean",
        "decay decoupled(0.1)",
        "rates 0.1 w",
        "reduce rate(0.5)",
    ):
        with pytest.raises(DiagnosticError, match="cannot be used with 'outside'"):
            compiled(settings).train(data(), optimizer=Descent())
    with pytest.raises(InputError, match="is an object"):
        compiled("optimizer outside").train(data())


# ------------------------------------------------------------------------------------------------- line search


def armijo(rate: float, shrink: float, sufficient: float, steps: int, strength: float = 0.0) -> Arrays:
    arrays = data()

    def value(w: Arrays) -> float:
        return loss_and_gradient(w, arrays["x"], arrays["t"])[0] + strength / 2 * sum(
            (v**2).sum() for v in w.values()
        )

    w = first_weights()
    for _ in range(steps):
        g = everywhere(lambda w: strength * w)(w, loss_and_gradient(w, arrays["x"], arrays["t"])[1])
        square, alpha = sum((v**2).sum() for v in g.values()), rate
        while value({n: w[n] - alpha * g[n] for n in w}) > value(w) - sufficient * alpha * square:
            alpha *= shrink
        w = {n: w[n] - alpha * g[n] for n in w}
    return w


@pytest.mark.parametrize(("rate", "shrink", "sufficient"), [(1, 0.5, 1e-4), (30, 0.7, 0.3), (100, 0.1, 0.01)])
def test_line_search(rate: float, shrink: float, sufficient: float) -> None:
    net = whole(f"optimizer line_search(rate = {rate}, shrink = {shrink}, sufficient = {sufficient})")
    net.train(data())
    assert_close(held(net), armijo(rate, shrink, sufficient, 10))


def test_line_search_with_a_penalty() -> None:
    net = whole("optimizer line_search(rate = 20)\n penalty l2(0.2)")
    net.train(data())
    assert_close(held(net), armijo(20, 0.5, 1e-4, 10, 0.2))


def test_the_loss_of_a_line_search_never_rises() -> None:
    history = whole("optimizer line_search(rate = 1000)").train(data(), epochs=50)
    curve = history.curve("train")
    assert all(b <= a for a, b in itertools.pairwise(curve)) and curve[-1] < 0.5 * curve[0]


def test_line_search_on_minibatches() -> None:
    net = whole("optimizer line_search\n batch 8")
    assert len(net.train(data())) == 10


def test_line_search_ends_at_a_minimum() -> None:
    text = "input x\nweight w = 3\nloss average[batch] (w - 1)^2 + 0 * x\ntrain { optimizer line_search(rate = 0.5) }"
    net = dln.compile(text, threads=1)
    history = net.train({"x": np.zeros(4)})
    assert net.weights["w"] == 1
    assert (history.ending, len(history)) == ("converged", 2)


@pytest.mark.parametrize("call", ["lbfgs(memory = 0)", "lbfgs(iterations = 2.5)", "line_search(shrink = 1)"])
def test_wrong_arguments(call: str) -> None:
    with pytest.raises(InputError, match=r"lbfgs needs|line_search needs"):
        whole(f"optimizer {call}").train(data())


def test_arguments_are_numbers() -> None:
    with pytest.raises(DiagnosticError, match=r"E308.*known before the training"):
        whole("optimizer line_search(rate = 1 / step)").train(data())
