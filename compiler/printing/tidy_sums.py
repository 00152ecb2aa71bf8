"""Sums as a reader writes them: without the indices and conditions that follow from the others.

In: the indices, conditions and body of a reduction.  Out: an equal reduction that says less.

    Σ_{i: i + 1 = k} x[i]                        →   x[k − 1]
    Σ_{i, j: i − j = k, 0 ≤ i − j, i − j < 2} …  →   Σ_{i, j: i − j = k} …       where k runs over 0, 1

Only printing uses this; what the machine computes is sharing.py's matter.
"""

from __future__ import annotations

from ..mathematics.affine import bounds, linear, proves
from ..mathematics.expression import BATCH, Apply, Axis, Expression, Load, apply, at_most, less
from ..mathematics.graph import Graph
from ..mathematics.walks import axes_in, conjuncts, substitute


def is_linear_equality(condition: Expression) -> bool:
    """An equality between indices, such as i − j = k."""
    if not (isinstance(condition, Apply) and condition.function == "=="):
        return False
    return all(a.type == "integer" and linear(a).is_affine for a in condition.arguments)


def guards(condition: Expression, load: Load) -> bool:
    """True where a condition says no more than that the load's subscripts are in range."""
    forms = [linear(s).coefficients for s in load.subscripts if s.type == "integer"]
    parts = conjuncts(condition)
    for part in parts:
        if not (
            isinstance(part, Apply)
            and part.function in ("<", "<=", ">", ">=")
            and part.arguments[0].type == "integer"
        ):
            return False
        difference = linear(part.arguments[0] - part.arguments[1])
        if difference.coefficients not in forms and difference.scaled(-1).coefficients not in forms:
            return False
    return bool(parts)


def solve_single(
    graph: Graph, axes: list[Axis], where: list[Expression], body: Expression
) -> tuple[list[Axis], list[Expression], Expression]:
    """A sum whose equality leaves one value of an index, without that index: Σ_{i: i + 1 = k} x[i] is x[k − 1].

    An equality between several summed indices stays: i − j = k is how the textbook writes a shared weight.
    """
    for condition in list(where):
        if not (
            isinstance(condition, Apply)
            and condition.function == "=="
            and condition.arguments[0].type == "integer"
        ):
            continue
        form = linear(condition.arguments[0] - condition.arguments[1])
        summed = [a for atom in form.coefficients for a in axes_in(atom) if a in axes]
        if (
            len(set(summed)) != 1
            or summed[0] == BATCH
            or abs(form.coefficients.get(summed[0], 0)) != 1
            or len(summed) > 1
        ):
            continue
        axis = summed[0]
        value = form.without(axis).scaled(-form.coefficients[axis]).expression()
        rest = [c for c in where if c is not condition]
        rest += [c for c in (at_most(0, value), less(value, axis.size)) if proves(c, graph) is not True]
        where = [substitute(c, {axis: value}) for c in rest]
        body = substitute(body, {axis: value})
        axes = [a for a in axes if a != axis]
    return axes, where, body


def without_implied(graph: Graph, where: list[Expression]) -> list[Expression]:
    """The conditions less those that the equalities among them and the extents of the indices imply."""
    equalities = [
        c
        for c in where
        if isinstance(c, Apply)
        and c.function == "=="
        and c.arguments[0].type == "integer"
        and bounds(c.arguments[0], graph)
    ]
    out = []
    for condition in where:
        implied = proves(condition, graph) is True
        if isinstance(condition, Apply) and condition.function in ("<", "<=", ">", ">="):
            left, right = condition.arguments
            for equality in equalities if left.type == "integer" else ():
                zero = equality.children[0] - equality.children[1]
                for moved in (left - right - zero, left - right + zero):
                    implied = implied or proves(apply(condition.function, moved, 0), graph) is True
        if not implied:
            out.append(condition)
    return out
