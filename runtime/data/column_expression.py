"""Expressions of a data section, evaluated over the columns of a source.

In: `image = data / 16` as a syntax tree, the source's `Columns`, the network's parameters and functions.
Out: arrays for chosen rows, batch first.

    evaluator = ColumnEvaluator(columns, section)
    evaluator.rows("image", np.array([3, 1, 4]))       → array[3, 64]

An expression speaks of one sample, as everywhere in the language: `data / 16` divides every entry, `data[2]` is entry 2
of the sample, `row` is the sample's number. Functions: all scalar functions, those that the file defines, those of
column_functions.py, and those of fitted_functions.py, whose statistics are those of the training part. Values are computed
in double precision. A column may use the columns above it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any

import numpy as np

from ...compiler import syntax
from ...compiler.mathematics.scalar import SCALAR_FUNCTIONS
from ...compiler.record import record
from ...compiler.source import DiagnosticError, Span, did_you_mean
from ..initialize import generator
from .column_functions import FUNCTIONS
from .columns import Columns, fail
from .fitted_calls import GAPS, FittedStatistics, fitted_call, gap_call
from .fitted_functions import FITTED

Value = Any  # a number, or an array with the samples first
Path = tuple[
    int, ...
]  # the calls of own functions that lead to a node: the same node means something else in each

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": np.true_divide, "^": np.power,
    "div": np.floor_divide, "mod": np.mod, "==": np.equal, "!=": np.not_equal, "<": np.less,
    "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "and": np.logical_and,
    "or": np.logical_or,
}  # fmt: skip

DRAWS = frozenset({"normal", "uniform"})


@record(frozen=False)
class Definitions:
    """What the columns of a data section are made from.

    expressions   column name → expression, in file order
    parameters    `param` values
    functions     the file's own functions
    extents       input name → extents: the shape of what `normal(…)` and `uniform(…)` draw for it
    seed          of these draws
    statistics    of the fitted functions, shared by all sources of a section
    training      evaluator and rows of the training part, for fitting; None where all statistics are given
    few           fit to no more rows than so many (categories always to all)
    """

    expressions: Mapping[str, syntax.Expression]
    parameters: Mapping[str, Any]
    functions: Mapping[str, syntax.FunctionDeclaration]
    extents: Mapping[str, tuple[int, ...]]
    seed: int = 0
    statistics: FittedStatistics = field(default_factory=FittedStatistics)
    training: tuple[ColumnEvaluator, np.ndarray] | None = None
    few: int | None = None


class ColumnEvaluator:
    """Evaluates the definitions of one data section over one source."""

    def __init__(self, source: Columns, definitions: Definitions):
        self.source, self.definitions = source, definitions
        self.seed = source.seed if source.seed is not None else definitions.seed
        self._drawn: dict[tuple[str, Path, int], np.ndarray] = {}

    def rows(self, name: str, rows: np.ndarray) -> np.ndarray:
        """The values of a defined column (or of a source's column) for these rows."""
        if name not in self.definitions.expressions:
            return self.source[name][rows]
        expression = self.definitions.expressions[name]
        try:
            value = Evaluation(self, rows, name).value(expression, {})
        except (ValueError, TypeError, IndexError, OverflowError, MemoryError) as error:
            raise fail("E705", f"cannot compute '{name}': {error}", expression.span) from None
        value = np.asarray(value)
        return np.broadcast_to(value, (len(rows),)) if value.ndim == 0 else value

    def known_names(self, name: str) -> list[str]:
        """What the definition of `name` may speak of."""
        return [*self.above(name), *self.source.names, *self.definitions.parameters, "row"]

    def above(self, name: str) -> list[str]:
        names = list(self.definitions.expressions)
        return names[: names.index(name)] if name in names else names

    def draws(
        self, column: str, path: Path, node: syntax.Call, make: Callable[[np.random.Generator], np.ndarray]
    ) -> np.ndarray:
        """Random numbers for every row of the source: the same for a row whichever part it falls into."""
        key = (column, path, id(node))
        if key not in self._drawn:
            number = len(self._drawn) + 1
            self._drawn[key] = make(generator(self.seed, "data", column, number))
        return self._drawn[key]


@record
class Argument:
    """An argument of an own function: an expression where it stands, to be evaluated for whatever rows are asked for."""

    expression: syntax.Expression
    local: Mapping[str, Argument]
    path: Path


class Evaluation:
    """One column for one set of rows. Recursive: the parser caps how deep an expression nests."""

    def __init__(self, owner: ColumnEvaluator, rows: np.ndarray, column: str, path: Path = ()):
        self.owner, self.rows, self.column, self.path = owner, rows, column, path
        self._arguments: dict[int, tuple[Argument, Value]] = {}

    def value(self, node: syntax.Expression, local: Mapping[str, Argument]) -> Value:
        match node:
            case syntax.Number(value=number):
                return number
            case syntax.Name(name=name):
                return self._argument(local[name]) if name in local else self._name(name, node.span)
            case syntax.Unary(operator="-", operand=operand):
                return -_arithmetic(self.value(operand, local))
            case syntax.Unary(operator="not", operand=operand):
                return np.logical_not(self.value(operand, local))
            case syntax.Binary(operator=symbol, left=left, right=right):
                pair = aligned(self.value(left, local), self.value(right, local))
                numbers_only(pair, node.span)
                with np.errstate(all="ignore"):
                    return _OPERATORS[symbol](*map(_arithmetic, pair))
            case syntax.Conditional(condition=condition, then=then, otherwise=otherwise):
                parts = aligned(*(self.value(e, local) for e in (condition, then, otherwise)))
                return np.where(*parts)
            case syntax.Subscript(base=base, subscripts=subscripts, otherwise=None):
                return self._entry(node, self.value(base, local), subscripts, local)
            case syntax.Call():
                return self._call(node, local)
        raise fail("E704", "this cannot stand in a data section", node.span)

    def elsewhere(self, owner: ColumnEvaluator, rows: np.ndarray) -> Evaluation:
        """The same place of the file, for other rows."""
        return Evaluation(owner, rows, self.column, self.path)

    def refuse_text(self, value: Value, span: Span) -> None:
        numbers_only([value], span)

    def _argument(self, argument: Argument) -> Value:
        """Evaluated once for these rows."""
        if id(argument) not in self._arguments:
            before, self.path = self.path, argument.path
            value = self.value(argument.expression, argument.local)
            self.path = before
            self._arguments[id(argument)] = argument, value  # kept alive, so that the id stays its own
        return self._arguments[id(argument)][1]

    def _name(self, name: str, span: Span) -> Value:
        owner = self.owner
        if name in owner.above(self.column):
            return owner.rows(name, self.rows)
        if name in owner.source:
            return owner.source[name][self.rows]
        if name in owner.definitions.parameters:
            return owner.definitions.parameters[name]
        if name == "row":
            return self.rows.astype(np.int64)
        known = owner.known_names(self.column)
        raise fail(
            "E704",
            f"{owner.source.description} has no column '{name}'",
            span,
            help=did_you_mean(name, known) or f"there are {', '.join(known)}",
        )

    def _entry(
        self,
        node: syntax.Subscript,
        base: np.ndarray,
        subscripts: tuple[syntax.Expression, ...],
        local: Mapping[str, Argument],
    ) -> np.ndarray:
        base = np.asarray(base)
        where = [self.value(s, local) for s in subscripts]
        if len(where) != base.ndim - 1:
            raise fail("E705", f"{len(where)} subscripts for a sample of shape {base.shape[1:]}", node.span)
        for subscript, extent in zip(where, base.shape[1:], strict=True):
            low, high = np.min(subscript), np.max(subscript)
            if low < 0 or high >= extent or np.any(subscript != np.floor(subscript)):
                outside = high if high >= extent else low
                raise fail("E705", f"subscript {outside} of 0 … {extent - 1}", node.span)
        each = np.arange(len(base))
        return base[(each, *(np.asarray(w).astype(np.int64) for w in where))]

    # ------------------------------------------------------------------------------------------------- calls

    def _call(self, node: syntax.Call, local: Mapping[str, Argument]) -> Value:
        name, owner = node.function, self.owner
        if name in owner.definitions.functions:
            return self._own_function(node, owner.definitions.functions[name], local)
        try:
            if name in FITTED:
                return fitted_call(self, node, FITTED[name], local)
            if name in GAPS:
                return gap_call(self, node, local)
            if name in DRAWS:
                return self._draw(node, local)
            values = [self.value(a, local) for a in node.arguments]
            if node.named:
                raise fail("E704", f"'{name}' takes its arguments by place here", node.span)
            if name in FUNCTIONS:
                return FUNCTIONS[name](*values)
            function = SCALAR_FUNCTIONS.get(name)
            if function is not None and function.public:
                pair = aligned(*values)
                numbers_only(pair, node.span)
                with np.errstate(all="ignore"):
                    return function.value(*map(_arithmetic, pair))
        except DiagnosticError:
            raise
        except (ValueError, TypeError, AttributeError) as error:
            raise fail("E705", f"{name}: {error}", node.span) from None
        known = [*FUNCTIONS, *FITTED, *GAPS, *DRAWS, *owner.definitions.functions]
        known += [f.name for f in SCALAR_FUNCTIONS.values() if f.public]
        raise fail(
            "E704",
            f"no function '{name}' for columns",
            node.span,
            help=did_you_mean(name, known) or f"there are {', '.join(sorted(known))}",
        )

    def _own_function(
        self,
        node: syntax.Call,
        declaration: syntax.FunctionDeclaration,
        local: Mapping[str, Argument],
    ) -> Value:
        names = [p.name for p in declaration.parameters]
        bound = {n: Argument(a, local, self.path) for n, a in zip(names, node.arguments, strict=False)}
        bound |= {n: Argument(a, local, self.path) for n, a in node.named}
        inside = (*self.path, id(node))
        for parameter in declaration.parameters:
            if parameter.name not in bound and parameter.default is not None:
                bound[parameter.name] = Argument(parameter.default, dict(bound), inside)
        if len(node.arguments) > len(names) or set(bound) != set(names):
            raise fail("E704", f"'{node.function}' takes {', '.join(names) or 'no arguments'}", node.span)
        before, self.path = self.path, inside
        value = self.value(declaration.body, bound)
        self.path = before
        return value

    def _draw(self, node: syntax.Call, local: Mapping[str, Argument]) -> np.ndarray:
        owner = self.owner
        given = [self.value(a, local) for a in node.arguments]
        a, b = [*given, *(0.0, 1.0)[len(given) :]][:2]
        shape = (owner.source.count, *owner.definitions.extents.get(self.column, ()))

        def make(draws: np.random.Generator) -> np.ndarray:
            if node.function == "normal":
                return a + b * draws.standard_normal(shape)
            return a + (b - a) * draws.random(shape)

        return owner.draws(self.column, self.path, node, make)[self.rows]


def aligned(*values: Value) -> list[Value]:
    """Values made to broadcast sample by sample: a number per sample meets a vector per sample."""
    rank = max((v.ndim for v in values if isinstance(v, np.ndarray)), default=0)
    return [
        v.reshape(*v.shape, *[1] * (rank - v.ndim)) if isinstance(v, np.ndarray) and v.ndim else v
        for v in values
    ]


def _arithmetic(value: Value) -> Value:
    """Small integers and booleans widened, so that 255 + 1 is 256 and −1 stays −1."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "bu" or (value.dtype.kind == "i" and value.dtype.itemsize < 8):
            return value.astype(np.int64)
        if value.dtype.kind == "f":
            return value.astype(np.float64, copy=False)
    return value


def numbers_only(values: list[Value], span: Span) -> None:
    for value in values:
        if isinstance(value, np.ndarray) and value.dtype.kind not in "fiub":
            raise fail("E705", "this column is text", span, help="turn it into numbers with category(…)")
