"""Normalisation and noise of the prelude against PyTorch: values, derivatives, running statistics over several steps.

For noise the oracle is PyTorch with the same random numbers; these are held to published bits by test_random_draws.py.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import dln
import numpy as np
import pytest
from dln.compiler.mathematics.threefry import uniform
from dln.tests.oracle.torch_comparison import TOLERANCE, agree, compare

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = pytest.mark.parametrize("precision", ["float32", "float64"])


@pytest.mark.parametrize("shape", [(6,), (2,), (3, 5), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("block", ["layer_norm", "rms_norm"])
def test_layer_norm(block: str, shape: tuple[int, ...], precision: str) -> None:
    size = ", ".join(map(str, shape))
    axes = ", ".join("ijk"[: len(shape)])
    text = f"""
input x[{size}]
input t[{size}]
weight w[{size}]
let   z[{axes}] = w[{axes}] * x[{axes}]
layer y[{size}] = {block}(z, epsilon = 1e-3)
loss  average[batch, ..] y * tanh(t)
"""

    def peer(w: Any, x: Any) -> Any:
        z = w["w"] * x["x"]
        if block == "layer_norm":
            y = F.layer_norm(z, shape[-1:], w["y.scale"], w["y.shift"], 1e-3)
        else:
            y = F.rms_norm(z, shape[-1:], w["y.scale"], 1e-3)
        return (y * torch.tanh(x["t"])).mean(), {"y": y}

    compare(text, peer, precision)


# block, shape of a sample, the way that PyTorch has its axes
BATCH_NORMS: list[tuple[str, tuple[int, ...], str, Callable[[Any], Any]]] = [
    ("batch_norm", (4,), "BatchNorm1d", lambda x: x),
    ("batch_norm", (5, 3), "BatchNorm1d", lambda x: x.transpose(1, 2)),
    ("batch_norm_1d", (3, 5), "BatchNorm1d", lambda x: x),
    ("batch_norm_2d", (3, 4, 5), "BatchNorm2d", lambda x: x),
    ("batch_norm_2d", (1, 2, 2), "BatchNorm2d", lambda x: x),
]


@pytest.mark.parametrize("options", ["", ", momentum = 0.3, epsilon = 0.01"])
@pytest.mark.parametrize("block, shape, kind, turn", BATCH_NORMS, ids=lambda v: "" if callable(v) else str(v))
def test_batch_norm_trains_as_in_pytorch(
    block: str, shape: tuple[int, ...], kind: str, turn: Callable, options: str, precision: str
) -> None:
    """Seven steps of gradient descent: weights and running statistics; then values and derivatives in both modes."""
    size = ", ".join(map(str, shape))
    axes = ", ".join("ijk"[: len(shape)])
    text = f"""
