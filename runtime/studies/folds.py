"""k-fold cross-validation: the same file, trained once for every fold, and what the folds say together.

In: a .dln file, a number of folds.  Out: a run folder for each, `folds.json`, mean and deviation of every figure.

    runs/digits-folds-1/fold-0, …
    summary = summarise(results)["mean"]["validation"]["accuracy"]

Fold k of n is the setting `fold k of n` of the data section (see splits.py): the rows of train and validation together are cut
into n pieces, and the k-th is the validation part. The test part stays out of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..training.history import Figures
from .jobs import Job, Result

PARTS = ("train", "validation", "test")


def fold_jobs(
    file: str, folds: int, settings: Mapping[str, str], folder: str, threads: int, precision: str
) -> list[Job]:
    """A job for every fold."""
    return [
        Job(
            f"fold {k}",
            file,
            f"{folder}/fold-{k}",
            {**settings, "fold": f"{k} of {folds}"},
            threads,
            precision,
        )
        for k in range(folds)
    ]


def summarise(results: Sequence[Result]) -> dict[str, dict[str, Figures]]:
    """Mean and standard deviation (with 1/(n − 1)) of every figure of every part, over the runs that have it."""
    found: dict[str, dict[str, list[float]]] = {}
    for result in results:
        for part in PARTS:
            for figure, value in result.get(part, {}).items():
                found.setdefault(part, {}).setdefault(figure, []).append(value)
    return {
        "mean": {p: {f: math.fsum(v) / len(v) for f, v in by.items()} for p, by in found.items()},
        "deviation": {p: {f: deviation(v) for f, v in by.items()} for p, by in found.items()},
    }


def deviation(values: Sequence[float]) -> float:
    """The standard deviation of a sample; 0 of a single value."""
    if len(values) < 2:
        return 0.0
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))


def table(names: Sequence[str], results: Sequence[Result], extra: Mapping[str, Mapping[str, Any]]) -> str:
    """A line per run, a column per figure of each part; then the lines of `extra`."""
    columns = list(dict.fromkeys((part, f) for r in results for part in PARTS for f in r.get(part, {})))
    heads = [f"{part} {figure}" for part, figure in columns]
    rows = [(name, result) for name, result in zip(names, results, strict=True)]
    lines = [["", *heads]]
    for name, row in [*rows, *extra.items()]:
        cells = (row.get(part, {}).get(figure) for part, figure in columns)
        lines.append([name, *("" if cell is None else f"{cell:.5g}" for cell in cells)])
        if "error" in row:
            lines[-1].append(str(row["error"]).splitlines()[0])
    widths = [max(len(line[k]) for line in lines if k < len(line)) for k in range(len(heads) + 1)]
    return "\n".join(
        "  ".join(
            [
                f"{line[0]:{widths[0]}}",
                *(f"{c:>{w}}" for c, w in zip(line[1:], widths[1:], strict=False)),
                *line[len(widths) :],
            ]
        ).rstrip()
        for line in lines
    )
