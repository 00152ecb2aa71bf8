"""Searches: ranges, methods, trials that several processes share, what the command leaves, and what is refused."""

from __future__ import annotations

import csv
import importlib.util
import itertools
import json
import statistics
import xml.etree.ElementTree as xml
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from dln.compiler.pipeline import front_text
from dln.compiler.source import DiagnosticError
from dln.runtime.command_line import run
from dln.runtime.diagnosis import replay
from dln.runtime.studies.methods import count_of, propose, refined
from dln.runtime.studies.ranges import Range, SearchPlan, read_search
from dln.runtime.studies.trials import Trial, Trials, best_of, hopeless, this_process

FILE = """network small
param  width = 4
input  x[4]
input  label: class[3]
layer  hidden[width] = tanh(dense(x))
layer  score[3]      = dense(hidden)
loss   cross_entropy(score, label)
metric accuracy(score, label)
data {
  from  sklearn.iris
  x     = standardise(data)
  label = target
  split 60% train, 20% validation, 20% test
}
train {
  optimizer adam(rate = 1e-3)
  epochs    6
}
search {
  rate   log(1e-4, 1e-1)
  width  linear(2, 9)
  trials 4
}
"""

LOG = Range("rate", "log", 1e-4, 1e-1)
WHOLE = Range("width", "linear", 2, 5, whole=True)
CHOICE = Range("batch", "choice", choices=("16", "32", "all"))


# ------------------------------------------------------------------------------------------- ranges and methods


def test_ranges_are_even_on_their_scale():
    places = (np.arange(4000) + 0.5) / 4000
    logs = np.log10([float(LOG.at(p)) for p in places])
    np.testing.assert_allclose(np.quantile(logs, [0, 0.25, 0.5, 1]), [-4, -3.25, -2.5, -1], atol=1e-2)
    values, counts = np.unique([WHOLE.at(p) for p in places], return_counts=True)
    assert list(values) == ["2", "3", "4", "5"] and set(counts) == {1000}
    assert [CHOICE.at(p) for p in (0, 0.34, 0.999, 1)] == ["16", "32", "all", "all"]
    assert {Range("n", "log", 1, 1000, True).at(p) for p in places} <= {str(n) for n in range(1, 1001)}


def test_grids_have_both_ends():
    assert LOG.grid() == ["0.0001", "0.000562341", "0.00316228", "0.0177828", "0.1"]
    assert WHOLE.grid() == ["2", "3", "4", "5"] and CHOICE.grid() == ["16", "32", "all"]
    assert Range("x", "linear", 0, 1, points=3).grid() == ["0", "0.5", "1"]
    plan = SearchPlan((Range("a", "linear", 0, 1, points=2), CHOICE), None, "grid")
    assert count_of(plan) == 6
    tried = [tuple(propose(plan, k, []).values()) for k in range(6)]
    assert tried == list(itertools.product(["0", "1"], ["16", "32", "all"]))


@pytest.mark.parametrize("range_", [LOG, WHOLE, CHOICE, Range("x", "linear", -3, 4)])
def test_the_place_of_a_value_is_where_it_came_from(range_):
    for value in range_.grid():
        assert range_.at(range_.place(value)) == value


def test_random_values_depend_on_seed_and_number_alone():
    plan = SearchPlan((LOG, WHOLE), 10)
    assert propose(plan, 3, []) == propose(plan, 3, [Trial(0, {})]) != propose(plan, 4, [])
    assert propose(plan, 3, []) != propose(SearchPlan((LOG, WHOLE), 10, seed=1), 3, [])


def test_refining_looks_around_the_best_of_earlier_rounds():
    plan = SearchPlan((LOG, CHOICE), 9, "refine", rounds=3)
    trials = [
        Trial(k, {"rate": r, "batch": "16"}, "done", v)
        for k, (r, v) in enumerate((("0.01", 1.0), ("0.001", 5.0)))
    ]
    assert refined(plan, 2, trials) == plan.ranges
    narrow = refined(plan, 3, trials)[0]
    assert np.log10([narrow.low, narrow.high]) == pytest.approx([-2.5, -1.5])
    last = refined(plan, 8, [*trials, Trial(5, {"rate": "0.1", "batch": "16"}, "done", 0.5)])[0]
    assert np.log10([last.low, last.high]) == pytest.approx(
        [-1 - 1 / 6, -1], abs=1e-5
    )  # inside of the whole range
    for number in range(3, 6):
        assert narrow.low <= float(propose(plan, number, trials)["rate"]) <= narrow.high


