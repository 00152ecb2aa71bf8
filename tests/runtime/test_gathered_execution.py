"""Minibatches that are computed part by part, against the same in one piece."""

from __future__ import annotations

from pathlib import Path

import dln
import numpy as np
import pytest
from dln.compiler.pipeline import front_text
from dln.runtime import gathered_execution
from dln.runtime.checkpoint import read_weights
from dln.runtime.command_line import run
from dln.runtime.errors import TrainingDiverged
from dln.runtime.gathered_execution import GatheredExecution, can_be_gathered

TEXT = """network n
input x[6]
input t: class[3]
layer h[8] = {hidden}
layer s[3] = dense(h)
loss {loss}
metric accuracy(s, t)
train {{
  {settings}
  batch  all
  epochs 4
}}
"""
SETTINGS = [
    "optimizer adam(rate = 0.05 * 0.9^epoch)\n penalty l2(1e-2) w\n clip norm(0.1)",
    "optimizer adamw\n limit norm(0.5) w\n rates 0.5 h\n average ema(0.9)\n decay decoupled(0.1) w",
    "optimizer lbfgs(iterations = 4)\n penalty l2(1e-2)",
]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathered_execution, "LARGEST", 40)
    monkeypatch.setattr(gathered_execution, "PART", 32)


def text(settings: str, hidden: str = "tanh(dense(x))", loss: str = "cross_entropy(s, t)") -> str:
    return TEXT.format(settings=settings, hidden=hidden, loss=loss)


def data(count: int = 150) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, 6))
    return {"x": x, "t": np.abs(x[:, :3]).argmax(1)}


def parts() -> dict[str, dict[str, np.ndarray]]:
    given = data()
    return {"train": given, "validation": {name: value[:50] for name, value in given.items()}}


def is_gathered(net: dln.Network) -> bool:
    return any(isinstance(e, GatheredExecution) for e in net._executions._gathering.values())


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_whole_and_its_parts_agree(settings: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"precision": "float64", "threads": 1, "seed": 3}
    net = dln.compile(text(settings), **options)
    history = net.train(parts())
    assert is_gathered(net)
    monkeypatch.setattr(gathered_execution, "LARGEST", 1000)
    whole = dln.compile(text(settings), **options)
    expected = whole.train(parts())
    assert not is_gathered(whole)
    for name, value in whole.weights.items():
        np.testing.assert_allclose(net.weights[name], value, rtol=1e-8, atol=1e-11)
    for told, wanted in zip(history, expected, strict=True):
        assert (told.epoch, told.step) == (wanted.epoch, wanted.step)
        assert told.train == pytest.approx(wanted.train, rel=1e-9)
        assert told.validation == pytest.approx(wanted.validation, rel=1e-9)


def test_minibatches_larger_than_a_part_and_the_last_smaller_one(monkeypatch: pytest.MonkeyPatch) -> None:
    source = text("optimizer momentum(rate = 0.1)").replace("batch  all", "batch  70")
    net = dln.compile(source, precision="float64", threads=1)
    history = net.train(data())
    assert is_gathered(net) and [record.step for record in history] == [3, 6, 9, 12]
    monkeypatch.setattr(gathered_execution, "LARGEST", 1000)
    whole = dln.compile(source, precision="float64", threads=1)
    whole.train(data())
    for name, value in whole.weights.items():
        np.testing.assert_allclose(net.weights[name], value, rtol=1e-9)


def test_the_number_of_threads_does_not_matter() -> None:
    nets = [dln.compile(text(SETTINGS[0]), threads=n) for n in (1, 3)]
    for net in nets:
        net.train(data())
    assert all(np.array_equal(nets[0].weights[name], nets[1].weights[name]) for name in nets[0].weights)


def test_every_part_has_draws_of_its_own() -> None:
    source = text(
        "optimizer sgd(rate = 0)",
        loss="average[batch] h[0] * s[t]^0 * bernoulli(0.5)",
        hidden="1 + 0 * x[0] + 0 * w[j]",
    )
    source = source.replace("layer h[8]", "weight w[8] = 1\nlayer h[j: 8]")
    history = dln.compile(source, threads=1).train(data(320), epochs=2)
    means = history.curve("train")
    assert all(0.35 < mean < 0.65 for mean in means) and means[0] != means[1]
    # Were all parts alike, 32 · mean would be whole.
    assert any(abs(mean * 32 - round(mean * 32)) > 1e-3 for mean in means)


@pytest.mark.parametrize(
    ("hidden", "loss", "possible"),
    [
        ("tanh(dense(x))", "cross_entropy(s, t)", True),
        ("dropout(dense(x), keep = 0.5)", "cross_entropy(s, t)", True),
        ("batch_norm(dense(x))", "cross_entropy(s, t)", False),
        ("tanh(dense(x))", "sum[batch] s[t]^2", False),
        ("tanh(dense(x))", "sqrt(average[batch] s[t]^2)", False),
    ],
)
def test_what_can_be_gathered(hidden: str, loss: str, possible: bool) -> None:
    graph = front_text(text("optimizer sgd", hidden, loss)).graph
    assert can_be_gathered(graph) == possible


def test_a_nan_is_found_in_its_part() -> None:
    given = data()
    given["x"][77] = [1e30, 0, 0, 0, 0, 0]
    net = dln.compile(text("optimizer sgd(rate = 0.1)", "exp(dense(x))^2"), threads=1)
    with pytest.raises(TrainingDiverged) as caught:
        net.train(given)
    origin = caught.value.origin
    assert origin is not None and origin.span.line == 4
    assert "in epoch 1, step 1 for row 77 of the training part" in origin.message


def test_a_broken_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    section = "data {\n from random(samples = 150, seed = 1)\n x = normal(0, 1)\n t = 0\n}\n"
    Path("n.dln").write_text(text(SETTINGS[1]) + section)
    assert run(["train", "n.dln", "--out", "whole"]) == 0
    assert run(["train", "n.dln", "--out", "broken", "--epochs", "2"]) == 0
    assert run(["train", "n.dln", "--resume", "broken"]) == 0
    whole, resumed = (read_weights(Path(name, "weights.safetensors")) for name in ("whole", "broken"))
    assert all(np.array_equal(whole[name], resumed[name]) for name in whole)
