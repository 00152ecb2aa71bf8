"""The command `dln`: what it prints, what it leaves, how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from dln.runtime.command_line import run

TINY = """network tiny
param  width = 8
input  x[64]
input  label: class[10]
layer  hidden[width] = relu(dense(x))
layer  score[10]     = dense(hidden)
loss   cross_entropy(score, label)
metric accuracy(score, label)
data {
  from  sklearn.digits
  x     = data / 16
  label = target
  split 70% train, 15% validation, 15% test
}
train {
  optimizer adam(rate = 3e-3)
  batch     32
  epochs    4
}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Every test works in a folder of its own, with tiny.dln in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DLN_DEBUG", raising=False)
    (tmp_path / "tiny.dln").write_text(TINY)
    (tmp_path / "normalised.dln").write_text(TINY.replace("relu(dense(x))", "relu(batch_norm(dense(x)))"))
    return tmp_path


def command(*arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "dln", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def last_json(output: str) -> dict:
    return json.loads(output.rstrip("\n").rsplit("\n", 1)[-1])


# --------------------------------------------------------------------------------------------- usage, errors


def test_help_is_there_at_once():
    """Within 150 ms of the processor's time, which other processes on a busy machine do not add to."""
    spent = []
    for _ in range(5):
        before = os.times()
        done = subprocess.run([sys.executable, "-m", "dln", "--help"], capture_output=True, text=True)
        after = os.times()
        spent.append(
            after.children_user + after.children_system - before.children_user - before.children_system
        )
        assert done.returncode == 0 and "gradcheck" in done.stdout
    assert min(spent) <= 0.15


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from dln.runtime.command_line import run; run(['--help']);"
        "print([m for m in ('numpy', 'llvmlite', 'rich', 'sklearn', 'lark', 'networkx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.endswith("[]\n"), done


@pytest.mark.parametrize("name", ["check", "train", "eval", "predict", "show", "gradcheck", "new"])
def test_every_command_has_help(name, capsys):
    assert run([name, "--help"]) == 0
    assert "Usage: dln" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["trian", "x.dln"], 2, "did you mean 'train'?"),
        (["train"], 2, "Missing argument 'FILE'"),
        (["train", "tiny.dln", "--epochs", "0"], 2, "--epochs"),
        (["train", "tiny.dln", "--set", "width"], 2, "--set takes NAME=VALUE, got 'width'"),
        (["train", "tiny.dln", "--set", "widht=3"], 2, "did you mean 'width'?"),
        (["train", "absent.dln"], 2, "absent.dln"),
        (["train", "."], 2, "'.'"),
        (["train", "binary.dln"], 2, "binary.dln"),
        (["train", "tiny.dln", "--out", "tiny.dln/x"], 1, "tiny.dln"),
        (["train", "tiny.dln", "--resume", "absent"], 2, "is not the folder of a run"),
        (["eval", "tiny.dln", "--weights", "absent.safetensors"], 1, "no such file or directory"),
        (["eval", "tiny.dln", "--weights", "tiny.dln"], 1, "not a whole safetensors file"),
        (["show", "tiny.dln", "--stage", "sharin"], 2, "did you mean 'sharing'?"),
        (["train", "tiny.dln", "--set", "stop=early(metric = acuracy)"], 2, "did you mean 'accuracy'?"),
        (
            ["train", "normalised.dln", "--set", "batch=100000000000"],
            1,
            "GB for minibatches of 100,000,000,000",
        ),
        (["show", "tiny.dln", "--out", "absent/x.svg"], 1, "'absent/x.svg': no such file"),
        (["show", "tiny.dln", "--latex"], 2, "--latex goes with"),
        (["predict", "tiny.dln", "--weights", "w", "--out", "p.txt"], 2, "NAME.npz or NAME.csv"),
    ],
)
def test_bad_usage_is_a_line_and_an_exit_code(folder, capsys, arguments, code, message):
    (folder / "binary.dln").write_bytes(b"\xff\xfe\x00network")
    assert run(arguments) == code
    shown = capsys.readouterr()
    assert message in shown.err and "Traceback" not in shown.err + shown.out
    assert "internal error" not in shown.err


