"""Files of weights and runs: checksums, which run may go on, copies of weights at some epochs, temporary files."""

from __future__ import annotations

import numpy as np
import pytest
from dln.runtime.checkpoint import read_weights, write_atomically, write_weights
from dln.runtime.command_line import run
from dln.runtime.errors import WeightError
from dln.runtime.run_folder import Pace, RunFolder
from dln.runtime.training.loop import TrainingState
from dln.runtime.training.snapshots import Snapshots, read_snapshots

TINY = """network tiny
input  x[4]
input  label: class[3]
layer  score[3] = dense(tanh(x))
loss   cross_entropy(score, label)
data {
  from  sklearn.iris
  x     = data / 8
  label = target
  split 80% train, 20% validation
}
train { epochs 3 }
"""


def test_a_changed_byte_is_noticed(tmp_path):
    path = tmp_path / "w.safetensors"
    write_weights(path, {"w": np.arange(4.0), "n": np.array(3)}, {"network": "t"})
    np.testing.assert_array_equal(read_weights(path)["w"], np.arange(4.0))
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightError, match="its checksum is that of other content"):
        read_weights(path)


def test_files_of_other_programs_have_no_checksum(tmp_path):
    from safetensors.numpy import save_file

    save_file({"w": np.ones(2)}, tmp_path / "w.safetensors", {"format": "pt"})
    np.testing.assert_array_equal(read_weights(tmp_path / "w.safetensors")["w"], [1, 1])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("tanh(x)", "relu(x)", "another network: its equations differ"),
        ("data / 8", "data / 7", "another data: its values differ"),
        ("80% train, 20%", "70% train, 30%", "made with samples"),
    ],
)
def test_only_the_same_run_goes_on(tmp_path, monkeypatch, capsys, old, new, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.dln").write_text(TINY)
    assert run(["train", "tiny.dln", "--out", "r"]) == 0
    (tmp_path / "tiny.dln").write_text(TINY.replace(old, new))
    assert run(["train", "tiny.dln", "--resume", "r", "--epochs", "5"]) == 2
    assert message in capsys.readouterr().err


def test_a_new_run_in_an_old_folder_does_not_go_on_from_its_checkpoint(tmp_path):
    folder = RunFolder.at(tmp_path)
    folder.checkpoint.write_bytes(b"old")
    folder.weights.write_bytes(b"old")
    again = RunFolder.at(tmp_path)
    assert not again.checkpoint.exists() and again.weights.exists()


def test_what_a_killed_process_had_begun_is_removed(tmp_path):
    (tmp_path / ".log.jsonl.abcd1234").write_text("{")
    (tmp_path / ".notes").write_text("mine")
    write_atomically(tmp_path / "log.jsonl", b"{}\n")
    RunFolder(tmp_path).clear_temporary()
    assert sorted(p.name for p in tmp_path.iterdir()) == [".notes", "log.jsonl"]


def test_snapshots_are_few_and_spread_evenly(tmp_path):
    path = tmp_path / "s.safetensors"
    for epochs in (1, 7, 60, 1000):
        snapshots = Snapshots(path, ["w"], epochs)
        for epoch in range(1, epochs + 1):
            snapshots.see(TrainingState(epoch, current={"w": np.full(2, epoch), "v": np.ones(1)}))
        snapshots.write()
        found = read_snapshots(path)
        assert list(found) == sorted(found) and len(found) <= 20 and epochs in found
        assert all(list(a) == ["w"] and a["w"][0] == epoch for epoch, a in found.items())
        gaps = np.diff([e for e in found if e > 2 and e != epochs])
        assert len(set(gaps.tolist())) <= 1
    again = Snapshots(path, ["w"], 1000)
    again.read(500)
    assert max(again.kept) <= 500


def test_writing_takes_a_small_share_of_the_time(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("dln.runtime.run_folder.time.monotonic", lambda: now[0])
    pace = Pace(5.0)
    assert not pace.due()
    now[0] = 5.0
    assert pace.due()
    with pace:
        now[0] += 0.4
    now[0] += 19
    assert not pace.due()
    now[0] += 2
    assert pace.due()
