"""Static integer expressions as tables: what no address arithmetic computes cheaply is looked up.

In: a graph whose subscripts are any static expressions.  Out: one in which a subscript is affine, one `mod`, `div` or `abs` of
something affine, or a lookup at places that are affine in indices and their digits.

    w[((16*j + n)^2 * 31) mod 65521 mod 256]   →   w[T[j, n]]
"""

from __future__ import annotations

import numpy as np

from ..mathematics.affine import linear
from ..mathematics.expression import Apply, Axis, Constant, Expression, Load, Lookup
from ..mathematics.graph import Graph, Table
from ..mathematics.static_values import evaluate
from ..mathematics.walks import axes_in, is_static, rebuild
from .simplify import map_expressions

#: Most entries of a table that is made for a subscript.
ENTRY_LIMIT = 1 << 22

_CHEAP = frozenset({"mod", "div", "abs", "min", "max", "select"})


def tabulate(graph: Graph) -> Graph:
    """Replace costly static subscripts by tables over the indices that they depend on."""
    result = graph.copy()

    def rule(node: Expression) -> Expression | None:
        if not isinstance(node, Load):
            return None
        subscripts = tuple(_tabulated(result, s) for s in node.subscripts)
        return None if subscripts == node.subscripts else node.with_children(subscripts)

    for name, family in graph.families.items():
        result.families[name] = map_expressions(family, lambda e: rebuild(e, rule))
    return result


def _tabulated(graph: Graph, subscript: Expression) -> Expression:
    axes = axes_in(subscript)
    if not axes or not is_static(subscript) or not _is_costly(subscript):
        return subscript
    shape = tuple(a.size for a in axes)
    if int(np.prod(shape, dtype=object)) > ENTRY_LIMIT:
        return subscript
    grids = dict(zip(axes, np.indices(shape, dtype=np.int64, sparse=True), strict=True))
    values = np.broadcast_to(evaluate(graph, subscript, grids), shape)
    return Lookup(add_table(graph, "subscript", values), axes)


def _is_costly(subscript: Expression) -> bool:
    """More than a linear form of indices, one function of it, or a lookup at forms of indices and their digits."""
    if isinstance(subscript, Lookup):
        return not all(_is_plain(s) for s in subscript.subscripts)
    for atom in linear(subscript).coefficients:
        if isinstance(atom, Axis):
            continue
        if not isinstance(atom, Apply) or atom.function not in _CHEAP:
            return True
        if not all(linear(a).is_affine for a in atom.arguments if a.type == "integer"):
            return True
    return False


def _is_plain(place: Expression) -> bool:
    """A linear form of indices, and of their quotients and remainders by constants."""
    return all(
        isinstance(atom, Axis)
        or (
            isinstance(atom, Apply)
            and atom.function in ("div", "mod")
            and isinstance(atom.arguments[0], Axis)
            and isinstance(atom.arguments[1], Constant)
        )
        for atom in linear(place).coefficients
    )


def add_table(graph: Graph, wish: str, values: np.ndarray) -> str:
    """Add a table, or find an equal one; returns its name."""
    name, number = wish, 1
    while name in graph.tables:
        if np.array_equal(graph.tables[name].values, values):
            return name
        number += 1
        name = f"{wish}_{number}"
    graph.tables[name] = Table(name, np.ascontiguousarray(values))
    return name
