"""Both ways of training again with the validation part: against NumPy, step by step."""

from __future__ import annotations

import math
from typing import Any

import dln
import numpy as np
import pytest
from dln.compiler.source import DiagnosticError
from dln.runtime.errors import InputError
from dln.runtime.training.history import Record
from dln.runtime.training.loop import TrainingState
from dln.tests.runtime.small_regression import (
    NETWORK,
    Arrays,
    assert_close,
    data,
    first_weights,
    loss_and_gradient,
)

PART = 26  # samples of the training part; the other twelve are the validation part
BATCH, RATE = 8, 0.3


def parts() -> tuple[Arrays, Arrays]:
    arrays = data()
    train = {n: v[:PART] for n, v in arrays.items()}
    # The validation part is of another kind, so that its loss rises again.
    validation = {"x": arrays["x"][PART:], "t": 0.3 * arrays["t"][PART:] + 0.5}
    return train, validation


def network(settings: str, **options: Any) -> dln.Network:
    section = (
        f"train {{\n optimizer sgd(rate = {RATE})\n batch {BATCH}\n epochs 30\n order fixed\n {settings}\n}}"
    )
    net = dln.compile(NETWORK + section, precision="float64", threads=1, **options)
    for name, value in first_weights().items():
        net.weights[name] = value
    return net


def descend(w: Arrays, arrays: Arrays, steps: int | None = None) -> Arrays:
    """One pass, or the first steps of as many passes as it takes."""
    count = len(arrays["x"])
    starts = list(range(0, count, BATCH))
    for step in range(steps if steps is not None else len(starts)):
        rows = slice(starts[step % len(starts)], min(count, starts[step % len(starts)] + BATCH))
        g = loss_and_gradient(w, arrays["x"][rows], arrays["t"][rows])[1]
        w = {n: w[n] - RATE * g[n] for n in w}
    return w


def loss(w: Arrays, arrays: Arrays) -> float:
    return loss_and_gradient(w, arrays["x"], arrays["t"])[0]


def first_training(patience: int = 3) -> tuple[Arrays, int, int]:
    """The best weights, their epoch, and the number of epochs trained."""
    train, validation = parts()
    w, best, kept, epoch = first_weights(), (math.inf, 0), first_weights(), 0
    while epoch < 30 and epoch - best[1] < patience:
        w, epoch = descend(w, train), epoch + 1
        if loss(w, validation) < best[0]:
            best, kept = (loss(w, validation), epoch), w
    return kept, best[1], epoch


def both() -> Arrays:
    train, validation = parts()
    return {n: np.concatenate([train[n], validation[n]]) for n in train}


def held(net: dln.Network) -> Arrays:
    return {n: np.array(v) for n, v in net.weights.items()}


def given() -> dict[str, Arrays]:
    train, validation = parts()
    return {"train": train, "validation": validation}


def test_early_stopping_restores_the_best_weights() -> None:
    expected, best, epochs = first_training()
    assert 1 < best < epochs < 30
    net = network("stop early(patience = 3)")
    history = net.train(given())
    assert (history.best_epoch, len(history), history.ending) == (best, epochs, "early")
    assert_close(held(net), expected)
    assert history.retraining is None


def test_afresh() -> None:
    """From the first weights, for as many steps as the best had taken: the last epoch is not whole."""
    _, best, epochs = first_training()
    steps = best * -(-PART // BATCH)
    assert steps % -(-38 // BATCH)
    net = network("stop early(patience = 3)\n retrain afresh")
    history = net.train(given())
    assert_close(held(net), descend(first_weights(), both(), steps))
    assert (history.best_epoch, len(history)) == (best, epochs)
    assert history.retraining is not None and history.retraining[-1].step == steps


def test_afresh_with_all_samples_at_once() -> None:
    net = network("stop early(patience = 3)\n retrain afresh")
    history = net.train(given(), batch="all", epochs=6)
    w = first_weights()
    for _ in range(history.best_epoch):
        g = loss_and_gradient(w, both()["x"], both()["t"])[1]
        w = {n: w[n] - RATE * g[n] for n in w}
    assert_close(held(net), w)


def test_further() -> None:
    """From the best weights, on all data, until the validation loss is that of the training part at the stop."""
    w = first_training()[0]
    train, validation = parts()
    goal, seen = loss(w, train), []
    while not seen or seen[-1] > goal:
        w = descend(w, both())
        seen.append(loss(w, validation))
        if len(seen) == 30:
            break
    net = network("stop early(patience = 3)\n retrain further")
    history = net.train(given())
    again = history.retraining
    assert again is not None
    assert again.curve("validation") == pytest.approx(seen)
    assert (again.ending, len(again)) == ("epochs", 30)  # never reached, so the epochs end it
    assert_close(held(net), w)


def test_further_until_the_goal_is_reached() -> None:
    train, _ = parts()
    later = {n: v[PART:] for n, v in data().items()}
    everything = {n: np.concatenate([train[n], later[n]]) for n in train}
    w = first_weights()
    for _ in range(4):
        w = descend(w, train)
    goal, seen = loss(w, train), []
    while not seen or seen[-1] > goal:
        w = descend(w, everything)
        seen.append(loss(w, later))
    assert len(seen) > 1
    net = network("keep last\n retrain further")
    again = net.train({"train": train, "validation": later}, epochs=4).retraining
    assert again is not None
    assert (again.ending, again.curve("validation")) == ("reached", pytest.approx(seen))
    assert_close(held(net), w)


def test_further_where_the_goal_is_reached_at_once() -> None:
    train, _ = parts()
    history = network("retrain further").train({"train": train, "validation": train}, epochs=2)
    assert history.retraining is not None
    assert (history.retraining.ending, len(history.retraining)) == ("reached", 0)


def test_further_goes_on_with_the_optimizers_memory() -> None:
    """With momentum and one epoch of training: the velocity at the stop is that of the second training's start."""
    text = (
        NETWORK
        + "train {\n optimizer momentum(rate = 0.05)\n batch 100\n order fixed\n retrain further\n epochs 1\n}"
    )
    net = dln.compile(text, precision="float64", threads=1)
    for name, value in first_weights().items():
        net.weights[name] = value
    net.train(given())
    w, v = first_weights(), dict.fromkeys(first_weights(), 0)
    for arrays in (parts()[0], both()):
        g = loss_and_gradient(w, arrays["x"], arrays["t"])[1]
        v = {n: 0.9 * v[n] + g[n] for n in w}
        w = {n: w[n] - 0.05 * v[n] for n in w}
    assert_close(held(net), w)


@pytest.mark.parametrize("way", ["afresh", "further"])
def test_a_training_that_is_resumed_after_its_end_trains_again_alike(way: str) -> None:
    net, state = network(f"stop early(patience = 3)\n retrain {way}"), TrainingState()
    net.train(given(), state=state)
    expected = held(net)
    other = network(f"stop early(patience = 3)\n retrain {way}")
    other.train(given(), state=state)
    assert all((other.weights[n] == expected[n]).all() for n in expected)


def test_epochs_are_counted_on() -> None:
    seen: list[Record] = []
    net = network("stop early(patience = 3)\n retrain afresh")
    net.train(given(), on_epoch=seen.append)
    assert [record.epoch for record in seen] == list(range(1, len(seen) + 1))


def test_what_it_needs() -> None:
    with pytest.raises(InputError, match="retrain trains again with the validation part, and there is none"):
        network("retrain afresh").train(data())
    with pytest.raises(DiagnosticError, match="expected afresh or further"):
        network("retrain twice")
