"""Static tables: inline literals and CSV files.

In: `[[0, 1, -1], [-1, 0, 1]]`, or `table "lattice.csv"`.  Out: `StaticTable`, checked: no ragged rows, only numbers.

A table is whole numbers (it can be a map, or stand in subscripts) where all of its entries are written so, else real.
Files are read only inside the folder of the file that names them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import field
from pathlib import Path

import numpy as np

from ..mathematics.expression import Type
from ..record import record
from ..source import NOWHERE, Diagnostic, DiagnosticError, Note, Source, Span, did_you_mean

#: Bytes of a CSV table.
FILE_LIMIT = 256 * 1024 * 1024
#: Entries of an inline table.
ENTRY_LIMIT = 5_000_000


_files_read: ContextVar[dict[str, bytes] | None] = ContextVar("files read", default=None)


@contextlib.contextmanager
def noting_files() -> Iterator[dict[str, bytes]]:
    """Path → contents of every file that is read meanwhile: what the result depends on."""
    files: dict[str, bytes] = {}
    token = _files_read.set(files)
    try:
        yield files
    finally:
        _files_read.reset(token)


@record(frozen=False, eq=False)
class StaticTable:
    """values: int64 or float64.  name: set when the graph is built."""

    values: np.ndarray
    label: str
    span: Span = NOWHERE
    name: str = field(default="")

    @property
    def type(self) -> Type:
        return "integer" if self.values.dtype.kind == "i" else "real"


def inside_folder(folder: Path, path: str, span: Span, kind: str) -> Path:
    """The real path of `path` below `folder`. Raises DiagnosticError for absolute paths, `..` and links that lead outside,
    and for files that do not exist."""

    def refuse(code: str, message: str, help: str) -> DiagnosticError:
        return DiagnosticError([Diagnostic(code, message, span, help=help)])

    advice = "put the file into the folder of this file, or below it"
    relative = Path(path)
    if not path or "\0" in path:
        raise refuse("E401", f"'{path}' is no path of a {kind}", advice)
    if relative.is_absolute() or path.startswith(("/", "\\")) or (len(path) > 1 and path[1] == ":"):
        raise refuse("E402", f"the path '{path}' is absolute", advice)
    if ".." in relative.parts or ".." in path.split("\\"):
        raise refuse("E402", f"the path '{path}' leaves the folder of this file", advice)
    try:
        root = folder.resolve()
        found = (root / relative).resolve()
        outside = not found.is_relative_to(root)
        exists = found.is_file()
    except (OSError, RuntimeError, ValueError):
        raise refuse("E401", f"the {kind} '{path}' cannot be read", "") from None
    if outside:
        raise refuse("E402", f"'{path}' is a link that leaves the folder of this file", advice)
    if not exists:
        siblings = list(found.parent.iterdir()) if found.parent.is_dir() else []
        stem = did_you_mean(found.stem, [p.stem for p in siblings if p.suffix == found.suffix])
        near = stem.replace("'?", f"{found.suffix}'?")
        raise refuse(
            "E401",
            f"the {kind} '{path}' does not exist",
            near or "paths are relative to the folder of this file",
        )
    return found


def read_text(path: Path, shown: str, span: Span, limit: int) -> str:
    """The text of a file. Raises DiagnosticError where it cannot be read, is no UTF-8 or has more than `limit` bytes."""
    try:
        size = path.stat().st_size
        if size > limit:
            message = f"'{shown}' has {size:,} bytes; {limit:,} are the limit"
            raise DiagnosticError([Diagnostic("E405", message, span)])
        content = path.read_bytes()
        if (files := _files_read.get()) is not None:
            files[os.path.abspath(path)] = content
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DiagnosticError([Diagnostic("E401", f"'{shown}' is not a text in UTF-8", span)]) from None
    except OSError as problem:
        reason = problem.strerror or "it cannot be opened"
        raise DiagnosticError([Diagnostic("E401", f"'{shown}' cannot be read: {reason}", span)]) from None


def read_table(folder: Path, path: str, span: Span) -> StaticTable:
    """A CSV file of numbers, a line a row; `#` begins a comment. Raises DiagnosticError that points into the file."""
    file = inside_folder(folder, path, span, "table")
    text = read_text(file, path, span, FILE_LIMIT)
    source = Source(path, text)
    rows: list[np.ndarray] = []
    first: Span | None = None
    offset = 0
    for line in text.split("\n"):
        content = line.split("#", 1)[0].strip()
        place = source.span(offset, offset + len(line.rstrip()))
        offset += len(line) + 1
        if not content:
            continue
        row = _row(content, place, source)
        if first is None:
            first = place
        elif len(row) != len(rows[0]):
            message = f"this row of '{path}' has {_entries(len(row))}, the first has {len(rows[0])}"
            note = (Note(first, f"{_entries(len(rows[0]))} here"), Note(span, "the table is used here"))
            raise DiagnosticError(
                [
                    Diagnostic(
                        "E403",
                        message,
                        place,
                        _entries(len(row)),
                        note,
                        "every row of a table has as many entries as the first",
                    )
                ]
            )
        rows.append(row)
    if not rows:
        raise DiagnosticError([Diagnostic("E404", f"the table '{path}' has no rows", span)])
    whole = all(row.dtype.kind == "i" for row in rows)
    values = np.array(rows, dtype=np.int64 if whole else np.float64)
    return StaticTable(values, Path(path).stem, span)


def _row(content: str, place: Span, source: Source) -> np.ndarray:
    cells = [cell.strip() for cell in content.split(",")]
    if cells and not cells[-1] and len(cells) > 1:
        cells.pop()
    try:
        return np.array([int(cell) for cell in cells], dtype=np.int64)
    except (ValueError, OverflowError):
        pass
    try:
        values = np.array([float(cell) for cell in cells], dtype=np.float64)
        if np.isfinite(values).all():
            return values
    except ValueError:
        pass
    bad = next(cell for cell in cells if not _is_finite(cell))
    start = source.text.find(bad, place.start) if bad else place.start
    message = f"'{bad}' is not a number" if bad else "an entry is empty"
    raise DiagnosticError(
        [
            Diagnostic(
                "E404",
                message,
                source.span(start, start + max(1, len(bad))),
                help="a table holds numbers, with commas between",
            )
        ]
    )


def _is_finite(cell: str) -> bool:
    try:
        return bool(np.isfinite(float(cell)))
    except (ValueError, OverflowError):
        return False


def _entries(count: int) -> str:
    return f"{count} {'entry' if count == 1 else 'entries'}"


def regular(numbers: list[int | float], shape: tuple[int, ...], label: str, span: Span) -> StaticTable:
    """A table from the numbers of a literal, row by row."""
    whole = all(isinstance(n, int) for n in numbers)
    values = np.array(numbers, dtype=np.int64 if whole else np.float64).reshape(shape)
    return StaticTable(values, label, span)
