"""Parquet and Arrow files, read through pyarrow, which is an extra: pip install 'dln[arrow]'.

In: a path.  Out: `Columns`: one per column of the file, and `data`, all columns that hold numbers, side by side.

    from parquet "houses.parquet"            x = join(area, price)
    from arrow "houses.arrow"                the file or the stream format; Feather files of version 2 are such files

A column is read from the disk when it is first used. Lists of one length become vectors. A null is a missing value.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...compiler.source import Span
from .columns import Column, Columns, Incomplete, fail
from .csv_source import column_names

HINT = "pip install 'dln[arrow]'"


def read_arrow(path: Path, kind: str, span: Span) -> Columns:
    """Open a file; `kind` is parquet or arrow. Raises DiagnosticError at `span`, OSError, ValueError."""
    if importlib.util.find_spec("pyarrow") is None:
        raise fail("E701", f"{kind} files are read with pyarrow, which is not installed", span, help=HINT)
    schema, count, read = (_parquet if kind == "parquet" else _arrow)(path)
    if count == 0:
        raise fail("E703", f"'{path.name}' has no rows", span)
    names = column_names(schema.names, len(schema.names))
    readers: dict[str, Callable[[], Column]] = {
        name: functools.partial(_column, read, k, name, path, span) for k, name in enumerate(names)
    }
    numeric = [name for name, field in zip(names, schema, strict=True) if _is_number(field.type)]
    source = Columns(path.name, count, readers)
    if numeric:
        readers.setdefault("data", lambda: np.stack([source[name] for name in numeric], axis=1))
    return source


def _parquet(path: Path) -> tuple[Any, int, Callable[[int], Any]]:
    from pyarrow import parquet

    file = parquet.ParquetFile(path, memory_map=True)
    schema = file.schema_arrow
    return schema, file.metadata.num_rows, lambda k: file.read(columns=[schema.names[k]]).column(0)


def _arrow(path: Path) -> tuple[Any, int, Callable[[int], Any]]:
    import pyarrow

    with pyarrow.memory_map(str(path)) as mapped:
        try:
            table = pyarrow.ipc.open_file(mapped).read_all()
        except pyarrow.ArrowInvalid:  # not the file format, so the stream format
            mapped.seek(0)
            table = pyarrow.ipc.open_stream(mapped).read_all()
    return table.schema, table.num_rows, table.column


def _is_number(kind: Any) -> bool:
    from pyarrow import types

    return bool(
        types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_boolean(kind)
    )


def _column(read: Callable[[int], Any], k: int, name: str, path: Path, span: Span) -> Column:
    """One column as an array: numbers, texts, or vectors of one length."""
    import pyarrow
    from pyarrow import types

    try:
        column = read(k).combine_chunks()
    except (OSError, ValueError) as error:  # a broken page, met only now
        raise fail("E703", f"cannot read column '{name}' of '{path.name}': {error}", span) from None
    if isinstance(column, pyarrow.ChunkedArray):  # an array is too large for one chunk
        column = pyarrow.concat_arrays(column.chunks)
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    gaps = column.is_null().to_numpy(zero_copy_only=False)
    if (
        types.is_fixed_size_list(column.type)
        or types.is_list(column.type)
        or types.is_large_list(column.type)
    ):
        return _vectors(column, gaps, name, path, span)
    if types.is_string(column.type) or types.is_large_string(column.type):
        texts = np.array(column.fill_null("").to_pylist())
        return Incomplete(texts, gaps, span) if gaps.any() else texts
    if not _is_number(column.type):
        raise fail(
            "E703",
            f"column '{name}' of '{path.name}' holds {column.type}",
            span,
            help="numbers, texts and lists of numbers can be used",
        )
    if types.is_decimal(column.type):
        column = column.cast(pyarrow.float64())
    values = column.to_numpy(zero_copy_only=False)
    if not gaps.any():
        return values.astype(np.int64) if values.dtype == bool else values
    return Incomplete(values.astype(np.float64), gaps, span)


def _vectors(column: Any, gaps: np.ndarray, name: str, path: Path, span: Span) -> np.ndarray:
    if gaps.any():
        row = int(np.argmax(gaps))
        raise fail("E703", f"row {row} of '{path.name}', column '{name}': a value is missing", span)
    lengths = column.value_lengths().to_numpy(zero_copy_only=False)
    if (lengths != lengths[0]).any():
        row = int(np.argmax(lengths != lengths[0]))
        what = f"a list of {lengths[row]}, the first has {lengths[0]}"
        raise fail("E703", f"row {row} of '{path.name}', column '{name}': {what}", span)
    inner = column.flatten()
    if not _is_number(inner.type) or inner.null_count:
        raise fail("E703", f"column '{name}' of '{path.name}' should hold lists of numbers", span)
    return inner.to_numpy(zero_copy_only=False).reshape(len(column), int(lengths[0]))
