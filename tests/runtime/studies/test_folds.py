"""Cross-validation: which rows a fold has, and what is told about all of them."""

from __future__ import annotations

import json
import statistics

import numpy as np
import pytest
from dln.compiler.source import DiagnosticError
from dln.runtime.command_line import run
from dln.runtime.data.reading import load_data
from dln.runtime.studies.folds import deviation, summarise
from dln.tests.runtime.sections import section

SECTION = """data {{
  from random(samples = 43)
  x = row
  split 60% train, 20% validation, 20% test
  {fold}
}}"""


def rows(fold: str, text: str = SECTION, folder=None) -> dict[str, list[int]]:
    data = load_data(section(text.format(fold=fold), {"x": ((), None)}), "float64", folder)
    return {part: arrays["x"].astype(int).tolist() for part, arrays in data.parts.items()}


def test_folds_cover_train_and_validation_once_and_leave_the_test_part_alone():
    plain = rows("")
    folds = [rows(f"fold {k} of 5") for k in range(5)]
    pool = sorted(plain["train"] + plain["validation"])
    assert sorted(row for fold in folds for row in fold["validation"]) == pool
    assert [len(fold["validation"]) for fold in folds] == [7, 7, 7, 7, 6]
    for fold in folds:
        assert sorted(fold["train"] + fold["validation"]) == pool
        assert fold["test"] == plain["test"]
    model_selection = pytest.importorskip("sklearn.model_selection")
    together = np.array(plain["train"] + plain["validation"])
    for fold, (train, held) in zip(folds, model_selection.KFold(5).split(together), strict=True):
        assert (fold["train"], fold["validation"]) == (together[train].tolist(), together[held].tolist())


def test_row_files_say_what_a_fold_has(tmp_path):
    (tmp_path / "train_3.txt").write_text("5 1\n2\n")
    (tmp_path / "test_3.txt").write_text("0.0\n4e0\n")
    text = """data {{
      from random(samples = 6)
      x = row
      split "train_{{fold}}.txt" train, "test_{{fold}}.txt" test
      {fold}
    }}"""
    for fold in ("fold 3", "fold 3 of 20"):
        assert rows(fold, text, tmp_path) == {"train": [5, 1, 2], "test": [0, 4]}
    for content, message in (
        ("0 7", "should hold row numbers 0 … 5, it has 7"),
        ("0 0.5", "it has 0.5"),
        ("0 a", "it has 'a'"),
        ("", "it has nothing"),
        ("0 3 0", "names row 0 twice"),
        ("4 5", "row 5 is in the train and in the test part"),
    ):
        (tmp_path / "test_3.txt").write_text(content)
        with pytest.raises(DiagnosticError, match=message):
            rows("fold 3", text, tmp_path)
    with pytest.raises(DiagnosticError, match=r"cannot find the data file 'train_0\.txt'"):
        rows("", text, tmp_path)
    with pytest.raises(DiagnosticError, match="files for some parts and sizes for others"):
        rows("", text.replace('"train_{{fold}}.txt"', "50%"), tmp_path)


@pytest.mark.parametrize(
    "setting", ["fold 5 of 5", "fold 1 of 1", "fold half", "fold 1.5", "fold 2 5", "fold 0 of 50"]
)
def test_wrong_folds(setting):
    with pytest.raises(DiagnosticError, match=r"a fold is a number|50 folds of 34 rows"):
        rows(setting)


def test_resampling_draws_as_many_rows_with_replacement():
    text = SECTION.replace("43", "4000")
    plain, drawn, again = rows("", text), rows("resample 1", text), rows("resample 1", text)
    assert drawn == again != rows("resample 2", text)
    assert len(drawn["train"]) == len(plain["train"]) and set(drawn["train"]) <= set(plain["train"])
    share = len(set(drawn["train"])) / len(plain["train"])
    assert abs(share - (1 - np.exp(-1))) < 0.03  # a row is left out with probability (1 − 1/n)ⁿ
    assert drawn["validation"] == plain["validation"] and drawn["test"] == plain["test"]


def test_mean_and_deviation_equal_the_standard_library():
    values = [0.1, 0.4, 0.35, 2.0]
    results = [{"test": {"loss": v}, "train": {"loss": 1.0}} for v in values]
    found = summarise([*results, {"train": {"loss": 1.0}}])
    assert found["mean"]["test"]["loss"] == pytest.approx(statistics.mean(values))
    assert found["deviation"]["test"]["loss"] == pytest.approx(statistics.stdev(values))
    assert found["deviation"]["train"]["loss"] == 0 == deviation([3.0])


FILE = """network flowers
input  x[4]
input  label: class[3]
layer  score[3] = dense(x)
loss   cross_entropy(score, label)
metric accuracy(score, label)
data {
  from  sklearn.iris
  x     = standardise(data)
  label = target
}
train { epochs 4 }
"""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_command_trains_every_fold(tmp_path, monkeypatch, capsys, workers):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flowers.dln").write_text(FILE)
    command = ["train", "flowers.dln", "--folds", "3", "--workers", workers, "--json", "--set", "epochs=6"]
    assert run(command) == 0
    shown = capsys.readouterr()
    content = json.loads(shown.out.splitlines()[-1])
    losses = [fold["validation"]["loss"] for fold in content["folds"]]
    assert content["mean"]["validation"]["loss"] == pytest.approx(statistics.mean(losses))
    assert len(set(losses)) == 3 and "deviation" in shown.err
    for k in range(3):
        folder = tmp_path / "runs" / "flowers-folds-1" / f"fold-{k}"
        assert f"fold {k} of 3" in (folder / "network.dln").read_text()
        assert run(["eval", str(folder / "network.dln"), "--weights", str(folder), "--json"]) == 0
        figures = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert figures["validation"]["loss"] == losses[k]


def test_a_file_that_cannot_be_trained_fails_in_every_fold(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f.dln").write_text(FILE.replace("sklearn.iris", 'csv "absent.csv"'))
    assert run(["train", "f.dln", "--folds", "2", "--workers", "1"]) == 1
    assert "fold 1: f.dln:8:13: error[E702]" in capsys.readouterr().err.replace(str(tmp_path) + "/", "")
    assert run(["train", "f.dln", "--folds", "1"]) == 2
