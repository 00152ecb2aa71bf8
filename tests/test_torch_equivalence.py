"""Every entry of the prelude against PyTorch: values and derivatives, several shapes, both precisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dln
import numpy as np
import pytest
from dln.compiler.parse import parse
from dln.compiler.source import Source
from dln.compiler.syntax import BlockDeclaration, FunctionDeclaration
from dln.tests.oracle.torch_comparison import compare

torch = pytest.importorskip("torch")
F = torch.nn.functional

PRELUDE = Path(__file__).resolve().parents[1] / "grammar" / "prelude"
pytestmark = pytest.mark.parametrize("precision", ["float32", "float64"])

ACTIVATIONS = {
    "identity(z)": lambda z: z,
    "logistic(z)": torch.sigmoid,
    "sigmoid(z)": torch.sigmoid,
    "tanh(z)": torch.tanh,
    "relu(z)": torch.relu,
    "leaky_relu(z)": lambda z: F.leaky_relu(z, 0.1),
    "leaky_relu(z, slope = 0.01)": lambda z: F.leaky_relu(z, 0.01),
    "elu(z)": F.elu,
    "elu(z, 2)": lambda z: F.elu(z, 2.0),
    "softplus(z)": F.softplus,
    "gelu(z)": F.gelu,
    "silu(z)": F.silu,
    "scaled_tanh(z)": lambda z: 1.7159 * torch.tanh(2 / 3 * z),
}


@pytest.mark.parametrize("call", ACTIVATIONS)
def test_activation(call: str, precision: str) -> None:
    text = f"""
input x[37]
weight w[37]
let   z[j] = 3 * w[j] * x[j]
layer y[37] = {call}
loss average[batch] sum[j] y[j]^2 / 2
"""

    def peer(w: Any, x: Any) -> Any:
        y = ACTIVATIONS[call](3 * w["w"] * x["x"])
        return (y * y).sum(1).mean() / 2, {"y": y}

    compare(text, peer, precision, samples=9, spread=1.0)


@pytest.mark.parametrize("shape", [(5,), (1,), (3, 7), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("block", ["softmax", "log_softmax"])
def test_softmax(block: str, shape: tuple[int, ...], precision: str) -> None:
    size = ", ".join(map(str, shape))
    axes = ", ".join("ijk"[: len(shape)])
    text = f"""
input x[{size}]
input t[{size}]
weight w[{size}]
let   z[{axes}] = w[{axes}] * x[{axes}]
layer y[{size}] = {block}(z)
loss mean_squared_error(y, t)
"""

    def peer(w: Any, x: Any) -> Any:
        y = getattr(F, block)(w["w"] * x["x"], dim=-1)
        return F.mse_loss(y, x["t"]), {"y": y}

    compare(text, peer, precision, spread=2.0)


@pytest.mark.parametrize("shape", [(7, 5), (1, 1), (4, 3, 2), (2, 3, 4, 5)], ids=str)
@pytest.mark.parametrize("block", ["dense", "linear"])
def test_dense(block: str, shape: tuple[int, ...], precision: str) -> None:
    *leading, n, m = shape
    text = f"""
input x[{", ".join(map(str, (*leading, n)))}]
layer y[{", ".join(map(str, (*leading, m)))}] = {block}(x)
loss average[batch, ..] y^2
"""

    def peer(w: Any, x: Any) -> Any:
        y = x["x"] @ w["y.w"] + (w["y.b"] if block == "dense" else 0)
        return (y * y).mean(), {"y": y}

    compare(text, peer, precision)


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 4), (2, 1, 3, 2)], ids=str)
def test_flatten(shape: tuple[int, ...], precision: str) -> None:
    text = f"""
