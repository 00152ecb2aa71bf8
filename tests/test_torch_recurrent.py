"""The recurrent layers of the prelude against PyTorch's: values and derivatives, both directions, both precisions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from dln.tests.oracle.torch_comparison import compare

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.parametrize("precision", ["float32", "float64"])

KINDS = {"rnn": torch.nn.RNN, "irnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
#: (steps, inputs, units)
SHAPES = [(5, 3, 4), (1, 2, 3), (12, 1, 17)]


def parameters(kind: str, w: Mapping[str, Any], prefix: str, suffix: str = "") -> dict[str, Any]:
    """Weights of a layer of the prelude as PyTorch keeps them: gates in one matrix, units first."""
    W, U, b = w[f"{prefix}.W"], w[f"{prefix}.U"], w[f"{prefix}.b"]
    if W.ndim == 2:
        W, U, b = W[None], U[None], b[None]
    second = torch.zeros_like(b)
    if kind == "gru":  # the threshold of the state that is reset
        second = torch.cat([second[:2], w[f"{prefix}.d"][None]])
    return {
        f"weight_ih_l0{suffix}": W.permute(0, 2, 1).flatten(0, 1),
        f"weight_hh_l0{suffix}": U.permute(0, 2, 1).flatten(0, 1),
        f"bias_ih_l0{suffix}": b.flatten(),
        f"bias_hh_l0{suffix}": second.flatten(),
    }


def run(
    kind: str, values: dict[str, Any], x: Any, *start: Any, bidirectional: bool = False
) -> tuple[Any, Any]:
    """PyTorch's layer on x[batch, T, D]: all states, and what remains at the end."""
    hidden = values["weight_hh_l0"].shape[1]
    options = {"nonlinearity": "relu"} if kind == "irnn" else {}
    module = KINDS[kind](x.shape[2], hidden, batch_first=True, bidirectional=bidirectional, **options).to(
        x.dtype
    )
    states = tuple(s.expand(x.shape[0], hidden)[None].contiguous() for s in start)
    inputs = (x, states if len(states) > 1 else states[0]) if states else (x,)
    return torch.func.functional_call(module, values, inputs)  # type: ignore[no-any-return]


def loss(y: Any) -> Any:
    return (y**2).flatten(1).sum(1).mean() / 2 + y.flatten(1).sum(1).mean()


LOSS = "loss average[batch] sum[t, j] y[t, j]^2 / 2 + average[batch] sum[t, j] y[t, j]"


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("block", ["rnn", "irnn", "lstm", "gru"])
def test_forwards(block: str, shape: tuple[int, int, int], precision: str) -> None:
    steps, inputs, units = shape
    text = f"input x[{steps}, {inputs}]\nlayer y[{steps}, {units}] = {block}(x)\n{LOSS}"

    def peer(w: Any, x: Any) -> Any:
        y, _ = run(block, parameters(block, w, "y"), x["x"])
        return loss(y), {"y": y}

    compare(text, peer, precision, samples=5)


@pytest.mark.parametrize("block", ["backward_rnn", "backward_lstm", "backward_gru"])
def test_backwards(block: str, precision: str) -> None:
    text = f"input x[6, 3]\nlayer y[6, 5] = {block}(x)\n{LOSS}"
    kind = block.removeprefix("backward_")

    def peer(w: Any, x: Any) -> Any:
        y = run(kind, parameters(kind, w, "y"), x["x"].flip(1))[0].flip(1)
        return loss(y), {"y": y}

    compare(text, peer, precision, samples=18)


@pytest.mark.parametrize("block", ["bidirectional_rnn", "bidirectional_lstm", "bidirectional_gru"])
def test_both_directions(block: str, precision: str) -> None:
    text = f"input x[6, 3]\nlayer y[6, 10] = {block}(x)\n{LOSS}"
    kind = block.removeprefix("bidirectional_")

    def peer(w: Any, x: Any) -> Any:
        values = parameters(kind, w, "y.f") | parameters(kind, w, "y.g", "_reverse")
        y, _ = run(kind, values, x["x"], bidirectional=True)
        return loss(y), {"y": y}

    compare(text, peer, precision, samples=7)


