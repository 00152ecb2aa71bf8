"""Sharing maps: equalities between subscripts and axes are solved, so that every scatter becomes a gather.

In: families whose conditions hold equalities, as gradient.py writes them (Σ_{i, j: K(i, j) = k} …).  Out: the same sums with

- affine subscripts solved for an index:         2y + v = p             →  v := p − 2y, a range of y remains
- `mod`, `div` and `abs` solved alike:           (j − i) mod n = k      →  i := (j − k) mod n
- everything else that is static listed by key:  K[i, j] = k            →  q from start[k] to start[k + 1], i := I[q], j := J[q]
- data-dependent subscripts scattered in order:  Σ_{t: token[t] = v} …  →  for t: add at v := token[t]

A sum over a table with few connections (−1 elsewhere) is listed in the same way, by target in the forward sum, by source
and by weight in its gradients.
"""

from __future__ import annotations

from dataclasses import replace

from ..mathematics.affine import Linear, linear, proves
from ..mathematics.expression import (
    BATCH,
    Apply,
    Axis,
    Constant,
    Expression,
    Load,
    apply,
    at_most,
    equal,
    integer,
    less,
    select,
)
from ..mathematics.graph import Family, Graph, Reduction
from ..mathematics.walks import axes_in, is_static, postorder, substitute
from .connections import list_connections
from .sums import PendingSum


def solve(graph: Graph) -> Graph:
    """Solve the equalities of every reduction of the graph."""
    result = graph.copy()
    for name, family in graph.families.items():
        if family.reduction is not None:
            result.families[name] = solve_family(result, family)
    return result


def solve_family(graph: Graph, family: Family) -> Family:
    """The family with its equalities solved. A sum that has no index left becomes elementwise."""
    assert family.reduction is not None
    reduction = family.reduction
    if reduction.kind.startswith("arg"):
        return family  # the position of the winner is told in terms of the original indices
    scatters = [c for c in reduction.where if _is_scatter(c, family, reduction)]
    where = [c for c in reduction.where if c not in scatters]
    work = PendingSum(family, family.body, list(reduction.axes), where, scatters)
    progress = True
    while progress:
        work.where = [c for c in work.where if proves(c, graph) is not True]
        equalities = [
            c
            for c in work.where
            if isinstance(c, Apply) and c.function == "==" and c.arguments[0].type == "integer"
        ]
        # Static equalities first: an index solved by data would make the rest data-dependent.
        equalities.sort(key=lambda c: not is_static(c))
        progress = any(_solve_one(graph, work, c) for c in equalities)
    list_connections(graph, work)
    scatter: list[tuple[Axis, Expression]] = []
    for condition in work.scatters:
        # At the place that is added to, the axis has the value of the subscript: nothing else depends on it any more.
        placed: dict[Expression, Expression] = dict(scatter)
        condition = substitute(condition, placed)
        if not _is_scatter(condition, family, reduction):
            work.where.append(condition)  # a second subscript for the same axis: both must agree
            continue
        axis, place = _scatter_sides(condition, family)
        mapping: dict[Expression, Expression] = {axis: place}
        work.body = substitute(work.body, mapping)
        work.where = [substitute(c, mapping) for c in work.where]
        scatter = [(a, substitute(e, mapping)) for a, e in scatter] + [(axis, place)]
    if not work.axes and not scatter:
        body = work.body
        neutral = {"sum": 0.0, "product": 1.0, "max": float("-inf"), "min": float("inf")}[reduction.kind]
        for condition in reversed(work.where):
            body = select(condition, body, neutral)
        return replace(family, body=body, reduction=None)
    fresh = Reduction(reduction.kind, tuple(work.axes), tuple(work.where), tuple(scatter))
    return replace(family, body=work.body, reduction=fresh)


def _scatter_sides(condition: Expression, family: Family) -> tuple[Axis, Expression]:
    assert isinstance(condition, Apply)
    left, right = condition.arguments
    if isinstance(right, Axis) and right in family.axes:
        return right, left
    assert isinstance(left, Axis)
    return left, right


def _is_scatter(condition: Expression, family: Family, reduction: Reduction) -> bool:
    """data[…index summed over…] = axis of the family, as the gradient of a data-dependent subscript has it."""
    if not (isinstance(condition, Apply) and condition.function == "==" and reduction.kind == "sum"):
        return False
    left, right = condition.arguments
    if not (isinstance(right, Axis) and right in family.axes):
        left, right = right, left
    if not (isinstance(right, Axis) and right in family.axes) or right in axes_in(left):
        return False
    return any(isinstance(n, Load) for n in postorder(left)) and any(
        a in reduction.axes for a in axes_in(left)
    )


