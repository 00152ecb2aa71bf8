"""The derived gradient against finite differences.

In: a network in double precision, samples.  Out: one `Row` per weight with the largest relative error.

    rows = check_gradient(net, random_samples(net.elaborated.graph, 7, seed=0), seed=0)
    max(row.error for row in rows) < 1e-6

A weight's derivative is checked along directions: along its gradient, along random ones, and along single entries. The
difference quotient is the central one of fourth order, (8 (f(h) − f(−h)) − (f(2h) − f(−2h))) / 12 h, for several steps h;
the one that agrees best counts, since a step that crosses the kink of a ReLU says nothing, and a wrong gradient agrees with
none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import RunError
from .initialize import generator

if TYPE_CHECKING:
    from .program import Network

#: Steps of the difference quotient, relative to the size of the weight's entries.
STEPS = (1e-3, 1e-4, 1e-5, 1e-6)
#: Weights with up to this many entries are checked at each of them.
FEW = 16
RANDOM_DIRECTIONS = 2
RANDOM_ENTRIES = 6
#: Derivatives below this share of the loss's largest one are compared with that share instead of themselves.
NEGLIGIBLE = 1e-5


@dataclass(frozen=True)
class Row:
    """One weight: `error` is the largest |symbolic − numeric| / max(|symbolic|, |numeric|) over `directions` directions."""

    weight: str
    entries: int
    directions: int
    gradient: float
    error: float


def check_gradient(net: Network, samples: Mapping[str, Any], seed: int, noise: float = 0.05) -> list[Row]:
    """Compare the gradient of every weight. Needs a network of float64.

    The weights are moved by a little normal noise first (and put back at the end): many start at exactly 0, where ReLU and
    max have their kinks and symmetric units cannot be told apart.
    """
    start = {name: view.copy() for name, view in net.weights.items()}
    try:
        for name, view in net.weights.items():
            view += noise * generator(seed, "noise", name).standard_normal(view.shape)
        loss, gradient = net.loss_and_gradient(**samples)
        if not np.isfinite(loss):
            raise RunError(f"the loss is {loss:g} on these samples; try others (--seed, --data)")
        largest = max((float(np.linalg.norm(g)) for g in gradient.values()), default=0.0)
        return [
            _check_weight(net, samples, name, derivative, largest, seed)
            for name, derivative in gradient.items()
        ]
    finally:
        for name, values in start.items():
            net.weights[name][...] = values


def _check_weight(
    net: Network,
    samples: Mapping[str, Any],
    name: str,
    derivative: np.ndarray,
    largest: float,
    seed: int,
) -> Row:
    view = net.weights[name]
    centre = view.copy()
    scale = max(1.0, float(np.abs(centre).max(initial=0)))
    worst = 0.0
    directions = _directions(derivative, generator(seed, "direction", name))

    def loss_at(shift: float, direction: np.ndarray) -> float:
        view[...] = centre + shift * direction
        return net.evaluate(samples)["loss"]

    for direction in directions:
        symbolic = float(np.vdot(derivative, direction))
        errors = []
        for step in STEPS:
            h = step * scale
            near = loss_at(h, direction) - loss_at(-h, direction)
            far = loss_at(2 * h, direction) - loss_at(-2 * h, direction)
            numeric = (8 * near - far) / (12 * h)
            size = max(abs(symbolic), abs(numeric), NEGLIGIBLE * largest, 1e-12)
            errors.append(abs(symbolic - numeric) / size)
        finite = [e for e in errors if np.isfinite(e)]
        worst = max(worst, min(finite, default=np.inf))
    view[...] = centre
    return Row(name, view.size, len(directions), float(np.linalg.norm(derivative)), worst)


def _directions(derivative: np.ndarray, draws: np.random.Generator) -> list[np.ndarray]:
    """Directions of length 1: single entries, and for larger weights the gradient's own and random ones too."""
    shape, size = derivative.shape, derivative.size
    chosen = np.arange(size) if size <= FEW else draws.choice(size, size=RANDOM_ENTRIES, replace=False)
    directions = []
    for entry in chosen:
        unit = np.zeros(size)
        unit[entry] = 1
        directions.append(unit.reshape(shape))
    if size > FEW:
        length = float(np.linalg.norm(derivative))
        if length > 0:
            directions.append(derivative / length)
        for _ in range(RANDOM_DIRECTIONS):
            vector = draws.standard_normal(shape)
            directions.append(vector / np.linalg.norm(vector))
    return directions
