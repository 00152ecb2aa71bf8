"""The training loop alone, over an execution whose losses are written down in the test."""

from __future__ import annotations

import itertools
import math
import os
import signal
import time
from types import SimpleNamespace

import numpy as np
import pytest
from dln.compiler.mathematics.graph import Array, Graph
from dln.runtime.checkpoint import read_checkpoint, write_checkpoint
from dln.runtime.errors import InputError, TrainingDiverged, TrainingInterrupted
from dln.runtime.execution import Pace, Totals
from dln.runtime.training.loop import Training, TrainingState
from dln.runtime.training.settings import TrainingPlan

SAMPLES = 10


class Memory:
    def __init__(self):
        self.arrays = {"w": np.zeros(2), "m": np.zeros(2)}

    def view(self, name):
        return self.arrays[name]

    def copy_of(self, names):
        return {name: self.arrays[name].copy() for name in names}

    def covering(self, names):
        return [self.arrays[name] for name in names]

    def put_back(self, snapshot):
        for name, values in snapshot.items():
            self.arrays[name][...] = values


class Execution:
    """Every epoch adds one to the weight. `losses` are the validation's, `during` is called within an epoch."""

    def __init__(self, losses=(), during=None, train_losses=None):
        graph = Graph("n", {"w": Array("w", "weight", (2,)), "m": Array("m", "state", (2,))})
        graph.metrics = {"accuracy": "accuracy"}
        self.compiled = SimpleNamespace(graph=graph)
        routines = {"train": SimpleNamespace(results=("loss",))}
        self.program = SimpleNamespace(placements={"w": None, "m": None}, routines=routines)
        self.memory, self.kept, self.step = Memory(), ["w", "m"], 0
        self.losses, self.train_losses = losses, train_losses or {}
        self.during, self.orders, self.epochs = during, [], []

    def run_all(
        self,
        routine,
        arrays,
        count,
        *,
        order,
        batch,
        epoch,
        training,
        progress,
        interrupt,
        first=0,
        totals=None,
    ):
        self.orders.append(order)
        self.epochs.append(epoch)
        totals = totals or Totals(("loss",))
        loss = self.train_losses.get(epoch + 1, 1.0)
        for half in range(first // (count // 2), 2):
            self.memory.view("w")[...] += 0.5
            self.memory.view("m")[...] -= 0.5
            self.step += 1 + half
            totals.sums += loss * count / 2, count / 2
            if half == 0 and self.during is not None:
                self.during(epoch + 1)
            if half == 0 and interrupt.requested:
                return totals
        progress(count, totals)
        return totals

    def figures(self, means):
        return dict(means)

    def evaluate(self, execution, arrays, *, epoch, interrupt):
        loss = self.losses[epoch - 1]
        return {"loss": loss, "accuracy": 1 / (1 + loss)}


def training(execution, validation=True, state=None, on_epoch=None, **plan):
    data = {"x": np.zeros((SAMPLES, 1))}
    chosen = TrainingPlan(**({"epochs": 8} | plan))
    part = data if validation else None
    return Training(
        execution,
        chosen,
        data,
        part,
        evaluate=execution.evaluate,
        state=state,
        on_epoch=on_epoch,
        traces=False,
    )


def test_early_stopping_keeps_the_best_weights():
    execution = Execution([5, 4, 3, 6, 3.5, 1, 1, 1])
    history = training(execution, patience=2).run()
    assert (history.ending, history.best_epoch, len(history)) == ("early", 3, 5)
    assert execution.memory.view("w").tolist() == [3, 3]
    assert execution.memory.view("m").tolist() == [-3, -3]
    assert history.curve("validation") == [5, 4, 3, 6, 3.5]


def test_patience_starts_anew_with_every_improvement():
    history = training(Execution([5, 6, 4, 5, 3, 4, 4, 4]), patience=2).run()
    assert (history.ending, history.best_epoch, len(history)) == ("early", 5, 7)


def test_the_best_is_kept_without_early_stopping_and_the_last_on_request():
    best = Execution([3, 1, 2])
    assert training(best, epochs=3).run().best_epoch == 2
    assert best.memory.view("w")[0] == 2
    last = Execution([3, 1, 2])
    assert training(last, epochs=3, keep="last").run().best_epoch == 3
    assert last.memory.view("w")[0] == 3


def test_a_metric_can_be_watched_upwards():
    execution = Execution([3, 1, 2, 5, 5])
    history = training(execution, watched="accuracy", maximize=True, patience=1, epochs=5).run()
    assert (history.best_epoch, len(history), history.watched) == (2, 3, "accuracy")


def test_what_is_watched_must_exist():
    with pytest.raises(InputError, match="watches 'hits', which is not measured"):
        training(Execution(), watched="hits")
    with pytest.raises(InputError, match="watches the validation part, and there is none"):
        training(Execution(), validation=False, patience=3)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_divergence_puts_the_last_good_weights_back(bad):
    execution = Execution([3, 1, 2, 2], train_losses={4: bad})
    with pytest.raises(TrainingDiverged, match=r"in epoch 4; .* those of epoch 2 again") as caught:
        training(execution).run()
    assert execution.memory.view("w")[0] == 2 and caught.value.history.ending == "diverged"
    without = Execution(train_losses={3: bad})
    with pytest.raises(TrainingDiverged, match="those of epoch 2 again"):
        training(without, validation=False).run()
    assert without.memory.view("w")[0] == 2
    first = Execution(train_losses={1: bad})
    with pytest.raises(TrainingDiverged, match="those it started with again"):
        training(first, validation=False).run()
    assert first.memory.view("w")[0] == 0


def test_divergence_is_seen_in_the_validation_and_in_the_weights():
    with pytest.raises(TrainingDiverged, match="the validation loss became NaN in epoch 2"):
        training(Execution([1, math.nan])).run()

    execution = Execution()

    def spoil(epoch):
        if epoch == 3:
            execution.memory.view("w")[1] = math.inf

    execution.during = spoil
    with pytest.raises(TrainingDiverged, match="the weight 'w' became NaN or infinite in epoch 3"):
        training(execution, validation=False).run()
    assert execution.memory.view("w").tolist() == [2, 2]


def test_interrupt_keeps_the_best_weights_and_ends_as_a_keyboard_interrupt():
    def during(epoch):
        if epoch == 4:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)

    execution = Execution([3, 1, 2, 2], during)
    with pytest.raises(KeyboardInterrupt) as caught:
        training(execution).run()
    assert isinstance(caught.value, TrainingInterrupted)
    assert "the weights are the best ones, of epoch 2 (validation loss 1)" in str(caught.value)
    assert execution.memory.view("w")[0] == 2 and len(caught.value.history) == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    without = Execution(during=during)
    with pytest.raises(TrainingInterrupted, match="the weights are the last ones"):
        training(without, validation=False).run()
    assert without.memory.view("w")[0] == 3.5


