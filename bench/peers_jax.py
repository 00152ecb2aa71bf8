"""The workloads in JAX: one jitted step of forward, backward and update, arrays donated.

In: a workload's name, the weights that dln starts from (by dln's names).  Out: `Model`s, whose `step` trains one minibatch.

Parameters keep dln's names and layouts, but images are channels-last, as JAX prefers on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .tables import lecun_planes, random_table
from .workloads import Workload

Parameters = dict[str, Any]
Forward = Callable[[Parameters, Any], Any]


def dense(p: Parameters, name: str, x: Any) -> Any:
    return x @ p[f"{name}.w"] + p[f"{name}.b"]


def convolution(p: Parameters, name: str, x: Any, padding: str = "VALID") -> Any:
    w = p[f"{name}.w"]  # height, width, in, out
    out = lax.conv_general_dilated(x, w, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return out + p[f"{name}.b"]


def average_pool(x: Any) -> Any:
    return lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID") / 4


def max_pool(x: Any) -> Any:
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def flatten(x: Any) -> Any:
    """Channels first, as dln's dense weights expect it."""
    return x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1)


def perceptron(names: list[str], activation: Callable[[Any], Any], last: bool = False) -> Forward:
    def forward(p: Parameters, x: Any) -> Any:
        for n, name in enumerate(names):
            x = dense(p, name, x)
            if last or n < len(names) - 1:
                x = activation(x)
        return x

    return forward


def lenet5(p: Parameters, x: Any) -> Any:
    x = average_pool(jnp.tanh(convolution(p, "c1", x, "SAME")))
    x = flatten(average_pool(jnp.tanh(convolution(p, "c3", x))))
    return dense(p, "score", jnp.tanh(dense(p, "f6", jnp.tanh(dense(p, "f5", x)))))


def mnist_cnn(p: Parameters, x: Any) -> Any:
    x = jax.nn.relu(convolution(p, "c2", jax.nn.relu(convolution(p, "c1", x))))
    return dense(p, "score", jax.nn.relu(dense(p, "hidden", flatten(max_pool(x)))))


def lecun1989(p: Parameters, x: Any) -> Any:
    def pad(z: Any) -> Any:
        return jnp.pad(z, ((0, 0), (0, 0), (2, 2), (2, 2)), constant_values=-1.0)

    def strided(z: Any, w: Any) -> Any:
        return lax.conv_general_dilated(z, w, (2, 2), "VALID", dimension_numbers=("NCHW", "OIHW", "NCHW"))

    x = pad(jnp.tanh(strided(pad(x[:, None]), p["w1"][:, None]) + p["b1"]))
    planes = lecun_planes()
    parts = [strided(x[:, planes[4 * g]], p["w2"][4 * g : 4 * g + 4]) for g in range(3)]
    x = jnp.tanh(jnp.concatenate(parts, 1) + p["b2"]).reshape(x.shape[0], -1)
    return jnp.tanh(jnp.tanh(x @ p["w3"].reshape(192, 30) + p["b3"]) @ p["w4"] + p["b4"])


def char_lstm(p: Parameters, token: Any) -> Any:
    """The inputs of all steps in one product, the steps in a scan."""
    inputs = jnp.einsum("btd,gdj->tbgj", p["E"][token], p["h.W"]) + p["h.b"]

    def step(carry: Any, a: Any) -> Any:
        h, c = carry
        a = a + jnp.einsum("bk,gkj->bgj", h, p["h.U"])
        c = jax.nn.sigmoid(a[:, 1]) * c + jax.nn.sigmoid(a[:, 0]) * jnp.tanh(a[:, 2])
        h = jax.nn.sigmoid(a[:, 3]) * jnp.tanh(c)
        return (h, c), h

    zero = jnp.zeros((token.shape[0], p["h.U"].shape[1]))
    _, states = lax.scan(step, (zero, zero), inputs)
    return dense(p, "score", states.swapaxes(0, 1))


def circulant(p: Parameters, x: Any) -> Any:
    units = np.arange(512)
    return (x * p["s"]) @ p["w"][(units[:, None] - units[None]) % 512]


def circulant_fourier(p: Parameters, x: Any) -> Any:
    return jnp.fft.irfft(jnp.fft.rfft(x * p["s"]) * jnp.fft.rfft(p["w"]).conj(), 512)


def table_gather(p: Parameters, x: Any) -> Any:
    source, place = random_table()
    return ((x * p["s"])[:, source] * p["w"][place]).sum(-1)


def table_dense(p: Parameters, x: Any) -> Any:
    source, place = random_table()
    unit = np.broadcast_to(np.arange(1024)[:, None], (1024, 16))
    return (x * p["s"]) @ jnp.zeros((1024, 1024)).at[source, unit].add(p["w"][place])


def locally_connected(p: Parameters, x: Any) -> Any:
    z = x * p["s"]
    patches = jnp.stack([z[:, v : v + 14, u : u + 14] for v in range(3) for u in range(3)], -1)
    return jnp.einsum("byxk,yxfk->bfyx", patches, p["w"].reshape(14, 14, 8, 9))


def layer_norm(p: Parameters, name: str, x: Any) -> Any:
    x = x - x.mean(-1, keepdims=True)
    return p[f"{name}.scale"] * x / jnp.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) + p[f"{name}.shift"]


