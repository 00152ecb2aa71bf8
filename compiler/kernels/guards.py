"""Guards: every load of a kernel is in range, or known to be so only under conditions.

In: an expression of a family.  Out: the same with subscripts clamped where nothing else keeps them in range, and '?' behind the
name of what is loaded where conditions do: those of the reduction, or of the `select` that the load stands under.

    select(0 ≤ y − 1, x[y − 1], 0)    →   select(0 ≤ y − 1, x?[y − 1], 0)         a masked load: its lanes stay side by side
    select(m[y] > 0, x[y − 1], 0)     →   select(m[y] > 0, x[max(y − 1, 0)], 0)   both branches are computed
    Σ_{v: 0 ≤ y − v} w[y − v]         →   w?[y − v]                               loops keep to the conditions
    E[token[t], d]                    →   E[max(min(token[t], 99), 0), d]         data is never trusted
"""

from __future__ import annotations

from collections.abc import Mapping

from ..mathematics.affine import Linear, bounds, linear, not_negative
from ..mathematics.expression import Apply, Expression, Load, Lookup, apply, integer
from ..mathematics.graph import Graph
from ..mathematics.walks import postorder, substitute


def _unconditional(root: Expression) -> set[Expression]:
    """The nodes that are needed whichever way every `select` goes."""
    seen: set[Expression] = set()
    stack = [root]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if isinstance(node, Apply) and node.function == "select":
            stack.append(node.arguments[0])
        else:
            stack.extend(node.children)
    return seen


def clamp(subscript: Expression, extent: int, graph: Graph) -> Expression:
    """The subscript, moved into 0 … extent−1 where it may lie outside."""
    reach = bounds(subscript, graph)
    if reach is None or reach[1] >= extent or _comes_from_data(subscript, graph):
        subscript = apply("min", subscript, integer(extent - 1))
    if reach is None or reach[0] < 0 or _comes_from_data(subscript, graph):
        subscript = apply("max", subscript, integer(0))
    return subscript


def _comes_from_data(subscript: Expression, graph: Graph) -> bool:
    return any(isinstance(n, Load) and n.array in graph.arrays for n in postorder(subscript))


def _under_condition(
    choice: Apply, then: Expression, clamped: Mapping[Expression, Load], graph: Graph
) -> Expression:
    """What a `select` has where its condition holds, reading bare what the condition keeps in range.

    `then`: that branch, with its loads clamped; a branch with choices of its own stays so.
    """
    nodes = postorder(then)
    if any(isinstance(n, Apply) and n.function == "select" for n in nodes):
        return then
    bare: dict[Expression, Expression] = {}
    known = list(not_negative(choice.arguments[0]))
    for node in nodes:
        load = clamped.get(node)
        if load is not None and all(
            extent is None or _keep_in_range(known, subscript, extent, graph)
            for subscript, extent in zip(load.subscripts, graph.extents_of(load.array), strict=True)
        ):
            bare[node] = Load(load.array + "?", load.subscripts, load.type)
    return substitute(then, bare) if bare else then


def _keep_in_range(known: list[Linear], subscript: Expression, extent: int, graph: Graph) -> bool:
    """True where a subscript is in range, or forms that are not negative say so."""
    reach = bounds(subscript, graph)
    low, high = (-1, extent) if reach is None else reach
    place = linear(subscript)

    def follows(form: Linear) -> bool:
        rests = (form.add(other, -1) for other in known)
        return any(not rest.coefficients and rest.constant >= 0 for rest in rests)

    return (low >= 0 or follows(place)) and (
        high < extent or follows(place.scaled(-1).add(Linear(extent - 1)))
    )


def guard_subscripts(root: Expression, graph: Graph, *, sure: bool, conditions: bool) -> Expression:
    """The expression with subscripts clamped where nothing else keeps them in range, and '?' where conditions do.

    `sure`: the root is evaluated only where the index point takes part.  `conditions`: taking part depends on conditions.
    """
    certain = _unconditional(root) if sure else set()
    clamped: dict[Expression, Load] = {}  # what became of loads, and the loads

    def in_range(subscript: Expression, extent: int | None) -> bool:
        if extent is None:
            return True  # the batch, subscripted by itself
        reach = bounds(subscript, graph)
        return reach is not None and reach[0] >= 0 and reach[1] < extent

    done: dict[Expression, Expression] = {}
    for node in postorder(root):
        children = tuple(done[c] for c in node.children)
        if isinstance(node, Apply) and node.function == "select":
            children = (children[0], _under_condition(node, children[1], clamped, graph), children[2])
        fresh = node if children == node.children else node.with_children(children)
        if isinstance(node, Load | Lookup) and node.subscripts:
            extents = (
                graph.extents_of(node.array)
                if isinstance(node, Load)
                else tuple(graph.tables[node.table].values.shape)
            )
            data = any(_comes_from_data(s, graph) for s in node.subscripts)
            if data or not all(in_range(s, e) for s, e in zip(node.subscripts, extents, strict=True)):
                if data or node not in certain:
                    fresh = fresh.with_children(
                        tuple(
                            s if e is None else clamp(s, e, graph)
                            for s, e in zip(children, extents, strict=True)
                        )
                    )
                    if isinstance(node, Load) and not data:
                        clamped[fresh] = node
                elif conditions and isinstance(fresh, Load):
                    fresh = Load(fresh.array + "?", fresh.subscripts, fresh.type)
                elif conditions and isinstance(fresh, Lookup):
                    fresh = Lookup(fresh.table + "?", fresh.subscripts, fresh.type)
        done[node] = fresh
    return done[root]
