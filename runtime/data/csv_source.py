"""Comma-separated files: header or none, separated by commas, semicolons, tabs or spaces.

In: a path.  Out: `Columns`: one per header name (or column1, column2, … without a header), and `data`, all columns
that hold numbers, side by side.

    sepal_length,species        from csv "iris.csv"
    5.1,setosa                  x = sepal_length
                                label = category(species)

A column of text can only be given to `category(…)`, `fill(…)` and `missing(…)`. A cell that is empty, or holds ?, NA or
NaN, is a missing value; the column is text where its first other cell is not a number.
"""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ...compiler.source import Span
from .columns import Column, Columns, Incomplete, fail

#: What stands where a value is missing.
MISSING = frozenset({"", "?", "NA", "N/A", "na", "n/a", "NaN", "nan", "NULL", "null"})


def read_csv(path: Path, span: Span) -> Columns:
    """Open a file. Columns are turned into numbers when first used. Raises DiagnosticError at `span`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise fail("E703", f"'{path.name}' is not UTF-8 text: {error.reason}", span) from None
    rows, lines = _rows(text)
    if not rows:
        raise fail("E703", f"'{path.name}' has no rows", span)
    header = None
    if _is_header(rows):
        header, rows, lines = rows[0], rows[1:], lines[1:]
    if not rows:
        raise fail("E703", f"'{path.name}' has a header and no rows", span)
    width = len(header if header is not None else rows[0])
    for row, line in zip(rows, lines, strict=True):
        if len(row) != width:
            raise fail(
                "E703",
                f"line {line} of '{path.name}' has {len(row)} columns, the first has {width}",
                span,
            )
    names = column_names(header, width)
    cells = list(zip(*rows, strict=True))
    place = functools.partial(_place, path, lines)
    readers: dict[str, Callable[[], Column]] = {
        name: functools.partial(_column, cells[k], place, name, span) for k, name in enumerate(names)
    }
    numeric = [k for k in range(width) if _is_numeric(cells[k])]
    source = Columns(path.name, len(rows), readers, row_place=place)
    if numeric:
        readers.setdefault("data", lambda: np.stack([source[names[k]] for k in numeric], axis=1))
    return source


def _place(path: Path, lines: list[int], row: int) -> str:
    return f"line {lines[row]} of '{path.name}'"


def _is_header(rows: list[list[str]]) -> bool:
    """Whether the first row is text throughout, or has text in a column whose next row has a number."""
    first = [cell.strip() not in MISSING and _number(cell) is None for cell in rows[0]]
    if all(first):
        return True
    second = rows[1] if len(rows) > 1 else []
    return any(text and _number(cell) is not None for text, cell in zip(first, second, strict=False))


def _rows(text: str) -> tuple[list[list[str]], list[int]]:
    """The cells of every line that is not blank, and its line number."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = next((d for d in (",", ";", "\t") if d in first), None)
    rows, lines = [], []
    if delimiter is None:
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                rows.append(line.split())
                lines.append(number)
        return rows, lines
    reader = csv.reader(text.splitlines(), delimiter=delimiter, skipinitialspace=True)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append(row)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from None
    return rows, lines


def column_names(header: list[str] | None, width: int) -> list[str]:
    """Header cells as names of the language: other characters become `_`; repeated ones are numbered."""
    names: list[str] = []
    for k in range(width):
        name = re.sub(r"\W+", "_", header[k].strip()).strip("_") if header is not None else ""
        name = name or f"column{k + 1}"
        name = f"_{name}" if name[0].isdigit() else name
        wish, number = name, 1
        while name in names:
            number += 1
            name = f"{wish}_{number}"
        names.append(name)
    return names


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _is_numeric(cells: Sequence[str]) -> bool:
    first = next((cell for cell in cells if cell.strip() not in MISSING), "")
    return _number(first) is not None


def _column(cells: Sequence[str], place: Callable[[int], str], name: str, span: Span) -> Column:
    """A column of numbers, or of text where its first cell is not a number."""
    if not _is_numeric(cells):
        stripped = [cell.strip() for cell in cells]
        gaps = np.array([cell in MISSING for cell in stripped])
        texts = np.array(["" if gap else cell for cell, gap in zip(stripped, gaps, strict=True)])
        return Incomplete(texts, gaps, span) if gaps.any() else texts
    try:
        values = np.array(cells, np.float64)
    except ValueError:
        return _numbers(cells, place, name, span)
    gaps = np.isnan(values)
    return Incomplete(values, gaps, span) if gaps.any() else values


def _numbers(cells: Sequence[str], place: Callable[[int], str], name: str, span: Span) -> Column:
    """Cell by cell, where some are not numbers. Raises DiagnosticError for those that are not missing either."""
    values = np.full(len(cells), np.nan)
    for row, cell in enumerate(cells):
        if cell.strip() in MISSING:
            continue
        number = _number(cell)
        if number is None:
            raise fail("E703", f"{place(row)}, column '{name}': '{cell.strip()}' is not a number", span)
        values[row] = number
    gaps = np.isnan(values)
    return Incomplete(values, gaps, span) if gaps.any() else values
