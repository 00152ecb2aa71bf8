"""The examples of the language, from text to equations: each is what its comment says."""

from __future__ import annotations

import numpy as np
import pytest
from dln.compiler.mathematics.expression import BATCH, Load
from dln.compiler.mathematics.graph import verify
from dln.tests.compiler.elaborating import codes, network, values

PAIR = """
network shared_pair
input  x[4]
weight w[2] ~ normal(0, 0.1)
map    K(i, j) = i - j
layer  h[j: 3] = tanh(sum[i] w[K(i, j)] * x[i])
"""

DIGITS = """
network digits
param  width = 32
input  image[64]
input  label: class[10]
layer  hidden[width] = relu(dense(image))
layer  score[10]     = dense(hidden)
loss   cross_entropy(score, label)
metric accuracy(score, label)
data {
  from  sklearn.digits
  image = data / 16
  label = target
  split 70% train, 15% validation, 15% test
}
train {
  optimizer adam(rate = 1e-3)
  batch     32
  epochs    60
  stop      early(patience = 8)
}
"""

LSTM = """
block lstm(x[T, D]) -> h[T, H] {
  index  gate = {input, forget, cell, output}
  weight W[gate, D, H] ~ glorot
  weight U[gate, H, H] ~ orthogonal
  weight b[gate, H]    = [0, 1, 0, 0][gate]
  let a[g, t, j] = b[g, j] + sum[i] W[g, i, j] * x[t, i] + sum[k] U[g, k, j] * h[t-1, k else 0]
  let c[t, j]    = sigmoid(a[forget, t, j]) * c[t-1, j else 0]
                 + sigmoid(a[input, t, j]) * tanh(a[cell, t, j])
  let h[t, j]    = sigmoid(a[output, t, j]) * tanh(c[t, j])
}
"""

ATTENTION = """
block attention(q[T, D], k[S, D], v[S, E]) -> y[T, E] {
  let e[t, s] = sum[d] q[t, d] * k[s, d] / sqrt(D)
  let a[t, s] = softmax[s where s <= t](e[t, s])
  let y[t, j] = sum[s] a[t, s] * v[s, j]
}
"""


def test_shared_pair_is_the_sharing_map_of_the_textbook() -> None:
    graph = network(PAIR).graph
    found = values(graph, 5)
    x, w = found["x"], found["w"]
    expected = np.stack([np.tanh(w[0] * x[:, j] + w[1] * x[:, j + 1]) for j in range(3)], axis=1)
    np.testing.assert_allclose(found["h"], expected, rtol=1e-12)
    (term,) = [f for f in graph.families.values() if f.role == "term"]
    assert term.reduction is not None and len(term.reduction.where) == 2
    assert graph.outputs == ("h",)


def test_digits_has_the_families_and_weights_of_two_dense_layers() -> None:
    net = network(DIGITS)
    graph = net.graph
    assert [w.name for w in graph.weights] == ["hidden.w", "hidden.b", "score.w", "score.b"]
    assert graph.arrays["hidden.w"].extents == (64, 32)
    assert graph.outputs == ("hidden", "score")
    assert graph.loss == "loss"
    assert graph.metrics == {"accuracy": "metric.accuracy"}
    assert net.parameters == {"width": 32}
    assert net.data is not None and net.train is not None
    assert set(net.optimizers) >= {"sgd", "momentum", "adam"}


def test_digits_computes_softmax_cross_entropy_and_accuracy() -> None:
    graph = network(DIGITS).graph
    found = values(graph, 7)
    hidden = np.maximum(found["image"] @ found["hidden.w"] + found["hidden.b"], 0)
    score = hidden @ found["score.w"] + found["score.b"]
    np.testing.assert_allclose(found["score"], score, rtol=1e-10)
    shifted = score - score.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    label = found["label"]
    np.testing.assert_allclose(found["loss"], -logs[np.arange(7), label].mean(), rtol=1e-10)
    np.testing.assert_allclose(found["metric.accuracy"], (score.argmax(axis=1) == label).mean())


def test_dense_takes_any_leading_axes() -> None:
    graph = network("input x[5, 6, 4]\nlayer y[5, 6, 3] = dense(x)").graph
    found = values(graph)
    np.testing.assert_allclose(found["y"], found["x"] @ found["y.w"] + found["y.b"], rtol=1e-10)


