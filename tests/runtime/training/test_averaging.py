"""Averages of the iterates: what they are, and that the network is measured and left with them."""

from __future__ import annotations

from typing import Any

import dln
import numpy as np
import pytest
from dln.runtime.training.loop import TrainingState
from dln.tests.runtime.small_regression import (
    Arrays,
    assert_close,
    compiled,
    data,
    follow,
    loss_and_gradient,
    sgd,
)

SGD = "optimizer sgd(rate = 0.2)\n keep last\n "


def iterates(epochs: int = 10) -> list[tuple[int, Arrays]]:
    """(epoch, weights) after every step."""
    kept: list[tuple[int, Arrays]] = []

    def after(w: Arrays, step: int, epoch: int) -> None:
        kept.append((epoch, {n: v.copy() for n, v in w.items()}))

    follow(sgd, epochs, after=after)
    return kept


def mean(weights: list[Arrays]) -> Arrays:
    return {n: np.mean([w[n] for w in weights], axis=0) for n in weights[0]}


def weighted(decay: float, weights: list[Arrays]) -> Arrays:
    """Σ decay^age · w / Σ decay^age"""
    shares = decay ** np.arange(len(weights))[::-1]
    return {n: np.tensordot(shares / shares.sum(), [w[n] for w in weights], 1) for n in weights[0]}


def held(net: dln.Network) -> Arrays:
    return {n: np.array(v) for n, v in net.weights.items()}


def test_mean_of_all_iterates() -> None:
    net = compiled(f"{SGD} average mean")
    net.train(data())
    assert_close(held(net), mean([w for _, w in iterates()]))


def test_mean_from_an_epoch_on() -> None:
    net = compiled(f"{SGD} average mean(start = 4)")
    net.train(data())
    assert_close(held(net), mean([w for epoch, w in iterates() if epoch >= 4]))


def test_before_the_mean_starts_the_weights_are_themselves() -> None:
    net = compiled(f"{SGD} average mean(start = 100)")
    net.train(data())
    assert_close(held(net), iterates()[-1][1])


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.999])
def test_exponential_average(decay: float) -> None:
    net = compiled(f"{SGD} average ema({decay})")
    net.train(data())
    assert_close(held(net), weighted(decay, [w for _, w in iterates()]), 1e-8)


def test_pytorchs_mean() -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.Linear(4, 3).double()
    averaged = torch.optim.swa_utils.AveragedModel(model)
    weights = [w["hidden.w"].T[:3] for _, w in iterates()]
    for w in weights:
        with torch.no_grad():
            model.weight.copy_(torch.tensor(w))
        averaged.update_parameters(model)
    net = compiled(f"{SGD} average mean")
    net.train(data())
    expected = averaged.module.weight.detach().numpy()
    assert held(net)["hidden.w"].T[:3] == pytest.approx(expected, rel=1e-9)


def test_some_weights_alone() -> None:
    net = compiled(f"{SGD} average mean hidden")
    net.train(data())
    expected = iterates()[-1][1] | {
        n: v for n, v in mean([w for _, w in iterates()]).items() if n.startswith("hidden")
    }
    assert_close(held(net), expected)


def test_validation_measures_the_averages_and_training_goes_on_from_the_weights() -> None:
    net = compiled(f"{SGD} average mean")
    history = net.train({"train": data(), "validation": data()})
    arrays = data()
    kept = iterates()
    for record in history:
        averaged = mean([w for epoch, w in kept if epoch < record.epoch])
        loss = loss_and_gradient(averaged, arrays["x"], arrays["t"])[0]
        assert record.validation["loss"] == pytest.approx(loss, rel=1e-9)


def test_the_best_averages_are_kept() -> None:
    net = compiled("optimizer sgd(rate = 0.2)\n average mean")
    seen: list[Any] = []
    history = net.train({"train": data(), "validation": data()}, on_epoch=seen.append)
    assert net.evaluate(data())["loss"] == pytest.approx(min(history.curve("validation")), rel=1e-9)
    best = history.best_epoch
    assert_close(held(net), mean([w for epoch, w in iterates() if epoch < best]))


def test_a_resumed_training_goes_on_from_the_weights() -> None:
    whole = compiled(f"{SGD} average ema(0.9)")
    whole.train(data())
    state = TrainingState()
    compiled(f"{SGD} average ema(0.9)").train(data(), epochs=4, state=state)
    state.history.ending = ""
    resumed = compiled(f"{SGD} average ema(0.9)")
    resumed.train(data(), state=state)
    assert all((resumed.weights[n] == whole.weights[n]).all() for n in whole.weights)


def test_the_average_starts_anew_with_every_training() -> None:
    net = compiled(f"{SGD} average mean")
    net.train(data())
    again = compiled(f"{SGD} average mean")
    for name, value in held(net).items():
        again.weights[name] = value
    net.train(data())
    again.train(data())
    assert_close(held(net), held(again), 1e-12)
