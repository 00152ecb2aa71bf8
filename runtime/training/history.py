"""What a training did, epoch by epoch.

In: records from training.py.  Out: `History`: kept by the caller, logged, drawn in the report.

    history = net.train(data)
    history.curve("validation", "loss")     [0.71, 0.43, …]
    history.best_epoch                      17
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, field
from typing import Any, Literal

from ...compiler.record import record

Figures = dict[str, float]
Ending = Literal["epochs", "early", "callback", "converged", "reached", "interrupted", "diverged", ""]


@record(frozen=False)
class Record:
    """One epoch. `train` are running means while the weights changed; `validation` is measured at its end.

    `seconds` counts from the start of the training, `speed` is in samples a second (of the training part alone).
    """

    epoch: int
    step: int
    train: Figures
    validation: Figures = field(default_factory=dict)
    seconds: float = 0.0
    speed: float = 0.0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@record(frozen=False)
class History:
    """The records of all epochs, and how it ended.

    best_epoch   the epoch whose weights the network holds (0: as it was before the first)
    ending       'epochs' (all done), 'early' (no improvement), 'callback', 'converged' (an outer
                 optimizer ended it), 'reached' (what retraining was for), 'interrupted', 'diverged'
    retraining   of the second training, where the train section says `retrain …`
    """

    records: list[Record] = field(default_factory=list)
    best_epoch: int = 0
    ending: Ending = ""
    seconds: float = 0.0
    watched: str = ""
    retraining: History | None = None

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __getitem__(self, index: int) -> Record:
        return self.records[index]

    def curve(self, part: str, figure: str = "loss") -> list[float]:
        """One figure over the epochs: part is 'train' or 'validation'."""
        return [getattr(record, part)[figure] for record in self.records]

    def figures(self, part: str) -> list[str]:
        """The names of the figures that a part has."""
        return list(getattr(self.records[-1], part)) if self.records else []

    def __repr__(self) -> str:
        last = self.records[-1] if self.records else None
        shown = ", ".join(f"{k} {v:.4g}" for k, v in last.train.items()) if last else "nothing"
        return f"History({len(self.records)} epochs, {shown}, best {self.best_epoch}, {self.ending})"
