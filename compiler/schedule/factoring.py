"""Factoring: what every term of a sum is multiplied or divided by is applied once, to the sum.

In: a graph.  Out: the same with bare sums, and what stood in them behind them.

    e[t, s] = Σ_d q[t, d] · k[s, d] / √D   →   bare[t, s] = Σ_d q[t, d] · k[s, d];   e[t, s] = bare[t, s] / √D
"""

from __future__ import annotations

from dataclasses import replace

from ..kernels.products import addends
from ..mathematics.expression import Apply, Expression, Load, apply
from ..mathematics.graph import Family, Graph
from ..mathematics.walks import axes_in
from ..passes.order import recurrent


def factor_out(graph: Graph) -> Graph:
    """Take factors and divisors that no term changes out of every sum that is not part of a recurrence."""
    looping = {name for component in recurrent(graph) for name in component}
    result = graph.copy()
    result.families = {}
    for name, family in graph.families.items():
        for part in [family] if name in looping else _factored(family):
            result.families[part.name] = part
    return result


def _factored(family: Family) -> list[Family]:
    """The family, or the bare sum and the family that reads it."""
    reduction = family.reduction
    if reduction is None or reduction.kind != "sum" or reduction.scatter or family.type != "real":
        return [family]
    sums = addends(family.body)
    if len(sums) != 1:
        return [family]
    ((negative, factors),) = sums
    summed = set(reduction.axes)

    def fixed(expression: Expression) -> bool:
        return not summed & set(axes_in(expression))

    inside: list[Expression] = []
    outside: list[tuple[str, Expression]] = []
    for factor in factors:
        while (
            isinstance(factor, Apply)
            and factor.function == "/"
            and not fixed(factor)
            and fixed(factor.arguments[1])
        ):
            outside.append(("/", factor.arguments[1]))
            factor = factor.arguments[0]
        if fixed(factor):
            outside.append(("*", factor))
        else:
            inside.append(factor)
    if not outside or not inside:
        return [family]
    body = inside[0]
    for factor in inside[1:]:
        body = apply("*", body, factor)
    bare = Family(f"{family.name} bare", family.axes, body, reduction, "term", family.of, family.span)
    value: Expression = Load(bare.name, family.axes)
    for function, operand in outside:
        value = apply(function, value, operand)
    return [bare, replace(family, body=-value if negative else value, reduction=None)]
