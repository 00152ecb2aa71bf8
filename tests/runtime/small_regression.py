"""A small regression problem three ways: in the language, in NumPy with its derivatives by hand, and its minibatches in order.

In: settings of the train section.  Out: the weights after some steps, for the tests of optimizers and regularisers.

    net = compiled("optimizer sgd(rate = 0.1)")        hidden.w[4, 5], hidden.b[5], out.w[5, 3], out.b[3]
    train(net)
    expected = follow(sgd, 50)                          the same by NumPy: sgd(weight, gradient, state, step, epoch)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dln
import numpy as np

#: The last minibatch of an epoch has six samples.
SAMPLES, BATCH, EPOCHS = 38, 8, 10
STEPS = -(-SAMPLES // BATCH) * EPOCHS

Arrays = dict[str, np.ndarray]
#: (weight, gradient, its own memory, step from 1, epoch from 0) → new weight.
Rule = Callable[[np.ndarray, np.ndarray, dict[str, Any], int, int], np.ndarray]

NETWORK = """
network small
input x[4]
input t[3]
layer hidden[5] = tanh(dense(x))
layer out[3] = dense(hidden)
loss mean_squared_error(out, t)
"""


def data() -> Arrays:
    generator = np.random.default_rng(7)
    x = generator.standard_normal((SAMPLES, 4))
    return {"x": x, "t": np.sin(x[:, :3]) + 0.1 * generator.standard_normal((SAMPLES, 3))}


def first_weights() -> Arrays:
    generator = np.random.default_rng(8)
    shapes = {"hidden.w": (4, 5), "hidden.b": (5,), "out.w": (5, 3), "out.b": (3,)}
    return {name: 0.5 * generator.standard_normal(shape) for name, shape in shapes.items()}


def compiled(
    settings: str, *, declarations: str = "", precision: Any = "float64", threads: int = 1, **options: Any
) -> dln.Network:
    """The network with this text in its train section (samples in order), and with the weights of `first_weights`."""
    section = f"train {{\n batch {BATCH}\n epochs {EPOCHS}\n order fixed\n {settings}\n}}"
    net = dln.compile(NETWORK + declarations + section, precision=precision, threads=threads, **options)
    for name, value in first_weights().items():
        net.weights[name] = value
    return net


def trained(settings: str, **options: Any) -> Arrays:
    """The weights after EPOCHS epochs."""
    net = compiled(settings, **options)
    net.train(data())
    return {name: np.array(view) for name, view in net.weights.items()}


def minibatches(epochs: int = EPOCHS) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """(step from 1, epoch from 0, x, t)"""
    arrays, step = data(), 0
    for epoch in range(epochs):
        for start in range(0, SAMPLES, BATCH):
            step += 1
            yield step, epoch, arrays["x"][start : start + BATCH], arrays["t"][start : start + BATCH]


def loss_and_gradient(w: Arrays, x: np.ndarray, t: np.ndarray) -> tuple[float, Arrays]:
    """The mean squared error over all numbers, and its derivatives, by hand."""
    h = np.tanh(x @ w["hidden.w"] + w["hidden.b"])
    difference = h @ w["out.w"] + w["out.b"] - t
    dy = 2 * difference / difference.size
    da = dy @ w["out.w"].T * (1 - h**2)
    gradient = {
        "hidden.w": x.T @ da,
        "hidden.b": da.sum(0),
        "out.w": h.T @ dy,
        "out.b": dy.sum(0),
    }
    return float(np.mean(difference**2)), gradient


def follow(
    rule: Rule,
    epochs: int = EPOCHS,
    change: Callable[[Arrays, Arrays], Arrays] | None = None,
    after: Callable[[Arrays, int, int], None] | None = None,
) -> Arrays:
    """The weights after training by a rule. `change` (weights, gradients) → what the rule is given; `after` each step."""
    weights = first_weights()
    memories: dict[str, dict[str, Any]] = {name: {} for name in weights}
    for step, epoch, x, t in minibatches(epochs):
        gradient = loss_and_gradient(weights, x, t)[1]
        if change is not None:
            gradient = change(weights, gradient)
        weights = {n: rule(w, gradient[n], memories[n], step, epoch) for n, w in weights.items()}
        if after is not None:
            after(weights, step, epoch)
    return weights


def assert_close(actual: Arrays, expected: Arrays, tolerance: float = 1e-9) -> None:
    """Equal up to `tolerance` times the largest entry of each array."""
    assert set(actual) == set(expected)
    for name, value in expected.items():
        scale = max(float(np.abs(value).max()), 1e-3)
        worst = float(np.abs(actual[name] - value).max())
        assert worst <= tolerance * scale, f"{name}: off by {worst:.3g}, the largest entry is {scale:.3g}"


# ------------------------------------------------------------------- what tests of regularisers change in a step


def sgd(w, g, s, step, epoch):
    return w - 0.2 * g


def adding(**slopes: Any) -> Any:
    """A change of the gradients: weight name (its dot as two underscores) → derivative of the penalty."""

    def change(w: Arrays, g: Arrays) -> Arrays:
        extra = {name.replace("__", "."): slope for name, slope in slopes.items()}
        return {n: g[n] + (extra[n](w[n]) if n in extra else 0) for n in g}

    return change


def everywhere(slope: Any) -> Any:
    return lambda w, g: {n: g[n] + slope(w[n]) for n in g}


def norm(arrays: Any) -> float:
    return float(np.sqrt(sum((a**2).sum() for a in arrays)))


def clipped_by_norm(largest: float, *names: str) -> Any:
    def change(w: Arrays, g: Arrays) -> Arrays:
        chosen = names or tuple(g)
        factor = min(1.0, largest / norm(g[n] for n in chosen))
        return {n: g[n] * factor if n in chosen else g[n] for n in g}

    return change


def clipped_by_value(largest: float) -> Any:
    return lambda w, g: {n: np.clip(g[n], -largest, largest) for n in g}


def limited(weights: Arrays, name: str, largest: float, axes: tuple[int, ...]) -> None:
    lengths = np.sqrt((weights[name] ** 2).sum(axes, keepdims=True))
    weights[name] = weights[name] * np.minimum(1, largest / lengths)