@pytest.mark.parametrize(
    ("definition", "size", "entry"),
    [
        ("map K(i, j) = (j - i) mod 8", 8, lambda i, j: (j - i) % 8),
        ("map K(i, j) = abs(i - j)", 8, lambda i, j: abs(i - j)),
        ("map K(i, j) = [[0, 1, -1], [-1, 0, 1]][i, j]", 2, lambda i, j: [[0, 1, -1], [-1, 0, 1]][i][j]),
        ("map K(i, j) = i - 2 * j + 1", 3, lambda i, j: i - 2 * j + 1),
    ],
)
def test_other_maps_are_one_line_each(definition: str, size: int, entry) -> None:  # type: ignore[no-untyped-def]
    rows, columns = (2, 3) if "[[" in definition else (8, 8)
    text = (
        f"input x[{rows}]\nweight w[{size}]\n{definition}\nlayer h[j: {columns}] = sum[i] w[K(i, j)] * x[i]"
    )
    found = values(network(text).graph)
    matrix = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            if 0 <= entry(i, j) < size:
                matrix[i, j] = found["w"][entry(i, j)]
    np.testing.assert_allclose(found["h"], found["x"] @ matrix, rtol=1e-10)


def test_a_banded_weight_exists_where_it_is_declared() -> None:
    text = """
param N = 6
param M = 5
input x[N]
weight w[N, M] ~ normal(0, 1) where abs(i - j) <= 2
layer h[j: M] = sum[i] w[i, j] * x[i]
"""
    graph = network(text).graph
    found = values(graph)
    band = np.abs(np.arange(6)[:, None] - np.arange(5)[None, :]) <= 2
    np.testing.assert_allclose(found["h"], found["x"] @ (found["w"] * band), rtol=1e-10)
    assert graph.arrays["w"].where is not None


def test_lstm_elaborates_into_a_recurrence_with_delays_only() -> None:
    graph = network(LSTM + "input x[7, 4]\nlayer h[7, 6] = lstm(x)").graph
    assert [(w.name, w.extents) for w in graph.weights] == [
        ("h.W", (4, 4, 6)),
        ("h.U", (4, 6, 6)),
        ("h.b", (4, 6)),
    ]
    delayed = [load for f in graph.families.values() for load in f.loads if load.array in ("h", "h.c")]
    assert any(load.subscripts[0] == BATCH for load in delayed)
    assert "h" in graph.families["h.a.sum_2"].sources


def test_lstm_gives_the_values_of_its_equations() -> None:
    graph = network(LSTM + "input x[5, 3]\nlayer h[5, 4] = lstm(x)").graph
    rng = np.random.default_rng(1)
    x, w, u = rng.normal(size=(5, 3)), rng.normal(size=(4, 3, 4)), rng.normal(size=(4, 4, 4))
    bias = rng.normal(size=(4, 4))
    sigmoid = lambda z: 1 / (1 + np.exp(-z))  # noqa: E731
    h, c = np.zeros(4), np.zeros(4)
    states = []
    for t in range(5):
        a = [bias[g] + x[t] @ w[g] + h @ u[g] for g in range(4)]
        c = sigmoid(a[1]) * c + sigmoid(a[0]) * np.tanh(a[2])
        h = sigmoid(a[3]) * np.tanh(c)
        states.append(h)
    # Brute force knows no recurrence: unroll by repeating the families from zero until nothing changes.
    from dln.tests.compiler.family_oracle import evaluate_family

    found = {"x": x[None], "h.W": w, "h.U": u, "h.b": bias}
    for family in graph.families.values():
        found[family.name] = np.zeros((1, *family.extents))
    for _ in range(40):
        for family in graph.families.values():
            found[family.name] = np.asarray(evaluate_family(graph, family, found, 1))
    np.testing.assert_allclose(found["h"][0], np.stack(states), rtol=1e-9)


