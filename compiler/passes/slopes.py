"""Slopes: the factor of a derivative that forward values alone decide is computed with them, where that leaves less to store.

In: a graph with its derivatives, in order.  Out: the same, where

    g = ½ z (1 + e),  e = erf(z / √2)               g.slope = ½ (1 + e) + z e^(−z²/2) / √(2π)
    ∂z = ½ ∂g (1 + e) + ∂g z e^(−z²/2) / √(2π)  →   ∂z = ∂g · g.slope

One array waits for the backward pass instead of z and e, the kernel that makes them has what the slope is made of in registers,
and the kernel of ∂z reads one array and computes one product.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ..mathematics.expression import Apply, Expression, Load, apply, real, select
from ..mathematics.graph import Family, Graph
from ..mathematics.walks import postorder
from .order import in_order

#: A slope takes the place of so many arrays.
_ARRAYS = 2


def keep_slopes(graph: Graph) -> Graph:
    """The graph in which derivatives read a slope in place of several values that nothing else needs stored."""
    readers, roots = graph.readers(), set(graph.roots())
    result = graph.copy()
    for family in graph.families.values():
        if family.role != "gradient" or family.reduction is not None or not family.axes:
            continue
        seeds = [n for n in family.sources if n in graph.families and graph.families[n].role == "gradient"]
        if len(seeds) != 1:
            continue
        seed = Load(seeds[0], family.axes)
        slope = _coefficient(family.body, seed)
        if slope is None or not _is_of_forward_values(slope, family, graph):
            continue
        freed = {n.array for n in postorder(slope) if isinstance(n, Load)} - roots
        if sum(_is_passed_on(n, family, [graph.families[r] for r in readers[n]]) for n in freed) < _ARRAYS:
            continue
        name = result.fresh_name(f"{seeds[0].removeprefix('∂')}.slope")
        load = result.add(Family(name, family.axes, slope, None, "slope", family.name, family.span))
        result.families[family.name] = replace(family, body=apply("*", seed, load))
    return in_order(result) if len(result.families) > len(graph.families) else graph


def _is_of_forward_values(slope: Expression, family: Family, graph: Graph) -> bool:
    """Whether all that an expression loads are values of the forward pass, at the family's own indices."""
    return all(
        load.array in graph.families
        and graph.families[load.array].role != "gradient"
        and load.subscripts == family.axes
        for load in postorder(slope)
        if isinstance(load, Load)
    )


def _is_passed_on(name: str, family: Family, readers: Collection[Family]) -> bool:
    """Whether a value is read element by element in the forward pass, where it need not be stored, and by one derivative."""
    others = [reader for reader in readers if reader.name != family.name]
    return bool(others) and all(
        reader.role != "gradient"
        and reader.reduction is None
        and all(load.subscripts == reader.axes for load in reader.loads if load.array == name)
        for reader in others
    )


def _coefficient(root: Expression, seed: Load) -> Expression | None:
    """What stands before the seed in an expression that is proportional to it; None for any other expression."""
    found: dict[Expression, Expression | None] = {seed: real(1)}  # of the nodes that the seed is in
    for node in postorder(root):
        inside = [child for child in node.children if child in found]
        if not inside:
            continue
        if not isinstance(node, Apply) or any(found[child] is None for child in inside):
            found[node] = None
            continue
        parts = [found.get(child) for child in node.children]
        match node.function, parts:
            case "+" | "-", [Expression() as a, Expression() as b]:
                found[node] = apply(node.function, a, b)
            case "*", [Expression() as a, None]:
                found[node] = apply("*", a, node.arguments[1])
            case "*", [None, Expression() as b]:
                found[node] = apply("*", node.arguments[0], b)
            case "/", [Expression() as a, None]:
                found[node] = apply("/", a, node.arguments[1])
            case "neg", [Expression() as a]:
                found[node] = apply("neg", a)
            case "select", [None, Expression() as a, Expression() as b]:
                found[node] = select(node.arguments[0], a, b)
            case _:
                found[node] = None
    return found.get(root)
