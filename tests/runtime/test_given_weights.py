"""Weights from one file to another: by name, by another name, a layer at a time; frozen ones stay as they are."""

from __future__ import annotations

from pathlib import Path

import dln
import numpy as np
import pytest
from dln.compiler.source import DiagnosticError

FIRST = """
network first
input x[4]
layer code[3]  = tanh(dense(x))
layer again[4] = batch_norm(dense(code))
loss  mean_squared_error(again, x)
train {
  optimizer sgd(rate = 0.1)
  batch 8
  epochs 4
}
"""

SECOND = """
network second
input x[4]
input label: class[2]
{layers}
layer score[2] = dense(hidden)
loss  cross_entropy(score, label)
train {{
  optimizer adam(rate = 0.1)
  batch 8
  epochs 3
}}
"""


@pytest.fixture
def earlier(tmp_path: Path) -> dln.Network:
    """A trained network, whose weights are in first.safetensors."""
    net = dln.compile(FIRST, seed=1)
    net.train({"x": np.random.default_rng(0).standard_normal((32, 4))})
    net.save(tmp_path / "first.safetensors")
    return net


def second(folder: Path, layers: str) -> dln.Network:
    return dln.compile(SECOND.format(layers=layers), folder=folder, seed=2)


LAYERS = {
    "a weight under another name": 'weight w[4, 3] from "first.safetensors" code.w\n'
    "weight b[3] = 0\nlayer hidden[j: 3] = tanh(b[j] + sum[i] w[i, j] * x[i])",
    "a layer under another name": 'layer hidden[3] = tanh(dense(x)) from "first.safetensors" code',
    "a layer under its own name": 'let code[3] = tanh(dense(x)) from "first.safetensors"\nlet hidden = code',
}


@pytest.mark.parametrize("how", LAYERS)
@pytest.mark.parametrize("frozen", [False, True])
def test_first_values_come_from_the_file(
    how: str, frozen: bool, earlier: dln.Network, tmp_path: Path
) -> None:
    layers = LAYERS[how]
    net = second(tmp_path, f"frozen {layers}" if frozen else layers)
    name = next(n for n in net.weights if n.endswith("w") and net.weights[n].shape == (4, 3))
    before = np.array(earlier.weights["code.w"])
    np.testing.assert_array_equal(net.weights[name], before)
    generator = np.random.default_rng(1)
    data = {"x": generator.standard_normal((32, 4)), "label": generator.integers(0, 2, 32)}
    assert (name in net.loss_and_gradient(**data)[1]) != frozen
    score = np.array(net.weights["score.w"])
    net.train(data)
    assert np.array_equal(net.weights[name], before) == frozen
    assert not np.array_equal(net.weights["score.w"], score)


def test_states_come_with_the_layer(earlier: dln.Network, tmp_path: Path) -> None:
    layers = 'layer code[3] = tanh(dense(x))\nlayer hidden[4] = batch_norm(dense(code)) from "first.safetensors" again'
    net = second(tmp_path, layers)
    saved = earlier.saved_arrays()
    assert np.abs(saved["again.batch_norm.mean"]).max() > 0
    for name, values in net.saved_arrays().items():
        if name.startswith("hidden."):
            np.testing.assert_array_equal(values, saved[name.replace("hidden", "again")])


@pytest.mark.parametrize(
    "layers, message",
    [
        ('layer hidden[3] = tanh(dense(x)) from "first.safetensors"', "holds no weight 'hidden.w'"),
        ('layer hidden[3] = tanh(dense(x)) from "first.safetensors" cod', "did you mean 'code.w'"),
        ('layer hidden[5] = tanh(dense(x)) from "first.safetensors" code', "'code.w' has [4, 3]"),
        (
            'layer hidden[4] = tanh(x) from "first.safetensors" code',
            "no weights that could be read from a file",
        ),
        ("frozen layer hidden[4] = tanh(x)", "no weights that could be frozen"),
        ('layer hidden[3] = tanh(dense(x)) from "none.safetensors"', "cannot find the data file"),
    ],
)
def test_what_does_not_fit(layers: str, message: str, earlier: dln.Network, tmp_path: Path) -> None:
    with pytest.raises(DiagnosticError) as caught:
        second(tmp_path, layers)
    assert message in str(caught.value)


def test_layers_one_after_the_other(tmp_path: Path) -> None:
    """Greedy pre-training: two autoencoders, then a classifier on top of both, whose loss starts below that of a fresh one."""
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((3, 12))
    label = generator.integers(0, 3, 300)
    data = {"x": centres[label] + 0.3 * generator.standard_normal((300, 12)), "label": label}
    stage = """
input x[12]
{below}
layer code[{size}] = tanh(dense({source}))
layer again[{wide}] = dense(code)
loss  mean_squared_error(again, stop_gradient({source}))
train {{
  optimizer adam(rate = 0.01)
  batch 32
  epochs 15
}}
"""
    first = dln.compile(stage.format(below="", size=6, source="x", wide=12), folder=tmp_path)
    first.train({"x": data["x"]})
    first.save(tmp_path / "one.safetensors")
    below = 'frozen layer h1[6] = tanh(dense(x)) from "one.safetensors" code'
    again = dln.compile(stage.format(below=below, size=3, source="h1", wide=6), folder=tmp_path)
    start = again.evaluate({"x": data["x"]})["loss"]
    again.train({"x": data["x"]})
    assert again.evaluate({"x": data["x"]})["loss"] < 0.5 * start
    again.save(tmp_path / "two.safetensors")
    whole = """
input x[12]
input label: class[3]
layer h1[6] = tanh(dense(x)) from "two.safetensors"
layer h2[3] = tanh(dense(h1)) from "two.safetensors" code
layer score[3] = dense(h2)
loss cross_entropy(score, label)
metric accuracy(score, label)
train {
  optimizer adam(rate = 0.01)
  batch 32
  epochs 10
}
"""
    net = dln.compile(whole, folder=tmp_path)
    np.testing.assert_array_equal(net.weights["h1.w"], first.weights["code.w"])
    net.train(data)
    assert net.evaluate(data)["accuracy"] > 0.95
