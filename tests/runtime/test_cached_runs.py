"""A file that was trained before is trained again without its compiler: nothing is parsed, elaborated or lowered."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dln.compiler.pipeline import front
from dln.compiler.stored import networks
from dln.compiler.syntax import Call
from dln.runtime.diagnosis import inside
from dln.runtime.diagnosis.inside import Inside
from dln.runtime.diagnosis.layer_statistics import look_inside
from dln.runtime.diagnosis.learning_rates import learning_rates
from dln.runtime.training.history import History, Record
from dln.runtime.training.settings import read_plan
from dln.tests.runtime.irises import iris_file

#: Sizes, schedules and patience that are not plain numbers, so that somebody has to work them out.
FILE = iris_file(
    "optimizer adam(rate = 0.02 * cosine(epoch, 12))",
    "batch     2 * half",
    "epochs    half div 2",
    "stop      early(patience = half - 2)",
    "rates     0.5 hidden",
    hidden="half",
    param="half = 8",
)
AGAIN = """
import sys
from dln.runtime.command_line import run
code = run(sys.argv[1:])
compiler = ("lark", "dln.compiler.parse", "dln.compiler.elaborate.network", "dln.compiler.elaborate.scope",
            "dln.compiler.schedule.schedule", "dln.compiler.kernels.tiling", "llvmlite", "networkx")
sys.exit(code or [m for m in compiler if m in sys.modules] or 0)
"""


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DLN_CACHE", str(tmp_path / "entries"))
    monkeypatch.delenv("DLN_BRIEF", raising=False)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "iris.dln"
    path.write_text(FILE)
    return path


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="machine code is linked without LLVM on Linux"
)
def test_a_cached_run_with_its_report_imports_no_compiler(file: Path) -> None:
    command = ["train", str(file), "--set", "rate=0.1", "--epochs", "3", "--out"]
    # In a process of its own: this one may know the machine from an earlier test, and would not write it down in a new folder.
    assert subprocess.run([sys.executable, "-m", "dln", *command, "first"], timeout=120).returncode == 0
    again = subprocess.run(
        [sys.executable, "-c", AGAIN, *command, "second"], capture_output=True, text=True, timeout=120
    )
    assert (again.returncode, again.stderr) == (0, "")
    first, second = Path("first"), Path("second")
    assert (first / "network.dln").read_text() == (second / "network.dln").read_text()
    assert "rate = 0.1" in (second / "network.dln").read_text()
    weights = [(folder / "weights.safetensors").read_bytes() for folder in (first, second)]
    assert weights[0] == weights[1]
    assert "Activations" in (second / "report.html").read_text()


def test_settings_are_those_of_the_first_time(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = front(file)
    history = History([Record(epoch, 6 * epoch, {"loss": 1.0}) for epoch in range(1, 5)])
    plan = read_plan(fresh)
    assert (plan.batch, plan.epochs, plan.patience) == (16, 4, 6)
    curves = learning_rates(fresh, plan, history)
    again = front(file)
    assert isinstance(again, networks._StoredNetwork)
    monkeypatch.setattr(
        networks._StoredNetwork, "scope", property(lambda network: pytest.fail("elaborated again"))
    )
    assert read_plan(again) == plan
    told = learning_rates(again, plan, history)
    assert list(told) == list(curves) and len(told) == 2
    for name, (epochs, rates) in curves.items():
        np.testing.assert_array_equal(told[name][0], epochs)
        np.testing.assert_array_equal(told[name][1], rates)


def test_what_is_looked_into_is_compiled_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    arrays = {"x": rng.normal(size=(30, 4)).astype(np.float32), "label": np.arange(30) % 3}
    network = front(file)
    weights = {w.name: rng.normal(size=w.extents).astype(np.float32) for w in network.graph.weights}
    looks = look_inside(network, arrays, {0: weights})
    lowered = inside.Inside._lowered
    monkeypatch.setattr(inside.Inside, "_lowered", staticmethod(lambda *rest: pytest.fail("lowered again")))
    again = look_inside(front(file), arrays, {0: weights})
    for name, look in looks.layers.items():
        assert (
            again.layers[name][0].mean == look[0].mean and again.layers[name][0].gradient == look[0].gradient
        )
    # Anything else that is asked for is another program.
    made: list[object] = []
    monkeypatch.setattr(
        inside.Inside, "_lowered", staticmethod(lambda *rest: made.append(rest) or lowered(*rest))
    )
    network = front(file)
    changed = network.with_graph(network.graph.copy(metrics={}), "without metrics")
    for options in (
        {"families": ["hidden"]},
        {"families": ["score"]},
        {"precision": "float64"},
        {"gradient": False},
    ):
        Inside(network, 30, **options)
    assert len(made) == 4
    Inside(network, 30, families=["hidden", "score"])
    Inside(network, 30, families=("score", "hidden"))
    assert len(made) == 5
    Inside(changed, 30, families=("score", "hidden"))
    assert len(made) == 6
    optimizer = Call("sgd", ())
    first = Inside(network, 30, families=["hidden"], optimizer=optimizer)
    second = Inside(network, 30, families=["hidden"], optimizer=optimizer)
    assert len(made) == 7 and second.updates == first.updates and "hidden.w" in first.updates
