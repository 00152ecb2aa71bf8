"""The workloads in PyTorch, written as a user would write them.

In: a workload's name, the weights that dln starts from (by dln's names).  Out: `Model`s, whose `step` trains one minibatch.

The optimizers are the fused ones; nothing is copied or checked in a step that a user's loop would not do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .tables import random_table
from .workloads import Workload

Weights = Mapping[str, np.ndarray]


def dense(weights: Weights, name: str) -> nn.Linear:
    """A linear layer that starts from dln's w[in, out] and b[out]."""
    w, b = weights[f"{name}.w"], weights[f"{name}.b"]
    layer = nn.Linear(*w.shape)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(w.T.copy()))
        layer.bias.copy_(torch.from_numpy(b))
    return layer


def convolution(weights: Weights, name: str, padding: int = 0) -> nn.Conv2d:
    """A convolution that starts from dln's w[out, in, y, x] and b[out]."""
    w, b = weights[f"{name}.w"], weights[f"{name}.b"]
    layer = nn.Conv2d(w.shape[1], w.shape[0], w.shape[2], padding=padding)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(w))
        layer.bias.copy_(torch.from_numpy(b))
    return layer


def parameter(weights: Weights, name: str) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(weights[name].copy()))


class Perceptron(nn.Sequential):
    """Dense layers with an activation between them (and after the last, if asked)."""

    def __init__(self, weights: Weights, names: list[str], activation: type[nn.Module], last: bool = False):
        layers: list[nn.Module] = []
        for n, name in enumerate(names):
            layers.append(dense(weights, name))
            if last or n < len(names) - 1:
                layers.append(activation())
        super().__init__(*layers)


class LeNet5(nn.Module):
    def __init__(self, weights: Weights):
        super().__init__()
        self.c1, self.c3 = convolution(weights, "c1", padding=2), convolution(weights, "c3")
        self.f5, self.f6, self.score = (dense(weights, n) for n in ("f5", "f6", "score"))

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(torch.tanh(self.c1(x)), 2)
        x = F.avg_pool2d(torch.tanh(self.c3(x)), 2).flatten(1)
        return self.score(torch.tanh(self.f6(torch.tanh(self.f5(x)))))


class SmallCNN(nn.Module):
    def __init__(self, weights: Weights):
        super().__init__()
        self.c1, self.c2 = convolution(weights, "c1"), convolution(weights, "c2")
        self.hidden, self.score = dense(weights, "hidden"), dense(weights, "score")

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.c2(F.relu(self.c1(x)))), 2).flatten(1)
        return self.score(F.relu(self.hidden(x)))


def normalisation(weights: Weights, name: str) -> nn.LayerNorm:
    layer = nn.LayerNorm(len(weights[f"{name}.scale"]))
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weights[f"{name}.scale"]))
        layer.bias.copy_(torch.from_numpy(weights[f"{name}.shift"]))
    return layer


class TransformerLayer(nn.Module):
    def __init__(self, weights: Weights, name: str):
        super().__init__()
        self.first, self.second = (normalisation(weights, f"{name}.{n}") for n in ("first", "second"))
        self.inner, self.outer = (dense(weights, f"{name}.changed.{n}") for n in ("inner", "y"))
        of = {n: weights[f"{name}.attended.{n}"] for n in ("query", "key", "value", "output")}
        units, self.heads, _ = of["query"].shape
        rows = [of[n].reshape(units, units) for n in ("query", "key", "value")]
        biases = [weights[f"{name}.attended.{n}_bias"].reshape(-1) for n in ("query", "key", "value")]
        heads = {"in.w": np.concatenate(rows, 1), "in.b": np.concatenate(biases)}
        heads |= {
            "out.w": of["output"].reshape(units, units),
            "out.b": weights[f"{name}.attended.output_bias"],
        }
        self.into, self.out = dense(heads, "in"), dense(heads, "out")

    def forward(self, x: Tensor) -> Tensor:
        batch, steps, units = x.shape
        parts = self.into(self.first(x)).split(units, 2)
        q, k, v = (p.view(batch, steps, self.heads, -1).transpose(1, 2) for p in parts)
        z = (
            F.scaled_dot_product_attention(q, k, v, is_causal=True)
            .transpose(1, 2)
            .reshape(batch, steps, units)
        )
        x = x + self.out(z)
        return x + self.outer(F.gelu(self.inner(self.second(x))))


