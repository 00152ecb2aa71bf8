"""The training loop: epochs of minibatches, validation, early stopping, interruption, divergence.

In: an `Execution`, a `TrainingPlan`, the arrays of the training and validation parts.
Out: `History`; the weights in memory are the ones to keep (the best by validation, else the last).

    history = Training(execution, plan, data["train"], data.parts.get("validation"), evaluate=…).run()

The same seed gives the same bits: the order of the samples depends on the seed and the number of the epoch alone, and
nothing depends on the clock. The last minibatch of an epoch is trained even when it is not full.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import field
from functools import partial
from typing import Any, Protocol

import numpy as np

from ...compiler.mathematics.graph import RATE_SCALE
from ...compiler.record import record
from ...compiler.source import Diagnostic, DiagnosticError, render
from ..arrays import count_samples
from ..data.augmentation import Augmentation
from ..errors import InputError, RunError, TrainingDiverged, TrainingInterrupted
from ..execution import Execution, Totals
from ..initialize import generator
from ..memory import Snapshot
from .averaging import Averages
from .finite_watch import FiniteWatch, told
from .history import Figures, History, Record
from .interrupt import Interrupt
from .outer_optimizers import Outer
from .plateau import PlateauWatch
from .settings import TrainingPlan

Arrays = Mapping[str, np.ndarray]
OnProgress = Callable[[int, int, Figures], None]
OnEpoch = Callable[[Record], Any]


@record(frozen=False)
class TrainingState:
    """Everything besides memory that the next step depends on: what a checkpoint holds.

    epoch, done   how many epochs are over, and how many samples of the next one
    sums          of the figures over these samples
    current       the weights and states as they were then
    best, waited  those of the best epoch, and the number of epochs since then
    remembered    by an optimizer outside of the compiled step
    """

    epoch: int = 0
    step: int = 0
    current: Snapshot = field(default_factory=dict)
    waited: int = 0
    best_value: float = math.inf
    best: Snapshot = field(default_factory=dict)
    history: History = field(default_factory=History)
    done: int = 0
    sums: np.ndarray = field(default_factory=lambda: np.zeros(0))
    remembered: Snapshot = field(default_factory=dict)


class Keeper(Protocol):
    """Keeps states, so that a training which is broken off can go on."""

    def due(self) -> bool:
        """Whether the last state was kept long enough ago."""
        ...

    def keep(self, state: TrainingState) -> None: ...


class Training:
    """One training.

    evaluate      (execution, arrays, epoch=, interrupt=) → figures of the weights that the execution holds
    on_progress   called after every native call with (samples done, samples of the epoch, running means)
    on_epoch      called with every finished `Record`; a true answer ends the training
    outer         changes the weights in the place of the optimizer's equations
    steps         ends the training after so many steps
    goal          ends the training when the loss of the validation part is no larger
    augmentation  changes the samples anew in every epoch
    keeper        is given the state now and then, in the middle of long epochs too
    traces        look for the equation in which a NaN began
    """

    def __init__(
        self,
        execution: Execution,
        plan: TrainingPlan,
        train: Arrays,
        validation: Arrays | None = None,
        *,
        evaluate: Callable[..., Figures],
        state: TrainingState | None = None,
        on_progress: OnProgress | None = None,
        on_epoch: OnEpoch | None = None,
        outer: Outer | None = None,
        steps: int | None = None,
        goal: float | None = None,
        augmentation: Augmentation | None = None,
        keeper: Keeper | None = None,
        traces: bool = True,
    ):
        self.execution, self.plan = execution, plan
        self.train, self.validation = train, validation
        self.count = count_samples(train)
        self.state = state or TrainingState()
        self.evaluate = evaluate
        self.on_progress, self.on_epoch, self.outer = on_progress, on_epoch, outer
        self.steps, self.goal, self.augmentation, self.keeper = steps, goal, augmentation, keeper
        self.traces = traces
        self.averages = Averages(execution)
        self.plateau = PlateauWatch(plan.reduce) if plan.reduce is not None else None
        self.watch = FiniteWatch(execution)
        if plan.patience is not None and validation is None:
            raise InputError(
                "stop early(…) watches the validation part, and there is none;"
                " give one in split, or as data['validation']"
            )
        self._check_watched()

    def _check_watched(self) -> None:
        graph, watched = self.execution.compiled.graph, self.plan.watched
        if watched != "loss" and watched not in graph.metrics:
            known = ", ".join(["loss", *graph.metrics])
            raise InputError(f"stop early watches '{watched}', which is not measured ({known} are)")

    @property
    def history(self) -> History:
        return self.state.history

    def run(self) -> History:
        """Train until the epochs are done, patience ends, or someone interrupts.

        Raises TrainingInterrupted or TrainingDiverged; both carry the history, and memory holds the weights to keep.
        """
        state, history = self.state, self.history
        history.watched = self.plan.watched
        self.execution.step = state.step
        state.current = state.current or self.execution.memory.copy_of(self.execution.kept)
        if self.outer is not None:
            self.outer.restore(state.remembered)
        if self.plateau is not None:
            for earlier in history:
                self.plateau.see(earlier)
        started = time.perf_counter() - history.seconds
        with Interrupt() as interrupt:
            while state.epoch < self.plan.epochs and not history.ending:
                record = self._epoch(state.epoch + 1, interrupt, started)
                history.seconds = time.perf_counter() - started
                if record is None:
                    history.ending = "interrupted"
                    break
                self._judge(record)
                if self.keeper is not None and self.keeper.due():
                    self.keeper.keep(state)
                if self.outer is not None and self.outer.finished and not history.ending:
                    history.ending = "converged"
                if self.on_epoch is not None and self.on_epoch(record) and not history.ending:
                    history.ending = "callback"
                if interrupt.requested and not history.ending:
                    history.ending = "interrupted"
        history.ending = history.ending or "epochs"
        self._put_best_back()
        history.seconds = time.perf_counter() - started
        if history.ending == "interrupted":
            raise TrainingInterrupted(self._interruption(), history)
        return history

    # ---------------------------------------------------------------------------------------------- an epoch

    def _epoch(self, epoch: int, interrupt: Interrupt, started: float) -> Record | None:
        """Train one epoch and validate; None where an interrupt came."""
        execution, plan = self.execution, self.plan
        order, count, first = self._order(epoch), self._samples_of_epoch(), self.state.done
        begun = time.perf_counter()

        def progress(done: int, totals: Totals) -> None:
            running = execution.figures(totals.mean())
            if not math.isfinite(running.get("loss", 0.0)):
                self._diverged(epoch, f"the loss became {told(running['loss'])}")
            if self.keeper is not None and done < count and self.keeper.due():
                self._keep_midway(totals)
            if self.on_progress is not None:
                self.on_progress(done, count, running)

        run_all = partial(execution.run_all, "train")
        if self.outer is not None:
            run_all = partial(self.outer.run_all, execution)
        elif first:
            totals = Totals(execution.program.routines["train"].results)
            totals.sums[:] = self.state.sums
            run_all = partial(run_all, first=first, totals=totals)
        totals = run_all(
            self._train_arrays(epoch),
            count,
            order=order,
            batch=plan.batch,
            epoch=epoch - 1,
            training=True,
            progress=progress,
            interrupt=interrupt,
        )
        if totals.count < count and not (self.outer is not None and self.outer.finished):
            self._keep_midway(totals)
            return None
        spent = time.perf_counter() - begun
        if (name := self.watch.broken()) is not None:
            kind = execution.compiled.graph.arrays[name].kind
            self._diverged(epoch, f"the {kind} '{name}' became NaN or infinite")
        record = Record(epoch, execution.step, execution.figures(totals.mean()))
        if self.validation is not None:
            with self.averages.in_place():
                record.validation = self.evaluate(
                    execution, self.validation, epoch=epoch, interrupt=interrupt
                )
            if not record.validation:
                self._keep_midway(totals)
                return None
            if not math.isfinite(record.validation["loss"]):
                self._diverged(
                    epoch, f"the validation loss became {told(record.validation['loss'])}", "validation"
                )
        record.seconds = time.perf_counter() - started
        record.speed = (count - first) / max(spent, 1e-9)
        return record

    def _keep_midway(self, totals: Totals) -> None:
        """Note the state in the middle of an epoch, and keep it; outer optimizers have no state that could be noted."""
        if self.outer is not None or self.watch.broken() is not None:
            return
        state = self.state
        self._note_current()
        state.done, state.sums, state.step = int(totals.count), totals.sums.copy(), self.execution.step
        if self.keeper is not None:
            self.keeper.keep(state)

    def _note_current(self) -> None:
        """Keep weights and states as they are now. What was kept before is let go first, so that no two copies are held."""
        self.state.current = {}
        self.state.current = self.execution.memory.copy_of(self.execution.kept)

    def _train_arrays(self, epoch: int) -> Arrays:
        if self.augmentation is None:
            return self.train
        return self.augmentation.applied(self.train, seed=self.plan.seed, epoch=epoch)

    def _order(self, epoch: int) -> np.ndarray | None:
        if self.plan.order == "fixed":
            return None
        return generator(self.plan.seed, "order", epoch).permutation(self.count).astype(np.int64)

    def _samples_of_epoch(self) -> int:
        """All, or as many as the remaining steps take."""
        if self.steps is None:
            return self.count
        left, batch = self.steps - self.state.step, self.plan.batch or self.count
        return min(self.count, self.state.done + left * batch)

    # --------------------------------------------------------------------------------------- which to keep

    def _judge(self, record: Record) -> None:
        """Note whether this epoch is the best so far, and whether patience ends."""
        state, plan = self.state, self.plan
        state.epoch, state.done, state.step = record.epoch, 0, record.step
        if self.plateau is not None:
            self.execution.memory.view(RATE_SCALE)[...] = self.plateau.see(record)
        self._note_current()
        if self.outer is not None:
            state.remembered = self.outer.saved()
        state.history.records.append(record)
        if self.steps is not None and record.step >= self.steps:
            state.history.ending = "epochs"
        if self.goal is not None and record.validation["loss"] <= self.goal:
            state.history.ending = "reached"
        if self.validation is None or plan.keep == "last":
            state.history.best_epoch = record.epoch
        if self.validation is None:
            return
        value = record.validation[plan.watched] * (-1 if plan.maximize else 1)
        if value < state.best_value - plan.improvement:
            state.best_value, state.waited = value, 0
            if plan.keep == "best":
                state.best = self.averages.instead_of_weights(state.current)
                state.history.best_epoch = record.epoch
        else:
            state.waited += 1
            if plan.patience is not None and state.waited >= plan.patience:
                state.history.ending = "early"

    def _put_best_back(self) -> None:
        if self.state.best:
            self.execution.memory.put_back(self.state.best)
        else:
            self.averages.put_in_place()

    def _diverged(self, epoch: int, what: str, part: str = "train") -> None:
        """Put the last good weights back, look where it began, and raise."""
        origin = self._origin(epoch, part)
        kept = self.history.best_epoch if self.state.best else epoch - 1
        self.execution.memory.put_back(self.state.best or self.state.current)
        self.history.ending, self.history.best_epoch = "diverged", kept
        where = f"those of epoch {kept}" if kept else "those it started with"
        if self.state.done and not self.state.best:
            where = f"those after {self.state.done} samples of epoch {epoch}"
        raise TrainingDiverged(
            f"{what} in epoch {epoch}; training stopped, and the weights are {where} again."
            " A smaller rate often helps" + (f"\n\n{render(origin)}" if origin is not None else ""),
            self.history,
            origin,
        )

    def _origin(self, epoch: int, part: str) -> Diagnostic | None:
        """The equation in which it began, if that can be found; whatever hinders the search, it is not what went wrong."""
        if not self.traces:
            return None
        from ..diagnosis.replay import (
            BrokenEpoch,
            where_it_arose,
            where_objective_broke,
            where_validation_broke,
        )

        try:
            if part == "validation":
                assert self.validation is not None
                with self.averages.in_place():
                    return where_validation_broke(self.execution, self.validation, epoch)
            arrays, order, count = self._train_arrays(epoch), self._order(epoch), self._samples_of_epoch()
            broken = BrokenEpoch(self.execution, self.plan, self.state, arrays, order, epoch, count)
            return where_it_arose(broken) if self.outer is None else where_objective_broke(broken)
        except (MemoryError, NotImplementedError, RunError, DiagnosticError):
            return None

    def _interruption(self) -> str:
        history = self.history
        if not self.state.best:
            return f"interrupted in epoch {self.state.epoch + 1}; the weights are the last ones"
        watched = self.history[history.best_epoch - 1].validation[self.plan.watched]
        return (
            f"interrupted in epoch {self.state.epoch + 1}; the weights are the best ones,"
            f" of epoch {history.best_epoch} (validation {self.plan.watched} {watched:.4g})"
        )