def test_a_callback_ends_the_training():
    history = training(Execution([3, 2, 1, 1]), on_epoch=lambda record: record.epoch == 3).run()
    assert (history.ending, len(history)) == ("callback", 3)


def test_orders_are_permutations_by_seed_and_epoch():
    first, again, other = Execution(), Execution(), Execution()
    training(first, validation=False, epochs=3).run()
    training(again, validation=False, epochs=3).run()
    training(other, validation=False, epochs=3, seed=1).run()
    assert all(sorted(order) == list(range(SAMPLES)) for order in first.orders)
    assert len({tuple(order) for order in first.orders + other.orders}) == 6
    assert [tuple(o) for o in first.orders] == [tuple(o) for o in again.orders]
    assert first.epochs == [0, 1, 2]
    fixed = Execution()
    training(fixed, validation=False, epochs=2, order="fixed").run()
    assert fixed.orders == [None, None]


def test_going_on_from_a_checkpoint_ends_in_the_same_state(tmp_path):
    losses = [5, 4, 6, 3, 7, 7, 7, 7]
    whole = Execution(losses)
    expected = training(whole, patience=3).run()

    def during(epoch):
        if epoch == 4:
            signal.raise_signal(signal.SIGINT)

    broken, state = Execution(losses, during), TrainingState()
    with pytest.raises(TrainingInterrupted):
        training(broken, patience=3, state=state).run()
    write_checkpoint(tmp_path / "c", state, {"seed": 0})
    resumed, settings = read_checkpoint(tmp_path / "c")
    assert settings == {"seed": 0}
    rest = Execution(losses)
    rest.memory.put_back(resumed.current)
    history = training(rest, patience=3, state=resumed).run()
    assert (history.ending, history.best_epoch, len(history)) == ("early", 4, 7)
    assert history.curve("validation") == expected.curve("validation")
    assert [r.step for r in history] == [r.step for r in expected]
    for name in ("w", "m"):
        np.testing.assert_array_equal(rest.memory.view(name), whole.memory.view(name))
    assert [tuple(o) for o in rest.orders] == [tuple(o) for o in whole.orders[3:]]


def test_pieces_cover_every_sample_in_whole_minibatches():
    pace = Pace()
    for _ in range(3):
        pieces = list(pace.pieces(0, 1003, 10))
        assert pieces[0][0] == 0 and pieces[-1][1] == 1003
        assert all(a[1] == b[0] and a[1] % 10 == 0 for a, b in itertools.pairwise(pieces))
    assert pace.minibatches > 1
