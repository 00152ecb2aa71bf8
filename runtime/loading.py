"""Networks from files and texts: `dln.load` and `dln.compile`.

In: a .dln file or its text, settings by name.  Out: `Network`.

    net = dln.load("digits.dln", width=64, rate=3e-3, seed=1)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..compiler.pipeline import Precision, front, front_text
from .program import Network


def load(
    path: str | Path,
    *,
    seed: int | None = None,
    precision: Precision = "float32",
    threads: int | None = None,
    **settings: Any,
) -> Network:
    """Compile a .dln file.

    seed       of the first weights and the order of training; None: the file's own, or 0
    precision  "float32" or "float64": the type of all real arrays
    threads    None: all cores that this process may use, or $DLN_THREADS
    settings   values for the file's `param`s and for the keys of its data and train sections

    Raises DiagnosticError for an invalid file (its text shows every place), OSError, InputError.
    """
    elaborated = front(path, _as_text(settings), compiling=True)
    return Network(elaborated, Path(path).parent, seed=seed, precision=precision, threads=threads)


def compile(
    text: str,
    *,
    folder: str | Path | None = None,
    seed: int | None = None,
    precision: Precision = "float32",
    threads: int | None = None,
    **settings: Any,
) -> Network:
    """Compile the text of a .dln file; `folder` is where its imports, tables and data are (default: the current one).

    Everything else is as in `load`.
    """
    where = Path(folder) if folder is not None else Path.cwd()
    elaborated = front_text(text, str(where / "<text>"), _as_text(settings), compiling=True)
    return Network(elaborated, where, seed=seed, precision=precision, threads=threads)


def _as_text(settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings as they would be written in a file."""
    return {key: value if isinstance(value, str) else repr(value) for key, value in settings.items()}
