"""The trials of a search, in a folder that several processes (on several machines) share.

In: a folder.  Out: `Trials`: numbers that nobody else has, results that everybody sees.

    trials = Trials(Path("runs/digits-search-1"))
    number = trials.claim(most=30)                    0, 1, …; None when there are enough
    trials.write(Trial(number, {"rate": "0.01"}, "done", 0.12, …))

A trial is claimed by making its folder, which only one process can do, on a shared disk too. Its `trial.json` is replaced as a
whole, so that no reader sees half of it.
"""

from __future__ import annotations

import json
import math
import os
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..checkpoint import write_atomically

State = Literal["running", "done", "pruned", "failed"]


@dataclass
class Trial:
    """One training of a search.

    values    setting → value, as text
    value     what is searched for the best of; None where there is none
    curve     of it, epoch by epoch
    figures   by part
    process   host and process that run it
    """

    number: int
    values: dict[str, str]
    state: State = "running"
    value: float | None = None
    curve: list[float] = field(default_factory=list)
    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    epochs: int = 0
    seconds: float = 0.0
    error: str = ""
    process: str = ""

    @property
    def is_finite(self) -> bool:
        return self.value is not None and math.isfinite(self.value)


def this_process() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


class Trials:
    """The trials in one folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    def path(self, number: int) -> Path:
        return self.folder / f"trial-{number:04d}"

    def claim(self, most: int) -> int | None:
        """The next number below `most` that nobody has; None when all are taken."""
        for number in range(most):
            try:
                self.path(number).mkdir()
            except FileExistsError:
                continue
            return number
        return None

    def write(self, trial: Trial) -> None:
        content = json.dumps(asdict(trial), allow_nan=True)
        write_atomically(self.path(trial.number) / "trial.json", (content + "\n").encode())

    def read(self) -> list[Trial]:
        """All that have been written so far, in the order of their numbers."""
        found = []
        for path in sorted(self.folder.glob("trial-*/trial.json")):
            try:
                found.append(Trial(**json.loads(path.read_text(encoding="utf-8"))))
            except (OSError, ValueError, TypeError):  # of another version, or removed meanwhile
                continue
        return found

    def release_lost(self) -> list[int]:
        """Give trials free again whose process, on this machine, has died. Returns their numbers."""
        host = socket.gethostname()
        lost = []
        for trial in self.read():
            machine, _, process = trial.process.rpartition(":")
            if trial.state == "running" and machine == host and not _lives(int(process)):
                lost.append(trial.number)
                for file in self.path(trial.number).iterdir():
                    file.unlink(missing_ok=True)
                self.path(trial.number).rmdir()
        return lost


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def best_of(trials: Sequence[Trial], *, maximize: bool) -> Trial | None:
    """The best finished trial; of equals the first."""
    finished = [t for t in trials if t.state == "done" and t.is_finite]
    sign = -1 if maximize else 1
    return min(finished, key=lambda t: (sign * (t.value or 0.0), t.number), default=None)


def hopeless(
    curve: Sequence[float], others: Sequence[Trial], after: int, *, maximize: bool, least: int = 4
) -> bool:
    """Whether a trial's best value so far is worse than the median of the others' at the same epoch.

    Nothing is given up before `after` epochs, nor before `least` others have come so far. D. Golovin et al., Google Vizier
    (2017), section 3.2.
    """
    epoch = len(curve)
    there = sorted(o.curve[epoch - 1] for o in others if o.state != "failed" and len(o.curve) >= epoch)
    if epoch < after or len(there) < least:
        return False
    middle = len(there) // 2
    median = there[middle] if len(there) % 2 else (there[middle - 1] + there[middle]) / 2
    return max(curve) < median if maximize else min(curve) > median


def as_rows(trials: Sequence[Trial], names: Sequence[str]) -> list[dict[str, Any]]:
    """Flat rows for a table: number, state, value, the settings, the figures."""
    rows = []
    for trial in trials:
        row: dict[str, Any] = {"trial": trial.number, "state": trial.state, "value": trial.value}
        row |= {name: trial.values.get(name, "") for name in names}
        row |= {f"{part} {name}": v for part, by in trial.figures.items() for name, v in by.items()}
        rows.append({**row, "epochs": trial.epochs, "seconds": round(trial.seconds, 3)})
    return rows
