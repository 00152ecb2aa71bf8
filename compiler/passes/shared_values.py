"""Shared values: costly functions that several equations need are computed once, in a family of their own.

In: a graph with its derivatives.  Out: the same, where

    c[t, j] = σ(a[1, t, j]) · c[t−1, j] + …            a.sigmoid[t, j] = σ(a[1, t, j])
    ∂c[t, j] = ∂c[t+1, j] · σ(a[1, t+1, j]) + …   →    c[t, j] = a.sigmoid[t, j] · c[t−1, j] + …
                                                       ∂c[t, j] = ∂c[t+1, j] · a.sigmoid[t+1, j] + …

A value is worth its memory where it takes a series to compute, and two equations use it (three, where some of them are sums,
which then read it at every index point), or one at more index points than it has values, as σ(d[j]) · h[t−1, j]. An occurrence
with all its indices plain is the pattern; others may have any subscripts in their places.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from ..mathematics.expression import BATCH, Apply, Axis, Constant, Expression, Load, new_axis
from ..mathematics.graph import Family, Graph
from ..mathematics.walks import axes_in, postorder, substitute
from ..record import record
from .order import in_order

_COSTLY = frozenset({"exp", "expm1", "log", "log1p", "tanh", "sigmoid", "erf", "sin", "cos", "^"})


@record
class _Occurrence:
    family: str
    value: Apply


def share_values(graph: Graph) -> Graph:
    """The graph with the costly values that its families have in common, or repeat, as families."""
    groups: dict[object, list[_Occurrence]] = {}
    for family in graph.families.values():
        if family.axes and not (family.reduction is not None and family.reduction.scatter):
            for node in postorder(family.body):
                if isinstance(node, Apply) and node.function in _COSTLY and _may_be_shared(node, family):
                    groups.setdefault(_skeleton(node), []).append(_Occurrence(family.name, node))
    result = graph.copy()
    changes: dict[str, dict[Expression, Expression]] = {}
    for occurrences in groups.values():
        _share(result, occurrences, changes)
    if not changes:
        return graph
    for name, mapping in changes.items():
        family = result.families[name]
        result.families[name] = replace(family, body=substitute(family.body, mapping))
    return in_order(result)


def _may_be_shared(node: Apply, family: Family) -> bool:
    """True for a function of loads; a body that is nothing but the function is a family already."""
    return (node is not family.body or family.reduction is not None) and any(
        isinstance(n, Load) and n.type == "real" and n.subscripts for n in postorder(node)
    )


def _skeleton(root: Expression) -> object:
    """The shape of an expression without its subscripts: equal for all that may be the same value at different places."""
    number: dict[Expression, int] = {}
    shape: list[object] = []
    stack: list[tuple[Expression, bool]] = [(root, False)]
    while stack:
        node, ready = stack.pop()
        if node in number:
            continue
        children = () if isinstance(node, Load) else node.children
        if children and not ready:
            stack.append((node, True))
            stack.extend((c, False) for c in reversed(children))
            continue
        number[node] = len(number)
        match node:
            case Load(array=name):
                shape.append(name)
            case Apply(function=function):
                shape.append((function, *(number[c] for c in children)))
            case _:
                shape.append(node)
    return tuple(shape)


def _share(
    graph: Graph, occurrences: list[_Occurrence], changes: dict[str, dict[Expression, Expression]]
) -> None:
    """Find patterns among occurrences of one skeleton, and replace what they match."""
    left = list(occurrences)
    while left:
        # The most general first: a pattern over all gates has the value for each of them.
        left.sort(key=lambda o: -len(axes_in(o.value)))
        pattern, rest = left[0], left[1:]
        axes = _axes_of(graph, pattern.value)
        if axes is None:
            left = rest
            continue
        matches = [(o, places) for o in left if (places := _match(pattern.value, o.value, axes)) is not None]
        left = [o for o in rest if all(o is not m for m, _ in matches)]
        family = graph.families[pattern.family]
        users = {o.family for o, _ in matches}
        if not _is_worth_it([graph.families[name] for name in users], axes):
            continue
        bound = family.axes + (family.reduction.axes if family.reduction is not None else ())
        order = sorted((a for a in bound if a in axes), key=lambda a: a != BATCH)
        renamed: dict[Expression, Expression] = {a: axes[a] for a in order}
        shared = Family(
            graph.fresh_name(f"{family.name}.{pattern.value.function}"),
            tuple(axes[a] for a in order),
            substitute(pattern.value, renamed),
            None,
            "term",
            family.name,
            family.span,
        )
        graph.add(shared)
        for occurrence, places in matches:
            load = Load(shared.name, tuple(places[a] for a in order))
            changes.setdefault(occurrence.family, {})[occurrence.value] = load


def _is_worth_it(users: list[Family], axes: Collection[Axis]) -> bool:
    """Whether a value over these axes should have memory, given the families that use it."""
    if len(users) == 1:
        return users[0].reduction is None and len(axes) < len(users[0].axes)
    return len(users) > 2 or all(f.reduction is None for f in users)


def _axes_of(graph: Graph, pattern: Expression) -> dict[Axis, Axis] | None:
    """For each axis of a pattern that of the family to be, as long as what it subscripts; None where it is no pattern."""
    axes: dict[Axis, Axis] = {}
    for load in _loads(pattern):
        for subscript, extent in zip(load.subscripts, graph.extents_of(load.array), strict=True):
            if isinstance(subscript, Constant):
                continue
            if not isinstance(subscript, Axis):
                return None
            if subscript == BATCH:
                axes[BATCH] = BATCH
            elif subscript not in axes:
                assert extent is not None
                axes[subscript] = new_axis(subscript.name, extent)
            elif axes[subscript].extent != extent:
                return None
    return axes if axes and set(axes_in(pattern)) == set(axes) else None


def _loads(root: Expression) -> Iterable[Load]:
    return (n for n in postorder(root) if isinstance(n, Load) and n.subscripts)


def _match(pattern: Expression, value: Expression, axes: dict[Axis, Axis]) -> dict[Axis, Expression] | None:
    """What stands in the place of each axis of the pattern; None where the value is another one. Skeletons are equal."""
    places: dict[Axis, Expression] = {}
    stack: list[tuple[Expression, Expression]] = [(pattern, value)]
    while stack:
        ours, theirs = stack.pop()
        if isinstance(ours, Load) and isinstance(theirs, Load) and ours.subscripts:
            for mine, other in zip(ours.subscripts, theirs.subscripts, strict=True):
                if isinstance(mine, Axis):
                    if places.setdefault(mine, other) != other:
                        return None
                elif mine != other:
                    return None
        elif isinstance(ours, Axis):
            return None  # an index as a value
        else:
            stack.extend(zip(ours.children, theirs.children, strict=True))
    return places if set(places) == set(axes) else None