def test_errors_as_json(folder, capsys):
    (folder / "bad.dln").write_text(TINY.replace("dense(hidden)", "dense(hiden)"))
    for name in ("check", "train"):
        assert run([name, "bad.dln", "--json"]) == 2
        (error,) = last_json(capsys.readouterr().out)["errors"]
        assert set(error) == {"code", "file", "line", "column", "message", "help"}
        assert error["line"] == 6 and error["help"] == "did you mean 'hidden'?"


def test_closed_pipe_is_no_traceback():
    process = command("train", "tiny.dln", "--epochs", "50")
    process.stdout.close()
    _, errors = process.stderr.read(), process.wait()
    assert "Traceback" not in _ and errors in (0, 1)


def test_new_file_is_valid_and_never_overwrites(folder, capsys):
    assert run(["new", "mine"]) == 0
    assert run(["check", "mine.dln"]) == 0
    before = (folder / "mine.dln").read_text()
    assert run(["new", "mine"]) == 2 and (folder / "mine.dln").read_text() == before
    assert run(["new", "no-name"]) == 2
    capsys.readouterr()


# ---------------------------------------------------------------------------------------------------- check


def test_check_counts(capsys):
    assert run(["check", "tiny.dln", "--json"]) == 0
    counts = last_json(capsys.readouterr().out)
    assert counts["errors"] == []
    assert counts["units"] == 64 + 8 + 10 and counts["weights"] == 64 * 8 + 8 + 8 * 10 + 10
    assert counts["connections"] == 64 * 8 + 8 + 8 * 10 + 10
    assert {"multiply_adds", "bytes", "families"} <= set(counts)
    assert {"hidden", "score"} <= {f["name"] for f in counts["families"]}
    assert run(["check", "tiny.dln"]) == 0
    assert "hidden" in capsys.readouterr().out


def test_check_predicts_the_time_of_a_step(capsys):
    assert run(["check", "tiny.dln", "--cost", "--threads", "1", "--json"]) == 0
    found = last_json(capsys.readouterr().out)
    assert 0 < found["arena"] < found["memory"]
    cost = found["cost"]
    assert (cost["routine"], cost["threads"]) == ("train", 1)
    assert 0 < cost["seconds"] == pytest.approx(sum(call["seconds"] for call in cost["calls"]))
    families = [name for call in cost["calls"] for name in call["families"]]
    assert families[0] == "minibatch" and {"hidden", "score", "∂hidden.w"} <= set(families)
    assert run(["check", "tiny.dln", "--cost"]) == 0
    shown = capsys.readouterr().out
    assert "a step of" in shown and "∂hidden.w" in shown


def test_check_looks_at_the_data(folder, capsys):
    (folder / "bad.dln").write_text(TINY.replace("target", "targt"))
    assert run(["check", "bad.dln", "--json"]) == 2
    (error,) = last_json(capsys.readouterr().out)["errors"]
    assert error["help"] == "did you mean 'target'?"
    # The sizes of the network are told all the same.
    (folder / "bad.dln").write_text(TINY.replace("sklearn.digits", 'csv "absent.csv"'))
    assert run(["check", "bad.dln", "--json"]) == 2
    result = last_json(capsys.readouterr().out)
    assert result["errors"][0]["code"] == "E702" and result["weights"] == 64 * 8 + 8 + 8 * 10 + 10
    (folder / "bad.dln").write_text(TINY.replace("class[10]", "class[9]").replace("score[10]", "score[9]"))
    assert run(["check", "bad.dln", "--json"]) == 2
    assert "class numbers 0 … 8, got 9" in last_json(capsys.readouterr().out)["errors"][0]["message"]


# ---------------------------------------------------------------------------------------------------- train


