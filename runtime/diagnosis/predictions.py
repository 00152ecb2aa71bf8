"""What a trained network says of samples, beside what it should have said.

In: an elaborated network, its weights, samples.  Out: `Predictions`: values, losses sample by sample, the layer and the input
that the loss compares.

    found = predict(network, weights, data["test"])
    found.target                                     Target("score", "label", classes=10)
    found.confusion()                                array[10, 10]: rows are true classes, columns predicted ones
    found.worst(12)                                  rows of the samples with the largest loss

The loss of a sample is what the loss would be of a minibatch that it is alone in: its term of the sum over the batch, put in the
place of the sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ...compiler.mathematics.expression import BATCH, select
from ...compiler.mathematics.graph import Family, Graph, Reduction
from ...compiler.passes.gradient import derivative_name
from ..arrays import count_samples
from .evaluation import evaluate_within
from .inside import Inside

if TYPE_CHECKING:
    from ...compiler.elaborate import Network
    from ...compiler.pipeline import Precision

#: At most so many samples are looked at, or places where a sample has several, as a text has; and so many samples at once.
SAMPLES, PLACES, CAPACITY = 10_000, 50_000, 128
#: Entries of a target that are compared one by one.
ENTRIES = 16
#: Bytes of a layer's values that are kept.
BYTES = 1 << 28
#: No name of a file has a space in it.
EACH = "each of "


@dataclass(frozen=True)
class Target:
    """What the loss compares: a layer and an input. `classes`: of the input, where it has classes."""

    layer: str
    input: str
    classes: int | None = None


@dataclass
class Predictions:
    """rows: of the arrays. losses, values: of these rows, where they are known.

    counted   of a sample with several places, as the letters of a text: the places that the loss depends on. What stands
              behind the end of a line has no influence on it, however a file says so.
    """

    arrays: Mapping[str, np.ndarray]
    rows: np.ndarray
    losses: np.ndarray | None = None
    values: np.ndarray | None = None
    target: Target | None = None
    counted: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.target is not None and self.values is not None and self.target.classes is None:
            given = self.arrays[self.target.input][self.rows]
            if given.shape == self.values.shape and is_one_of_many(given):
                self.target = replace(self.target, classes=given.shape[1])

    @property
    def wanted(self) -> np.ndarray | None:
        """The target of the rows: class numbers, or numbers."""
        if self.target is None:
            return None
        given = self.arrays[self.target.input][self.rows]
        return given.argmax(-1) if self.target.classes and given.dtype.kind == "f" else given

    def worst(self, count: int) -> list[int]:
        """Places in `rows` of the largest losses, the largest first."""
        if self.losses is None:
            return []
        return [int(k) for k in np.argsort(-self.losses, kind="stable")[:count]]

    def classes(self) -> np.ndarray | None:
        """The class with the largest score, for every row (and every place, where a sample has several)."""
        if self.values is None or self.target is None or self.target.classes is None:
            return None
        return np.asarray(self.values[..., : self.target.classes].argmax(-1))

    def confusion(self) -> np.ndarray | None:
        """How often each true class (row) was taken for each class (column)."""
        guessed, wanted = self.classes(), self.wanted
        if guessed is None or wanted is None or self.target is None or self.target.classes is None:
            return None
        used = self.counted if self.counted is not None else np.ones(wanted.shape, bool)
        table = np.zeros((self.target.classes, self.target.classes), np.int64)
        np.add.at(table, (wanted[used], guessed[used]), 1)
        return table


def is_one_of_many(values: np.ndarray) -> bool:
    """array[samples, n]: whether each row has one high number, and one and the same low number everywhere else."""
    if values.ndim != 2 or values.shape[1] < 2 or not len(values):
        return False
    high = values == values.max()
    return bool((high.sum(axis=1) == 1).all() and len(np.unique(values[~high])) == 1)


def target_of(graph: Graph) -> Target | None:
    """The layer and the input that the loss compares, or None: classes where there are any, else a few numbers."""
    if graph.loss is None:
        return None
    known, for_layers = graph.needed([graph.loss]), graph.needed(graph.outputs)
    of_loss, of_layers = _inputs(graph, known - for_layers), _inputs(graph, for_layers)
    # What no layer needs comes first; a network that learns to give back its input has nothing else.
    compared = sorted((a for a in graph.inputs if a.name in of_loss), key=lambda a: a.name in of_layers)
    layers = [graph.families[n] for n in reversed(graph.outputs) if n in known]
    layers = [f for f in layers if f.batched and f.type == "real"]
    for array in compared:
        if array.classes:
            for layer in layers:
                *before, last = layer.extents or (0,)
                if tuple(before) == array.extents and last >= array.classes:
                    return Target(layer.name, array.name, array.classes)
    for array in compared:
        size = int(np.prod(array.extents, dtype=np.int64))
        for layer in layers:
            same = int(np.prod(layer.extents, dtype=np.int64)) == size
            if array.type == "real" and same and size <= ENTRIES:
                return Target(layer.name, array.name)
    return None


def _inputs(graph: Graph, families: Iterable[str]) -> set[str]:
    """The inputs that families load."""
    arrays = {a.name for a in graph.inputs}
    return {s for name in families for s in graph.families[name].sources if s in arrays}


def predict(
    network: Network,
    weights: Mapping[str, np.ndarray],
    arrays: Mapping[str, np.ndarray],
    *,
    precision: Precision = "float32",
    seed: int = 0,
    threads: int | None = None,
) -> Predictions:
    """Compute the layer that the loss compares and the loss of each sample, evenly spread over the samples there are."""
    graph = network.graph
    target, count, slopes = target_of(graph), count_samples(arrays), ""
    sums = _sums_over_the_batch(graph)
    each = {family.name: _each(family) for family in sums}
    wanted = [family.name for family in each.values()]
    rows = min(count, SAMPLES)
    if target is not None:
        size = int(np.prod(graph.families[target.layer].extents, dtype=np.int64))
        places = size // (graph.families[target.layer].extents or (1,))[-1] if target.classes else 1
        rows = min(rows, max(1, BYTES // (4 * size)), max(1, PLACES // places))
        wanted.append(target.layer)
        if target.classes and len(graph.families[target.layer].extents) > 1:
            slopes = derivative_name(target.layer)
            wanted.append(slopes)
    order = np.linspace(0, count - 1, rows).astype(np.int64)
    if not wanted:
        return Predictions(arrays, order)
    changed = graph.copy()
    changed.families |= {family.name: family for family in each.values()}
    changed = changed.copy(outputs=tuple(name for name in wanted if name != slopes), metrics={})
    inside = Inside(
        network.with_graph(changed, "with the loss of each sample"),
        min(rows, CAPACITY),
        families=wanted,
        precision=precision,
        threads=threads,
        gradient=bool(slopes),
    )
    found: dict[str, list[np.ndarray]] = {name: [] for name in inside.kept}
    for start in range(0, rows, CAPACITY):
        stop = min(rows, start + CAPACITY)
        inside.compute(arrays, start, stop, weights=weights, seed=seed, order=order)
        for name in found:
            found[name].append(inside.value(name).copy())
    together = {name: np.concatenate(some) for name, some in found.items()}
    return Predictions(
        arrays,
        order,
        _losses(graph, {name: together[family.name] for name, family in each.items()}),
        together[target.layer] if target is not None else None,
        target,
        (together[slopes] != 0).any(axis=-1) if slopes in together else None,
    )


def _sums_over_the_batch(graph: Graph) -> list[Family]:
    """The sums over the batch that the loss is made of; none where one of them is not a plain sum of numbers."""
    sums: list[Family] = []
    stack, seen = [graph.loss or ""], set()
    while stack:
        name = stack.pop()
        family = graph.families.get(name)
        if name in seen or family is None:
            continue
        seen.add(name)
        if family.reduction is not None and BATCH in family.reduction.axes:
            sums.append(family)
        elif not family.batched:
            stack += family.sources
    plain = all(f.reduction is not None and f.reduction.kind == "sum" and not f.axes for f in sums)
    return sums if plain else []


def _each(total: Family) -> Family:
    """The terms of such a sum, one for each sample."""
    assert total.reduction is not None
    inner = tuple(axis for axis in total.reduction.axes if axis != BATCH)
    where, body = total.reduction.where, total.body
    kept = Reduction("sum", inner, where) if inner else None
    if kept is None:
        for condition in where:
            body = select(condition, body, 0.0)
    return Family(f"{EACH}{total.name}", (BATCH,), body, kept, "let", "", total.span)


def _losses(graph: Graph, terms: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """The loss of minibatches of one sample each, whose sums over the batch are these terms."""
    if graph.loss is None or not terms:
        return None
    count = len(next(iter(terms.values())))
    values: dict[str, np.ndarray] = {name: value.astype(np.float64) for name, value in terms.items()}
    values |= {"batch_size": np.ones(count, np.int64), "training": np.zeros(count)}
    with np.errstate(all="ignore"):
        loss = graph.families[graph.loss]
        found = values.get(loss.name)
        found = evaluate_within(graph, loss.body, values) if found is None else found
    return None if found is None else np.broadcast_to(found, (count,)).astype(np.float64)
