"""Calls of fitted functions in a data section: which statistics they use, and how they come by them.

In: a call such as `standardise(age)`, evaluated for some rows; the statistics that are known.
Out: its values; statistics fitted over the rows of the training part, kept by name in `FittedStatistics`.

    statistics["x.standardise"]                {"mean": array[8], "deviation": array[8]}
    statistics.saved()                         {"data x.standardise.mean": array[8], …}, for a file of weights

What is saved with the weights serves later samples, as the network was trained on the numbers that it gave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

import numpy as np

from ...compiler import syntax
from ...compiler.record import record
from ...compiler.source import Diagnostic
from .columns import fail, listed, missing_values
from .fitted_functions import FILLING, Fitted, category_numbers
from .fitted_functions import Statistics as Fit

if TYPE_CHECKING:
    from .column_expression import Argument, Evaluation, Path

#: Names in a file of weights that are statistics of the data begin so. (No name of a .dln file has a space in it.)
PREFIX = "data "
#: Functions of a source's own column, missing values and all.
GAPS = FILLING | {"fill", "missing"}
#: Numbers that are computed at once.
CHUNK = 1 << 18


@record(frozen=False)
class FittedStatistics:
    """The statistics of one data section by the name of their call, and warnings about them."""

    found: dict[str, Fit] = field(default_factory=dict)
    warnings: list[Diagnostic] = field(default_factory=list)
    _names: dict[tuple[str, Path, int], str] = field(default_factory=dict, repr=False)

    def name_of(self, column: str, path: Path, node: syntax.Call) -> str:
        """`x.standardise`, `x.standardise_2`, in the order in which the calls are met: the same whenever the file is."""
        key = (column, path, id(node))
        if key not in self._names:
            wish = name = f"{column}.{node.function}"
            number = 1
            while name in self._names.values():
                number += 1
                name = f"{wish}_{number}"
            self._names[key] = name
        return self._names[key]

    def saved(self) -> dict[str, np.ndarray]:
        """For a file of weights. Texts are their UTF-8 bytes, a zero byte after each."""
        return {
            f"{PREFIX}{name}.{key}": _as_bytes(value) if value.dtype.kind in "US" else value
            for name, fit in self.found.items()
            for key, value in fit.items()
        }

    @classmethod
    def restored(cls, arrays: Mapping[str, np.ndarray]) -> FittedStatistics:
        """Out of what `saved` gave; other arrays are passed over."""
        found: dict[str, Fit] = {}
        for full, value in arrays.items():
            if full.startswith(PREFIX):
                name, _, key = full.removeprefix(PREFIX).rpartition(".")
                found.setdefault(name, {})[key] = _as_texts(value) if value.dtype == np.uint8 else value
        return cls(found)


def _as_bytes(texts: np.ndarray) -> np.ndarray:
    return np.frombuffer("".join(f"{t}\0" for t in texts).encode(), np.uint8)


def _as_texts(value: np.ndarray) -> np.ndarray:
    return np.array(value.tobytes().decode().split("\0")[:-1])


# --------------------------------------------------------------------------------------------------- fitting


def fitted_call(
    evaluation: Evaluation, node: syntax.Call, function: Fitted, local: Mapping[str, Argument]
) -> np.ndarray:
    """The function with its statistics, which are fitted where they are not known yet. Raises DiagnosticError."""
    if not node.arguments:
        raise fail("E704", f"'{node.function}' of what?", node.span)
    argument = node.arguments[0]
    if function.name == "category" and len(node.arguments) > 1:
        return _categories(evaluation, node, local, _texts(node.arguments[1:]), "those that are listed")
    definitions = evaluation.owner.definitions
    statistics = definitions.statistics
    options = _options(evaluation, node, function, local)
    name = statistics.name_of(evaluation.column, evaluation.path, node)
    if name not in statistics.found:
        if definitions.training is None:
            raise fail("E707", f"the saved weights hold no statistics '{name}'", node.span)
        fit = function.fit(_pieces(evaluation, node, local), options)
        statistics.found[name] = fit
        constant = function.constant(fit)
        if constant.any():
            statistics.warnings.append(_constant(node, evaluation.column, constant))
    fit = statistics.found[name]
    if function.name == "category":
        return _categories(evaluation, node, local, fit["categories"], "those of the training part")
    value = _argument(evaluation, node, local)
    evaluation.refuse_text(value, argument.span)
    return function.apply(_samples(value, len(evaluation.rows)), fit)


def _argument(evaluation: Evaluation, node: syntax.Call, local: Mapping[str, Argument]) -> Any:
    """The value of the first argument; of a filling function, with the missing values in it."""
    if node.function in GAPS:
        return _with_gaps(evaluation, node)[0]
    return evaluation.value(node.arguments[0], local)


def _samples(value: Any, count: int) -> np.ndarray:
    """A number stands for every row."""
    array = np.asarray(value)
    return np.broadcast_to(array, (count,)) if array.ndim == 0 else array


def _pieces(
    evaluation: Evaluation, node: syntax.Call, local: Mapping[str, Argument]
) -> Callable[[], Iterator[np.ndarray]]:
    """The first argument over the rows of the training part."""
    training = evaluation.owner.definitions.training
    assert training is not None
    owner, rows = training
    if node.function != "category":
        rows = rows[: owner.definitions.few]
    wide = int(np.prod(owner.definitions.extents.get(evaluation.column, ()), dtype=np.int64))
    chunk = max(16, CHUNK // max(1, wide))

    def pieces() -> Iterator[np.ndarray]:
        for start in range(0, len(rows), chunk):
            part = evaluation.elsewhere(owner, rows[start : start + chunk])
            value = _samples(_argument(part, node, local), len(part.rows))
            if node.function != "category":
                part.refuse_text(value, node.arguments[0].span)
                value = value.astype(np.float64, copy=False)
            yield value

    return pieces


def _options(
    evaluation: Evaluation, node: syntax.Call, function: Fitted, local: Mapping[str, Argument]
) -> dict[str, Any]:
    given = dict(zip(function.options, node.arguments[1:], strict=False)) | dict(node.named)
    if len(node.arguments) - 1 > len(function.options) or set(given) - set(function.options):
        known = ", ".join(["what", *function.options])
        raise fail("E704", f"'{node.function}' takes {known}", node.span)
    options = dict(function.options)
    for name, value in given.items():
        words = function.words.get(name)
        if words is None:
            options[name] = float(evaluation.value(value, local))
        elif isinstance(value, syntax.Name) and value.name in words:
            options[name] = value.name
        else:
            raise fail("E704", f"'{name}' is one of {', '.join(words)}", value.span)
    return options


def _constant(node: syntax.Call, column: str, constant: np.ndarray) -> Diagnostic:
    entries = np.flatnonzero(constant)
    what = "it" if constant.size == 1 else f"{listed(entries, 'entry', 'entries')} of {constant.size}"
    what += " has" if len(entries) == 1 else " have"
    return Diagnostic(
        "W711",
        f"'{node.function}' of '{column}': {what} the same value in every row of the training part",
        node.span,
        help="what never varies tells nothing; it becomes the same number everywhere",
    )


# ------------------------------------------------------------------------------------------------ categories


def _texts(expressions: tuple[syntax.Expression, ...]) -> np.ndarray:
    """`category(town, "Ulm", "Bonn")`: the categories in the order in which they are listed."""
    for expression in expressions:
        if not isinstance(expression, syntax.String):
            raise fail("E704", "a category is a text in double quotes", expression.span)
    texts = [e.value for e in expressions if isinstance(e, syntax.String)]
    for n, text in enumerate(texts):
        if text in texts[:n]:
            raise fail("E704", f"'{text}' is listed twice", expressions[n].span)
    return np.array(texts)


def _categories(
    evaluation: Evaluation,
    node: syntax.Call,
    local: Mapping[str, Argument],
    categories: np.ndarray,
    which: str,
) -> np.ndarray:
    values = _samples(evaluation.value(node.arguments[0], local), len(evaluation.rows))
    if (values.dtype.kind in "US") != (categories.dtype.kind in "US"):
        kinds = ("text", "numbers") if values.dtype.kind in "US" else ("numbers", "text")
        raise fail("E705", f"the categories are {kinds[1]}, these are {kinds[0]}", node.span)
    numbers = category_numbers(values, categories)
    unknown = numbers < 0
    if unknown.any():
        first = np.unravel_index(int(np.argmax(unknown)), unknown.shape)
        place = evaluation.owner.source.place(int(evaluation.rows[first[0]]))
        others = int(np.count_nonzero(unknown)) - 1
        more = f", and {others} more unknown ones" if others else ""
        shown = [str(c) for c in categories[:12]] + (["…"] if len(categories) > 12 else [])
        raise fail(
            "E703",
            f"{place}: '{values[first]}' is not a known category{more}",
            node.span,
            help=f'the categories are {which}: {", ".join(shown)}; others can be listed: category(x, "a", "b")',
        )
    return numbers


# -------------------------------------------------------------------------------------------- missing values


def gap_call(evaluation: Evaluation, node: syntax.Call, local: Mapping[str, Argument]) -> np.ndarray:
    """`fill(age, 30)`: another value for the missing ones. `missing(age)`: 1 where it is missing, else 0."""
    values, gaps = _with_gaps(evaluation, node)
    if node.function == "missing":
        return gaps.astype(np.float64)
    match node.arguments[1:]:
        case (syntax.String(value=text),) if values.dtype.kind == "U":
            return np.where(gaps, text, values)
        case (value,) if not isinstance(value, syntax.String) and values.dtype.kind != "U":
            return np.where(gaps, evaluation.value(value, local), values)
    kind = 'a text, as in fill(town, "none")' if values.dtype.kind == "U" else "a number, as in fill(age, 30)"
    raise fail("E704", f"'fill' takes a column and {kind}", node.span)


def _with_gaps(evaluation: Evaluation, node: syntax.Call) -> tuple[np.ndarray, np.ndarray]:
    """Values and a mask of the missing ones, of the source's column that is the first argument."""
    source = evaluation.owner.source
    match node.arguments:
        case (syntax.Name(name=name), *_) if name in source:
            values, gaps = missing_values(source, name)
            return values[evaluation.rows], gaps[evaluation.rows]
    raise fail("E704", f"'{node.function}' takes a column of {source.description} by its name", node.span)