def test_giving_up_below_the_median():
    draws = np.random.default_rng(0)
    others = [
        Trial(k, {}, "done", 0.0, curve=list(draws.normal(size=draws.integers(2, 9)))) for k in range(12)
    ]
    for epoch in range(1, 9):
        there = [o.curve[epoch - 1] for o in others if len(o.curve) >= epoch]
        for value in draws.normal(size=20):
            curve = [*[9.0] * (epoch - 1), value]
            expected = epoch >= 3 and len(there) >= 4 and value > statistics.median(there)
            assert hopeless(curve, others, 3, maximize=False) == expected
            up = [-v for v in curve]
            mirrored = [Trial(0, {}, curve=[-v for v in o.curve]) for o in others]
            assert hopeless(up, mirrored, 3, maximize=True) == expected
    assert not hopeless(
        [9.0, 0.0, 9.0], [Trial(0, {}, curve=[1.0] * 3)] * 5, 3, maximize=False
    )  # its best counts


# ------------------------------------------------------------------------------------------------------ trials


def test_every_number_is_claimed_once(tmp_path):
    def work(_: int) -> list[int]:
        trials, mine = Trials(tmp_path), []
        while (number := trials.claim(60)) is not None:
            mine.append(number)
        return mine

    with ThreadPoolExecutor(6) as pool:
        claimed = [number for mine in pool.map(work, range(6)) for number in mine]
    assert sorted(claimed) == list(range(60))


def test_trials_are_read_back_and_lost_ones_given_free(tmp_path):
    trials = Trials(tmp_path)
    host = this_process().rpartition(":")[0]
    dead = subprocess_that_ended()
    kept = [
        Trial(
            0, {"rate": "0.1"}, "done", 0.5, [1.0, 0.5], {"test": {"loss": 0.6}}, 2, process=this_process()
        ),
        Trial(1, {}, "running", process=this_process()),
        Trial(2, {}, "running", process=f"{host}:{dead}"),
        Trial(3, {}, "running", process=f"elsewhere:{dead}"),
    ]
    for trial in kept:
        assert trials.claim(4) == trial.number
        trials.write(trial)
    assert trials.read() == kept
    assert trials.release_lost() == [2] and trials.claim(4) == 2
    assert best_of(kept, maximize=False) == kept[0]
    assert best_of([Trial(0, {}, "done", float("inf"))], maximize=False) is None


def subprocess_that_ended() -> int:
    import subprocess
    import sys

    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


# ----------------------------------------------------------------------------------------------------- command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.dln").write_text(FILE)
    return tmp_path


def last_json(capsys) -> dict:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_the_command_leaves_runs_a_table_and_a_picture(folder, capsys):
    assert run(["search", "small.dln", "--workers", "1", "--json"]) == 0
    content = last_json(capsys)
    found = folder / "runs" / "small-search-1"
    assert len(content["trials"]) == 4
    assert content["best"]["value"] == min(t["value"] for t in content["trials"])
    best = Path(content["best"]["folder"])
    # The best trial's folder is a run like any other: its source gives its figures again.
    assert run(["train", str(best / "network.dln"), "--out", "again", "--json"]) == 0
    assert last_json(capsys)["validation"]["loss"] == content["best"]["value"]
    with (found / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["value"]) for row in rows] == sorted(t["value"] for t in content["trials"])
    assert {int(row["width"]) for row in rows} <= set(range(2, 10))
    assert xml.fromstring((found / "search.svg").read_text()).tag.endswith("svg")
    # Going on where it ended: what is there stays as it is.
    assert run(["search", "small.dln", "--workers", "1", "--trials", "6", "--out", str(found), "--json"]) == 0
    more = last_json(capsys)["trials"]
    assert len(more) == 6 and [t for t in more if t["trial"] < 4] == sorted(
        content["trials"], key=lambda t: t["trial"]
    )


def test_two_workers_try_the_same_values(folder, capsys):
    found = []
    for workers in ("1", "2"):
        assert run(["search", "small.dln", "--workers", workers, "--trials", "3", "--json"]) == 0
        found.append([{k: v for k, v in t.items() if k != "seconds"} for t in last_json(capsys)["trials"]])
    assert found[0] == found[1]