def test_train_leaves_a_run_folder(folder, capsys):
    assert run(["train", "tiny.dln", "--json", "--set", "width=16", "--seed", "3"]) == 0
    result = last_json(capsys.readouterr().out)
    assert result["epochs"] == 4 and result["seconds"] > 0 and result["compile_seconds"] > 0
    for part in ("train", "validation", "test"):
        assert set(result[part]) == {"loss", "accuracy"} and result[part]["accuracy"] > 0.5
    run_folder = folder / "runs" / "tiny-1"
    names = {p.name for p in run_folder.iterdir()}
    assert names == {
        "weights.safetensors",
        "checkpoint.safetensors",
        "snapshots.safetensors",
        "log.jsonl",
        "network.dln",
        "report.html",
    }
    log = [json.loads(line) for line in (run_folder / "log.jsonl").read_text().splitlines()]
    assert [line["event"] for line in log] == ["start", *["epoch"] * 4, "end"]
    assert log[0]["overrides"] == {"width": "16", "seed": "3"}
    assert log[-1]["test"] == result["test"]
    assert "<svg" in (run_folder / "report.html").read_text()
    assert run(["train", "tiny.dln", "--epochs", "1"]) == 0
    assert (folder / "runs" / "tiny-2").is_dir()
    # What the run folder holds is enough to measure again, by the file in it too.
    capsys.readouterr()
    for source in ("runs/tiny-1/network.dln", "tiny.dln"):
        settings = ["--set", "width=16"] if source == "tiny.dln" else []
        assert run(["eval", source, "--weights", "runs/tiny-1", "--json", *settings]) == 0
        assert last_json(capsys.readouterr().out)["test"] == pytest.approx(result["test"])


def test_every_setting_can_be_changed_and_is_recorded(folder, capsys):
    changes = {
        "split": "100 train, 50 test",
        "data.seed": "5",
        "seed": "6",
        "rate": "0.01",
        "batch": "10",
        "width": "4",
        "epochs": "2",
    }
    arguments = [part for name, value in changes.items() for part in ("--set", f"{name}={value}")]
    assert run(["train", "tiny.dln", "--out", "first", *arguments]) == 0
    assert "100 train, 50 test" in capsys.readouterr().out
    assert run(["train", "first/network.dln", "--out", "second"]) == 0
    first, second = ((folder / n / "weights.safetensors").read_bytes() for n in ("first", "second"))
    assert first == second
    capsys.readouterr()


def test_same_seed_same_bits_whatever_the_threads(folder, capsys):
    for name, threads, seed in (("a", "1", "5"), ("b", "2", "5"), ("c", "1", "6")):
        run(["train", "tiny.dln", "--out", name, "--threads", threads, "--seed", seed])
    capsys.readouterr()
    a, b, c = ((folder / n / "weights.safetensors").read_bytes() for n in "abc")
    assert a == b != c


def test_resume_gives_the_bits_of_an_unbroken_run(folder, capsys):
    assert run(["train", "tiny.dln", "--out", "whole"]) == 0
    assert run(["train", "tiny.dln", "--out", "broken", "--epochs", "2"]) == 0
    assert run(["train", "tiny.dln", "--resume", "broken"]) == 0
    whole, resumed = (
        [json.loads(line) for line in (folder / n / "log.jsonl").read_text().splitlines()]
        for n in ("whole", "broken")
    )
    assert [r["train"] for r in whole[1:5]] == [r["train"] for r in resumed[1:5]]
    assert (folder / "whole/weights.safetensors").read_bytes() == (
        folder / "broken/weights.safetensors"
    ).read_bytes()
    capsys.readouterr()
    assert run(["train", "tiny.dln", "--resume", "broken", "--set", "batch=16"]) == 2
    assert "made with batch 32, this asks for 16" in capsys.readouterr().err


def test_killed_runs_go_on_to_the_same_bits(folder, capsys):
    """SIGKILL at several instants, from before the first epoch to after the last."""
    assert run(["train", "tiny.dln", "--out", "whole", "--epochs", "400"]) == 0
    expected = (folder / "whole" / "weights.safetensors").read_bytes()
    for wait in (0.3, 0.6, 0.9, 1.2):
        process = command("train", "tiny.dln", "--out", "killed", "--epochs", "400")
        time.sleep(wait)
        process.kill()
        process.communicate()
        if (folder / "killed" / "log.jsonl").is_file():
            assert run(["train", "tiny.dln", "--resume", "killed", "--epochs", "400"]) == 0
            assert (folder / "killed" / "weights.safetensors").read_bytes() == expected
            leftovers = [p.name for p in (folder / "killed").iterdir() if p.name.startswith(".")]
            assert len(leftovers) <= 1  # a temporary file that was being written when the kill came
    capsys.readouterr()


