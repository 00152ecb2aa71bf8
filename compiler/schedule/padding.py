"""Padding: the border conditions of a weight gradient become zeros around a copy of what it reads.

In: a graph with its equalities solved.  Out: the same, where a sum over many places whose border depends on few outputs

    ∂w[f, c, v, u] = Σ_{batch, y, x: 0 ≤ y+v−1 < 28, 0 ≤ x+u−1 < 28} ∂h[f, y, x] · image[c, y+v−1, x+u−1]

reads a copy of `image` with a border of zeros, and has no conditions. All (v, u) can then be computed together, in one walk over
∂h. In the forward sum the small indices are the summed ones, and conditions bound their loops: nothing is gained there.
"""

from __future__ import annotations

import math
from dataclasses import replace

from ..kernels.products import addends
from ..mathematics.affine import Linear, bounds, linear
from ..mathematics.expression import (
    BATCH,
    Apply,
    Axis,
    Expression,
    Load,
    at_most,
    conjunction,
    less,
    new_axis,
    select,
)
from ..mathematics.graph import Family, Graph
from ..mathematics.walks import axes_in, rebuild
from ..passes.order import recurrent

#: The most outputs that share a border condition, and how much larger than the array its copy may be.
_WINDOW = 64
_GROWTH = 4


def pad(graph: Graph) -> Graph:
    """The graph with padded copies where they pay."""
    result = graph.copy()
    result.families = {}
    copies: dict[object, str] = {}
    loops = {name: frozenset(component) for component in recurrent(graph) for name in component}
    for name, family in graph.families.items():
        if family.reduction is not None and family.reduction.kind == "sum" and not family.reduction.scatter:
            for load in family.loads:
                if load.array not in loops.get(name, ()):  # a copy would have other steps than the recurrence
                    family = _padded(family, load, graph, result, copies)
        result.families[name] = family
    return result


def _padded(family: Family, load: Load, graph: Graph, result: Graph, copies: dict[object, str]) -> Family:
    """The family with one load read from a padded copy, if conditions go away by it."""
    reduction = family.reduction
    assert reduction is not None
    ranges: list[tuple[int, int] | None] = []
    gone: set[Expression] = set()
    for subscript, extent in zip(load.subscripts, graph.extents_of(load.array), strict=True):
        guards = [
            c
            for c in reduction.where
            if extent is not None and subscript.type == "integer" and _keeps_in_range(c, subscript, extent)
        ]
        reach = bounds(subscript, graph) if guards and linear(subscript).is_affine else None
        ranges.append(reach)
        if reach is not None:
            gone.update(guards)
    outputs = [a for a in axes_in(*gone) if a in family.axes]
    summed = [a for a in axes_in(*gone) if a in reduction.axes]
    window = math.prod(_size(a) for a in outputs)
    if not outputs or BATCH in outputs or not 1 < window <= min(_WINDOW, math.prod(_size(a) for a in summed)):
        return family
    if not all(load in factors for _, factors in addends(family.body)):
        return family
    old = [_size(a) for a in _axes_of(load, graph)]
    new = [n if r is None else r[1] - r[0] + 1 for n, r in zip(old, ranges, strict=True)]
    if math.prod(new) > _GROWTH * math.prod(old):
        return family
    starts = tuple(0 if r is None else r[0] for r in ranges)
    name = _copy(load, tuple(new), starts, graph, result, copies)
    moved = Load(name, tuple(s - at if at else s for s, at in zip(load.subscripts, starts, strict=True)))
    where = tuple(c for c in reduction.where if c not in gone)
    body = rebuild(family.body, lambda n: moved if n == load else None)
    return replace(family, body=body, reduction=replace(reduction, where=where))


def _copy(
    load: Load,
    extents: tuple[int, ...],
    starts: tuple[int, ...],
    graph: Graph,
    result: Graph,
    copies: dict[object, str],
) -> str:
    """The name of the padded copy, added to the graph if it is new."""
    key = (load.array, extents, starts)
    if key not in copies:
        originals = graph.extents_of(load.array)
        axes = tuple(
            BATCH if old is None else new_axis(f"p{n}", new)
            for n, (old, new) in enumerate(zip(originals, extents, strict=True))
        )
        places = tuple(a + at if at else a for a, at in zip(axes, starts, strict=True))
        inside: list[Expression] = []
        for place, at, old, new in zip(places, starts, originals, extents, strict=True):
            if at < 0:
                inside.append(at_most(0, place))
            if old is not None and at + new > old:
                inside.append(less(place, old))
        copies[key] = f"{load.array} padded {len(copies) + 1}"
        value = select(conjunction(inside), Load(load.array, places), 0.0)
        result.add(Family(copies[key], axes, value, role="term"))
    return copies[key]


def _axes_of(load: Load, graph: Graph) -> list[Axis]:
    return [BATCH if e is None else Axis("", e, 0) for e in graph.extents_of(load.array)]


def _size(axis: Axis) -> int:
    return 1 if axis.extent is None else axis.extent


def _keeps_in_range(condition: Expression, subscript: Expression, extent: int) -> bool:
    """True for 0 ≤ subscript and subscript < extent, however they are written."""
    if not isinstance(condition, Apply) or condition.function not in ("<", "<=", ">", ">="):
        return False
    left, right = condition.arguments
    if left.type != "integer":
        return False
    if condition.function in (">", ">="):
        left, right = right, left
    distance = linear(right).add(linear(left), -1)  # must be ≥ 0, or > 0
    if condition.function in ("<", ">"):
        distance = distance.add(Linear(1), -1)
    place = linear(subscript)
    below, above = place, linear(extent - 1 - subscript)
    return any(
        distance.constant == side.constant and distance.coefficients == side.coefficients
        for side in (below, above)
    )
