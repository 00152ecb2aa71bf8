"""Index points under conditions, counted exactly and, where possible, without visiting them.

In: axes and conditions over them.  Out: numbers of points, and sets of values that subscripts take.

    count_points([i: 4, j: 3], (0 <= i - j, i - j < 2))    →  6
    count_points([i: 10**5, j: 10**4], ())                 →  10**9, at once

Axes that no condition joins are counted apart and multiplied. A condition over one axis narrows its range. Conditions on one
linear form are counted by the number of ways to reach each of its values; other linear ones by intervals along the longest
axis; the rest (tables, mod) by visiting the points. Conditions that depend on data count as met.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ..record import record
from .affine import Linear, linear
from .expression import Apply, Axis, Expression
from .graph import Graph
from .static_values import evaluate
from .walks import axes_in, is_static

#: Points that are visited at a time.
_CHUNK = 1 << 20
#: Values of a linear form that are listed rather than visited.
_RANGE_LIMIT = 50_000_000

Ranges = dict[Axis, tuple[int, int]]  # lowest and highest index


class TooManyPoints(Exception):
    """More points than can be visited in a reasonable time; `points` says how many."""

    def __init__(self, points: int) -> None:
        super().__init__(f"{points:,} index points would have to be visited")
        self.points = points


#: Most points that are visited for one count.
VISIT_LIMIT = 2_000_000_000


@record
class Bound:
    """A linear condition: form ≥ 0, or form = 0."""

    form: Linear
    equality: bool


def bound_of(condition: Expression) -> tuple[Bound, ...] | None:
    """A comparison of linear forms over axes as bounds; None for anything else."""
    if not isinstance(condition, Apply) or len(condition.arguments) != 2:
        return None
    left, right = condition.arguments
    if left.type != "integer" or condition.function not in ("<", "<=", ">", ">=", "=="):
        return None
    a, b = linear(left), linear(right)
    if not (a.is_affine and b.is_affine):
        return None
    difference = b.add(a, -1) if condition.function in ("<", "<=", "==") else a.add(b, -1)
    strict = condition.function in ("<", ">")
    return (Bound(difference.add(Linear(1), -1) if strict else difference, condition.function == "=="),)


def static_conditions(conditions: Sequence[Expression]) -> list[Expression]:
    """Those conditions that do not depend on data."""
    return [c for c in conditions if is_static(c)]


def groups(axes: Sequence[Axis], joined: Sequence[Sequence[Axis]]) -> list[list[Axis]]:
    """The axes, divided into groups that nothing joins; the order stays."""
    parent: dict[Axis, Axis] = {a: a for a in axes}

    def root(axis: Axis) -> Axis:
        while parent[axis] is not axis:
            axis = parent[axis]
        return axis

    for together in joined:
        inside = [a for a in together if a in parent]
        for a in inside[1:]:
            parent[root(a)] = root(inside[0])
    found: dict[Axis, list[Axis]] = {}
    for axis in axes:
        found.setdefault(root(axis), []).append(axis)
    return list(found.values())


def count_points(graph: Graph, axes: Sequence[Axis], conditions: Sequence[Expression]) -> int:
    """The number of points of a box at which all static conditions hold. Raises TooManyPoints."""
    conditions = static_conditions(conditions)
    ranges, rest = narrowed(axes, conditions)
    if ranges is None:
        return 0
    total = 1
    for group in groups(axes, [axes_in(c) for c in rest]):
        inside = [c for c in rest if any(a in group for a in axes_in(c))]
        total *= _count_group(graph, group, ranges, inside)
        if not total:
            return 0
    return total


def narrowed(
    axes: Sequence[Axis], conditions: Sequence[Expression]
) -> tuple[Ranges | None, list[Expression]]:
    """The ranges of the axes after the conditions on single axes, and the other conditions; None for an empty box."""
    ranges: Ranges = {a: (0, a.size - 1) for a in axes}
    rest: list[Expression] = []
    for condition in conditions:
        bounds = bound_of(condition)
        if bounds is None or any(len(b.form.coefficients) > 1 for b in bounds):
            if isinstance(condition, Apply) or axes_in(condition):
                rest.append(condition)
            elif not getattr(condition, "value", True):
                return None, []
            continue
        for bound in bounds:
            if not bound.form.coefficients:
                if bound.form.constant < 0 or (bound.equality and bound.form.constant):
                    return None, []
                continue
            ((axis, factor),) = bound.form.coefficients.items()
            assert isinstance(axis, Axis)
            low, high = _interval(bound, factor, bound.form.constant)
            before = ranges[axis]
            ranges[axis] = max(low, before[0]), min(high, before[1])
            if ranges[axis][0] > ranges[axis][1]:
                return None, []
    return ranges, rest


def _interval(bound: Bound, factor: int, constant: int) -> tuple[int, int]:
    """The integers z with constant + factor · z ≥ 0 (or = 0), as an interval that may be empty."""
    infinite = 1 << 62
    if bound.equality:
        return (-constant // factor,) * 2 if constant % factor == 0 else (1, 0)  # type: ignore[return-value]
    if factor > 0:
        return -(constant // factor), infinite
    return -infinite, constant // -factor


def _count_group(graph: Graph, axes: list[Axis], ranges: Ranges, conditions: list[Expression]) -> int:
    if not conditions:
        total = 1
        for axis in axes:
            low, high = ranges[axis]
            total *= high - low + 1
        return total
    bounds = [b for c in conditions for b in bound_of(c) or ()]
    if len(bounds) == len(conditions):
        window = _window(bounds)
        if window is not None:
            form, low, high = window
            ways = _ways(form, ranges, [a for a in axes if a in form.coefficients])
            if ways is not None:
                start, counts = ways
                free = 1
                for axis in axes:
                    if axis not in form.coefficients:
                        free *= ranges[axis][1] - ranges[axis][0] + 1
                first, last = max(low - start, 0), min(high - start, len(counts) - 1)
                return free * sum(int(n) for n in counts[first : last + 1]) if first <= last else 0
        return _count_by_intervals(axes, ranges, bounds)
    return sum(int(np.count_nonzero(met)) for _, met in visit(graph, axes, ranges, conditions))


def _window(bounds: Sequence[Bound]) -> tuple[Linear, int, int] | None:
    """All bounds as low ≤ form ≤ high of one form without a constant, if they speak of one."""
    form: Linear | None = None
    low, high = -(1 << 62), 1 << 62
    for bound in bounds:
        own = Linear(0, dict(bound.form.coefficients))
        negative = own.scaled(-1)
        if form is None:
            form = own
        if own.coefficients == form.coefficients:
            low = max(low, -bound.form.constant)
            high = min(high, -bound.form.constant) if bound.equality else high
        elif negative.coefficients == form.coefficients:
            high = min(high, bound.form.constant)
            low = max(low, bound.form.constant) if bound.equality else low
        else:
            return None
    return None if form is None else (form, low, high)


def _ways(form: Linear, ranges: Ranges, axes: Sequence[Axis]) -> tuple[int, np.ndarray] | None:
    """The lowest value of a form and, from it on, in how many ways each value is reached; None where there are too many."""
    start = 0
    length = 1
    points = 1
    for axis in axes:
        low, high = ranges[axis]
        factor = form.coefficients[axis]
        start += min(factor * low, factor * high)
        length += abs(factor) * (high - low)
        points *= high - low + 1
    if length > _RANGE_LIMIT or points >= 1 << 62:
        return None
    counts = np.zeros(length, dtype=np.int64)
    counts[0] = 1
    reach = 1
    for axis in axes:
        low, high = ranges[axis]
        step, number = abs(form.coefficients[axis]), high - low + 1
        reach += step * (number - 1)
        # new[v] = Σ_k old[v − step·k]: running sums with a stride, minus those that left the window
        padded = np.zeros((reach + step - 1) // step * step, dtype=np.int64)
        padded[:reach] = counts[:reach]
        running = np.cumsum(padded.reshape(-1, step), axis=0)
        running[number:] -= running[: len(running) - number].copy() if number < len(running) else 0
        counts[:reach] = running.reshape(-1)[:reach]
    return start, counts


def _count_by_intervals(axes: list[Axis], ranges: Ranges, bounds: Sequence[Bound]) -> int:
    """Visit all axes but the longest; along that one every bound is an interval."""
    longest = max(axes, key=lambda a: ranges[a][1] - ranges[a][0])
    others = [a for a in axes if a is not longest]
    total = 0
    for environment in _points(others, ranges):
        low: np.ndarray | int = ranges[longest][0]
        high: np.ndarray | int = ranges[longest][1]
        good: np.ndarray | bool = True
        for bound in bounds:
            factor = bound.form.coefficients.get(longest, 0)
            value: np.ndarray | int = bound.form.constant
            for axis, coefficient in bound.form.coefficients.items():
                if axis is not longest:
                    value = value + coefficient * environment[axis]  # type: ignore[index,operator]
            if factor == 0:
                good = good & ((value == 0) if bound.equality else (value >= 0))
            elif bound.equality:
                good = good & (value % factor == 0)
                low, high = np.maximum(low, -value // factor), np.minimum(high, -value // factor)
            elif factor > 0:
                low = np.maximum(low, -(value // factor))
            else:
                high = np.minimum(high, value // -factor)
        number = np.where(good, np.maximum(high - low + 1, 0), 0)
        size = 1 if not others else len(next(iter(environment.values())))
        total += int(np.broadcast_to(number, (size,)).sum())
    return total


def _points(axes: Sequence[Axis], ranges: Ranges) -> Iterator[dict[Axis, np.ndarray]]:
    """All points of a box, a chunk at a time, in row-major order."""
    if not axes:
        yield {}
        return
    lengths = [ranges[a][1] - ranges[a][0] + 1 for a in axes]
    total = 1
    for length in lengths:
        total *= length
    if total > VISIT_LIMIT:
        raise TooManyPoints(total)
    for begin in range(0, total, _CHUNK):
        flat = np.arange(begin, min(total, begin + _CHUNK), dtype=np.int64)
        environment: dict[Axis, np.ndarray] = {}
        for axis, length in zip(reversed(axes), reversed(lengths), strict=True):
            environment[axis] = flat % length + ranges[axis][0]
            flat = flat // length
        yield environment


def visit(
    graph: Graph, axes: Sequence[Axis], ranges: Ranges, conditions: Sequence[Expression]
) -> Iterator[tuple[dict[Axis, np.ndarray], np.ndarray]]:
    """Chunks of points, and which of them meet the conditions. Raises TooManyPoints."""
    for environment in _points(axes, ranges):
        size = len(next(iter(environment.values()))) if environment else 1
        met = np.ones(size, dtype=bool)
        for condition in conditions:
            met &= np.broadcast_to(
                np.asarray(evaluate(graph, condition, dict(environment)), dtype=bool), (size,)
            )
        yield environment, met


def values_taken(
    graph: Graph,
    axes: Sequence[Axis],
    conditions: Sequence[Expression],
    subscripts: Sequence[Expression],
    extents: Sequence[int],
) -> np.ndarray:
    """Which entries of an array of `extents` the subscripts reach under the conditions, as truth values.

    Axes that neither a subscript nor a condition on such axes mentions are left out. Raises TooManyPoints.
    """
    conditions = static_conditions(conditions)
    taken = np.zeros(extents, dtype=bool)
    ranges, rest = narrowed(axes, conditions)
    if ranges is None:
        return taken
    wanted = set(axes_in(*subscripts))
    for group in groups(axes, [axes_in(c) for c in rest]):
        inside = [c for c in rest if any(a in group for a in axes_in(c))]
        if not wanted & set(group):
            if not _count_group(graph, group, ranges, inside):
                return taken
        else:
            wanted |= set(group)
    if (
        len(subscripts) == 1
        and (single := _reached(subscripts[0], ranges, rest, wanted, extents[0])) is not None
    ):
        return single
    inner = [a for a in axes if a in wanted]
    kept = [c for c in rest if set(axes_in(c)) <= wanted]
    for environment, met in visit(graph, inner, ranges, kept):
        places = [
            np.broadcast_to(np.asarray(evaluate(graph, s, dict(environment))), met.shape) for s in subscripts
        ]
        for place, extent in zip(places, extents, strict=True):
            met = met & (place >= 0) & (place < extent)
        taken[tuple(place[met] for place in places)] = True
        if taken.all():
            break
    return taken


def _reached(
    subscript: Expression,
    ranges: Mapping[Axis, tuple[int, int]],
    rest: Sequence[Expression],
    wanted: set[Axis],
    extent: int,
) -> np.ndarray | None:
    """The values of one linear subscript whose only conditions are on itself; None where that is not so."""
    form = linear(subscript)
    if not form.is_affine:
        return None
    low, high = 0, extent - 1
    for condition in rest:
        if not set(axes_in(condition)) & wanted:
            continue
        bounds = bound_of(condition)
        window = (
            _window([*bounds, Bound(Linear(1 << 61, dict(form.coefficients)), False)]) if bounds else None
        )
        if window is None:
            return None
        own, least, most = window
        if own.coefficients != form.coefficients:
            own, least, most = own.scaled(-1), -most, -least
        low, high = max(low, least + form.constant), min(high, most + form.constant)
    ways = _ways(form, dict(ranges), [a for a in form.coefficients if isinstance(a, Axis)])
    if ways is None:
        return None
    start, counts = ways
    start += form.constant
    taken = np.zeros(extent, dtype=bool)
    first, last = max(low, start), min(high, start + len(counts) - 1)
    if first <= last:
        taken[first : last + 1] = counts[first - start : last - start + 1] > 0
    return taken
