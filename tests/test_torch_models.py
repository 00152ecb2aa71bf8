"""Models of models/ written in PyTorch: layers, loss and derivatives agree. (All of them: test_models_interpreted.py.)"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dln.tests.oracle.torch_comparison import compare

torch = pytest.importorskip("torch")
F = torch.nn.functional

MODELS = Path(__file__).resolve().parents[1] / "models"
Layers = dict[str, Any]


def shared_pair(w: Any, x: Any) -> Any:
    windows = x["x"].unfold(1, 2, 1)  # unit j sees inputs j and j + 1
    h = torch.tanh(windows @ w["w"])
    return 0.5 * ((h - x["target"]) ** 2).sum(1).mean(), {"h": h}


def xor(w: Any, x: Any) -> Any:
    hidden = torch.tanh(x["x"] @ w["hidden.w"] + w["hidden.b"])
    score = (hidden @ w["out.w"] + w["out.b"])[:, 0]
    return F.binary_cross_entropy_with_logits(score, x["target"]), {"hidden": hidden, "score": score}


def linear_regression(w: Any, x: Any) -> Any:
    y = x["x"] @ w["w"] + w["b"]
    return F.mse_loss(y, x["target"]), {"y": y}


def digits(w: Any, x: Any) -> Any:
    hidden = torch.relu(x["image"] @ w["hidden.w"] + w["hidden.b"])
    score = hidden @ w["score.w"] + w["score.b"]
    return F.cross_entropy(score, x["label"]), {"hidden": hidden, "score": score}


def digits_cnn(w: Any, x: Any) -> Any:
    c1 = torch.relu(F.conv2d(x["image"], w["c1.w"], w["c1.b"], padding=1))
    c2 = torch.relu(F.conv2d(c1, w["c2.w"], w["c2.b"], padding=1))
    p2 = F.max_pool2d(c2, 2)
    c3 = torch.relu(F.conv2d(p2, w["c3.w"], w["c3.b"]))
    score = c3.flatten(1) @ w["score.w"] + w["score.b"]
    layers = {"c1": c1, "c2": c2, "p2": p2, "c3": c3, "score": score}
    return F.cross_entropy(score, x["label"]), layers


def lecun1989(w: Any, x: Any) -> Any:
    image = F.pad(x["image"][:, None], (2, 2, 2, 2), value=-1.0)
    h1 = torch.tanh(F.conv2d(image, w["w1"][:, None], stride=2) + w["b1"])
    padded = F.pad(h1, (2, 2, 2, 2), value=-1.0)
    planes = [list(range(8)), list(range(4, 12)), [0, 1, 2, 3, 8, 9, 10, 11]]
    parts = [
        F.conv2d(padded[:, planes[g]], w["w2"][4 * g : 4 * g + 4], stride=2) + w["b2"][4 * g : 4 * g + 4]
        for g in range(3)
    ]
    h2 = torch.tanh(torch.cat(parts, 1))
    h3 = torch.tanh(torch.einsum("bfyx,fyxj->bj", h2, w["w3"]) + w["b3"])
    out = torch.tanh(h3 @ w["w4"] + w["b4"])
    return F.mse_loss(out, x["target"]), {"h1": h1, "h2": h2, "h3": h3, "out": out}


def circulant(w: Any, x: Any) -> Any:
    i, j = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
    y = x["x"] @ w["w"][(i - j) % 8]
    return 0.5 * ((y - x["target"]) ** 2).sum(1).mean(), {"y": y}


def banded(w: Any, x: Any) -> Any:
    i, j = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    near = torch.relu(x["image"] @ (w["w"] * (abs(i - j) <= 9)) + w["b"])
    score = near @ w["score.w"] + w["score.b"]
    return F.cross_entropy(score, x["label"]), {"near": near, "score": score}


def hexagonal(w: Any, x: Any) -> Any:
    image = x["image"]
    brick = image.clone()
    shifted = F.pad(image, (0, 1))[:, :, 1:]
    brick = torch.where(torch.arange(8)[:, None] % 2 == 1, (image + shifted) / 2, image)
    windows = F.pad(brick, (1, 1, 1, 1)).unfold(1, 3, 1).unfold(2, 3, 1)  # sample, y, x, v, u
    even = torch.tensor([[0, 1, -1], [2, 3, 4], [5, 6, -1]])
    odd = torch.tensor([[-1, 0, 1], [2, 3, 4], [-1, 5, 6]])
    kernels = [torch.where(k >= 0, w["w"][:, k.clamp(min=0)], 0.0) for k in (even, odd)]
    rows = [torch.einsum("bxvu,fvu->bfx", windows[:, y], kernels[y % 2]) for y in range(8)]
    cell = torch.relu(torch.stack(rows, 2) + w["b"][:, None, None])
    score = cell.flatten(1) @ w["score.w"] + w["score.b"]
    return F.cross_entropy(score, x["label"]), {"cell": cell, "score": score}


def random_table(w: Any, x: Any) -> Any:
    table = torch.tensor(np.loadtxt(MODELS / "random_table.csv", delimiter=",", dtype=np.int64))
    hidden = torch.relu(x["image"] @ w["w"][table] + w["b"])
    score = hidden @ w["score.w"] + w["score.b"]
    return F.cross_entropy(score, x["label"]), {"hidden": hidden, "score": score}


def concrete(w: Any, x: Any) -> Any:
    hidden = torch.relu(x["mixture"] @ w["hidden.w"] + w["hidden.b"])
    y = 36 + 17 * (hidden @ w["out.w"] + w["out.b"])[:, 0]
    return F.mse_loss(y, x["strength"]) / 17**2, {"hidden": hidden, "y": y}


PEERS: dict[str, Callable[[Any, Any], tuple[Any, Layers]]] = {
    f.__name__: f
    for f in (
        shared_pair, xor, linear_regression, digits, digits_cnn, lecun1989, circulant, banded, hexagonal, random_table,
        concrete,
    )
}  # fmt: skip


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("model", PEERS)
def test_model(model: str, precision: str) -> None:
    compare(MODELS / f"{model}.dln", PEERS[model], precision, spread=0.2)
