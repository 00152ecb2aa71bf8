"""Every entry of the prelude by its formula, in NumPy; large numbers where stability is claimed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from dln.compiler.elaborate.modules import prelude
from dln.tests.compiler.elaborating import network, values

Z = np.linspace(-6, 6, 25).reshape(1, -1)

ACTIVATIONS = {
    "identity": lambda z: z,
    "logistic": lambda z: 1 / (1 + np.exp(-z)),
    "relu": lambda z: np.where(z > 0, z, 0),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.1 * z),
    "elu": lambda z: np.where(z > 0, z, np.exp(z) - 1),
    "softplus": lambda z: np.log(1 + np.exp(z)),
    "gelu": lambda z: z * (1 + np.vectorize(math.erf)(z / math.sqrt(2))) / 2,
    "silu": lambda z: z / (1 + np.exp(-z)),
    "scaled_tanh": lambda z: 1.7159 * np.tanh(2 * z / 3),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name: str) -> None:
    found = values(network(f"input z[25]\nlayer y = {name}(z)").graph, 1, z=Z)
    np.testing.assert_allclose(found["y"], ACTIVATIONS[name](Z), rtol=1e-9, atol=1e-12)


def test_every_entry_of_the_prelude_parses_and_has_a_comment_with_its_equation() -> None:
    scope = prelude()
    for name in scope.supplied():
        assert scope.find(name) is not None


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def test_softmax_and_its_logarithm_over_the_last_axis() -> None:
    graph = network("input x[4, 5]\nlayer a = softmax(x)\nlayer b = log_softmax(x)").graph
    found = values(graph)
    np.testing.assert_allclose(found["a"], softmax(found["x"]), rtol=1e-10)
    np.testing.assert_allclose(found["b"], np.log(softmax(found["x"])), rtol=1e-10)


def test_cross_entropy_is_stable_for_large_scores() -> None:
    graph = network("input s[3]\ninput label: class[3]\nlayer y = s\nloss cross_entropy(s, label)").graph
    found = values(graph, 2, s=[[1000.0, -1000.0, 0.0], [0.0, 1000.0, 1000.0]], label=[1, 2])
    np.testing.assert_allclose(found["loss"], (2000 + np.log(2)) / 2, rtol=1e-12)


def test_binary_cross_entropy_is_stable_for_large_scores() -> None:
    graph = network(
        "input s\ninput t\nlayer y = s\nloss binary_cross_entropy(s, t)\nmetric binary_accuracy(s, t)"
    ).graph
    found = values(graph, 4, s=[1000.0, -1000.0, 1000.0, 0.5], t=[1.0, 0.0, 0.0, 1.0])
    np.testing.assert_allclose(found["loss"], (0 + 0 + 1000 + np.log1p(np.exp(-0.5))) / 4, rtol=1e-12)
    assert found["metric.binary_accuracy"] == 0.75


def test_losses_over_sequences_average_over_time_too() -> None:
    text = "input s[6, 3]\ninput label[6]: class[3]\nlayer y = s\nloss cross_entropy(s, label)\nmetric accuracy(s, label)"
    found = values(network(text).graph, 4)
    logs = np.log(softmax(found["s"]))
    picked = np.take_along_axis(logs, found["label"][..., None], axis=-1)
    np.testing.assert_allclose(found["loss"], -picked.mean(), rtol=1e-10)
    np.testing.assert_allclose(found["metric.accuracy"], (found["s"].argmax(-1) == found["label"]).mean())


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("squared_error", lambda y, t: 0.5 * ((y - t) ** 2).sum(axis=(1, 2)).mean()),
        ("mean_squared_error", lambda y, t: ((y - t) ** 2).mean()),
        ("mean_absolute_error", lambda y, t: np.abs(y - t).mean()),
        ("soft_cross_entropy", lambda y, t: -(t * np.log(softmax(y))).sum(axis=-1).mean()),
    ],
)
def test_losses_between_arrays(name: str, formula) -> None:  # type: ignore[no-untyped-def]
    found = values(network(f"input y[4, 3]\ninput t[4, 3]\nlayer z = y\nloss {name}(y, t)").graph, 5)
    np.testing.assert_allclose(found["loss"], formula(found["y"], found["t"]), rtol=1e-10)


def test_error_rate_is_what_accuracy_leaves() -> None:
    text = "input s[3]\ninput label: class[3]\nlayer y = s\nmetric accuracy(s, label)\nmetric error_rate(s, label)"
    found = values(network(text).graph, 9)
    assert found["metric.accuracy"] + found["metric.error_rate"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("size", "stride", "padding", "dilation", "groups"),
    [(3, 1, 0, 1, 1), (3, 1, 1, 1, 1), (3, 2, 1, 1, 2), (2, 3, 2, 2, 1), (1, 1, 0, 1, 4), (5, 1, 2, 1, 2)],
)
def test_convolution(size: int, stride: int, padding: int, dilation: int, groups: int) -> None:
    arguments = (
        f"size = {size}, stride = {stride}, padding = {padding}, dilation = {dilation}, groups = {groups}"
    )
    graph = network(f"input x[4, 9, 8]\nlayer y = convolution(x, F = 8, {arguments})").graph
    assert graph.arrays["y.w"].extents == (8, 4 // groups, size, size)
    found = values(graph, 2)
    x = np.pad(found["x"], ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    reach = dilation * (size - 1) + 1
    rows, columns = (x.shape[2] - reach) // stride + 1, (x.shape[3] - reach) // stride + 1
    expected = np.zeros((2, 8, rows, columns)) + found["y.b"][None, :, None, None]
    for f in range(8):
        first = f // (8 // groups) * (4 // groups)
        for p in range(rows):
            for q in range(columns):
                window = x[
                    :,
                    first : first + 4 // groups,
                    stride * p : stride * p + reach : dilation,
                    stride * q : stride * q + reach : dilation,
                ]
                expected[:, f, p, q] += (window * found["y.w"][f]).sum(axis=(1, 2, 3))
    assert graph.families["y"].extents == (8, rows, columns)
    np.testing.assert_allclose(found["y"], expected, rtol=1e-9)


def test_convolution_along_one_axis() -> None:
    graph = network(
        "input x[4, 9]\nlayer y = convolution_1d(x, F = 6, size = 3, stride = 2, padding = 1, groups = 2)"
    ).graph
    found = values(graph, 2)
    x = np.pad(found["x"], ((0, 0), (0, 0), (1, 1)))
    expected = np.zeros((2, 6, 5)) + found["y.b"][None, :, None]
    for f in range(6):
        for t in range(5):
            window = x[:, f // 3 * 2 : f // 3 * 2 + 2, 2 * t : 2 * t + 3]
            expected[:, f, t] += (window * found["y.w"][f]).sum(axis=(1, 2))
    np.testing.assert_allclose(found["y"], expected, rtol=1e-9)


def test_pooling() -> None:
    text = """