input x[{", ".join(map(str, shape))}]
layer flat[{int(np.prod(shape))}] = flatten(x)
layer y[3] = dense(flat)
loss average[batch, ..] y^2
"""

    def peer(w: Any, x: Any) -> Any:
        flat = x["x"].flatten(1)
        y = flat @ w["y.w"] + w["y.b"]
        return (y * y).mean(), {"flat": flat, "y": y}

    compare(text, peer, precision)


# channels, height, width, filters, size, stride, padding, dilation, groups
CONVOLUTIONS = [
    (1, 8, 8, 4, 3, 1, 1, 1, 1),
    (3, 7, 9, 5, 3, 2, 0, 1, 1),
    (2, 11, 5, 2, 5, 3, 2, 1, 1),
    (4, 9, 9, 6, 3, 1, 2, 2, 2),
    (6, 6, 7, 6, 2, 2, 1, 1, 6),
    (3, 5, 5, 7, 1, 1, 0, 1, 1),
    (1, 1, 1, 1, 3, 1, 1, 1, 1),
    (2, 13, 4, 3, 3, 4, 3, 2, 1),
]


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_convolution(case: tuple[int, ...], precision: str) -> None:
    c, h, width, f, size, stride, padding, dilation, groups = case
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    out = [(n + 2 * padding - dilation * (size - 1) - 1) // stride + 1 for n in (h, width)]
    text = f"""
input x[{c}, {h}, {width}]
weight scale[{c}, {h}, {width}]
let   z[i, j, k] = scale[i, j, k] * x[i, j, k]
layer y[{f}, {out[0]}, {out[1]}] = convolution(z, size = {size}, {", ".join(f"{k} = {v}" for k, v in options.items())})
loss average[batch, ..] tanh(y)
"""

    def peer(w: Any, x: Any) -> Any:
        y = F.conv2d(w["scale"] * x["x"], w["y.w"], w["y.b"], **options)
        return torch.tanh(y).mean(), {"y": y}

    compare(text, peer, precision, samples=3)


@pytest.mark.parametrize(
    "case",
    [(1, 9, 2, 3, 1, 1, 1, 1), (4, 17, 6, 5, 2, 0, 2, 2), (3, 8, 3, 2, 3, 2, 1, 3), (2, 5, 1, 5, 1, 4, 2, 1)],
    ids=str,
)
def test_convolution_1d(case: tuple[int, ...], precision: str) -> None:
    c, length, f, size, stride, padding, dilation, groups = case
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    out = (length + 2 * padding - dilation * (size - 1) - 1) // stride + 1
    text = f"""
input x[{c}, {length}]
weight scale[{c}, {length}]
let   z[i, j] = scale[i, j] * x[i, j]
layer y[{f}, {out}] = convolution_1d(z, size = {size}, {", ".join(f"{k} = {v}" for k, v in options.items())})
loss average[batch, ..] tanh(y)
"""

    def peer(w: Any, x: Any) -> Any:
        y = F.conv1d(w["scale"] * x["x"], w["y.w"], w["y.b"], **options)
        return torch.tanh(y).mean(), {"y": y}

    compare(text, peer, precision)


POOLS = {
    "max_pool": F.max_pool2d,
    "average_pool": F.avg_pool2d,
    "max_pool_1d": F.max_pool1d,
    "average_pool_1d": F.avg_pool1d,
}


@pytest.mark.parametrize("window", [(2, None), (3, None), (3, 2), (2, 1), (1, 2), (2, 3)], ids=str)
@pytest.mark.parametrize("block", POOLS)
def test_pooling(block: str, window: tuple[int, int | None], precision: str) -> None:
    size, stride = window
    shape = (3, 7) if block.endswith("1d") else (2, 6, 7)
    out = [(n - size) // (stride or size) + 1 for n in shape[1:]]
    call = f"{block}(z, size = {size}" + (f", stride = {stride})" if stride else ")")
    axes = ", ".join("ijk"[: len(shape)])
    text = f"""
input x[{", ".join(map(str, shape))}]
weight scale[{", ".join(map(str, shape))}]
let   z[{axes}] = scale[{axes}] * x[{axes}]
layer y[{", ".join(map(str, (shape[0], *out)))}] = {call}
loss average[batch, ..] y^2
"""

    def peer(w: Any, x: Any) -> Any:
        y = POOLS[block](w["scale"] * x["x"], size, stride)
        return (y * y).mean(), {"y": y}

    compare(text, peer, precision)


def test_global_average_pool(precision: str) -> None:
    text = """