def test_bad_trials_are_given_up_and_failures_are_told(folder, capsys, monkeypatch):
    searched: list[object] = []  # for equations in which a NaN began: a network is compiled for each
    monkeypatch.setattr(replay, "where_it_arose", lambda broken: searched.append(broken))
    text = FILE.replace("trials 4", "trials 16\n prune median(after = 2)\n maximize accuracy\n seed 2")
    text = text.replace("log(1e-4, 1e-1)", "choice(0.5, 0.2, 1e-9, 1e30)").replace("adam", "sgd")
    text = text.replace("width  linear(2, 9)\n", "")  # one network: it is compiled once for each rate
    (folder / "small.dln").write_text(text.replace("tanh", "relu"))
    assert run(["search", "small.dln", "--workers", "1", "--json"]) == 0
    content = last_json(capsys)
    states = {t["state"] for t in content["trials"]}
    assert "done" in states and "failed" in states and "pruned" in states
    assert {t["rate"] for t in content["trials"] if t["state"] == "failed"} == {"1e30"}
    assert content["best"]["values"]["rate"] in ("0.5", "0.2")
    assert not searched


def test_optuna_proposes_and_gives_up(folder, capsys):
    pytest.importorskip("optuna")
    (folder / "small.dln").write_text(
        FILE.replace("trials 4", "method tpe\n trials 6\n prune median(after = 1)")
    )
    assert run(["search", "small.dln", "--workers", "2", "--json"]) == 0
    content = last_json(capsys)
    assert sorted(t["trial"] for t in content["trials"]) == list(range(6))
    storage = f"sqlite:///{folder / 'shared.db'}"
    assert (
        run(["search", "small.dln", "--workers", "1", "--trials", "2", "--storage", storage, "--out", "one"])
        == 0
    )
    import optuna

    (study,) = optuna.get_all_study_summaries(storage)
    assert study.n_trials == 2 and study.study_name == "one"


def test_without_optuna_there_is_a_hint(folder, capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert run(["search", "small.dln", "--method", "tpe"]) == 1
    assert "pip install 'dln[search]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("widht linear(2, 4)", "there is no param and no setting 'widht'"),
        ("trails 5", "unknown key 'trails' in the search section"),
        ("epochs 5", "'epochs' needs a range"),
        ("rate log(1, 2)", "'rate' is given twice"),
        ("minimize loss\n maximize accuracy", "a search minimizes or maximizes one figure"),
        ("trials", "'trials' needs a value"),
        ("epochs = 5", "without '='"),
    ],
)
def test_sections_that_the_elaborator_refuses(line, message):
    with pytest.raises(DiagnosticError) as caught:
        front_text(FILE.replace("trials 4", line))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("epochs linear(5, 2)", "the lower one first, got 5 and 2"),
        ("epochs log(0, 2)", "expected two values above 0"),
        ("epochs log(3)", "log takes the lowest and the highest value"),
        ("epochs choice()", "a choice of nothing"),
        ("method tpa", "did you mean 'tpe'?"),
        ("method refine(2, 3)", "not a method"),
        ("maximize acuracy", "did you mean 'accuracy'?"),
        ("prune mean", "expected median(after = 5) or never"),
        ("trials 0", "expected a whole number from 1"),
    ],
)
def test_values_that_are_refused(line, message):
    with pytest.raises(DiagnosticError) as caught:
        read_search(front_text(FILE.replace("trials 4", line)))
    assert message in str(caught.value)


def test_every_kind_of_entry():
    lines = """epochs choice(3, 2 * 5)
      optimizer choice(adam(rate = 0.1), sgd)
      seed linear(0, 9, 3)
      seed 7
      method refine(rounds = 2)
      maximize accuracy
      prune median"""
    plan = read_search(front_text(FILE.replace("trials 4", lines)))
    assert [r.name for r in plan.ranges] == ["rate", "width", "epochs", "optimizer", "seed"]
    assert plan.ranges[2].choices == ("3", "2 * 5")
    assert plan.ranges[3].choices == ("adam(rate = 0.1)", "sgd")
    assert plan.ranges[4] == Range("seed", "linear", 0, 9, True, points=3)
    assert plan == SearchPlan(plan.ranges, 20, "refine", 2, "accuracy", True, 5, 7)
    with pytest.raises(DiagnosticError, match="no search section"):
        read_search(front_text(FILE[: FILE.index("search {")]))