def transformer_layer(p: Parameters, name: str, x: Any) -> Any:
    first, at = layer_norm(p, f"{name}.first", x), f"{name}.attended"
    q, k, v = (
        jnp.einsum("bti,ihd->bhtd", first, p[f"{at}.{n}"]) + p[f"{at}.{n}_bias"][:, None]
        for n in ("query", "key", "value")
    )
    steps = x.shape[1]
    e = jnp.einsum("bhtd,bhsd->bhts", q, k) / np.sqrt(q.shape[-1])
    a = jax.nn.softmax(jnp.where(np.tri(steps, dtype=bool), e, -jnp.inf))
    z = jnp.einsum("bhts,bhsd->bhtd", a, v)
    x = x + jnp.einsum("bhtd,hdj->btj", z, p[f"{at}.output"]) + p[f"{at}.output_bias"]
    second = layer_norm(p, f"{name}.second", x)
    inner = jax.nn.gelu(dense(p, f"{name}.changed.inner", second), approximate=False)
    return x + dense(p, f"{name}.changed.y", inner)


def char_gpt(p: Parameters, token: Any) -> Any:
    x = p["embedded.E"][token] + p["x0.position"]
    for n in range(1, 5):
        x = transformer_layer(p, f"x{n}", x)
    return dense(p, "score", layer_norm(p, "last", x))


FORWARD: dict[str, dict[str, Forward]] = {
    "xor_mlp": {"": perceptron(["hidden", "score"], jax.nn.relu)},
    "digits_mlp": {"": perceptron(["hidden", "score"], jax.nn.relu)},
    "mnist_mlp": {"": perceptron(["h1", "h2", "score"], jax.nn.relu)},
    "lenet5": {"": lenet5},
    "mnist_cnn": {"": mnist_cnn},
    "char_lstm": {"": char_lstm},
    "char_gpt": {"": char_gpt},
    "deep_tanh": {"": perceptron([f"h{n}" for n in range(1, 11)], jnp.tanh, last=True)},
    "lecun1989": {"": lecun1989},
    "circulant": {"gather": circulant, "fourier": circulant_fourier},
    "random_table": {"gather": table_gather, "dense": table_dense},
    "locally_connected": {"": locally_connected},
}


def loss_function(workload: Workload) -> Callable[[Any, Mapping[str, Any]], Any]:
    """loss(output of the network, the minibatch)."""
    match workload.name:
        case "xor_mlp":
            return lambda z, batch: jnp.mean(jax.nn.softplus(z) - batch["target"] * z)
        case "deep_tanh" | "lecun1989":
            return lambda out, batch: jnp.mean((out - batch["target"]) ** 2)
        case "circulant" | "random_table" | "locally_connected":
            return lambda out, batch: jnp.mean(out**2)
    label = "next" if workload.name.startswith("char_") else "label"
    return lambda z, batch: -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(z), batch[label][..., None], -1))


class Model:
    """One way to train a workload. `step(n)` trains minibatch n (counted round and round)."""

    def __init__(self, workload: Workload, forward: Forward, weights: Parameters, arrays: Parameters):
        count, size = len(next(iter(arrays.values()))), workload.batch
        self.minibatches = [
            {name: jnp.asarray(a[start : start + size]) for name, a in arrays.items()}
            for start in range(0, count - size + 1, size)
        ]
        # Copies: a donated buffer is gone after a step.
        self.weights = {name: jnp.array(w) for name, w in weights.items()}
        zeros = jax.tree.map(jnp.zeros_like, self.weights)
        self.moments = (
            (zeros, jax.tree.map(jnp.zeros_like, self.weights)) if workload.optimizer == "adam" else ()
        )
        self.time = jnp.float32(1)
        source = next(n for n in ("image", "x", "token") if n in arrays)
        objective = loss_function(workload)
        rate = workload.rate

        def loss(p: Parameters, batch: Parameters) -> Any:
            return objective(forward(p, batch[source]), batch)

        def step(p: Parameters, moments: Any, t: Any, batch: Parameters) -> Any:
            gradient = jax.grad(loss)(p, batch)
            if not moments:
                return jax.tree.map(lambda w, g: w - rate * g, p, gradient), moments, t + 1
            m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, moments[0], gradient)
            v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, moments[1], gradient)
            p = jax.tree.map(
                lambda w, m, v: w - rate * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8), p, m, v
            )
            return p, (m, v), t + 1

        self._loss, self._step = jax.jit(loss), jax.jit(step, donate_argnums=(0, 1))

    def step(self, number: int) -> None:
        batch = self.minibatches[number % len(self.minibatches)]
        self.weights, self.moments, self.time = self._step(self.weights, self.moments, self.time, batch)
        jax.block_until_ready(self.weights)

    def mean_loss(self, count: int) -> float:
        """The loss over the first `count` minibatches."""
        losses = [float(self._loss(self.weights, b)) for b in self.minibatches[:count]]
        return sum(losses) / len(losses)


def models(
    workload: Workload, weights: Mapping[str, np.ndarray], arrays: Mapping[str, np.ndarray]
) -> dict[str, Model]:
    """Every way to train the workload. Threads are set by the environment before JAX starts."""
    fitting = {
        name: w.transpose(2, 3, 1, 0) if w.ndim == 4 and name != "w2" else w for name, w in weights.items()
    }
    fitting = {name: np.ascontiguousarray(w) for name, w in fitting.items()}
    if workload.name == "lecun1989":
        fitting = dict(weights)
    shown = {
        name: a.transpose(0, 2, 3, 1) if a.ndim == 4 else a for name, a in arrays.items()
    }  # images channels-last
    return {way: Model(workload, f, fitting, shown) for way, f in FORWARD[workload.name].items()}
