"""Where data comes from: the word after `from` in a data section, opened as named columns.

In: the values of a `from` (or `test`, `validation`) setting, the folder of the .dln file.
Out: `Columns`, whose arrays have the samples as their first axis and are read when first asked for.

    from sklearn.digits                       data[1797, 64], target[1797]
    from csv "houses.csv"                     a column per header name, and data: all numeric columns
    from parquet "houses.parquet"             the same (arrow: of Arrow and Feather files)
    from npz "digits.npz"                     the arrays in it;   npy: data
    from idx "images.gz" "labels.gz"          image, label (or the one of them that is given)
    from [[0, 0, 0], [0, 1, 1]]               data[2, 3]
    from random(samples = 1000, seed = 1)     nothing but row; columns are drawn by normal(…), uniform(…)
    from text "input.txt" window(64)          class numbers of characters or words: see text_source.py

Files are looked for in the folder of the .dln file and then in $DLN_DATA, and never leave these folders. Nothing is
ever downloaded.
"""

from __future__ import annotations

import importlib.util
import os
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ...compiler import syntax
from ...compiler.source import Span, did_you_mean
from .arrow_source import read_arrow
from .columns import Columns, fail, of_arrays
from .csv_source import read_csv
from .idx_source import read_idx
from .text_source import TEXT_KINDS, Number, is_text, open_text, read_text_plan
from .vocabulary import Vocabulary

#: Data sets that scikit-learn carries in its own package.
BUNDLED = ("digits", "iris", "wine", "breast_cancer", "diabetes")
FILE_KINDS = ("csv", "npz", "npy", "idx", "parquet", "arrow")


def open_source(
    setting: syntax.Setting,
    folder: Path | None,
    number: Number | None = None,
    vocabulary: Vocabulary | None = None,
) -> Columns:
    """The columns that a `from`, `validation` or `test` setting names. Raises DiagnosticError at the setting.

    number       the value of an expression over params
    vocabulary   of a text: that of the training part, or of trained weights
    """
    values, span = setting.values, setting.span
    if is_text(setting):
        plan = read_text_plan(setting, number or _number)
        return open_text(plan, find_file(plan.path, folder, values[1].span), values[1].span, vocabulary)
    match values:
        case (syntax.Name(name=name),) if name.startswith("sklearn."):
            return _bundled(name.removeprefix("sklearn."), values[0].span)
        case (syntax.ArrayLiteral() as rows,):
            return _inline(rows)
        case (syntax.Subscript(base=syntax.Name(name="table"), subscripts=(*rows,)),):
            # `table [[0, 1], [2, 3]]` reads as a subscript of a name: its elements are the rows.
            literal = rows[0] if len(rows) == 1 else syntax.ArrayLiteral(tuple(rows), span=span)
            if isinstance(literal, syntax.ArrayLiteral):
                return _inline(literal)
        case (syntax.Call(function="random") as call,):
            return _random(call)
        case (syntax.Name(name=kind), syntax.String(), *_) if kind in FILE_KINDS:
            return _file(kind, values[1:], span, folder)
        case (syntax.String(value=path), *_):
            kind = Path(path.removesuffix(".gz")).suffix.removeprefix(".")
            kind = {"txt": "csv", "tsv": "csv", "data": "csv", "feather": "arrow"}.get(kind, kind)
            return _file(kind if kind in FILE_KINDS else "idx", values, span, folder)
        case (syntax.Name(name=name), *_):
            known = [*(f"sklearn.{b}" for b in BUNDLED), *FILE_KINDS, *TEXT_KINDS, "table", "random"]
            raise fail(
                "E701",
                f"unknown data source '{name}'",
                values[0].span,
                help=did_you_mean(name, known) or f"the sources are {', '.join(known)}",
            )
    raise fail(
        "E701",
        "this is not a data source",
        span,
        help='write for instance: from sklearn.digits, or: from csv "file.csv"',
    )


# ------------------------------------------------------------------------------------------------- files


def find_file(path: str, folder: Path | None, span: Span) -> Path:
    """The real path of a data file: inside the .dln file's folder, or inside $DLN_DATA."""
    given = Path(path)
    if given.is_absolute() or ".." in given.parts:
        raise fail(
            "E702",
            f"the path '{path}' leaves the folder of the file",
            span,
            help="name a file below this folder, or below $DLN_DATA",
        )
    roots = [folder if folder is not None else Path.cwd()]
    data_root = os.environ.get("DLN_DATA")
    if data_root:
        roots.append(Path(data_root))
    for root in roots:
        try:
            real = (root / given).resolve()
            if real.is_file() and real.is_relative_to(root.resolve()):
                return real
        except (OSError, RuntimeError, ValueError):  # loops of links, names that are too long, NUL
            continue
    looked = f"looked in {roots[0]} and " + (data_root or "nowhere else ($DLN_DATA is not set)")
    raise fail(
        "E702",
        f"cannot find the data file '{path}'",
        span,
        label=looked,
        help="put it beside the .dln file, or set DLN_DATA to the folder that has it",
    )


