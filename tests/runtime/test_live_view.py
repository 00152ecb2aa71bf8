"""The live view: blocks to scale, figures and layers on the screen, plain lines where there is no screen."""

from __future__ import annotations

import io
import math
from pathlib import Path

import dln
import numpy as np
from dln.runtime.command_line import run
from dln.runtime.diagnosis.layer_statistics import LayerLook, Looks
from dln.runtime.live_view import LiveView, sparkline
from dln.runtime.run import Run
from dln.runtime.run_folder import RunFolder
from dln.runtime.training.history import Record
from rich.console import Console

FILE = """network small
input  x[3]
input  t
layer  h[4] = relu(dense(x))
let    y[1] = dense(h)
loss   squared_error(y[0], t)
data {
  from random(samples = 60)
  x = normal()
  t = x[0]
  split 40 train, 20 validation
}
train {
  optimizer adam
  epochs 4
}
"""


def test_blocks_are_to_scale():
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█" and sparkline([8, 0]) == "█▁"
    assert sparkline([3, 3]) == "▁▁" and sparkline([]) == "" and sparkline([math.nan, 1, math.inf, 2]) == "▁█"
    long = sparkline(range(1000), width=8)
    assert long == "▁▂▃▄▅▆▇█"  # means of neighbours
    assert len(sparkline(range(33))) == 32


def shown(view: LiveView) -> str:
    console = Console(file=io.StringIO(), width=120, record=True)
    console.print(view.picture())
    return console.export_text()


def test_the_picture():
    layers = {
        "hidden": {1: LayerLook(0.5, 1.25, -1, 2, 0.25, 0.5, 0.001)},
        "score": {1: LayerLook(2, 3, 1, 4, None, None, None)},
    }
    looks = Looks(10, [1], layers)
    view = LiveView(io.StringIO(), 9, lambda epoch: looks)
    view.on_progress(5, 10, {"loss": 0.75})
    assert "epoch 1/9" in shown(view) and "0.75" in shown(view)
    for k in range(1, 4):
        view.on_epoch(Record(k, k, {"loss": 1 / k, "hits": 0.5}, {"loss": 2 / k}, speed=1234.0))
    text = shown(view)
    for words in (
        "1,234 samples/s",
        "0.3333",
        "0.6667",
        "█▃▁",
        "hidden",
        "25 %",
        "50 %",
        "1.00e-03",
        "score",
    ):
        assert words in text, text

    def broken(epoch: int) -> Looks:
        raise MemoryError

    view = LiveView(io.StringIO(), 9, broken)
    view.on_epoch(Record(1, 1, {"loss": 1.0}))
    assert "loss" in shown(view) and view.observe is None


def test_layers_of_a_running_training(tmp_path: Path, monkeypatch):
    (tmp_path / "small.dln").write_text(FILE)
    net = dln.load(tmp_path / "small.dln")
    data = net.load_data()
    running = Run(net, data, RunFolder.numbered(tmp_path, "small"), str(tmp_path / "small.dln"), {})
    stream = io.StringIO()
    monkeypatch.setattr("dln.runtime.live_view.LOOK_SECONDS", 0.0)
    monkeypatch.setattr("dln.runtime.live_view.LOOK_SHARE", 1e9)
    with LiveView(stream, 4, running.observer()) as view:
        assert running.train(view.on_epoch, view.on_progress)
    assert view.looks.epochs == [1, 2, 3, 4] and set(view.looks.layers) == {"h", "y"}
    # The last look is at the last weights.
    x = data["train"]["x"]
    w = running.state.current
    h = np.maximum(x @ w["h.w"] + w["h.b"], 0)
    assert np.isclose(view.looks.layers["h"][4].mean, h.mean(), rtol=1e-5)
    assert "epoch 4/4" in stream.getvalue()


def test_plain_lines_where_nobody_looks(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.dln").write_text(FILE)
    assert run(["train", "small.dln", "--live", "--out", "out"]) == 0
    text = capsys.readouterr().out
    assert "epoch 4/4  loss" in text and "\x1b" not in text
