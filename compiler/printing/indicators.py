"""Derivatives at one class, folded into what reads them: the textbook's p − t.

In: a graph with its backward equations.  Out: an equal graph without the families that are 0 but at the class of a label.

    ∂y[j] = −[label = j] / |batch|                       ∂score[j] = ∂y[j] − exp(score[j]) · Σ_j′ ∂y[j′] / Σ
    →   ∂score[j] = (exp(score[j]) / Σ − [label = j]) / |batch|

Only printing uses this; passes/simplify.py does as much, and more, to what the machine computes.
"""

from __future__ import annotations

from ..mathematics.expression import Apply, Constant, Load
from ..mathematics.graph import Family, Graph
from ..mathematics.walks import postorder
from ..passes.simplify import read_through, tidy_family


def fold_indicators(graph: Graph) -> Graph:
    """The graph with every derivative that is an indicator of data put into the derivatives that read it."""
    result = graph.copy()
    kept = set(graph.gradients.values())
    inlined: dict[str, Family] = {}
    waiting = [f for f in graph.families.values() if f.role == "gradient"]
    # Backward equations stand in no order here: what is found goes into the others until nothing is left to find.
    while found := [f for f in waiting if f.name not in kept and f.name not in inlined and _is_indicator(f)]:
        inlined |= {f.name: f for f in found}
        waiting = [
            tidy_family(read_through(f, inlined, {}), result) if set(f.sources) & set(inlined) else f
            for f in waiting
        ]
    for family in waiting:
        result.families[family.name] = family
    for name in inlined:
        del result.families[name]
    return result


def _is_indicator(family: Family) -> bool:
    """`x if label = j else 0`, where x is the same everywhere."""
    match family.body:
        case Apply(function="select", arguments=(Apply(function="==") as condition, value, Constant(0.0))):
            reads = any(isinstance(node, Load) and node.type == "integer" for node in postorder(condition))
            plain = not any(isinstance(node, Load) and node.subscripts for node in postorder(value))
            return reads and plain and family.reduction is None
    return False


__all__ = ["fold_indicators"]