@pytest.mark.parametrize("block", ["rnn_from", "lstm_from", "gru_from"])
@pytest.mark.parametrize("start", ["weight s[5] ~ normal(0, 1)", "input s[5]"])
def test_a_given_start(block: str, start: str, precision: str) -> None:
    """The state before the first step as a weight, which gets a gradient, and as an input."""
    kind = block.removesuffix("_from")
    cell = ("weight r[5] ~ normal(0, 1)", ", r") if kind == "lstm" else ("", "")
    text = f"input x[6, 3]\n{start}\n{cell[0]}\nlayer y[6, 5] = {block}(x, s{cell[1]})\n{LOSS}"

    def peer(w: Any, x: Any) -> Any:
        begin = [w["s"] if "s" in w else x["s"], *([w["r"]] if "r" in w else [])]
        y, _ = run(kind, parameters(kind, w, "y"), x["x"], *begin)
        return loss(y), {"y": y}

    compare(text, peer, precision, samples=4)


def test_one_above_the_other(precision: str) -> None:
    """Two layers, and the last step alone in the loss."""
    text = """
input x[7, 3]
layer a[7, 6] = lstm(x)
layer y[7, 4] = gru(a)
let   z[j]    = y[6, j]
loss  average[batch] sum[j] z[j]^2
"""

    def peer(w: Any, x: Any) -> Any:
        a, _ = run("lstm", parameters("lstm", w, "a"), x["x"])
        y, _ = run("gru", parameters("gru", w, "y"), a)
        return (y[:, -1] ** 2).sum(1).mean(), {"a": a, "y": y}

    compare(text, peer, precision, samples=17)


def test_encoder_and_decoder(precision: str) -> None:
    """The cell of the encoder is a result of its own; the decoder begins with the encoder's last state."""
    text = """
input  x[5, 3]
input  u[4, 2]
weight zero[6] = 0
layer  e[5, 6] = lstm_from(x, zero, zero)
let    h0[j] = e[4, j]
let    c0[j] = e.c[4, j]
layer  y[4, 6] = lstm_from(u, h0, c0)
loss   average[batch] sum[t, j] y[t, j]^2
"""

    def peer(w: Any, x: Any) -> Any:
        e, (h, c) = run("lstm", parameters("lstm", w, "e"), x["x"], w["zero"], w["zero"])
        y, _ = run("lstm", parameters("lstm", w, "y"), x["u"], h[0], c[0])
        return (y**2).flatten(1).sum(1).mean(), {"e": e, "y": y}

    compare(text, peer, precision, samples=6)


def test_sequences_of_different_lengths(precision: str) -> None:
    """Packed sequences: a state that stays as it is behind the end, and one that is read where each sequence ends."""
    text = """
input  x[6, 3]
input  length: class[7]
weight W[3, 4] ~ glorot
weight U[4, 4] ~ glorot
let    n[t: 6, j] = tanh(sum[i] W[i, j] * x[t, i] + sum[k] U[k, j] * h[t-1, k else 0])
layer  h[t: 6, j: 4] = n[t, j] if t < length else h[t-1, j else 0]
layer  y[6, 5] = gru(x)
layer  z[j: 5] = y[max(length, 1) - 1, j]
loss   average[batch] sum[j] h[5, j]^2 + average[batch] sum[j] z[j]^2
"""
    lengths = np.array([3, 6, 1, 0, 5, 6, 2])

    def peer(w: Any, x: Any) -> Any:
        h = torch.zeros(len(lengths), 4, dtype=x["x"].dtype)
        steps = []
        for t in range(6):
            new = torch.tanh(x["x"][:, t] @ w["W"] + h @ w["U"])
            h = torch.where((t < x["length"])[:, None], new, h)
            steps.append(h)
        y, _ = run("gru", parameters("gru", w, "y"), x["x"])
        z = y[torch.arange(len(lengths)), (x["length"].clamp(min=1) - 1)]
        return (h**2).sum(1).mean() + (z**2).sum(1).mean(), {"h": torch.stack(steps, 1), "y": y, "z": z}

    x = np.random.default_rng(3).standard_normal((7, 6, 3))
    compare(text, peer, precision, inputs={"x": x, "length": lengths})
