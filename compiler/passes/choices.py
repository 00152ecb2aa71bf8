"""Choices: a value that is wanted only where a choice has it is read from the choice.

In: a graph with its derivatives, in order.  Out: the same, where

    p[t, s] = exp(e[t, s])                            p is read by a alone, whose kernel computes it
    a[t, s] = p[t, s] if s ≤ t else 0             →   a[t, s] = p[t, s] if s ≤ t else 0
    ∂e[t, s] = ∂a[t, s] · p[t, s] if s ≤ t else 0     ∂e[t, s] = ∂a[t, s] · a[t, s] if s ≤ t else 0

One array waits for the backward pass instead of two. This is so of the exponential of a softmax along a part of an axis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..mathematics.expression import Apply, Constant, Expression, Load
from ..mathematics.graph import Family, Graph
from ..mathematics.walks import postorder, rebuild, substitute
from .order import in_order


def read_choices(graph: Graph) -> Graph:
    """The graph in which choices are read in place of what they choose, where that is then read nowhere else."""
    readers, roots = graph.readers(), set(graph.roots())
    result = graph.copy()
    for family in graph.families.values():
        chosen = _chosen(family, graph)
        if chosen is None or chosen in roots or len(readers[chosen]) < 2:
            continue
        others = [result.families[name] for name in readers[chosen] if name != family.name]
        changed = [_reading(other, chosen, family) for other in others]
        if all(chosen not in other.sources for other in changed):
            result.families |= {other.name: other for other in changed}
    return in_order(result) if any(result.families[n] is not f for n, f in graph.families.items()) else graph


def _chosen(family: Family, graph: Graph) -> str | None:
    """What a family that is nothing but a choice has where its condition holds, if that is a family over the same axes."""
    match family.body:
        case Apply(function="select", arguments=(_, Load(array=name, subscripts=places), _)):
            source = graph.families.get(name)
            if family.reduction is None and places == family.axes and source is not None:
                return name if source.reduction is None else None
    return None


def _reading(family: Family, chosen: str, choice: Family) -> Family:
    """A family that reads the choice wherever it reads what is chosen under the choice's own condition."""
    assert isinstance(choice.body, Apply)
    condition = choice.body.arguments[0]

    def under(where: Expression, root: Expression) -> Expression:
        mapping: dict[Expression, Expression] = {}
        for load in postorder(root):
            if isinstance(load, Load) and load.array == chosen:
                places: Mapping[Expression, Expression] = dict(zip(choice.axes, load.subscripts, strict=True))
                if substitute(condition, places) == where:
                    mapping[load] = Load(choice.name, load.subscripts, load.type)
        return substitute(root, mapping)

    def read(node: Expression) -> Expression | None:
        match node:
            case Apply(function="select", arguments=(test, then, otherwise)):
                return node.with_children((test, under(test, then), otherwise))
            case Apply(function="*", arguments=(Apply("select", (test, _, Constant(0))) as zero, factor)):
                return node.with_children((zero, under(test, factor)))
            case Apply(function="*", arguments=(factor, Apply("select", (test, _, Constant(0))) as zero)):
                return node.with_children((under(test, factor), zero))
        return None

    body = rebuild(family.body, read)
    for where in family.reduction.where if family.reduction is not None else ():
        body = under(where, body)
    return family if body == family.body else replace(family, body=body)
