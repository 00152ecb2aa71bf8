"""`dln bench`: what it tells of a step, whatever time that takes."""

import json

import dln
import numpy as np
import pytest
from dln.compiler.kernels.division import calls_of
from dln.runtime.command_line import run
from dln.runtime.commands.bench import minibatches
from dln.runtime.step_timing import profile_steps, time_steps

TEXT = """network small
input  x[40]
input  label: class[5]
layer  hidden[16] = tanh(dense(x))
layer  score[5] = dense(hidden)
loss   cross_entropy(score, label)
train {
  optimizer adam(rate = 1e-3)
  batch 12
}
"""

RECURRENT = """network steps
input  x[7, 3]
weight w[3] = 0.5
layer  h[t: 7] = tanh(sum[j] w[j] * x[t, j] + 0.9 * (h[t - 1 else 0]))
loss   average[batch] sum[t] h[t]^2
train {
  optimizer sgd(rate = 0)
  batch 4
}
"""


@pytest.fixture
def small(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.dln").write_text(TEXT)


def told(capsys, *arguments):
    assert run(["bench", "small.dln", "--seconds", "0.01", "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_the_time_of_a_step(small, capsys):
    found = told(capsys, "--threads", "1")
    assert (found["routine"], found["samples"], found["threads"]) == ("train", 12, 1)
    assert 0 < found["least"] <= found["seconds"] < 1 and found["steps"] >= 1
    assert "calls" not in found


def test_every_call_of_a_step_is_listed_once(small, capsys):
    found = told(capsys, "--profile", "--threads", "2")
    net = dln.load("small.dln")
    calls = list(calls_of(net.execution_for().program.routines["train"]))
    assert sorted(map(tuple, (c["families"] for c in found["calls"]))) == sorted(c.families for c in calls)
    times = [c["seconds"] for c in found["calls"]]
    assert times == sorted(times, reverse=True) and min(times) >= 0 and max(times) > 0
    (first,) = (
        c for c in found["calls"] if any(f.startswith("hidden") for f in c["families"]) and c["multiply_adds"]
    )
    assert first["multiply_adds"] % (40 * 16) == 0  # of a minibatch that is perhaps filled up
    assert 12 <= first["multiply_adds"] // (40 * 16) <= 16
    assert all(c["of_peak"] is None or 0 < c["of_peak"] <= 1 for c in found["calls"])
    assert found["peak_multiply_adds_per_second"] > 1e8


def test_the_table_for_people(small, capsys):
    assert run(["bench", "small.dln", "--seconds", "0.01", "--profile", "--precision", "float64"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("a training step of 12 samples") and "of peak" in out and "hidden" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--seconds", "0"], "--seconds"), (["--data"], "data"), (["--set", "widht=3"], "widht")],
)
def test_what_it_cannot_do(small, capsys, arguments, message):
    assert run(["bench", "small.dln", *arguments]) in (1, 2)
    assert message in capsys.readouterr().err


def test_a_network_without_training_is_run_forward(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.dln").write_text("network f\ninput x[4]\nlayer y[j: 4] = 2 * x[j]\n")
    assert told(capsys, "--profile")["routine"] == "forward"


def test_calls_of_a_loop_over_time_count_every_step():
    net = dln.compile(RECURRENT, threads=1)
    execution = net.execution_for()
    arrays = {"x": np.ones((32, 7, 3), np.float32)}
    before = net.weights["w"].copy()
    calls = profile_steps(execution, "train", arrays, 4, 0.001)
    inside = [c for c in calls if c.families == ("h",)]
    assert inside and all(c.bytes % 7 == 0 for c in inside)
    assert time_steps(execution, "train", arrays, 4, 0.001).steps >= 1
    np.testing.assert_array_equal(net.weights["w"], before)


@pytest.mark.parametrize(("extent", "batch", "count"), [(4, 4, 1000), (399, 100, 100), (3999, 1000, 8)])
def test_many_steps_of_a_small_network_are_one_native_call(extent, batch, count):
    text = f"network f\ninput x[{extent}]\ninput z\nlayer y = z + sum[j] x[j]\n"
    assert minibatches(dln.compile(text), batch) == count
