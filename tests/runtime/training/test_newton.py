"""Newton's method: the direct solution of linear models in one step, and minima of what is no parabola."""

from __future__ import annotations

import dln
import numpy as np
import pytest
from dln.runtime.errors import InputError

LINEAR = """
input x[4]
input t
weight w[4] ~ normal(0, 1)
weight b = 0
layer y = b + sum[i] w[i] * x[i]
loss average[batch] (y - t)^2 / 2
train {
  optimizer newton
  epochs 5
}
"""


def samples() -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(1)
    x = draw.normal(size=(50, 4)) @ np.diag([1, 3, 0.2, 1]) + 1
    return x, x @ [1, -2, 3, 0.5] + 0.7 + draw.normal(size=50)


def direct(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    """(XᵀX)⁻¹Xᵀt, the threshold last."""
    matrix = np.column_stack([x, np.ones(len(x))])
    return np.linalg.inv(matrix.T @ matrix) @ matrix.T @ t


@pytest.mark.parametrize(("precision", "steps", "relative"), [("float64", 1, 1e-9), ("float32", 2, 1e-5)])
def test_one_step_is_the_direct_solution(precision: str, steps: int, relative: float) -> None:
    """In single precision a second step mends the digits that the differences lack."""
    x, t = samples()
    net = dln.compile(LINEAR, precision=precision, threads=1)  # type: ignore[arg-type]
    net.train({"x": x, "t": t}, epochs=steps)
    found = np.append(net.weights["w"], net.weights["b"]).astype(float)
    assert found == pytest.approx(direct(x, t), rel=relative)


def test_it_ends_where_the_slope_is_zero() -> None:
    x, t = samples()
    history = dln.compile(LINEAR, precision="float64", threads=1).train({"x": x, "t": t})
    assert (len(history), history.ending) == (2, "converged")


def test_of_many_solutions_the_nearest() -> None:
    """Two equal columns: what is changed is the least that makes the error smallest, as the pseudo-inverse has it."""
    x, t = samples()
    x[:, 1] = x[:, 0]
    net = dln.compile(LINEAR, precision="float64", threads=1)
    matrix = np.column_stack([x, np.ones(len(x))])
    start = np.append(net.weights["w"], 0.0)
    net.train({"x": x, "t": t}, epochs=1)
    expected = start + np.linalg.pinv(matrix) @ (t - matrix @ start)
    assert [*net.weights["w"], float(net.weights["b"][()])] == pytest.approx(expected, rel=1e-7)


def point(loss: str, start: tuple[float, float], optimizer: str = "newton") -> dln.Network:
    text = f"""
weight a = {start[0]}
weight b = {start[1]}
loss {loss}
train {{
  optimizer {optimizer}
  epochs 60
}}
"""
    return dln.compile(text, precision="float64", threads=1)


def values(net: dln.Network) -> list[float]:
    return [float(net.weights[name][()]) for name in "ab"]


def test_the_valley_of_rosenbrock() -> None:
    net = point("(1 - a)^2 + 100 * (b - a^2)^2", (-1.2, 1))
    history = net.train()
    assert values(net) == pytest.approx([1, 1], abs=1e-5)
    assert len(history) < 40


def test_downhill_from_a_saddle() -> None:
    """At (0.1, 0.5) the plain step of Newton goes to the saddle (0, 0) of (a² − 1)² + b²; here it goes to the minimum."""
    net = point("(a^2 - 1)^2 + b^2", (0.1, 0.5))
    net.train()
    assert values(net) == pytest.approx([1, 0], abs=1e-5)


def test_damping_makes_the_step_shorter() -> None:
    """H = diag(2, 8), g = (4, 8) at (2, 1): the step is g / (h + 2)."""
    net = point("a^2 + 4 * b^2", (2, 1), "newton(damping = 2)")
    net.train(epochs=1)
    assert values(net) == pytest.approx([2 - 4 / 4, 1 - 8 / 10], rel=1e-6)


def test_what_it_cannot_do() -> None:
    wide = dln.compile(LINEAR.replace("4]", "4000]"), threads=1)
    with pytest.raises(InputError, match=r"4,001 are too many \(the most is 3,000\); lbfgs needs less"):
        wide.train({"x": np.zeros((2, 4000)), "t": np.zeros(2)})
    with pytest.raises(InputError, match="damping ≥ 0"):
        point("a^2 + b^2", (1, 1), "newton(damping = -1)").train()
