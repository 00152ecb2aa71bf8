"""Digits: an index of a sum that is read through quotients and remainders becomes one index for each digit.

In: a graph.  Out: the same, where such sums go over rows, columns and planes themselves.

    h[j] = Σ_{i: 9216} w[i, j] · p[i div 144, (i div 12) mod 12, i mod 12]                  flatten, then dense
    →   Σ_{c: 64, y: 12, x: 12} w[144 c + 12 y + x, j] · p[c, y, x]

    ∂p[c, y, x] = Σ_i w[i, j] · ∂h[j] where i div 144 = c, …    →   the conditions say c' = c, y' = y, x' = x, and are solved

The order of the terms is the same, and so are the bits of the sum.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

from ..mathematics.expression import Apply, Axis, Constant, Expression, integer, new_axis
from ..mathematics.graph import Family, Graph
from ..mathematics.walks import postorder, substitute

#: Kinds of sums of which only the order of terms matters; the place of a winner would be another number.
_KINDS = ("sum", "product", "max", "min")


def split_digits(graph: Graph) -> Graph:
    """Split the summed indices of every family into the digits by which they are read."""
    result = graph.copy()
    for name, family in graph.families.items():
        reduction = family.reduction
        if reduction is not None and reduction.kind in _KINDS and not reduction.scatter:
            for axis in reduction.axes:
                if axis.extent is not None:
                    family = _split(family, axis)
        result.families[name] = family
    return result


def _split(family: Family, axis: Axis) -> Family:
    """The family with one index of its sum in digits; itself, if the index is not read so."""
    reduction = family.reduction
    assert reduction is not None
    parts = {
        node: part
        for node in postorder(family.body, *reduction.where)
        if (part := _part(node, axis)) is not None
    }
    places = sorted({1, axis.size} | {p for ends in parts.values() for p in ends if p <= axis.size})
    if len(places) < 3 or any(b % a for a, b in itertools.pairwise(places)):
        return family
    digits = [(p, new_axis(axis.name, q // p)) for p, q in itertools.pairwise(places)]
    digits.reverse()  # the first is the outermost

    def between(low: int, high: int) -> Expression:
        """The digits whose places are in low … high−1, as a number."""
        value: Expression | None = None
        for place, digit in digits:
            if low <= place < high:
                term = digit if place == low else digit * integer(place // low)
                value = term if value is None else value + term
        return integer(0) if value is None else value

    mapping: dict[Expression, Expression] = {node: between(*ends) for node, ends in parts.items()}
    mapping[axis] = between(1, axis.size)
    axes = tuple(d for a in reduction.axes for d in ([d for _, d in digits] if a == axis else [a]))
    where = tuple(substitute(c, mapping) for c in reduction.where)
    return replace(
        family, body=substitute(family.body, mapping), reduction=replace(reduction, axes=axes, where=where)
    )


def _part(node: Expression, axis: Axis) -> tuple[int, int] | None:
    """(low, high) for the digits of an index between two places: (i div low) mod (high / low), with `high` at most the extent."""
    match node:
        case Apply(function="div", arguments=(inner, Constant(value=int(n)))) if inner == axis and n > 1:
            return (n, max(n, axis.size))
        case Apply(function="mod", arguments=(inner, Constant(value=int(n)))) if n > 1:
            if inner == axis:
                return (1, n)
            quotient = _part(inner, axis) if isinstance(inner, Apply) and inner.function == "div" else None
            return None if quotient is None else (quotient[0], quotient[0] * n)
    return None