def test_divergence_is_a_failure_that_keeps_good_weights(folder, capsys):
    text = TINY.replace("adam(rate = 3e-3)", "sgd(rate = 1e30)")
    (folder / "wild.dln").write_text(text)
    assert run(["train", "wild.dln", "--out", "out", "--json"]) == 1
    shown = capsys.readouterr()
    assert "in epoch 1; training stopped" in shown.err and "out/weights.safetensors" in shown.err
    assert last_json(shown.out)["ending"] == "diverged"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_ends_within_a_second_and_keeps_the_weights(folder, number):
    seconds = []
    for _ in range(3):  # other processes of a busy machine may spoil one attempt
        process = command("train", "tiny.dln", "--epochs", "1000000", "--out", "out")
        for line in process.stdout:
            if line.startswith("epoch"):
                break
        start = time.perf_counter()
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
        seconds.append(time.perf_counter() - start)
        assert process.returncode == 1 and "Traceback" not in errors
        assert "the weights are the best ones, of epoch" in errors
        assert f"the weights are in {Path('out') / 'weights.safetensors'}" in errors
        assert run(["eval", "tiny.dln", "--weights", "out"]) == 0
        if seconds[-1] < 1:
            break
    assert min(seconds) < 1


def test_unwritable_folder_is_a_line(folder, capsys):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (folder / "locked").mkdir(mode=0o500)
    assert run(["train", "tiny.dln", "--out", "locked"]) == 1
    assert "cannot write to the folder 'locked'" in capsys.readouterr().err


# ------------------------------------------------------------------------------ predict, show, gradcheck


def test_predict(folder, capsys):
    run(["train", "tiny.dln", "--out", "out"])
    capsys.readouterr()
    assert run(["predict", "tiny.dln", "--weights", "out", "--out", "p.npz"]) == 0
    scores = np.load(folder / "p.npz")["score"]
    assert scores.shape == (270, 10)
    assert run(["predict", "tiny.dln", "--weights", "out", "--layer", "score"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-271].startswith("score[0],score[1]")
    np.testing.assert_allclose(np.array(lines[-1].split(","), float), scores[-1], rtol=1e-4)
    np.savez(folder / "x.npz", x=np.zeros((2, 64)))
    assert run(["predict", "tiny.dln", "--weights", "out", "--input", "x.npz", "--out", "q.csv"]) == 0
    assert len((folder / "q.csv").read_text().splitlines()) == 3
    np.savez(folder / "y.npz", x=np.zeros((2, 63)))
    assert run(["predict", "tiny.dln", "--weights", "out", "--input", "y.npz"]) == 1
    assert "'x' should have shape (samples, 64), got (2, 63)" in capsys.readouterr().err


def test_show(folder, capsys):
    assert run(["show", "tiny.dln"]) == 0
    assert (folder / "tiny.svg").read_text().startswith("<svg")
    assert run(["show", "tiny.dln", "--gradient"]) == 0
    assert "∂E/∂hidden.w" in capsys.readouterr().out
    assert run(["show", "tiny.dln", "--gradient", "--latex"]) == 0
    assert r"\frac{\partial" in capsys.readouterr().out
    from dln.compiler.pass_order import STAGES

    for stage in STAGES:
        assert run(["show", "tiny.dln", "--stage", stage]) == 0
        assert capsys.readouterr().out.strip()


def test_gradcheck(capsys):
    assert run(["gradcheck", "tiny.dln", "--json"]) == 0
    result = last_json(capsys.readouterr().out)
    assert result["passed"] and result["error"] < 1e-6 and len(result["weights"]) == 4
    assert run(["gradcheck", "tiny.dln", "--data"]) == 0
    assert run(["gradcheck", "tiny.dln", "--tolerance", "1e-300"]) == 1
    assert "too large" in capsys.readouterr().out
