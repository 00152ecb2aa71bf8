"""Integer expressions over indices: linear forms and ranges.

In: integer expressions.  Out: `linear` (constant + Σ coefficient · atom) and `bounds` (smallest and largest value), with which
the elaborator proves subscripts in range, sharing.py solves them and the scheduler derives loop bounds.

    linear(2*y + v - 2)                →   Linear(-2, {y: 2, v: 1})
    bounds(2*y + v - 2, tables)        →   (-2, 2*(Y-1) + (V-1) - 2)
    bounds(token[t], tables, arrays)   →   (0, classes - 1)

An atom is an axis or any integer expression that is not a sum, difference, negation or product with a constant.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field

from ..record import record
from .expression import Apply, Axis, Constant, Expression, Load, Lookup, apply, integer
from .graph import Graph
from .walks import conjuncts, postorder

Range = tuple[int, int]


@record(frozen=False)
class Linear:
    """constant + Σ coefficients[atom] · atom; no coefficient is zero."""

    constant: int = 0
    coefficients: dict[Expression, int] = field(default_factory=dict)

    def add(self, other: Linear, factor: int = 1) -> Linear:
        result = Linear(self.constant + factor * other.constant, dict(self.coefficients))
        for atom, coefficient in other.coefficients.items():
            total = result.coefficients.get(atom, 0) + factor * coefficient
            if total:
                result.coefficients[atom] = total
            else:
                result.coefficients.pop(atom, None)
        return result

    def scaled(self, factor: int) -> Linear:
        return Linear().add(self, factor)

    def without(self, atom: Expression) -> Linear:
        return Linear(self.constant, {a: c for a, c in self.coefficients.items() if a != atom})

    def expression(self) -> Expression:
        """The expression again, positive terms first, in a fixed order."""
        positive: list[Expression] = []
        negative: list[Expression] = []
        for atom, coefficient in self.coefficients.items():
            (positive if coefficient > 0 else negative).append(apply("*", atom, integer(abs(coefficient))))
        result: Expression | None = None
        for term in positive:
            result = term if result is None else result + term
        if result is None:
            result = integer(self.constant)
        elif self.constant > 0:
            result = result + integer(self.constant)
        elif self.constant < 0:
            result = result - integer(-self.constant)
        for term in negative:
            result = result - term
        return result

    @property
    def is_affine(self) -> bool:
        """True where every atom is an axis."""
        return all(isinstance(atom, Axis) for atom in self.coefficients)


@functools.lru_cache(maxsize=1 << 14)
def linear(root: Expression) -> Linear:
    """The linear form of an integer expression. It is shared: make others of it, but do not change it."""
    forms: dict[Expression, Linear] = {}
    for node in postorder(root):
        form = Linear(0, {node: 1})
        match node:
            case Constant(value=value):
                form = Linear(int(value))
            case Apply(function="+", arguments=(a, b)):
                form = forms[a].add(forms[b])
            case Apply(function="-", arguments=(a, b)):
                form = forms[a].add(forms[b], -1)
            case Apply(function="neg", arguments=(a,)):
                form = forms[a].scaled(-1)
            case Apply(function="*", arguments=(a, b)):
                if not forms[a].coefficients:
                    form = forms[b].scaled(forms[a].constant)
                elif not forms[b].coefficients:
                    form = forms[a].scaled(forms[b].constant)
        forms[node] = form
    return forms[root]


def normalise(root: Expression) -> Expression:
    """An equal integer expression in the fixed order of its linear form, so that n+1 and 1+n become the same."""
    return linear(root).expression()


def bounds(
    root: Expression,
    graph: Graph,
    narrowed: Mapping[Expression, Range] | None = None,
) -> Range | None:
    """Smallest and largest value of an integer expression, or None where one is unknown.

    `narrowed` gives ranges that are known from elsewhere (a condition, a loop). The range is exact for linear forms over
    axes (each axis is counted once) and safe for everything else.
    """
    known: dict[Expression, Range | None] = dict(narrowed or {})
    for node in postorder(root):
        if node not in known:
            known[node] = _bounds(node, known, graph)
    return known[root]


def _bounds(node: Expression, known: dict[Expression, Range | None], graph: Graph) -> Range | None:
    match node:
        case Constant(value=value):
            return int(value), int(value)
        case Axis(extent=extent):
            return (0, extent - 1) if extent is not None else None
        case Lookup(table=name):
            values = graph.tables[name].values
            return (
                (int(values.min()), int(values.max())) if values.size and values.dtype.kind == "i" else None
            )
        case Load(array=name):
            array = graph.arrays.get(name)
            if array is not None and array.classes:
                return 0, array.classes - 1
            family = graph.families.get(name)
            if (
                family is not None
                and family.reduction is not None
                and family.reduction.kind.startswith("arg")
            ):
                count = 1
                for axis in family.reduction.axes:
                    if axis.extent is None:
                        return None
                    count *= axis.extent
                return 0, count - 1
            return None
        case Apply(function="+" | "-" | "neg" | "*") if node.type == "integer":
            form = linear(node)
            if node not in form.coefficients:
                low = high = form.constant
                for atom, coefficient in form.coefficients.items():
                    if atom not in known:
                        known[atom] = bounds(atom, graph, {k: r for k, r in known.items() if r is not None})
                    inner = known[atom]
                    if inner is None:
                        return None
                    ends = (coefficient * inner[0], coefficient * inner[1])
                    low, high = low + min(ends), high + max(ends)
                return low, high
            return _combine(node, known, lambda a, b: a * b)
        case Apply(function="div", arguments=(_, Constant(value=value))) if value:
            return _combine(node, known, lambda a, b: a // b)
        case Apply(function="mod", arguments=(x, Constant(value=value))) if value > 0:
            inner = known.get(x)
            if inner is not None and inner[0] // value == inner[1] // value:
                return inner[0] % int(value), inner[1] % int(value)
            return 0, int(value) - 1
        case Apply(function="abs", arguments=(x,)):
            inner = known.get(x)
            if inner is None:
                return None
            low, high = inner
            return (0 if low <= 0 <= high else min(abs(low), abs(high))), max(abs(low), abs(high))
        case Apply(function="min"):
            return _combine(node, known, min)
        case Apply(function="max"):
            return _combine(node, known, max)
        case Apply(function="select", arguments=(_, a, b)):
            first, second = known.get(a), known.get(b)
            return (min(first[0], second[0]), max(first[1], second[1])) if first and second else None
    return None


def _combine(
    node: Expression, known: Mapping[Expression, Range | None], operation: Callable[[int, int], int]
) -> Range | None:
    """The range of an operation that is monotone in each argument: the extremes over the corners."""
    left, right = (known.get(a) for a in node.children)
    if left is None or right is None:
        return None
    corners = [operation(a, b) for a in left for b in right]
    return min(corners), max(corners)


def proves(
    condition: Expression, graph: Graph, narrowed: Mapping[Expression, Range] | None = None
) -> bool | None:
    """True or False where a comparison of integers always or never holds, None where it depends."""
    if isinstance(condition, Constant):
        return bool(condition.value)
    if not isinstance(condition, Apply) or condition.function not in ("<", "<=", ">", ">=", "==", "!="):
        return None
    left, right = condition.arguments
    if left.type != "integer":
        return None
    inner = bounds(left - right, graph, narrowed)
    if inner is None:
        return None
    low, high = inner
    always, never = {
        "<": (high < 0, low >= 0),
        "<=": (high <= 0, low > 0),
        ">": (low > 0, high <= 0),
        ">=": (low >= 0, high < 0),
        "==": (low == high == 0, low > 0 or high < 0),
        "!=": (low > 0 or high < 0, low == high == 0),
    }[condition.function]
    return True if always else False if never else None


def distance(
    place: Linear,
    origin: Expression,
    conditions: Iterable[Expression] = (),
    last: Callable[[Expression], int | None] | None = None,
) -> int | None:
    """How far a place is from an index: behind it (< 0), ahead of it (> 0) or at it; None where that varies.

    For a place that is always behind the index, or always ahead, the nearest counts: seen from t, −1 for t − 1 − k, and for s
    where a condition says s < t. `last` gives the greatest value of an index.
    """
    if place.coefficients == {origin: 1}:
        return place.constant
    apart = place.add(Linear(0, {origin: 1}), -1)
    if place.coefficients.get(origin) == 1 and (reach := _reach(apart, last or _last)) is not None:
        if reach[1] < 0:
            return reach[1]
        if reach[0] > 0:
            return reach[0]
    for condition in conditions:
        for bound in not_negative(condition):
            for sign in (1, -1):  # sign · apart = bound + rest, and rest > 0
                rest = apart.scaled(sign).add(bound, -1)
                if not rest.coefficients and rest.constant > 0:
                    return sign * rest.constant
    return None


def _last(index: Expression) -> int | None:
    return index.extent - 1 if isinstance(index, Axis) and index.extent is not None else None


def _reach(form: Linear, last: Callable[[Expression], int | None]) -> Range | None:
    """Smallest and largest value of a linear form over indices."""
    low = high = form.constant
    for atom, coefficient in form.coefficients.items():
        most = last(atom)
        if most is None:
            return None
        low, high = low + min(0, coefficient * most), high + max(0, coefficient * most)
    return low, high


def not_negative(condition: Expression) -> Iterator[Linear]:
    """Linear forms that are ≥ 0 where a condition holds."""
    for part in conjuncts(condition):
        if not isinstance(part, Apply) or part.function not in ("<", "<=", ">", ">="):
            continue
        left, right = part.arguments
        if left.type != "integer":
            continue
        if part.function in (">", ">="):
            left, right = right, left
        strict = Linear(1 if part.function in ("<", ">") else 0)
        yield linear(right).add(linear(left), -1).add(strict, -1)
