"""L-BFGS against SciPy's and against direct solutions; its memory, over epochs and over a break; the line search."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import dln
import numpy as np
import pytest
from dln.compiler.source import DiagnosticError
from dln.runtime.command_line import run
from dln.runtime.training.lbfgs import LimitedMemoryBfgs
from dln.runtime.training.wolfe_search import CURVATURE, DECREASE, wolfe_step
from dln.tests.runtime.irises import iris_file
from dln.tests.runtime.small_regression import (
    NETWORK,
    Arrays,
    assert_close,
    data,
    first_weights,
    loss_and_gradient,
)


def held(net: dln.Network) -> Arrays:
    return {n: np.array(v) for n, v in net.weights.items()}


def with_first_weights(net: dln.Network) -> dln.Network:
    for name, value in first_weights().items():
        net.weights[name] = value
    return net


def whole(settings: str) -> dln.Network:
    text = f"{NETWORK} train {{\n epochs 10\n order fixed\n {settings}\n}}"
    return with_first_weights(dln.compile(text, precision="float64", threads=1))


LINEAR = """
input x[4]
input t
weight w[4] = 0
weight b = 0
layer y = b + sum[i] w[i] * x[i]
loss average[batch] (y - t)^2 / 2
train {{
  optimizer lbfgs(tolerance = 1e-9)
  penalty l2({strength}) w
  epochs 20
}}
"""


def test_lbfgs_reaches_the_direct_solution() -> None:
    """Ridge regression: (XᵀX / n + λ I)⁻¹ Xᵀ t / n with centred columns, and the bias from the means."""
    generator = np.random.default_rng(1)
    x = generator.standard_normal((50, 4)) @ np.diag([1, 3, 0.2, 1]) + 1
    t = x @ [1, -2, 3, 0.5] + 0.7 + generator.standard_normal(50)
    for strength in (0.0, 0.3):
        net = dln.compile(LINEAR.format(strength=strength), precision="float64", threads=1)
        history = net.train({"x": x, "t": t})
        centred = x - x.mean(0)
        w = np.linalg.solve(centred.T @ centred / 50 + strength * np.eye(4), centred.T @ (t - t.mean()) / 50)
        assert net.weights["w"] == pytest.approx(w, rel=1e-6)
        assert net.weights["b"] == pytest.approx(t.mean() - x.mean(0) @ w, rel=1e-6)
        assert history.ending == "converged"


def unpack(point: np.ndarray) -> Arrays:
    shapes = {n: w.shape for n, w in first_weights().items()}
    ends = np.cumsum([int(np.prod(s)) for s in shapes.values()])
    parts = np.split(point, ends[:-1])
    return {n: p.reshape(s) for (n, s), p in zip(shapes.items(), parts, strict=True)}


def scipys(iterations: int, memory: int) -> Arrays:
    """The weights after so many iterations of SciPy's L-BFGS-B."""
    optimize = pytest.importorskip("scipy.optimize")
    arrays = data()

    def value(point: np.ndarray) -> Any:
        loss, g = loss_and_gradient(unpack(point), arrays["x"], arrays["t"])
        return loss, np.concatenate([v.ravel() for v in g.values()])

    start = np.concatenate([w.ravel() for w in first_weights().values()])
    options = {"maxcor": memory, "maxiter": iterations, "gtol": 1e-5, "ftol": 0.0}
    return unpack(optimize.minimize(value, start, jac=True, method="L-BFGS-B", options=options).x)


@pytest.mark.parametrize(("epochs", "iterations", "memory"), [(1, 12, 5), (6, 2, 5), (4, 5, 10), (8, 2, 1)])
def test_epochs_are_iterations_of_scipys(epochs: int, iterations: int, memory: int) -> None:
    net = whole(f"optimizer lbfgs(memory = {memory}, iterations = {iterations})")
    net.train(data(), epochs=epochs)
    assert_close(held(net), scipys(epochs * iterations, memory), 1e-5)


