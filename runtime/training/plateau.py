"""Reduce on plateau: the rate is multiplied by a factor when a figure has not improved for some epochs.

In: a `Plateau` from the train section, the records of the epochs.  Out: the scale of the rate, for the array that every
update equation with a `reduce rate(…)` reads.

    watch = PlateauWatch(Plateau(factor=0.5, patience=2))
    [watch.see(record) for record in history]        1, 1, 1, 0.5, …

All that it remembers follows from the records, so a training that goes on from a checkpoint sees them again.
"""

from __future__ import annotations

import math

from .history import Record
from .settings import Plateau


class PlateauWatch:
    """The scale of the rate after the epochs seen so far."""

    def __init__(self, plan: Plateau):
        self.plan = plan
        self.scale = 1.0
        self.best, self.waited = math.inf, 0

    def see(self, record: Record) -> float:
        """Note an epoch, and give the scale for the next one."""
        plan = self.plan
        figures = record.validation or record.train
        value = figures[plan.watched] * (-1 if plan.maximize else 1)
        if value < self.best - plan.improvement:
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        if self.waited >= plan.patience:
            self.scale, self.waited = max(self.scale * plan.factor, plan.least), 0
        return self.scale