input x[{size}]
input t[{size}]
weight w[{size}] ~ uniform(0.5, 2)
let   z[{axes}] = w[{axes}] * x[{axes}]
layer y[{size}] = {block}(z{options})
loss  mean_squared_error(y, t)
train {{
  optimizer sgd(rate = 0.1)
  batch 6
  order fixed
}}
"""
    net = dln.compile(text, precision=precision, seed=1)
    generator = np.random.default_rng(2)
    x = 3 * generator.standard_normal((42, *shape)) + generator.standard_normal(shape)
    t = generator.standard_normal((42, *shape))
    dtype = getattr(torch, precision)
    channels = turn(torch.empty(1, *shape)).shape[1]
    arguments = {"momentum": 0.3, "eps": 0.01} if options else {}
    peer = getattr(torch.nn, kind)(channels, dtype=dtype, **arguments)
    w = torch.tensor(np.array(net.weights["w"]), requires_grad=True)
    optimizer = torch.optim.SGD([w, *peer.parameters()], lr=0.1)

    def run(x: Any, t: Any) -> tuple[Any, Any]:
        y = turn(peer(turn(w * torch.tensor(x, dtype=dtype))))
        return F.mse_loss(y, torch.tensor(t, dtype=dtype)), y

    for start in range(0, 42, 6):
        optimizer.zero_grad()
        loss, _ = run(x[start : start + 6], t[start : start + 6])
        loss.backward()
        optimizer.step()
    net.train({"train": {"x": x, "t": t}}, epochs=1)
    tolerance = 10 * TOLERANCE[precision]  # seven steps
    arrays = net.saved_arrays()
    agree("w", arrays["w"], w.detach(), tolerance)
    agree("scale", arrays["y.scale"], peer.weight.detach(), tolerance)
    agree("shift", arrays["y.shift"], peer.bias.detach(), tolerance)
    agree("mean", arrays["y.mean"], peer.running_mean, tolerance)
    agree("variance", arrays["y.variance"], peer.running_var, tolerance)
    for training in (
        False,
        True,
    ):  # in this order, since PyTorch's running statistics go on in every call while training
        peer.train(training)
        optimizer.zero_grad()
        loss, y = run(x[:9], t[:9])
        y.retain_grad()
        loss.backward()
        # Where a channel has one weight, its derivative is 0 but for ε: terms as large as these cancel, and what they
        # leave is their rounding.
        terms = float(np.abs(y.grad.numpy() * x[:9]).sum(0).max())
        found, gradient = net.loss_and_gradient(x=x[:9], t=t[:9], training=training)
        agree(f"loss, training {training}", found, loss.detach(), tolerance)
        for name, tensor in {"w": w, "y.scale": peer.weight, "y.shift": peer.bias}.items():
            least = terms if name == "w" and training else 1e-3
            agree(f"gradient of {name}, training {training}", gradient[name], tensor.grad, tolerance, least)
        if not training:
            agree("y", net(x=x[:9])["y"], y.detach(), tolerance)


def test_running_statistics_stay_outside_of_training(precision: str) -> None:
    net = dln.compile(
        "input x[3]\nlayer y[3] = batch_norm(x)\nloss average[batch, ..] y^2", precision=precision
    )
    before = net.saved_arrays()
    x = np.random.default_rng(0).standard_normal((10, 3))
    net(x=x)
    net.evaluate({"x": x})
    net.loss_and_gradient(x=x, training=True)
    for name, values in net.saved_arrays().items():
        np.testing.assert_array_equal(values, before[name])


def draws(name: str, shape: tuple[int, ...], seed: int, kind: str = "uniform") -> np.ndarray:
    """The numbers of the draw whose family has this name, in the first step."""
    words = (seed, zlib.crc32(name.encode()), 1, 0, np.arange(int(np.prod(shape))).reshape(shape))
    first = uniform(*words)
    if kind == "uniform":
        return first
    return np.sqrt(-2 * np.log(first)) * np.cos(2 * np.pi * uniform(*words, word=1))


@pytest.mark.parametrize("shape", [(5,), (1,), (3, 4), (2, 3, 4)], ids=str)
@pytest.mark.parametrize(
    "call", ["dropout(z, 0.7)", "dropout_scaled_later(z, 0.4)", "gaussian_noise(z, 0.3)"]
)
def test_noise(call: str, shape: tuple[int, ...], precision: str) -> None:
    size, axes = ", ".join(map(str, shape)), ", ".join("ijk"[: len(shape)])
    text = f"""
input x[{size}]
weight w[{size}] ~ normal(0, 1)
let   z[{axes}] = w[{axes}] * x[{axes}]
layer y[{size}] = {call}
loss  average[batch, ..] tanh(y)
"""
    net = dln.compile(text, precision=precision, seed=5)
    x = np.random.default_rng(1).standard_normal((9, *shape))
    kind = "normal" if "gaussian" in call else "uniform"
    random = torch.tensor(draws(f"y.{kind}", (9, *shape), 5, kind))
    dtype = getattr(torch, precision)
    for training in (False, True):
        w = torch.tensor(np.array(net.weights["w"]), dtype=dtype, requires_grad=True)
        z = w * torch.tensor(x, dtype=dtype)
        y = z
        if "scaled_later" in call:
            y = z * (random < 0.4) if training else 0.4 * z
        elif training:
            y = z * (random < 0.7) / 0.7 if "dropout" in call else z + 0.3 * random.to(dtype)
        loss = torch.tanh(y).mean()
        loss.backward()
        found, gradient = net.loss_and_gradient(x=x, training=training)
        agree("loss", found, loss.detach(), TOLERANCE[precision])
        agree("gradient", gradient["w"], w.grad, TOLERANCE[precision])
        if not training:
            agree("y", net(x=x)["y"], y.detach(), TOLERANCE[precision])


@pytest.mark.parametrize("shape", [(7, 5), (4, 3, 2)], ids=str)
def test_drop_connect(shape: tuple[int, ...], precision: str) -> None:
    *leading, n, m = shape
    text = f"""
input x[{", ".join(map(str, (*leading, n)))}]
layer y[{", ".join(map(str, (*leading, m)))}] = drop_connect(x, keep = 0.6)
loss  average[batch, ..] y^2
"""
    net = dln.compile(text, precision=precision, seed=2)
    x = np.random.default_rng(1).standard_normal((6, *leading, n))
    dtype = getattr(torch, precision)
    mask = torch.tensor(draws("y.u.uniform", (n, m), 2) < 0.6)
    for training in (False, True):
        w = torch.tensor(np.array(net.weights["y.w"]), dtype=dtype, requires_grad=True)
        y = torch.tensor(x, dtype=dtype) @ (w * mask / 0.6 if training else w)
        loss = (y * y).mean()
        loss.backward()
        found, gradient = net.loss_and_gradient(x=x, training=training)
        agree("loss", found, loss.detach(), TOLERANCE[precision])
        agree("gradient", gradient["y.w"], w.grad, TOLERANCE[precision])