class CharGPT(nn.Module):
    def __init__(self, weights: Weights):
        super().__init__()
        self.table = parameter(weights, "embedded.E")
        self.position = parameter(weights, "x0.position")
        self.layers = nn.Sequential(*(TransformerLayer(weights, f"x{n}") for n in range(1, 5)))
        self.last, self.score = normalisation(weights, "last"), dense(weights, "score")

    def forward(self, token: Tensor) -> Tensor:
        return self.score(self.last(self.layers(F.embedding(token, self.table) + self.position)))


class LeCun1989(nn.Module):
    def __init__(self, weights: Weights):
        super().__init__()
        self.w1 = nn.Parameter(torch.from_numpy(weights["w1"].copy()).unsqueeze(1))
        self.w3 = nn.Parameter(torch.from_numpy(weights["w3"].copy()).reshape(192, 30))
        self.b1, self.w2, self.b2 = (parameter(weights, n) for n in ("b1", "w2", "b2"))
        self.b3, self.w4, self.b4 = (parameter(weights, n) for n in ("b3", "w4", "b4"))

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x.unsqueeze(1), (2, 2, 2, 2), "constant", -1.0)
        x = torch.tanh(F.conv2d(x, self.w1, stride=2) + self.b1)
        x = F.pad(x, (2, 2, 2, 2), "constant", -1.0)
        first = F.conv2d(x[:, 0:8], self.w2[0:4], stride=2)
        second = F.conv2d(x[:, 4:12], self.w2[4:8], stride=2)
        third = F.conv2d(torch.cat((x[:, 0:4], x[:, 8:12]), 1), self.w2[8:12], stride=2)
        x = torch.tanh(torch.cat((first, second, third), 1) + self.b2).flatten(1)
        return torch.tanh(torch.tanh(x @ self.w3 + self.b3) @ self.w4 + self.b4)


class CharLSTM(nn.Module):
    """Embedding, nn.LSTM and a linear layer; the gates stand in the same order as dln's."""

    def __init__(self, weights: Weights):
        super().__init__()
        w, u, b = (torch.from_numpy(weights[f"h.{n}"].copy()) for n in "WUb")
        self.embedding = nn.Embedding(*weights["E"].shape)
        self.lstm, self.score = nn.LSTM(w.shape[1], w.shape[2], batch_first=True), dense(weights, "score")
        with torch.no_grad():
            self.embedding.weight.copy_(torch.from_numpy(weights["E"]))
            self.lstm.weight_ih_l0.copy_(w.permute(0, 2, 1).flatten(0, 1))
            self.lstm.weight_hh_l0.copy_(u.permute(0, 2, 1).flatten(0, 1))
            self.lstm.bias_ih_l0.copy_(b.flatten())
            self.lstm.bias_hh_l0.zero_()
        # One threshold is enough, and dln has one: the other is not trained.
        self.lstm.bias_hh_l0.requires_grad_(False)

    def forward(self, token: Tensor) -> Tensor:
        return self.score(self.lstm(self.embedding(token))[0])


class Circulant(nn.Module):
    """The layer as an index into w; `fourier` computes it by the fast Fourier transform instead, as an expert would."""

    def __init__(self, weights: Weights, fourier: bool):
        super().__init__()
        self.s, self.w = parameter(weights, "s"), parameter(weights, "w")
        units = torch.arange(512)
        self.place, self.fourier = (units[:, None] - units[None]) % 512, fourier

    def forward(self, x: Tensor) -> Tensor:
        z = x * self.s
        if self.fourier:  # y[j] = Σ_i w[i − j] z[i] is a correlation
            return torch.fft.irfft(torch.fft.rfft(z) * torch.fft.rfft(self.w).conj(), 512)
        return z @ self.w[self.place]


class RandomTable(nn.Module):
    """Gather and multiply; `scattered` builds the sparse matrix densely instead."""

    def __init__(self, weights: Weights, scattered: bool):
        super().__init__()
        self.s, self.w = parameter(weights, "s"), parameter(weights, "w")
        self.source, self.place = (torch.from_numpy(t) for t in random_table())
        self.unit = torch.arange(1024)[:, None].expand(1024, 16)
        self.scattered = scattered

    def forward(self, x: Tensor) -> Tensor:
        z = x * self.s
        if self.scattered:
            matrix = torch.zeros(1024, 1024).index_put(
                (self.source, self.unit), self.w[self.place], accumulate=True
            )
            return z @ matrix
        return (z[:, self.source] * self.w[self.place]).sum(-1)


