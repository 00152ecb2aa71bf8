"""Embeddings, blocks of convolutions, autoencoders, further activations and losses of the prelude against PyTorch."""

from __future__ import annotations

from typing import Any

import dln
import numpy as np
import pytest
from dln.tests.oracle.torch_comparison import TOLERANCE, agree, compare

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = pytest.mark.parametrize("precision", ["float32", "float64"])

ACTIVATIONS = {
    "gelu_tanh(z)": lambda z: F.gelu(z, approximate="tanh"),
    "selu(z)": F.selu,
    "softsign(z)": F.softsign,
}


@pytest.mark.parametrize("call", ACTIVATIONS)
def test_activation(call: str, precision: str) -> None:
    text = f"""
input x[23]
weight w[23]
let   z[j] = 3 * w[j] * x[j]
layer y[23] = {call}
loss average[batch] sum[j] y[j]^2 / 2
"""

    def peer(w: Any, x: Any) -> Any:
        y = ACTIVATIONS[call](3 * w["w"] * x["x"])
        return (y * y).sum(1).mean() / 2, {"y": y}

    compare(text, peer, precision, samples=9, spread=1.0)


@pytest.mark.parametrize("shape", [(), (5,), (2, 3)], ids=str)
def test_embedding(shape: tuple[int, ...], precision: str) -> None:
    axes = f"[{', '.join(map(str, shape))}]" if shape else ""
    text = f"""
input token{axes}: class[9]
layer y[{", ".join(map(str, (*shape, 4)))}] = embedding(token, 9)
loss average[batch, ..] tanh(y)
"""

    def peer(w: Any, x: Any) -> Any:
        y = F.embedding(x["token"], w["y.E"])
        return torch.tanh(y).mean(), {"y": y}

    compare(text, peer, precision, samples=13)


def test_unembedding_shares_the_table(precision: str) -> None:
    text = """
input token[4]: class[7]
input next[4]: class[7]
let   x[4, 5] = embedding(token, 7)
layer score[4, 7] = unembedding(tanh(x), x.E)
loss cross_entropy(score, next)
"""

    def peer(w: Any, x: Any) -> Any:
        score = torch.tanh(F.embedding(x["token"], w["x.E"])) @ w["x.E"].T
        return F.cross_entropy(score.reshape(-1, 7), x["next"].reshape(-1)), {"score": score}

    compare(text, peer, precision, samples=6)


@pytest.mark.parametrize(
    "case", [(5, 3, 4, 2, 1), (9, 2, 1, 3, 2), (4, 1, 2, 5, 3), (2, 6, 3, 2, 4, 2)], ids=str
)
def test_causal_convolution(case: tuple[int, ...], precision: str) -> None:
    *leading, steps, c, f, size, dilation = case
    shape = (*leading, steps, c)
    axes = "ijk"[: len(shape)]
    text = f"""
input x[{", ".join(map(str, shape))}]
weight scale[{", ".join(map(str, shape))}]
let   z[{", ".join(axes)}] = scale[{", ".join(axes)}] * x[{", ".join(axes)}]
layer y[{", ".join(map(str, (*leading, steps, f)))}] = causal_convolution(z, size = {size}, dilation = {dilation})
loss average[batch, ..] tanh(y)
"""

    def peer(w: Any, x: Any) -> Any:
        z = (w["scale"] * x["x"]).reshape(-1, steps, c).transpose(1, 2)
        z = F.pad(z, ((size - 1) * dilation, 0))
        kernel = w["y.w"].permute(2, 1, 0).flip(2)  # ours begins with the present step
        y = F.conv1d(z, kernel, w["y.b"], dilation=dilation).transpose(1, 2).reshape(-1, *leading, steps, f)
        return torch.tanh(y).mean(), {"y": y}

    compare(text, peer, precision)


