"""Which rows of a data set belong to which part.

In: `split 70% train, 15% validation, 15% test`, the number of rows, a seed.
Out: part name → row numbers.

    plan = read_split(setting)                      {"train": 0.7, "validation": 0.15, "test": 0.15}
    divide(plan, order, span)                       {"train": array[1258], "validation": array[270], "test": array[269]}
    take_fold(parts, Fold(2, 5))                    the third of five folds is the validation part

Integers are numbers of rows, everything else is a share of them. Instead of a size there may be a file with the numbers of the
rows, counted from 0: `split "train_{fold}.txt" train, "test_{fold}.txt" test`, where `{fold}` is the fold's number.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...compiler import syntax
from ...compiler.record import record
from ...compiler.source import Span, did_you_mean
from .columns import fail

PARTS = ("train", "validation", "test")
Plan = dict[str, int | float | syntax.String]


@record
class Fold:
    """`fold 2 of 5`: the number, from 0, and how many there are (None: as many as there are files)."""

    number: int = 0
    count: int | None = None


def read_fold(setting: syntax.Setting) -> Fold:
    """A `fold` setting. Raises DiagnosticError."""
    match setting.values:
        case (syntax.Number(value=int(number)),):
            return Fold(number)
        case (syntax.Number(value=int(number)), syntax.Name(name="of"), syntax.Number(value=int(count))) if (
            count >= 2 and number < count
        ):
            return Fold(number, count)
    help = "for instance fold 0 of 5; the folds are 0 … 4"
    raise fail("E706", "a fold is a number, and how many there are", setting.span, help=help)


def read_split(setting: syntax.Setting) -> Plan:
    """The parts of a `split` setting in the order given. Raises DiagnosticError."""
    plan: Plan = {}
    values = setting.values
    for size, part in zip(values[::2], [*values[1::2], None][: len(values[::2])], strict=True):
        if not isinstance(size, syntax.Number | syntax.String) or not isinstance(part, syntax.Name):
            sized = isinstance(size, syntax.Number | syntax.String)
            where = part.span if sized and part is not None else size.span
            raise fail(
                "E706",
                "a split is a list of sizes and parts",
                where,
                help="for instance: split 70% train, 15% validation, 15% test",
            )
        if part.name not in PARTS:
            raise fail(
                "E706",
                f"unknown part '{part.name}'",
                part.span,
                help=did_you_mean(part.name, PARTS) or f"the parts are {', '.join(PARTS)}",
            )
        if part.name in plan:
            raise fail("E706", f"'{part.name}' is given twice", part.span)
        if isinstance(size, syntax.String):
            plan[part.name] = size
            continue
        if not size.value > 0 or (isinstance(size.value, float) and size.value > 1):
            raise fail(
                "E706",
                f"a part of {size.value:g} of the rows",
                size.span,
                help="a whole number of rows, or a share above 0% and up to 100%",
            )
        plan[part.name] = size.value
    if not plan:
        raise fail("E706", "the split names no part", setting.span)
    if "train" not in plan:
        raise fail("E706", "the split has no train part", setting.span)
    if any(isinstance(size, syntax.String) for size in plan.values()) and not names_rows(plan):
        raise fail("E706", "files for some parts and sizes for others", setting.span, help="files for all")
    shares = [size for size in plan.values() if isinstance(size, float)]
    if sum(shares) > 1 + 1e-9:
        raise fail("E706", f"the parts add up to {100 * sum(shares):g} %", setting.span)
    return plan


def names_rows(plan: Plan) -> bool:
    """Whether files say which rows each part has."""
    return all(isinstance(size, syntax.String) for size in plan.values())


def part_sizes(plan: Mapping[str, int | float], count: int, span: Span) -> dict[str, int]:
    """Rows of every part. Shares are rounded at their running sum, so that shares of 100 % use every row once."""
    fixed = sum(size for size in plan.values() if isinstance(size, int))
    if fixed > count:
        raise fail("E706", f"the parts need {fixed} rows, the data has {count}", span)
    sizes: dict[str, int] = {}
    running, used = 0.0, 0
    for part, size in plan.items():
        if isinstance(size, int):
            sizes[part] = size
        else:
            running += size
            sizes[part] = round(running * count) - used
            used += sizes[part]
    if sum(sizes.values()) > count:
        raise fail("E706", f"the parts need {sum(sizes.values())} rows, the data has {count}", span)
    for part, rows in sizes.items():
        if rows == 0:
            raise fail("E706", f"the {part} part has no rows; the data has {count}", span)
    return sizes


def divide(plan: Mapping[str, int | float], order: np.ndarray, span: Span) -> dict[str, np.ndarray]:
    """The rows of every part: consecutive pieces of `order`."""
    start = 0
    parts: dict[str, np.ndarray] = {}
    for part, size in part_sizes(plan, len(order), span).items():
        parts[part] = order[start : start + size]
        start += size
    return parts


def take_fold(parts: Mapping[str, np.ndarray], fold: Fold, span: Span) -> dict[str, np.ndarray]:
    """The rows of train and validation together, cut into folds: one is the validation part, the others are trained on.

    The test part stays as it is.
    """
    assert fold.count is not None
    pool = np.concatenate([parts[p] for p in ("train", "validation") if p in parts])
    if len(pool) < fold.count:
        raise fail("E706", f"{fold.count} folds of {len(pool)} rows", span)
    pieces = np.array_split(pool, fold.count)
    others = [piece for k, piece in enumerate(pieces) if k != fold.number]
    folded = {"train": np.concatenate(others), "validation": pieces[fold.number]}
    return folded | ({"test": parts["test"]} if "test" in parts else {})


def rows_from_text(text: str, count: int, name: str, span: Span) -> np.ndarray:
    """Row numbers, separated by blanks or lines. Raises DiagnosticError where one is none of 0 … count − 1, or comes twice."""
    words = text.split()
    try:
        numbers = np.array(words, np.float64)
    except ValueError:
        odd = next(word for word in words if not _is_number(word))
        raise fail("E703", f"'{name}' should hold row numbers, it has '{odd}'", span) from None
    rows = numbers.astype(np.int64)
    wrong = (rows != numbers) | (rows < 0) | (rows >= count)
    if wrong.any() or not len(rows):
        first = f"{numbers[wrong][0]:g}" if len(rows) else "nothing"
        raise fail("E703", f"'{name}' should hold row numbers 0 … {count - 1}, it has {first}", span)
    values, times = np.unique(rows, return_counts=True)
    if times.max() > 1:
        raise fail("E703", f"'{name}' names row {values[times.argmax()]} twice", span)
    return rows


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
