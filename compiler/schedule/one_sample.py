"""One sample: in a program for minibatches of one, a sum over the batch alone is no sum.

In: a graph.  Out: the same for one sample.

    ∂w[i, j] = Σ_batch ∂y[batch, j] · x[batch, i]   →   ∂w[i, j] = ∂y[0, j] · x[0, i]      elementwise: part of w − 0.1 · ∂w
"""

from __future__ import annotations

from dataclasses import replace

from ..mathematics.expression import BATCH, Expression, integer
from ..mathematics.graph import Family, Graph
from ..mathematics.walks import substitute
from ..passes.order import recurrent

#: Kinds of reductions that give a single value back.
_KINDS = ("sum", "product", "max", "min")


def of_one_sample(graph: Graph) -> Graph:
    """The graph without sums over the batch alone; recurrences stay as they are."""
    looping = {name for component in recurrent(graph) for name in component}
    result = graph.copy()
    for name, family in graph.families.items():
        if name not in looping:
            result.families[name] = _of_one_sample(family)
    return result


def _of_one_sample(family: Family) -> Family:
    reduction = family.reduction
    if (
        reduction is None
        or reduction.kind not in _KINDS
        or reduction.axes != (BATCH,)
        or reduction.where
        or reduction.scatter
    ):
        return family
    first: dict[Expression, Expression] = {BATCH: integer(0)}
    return replace(family, body=substitute(family.body, first), reduction=None)
