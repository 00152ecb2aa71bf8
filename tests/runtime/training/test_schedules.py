"""Schedules: rates as expressions of step and epoch. Every function of the prelude against its formula and PyTorch's."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import dln
import numpy as np
import pytest
from dln.compiler.parse import parse
from dln.compiler.source import DiagnosticError, Source
from dln.compiler.syntax import FunctionDeclaration
from dln.runtime.training.history import Record
from dln.runtime.training.loop import TrainingState
from dln.runtime.training.plateau import PlateauWatch
from dln.runtime.training.settings import Plateau

PRELUDE = Path(dln.__file__).parent / "grammar" / "prelude" / "schedules.dln"

#: The weight becomes the rate itself.
PROBE = """
network probe
input x
weight w = 0
layer y = w * x
loss average[batch] y
optimizer rate_alone(rate = 1) { update weight <- rate }
"""


def rates(expression: str, epochs: int = 24, samples: int = 1, precision: Any = "float64") -> np.ndarray:
    """The rate of the last step of every epoch."""
    text = f"{PROBE} train {{ optimizer rate_alone(rate = {expression}), batch 1, epochs {epochs} }}"
    text = text.replace(", batch", "\n batch").replace(", epochs", "\n epochs")
    net = dln.compile(text, precision=precision, threads=1)
    seen: list[float] = []

    def note(record: Any) -> None:
        seen.append(float(net.weights["w"]))

    net.train({"x": np.ones(samples)}, on_epoch=note)
    return np.array(seen)


def rise(t: float, length: float) -> float:
    return min(max(t / length, 0.0), 1.0)


#: Written in the language, and in Python as a function of t, which is `epoch`.
FORMULAS: dict[str, Any] = {
    "0.3": lambda t: 0.3,
    "0.1 * 0.5^(epoch div 10)": lambda t: 0.1 * 0.5 ** (t // 10),
    "0.1 * exp(-0.01 * epoch)": lambda t: 0.1 * math.exp(-0.01 * t),
    "0.1 / (1 + 0.01 * epoch)": lambda t: 0.1 / (1 + 0.01 * t),
    "0.5 if epoch < 3 else 0.05": lambda t: 0.5 if t < 3 else 0.05,
    "step_decay(epoch, 7, 0.1)": lambda t: 0.1 ** (t // 7),
    "step_decay(epoch - 10, 5)": lambda t: 0.5 ** (max(t - 10, 0) // 5),
    "exponential_decay(epoch, 0.3)": lambda t: math.exp(-0.3 * t),
    "inverse_decay(epoch, 0.25)": lambda t: 1 / (1 + t / 4),
    "linear_decay(epoch, 16)": lambda t: 1 - rise(t, 16),
    "linear_decay(epoch - 4, 16, final = 0.2)": lambda t: 1 - 0.8 * rise(t - 4, 16),
    "polynomial_decay(epoch, 16)": lambda t: (1 - rise(t, 16)) ** 2,
    "polynomial_decay(epoch, 16, 3)": lambda t: (1 - rise(t, 16)) ** 3,
    "cosine(epoch, 20)": lambda t: math.cos(math.pi / 2 * rise(t, 20)) ** 2,
    "cosine(epoch - 4, 12, final = 0.1)": lambda t: 0.1 + 0.9 * math.cos(math.pi / 2 * rise(t - 4, 12)) ** 2,
    "cosine_restarts(epoch, 8)": lambda t: math.cos(math.pi / 2 * (t % 8) / 8) ** 2,
    "cosine_restarts(epoch, 8, 0.5)": lambda t: 0.5 + 0.5 * math.cos(math.pi / 2 * (t % 8) / 8) ** 2,
    "warm_up(epoch, 10)": lambda t: rise(t, 10),
    "warm_up(epoch, 4) * cosine(epoch - 4, 16)": lambda t: (
        rise(t, 4) * math.cos(math.pi / 2 * rise(t - 4, 16)) ** 2
    ),
    "inverse_root(epoch, 9)": lambda t: 3 * min(max(t, 1) ** -0.5, t * 9**-1.5),
}


def test_every_schedule_of_the_prelude_is_here() -> None:
    module = parse(Source(str(PRELUDE), PRELUDE.read_text(encoding="utf-8")))
    names = [d.name for d in module.declarations if isinstance(d, FunctionDeclaration)]
    assert names and not [n for n in names if not any(f"{n}(" in text for text in FORMULAS)]


@pytest.mark.parametrize("expression", FORMULAS)
def test_formula(expression: str) -> None:
    expected = [FORMULAS[expression](t) for t in range(24)]
    assert rates(expression) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_step_counts_minibatches_from_one_and_epoch_from_zero() -> None:
    assert rates("step", epochs=4, samples=3).tolist() == [3, 6, 9, 12]
    assert rates("epoch", epochs=4, samples=3).tolist() == [0, 1, 2, 3]


def test_schedules_are_computed_in_double_precision() -> None:
    """In float32 10⁷ + 1 steps is 10⁷ steps; and a cosine near its end loses its digits."""
    expression = "cosine(step + 9999990, 10000000) * 1e13"
    expected = [math.sin(math.pi / 2 * max(10 - t, 0) * 1e-7) ** 2 * 1e13 for t in range(1, 9)]
    assert rates(expression, epochs=8, precision="float32") == pytest.approx(expected, rel=2e-3)


PEERS: dict[str, Any] = {
    "0.1 * step_decay(epoch, 5, 0.3)": lambda s, o: s.StepLR(o, 5, 0.3),
    "0.1 * 0.9^epoch": lambda s, o: s.ExponentialLR(o, 0.9),
    "0.1 * cosine(epoch, 23, final = 0.2)": lambda s, o: s.CosineAnnealingLR(o, 23, eta_min=0.02),
    "0.1 * cosine_restarts(epoch, 6)": lambda s, o: s.CosineAnnealingWarmRestarts(o, 6),
    "0.1 * linear_decay(epoch, 10, final = 0.3)": lambda s, o: s.LinearLR(o, 1.0, 0.3, 10),
    "0.1 * polynomial_decay(epoch, 20, 2)": lambda s, o: s.PolynomialLR(o, 20, 2.0),
}


@pytest.mark.parametrize("expression", PEERS)
def test_pytorch(expression: str) -> None:
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    scheduler = PEERS[expression](torch.optim.lr_scheduler, optimizer)
    expected = []
    for _ in range(24):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates(expression) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_a_rate_may_depend_on_nothing_else() -> None:
    with pytest.raises(DiagnosticError, match="may depend on step and epoch only"):
        dln.compile(PROBE + "train { optimizer sgd(rate = batch_size) }")
    with pytest.raises(DiagnosticError, match="E2"):
        dln.compile(PROBE + "train { optimizer sgd(rate = 0.1 * w) }")


def test_a_schedule_adds_no_work_per_weight() -> None:
    """What depends on the clocks is computed once a step; the kernels that run over the weights stay as they are."""
    plain, scheduled = (
        dln.compile(
            f"input x[8]\nlayer y[16] = dense(x)\nloss average[batch] sum[j] y[j]^2\n"
            f"train {{ optimizer sgd(rate = {rate}) }}",
            threads=1,
        )
        for rate in ("0.1", "0.1 * warm_up(step, 100) * cosine(step - 100, 900) * step_decay(epoch, 5)")
    )
    calls = [net._main.program.routines["train"].calls for net in (plain, scheduled)]
    before, after = ([c for c in made if c.multiply_adds > 1] for made in calls)
    assert [(c.extent, c.multiply_adds) for c in before] == [(c.extent, c.multiply_adds) for c in after]


# ------------------------------------------------------------------------------------------ reduce on plateau


def scales(values: list[float], **plan: Any) -> list[float]:
    watch = PlateauWatch(Plateau(**plan))
    return [watch.see(Record(n + 1, n + 1, {"loss": v})) for n, v in enumerate(values)]


VALUES = [5, 4, 4.5, 4.2, 3.9, 4, 4, 4, 3.9, 3.9, 3.95, 3.8, 3.9, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("patience", [1, 2, 3])
@pytest.mark.parametrize("improvement", [0.0, 0.15])
def test_plateau_is_pytorchs(patience: int, improvement: float) -> None:
    """There a rate is reduced when *more* than `patience` epochs were bad."""
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.3, patience=patience - 1, threshold=improvement, threshold_mode="abs", min_lr=0.01
    )
    expected = []
    for value in VALUES:
        scheduler.step(value)
        expected.append(optimizer.param_groups[0]["lr"])
    assert scales(VALUES, factor=0.3, patience=patience, improvement=improvement, least=0.01) == expected


def test_a_metric_is_watched_upwards() -> None:
    watch = PlateauWatch(Plateau(patience=1, watched="hits", maximize=True))
    seen = [watch.see(Record(1, 1, {}, {"loss": 1.0, "hits": hits})) for hits in (0.1, 0.2, 0.2, 0.3, 0.1)]
    assert seen == [1, 1, 0.5, 0.5, 0.25]


def plateau_net(**settings: Any) -> dln.Network:
    """Its loss never improves, so the rate is halved every two epochs; the weight adds up the rates."""
    text = f"""{PROBE}
