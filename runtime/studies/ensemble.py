"""Ensembles: several networks of one file, and their averaged predictions.

In: a folder with `ensemble.json`, as `dln ensemble` leaves it.  Out: `Ensemble`, which predicts and measures.

    ensemble = Ensemble.load(net, Path("runs/digits-ensemble-1"))
    ensemble.evaluate(data["test"])                  {"loss": 0.09, "accuracy": 0.98}

The members start from other seeds (random restarts), and with bagging each learns from rows drawn with replacement.
L. K. Hansen and P. Salamon, Neural network ensembles (1990); L. Breiman, Bagging predictors (1996).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import WeightError
from ..training.history import Figures
from .averaging import Averager
from .jobs import Job

if TYPE_CHECKING:
    from ..data.reading import Data
    from ..program import Network

FILE = "ensemble.json"


def member_jobs(
    file: str,
    members: int,
    seed: int,
    settings: Mapping[str, str],
    folder: str,
    threads: int,
    precision: str,
    *,
    bagging: bool,
) -> list[Job]:
    """A job for every member: seeds seed, seed + 1, …"""
    jobs = []
    for k in range(members):
        own = {**settings, "seed": str(seed + k)} | ({"resample": str(seed + k)} if bagging else {})
        jobs.append(Job(f"member {k}", file, f"{folder}/member-{k}", own, threads, precision))
    return jobs


class Ensemble:
    """A network whose weights are exchanged, member by member.

    net       compiled without training; holds the last member's weights afterwards
    members   files of weights
    """

    def __init__(self, net: Network, members: list[Path], *, values: bool = False):
        self.net, self.members = net, members
        self.averager = Averager(net.elaborated, net.precision, values=values)

    @classmethod
    def load(cls, net: Network, folder: Path) -> Ensemble:
        """The ensemble in a folder. Raises WeightError, OSError."""
        content = read_ensemble(folder)
        return cls(
            net, [folder / m / "weights.safetensors" for m in content["members"]], values=content["values"]
        )

    @property
    def inputs(self) -> list[str]:
        return self.net.inputs

    @property
    def outputs(self) -> list[str]:
        return self.net.outputs

    def load_data(self) -> Data:
        """The file's data, with the statistics that the members have in common."""
        self.net.restore(self.members[0])
        return self.net.load_data()

    def predict(self, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The averaged values of all layers."""
        needed = {name: arrays[name] for name in self.net.inputs if name in arrays}
        outputs = []
        for member in self.members:
            self.net.restore(member)
            outputs.append(self.net.predict(needed))
        return self.averager.average(outputs)

    def evaluate(self, arrays: Mapping[str, np.ndarray]) -> Figures:
        """Loss and metrics of the averaged predictions."""
        return self.averager.figures(self.predict(arrays), arrays)


def read_ensemble(folder: Path) -> dict[str, Any]:
    """What an ensemble's folder says of itself. Raises WeightError, OSError."""
    try:
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return {"members": [str(m) for m in content["members"]], "values": bool(content["values"])}
    except (ValueError, KeyError, TypeError) as error:
        raise WeightError(f"'{folder / FILE}' does not describe an ensemble: {error!r}") from None
