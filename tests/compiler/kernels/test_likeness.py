"""Families that are alike: a nest that was built for others equals the one that would be built anew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from dln.compiler.kernels.nest import Nest
from dln.compiler.kernels.nest_builder import Member, build
from dln.compiler.machine.target import TARGETS
from dln.compiler.pipeline import front, front_text, lower_network
from dln.compiler.schedule.schedule import _Lowering
from dln.runtime.training.settings import read_plan

MODELS = Path(__file__).parents[3] / "models"

LAYERS = """
input x[6, 8]
input k: class[5]
input t[8]
layer a[6, 8] = lstm(x)
layer b[6, 8] = lstm(a)
let table[8] = embedding(k, 5)
layer c[i: 6, j: 8] = b[i, j] + table[j]
layer d[8] = tanh(dense(flatten(c)))
layer e[8] = tanh(dense(d))
layer f[8] = tanh(dense(e)) + d
loss squared_error(f, t)
train {
  optimizer adam(rate = 0.001)
  batch 8
}
"""


def lowered_and_compared(network, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:  # type: ignore[no-untyped-def]
    """How many nests were asked for, and how many of them had been built for others; each of these is built anew."""
    asked, known = 0, 0
    original = _Lowering._nest

    def nest(self: _Lowering, members: Sequence[Member]) -> tuple[Nest, tuple[str, ...]]:
        nonlocal asked, known
        before = len(self.alike)
        result = original(self, members)
        asked += 1
        if len(self.alike) == before:
            known += 1
            precise = self.precision if members[0].family.axes else "float64"
            assert result == build(
                members, self.graph, self.layouts, capacity=self.capacity, real=precise, storage=self.storage
            )
        return result

    monkeypatch.setattr(_Lowering, "_nest", nest)
    plan = read_plan(network)
    lower_network(network, capacity=plan.capacity, optimizer=plan.optimizer, target=TARGETS["x86-64-v3"])
    return asked, known


def test_equal_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, known = lowered_and_compared(front_text(LAYERS), monkeypatch)
    assert known >= asked / 5


@pytest.mark.parametrize("name", ["names_batch_norm", "hexagonal", "dropout_digits"])
def test_models(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, known = lowered_and_compared(front(MODELS / f"{name}.dln"), monkeypatch)
    assert 0 < known < asked