def test_causal_attention_sees_the_past_only() -> None:
    graph = network(ATTENTION + "input x[5, 4]\nlayer y[5, 4] = attention(x, x, x)").graph
    found = values(graph)
    for sample, y in zip(found["x"], found["y"], strict=True):
        scores = sample @ sample.T / np.sqrt(4)
        for t in range(5):
            weights = np.exp(scores[t, : t + 1] - scores[t, : t + 1].max())
            np.testing.assert_allclose(y[t], weights @ sample[: t + 1] / weights.sum(), rtol=1e-9)


def test_batch_normalisation_has_statistics_of_the_batch_and_running_ones() -> None:
    text = """
input x[5, 3]
block batch_norm(x[.., N], momentum = 0.9, epsilon = 1e-5) -> y[.., N] {
  weight scale[N] = 1
  state  mean[N] = 0
  let m[n] = average[batch, ..] x[.., n]
  update mean[n] <- momentum * mean[n] + (1 - momentum) * m[n]
  let y[.., n] = scale[n] * (x[.., n] - (m[n] if training else mean[n]))
}
layer h[5, 3] = batch_norm(x)
"""
    graph = network(text).graph
    assert graph.updates == {"h.mean": "h.mean.next"}
    assert graph.arrays["h.mean"].kind == "state"
    x = np.random.default_rng(0).normal(size=(4, 5, 3))
    mean = x.mean(axis=(0, 1))
    start, scale = np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 2.0])
    training = values(graph, 4, x=x, training=1, h__mean=start, h__scale=scale)
    np.testing.assert_allclose(training["h.mean.next"], 0.9 * start + 0.1 * mean, rtol=1e-10)
    np.testing.assert_allclose(training["h"], scale * (x - mean), rtol=1e-10)
    # Otherwise nothing is updated, and the state is what it is.
    resting = values(graph, 4, x=x, training=0, h__mean=start, h__scale=scale)
    np.testing.assert_allclose(resting["h"], scale * (x - start), rtol=1e-10)


def test_an_embedding_is_a_weight_with_a_class_as_subscript() -> None:
    text = "input token[6]: class[9]\nweight E[9, 4] ~ normal(0, 1)\nlayer h[t, d] = E[token[t], d]"
    graph = network(text).graph
    found = values(graph)
    np.testing.assert_allclose(found["h"], found["E"][found["token"]])
    (load,) = [x for x in graph.families["h"].loads if x.array == "E"]
    assert isinstance(load.subscripts[0], Load)


def test_dilated_causal_convolution() -> None:
    text = """
input x[9, 2]
weight w[3, 2, 5] ~ glorot
layer h[t: 9, d] = sum[k, c] w[k, c, d] * x[t - 4*k, c else 0]
"""
    found = values(network(text).graph)
    x, w = found["x"], found["w"]
    expected = np.zeros((3, 9, 5))
    for t in range(9):
        for k in range(3):
            if t - 4 * k >= 0:
                expected[:, t] += x[:, t - 4 * k] @ w[k]
    np.testing.assert_allclose(found["h"], expected, rtol=1e-10)


def test_several_mistakes_are_reported_in_one_run_and_in_order() -> None:
    text = """
input image[64]
layer hidden[32] = relu(dense(imag))
layer more[16]   = tanh(dense(hidden))
layer score[10]  = dense(more) + image
loss  cross_entropy(scores, image)
"""
    assert codes(text) == ["E201", "E203", "E201"]


def test_every_stage_of_a_long_network_is_linear() -> None:
    layers = ["input x[8]", "layer h0[8] = tanh(dense(x))"]
    layers += [f"layer h{n}[8] = tanh(dense(h{n - 1}))" for n in range(1, 400)]
    graph = network("\n".join(layers)).graph
    assert len(graph.weights) == 800
    verify(graph)


def test_long_sums_need_no_deep_recursion() -> None:
    text = "input x[2]\nlet s = " + " + ".join(f"{n}.5 * x[{n % 2}]" for n in range(150))
    for n in range(60):
        text += f"\nlet s{n} = s + " + " * ".join(["x[0]"] * 120)
    text += "\nlayer y = s0"
    network(text)


def test_layers_may_stand_in_any_order() -> None:
    text = "input x[4]\nlayer b = tanh(a)\nlayer a = 2 * x"
    graph = network(text).graph
    assert graph.outputs == ("b", "a")
    assert list(graph.families) == ["a", "b"]
    assert graph.families["b"].extents == (4,)