input x[3, 6, 8]
layer a = max_pool(x)
layer b = average_pool(x, size = 2, stride = 1)
layer c = global_average_pool(x)
layer d = max_pool_1d(x, size = 3)
layer e = average_pool_1d(x, size = 4, stride = 2)
"""
    found = values(network(text).graph)
    x = found["x"]
    blocks = x.reshape(3, 3, 3, 2, 4, 2)
    np.testing.assert_allclose(found["a"], blocks.max(axis=(3, 5)))
    average = (x[:, :, :-1, :-1] + x[:, :, 1:, :-1] + x[:, :, :-1, 1:] + x[:, :, 1:, 1:]) / 4
    np.testing.assert_allclose(found["b"], average, rtol=1e-10)
    np.testing.assert_allclose(found["c"], x.mean(axis=(2, 3)), rtol=1e-10)
    np.testing.assert_allclose(found["d"], np.stack([x[..., 0:3].max(-1), x[..., 3:6].max(-1)], axis=-1))
    windows = np.stack([x[..., k : k + 4].mean(-1) for k in (0, 2, 4)], axis=-1)
    np.testing.assert_allclose(found["e"], windows, rtol=1e-10)


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), (2, 3, 4, 5)])
def test_flatten_is_row_major(shape: tuple[int, ...]) -> None:
    found = values(network(f"input x[{', '.join(map(str, shape))}]\nlayer y = flatten(x)").graph)
    np.testing.assert_array_equal(found["y"], found["x"].reshape(3, -1))


def test_linear_is_dense_without_a_threshold() -> None:
    found = values(network("input x[5]\nlayer y[3] = linear(x)").graph)
    np.testing.assert_allclose(found["y"], found["x"] @ found["y.w"], rtol=1e-10)
