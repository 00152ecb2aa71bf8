"""SIGKILL at random instants, `--resume` after each: no torn file in between, and in the end the bits of an unbroken run.

DLN_KILLS=200 kills two hundred times instead of a few.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from dln.runtime.checkpoint import read_checkpoint, read_weights
from dln.runtime.command_line import run

#: Epochs long enough to be broken in the middle; random draws, a schedule by steps, a state, early stopping.
FILE = """network long
input  x[8]
input  t
layer  hidden[64] = tanh(dropout(dense(x), keep = 0.9))
layer  y[1]       = dense(batch_norm(hidden))
loss   mean_squared_error(y[0], t)
data {
  from  random(samples = 100000)
  x     = normal()
  t     = sin(x[0]) * x[1] + 0.1 * normal()
  split 90% train, 10% validation
}
train {
  optimizer adam(rate = 0.01 / (1 + 1e-4 * step))
  batch     2
  epochs    12
  average   ema(0.99)
  stop      early(patience = 6)
}
"""


def check_folder(folder: Path) -> tuple[int, int]:
    """Every file is whole. Epochs and samples of the checkpoint."""
    progress = (0, 0)
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue  # begun under another name when the kill came
        if path.name == "checkpoint.safetensors":
            state, settings = read_checkpoint(path)
            assert settings["source"] == (folder / "network.dln").read_text()
            progress = (state.epoch, state.done)
        elif path.suffix == ".safetensors":
            assert read_weights(path)
        elif path.name == "log.jsonl":
            events = [json.loads(line)["event"] for line in path.read_text().splitlines()]
            assert events[0] == "start" and set(events[1:]) <= {"epoch", "end"}
        else:
            assert path.read_text().rstrip().endswith(("}", "</html>")), path
    return progress


def killed(arguments: list[str], log: Path, draws: random.Random, seconds: float) -> None:
    """Start a training, and kill it: mostly while it trains, sometimes while it starts, sometimes not at all."""
    before = log.stat().st_ino if log.exists() else 0
    process = subprocess.Popen(
        [sys.executable, "-m", "dln", "train", "long.dln", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    started = draws.random() < 0.1
    while not started and process.poll() is None:  # the log is written anew when the training begins
        time.sleep(0.002)
        started = log.exists() and log.stat().st_ino != before
    try:
        process.wait(draws.uniform(0, 1.2 * seconds))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def test_killed_runs_end_in_the_bits_of_an_unbroken_one(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DLN_CHECKPOINT_SECONDS", "0")
    monkeypatch.setenv("DLN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "long.dln").write_text(FILE)
    assert run(["train", "long.dln", "--out", "whole"]) == 0
    expected = (tmp_path / "whole" / "weights.safetensors").read_bytes()
    whole = events(tmp_path / "whole")
    draws, broken = random.Random(0), tmp_path / "broken"
    midway, over, kills = 0, 0, int(os.environ.get("DLN_KILLS", "4"))
    arguments = ["--out", "broken"]

    def finish() -> None:
        assert run(["train", "long.dln", *arguments]) == 0
        assert (broken / "weights.safetensors").read_bytes() == expected
        for one, other in zip(whole, events(broken), strict=True):
            for key in ("train", "validation", "step"):
                assert one.get(key) == other.get(key)
        assert not [p for p in broken.iterdir() if p.name.startswith(".")]

    for _ in range(kills):
        killed(arguments, broken / "log.jsonl", draws, whole[-1]["seconds"] / 4)
        if (broken / "log.jsonl").is_file():
            midway += check_folder(broken)[1] > 0
            arguments = ["--resume", "broken"]
            if len(events(broken)) > len(whole) - 3:  # nearly over: end it, and begin another
                finish()
                over += 1
                arguments = ["--out", "broken"]
    finish()
    capsys.readouterr()
    told = f"{kills} kills, {midway} left a checkpoint from the middle of an epoch, {over + 1} runs came to their end"
    print(told)
    assert kills < 50 or midway > 10


def events(folder: Path) -> list[Any]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
