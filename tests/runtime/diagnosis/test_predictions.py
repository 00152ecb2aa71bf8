"""Losses sample by sample, confusions, and the weights that are shown as pictures, against NumPy."""

from __future__ import annotations

import dln
import numpy as np
import pytest
from dln.runtime.diagnosis.first_weights import first_weights
from dln.runtime.diagnosis.predictions import is_one_of_many, predict, target_of


def log_softmax(scores: np.ndarray) -> np.ndarray:
    top = scores - scores.max(-1, keepdims=True)
    return top - np.log(np.exp(top).sum(-1, keepdims=True))


def test_classes_against_numpy():
    text = """network n
input x[4]
input label: class[3]
layer hidden[3] = tanh(dense(x))
layer score[3] = dense(hidden)
loss cross_entropy(score, label)
"""
    net = dln.compile(text, precision="float64", seed=1)
    draws = np.random.default_rng(0)
    arrays = {"x": draws.normal(size=(301, 4)), "label": draws.integers(0, 3, 301).astype(np.int32)}
    found = predict(net.elaborated, net.saved_arrays(), arrays, precision="float64")
    scores = net(x=arrays["x"])["score"]
    losses = -log_softmax(scores)[np.arange(301), arrays["label"]]
    np.testing.assert_allclose(found.losses, losses)
    assert (found.target.layer, found.target.input, found.target.classes) == ("score", "label", 3)
    assert found.worst(5) == np.argsort(-losses)[:5].tolist()
    table = np.zeros((3, 3), int)
    for true, said in zip(arrays["label"], scores.argmax(1), strict=True):
        table[true, said] += 1
    np.testing.assert_array_equal(found.confusion(), table)


def test_places_behind_the_end_do_not_count():
    text = """network n
input token[5]: class[4]
input next[5]: class[4]
input length: class[6]
let   e[t: 5, j: 3] = E[token[t], j]
weight E[4, 3] ~ normal(0, 1)
layer score[5, 4] = dense(e)
let   p[t: 5, k: 4] = log_softmax(score)[t, k]
loss  -average[batch] sum[t] (p[t, next[t]] if t < length else 0)
"""
    net = dln.compile(text, precision="float64", seed=1)
    draws = np.random.default_rng(0)
    arrays = {
        "token": draws.integers(0, 4, (50, 5)).astype(np.int32),
        "next": draws.integers(0, 4, (50, 5)).astype(np.int32),
        "length": draws.integers(0, 6, 50).astype(np.int32),
    }
    found = predict(net.elaborated, net.saved_arrays(), arrays, precision="float64")
    scores = net(token=arrays["token"])["score"]
    used = np.arange(5) < arrays["length"][:, None]
    np.testing.assert_array_equal(found.counted, used)
    own = np.take_along_axis(log_softmax(scores), arrays["next"][..., None], -1)[..., 0]
    np.testing.assert_allclose(found.losses, -(own * used).sum(1))
    confusion = found.confusion()
    assert confusion.sum() == used.sum()
    assert np.trace(confusion) == (used & (scores.argmax(-1) == arrays["next"])).sum()


def test_a_ratio_of_two_sums():
    # The mean over what has a weight: a sample alone has its own mean.
    text = """network n
input x[2]
input t
input weight_of
layer y = sum[i] w[i] * x[i]
weight w[2] = [1, 2]
loss (sum[batch] weight_of * (y - t)^2) / sum[batch] weight_of
"""
    net = dln.compile(text, precision="float64")
    draws = np.random.default_rng(0)
    arrays = {
        "x": draws.normal(size=(20, 2)),
        "t": draws.normal(size=20),
        "weight_of": draws.uniform(1, 2, 20),
    }
    found = predict(net.elaborated, net.saved_arrays(), arrays, precision="float64")
    np.testing.assert_allclose(found.losses, (arrays["x"] @ [1, 2] - arrays["t"]) ** 2)
    assert (
        found.target.classes is None
        and found.confusion() is None
        and found.worst(1) == [np.argmax(found.losses)]
    )


def test_one_of_many():
    assert is_one_of_many(np.array([[1, -1, -1], [-1, -1, 1.0]]))
    assert not is_one_of_many(np.array([[1.0, 1.0], [0.0, 1.0]])) and not is_one_of_many(np.ones((3, 1)))
    assert not is_one_of_many(np.array([[0.3, 1.0], [1.0, 0.0]]))


def test_nothing_to_compare():
    net = dln.compile("network n\ninput x[2]\nlayer y[3] = dense(x)\n")
    assert target_of(net.elaborated.graph) is None
    found = predict(net.elaborated, net.saved_arrays(), {"x": np.ones((2, 2))})
    assert found.losses is None and found.values is None and found.worst(3) == []


@pytest.mark.parametrize(
    "declarations, name, shape, entry",
    [
        # (unit, place in the picture) and the entry of the weight that must stand there
        ("input x[36]\nlayer h[5] = dense(x)", "h.w", (5, 6, 6), ((3, 2, 4), (2 * 6 + 4, 3))),
        ("input x[7]\nlayer h[5] = dense(x)", "h.w", (1, 5, 7), ((0, 3, 6), (6, 3))),
        (
            "input x[1, 8, 8]\nlayer h[4, 8, 8] = convolution(x, size = 3, padding = 1)",
            "h.w",
            (4, 3, 3),
            ((2, 0, 1), (2, 0, 0, 1)),
        ),
        (
            "input x[3, 8, 8]\nlayer h[4, 8, 8] = convolution(x, size = 3, padding = 1)",
            "h.w",
            (4, 3, 3, 3),
            ((2, 0, 1, 1), (2, 1, 0, 1)),
        ),
    ],
)
def test_pictures_of_units(declarations, name, shape, entry):
    net = dln.compile(f"network n\n{declarations}\n")
    (found,) = first_weights(net.elaborated.graph, net.saved_arrays())
    assert found.name == name and found.values.shape == shape
    assert found.values[entry[0]] == net.weights[name][entry[1]]


def test_a_map_that_mixes_units_and_inputs_has_no_pictures():
    text = (
        "network n\ninput x[8]\nweight w[8] ~ normal(0, 1)\nlayer y[j: 8] = sum[i] w[(j - i) mod 8] * x[i]\n"
    )
    net = dln.compile(text)
    assert first_weights(net.elaborated.graph, net.saved_arrays()) == []