def _file(kind: str, values: Iterable[syntax.Expression], span: Span, folder: Path | None) -> Columns:
    paths: list[tuple[Path, Span]] = []
    for value in values:
        if not isinstance(value, syntax.String):
            raise fail("E701", "expected the path of a file, in double quotes", value.span)
        paths.append((find_file(value.value, folder, value.span), value.span))
    if len(paths) > 1 and kind != "idx":
        raise fail("E701", f"a {kind} source is one file", paths[1][1])
    path, where = paths[0]
    try:
        match kind:
            case "csv":
                return read_csv(path, where)
            case "npz":
                return _npz(path, where)
            case "npy":
                array = np.load(path, allow_pickle=False)
                return of_arrays({"data": array}, path.name, where)
            case "parquet" | "arrow":
                return read_arrow(path, kind, where)
        return of_arrays(read_idx(paths), " and ".join(p.name for p, _ in paths), span)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, MemoryError) as error:
        raise fail("E703", f"cannot read '{path.name}' as {kind}: {error}", where) from None


def _npz(path: Path, span: Span) -> Columns:
    with np.load(path, allow_pickle=False) as archive:
        if not hasattr(archive, "files"):
            raise ValueError("it holds one array; write npy")
        return of_arrays({name: archive[name] for name in archive.files}, path.name, span)


# ------------------------------------------------------------------------------------- without a file


def _inline(literal: syntax.ArrayLiteral) -> Columns:
    rows: list[list[float]] = []
    for row in literal.elements:
        cells = row.elements if isinstance(row, syntax.ArrayLiteral) else (row,)
        rows.append([_number(cell) for cell in cells])
        if len(rows[-1]) != len(rows[0]):
            raise fail(
                "E703", f"this row has {len(rows[-1])} numbers, the first has {len(rows[0])}", row.span
            )
    return of_arrays({"data": np.array(rows)}, "the rows given here", literal.span)


def _number(expression: syntax.Expression) -> float:
    match expression:
        case syntax.Number(value=value):
            return value
        case syntax.Unary(operator="-", operand=syntax.Number(value=value)):
            return -value
    raise fail("E703", "expected a number", expression.span)


def _random(call: syntax.Call) -> Columns:
    given: dict[str, syntax.Expression] = dict(zip(("samples", "seed"), call.arguments, strict=False))
    given |= dict(call.named)
    for name, value in given.items():
        if name not in ("samples", "seed"):
            raise fail("E701", f"random has no argument '{name}'", value.span, help="samples, seed")
        if not isinstance(value, syntax.Number) or not isinstance(value.value, int):
            raise fail("E701", f"'{name}' should be a whole number", value.span)
    if "samples" not in given:
        raise fail("E701", "say how many: random(samples = 1000)", call.span)
    numbers = {name: int(value.value) for name, value in given.items()}  # type: ignore[union-attr]
    if not 1 <= numbers["samples"] <= 10**8:
        raise fail("E701", f"{numbers['samples']} samples; 1 … {10**8} are possible", call.span)
    return Columns("random", numbers["samples"], {}, seed=numbers.get("seed", 0))


def _bundled(name: str, span: Span) -> Columns:
    """A data set out of scikit-learn's package folder.

    The files are read directly, since importing scikit-learn takes seconds and 100 MB; where they are not as expected, its
    loader is asked.
    """
    if name not in BUNDLED:
        raise fail(
            "E701",
            f"scikit-learn carries no data set '{name}'",
            span,
            help=did_you_mean(name, BUNDLED) or f"it carries {', '.join(BUNDLED)}",
        )
    package = importlib.util.find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise fail("E701", "scikit-learn is not installed", span, help="pip install scikit-learn")
    folder = Path(package.submodule_search_locations[0]) / "datasets" / "data"
    try:
        data, target = _read_bundled(name, folder)
    except (OSError, ValueError):
        from sklearn import datasets

        bunch = getattr(datasets, f"load_{name}")()
        data, target = bunch.data, bunch.target
    return of_arrays({"data": data, "target": target}, f"sklearn.{name}", span)


def _read_bundled(name: str, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    if name == "diabetes":
        data = np.loadtxt(folder / "diabetes_data_raw.csv.gz")
        data = data - data.mean(0)
        data /= data.std(0) * np.sqrt(len(data))  # every column has the sum of squares 1
        target = np.loadtxt(folder / "diabetes_target.csv.gz")
        if data.shape != (len(target), 10):
            raise ValueError(f"diabetes has the shape {data.shape}")
        return data, target
    files = {
        "digits": ("digits.csv.gz", 0, 64),
        "iris": ("iris.csv", 1, 4),
        "wine": ("wine_data.csv", 1, 13),
        "breast_cancer": ("breast_cancer.csv", 1, 30),
    }
    file, skip, width = files[name]
    table = np.loadtxt(folder / file, delimiter=",", skiprows=skip)
    if table.ndim != 2 or table.shape[1] != width + 1:
        raise ValueError(f"{file} has the shape {table.shape}")
    return np.ascontiguousarray(table[:, :width]), table[:, width].astype(np.int64)
