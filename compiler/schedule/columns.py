"""Columns: a sum that conditions hold to a window becomes products at every place, and a sum of those that meet.

In: the families of a kernel that reduces.  Out: the same work as two kernels, where the cost model finds that faster.

    ∂x[c, v] = Σ_{f, y: 0 ≤ v − 2y < 5} ∂h[f, y] · w[f, c, v − 2y]
    →   column[c, y, k] = Σ_f ∂h[f, y] · w[f, c, k]              no condition, and k is innermost in the weights
        ∂x[c, v] = Σ_{y: 0 ≤ v − 2y < 5} column[c, y, v − 2y]    no product

The products are then a plain contraction, of full vectors; only what they come to is added up under conditions, and there is
less of it by the length of the remaining sum. (That convolutions are products of matrices of columns: K. Chellapilla, S. Puri,
P. Simard, High Performance Convolutional Neural Networks for Document Processing, 2006.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field, replace

from ..kernels.memory import Layout
from ..kernels.nest import Nest
from ..kernels.nest_builder import Member
from ..kernels.tiling import Choice
from ..mathematics.affine import Linear, bounds, normalise, not_negative
from ..mathematics.expression import BATCH, Apply, Axis, Expression, Load, Lookup, new_axis
from ..mathematics.graph import Family, Graph, Reduction
from ..mathematics.walks import axes_in, postorder, rebuild, substitute
from ..record import record

#: Kernels of fewer cycles are left as they are.
_WORTH_TRYING = 3_000.0
#: A kernel that takes so many times what it would at best is not improved by columns.
_GOOD_ENOUGH = 1.5
#: Cycles that one more kernel costs.
_CALL = 100.0
#: The most elements that all columns have together.
_MOST = 1 << 17


@record
class _Window:
    """Where `low` ≤ outer + stride · inner < low + length, and nowhere else, terms are added up."""

    outer: Axis
    inner: Axis
    stride: int
    low: int
    length: int


@record(frozen=False)
class Columns:
    """`weigh` gives the plan of a kernel and its cycles.  `lay_out` makes the layout of a new family."""

    graph: Graph
    layouts: dict[str, Layout]
    build: Callable[[Sequence[Member]], tuple[Nest, tuple[str, ...]]]
    weigh: Callable[[Sequence[Member]], Choice]
    lay_out: Callable[[Family], Layout]
    #: What was found for a nest: whether columns are faster.
    known: dict[Nest, bool] = field(default_factory=dict)

    def divide(self, members: Sequence[Member]) -> list[Sequence[Member]]:
        """The kernels in place of one: itself, or the columns and what adds them up."""
        first = members[0].family
        reduction = first.reduction
        if reduction is None or reduction.kind != "sum" or reduction.scatter or not reduction.where:
            return [members]
        nest, _ = self.build(members)
        if self.known.get(nest) is False:
            return [members]
        _, cycles, ideal = self.weigh(members)
        parts = None
        if cycles >= max(_WORTH_TRYING, _GOOD_ENOUGH * ideal):
            parts = _in_columns(first, self.graph)
        if parts is None:
            self.known[nest] = False
            return [members]
        columns, whole = parts
        if columns.name not in self.graph.families:
            self.graph.families[columns.name] = columns
            self.layouts[columns.name] = self.lay_out(columns)
        divided: list[Sequence[Member]] = [
            [Member(columns)],
            [replace(members[0], family=whole), *members[1:]],
        ]
        if nest not in self.known:
            large = self.layouts[columns.name].elements > _MOST
            self.known[nest] = not large and sum(self.weigh(d).cycles for d in divided) + _CALL < 0.9 * cycles
        return divided if self.known[nest] else [members]


def _in_columns(family: Family, graph: Graph) -> tuple[Family, Family] | None:
    """The columns of a sum and the family that adds them up; None where conditions do not hold it to windows."""
    reduction = family.reduction
    assert reduction is not None
    windows, rest = _windows(family, reduction)
    left = [a for a in reduction.axes if all(a != w.inner for w in windows)]
    if not windows or not left:
        return None
    places = {w: new_axis(w.outer.name, w.length) for w in windows}
    moved: dict[Expression, Expression] = {
        w.outer: place + w.low - w.stride * w.inner for w, place in places.items()
    }
    body = _tidy(substitute(family.body, moved))
    where = tuple(_tidy(substitute(c, moved)) for c in rest)
    inner = {w.inner for w in windows} | set(places.values())
    if any(inner & set(axes_in(c)) for c in where) or not _in_range(body, inner, graph):
        return None
    outer = {w.outer for w in windows}
    axes = (
        *(a for a in family.axes if a not in outer),
        *(a for a in reduction.axes if a in inner),
        *(places[w] for w in windows),
    )
    name = f"{family.name} in columns"
    columns = Family(name, axes, body, Reduction("sum", tuple(left), where), role="term")
    back: dict[Expression, Expression] = {
        place: normalise(w.outer + w.stride * w.inner - w.low) for w, place in places.items()
    }
    load = Load(name, tuple(back.get(a, a) for a in axes), family.type)
    summed = tuple(a for a in reduction.axes if a in inner)
    kept = tuple(c for c in reduction.where if c not in rest)
    return columns, replace(family, body=load, reduction=Reduction("sum", summed, kept))


def _windows(family: Family, reduction: Reduction) -> tuple[list[_Window], list[Expression]]:
    """The windows, in order of the family's axes, and the conditions that are none of theirs."""
    found: dict[tuple[Axis, Axis], list[tuple[Expression, Linear]]] = {}
    for condition in reduction.where:
        forms = list(not_negative(condition))
        if len(forms) != 1 or not forms[0].is_affine:
            continue
        axes = list(forms[0].coefficients)
        outer = [a for a in axes if a in family.axes and a != BATCH]
        inner = [a for a in axes if a in reduction.axes and a != BATCH]
        if len(axes) == 2 and len(outer) == len(inner) == 1 and abs(forms[0].coefficients[outer[0]]) == 1:
            pair: tuple[Axis, Axis] = (outer[0], inner[0])  # type: ignore[assignment]
            found.setdefault(pair, []).append((condition, forms[0]))
    windows: list[_Window] = []
    taken: set[Axis] = set()
    used: list[Expression] = []
    for (o, i), pairs in sorted(found.items(), key=lambda item: family.axes.index(item[0][0])):
        strides = {f.coefficients[i] * f.coefficients[o] for _, f in pairs}
        lows = [-f.constant for _, f in pairs if f.coefficients[o] == 1]  # o + s·i + c ≥ 0
        highs = [f.constant for _, f in pairs if f.coefficients[o] == -1]  # −o − s·i + c ≥ 0
        if len(strides) != 1 or not lows or not highs or {o, i} & taken:
            continue
        low, high = max(lows), min(highs)
        if high >= low:
            windows.append(_Window(o, i, strides.pop(), low, high - low + 1))
            taken |= {o, i}
            used += [c for c, _ in pairs]
    return windows, [c for c in reduction.where if c not in used]


def _tidy(root: Expression) -> Expression:
    """The expression with every subscript, and both sides of every comparison, in normal form."""

    def rule(node: Expression) -> Expression | None:
        if isinstance(node, Load | Lookup):
            return node.with_children(tuple(map(normalise, node.subscripts)))
        if isinstance(node, Apply) and node.type != "integer" and node.arguments[0].type == "integer":
            return node.with_children(
                tuple(normalise(a) if a.type == "integer" else a for a in node.arguments)
            )
        return None

    return rebuild(root, rule)


def _in_range(body: Expression, inner: set[Axis], graph: Graph) -> bool:
    """True where no load depends on places and columns in such a way that it may leave its array."""
    for node in postorder(body):
        if not isinstance(node, Load | Lookup):
            continue
        extents = (
            graph.extents_of(node.array)
            if isinstance(node, Load)
            else tuple(graph.tables[node.table].values.shape)
        )
        for subscript, extent in zip(node.subscripts, extents, strict=True):
            if inner & set(axes_in(subscript)):
                reach = bounds(subscript, graph)
                if extent is None or reach is None or reach[0] < 0 or reach[1] >= extent:
                    return False
    return True
