"""The tangent kernel against finite differences of the outputs, and against the training that it foretells."""

from __future__ import annotations

import json
from pathlib import Path

import dln
import numpy as np
import pytest
from dln.runtime.command_line import run
from dln.runtime.diagnosis.tangent_kernel import Spectrum, TangentKernel
from dln.runtime.errors import InputError

MODEL = Path(__file__).parents[3] / "models" / "tangent_kernel.dln"

#: A recurrence, a class input, a weight that does not learn, a layer with two axes, dropout.
NETWORK = """
network small
input x[3, 2]
input label: class[4]
frozen weight fixed[2] ~ normal(0, 1)
layer h[3, 4] = rnn(x)
let kept[3, 4] = dropout(h, keep = 0.5)
layer y[t, j: 2] = sum[i] fixed[j] * kept[t, i]^2
layer score[4] = dense(flatten(y))
loss cross_entropy(score, label)
train {
  epochs 1
}
"""


def differences(net: dln.Network, layer: str, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """∂f/∂w of all weights that learn, by central differences of what the network returns: [n·k, weights]."""
    columns = []
    for name in net.loss_and_gradient(**inputs, label=np.zeros(len(inputs["x"]), int))[1]:
        start = np.array(net.weights[name])
        for place in np.ndindex(start.shape):
            values = []
            for step in (1e-5, -1e-5):
                net.weights[name][place] = start[place] + step
                values.append(net(**inputs)[layer].ravel())
            net.weights[name][...] = start
            columns.append((values[0] - values[1]) / 2e-5)
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("layer", ["y", "score"])
def test_the_kernel_is_the_product_of_the_derivatives(layer: str) -> None:
    net = dln.compile(NETWORK, precision="float64", threads=1)
    x = np.random.default_rng(0).normal(size=(5, 3, 2))
    kernel = TangentKernel(net.elaborated, layer)
    derivatives = differences(net, layer, {"x": x})
    theta = kernel(net.saved_arrays(), {"x": x})
    assert theta.shape == (len(derivatives), len(derivatives)) == {"y": (30, 30), "score": (20, 20)}[layer]
    np.testing.assert_allclose(theta, derivatives @ derivatives.T, rtol=1e-7, atol=1e-7)


def test_the_default_is_the_last_layer_of_the_loss() -> None:
    net = dln.compile(NETWORK, threads=1)
    assert TangentKernel(net.elaborated).layer == "score"


def test_a_wide_network_learns_as_its_kernel_foretells() -> None:
    """r ← (1 − η Θ / n) r at every step of descent on the average of ½ r², with Θ as it was at first."""
    net = dln.load(MODEL, precision="float64", threads=1, width=2000)
    train = net.load_data()["train"]
    theta = TangentKernel(net.elaborated)(net.saved_arrays(), {"x": train["x"]})
    error = net(x=train["x"])["y"] - train["target"]
    first = np.linalg.norm(error)
    for _ in range(100):
        error = error - 0.5 / len(error) * theta @ error
    net.train(epochs=100)
    found = net(x=train["x"])["y"] - train["target"]
    assert np.linalg.norm(found) < 0.4 * first
    assert np.linalg.norm(found - error) < 0.01 * first


def test_the_spectrum() -> None:
    theta = np.diag([1.0, 4.0, 2.0])
    spectrum = Spectrum.of(theta, np.eye(3))
    assert spectrum.eigenvalues == pytest.approx([4, 2, 1])
    assert spectrum.condition == pytest.approx(4)
    assert spectrum.moved == pytest.approx(np.sqrt((9 + 1) / 3))


def test_what_has_no_kernel() -> None:
    net = dln.compile(NETWORK, threads=1)
    with pytest.raises(InputError, match="no layer 'scores'; did you mean 'score'"):
        TangentKernel(net.elaborated, "scores")
    constant = dln.compile("input x[2]\nlayer y[j] = 2 * x[j]\nloss average[batch] sum[j] y[j]", threads=1)
    with pytest.raises(InputError, match="no weight that learns"):
        TangentKernel(constant.elaborated)


def test_too_many_derivatives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dln.runtime.diagnosis.tangent_kernel.LARGEST", 3 * 4 * 80)
    net = dln.compile(NETWORK, threads=1)  # 24 + 4 weights of h, 28 of score
    x = np.zeros((20, 3, 2))
    with pytest.raises(InputError, match=r"20 samples × 4 units × 56 weights are too many .* 4 samples are"):
        TangentKernel(net.elaborated)(net.saved_arrays(), {"x": x})


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    saved = tmp_path / "kernels.npz"
    arguments = ["ntk", str(MODEL), "--samples", "6", "--epochs", "3", "--save", str(saved), "--json"]
    assert run([*arguments, "--set", "width=64"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["layer"], result["samples"], result["units"], result["weights"]) == ("y", 6, 1, 192)
    assert [row["epoch"] for row in result["epochs"]] == [0, 1, 2, 3]
    moved = [row["moved"] for row in result["epochs"]]
    assert moved[0] == 0 < moved[1] < moved[3]
    kernels = np.load(saved)["kernels"]
    assert kernels.shape == (4, 6, 6)
    assert result["epochs"][3]["eigenvalues"] == pytest.approx(np.linalg.eigvalsh(kernels[3])[::-1], abs=1e-9)


def test_a_part_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ntk", str(MODEL), "--part", "test"]) == 2
    assert "has no test part, only train" in capsys.readouterr().err
