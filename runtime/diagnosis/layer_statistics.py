"""What the layers of a network did at some moments of its training: activations, slopes, gradients, by layer and by step of time.

In: an elaborated network, samples, the weights at some epochs.  Out: `Looks`.

    looks = look_inside(network, arrays, {0: weights, 8: weights})
    looks.layers["hidden"][8].dead                   0.03: the share of units with slope 0 for every sample
    looks.layers["hidden"][8].gradient               0.0021: root mean square of ∂E/∂hidden
    looks.weights["hidden.w"][8].gradient            0.17: the norm of ∂E/∂w
    looks.steps["h"][8]                              array[25]: root mean square of ∂E/∂h[t], for every t

All moments see the same samples, as in training (batches normalised by themselves, units dropped).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ...compiler.mathematics.graph import Graph
from ...compiler.passes.gradient import derivative_name
from ...compiler.passes.recurrence import RecurrenceError, recurrences
from ..arrays import count_samples
from .inside import Inside
from .layers import Bend, bends, layers_of

if TYPE_CHECKING:
    from ...compiler.elaborate import Network
    from ...compiler.pipeline import Precision

#: At most so many samples are looked at, and so many bytes of values at once.
SAMPLES, BYTES = 256, 1 << 28
#: Moments whose distributions are kept, and entries of a distribution that are.
DISTRIBUTIONS, ENTRIES = 3, 20_000
#: A slope below this share of the function's steepest one counts as saturated.
FLAT = 0.05
#: Recurrent families whose gradient is told by step of time.
MOST_RECURRENT = 4


@dataclass(frozen=True)
class LayerLook:
    """One layer at one moment.

    low, high   the 5th and 95th percentile of its values
    dead        share of its units whose slope is 0 for every sample; None where nothing bends it
    saturated   share of its values at which the slope is below 5 % of the steepest
    gradient    root mean square of ∂E/∂layer; None where no gradient goes through it
    values, gradients   some of them
    """

    mean: float
    deviation: float
    low: float
    high: float
    dead: float | None
    saturated: float | None
    gradient: float | None
    values: np.ndarray | None = None
    gradients: np.ndarray | None = None


@dataclass(frozen=True)
class WeightLook:
    """One weight at one moment: norms, and root mean squares, of itself and of its gradient."""

    norm: float
    gradient: float
    values: np.ndarray | None = None


@dataclass
class Looks:
    """Name → epoch → what it was. `samples`: how many were looked at."""

    samples: int
    epochs: list[int]
    layers: dict[str, dict[int, LayerLook]] = field(default_factory=dict)
    weights: dict[str, dict[int, WeightLook]] = field(default_factory=dict)
    steps: dict[str, dict[int, np.ndarray]] = field(default_factory=dict)

    @property
    def shown(self) -> list[int]:
        """The moments of which distributions are kept: the first, one between, the last."""
        return moments(self.epochs)


def moments(epochs: list[int]) -> list[int]:
    """The first, the middle and the last."""
    places = {0, len(epochs) // 2, len(epochs) - 1}
    return [epochs[k] for k in sorted(places)][:DISTRIBUTIONS] if epochs else []


def look_inside(
    network: Network,
    arrays: Mapping[str, np.ndarray],
    snapshots: Mapping[int, Mapping[str, np.ndarray]],
    *,
    precision: Precision = "float32",
    seed: int = 0,
    threads: int | None = None,
) -> Looks:
    """Compute everything anew from the weights. `arrays`: the samples to look at, of which some are taken, evenly spread."""
    observer = Observer(network, arrays, precision=precision, seed=seed, threads=threads)
    epochs = sorted(snapshots)
    for epoch in epochs:
        observer.look(epoch, snapshots[epoch], keep=epoch in moments(epochs))
    return observer.looks


class Observer:
    """Looks into a network at any moment. `looks`: what it has seen; arguments as those of `look_inside`."""

    def __init__(
        self,
        network: Network,
        arrays: Mapping[str, np.ndarray],
        *,
        samples: int = SAMPLES,
        precision: Precision = "float32",
        seed: int = 0,
        threads: int | None = None,
    ):
        graph = self.graph = network.graph
        self.arrays, self.seed = arrays, seed
        self.layers, self.bends, self.recurrent = layers_of(graph), bends(graph), _recurrent(graph)
        wanted = {*self.layers, *self.recurrent}
        wanted |= {derivative_name(name) for name in wanted} | {
            derivative_name(a.name) for a in graph.weights
        }
        wanted |= {s for name in self.layers if name in self.bends for s in self.bends[name].sources}
        count = count_samples(arrays)
        samples = min(count, samples, max(1, BYTES // max(1, _bytes(graph, wanted))))
        self.inside = Inside(
            network,
            samples,
            families=wanted,
            precision=precision,
            threads=threads,
            gradient=graph.loss is not None,
        )
        self.order = np.linspace(0, count - 1, samples).astype(np.int64)
        self.looks = Looks(samples, [])

    def look(self, epoch: int, weights: Mapping[str, np.ndarray], *, keep: bool = False) -> None:
        """Note what these weights do, as those of an epoch. `keep`: distributions too."""
        inside, looks = self.inside, self.looks
        looks.epochs = sorted({*looks.epochs, epoch})
        inside.compute(
            self.arrays,
            0,
            looks.samples,
            weights=weights,
            seed=self.seed,
            epoch=epoch,
            training=True,
            order=self.order,
        )
        with np.errstate(all="ignore"):
            for name in self.layers:
                if name in inside.kept:
                    bend = self.bends.get(name)
                    slopes = _slopes(inside, bend, self.arrays, self.order) if bend is not None else None
                    look = _layer(inside, name, slopes, bend.steepest if bend is not None else 0.0, keep)
                    looks.layers.setdefault(name, {})[epoch] = look
            for array in self.graph.weights:
                if array.name in weights and derivative_name(array.name) in inside.kept:
                    value, slope = weights[array.name], inside.value(derivative_name(array.name))
                    look_at_weight = WeightLook(_norm(value), _norm(slope), _some(value) if keep else None)
                    looks.weights.setdefault(array.name, {})[epoch] = look_at_weight
            for name, axis in self.recurrent.items():
                if derivative_name(name) in inside.kept:
                    steps = np.moveaxis(inside.value(derivative_name(name)), axis, 0).astype(np.float64)
                    means = np.sqrt((steps.reshape(len(steps), -1) ** 2).mean(1))
                    looks.steps.setdefault(name, {})[epoch] = means


def _slopes(
    inside: Inside, bend: Bend, arrays: Mapping[str, np.ndarray], order: np.ndarray
) -> np.ndarray | None:
    """The slopes of a layer's function, samples first; None where what it is a function of is not there."""
    values: dict[str, np.ndarray] = {}
    for name in bend.sources:
        array = inside.graph.arrays.get(name)
        if array is not None and array.kind == "input":
            values[name] = arrays[name][order]
        elif array is not None or name in inside.kept:
            values[name] = inside.value(name)
        else:
            return None
    return bend.slopes(values)