def _solve_one(graph: Graph, work: PendingSum, condition: Expression) -> bool:
    """Use one equality to remove an index; False where it does not determine one."""
    assert isinstance(condition, Apply)
    left, right = condition.arguments
    form = linear(left - right)
    free = {a: c for a, c in form.coefficients.items() if a in work.axes and a != BATCH}
    hidden = {a for atom in form.coefficients if not isinstance(atom, Axis) for a in axes_in(atom)}
    free = {a: c for a, c in free.items() if a not in hidden}
    if free:
        work.where.remove(condition)
        _solve_linear(graph, work, form, free)  # type: ignore[arg-type]
        return True
    for atom, coefficient in form.coefficients.items():
        if abs(coefficient) == 1 and any(a in work.axes and a != BATCH for a in axes_in(atom)):
            target = form.without(atom).scaled(-coefficient).expression()
            if any(a in work.axes for a in axes_in(target)) and not isinstance(atom, Apply):
                continue
            if _solve_atom(graph, work, condition, atom, target):
                return True
    return False


def _solve_linear(graph: Graph, work: PendingSum, form: Linear, free: dict[Axis, int]) -> None:
    """Σ c·r + rest = 0 for one or two of the indices r."""

    units = [a for a in free if abs(free[a]) == 1]
    for outer, stride in free.items():
        for inner in units:
            # stride·a + b = t with 0 ≤ b < B ≤ |stride|: both follow, a = t div stride and b = t mod stride.
            if inner is not outer and abs(stride) > 1 and inner.size <= abs(stride):
                sign = free[inner]
                total = form.without(outer).without(inner).scaled(-sign).expression()
                step = stride * sign
                if step < 0:
                    continue
                work.replace_axis(outer, apply("div", total, integer(step)), graph)
                work.replace_axis(inner, apply("mod", total, integer(step)), graph)
                return
    if units:
        axis = max(units, key=lambda a: a.size)
        work.replace_axis(axis, form.without(axis).scaled(-free[axis]).expression(), graph)
        return
    axis = max(free, key=lambda a: a.size)
    coefficient = free[axis]
    total = form.without(axis).scaled(-1 if coefficient > 0 else 1).expression()
    step = abs(coefficient)
    work.where.append(equal(apply("mod", total, integer(step)), integer(0)))
    work.replace_axis(axis, apply("div", total, integer(step)), graph)


def _solve_atom(
    graph: Graph, work: PendingSum, condition: Expression, atom: Expression, target: Expression
) -> bool:
    """atom = target, where the atom is a mod, div or abs around a linear form of a free index."""
    match atom:
        case Apply(function="mod", arguments=(x, Constant(value=n))) if int(n) > 0:
            modulus = int(n)
            form = linear(x)
            units = _free_units(work, form, target)
            if not units:
                return False
            work.where.remove(condition)
            for check in (at_most(0, target), less(target, modulus)):
                if proves(check, graph) is not True:
                    work.where.append(check)
            axis = max(units, key=lambda a: a.size)
            sign = form.coefficients[axis]
            residue = apply(
                "mod",
                linear(target - form.without(axis).expression()).scaled(sign).expression(),
                integer(modulus),
            )
            if axis.size > modulus:
                turn = work.new_axis(f"{axis.name}_turn", -(-axis.size // modulus))
                residue = residue + turn * modulus
            work.replace_axis(axis, residue, graph)
            return True
        case Apply(function="div", arguments=(x, Constant(value=n))) if int(n) > 0:
            if not _free_units(work, linear(x), target):
                return False
            work.where.remove(condition)
            rest = work.new_axis("rest", int(n))
            work.where.append(equal(x, target * int(n) + rest))
            return True
        case Apply(function="abs", arguments=(x,)):
            if not _free_units(work, linear(x), target):
                return False
            work.where.remove(condition)
            side = work.new_axis("side", 2)
            for check in (at_most(0, target), apply("or", equal(side, 0), less(0, target))):
                if proves(check, graph) is not True:
                    work.where.append(check)
            work.where.append(equal(x, select(equal(side, 0), target, -target)))
            return True
    return False


def _free_units(work: PendingSum, form: Linear, target: Expression) -> list[Axis]:
    """Indices summed over that occur once, with coefficient ±1, in the form, and nowhere in the target."""

    elsewhere = set(axes_in(target))
    elsewhere |= {a for atom in form.coefficients if not isinstance(atom, Axis) for a in axes_in(atom)}
    return [
        a
        for a, c in form.coefficients.items()
        if isinstance(a, Axis) and a != BATCH and a in work.axes and abs(c) == 1 and a not in elsewhere
    ]
