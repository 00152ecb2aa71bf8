"""Named columns of a data source, and the errors about them.

In: readers of single columns, as the sources make them.  Out: `Columns`, which reads a column when it is first asked for.

    columns = of_arrays({"data": x, "target": t}, "points.npz", span)
    columns["data"]                                  array[n, …]

A column with missing values is refused where it is used, with the places of the gaps; `missing_values` gives it as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import field

import numpy as np

from ...compiler.record import record
from ...compiler.source import Diagnostic, DiagnosticError, Note, Span
from ..codes import CODES
from .vocabulary import Vocabulary


@record(frozen=False)
class Incomplete:
    """A column in which values are missing: NaN or '' stands where `gaps` is true. `span`: what to blame."""

    values: np.ndarray
    gaps: np.ndarray
    span: Span


Column = np.ndarray | Incomplete


@record(frozen=False)
class Columns:
    """Named columns of one source. `count` is the number of rows; `readers` read a column when it is first needed.

    `row_place` says in words where a row stands in its file; `vocabulary` is that of a text.
    """

    description: str
    count: int
    readers: dict[str, Callable[[], Column]]
    seed: int | None = None
    row_place: Callable[[int], str] | None = None
    vocabulary: Vocabulary | None = None
    _read: dict[str, Column] = field(default_factory=dict, repr=False)

    @property
    def names(self) -> list[str]:
        return list(self.readers)

    def __contains__(self, name: str) -> bool:
        return name in self.readers

    def read(self, name: str) -> Column:
        """A column as it is."""
        if name not in self._read:
            self._read[name] = self.readers[name]()
        return self._read[name]

    def __getitem__(self, name: str) -> np.ndarray:
        """A column without missing values. Raises DiagnosticError."""
        column = self.read(name)
        if isinstance(column, Incomplete):
            raise self._incomplete(name, column)
        return column

    def place(self, row: int) -> str:
        """`line 3 of 'houses.csv'`, or `row 2 of digits.npz (rows count from 0)`."""
        if self.row_place is not None:
            return self.row_place(row)
        return f"row {row} of {self.description} (rows count from 0)"

    def _incomplete(self, name: str, column: Incomplete) -> DiagnosticError:
        rows = np.flatnonzero(column.gaps)
        more = f", and {len(rows) - 1} more values (rows {listed(rows[1:])})" if len(rows) > 1 else ""
        text = column.values.dtype.kind == "U"
        how = (
            f'fill({name}, "none")' if text else f"fill({name}, 0), fill_mean({name}) or fill_median({name})"
        )
        return fail(
            "E703",
            f"{self.place(int(rows[0]))}, column '{name}': a value is missing{more}",
            column.span,
            help=f"fill the gaps: {how}",
        )


def missing_values(source: Columns, name: str) -> tuple[np.ndarray, np.ndarray]:
    """A column with its gaps, and a mask of them. Numbers come as float64, with NaN in the gaps."""
    column = source.read(name)
    if isinstance(column, Incomplete):
        return column.values, column.gaps
    if column.dtype.kind == "f":
        return column, np.isnan(column)
    values = column if column.dtype.kind in "US" else column.astype(np.float64)
    return values, np.zeros(column.shape, bool)


def listed(numbers: Iterable[int], one: str = "", many: str = "", most: int = 8) -> str:
    """`entries 3, 5 and 8`; no more than `most` of them."""
    shown = [str(int(n)) for n in numbers]
    word = f"{one if len(shown) == 1 else many} ".lstrip()
    if len(shown) > most:
        return f"{word}{', '.join(shown[:most])} and {len(shown) - most} more"
    return word + " and ".join([", ".join(shown[:-1])] * (len(shown) > 1) + shown[-1:])


def fail(
    code: str, message: str, span: Span, *, label: str = "", help: str = "", notes: Iterable[Note] = ()
) -> DiagnosticError:
    """The error to raise about one place of the data section."""
    assert code in CODES, code
    return DiagnosticError([Diagnostic(code, message, span, label=label, notes=tuple(notes), help=help)])


def of_arrays(arrays: dict[str, np.ndarray], description: str, span: Span) -> Columns:
    """Columns that are already in memory; all must have as many rows."""
    counts = {name: len(a) if a.ndim else 0 for name, a in arrays.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise fail("E703", f"the columns have different numbers of rows: {listed}", span)
    count = next(iter(counts.values()), 0)
    if count == 0:
        raise fail("E703", f"{description} has no rows", span)
    return Columns(description, count, {n: (lambda a=a: a) for n, a in arrays.items()})  # type: ignore[misc]