def test_where_an_epoch_ends_does_not_matter() -> None:
    nets = [whole(f"optimizer lbfgs(iterations = {n})") for n in (4, 12)]
    histories = [net.train(data(), epochs=12 // n) for net, n in zip(nets, (4, 12), strict=True)]
    assert [len(history) for history in histories] == [3, 1]
    assert all(
        np.array_equal(a, b) for a, b in zip(held(nets[0]).values(), held(nets[1]).values(), strict=True)
    )


def test_a_second_training_begins_without_memory() -> None:
    optimizer, nets = LimitedMemoryBfgs(iterations=3), [whole("batch all"), whole("batch all")]
    for net in nets:
        net.train(data(), epochs=2, optimizer=optimizer)
    assert all(
        np.array_equal(a, b) for a, b in zip(held(nets[0]).values(), held(nets[1]).values(), strict=True)
    )


IRIS = iris_file("optimizer lbfgs(iterations = 3)", "epochs    6", hidden=6, split="80% train, 20% test")


def test_a_broken_run_goes_on_with_its_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("iris.dln").write_text(IRIS)
    assert run(["train", "iris.dln", "--out", "whole"]) == 0
    assert run(["train", "iris.dln", "--out", "broken", "--epochs", "4"]) == 0
    assert run(["train", "iris.dln", "--resume", "broken"]) == 0
    whole, resumed = (Path(name, "weights.safetensors").read_bytes() for name in ("whole", "broken"))
    assert whole == resumed


def test_the_valley_of_rosenbrock_iteration_by_iteration() -> None:
    """Dozens of steps along a curved valley, where a wrong pair or another line search would soon lead elsewhere."""
    optimize = pytest.importorskip("scipy.optimize")
    weights = {"a": np.array([-1.2]), "b": np.array([1.0, -0.5, 2.0])}

    def slope(point: np.ndarray) -> dict[str, np.ndarray]:
        g = optimize.rosen_der(point)
        return {"a": g[:1], "b": g[1:]}

    def objective() -> tuple[float, dict[str, np.ndarray]]:
        point = np.concatenate([weights["a"], weights["b"]])
        return optimize.rosen(point), slope(point)

    optimizer = LimitedMemoryBfgs(memory=7, iterations=1, tolerance=1e-8)
    for count in range(1, 100):
        options = {"maxcor": 7, "maxiter": count, "gtol": 1e-8, "ftol": 0.0}
        start = np.array([-1.2, 1.0, -0.5, 2.0])
        expected = optimize.minimize(
            optimize.rosen, start, jac=optimize.rosen_der, method="L-BFGS-B", options=options
        )
        ended = optimizer.step(weights, objective)
        found = np.concatenate([weights["a"], weights["b"]])
        np.testing.assert_allclose(found, expected.x, rtol=1e-4, atol=1e-6)
        if ended:
            break
    assert ended and count > 30 and np.abs(optimize.rosen_der(found)).max() < 1e-6


#: f and f'; the first is Moré and Thuente's test 5.1.
FUNCTIONS = {
    "rational": (lambda t: -t / (t * t + 2), lambda t: (t * t - 2) / (t * t + 2) ** 2),
    "exponential": (lambda t: math.exp(min(t, 700.0)) - 5 * t, lambda t: math.exp(min(t, 700.0)) - 5),
    "parabola": (lambda t: (t - 3) ** 2, lambda t: 2 * (t - 3)),
    "wall": (
        lambda t: -math.log(2 - t) - 5 * t if t < 2 else math.inf,
        lambda t: 1 / (2 - t) - 5 if t < 2 else math.nan,
    ),
}


@pytest.mark.parametrize("guess", [1e-3, 0.1, 1.0, 10.0, 1e3])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_step_satisfies_the_strong_wolfe_conditions(name: str, guess: float) -> None:
    value, slope = FUNCTIONS[name]
    tried: list[float] = []

    def at(step: float) -> tuple[float, float]:
        tried.append(step)
        return value(step), slope(step)

    step = wolfe_step(value(0.0), slope(0.0), guess, at)
    assert step is not None and step == tried[-1] > 0
    assert value(step) <= value(0.0) + DECREASE * step * slope(0.0)
    assert abs(slope(step)) <= CURVATURE * abs(slope(0.0))


def test_uphill_no_step_is_found() -> None:
    assert (
        wolfe_step(0.0, -1e-3, 1.0, lambda step: (step, 1.0)) is None
    )  # the slope at 0 is not that of the values


def test_lbfgs_in_single_precision_is_better_than_descent() -> None:
    text = f"{NETWORK} train {{\n optimizer lbfgs\n epochs 10\n }}"
    net = with_first_weights(dln.compile(text, threads=1))
    loss = net.train(data()) and net.evaluate(data())["loss"]
    x, t = data().values()
    w = first_weights()
    for _ in range(200):
        g = loss_and_gradient(w, x, t)[1]
        w = {n: w[n] - 0.2 * g[n] for n in w}
    assert loss < 0.5 * loss_and_gradient(w, x, t)[0]


def test_lbfgs_needs_all_samples() -> None:
    with pytest.raises(DiagnosticError, match=r"E706.*over all samples[\s\S]*write batch all"):
        whole("optimizer lbfgs\n batch 8")
