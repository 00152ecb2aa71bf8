"""Support: where the terms of a sum can be other than zero, as far as indices tell.

In: the body of a sum, and the graph.  Out: expressions that are all ≥ 0 at every term that is not zero; limits.py makes bounds of
loops from them.

    a[t, s] = exp(…) / … if s ≤ t else 0
    y[t, j] = Σ_{s: 64} a[t, s] · v[s, j]       →   t − s

A factor that is zero somewhere is a `select`, or a family that is one, or one whose sum has no terms there, or a copy of it.
"""

from __future__ import annotations

from ..mathematics.affine import not_negative
from ..mathematics.expression import Apply, Constant, Expression, Load
from ..mathematics.graph import Family, Graph, Reduction
from ..mathematics.walks import axes_in, substitute
from .products import addends

#: Copies of copies are looked through so far.
_COPIES = 4


def support(family: Family, graph: Graph) -> tuple[Expression, ...]:
    """Affine expressions over indices that are not negative wherever the terms of a family's sum of products are not zero."""
    reduction = family.reduction
    if reduction is None or reduction.kind != "sum" or reduction.scatter or family.type != "real":
        return ()
    terms = addends(family.body)
    if len(terms) != 1:
        return ()
    found: dict[Expression, None] = {}
    for factor in terms[0][1]:
        for condition in _conditions(factor, graph):
            found |= dict.fromkeys(f.expression() for f in not_negative(condition) if f.is_affine)
    return tuple(found)


def _conditions(factor: Expression, graph: Graph, copies: int = _COPIES) -> tuple[Expression, ...]:
    """Conditions without which a factor is zero: it is a `select`, or loads one, or a sum of nothing."""
    match factor:
        case Apply(function="select", arguments=(condition, _, Constant(0))):
            return (condition,)
        case Load(array=name) if copies and name in graph.families:
            family = graph.families[name]
            reduction = family.reduction
            found = _of_empty_sum(reduction) if reduction else _conditions(family.body, graph, copies - 1)
            places: dict[Expression, Expression] = dict(zip(family.axes, factor.children, strict=True))
            return tuple(substitute(condition, places) for condition in found)
    return ()


def _of_empty_sum(reduction: Reduction) -> tuple[Expression, ...]:
    """Conditions of a sum that are the same for all of its terms."""
    if reduction.kind != "sum" or reduction.scatter:
        return ()
    own = set(reduction.axes)
    return tuple(c for c in reduction.where if not own & set(axes_in(c)))
