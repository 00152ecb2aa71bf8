"""Averages of the iterates: what a network is measured with, and left with, where the train section says `average …`.

In: an execution whose graph has `averages` (regularise.py).  Out: `Averages`.

    averages = Averages(execution)
    with averages.in_place():                       # the weights are the averages here
        figures = evaluate(execution, arrays)
    averages.instead_of_weights(snapshot)           # a snapshot with the averages for weights

Training goes on from the weights themselves. States of the network (running statistics) are not averaged.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ..execution import Execution
from ..memory import Snapshot


class Averages:
    """The averages of one execution; nothing where there are none."""

    def __init__(self, execution: Execution):
        self.memory = execution.memory
        self.names = dict(execution.compiled.graph.averages)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """The averages stand where the weights are."""
        own = self.memory.copy_of(self.names)
        self.put_in_place()
        try:
            yield
        finally:
            self.memory.put_back(own)

    def put_in_place(self) -> None:
        for weight, average in self.names.items():
            self.memory.view(weight)[...] = self.memory.view(average)

    def instead_of_weights(self, snapshot: Snapshot) -> Snapshot:
        """The same copies, but for the weights."""
        return snapshot | {weight: snapshot[average].copy() for weight, average in self.names.items()}
