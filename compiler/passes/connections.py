"""Static connections that no formula solves, listed by key: the three orders of a table.

In: a sum whose conditions are static but not affine (a table of a map, an odd expression).  Out: the sum over positions q of
a list that is sorted by the sum's own axes: start[key] ≤ q < start[key + 1], each index i := I[q].

    Σ_{i, j: K[i, j] = k} ∂h[j]·x[i]   →   Σ_{q: start[k] ≤ q < start[k+1]} ∂h[J[q]]·x[I[q]]

The list keeps row-major order of the original indices within a key, so sums have one fixed order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..mathematics.affine import linear
from ..mathematics.expression import (
    BATCH,
    Apply,
    Axis,
    Expression,
    Load,
    Lookup,
    at_most,
    integer,
    less,
    new_axis,
)
from ..mathematics.graph import Graph
from ..mathematics.static_values import evaluate
from ..mathematics.walks import axes_in, is_static, postorder, rebuild, substitute
from .sums import PendingSum
from .tables import add_table

#: Most index points that are visited to list connections.
ENUMERATION_LIMIT = 200_000_000

#: A sum without equalities is listed only where fewer than this part of its index points are connections.
DENSITY = 0.75


def list_connections(graph: Graph, work: PendingSum) -> None:
    """Replace static conditions that are not affine by a list of connections, where there are any.

    More index points than can be listed stay under their conditions: right, and slow.
    """
    chosen = [c for c in work.where if is_static(c) and _needs_listing(c, work)]
    if not chosen:
        return
    inner = [a for a in work.axes if a in axes_in(*chosen)]
    outer = [a for a in work.family.axes if a in axes_in(*chosen)]
    # Other static conditions over the same indices come along for nothing.
    chosen += [
        c
        for c in work.where
        if c not in chosen and is_static(c) and set(axes_in(c)) <= set(inner + outer) and axes_in(c)
    ]
    outer = [a for a in work.family.axes if a in axes_in(*chosen)]
    points = _enumerate(graph, inner, outer, chosen)
    if points is None:
        return
    total = next(iter(points.values())).size if points else 0
    equalities = any(isinstance(c, Apply) and c.function == "==" for c in chosen)
    space = int(np.prod([a.size for a in inner + outer], dtype=object))
    if not equalities and total > DENSITY * space:
        return
    key = np.zeros(total, np.int64)
    keys = 1
    for axis in outer:
        key = key * axis.size + points[axis]
        keys *= axis.size
    order = np.argsort(key, kind="stable")
    start = np.zeros(keys + 1, np.int64)
    np.cumsum(np.bincount(key, minlength=keys), out=start[1:])
    position = new_axis("q", max(total, 1))
    mapping: dict[Expression, Expression] = {}
    for axis in inner:
        values = points[axis][order] if total else np.zeros(1, np.int64)
        mapping[axis] = Lookup(add_table(graph, f"{work.family.name}.{axis.name}", values), (position,))
    flat: Expression = integer(0)
    for axis in outer:
        flat = flat * axis.size + axis
    begin = add_table(graph, f"{work.family.name}.start", start)
    along = _Along(work.family.name, graph, inner, outer, points, order, position)
    work.axes = [a for a in work.axes if a not in inner] + [position]
    kept = [c for c in work.where if c not in chosen]
    work.body = substitute(along.tabulate(work.body), mapping)
    work.where = [substitute(along.tabulate(c), mapping) for c in kept]
    work.scatters = [substitute(along.tabulate(c), mapping) for c in work.scatters]
    work.where += [at_most(Lookup(begin, (flat,)), position), less(position, Lookup(begin, (flat + 1,)))]


def _needs_listing(condition: Expression, work: PendingSum) -> bool:
    """A condition that is no plain bound on the indices summed over: it has a table or an unsolved equality in it."""
    axes = axes_in(condition)
    if not any(a in work.axes and a != BATCH for a in axes) or BATCH in axes:
        return False
    if any(isinstance(n, Lookup) for n in postorder(condition)):
        return True
    if not isinstance(condition, Apply) or condition.function not in ("<", "<=", ">", ">="):
        return True
    left, right = condition.arguments
    return left.type != "integer" or not linear(left - right).is_affine


def _enumerate(
    graph: Graph, inner: list[Axis], outer: list[Axis], conditions: list[Expression]
) -> dict[Axis, np.ndarray] | None:
    """Index points at which all conditions hold, as one int64 array per axis, in row-major order of outer, inner.

    An equality `expression = axis` with an outer axis that stands nowhere else gives that axis without visiting it.
    """
    given: dict[Axis, Expression] = {}
    rest: list[Expression] = []
    for condition in conditions:
        target = _isolated(condition, outer, given)
        if target is not None:
            given[target[0]] = target[1]
        else:
            rest.append(condition)
    visited = [a for a in outer if a not in given] + inner
    count = 1
    for axis in visited:
        count *= axis.size
    if count > ENUMERATION_LIMIT:
        return None
    shape = tuple(a.size for a in visited)
    grid = dict(zip(visited, np.indices(shape, dtype=np.int64, sparse=True), strict=True))
    keep = np.ones(shape, bool)
    values: dict[Axis, np.ndarray] = {}
    for axis, expression in given.items():
        value = np.broadcast_to(evaluate(graph, expression, grid), shape)
        values[axis] = value
        keep &= (value >= 0) & (value < axis.size)
    environment: dict[Axis, Any] = {**grid, **{a: np.clip(v, 0, a.size - 1) for a, v in values.items()}}
    for condition in rest:
        keep &= np.broadcast_to(evaluate(graph, condition, environment), shape)
    where = np.nonzero(keep)
    points = {a: w.astype(np.int64) for a, w in zip(visited, where, strict=True)}
    points.update({a: v[keep].astype(np.int64) for a, v in values.items()})
    return points


def _isolated(
    condition: Expression, outer: list[Axis], given: dict[Axis, Expression]
) -> tuple[Axis, Expression] | None:
    if (
        not (isinstance(condition, Apply) and condition.function == "==")
        or condition.arguments[0].type != "integer"
    ):
        return None
    form = linear(condition.arguments[0] - condition.arguments[1])
    for axis, coefficient in form.coefficients.items():
        if isinstance(axis, Axis) and axis in outer and axis not in given and abs(coefficient) == 1:
            value = form.without(axis).scaled(-coefficient).expression()
            if (
                axis not in axes_in(value)
                and not any(a in given for a in axes_in(value))
                and not any(axis in axes_in(e) for e in given.values())
            ):
                return axis, value
    return None


class _Along:
    """Replaces lookups over listed indices by tables along the list, so that a connection costs one lookup per array."""

    def __init__(
        self,
        name: str,
        graph: Graph,
        inner: list[Axis],
        outer: list[Axis],
        points: dict[Axis, np.ndarray],
        order: np.ndarray,
        position: Axis,
    ):
        self.name = name
        self.graph, self.axes, self.order, self.position = graph, set(inner + outer), order, position
        self.inner = set(inner)
        self.points = points

    def tabulate(self, root: Expression) -> Expression:
        """Subscripts that are known at each position of the list become one lookup there."""

        def known(node: Expression) -> bool:
            axes = set(axes_in(node))
            return (
                not isinstance(node, Axis)
                and axes <= self.axes
                and bool(axes & self.inner)
                and is_static(node)
            )

        def rule(node: Expression) -> Expression | None:
            if self.order.size == 0 or not isinstance(node, Load | Lookup):
                return None
            subscripts = tuple(self._along(s) if known(s) else s for s in node.subscripts)
            return None if subscripts == node.subscripts else node.with_children(subscripts)

        return rebuild(root, rule)

    def _along(self, subscript: Expression) -> Expression:
        values = evaluate(self.graph, subscript, self.points)
        values = np.broadcast_to(values, self.order.shape)[self.order]
        return Lookup(add_table(self.graph, f"{self.name}.subscript", values), (self.position,))
