"""`dln train` with everything that a train section can ask for: what it leaves, and that it can be resumed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import dln
import numpy as np
import pytest
from dln.runtime.checkpoint import read_weights
from dln.runtime.command_line import run
from dln.tests.runtime.irises import iris_file

FILE = iris_file(
    "optimizer adam(rate = 0.02 * cosine(epoch, 12))",
    "batch     16",
    "epochs    12",
    "penalty   l2(1e-3) w",
    "clip      value(1), norm(0.5)",
    "decay     decoupled(1e-2) w",
    "rates     0.5 hidden",
    "limit     norm(4)",
    "average   ema(0.9)",
    "reduce    rate(factor = 0.5, patience = 2)",
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test works in a folder of its own, with iris.dln in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "iris.dln").write_text(FILE)
    return tmp_path


def last_json(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out.rstrip("\n").rsplit("\n", 1)[-1])


def weights(name: str) -> dict[str, np.ndarray]:
    return read_weights(Path(name) / "weights.safetensors")


def test_a_resumed_run_gives_the_same_bits() -> None:
    assert run(["train", "iris.dln", "--out", "whole"]) == 0
    assert run(["train", "iris.dln", "--out", "broken", "--epochs", "5"]) == 0
    assert run(["train", "iris.dln", "--resume", "broken"]) == 0
    whole, resumed = weights("whole"), weights("broken")
    assert set(whole) == {"hidden.w", "hidden.b", "score.w", "score.b"}
    assert all((whole[name] == resumed[name]).all() for name in whole)


def test_a_run_cannot_be_resumed_with_other_changes_of_the_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "iris.dln", "--out", "broken", "--epochs", "2"]) == 0
    assert run(["train", "iris.dln", "--resume", "broken", "--set", "clip=norm(1)"]) == 2
    assert "the run was made with changes" in capsys.readouterr().err
    assert run(["train", "iris.dln", "--resume", "broken", "--set", "rate=0.5"]) == 2
    told = "the run was made with optimizer adam(rate = 0.02 * cosine(epoch, 12)), this asks for adam(rate = 0.5)"
    assert told in capsys.readouterr().err


def test_the_report_tells_them() -> None:
    assert run(["train", "iris.dln", "--out", "made", "--epochs", "1"]) == 0
    report = Path("made/report.html").read_text()
    assert "clip value(1), norm(0.5); decay decoupled(1e-2) w" in report


def sentence(page: str) -> str:
    """How the page begins: what was trained, for how long."""
    return re.sub(r"in [0-9.]+ s", "", page.split('<p class="lead">')[1].split("</p>")[0])


@pytest.mark.parametrize("way", ["afresh", "further"])
def test_retraining(way: str, capsys: pytest.CaptureFixture[str]) -> None:
    rate = ["--set", "rate=0.02"]  # a cosine would have come to its end
    assert run(["train", "iris.dln", *rate, "--set", f"retrain={way}", "--out", "made", "--json"]) == 0
    output = capsys.readouterr()
    assert "trained again with the validation part" in output.err
    assert json.loads(output.out.rstrip("\n").rsplit("\n", 1)[-1])["test"]["accuracy"] > 0.4
    # The same page from the folder, later: it knows of both trainings.
    page = Path("made/report.html").read_text()
    assert "Then it was trained again with the validation part, for " in page and "second training" in page
    assert run(["report", "made", "--brief"]) == 0
    told = Path("made/report.html").read_text()
    assert sentence(told) == sentence(page) and told.count("<polyline") == page.count("<polyline")
    assert run(["train", "iris.dln", *rate, "--out", "plain"]) == 0
    assert any((weights("made")[name] != weights("plain")[name]).any() for name in weights("made"))


def test_all_samples_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["--set", "optimizer=lbfgs(tolerance = 1e-4)", "--set", "batch=all"]
    text = FILE
    for key in ("decay", "rates", "limit", "average", "reduce", "clip"):
        text = "\n".join(line for line in text.split("\n") if not line.strip().startswith(key))
    Path("plain.dln").write_text(text)
    assert run(["train", "plain.dln", *settings, "--out", "made", "--json"]) == 0
    assert last_json(capsys)["train"]["accuracy"] > 0.95
    assert run(["check", "plain.dln", *settings]) == 0
    assert run(["show", "plain.dln", *settings, "--stage", "regularise"]) == 0


def test_mistakes_are_told_by_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "iris.dln", "--set", "limit=norm(3) hiden"]) == 2
    error = capsys.readouterr().err
    assert "names a weight that does not exist: 'hiden'" in error and "did you mean 'hidden'?" in error


def test_a_number_is_saved_as_a_number(folder: Path) -> None:
    text = "input x\nweight w = 3\nlayer y = w * x\nloss average[batch] y^2\ntrain { optimizer sgd }"
    net = dln.compile(text, threads=1)
    net.save(folder / "w.safetensors")
    net.weights["w"] = 5
    net.restore(folder / "w.safetensors")
    assert net.weights["w"].shape == () and net.weights["w"] == 3