class LocallyConnected(nn.Module):
    def __init__(self, weights: Weights):
        super().__init__()
        self.s = parameter(weights, "s")
        self.w = nn.Parameter(torch.from_numpy(weights["w"].copy()).reshape(196, 8, 9))

    def forward(self, x: Tensor) -> Tensor:
        z = (x * self.s).unsqueeze(1)
        return torch.einsum("bkp,pfk->bfp", F.unfold(z, 3), self.w)


def build(workload: Workload, weights: Weights) -> dict[str, nn.Module]:
    """The network in the ways that a user might write it: way → module."""
    deep = [f"h{n}" for n in range(1, 11)]
    ways: dict[str, Callable[[], dict[str, nn.Module]]] = {
        "xor_mlp": lambda: {"": Perceptron(weights, ["hidden", "score"], nn.ReLU)},
        "digits_mlp": lambda: {"": Perceptron(weights, ["hidden", "score"], nn.ReLU)},
        "mnist_mlp": lambda: {"": Perceptron(weights, ["h1", "h2", "score"], nn.ReLU)},
        "lenet5": lambda: {"": LeNet5(weights)},
        "mnist_cnn": lambda: {"": SmallCNN(weights)},
        "char_lstm": lambda: {"": CharLSTM(weights)},
        "char_gpt": lambda: {"": CharGPT(weights)},
        "deep_tanh": lambda: {"": Perceptron(weights, deep, nn.Tanh, last=True)},
        "lecun1989": lambda: {"": LeCun1989(weights)},
        "circulant": lambda: {"gather": Circulant(weights, False), "fourier": Circulant(weights, True)},
        "random_table": lambda: {"gather": RandomTable(weights, False), "dense": RandomTable(weights, True)},
        "locally_connected": lambda: {"": LocallyConnected(weights)},
    }
    return ways[workload.name]()


def loss_function(workload: Workload) -> Callable[[Tensor, Mapping[str, Tensor]], Tensor]:
    """loss(output of the network, the minibatch)."""
    match workload.name:
        case "xor_mlp":
            return lambda out, batch: F.binary_cross_entropy_with_logits(out, batch["target"])
        case "deep_tanh" | "lecun1989":
            return lambda out, batch: F.mse_loss(out, batch["target"])
        case "circulant" | "random_table" | "locally_connected":
            return lambda out, batch: (out**2).mean()
        case "char_gpt" | "char_lstm":
            return lambda out, batch: F.cross_entropy(out.flatten(0, 1), batch["next"].flatten())
    return lambda out, batch: F.cross_entropy(out, batch["label"])


def read_minibatches(arrays: Mapping[str, np.ndarray], size: int) -> list[dict[str, Tensor]]:
    """Minibatches in order, as tensors; labels as int64."""
    tensors = {
        name: torch.from_numpy(array.astype(np.int64) if array.dtype.kind == "i" else array)
        for name, array in arrays.items()
    }
    count = len(next(iter(tensors.values())))
    return [
        {name: t[start : start + size].contiguous() for name, t in tensors.items()}
        for start in range(0, count - size + 1, size)
    ]


class Model:
    """One way to train a workload. `step(n)` trains minibatch n (counted round and round)."""

    def __init__(
        self, workload: Workload, module: nn.Module, arrays: Mapping[str, np.ndarray], compiled: bool
    ):
        self.minibatches = read_minibatches(arrays, workload.batch)
        self.module, self.loss = module, loss_function(workload)
        if workload.optimizer == "adam":
            self.optimizer: torch.optim.Optimizer = torch.optim.Adam(
                [p for p in module.parameters() if p.requires_grad], lr=workload.rate, fused=True
            )
        else:
            self.optimizer = torch.optim.SGD(module.parameters(), lr=workload.rate, fused=True)
        self.forward = torch.compile(module) if compiled else module
        self.input = next(n for n in ("image", "x", "token") if n in arrays)

    def step(self, number: int) -> None:
        batch = self.minibatches[number % len(self.minibatches)]
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.forward(batch[self.input]), batch)
        loss.backward()
        self.optimizer.step()

    def mean_loss(self, count: int) -> float:
        """The loss over the first `count` minibatches."""
        with torch.no_grad():
            losses = [float(self.loss(self.module(b[self.input]), b)) for b in self.minibatches[:count]]
        return sum(losses) / len(losses)


def models(
    workload: Workload, weights: Weights, arrays: Mapping[str, np.ndarray], compiled: bool, threads: int
) -> dict[str, Model]:
    """Every way to train the workload, ready to step."""
    torch.set_num_threads(threads)
    return {
        way: Model(workload, module, arrays, compiled) for way, module in build(workload, weights).items()
    }