@pytest.mark.parametrize("case", [(3, 1, 1), (3, 2, 1), (2, 2, 1), (5, 1, 2)], ids=str)
def test_padded_max_pool(case: tuple[int, ...], precision: str) -> None:
    size, stride, padding = case
    out = [(n + 2 * padding - size) // stride + 1 for n in (6, 7)]
    text = f"""
input x[2, 6, 7]
weight w[2, 6, 7]
let   z[c, p, q] = w[c, p, q] * x[c, p, q]
layer y[2, {out[0]}, {out[1]}] = max_pool(z, {size}, {stride}, {padding})
loss average[batch, ..] y^2
"""

    def peer(w: Any, x: Any) -> Any:
        y = F.max_pool2d(w["w"] * x["x"], size, stride, padding)
        return (y * y).mean(), {"y": y}

    compare(text, peer, precision)


@pytest.mark.parametrize("case", [(3, 6, 7, 2, 3, 4, 1, 2, 3), (1, 5, 5, 1, 1, 1, 1, 1, 1)], ids=str)
def test_inception(case: tuple[int, ...], precision: str) -> None:
    c, h, w_, *maps = case
    total = maps[0] + maps[2] + maps[4] + maps[5]
    text = f"""
input x[{c}, {h}, {w_}]
layer y[{total}, {h}, {w_}] = inception(x, {", ".join(map(str, maps))})
loss average[batch, ..] y^2
"""

    def peer(w: Any, x: Any) -> Any:
        def convolved(at: str, of: Any, padding: int = 0) -> Any:
            return F.relu(F.conv2d(of, w[f"y.{at}.w"], w[f"y.{at}.b"], padding=padding))

        z = x["x"]
        wide = convolved("wide", convolved("of_three", z), 1)
        wider = convolved("wider", convolved("of_five", z), 2)
        pooled = convolved("pooled", F.max_pool2d(z, 3, 1, 1))
        y = torch.cat([convolved("direct", z), wide, wider, pooled], 1)
        return (y * y).mean(), {"y": y}

    compare(text, peer, precision, samples=3)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("case", [(3, 5, 6, 3, 1), (2, 6, 5, 4, 2), (1, 4, 4, 2, 3)], ids=str)
def test_residual(case: tuple[int, ...], training: bool, precision: str) -> None:
    c, h, width, f, stride = case
    out = [(n - 1) // stride + 1 for n in (h, width)]
    call = "residual(x)" if stride == 1 else f"residual_down(x, stride = {stride})"
    text = f"""
input x[{c}, {h}, {width}]
layer y[{f}, {out[0]}, {out[1]}] = {call}
loss average[batch, ..] y^2
"""
    net = dln.compile(text, precision=precision, seed=3)
    x = np.random.default_rng(0).standard_normal((5, c, h, width))
    w = {n: torch.tensor(np.array(v), requires_grad=True) for n, v in net.weights.items()}

    def norm(at: str, of: Any) -> Any:
        states = (torch.zeros(f, dtype=of.dtype), torch.ones(f, dtype=of.dtype))
        return F.batch_norm(of, *states, w[f"y.{at}.scale"], w[f"y.{at}.shift"], training)

    z = torch.tensor(x, dtype=getattr(torch, precision))
    first = F.relu(norm("first", F.conv2d(z, w["y.w1"], stride=stride, padding=1)))
    second = norm("second", F.conv2d(first, w["y.w2"], padding=1))
    short = z if stride == 1 else norm("third", F.conv2d(z, w["y.w3"][:, :, None, None], stride=stride))
    y = F.relu(short + second)
    loss = (y * y).mean()
    loss.backward()
    found, gradient = net.loss_and_gradient(x=x, training=training)
    agree("loss", found, loss.detach(), TOLERANCE[precision])
    for name, tensor in w.items():
        agree(f"gradient of {name}", gradient[name], tensor.grad, TOLERANCE[precision], least=0.1)


@pytest.mark.parametrize("shape", [(6,), (2, 5)], ids=str)
def test_tied_autoencoder(shape: tuple[int, ...], precision: str) -> None:
    size = ", ".join(map(str, shape))
    text = f"""
input x[{size}]
layer y[{size}] = tied_autoencoder(x, units = 3, activation = tanh)
loss mean_squared_error(y, x)
"""

    def peer(w: Any, x: Any) -> Any:
        code = torch.tanh(x["x"] @ w["y.w"] + w["y.b"])
        y = torch.tanh(code @ w["y.w"].T + w["y.c"])
        return F.mse_loss(y, x["x"]), {"y": y}

    compare(text, peer, precision)


@pytest.mark.parametrize("shape", [(5, 3), (2, 4, 3)], ids=str)
def test_maxout(shape: tuple[int, ...], precision: str) -> None:
    *leading, n, m = shape
    text = f"""
input x[{", ".join(map(str, (*leading, n)))}]
layer y[{", ".join(map(str, (*leading, m)))}] = maxout(x, pieces = 4)
loss average[batch, ..] y^2
"""

    def peer(w: Any, x: Any) -> Any:
        y = (torch.einsum("...i,kij->...kj", x["x"], w["y.w"]) + w["y.b"]).amax(-2)
        return (y * y).mean(), {"y": y}

    compare(text, peer, precision)


@pytest.mark.parametrize("leading", [(), (4,)], ids=str)
@pytest.mark.parametrize("loss", ["hinge", "weighted_cross_entropy", "perplexity"])
def test_loss_of_classes(loss: str, leading: tuple[int, ...], precision: str) -> None:
    axes = f"[{leading[0]}]" if leading else ""
    call = (
        "weighted_cross_entropy(score, label, weight)"
        if loss.startswith("weighted")
        else f"{loss}(score, label)"
    )
    text = f"""
input x[{", ".join(map(str, (*leading, 6)))}]
input label{axes}: class[5]
input weight{axes}
layer score[{", ".join(map(str, (*leading, 5)))}] = dense(x)
loss {call}
metric average[batch] (sum[..] weight)
""".replace(
        "metric average[batch] (sum[..] weight)",
        "metric m = average[batch, ..] weight" if leading else "metric m = weight",
    )
    generator = np.random.default_rng(1)
    inputs = {
        "x": generator.standard_normal((7, *leading, 6)),
        "label": generator.integers(0, 5, (7, *leading)),
        "weight": generator.integers(0, 2, (7, *leading)).astype(float),
    }

    def peer(w: Any, x: Any) -> Any:
        score = x["x"] @ w["score.w"] + w["score.b"]
        flat, label = score.reshape(-1, 5), x["label"].reshape(-1)
        if loss == "hinge":
            return F.multi_margin_loss(flat, label), {"score": score}
        if loss == "perplexity":
            return torch.exp(F.cross_entropy(flat, label)), {"score": score}
        each = F.cross_entropy(flat, label, reduction="none")
        weight = x["weight"].reshape(-1)
        return (each * weight).sum() / weight.sum(), {"score": score}

    compare(text, peer, precision, inputs=inputs)


@pytest.mark.parametrize("delta", [1, 0.3])
def test_huber(delta: float, precision: str) -> None:
    text = f"""
input x[6]
input t[6]
weight w[6]
layer y[j] = w[j] * x[j]
loss huber(y, t, delta = {delta})
"""

    def peer(w: Any, x: Any) -> Any:
        y = w["w"] * x["x"]
        return F.huber_loss(y, x["t"], delta=delta), {"y": y}

    compare(text, peer, precision)
