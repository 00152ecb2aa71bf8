"""A network compiled more than once: for other minibatch sizes, with and without an optimizer; always the same weights.

In: an elaborated network.  Out: `Executions`: the main one, whose memory the user sees, and others made when needed.

    executions.main                                  capacity and optimizer as the file says
    with executions.lent(plan) as execution: …       one that can train by this plan
    executions.for_samples(5000, ["loss"])           one that gives exact figures for so many samples

Another execution gets copies of the weights and states before it works, and gives them back if it changed them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..compiler.pipeline import Precision, compile_network
from ..compiler.syntax import Call
from .batch_coupling import Coupling, coupling_of
from .execution import Execution
from .gathered_execution import PART, GatheredExecution, gathered_execution, is_gathered
from .initialize import write_initial_values
from .training.settings import TrainingPlan

if TYPE_CHECKING:
    from ..compiler.elaborate import Network as Elaborated

#: The largest minibatch that is compiled for figures which cannot be put together from smaller ones.
LARGEST_MINIBATCH = 1 << 16


class Executions:
    """All executions of one network."""

    def __init__(
        self,
        elaborated: Elaborated,
        plan: TrainingPlan,
        *,
        precision: Precision,
        threads: int | None,
        gradient: bool,
        trainable: bool,
        given: Mapping[str, np.ndarray] | None = None,
        capacity: int | None = None,
    ):
        self.elaborated, self.plan = elaborated, plan
        self.precision: Precision = precision
        self.given = given or {}
        self.threads, self.gradient = threads, gradient
        self._made: dict[tuple[int, Call | None], Execution] = {}
        self._gathering: dict[Call, GatheredExecution] = {}
        self._couplings: dict[bool, dict[str, Coupling]] = {}
        # Where a minibatch is all samples, only the data tells for how many to compile.
        gathered = is_gathered(elaborated.graph, plan.capacity)
        self.trainable = trainable and plan.batch is not None and not gathered
        capacity = capacity or (PART if gathered else plan.capacity)
        self.main = self.make(capacity, plan.optimizer if self.trainable else None)
        self.initialize(self.main, plan.seed)

    def make(self, capacity: int, optimizer: Call | None) -> Execution:
        """The network compiled for minibatches of up to `capacity` samples; kept for the next time."""
        key = (capacity, optimizer)
        if key not in self._made:
            compiled = compile_network(
                self.elaborated,
                capacity=capacity,
                precision=self.precision,
                optimizer=optimizer,
                gradient=self.gradient,
            )
            self._made[key] = Execution(compiled, self.threads)
        return self._made[key]

    @property
    def compile_seconds(self) -> float:
        """Seconds spent in the compiler so far. Machine code is made when a routine is first run."""
        made = [execution.compiled for execution in self._made.values()]
        made += [e.compiled for two in self._gathering.values() for e in (two.part, two.whole)]
        return sum(c.seconds + sum(c.code.seconds.values()) for c in made)

    # ---------------------------------------------------------------------------------- weights and states

    def names(self, *kinds: str) -> list[str]:
        """Arrays of the network itself, without the states of the optimizer."""
        placed = self.main.program.placements
        arrays = self.elaborated.graph.arrays.values()
        return [a.name for a in arrays if a.kind in kinds and a.name in placed]

    def initialize(self, execution: Execution, seed: int, *, only_optimizer: bool = False) -> None:
        """Set weights and states to their first values, or the optimizer's states alone."""
        graph, memory = execution.compiled.graph, execution.memory
        for kind in ("weight", "state"):  # a state may start as a copy of its weight
            for name in execution.kept:
                array = graph.arrays[name]
                if array.kind == kind and not (only_optimizer and name in self.elaborated.graph.arrays):
                    first, view = self.given.get(name), memory.view(name)
                    if first is None:
                        write_initial_values(view, array, seed, graph.tables, memory.view)
                    else:
                        view[...] = first
        execution.step, execution.seed = 0, seed

    def _bring(self, source: Execution, target: Execution) -> None:
        if source is not target:
            target.memory.put_back(source.memory.copy_of(self.names("weight", "state")))

    # ------------------------------------------------------------------------------------------ which to use

    @contextlib.contextmanager
    def lent(self, plan: TrainingPlan) -> Iterator[Execution]:
        """An execution to train with, its optimizer as at the start; the main one has the weights afterwards."""
        same = self.trainable and plan.optimizer == self.plan.optimizer
        fits = same and plan.capacity <= self.main.program.capacity
        if fits:
            execution = self.main
        elif is_gathered(self.elaborated.graph, plan.capacity):
            execution = self._gathered(plan.optimizer)
        else:
            execution = self.make(plan.capacity, plan.optimizer)
        self._bring(self.main, execution)
        self.initialize(execution, plan.seed, only_optimizer=True)
        try:
            yield execution
        finally:
            self._bring(execution, self.main)

    def _gathered(self, optimizer: Call) -> Execution:
        """One whose minibatches may have any size; kept for the next time."""
        if (found := self._gathering.get(optimizer)) is None:
            found = gathered_execution(
                self.elaborated, optimizer, precision=self.precision, threads=self.threads
            )
            self._gathering[optimizer] = found
        return found

    def couplings(self, training: bool) -> dict[str, Coupling]:
        """How each family depends on its minibatch."""
        if training not in self._couplings:
            self._couplings[training] = coupling_of(self.elaborated.graph, training=training)
        return self._couplings[training]

    def of_capacity(self, capacity: int) -> Execution:
        """One for minibatches of up to `capacity` samples, with the weights and states of the main one."""
        execution = self.main if capacity == self.main.program.capacity else self.make(capacity, None)
        self._bring(self.main, execution)
        return execution

    def for_samples(
        self,
        count: int,
        families: Iterable[str],
        *,
        training: bool = False,
        weights: Execution | None = None,
        averaged: bool = True,
    ) -> Execution:
        """An execution whose minibatches give exact values of these families for `count` samples.

        The main one, unless the samples depend on each other and do not fit into one of its minibatches. `weights` is
        where weights and states are taken from (default: the main one). `averaged`: the minibatches' values will be
        averaged or summed, as a loss is; layers are not, they are told for each sample.
        """
        weights = weights or self.main
        found = self.couplings(training)
        apart = ("constant", "sample")
        mixed = any(
            found[name] == "mixed" if averaged else found[name] not in apart
            for name in families
            if name in found
        )
        if not mixed or count <= weights.program.capacity or count > LARGEST_MINIBATCH:
            return weights
        capacity = 1 << (count - 1).bit_length()
        execution = self.make(capacity, None)
        self._bring(weights, execution)
        execution.step, execution.seed = weights.step, weights.seed
        return execution