optimizer rate_sum(rate = 1) {{ update weight <- weight + rate }}
train {{
  optimizer rate_sum(rate = 8 * linear_decay(epoch, 1000))
  reduce rate(factor = 0.5, patience = 2)
  batch 1
  epochs 9
  keep last
}}
"""
    return dln.compile(text.replace("average[batch] y", "average[batch] 0 * y"), threads=1, **settings)


def plateau_rates(epochs: int) -> list[float]:
    # The first epoch is an improvement on nothing.
    return [8 * (1 - t / 1000) * 0.5 ** (max(t - 1, 0) // 2) for t in range(epochs)]


def test_the_rate_of_the_update_equations_is_reduced() -> None:
    net = plateau_net(precision="float64")
    net.train({"x": np.ones(1)})
    assert net.weights["w"] == pytest.approx(sum(plateau_rates(9)), rel=1e-6)


def test_a_resumed_training_remembers_the_plateau() -> None:
    net = plateau_net(precision="float64")
    data, state = {"x": np.ones(1)}, TrainingState()
    net.train(data, epochs=4, state=state)
    other = plateau_net(precision="float64")
    state.history.ending = ""
    other.train(data, state=state)
    assert other.weights["w"] == pytest.approx(sum(plateau_rates(9)), rel=1e-6)


def test_every_training_begins_with_the_full_rate() -> None:
    net = plateau_net(precision="float64")
    for _ in range(2):
        net.weights["w"] = 0
        net.train({"x": np.ones(1)})
        assert net.weights["w"] == pytest.approx(sum(plateau_rates(9)), rel=1e-6)