input x[3, 4, 5]
layer y[3] = global_average_pool(x)
layer z[2] = dense(y)
loss average[batch, ..] z^2
"""

    def peer(w: Any, x: Any) -> Any:
        y = x["x"].mean((2, 3))
        z = y @ w["z.w"] + w["z.b"]
        return (z * z).mean(), {"y": y, "z": z}

    compare(text, peer, precision)


LOSSES = {
    "squared_error": lambda y, t: 0.5 * ((y - t) ** 2).flatten(1).sum(1).mean(),
    "mean_squared_error": F.mse_loss,
    "mean_absolute_error": F.l1_loss,
    "binary_cross_entropy": F.binary_cross_entropy_with_logits,
    "soft_cross_entropy": lambda y, t: -(t * F.log_softmax(y, -1)).sum(-1).mean(),
}


@pytest.mark.parametrize("shape", [(6,), (3, 4)], ids=str)
@pytest.mark.parametrize("loss", LOSSES)
def test_loss(loss: str, shape: tuple[int, ...], precision: str) -> None:
    size, axes = ", ".join(map(str, shape)), ", ".join("ij"[: len(shape)])
    text = f"""
input x[{size}]
input t[{size}]
weight w[{size}]
layer y[{axes}] = w[{axes}] * x[{axes}]
loss {loss}(y, t)
"""
    generator = np.random.default_rng(1)
    t = generator.random((7, *shape))
    inputs = {"x": generator.standard_normal((7, *shape)), "t": t / t.sum(-1, keepdims=True)}

    def peer(w: Any, x: Any) -> Any:
        y = w["w"] * x["x"]
        return LOSSES[loss](y, x["t"]), {"y": y}

    compare(text, peer, precision, inputs=inputs, spread=2.0)


@pytest.mark.parametrize("leading", [(), (4,)], ids=str)
def test_cross_entropy_and_its_metrics(leading: tuple[int, ...], precision: str) -> None:
    size = ", ".join(map(str, (*leading, 6)))
    classes = f"[{leading[0]}]" if leading else ""
    text = f"""
input x[{size}]
input label{classes}: class[6]
layer score[{size}] = dense(x)
loss cross_entropy(score, label)
metric accuracy(score, label)
metric error_rate(score, label)
"""

    def peer(w: Any, x: Any) -> Any:
        score = x["x"] @ w["score.w"] + w["score.b"]
        return F.cross_entropy(score.reshape(-1, 6), x["label"].reshape(-1)), {"score": score}

    compare(text, peer, precision, samples=11)
    net = dln.compile(text, precision=precision)
    generator = np.random.default_rng(0)
    x, label = generator.standard_normal((11, *leading, 6)), generator.integers(0, 6, (11, *leading))
    figures = net.evaluate({"x": x, "label": label})
    right = np.mean(net(x=x)["score"].argmax(-1) == label)
    assert figures["accuracy"] == pytest.approx(right) and figures["error_rate"] == pytest.approx(1 - right)


def test_binary_accuracy(precision: str) -> None:
    text = """
input x[3]
input t[3]
weight w[3]
layer y[j] = w[j] * x[j]
loss binary_cross_entropy(y, t)
metric binary_accuracy(y, t)
"""
    net = dln.compile(text, precision=precision)
    generator = np.random.default_rng(4)
    x, t = generator.standard_normal((9, 3)), generator.integers(0, 2, (9, 3))
    right = ((net(x=x)["y"] > 0) == (t > 0.5)).mean()
    assert net.evaluate({"x": x, "t": t})["binary_accuracy"] == pytest.approx(right)


def test_every_entry_of_the_prelude_is_compared(precision: str) -> None:
    """A new entry needs its own comparison in one of these files; optimizers and schedules have theirs in tests/runtime."""
    text = "".join(path.read_text() for path in Path(__file__).parent.glob("test_torch_*.py"))
    declared = [
        d.name
        for path in PRELUDE.glob("*.dln")
        if path.stem not in ("optimizers", "outer_optimizers", "penalties", "schedules")
        for d in parse(Source(path.name, path.read_text())).declarations
        if isinstance(d, BlockDeclaration | FunctionDeclaration)
    ]
    declared.remove("beside")  # a part of the bidirectional layers
    missing = [name for name in declared if f"{name}(" not in text and f'"{name}"' not in text]
    assert not missing, f"not compared with PyTorch: {missing}"
