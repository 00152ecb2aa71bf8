"""Functions of a data section that are fitted to the training part and then applied to every part alike.

In: the argument's values over the rows of the training part, piece by piece.  Out: the statistics, as arrays by name, and
the function with them put in.

    standardise = FITTED["standardise"]
    statistics = standardise.fit(pieces, standardise.options | {"per": "channel"})       {"mean": …, "deviation": …}
    standardise.apply(values, statistics)

`pieces()` gives the pieces anew each time: a mean is needed before the squares around it, and two passes are both exact
and small in memory. Statistics are in double precision; categories are text or numbers in sorted order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import field
from typing import Any

import numpy as np

from ...compiler.record import record

Statistics = dict[str, np.ndarray]
Pieces = Callable[[], Iterator[np.ndarray]]
Options = dict[str, Any]

#: An entry whose deviation is below this share of its size is constant, but for rounding.
CONSTANT = 1e-12
#: A principal component of less than this share of the largest variance is rounding, not data.
NO_VARIANCE = 1e-14


@record
class Fitted:
    """One function. `options`: the arguments after the first, with their defaults; None: must be given.

    `constant` is true for the entries of a sample that do not vary over the training part, given the statistics.
    """

    name: str
    fit: Callable[[Pieces, Options], Statistics]
    apply: Callable[[np.ndarray, Statistics], np.ndarray]
    options: Options = field(default_factory=dict)
    words: dict[str, tuple[str, ...]] = field(default_factory=dict)
    constant: Callable[[Statistics], np.ndarray] = lambda statistics: np.zeros(0, bool)


# ----------------------------------------------------------------------------------------- shift and scale


def _shared_axes(shape: tuple[int, ...], per: str) -> tuple[int, ...]:
    """Axes (the rows' is 0) over which one mean is taken: those of the sample too, but for its first where per channel."""
    if per == "all":
        return tuple(range(len(shape)))
    return (0,) if per == "entry" else (0, *range(2, len(shape)))


def _mean(pieces: Pieces, per: str) -> np.ndarray:
    total, count = np.float64(0.0), 0.0
    for piece in pieces():
        axes = _shared_axes(piece.shape, per)
        total = total + piece.sum(axis=axes, keepdims=True, dtype=np.float64)[0]
        count += _size(piece.shape, axes)
    return np.asarray(total / max(count, 1.0))


def _size(shape: tuple[int, ...], axes: tuple[int, ...]) -> float:
    return float(np.prod([shape[a] for a in axes]))


def _fit_standardise(pieces: Pieces, options: Options) -> Statistics:
    per = options["per"]
    mean = _mean(pieces, per)
    squares, count = np.float64(0.0), 0.0
    for piece in pieces():
        axes = _shared_axes(piece.shape, per)
        squares = squares + ((piece - mean) ** 2).sum(axis=axes, keepdims=True)[0]
        count += _size(piece.shape, axes)
    deviation = np.sqrt(squares / max(count, 1.0))
    return {"mean": mean, "deviation": _or_zero(deviation, np.abs(mean))}


def _or_zero(spread: np.ndarray, size: np.ndarray) -> np.ndarray:
    return np.where(spread > CONSTANT * np.maximum(size, 1e-300), spread, 0.0)


def _scaled(values: np.ndarray, by: np.ndarray) -> np.ndarray:
    """values / by, and 0 where nothing varies."""
    return np.where(by > 0, values / np.where(by > 0, by, 1.0), 0.0)


def _apply_standardise(values: np.ndarray, s: Statistics) -> np.ndarray:
    return _scaled(values - s["mean"], s["deviation"])


def _fit_min_max(pieces: Pieces, options: Options) -> Statistics:
    low, high = np.asarray(np.inf), np.asarray(-np.inf)
    for piece in pieces():
        low = np.minimum(low, piece.min(axis=0))
        high = np.maximum(high, piece.max(axis=0))
    ends = np.array([options["low"], options["high"]], np.float64)
    return {"low": low, "range": _or_zero(high - low, np.maximum(np.abs(low), np.abs(high))), "to": ends}


def _apply_min_max(values: np.ndarray, s: Statistics) -> np.ndarray:
    low, high = s["to"]
    return low + (high - low) * _scaled(values - s["low"], s["range"])


def _fit_centre(pieces: Pieces, options: Options) -> Statistics:
    return {"mean": _mean(pieces, options["per"])}


# ---------------------------------------------------------------------------------------------- whitening


def _principal(pieces: Pieces) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, variances in falling order, and the principal axes as columns, their largest entry positive."""
    mean = _mean(pieces, "entry").reshape(-1)
    products, count = np.zeros((mean.size, mean.size)), 0
    for piece in pieces():
        centred = piece.reshape(len(piece), -1) - mean
        products += centred.T @ centred
        count += len(piece)
    variances, axes = np.linalg.eigh(products / max(count - 1, 1))
    variances, axes = np.maximum(variances[::-1], 0.0), axes[:, ::-1]
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(mean.size)]
    return mean, variances, axes * np.where(largest < 0, -1.0, 1.0)


def _kept(mean: np.ndarray, options: Options) -> int:
    wanted = options.get("components")
    if wanted is None:
        return mean.size
    if wanted != int(wanted) or not 1 <= wanted <= mean.size:
        raise ValueError(f"{wanted:g} components of a sample of {mean.size} numbers")
    return int(wanted)


def _inverse_roots(variances: np.ndarray, epsilon: float) -> np.ndarray:
    """1/√(variance + ε), and 0 for directions in which the data does not extend."""
    there = variances > NO_VARIANCE * max(float(variances[0]), 1e-300)
    return np.where(there, 1 / np.sqrt(np.where(there, variances + epsilon, 1.0)), 0.0)


def _fit_decorrelate(pieces: Pieces, options: Options) -> Statistics:
    mean, _, axes = _principal(pieces)
    return {"mean": mean, "matrix": axes[:, : _kept(mean, options)].copy()}


def _fit_whiten(pieces: Pieces, options: Options) -> Statistics:
    mean, variances, axes = _principal(pieces)
    matrix = axes * _inverse_roots(variances, options["epsilon"])
    return {"mean": mean, "matrix": matrix[:, : _kept(mean, options)].copy()}


def _fit_zca(pieces: Pieces, options: Options) -> Statistics:
    mean, variances, axes = _principal(pieces)
    return {"mean": mean, "matrix": (axes * _inverse_roots(variances, options["epsilon"])) @ axes.T}


def _apply_matrix(values: np.ndarray, s: Statistics) -> np.ndarray:
    """The flat sample, or for a square matrix (ZCA) a sample of the same shape."""
    turned = (values.reshape(len(values), -1) - s["mean"]) @ s["matrix"]
    return turned.reshape(values.shape) if turned.size == values.size else turned


# ----------------------------------------------------------------------------------- categories, missing values


def _fit_category(pieces: Pieces, options: Options) -> Statistics:
    found: np.ndarray | None = None
    for piece in pieces():
        there = np.unique(piece)
        found = there if found is None else np.unique(np.concatenate([found, there]))
    assert found is not None
    return {"categories": found}


def category_numbers(values: np.ndarray, categories: np.ndarray) -> np.ndarray:
    """The place of each value among the categories (sorted or not); −1 for what is none of them."""
    order = np.argsort(categories, kind="stable")
    place = np.searchsorted(categories, values, sorter=order)
    number = order[np.minimum(place, len(categories) - 1)]
    return np.where(categories[number] == values, number, -1)


def _fit_fill_mean(pieces: Pieces, options: Options) -> Statistics:
    there = _present(pieces)
    return {"value": np.asarray(there.mean(dtype=np.float64))}


def _fit_fill_median(pieces: Pieces, options: Options) -> Statistics:
    return {"value": np.asarray(np.median(_present(pieces)))}


def _present(pieces: Pieces) -> np.ndarray:
    values = np.concatenate([piece[~np.isnan(piece)] for piece in pieces()])
    if not values.size:
        raise ValueError("every value of the training part is missing")
    return values


def _apply_fill(values: np.ndarray, s: Statistics) -> np.ndarray:
    return np.where(np.isnan(values), s["value"], values)


def _still(name: str) -> Callable[[Statistics], np.ndarray]:
    """Entries whose statistic `name` is 0."""
    return lambda statistics: np.ravel(statistics[name]) == 0


_PER: dict[str, tuple[str, ...]] = {"per": ("entry", "channel", "all")}

#: `standardise(x)`: (x − mean) / deviation, the deviation with 1/n. `per = channel`: one mean for each entry of the first axis;
#: `per = all`: one in all. `whiten` and `decorrelate` turn to the principal axes, `whiten_zca` turns back; variances with
#: 1/(n−1). (Kessy, Lewin and Strimmer 2018 compare them.)
FITTED: dict[str, Fitted] = {
    f.name: f
    for f in (
        Fitted(
            "standardise", _fit_standardise, _apply_standardise, {"per": "entry"}, _PER, _still("deviation")
        ),
        Fitted("centre", _fit_centre, lambda v, s: v - s["mean"], {"per": "entry"}, _PER),
        Fitted("min_max", _fit_min_max, _apply_min_max, {"low": 0.0, "high": 1.0}, constant=_still("range")),
        Fitted("decorrelate", _fit_decorrelate, _apply_matrix, {"components": None}),
        Fitted("whiten", _fit_whiten, _apply_matrix, {"components": None, "epsilon": 0.0}),
        Fitted("whiten_zca", _fit_zca, _apply_matrix, {"epsilon": 0.0}),
        Fitted("category", _fit_category, lambda v, s: category_numbers(v, s["categories"])),
        Fitted("fill_mean", _fit_fill_mean, _apply_fill),
        Fitted("fill_median", _fit_fill_median, _apply_fill),
    )
}
#: Of a source's own column, missing values and all.
FILLING = frozenset({"fill_mean", "fill_median"})