def _layer(inside: Inside, name: str, bent: np.ndarray | None, steepest: float, keep: bool) -> LayerLook:
    values = inside.value(name).astype(np.float64)
    dead = saturated = None
    if bent is not None:
        saturated = float((np.abs(bent) < FLAT * steepest).mean())
        dead = float((bent == 0).all(axis=0).mean())
    slopes = None
    if derivative_name(name) in inside.kept:
        slopes = inside.value(derivative_name(name)).astype(np.float64)
    low, high = (float(v) for v in np.percentile(values, (5, 95)))
    return LayerLook(
        float(values.mean()),
        float(values.std()),
        low,
        high,
        dead,
        saturated,
        float(np.sqrt((slopes**2).mean())) if slopes is not None else None,
        _some(values) if keep else None,
        _some(slopes) if keep and slopes is not None else None,
    )


def _recurrent(graph: Graph) -> dict[str, int]:
    """Family → the number of its axis that is time, of recurrences that the loss depends on."""
    try:
        found = recurrences(graph)
    except RecurrenceError:
        return {}
    wanted = graph.needed([graph.loss] if graph.loss else [])
    result: dict[str, int] = {}
    for recurrence in found:
        own = {}
        for name, axis in recurrence.axes.items():
            family = graph.families[name]
            if name in wanted and family.batched and family.type == "real" and family.role != "term":
                own[name] = family.axes.index(axis)
        # What other equations read of a recurrence is what it is for: its states and outputs, not its gates.
        read = [n for n in own if any(n in f.sources for f in graph.families.values() if f.name not in own)]
        delayed = [
            n for n in own if any(recurrence.is_delayed(graph, graph.families[m], load)
                                  for m in own for load in graph.families[m].loads if load.array == n)
        ]  # fmt: skip
        result |= {n: own[n] for n in own if n in read or n in delayed}
    return dict(list(result.items())[:MOST_RECURRENT])


def _bytes(graph: Graph, wanted: set[str]) -> int:
    """Of the values that are kept for one sample, and as much again for what is computed between them."""
    total = 0
    for family in graph.families.values():
        if family.batched:
            total += 8 * int(np.prod(family.extents, dtype=np.int64)) * (2 if family.name in wanted else 1)
    return total


def _norm(values: np.ndarray) -> float:
    return float(np.linalg.norm(values.astype(np.float64)))


def _some(values: np.ndarray) -> np.ndarray:
    """Not more entries than a histogram needs, evenly spread."""
    flat = values.reshape(-1)
    return flat[:: max(1, flat.size // ENTRIES)].astype(np.float64)
