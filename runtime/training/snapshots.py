"""The weights at some epochs of a training, from which its report computes what went on inside.

In: the state after every epoch.  Out: a file with copies of the weights and states at a few epochs, spread evenly.

    snapshots = Snapshots(path, epochs=60, size=9640)
    snapshots.see(state)                             keeps every fourth epoch
    read_snapshots(path)                             {0: {"hidden.w": array, …}, 4: …}

Statistics of activations and gradients cost more than a step of a small network; computed afterwards, from copies, they cost
the training nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..checkpoint import read_weights, write_weights
from ..errors import WeightError
from ..memory import Snapshot
from .loop import TrainingState

#: Epochs that are kept, besides the first ones, and bytes that they may take in all.
MOST, MOST_BYTES = 16, 1 << 28


class Snapshots:
    """Keeps copies in memory, until `write`."""

    def __init__(self, path: Path, names: Iterable[str], epochs: int):
        self.path, self.names = path, list(names)
        self.epochs = epochs
        self.kept: dict[int, Snapshot] = {}
        self._written: set[int] = set()

    def see(self, state: TrainingState) -> None:
        """Keep this epoch's weights, if it is one of those that are kept."""
        if state.epoch in self.kept or not state.current:
            return
        size = sum(state.current[name].nbytes for name in self.names)
        most = min(MOST, MOST_BYTES // max(size, 1))
        every = -(-self.epochs // max(most, 1))
        if most > 1 and (state.epoch % every == 0 or state.epoch in (1, 2, self.epochs)):
            self.kept[state.epoch] = {name: state.current[name] for name in self.names}

    def read(self, last: int) -> None:
        """Take over what a run that goes on after epoch `last` had written."""
        try:
            earlier = read_snapshots(self.path)
        except (OSError, WeightError):
            return
        self.kept = {epoch: arrays for epoch, arrays in earlier.items() if epoch <= last}

    def write(self) -> None:
        """Write them all, if there are new ones."""
        if set(self.kept) != self._written:
            arrays = {f"{epoch}/{n}": v for epoch, kept in self.kept.items() for n, v in kept.items()}
            write_weights(self.path, arrays, {"epochs": sorted(self.kept)})
            self._written = set(self.kept)


def read_snapshots(path: Path) -> dict[int, dict[str, np.ndarray]]:
    """Epoch → name → array, in the order of the epochs. Raises WeightError, OSError."""
    found: dict[int, dict[str, np.ndarray]] = {}
    for full, value in read_weights(path).items():
        epoch, _, name = full.partition("/")
        if not epoch.isdigit():
            raise WeightError(f"'{path}' holds no snapshots")
        found.setdefault(int(epoch), {})[name] = value
    return dict(sorted(found.items()))
