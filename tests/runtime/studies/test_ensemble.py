"""Ensembles: averages and figures against NumPy's, members by seed, bagging."""

from __future__ import annotations

import json
from pathlib import Path

import dln
import numpy as np
import pytest
from dln.runtime.command_line import run
from dln.runtime.errors import RunError
from dln.runtime.studies.averaging import Averager, averaged

FILE = """network digits
input  image[64]
input  label: class[10]
layer  hidden[8] = relu(dense(image))
layer  score[10] = dense(hidden)
loss   cross_entropy(score, label)
metric accuracy(score, label)
data {
  from  sklearn.digits
  image = standardise(data)
  label = target
  split 500 train, 300 test
}
train { epochs 3 }
"""


def softmax(scores):
    shifted = np.exp(scores - scores.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def test_averages_of_probabilities():
    draws = np.random.default_rng(0)
    scores = [draws.normal(0, 5, (6, 4)) for _ in range(3)]
    expected = np.mean([softmax(s) for s in scores], axis=0)
    np.testing.assert_allclose(softmax(averaged(scores, 3, "softmax")), expected, rtol=1e-12)
    expected = np.mean([1 / (1 + np.exp(-s)) for s in scores], axis=0)
    np.testing.assert_allclose(1 / (1 + np.exp(-averaged(scores, 3, "logistic"))), expected, rtol=1e-12)
    np.testing.assert_allclose(averaged(scores, 3, "values"), np.mean(scores, axis=0))
    for how in ("softmax", "logistic"):
        far = averaged([np.array([[1000.0, -1000.0]])] * 2, 2, how)
        assert np.isfinite(far).all() and far[0, 0] > far[0, 1]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits.dln").write_text(FILE)
    return tmp_path


@pytest.mark.parametrize("options", [["--bagging"], ["--average", "values"]])
def test_the_command_against_numpy(folder, capsys, options):
    assert run(["ensemble", "digits.dln", "--members", "3", "--workers", "1", "--json", *options]) == 0
    content = json.loads(capsys.readouterr().out.splitlines()[-1])
    net = dln.load("digits.dln")
    test = net.load_data()["test"]
    scores = []
    for k in range(3):
        member = folder / "runs/digits-ensemble-1" / f"member-{k}"
        assert ("resample" in (member / "network.dln").read_text()) == ("--bagging" in options)
        net.restore(member / "weights.safetensors")
        np.testing.assert_array_equal(net.load_data()["test"]["image"], test["image"])  # the same statistics
        scores.append(net(image=test["image"])["score"].astype(float))
    of_probabilities, of_scores = np.mean([softmax(s) for s in scores], axis=0), np.mean(scores, axis=0)
    mean = of_probabilities if "--bagging" in options else softmax(of_scores)
    label = test["label"]
    assert content["test"]["loss"] == pytest.approx(-np.log(mean[np.arange(300), label]).mean(), rel=1e-5)
    assert content["test"]["accuracy"] == pytest.approx((mean.argmax(1) == label).mean())
    assert len({member["test"]["loss"] for member in content["members"]}) == 3
    # The folder serves as weights.
    assert run(["eval", "digits.dln", "--weights", content["folder"], "--part", "test", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["test"] == content["test"]
    assert run(["predict", "digits.dln", "--weights", content["folder"], "--out", "p.npz"]) == 0
    with np.load("p.npz") as saved:
        np.testing.assert_allclose(softmax(saved["score"].astype(float)), mean, atol=1e-5)


def test_members_do_not_depend_on_how_many_are_trained_at_once(folder, capsys):
    found = []
    for workers in ("1", "2"):
        assert (
            run(["ensemble", "digits.dln", "--members", "2", "--workers", workers, "--seed", "5", "--json"])
            == 0
        )
        content = json.loads(capsys.readouterr().out.splitlines()[-1])
        found.append([Path(m["folder"], "weights.safetensors").read_bytes() for m in content["members"]])
    assert found[0] == found[1]


def test_an_ensemble_that_is_no_such_thing(folder, capsys):
    (folder / "e").mkdir()
    (folder / "e" / "ensemble.json").write_text('{"members": 3}')
    assert run(["eval", "digits.dln", "--weights", "e"]) == 1
    assert "does not describe an ensemble" in capsys.readouterr().err


def test_figures_that_depend_on_weights_are_left_out():
    text = """network n
    input x[2]
    input t
    weight w[2] = 1
    layer y = sum[i] w[i] * x[i]
    loss mean_squared_error(y, t) + sum[i] w[i]^2
    metric off = average[batch] abs(y - t)
    """
    averager = Averager(dln.compile(text).elaborated)
    assert averager.measured == ["off"] and averager.layers == {"y": "values"}
    draws = np.random.default_rng(0)
    y, t = draws.normal(size=(9,)).astype("f"), draws.normal(size=(9,)).astype("f")
    figures = averager.figures({"y": y}, {"x": np.zeros((9, 2), "f"), "t": t})
    assert figures == {"off": pytest.approx(np.abs(y - t).mean(), rel=1e-6)}
    with pytest.raises(RunError, match="nothing can be averaged"):
        Averager(dln.compile(text.replace("metric", "#")).elaborated)
