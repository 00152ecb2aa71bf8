"""Reading order: the weights that a step of a time loop sums over lie in memory in the order in which they are read.

In: the families of a kernel that sums.  Out: the same reading copies, which are made once, before the loop.

    ∂h[t, k] = Σ_g Σ_j ∂a[g, t + 1, j] · U[g, k, j]      one run of memory for every k           →   k, g, j: outermost first
    a[g, t, j] = Σ_k U[g, k, j] · h[t − 1, k]            four sums for every j: one run for all  →   j, k, g

With lanes along samples a register tile holds the sums of a few places and reads the weights number by number, each once for all
samples: as few long runs instead of many short ones. (The packing of K. Goto and R. van de Geijn, Anatomy of high-performance
matrix multiplication, 2008, as a layout that all tiles share.)
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from ..kernels.memory import Layout, in_order
from ..kernels.nest_builder import Member
from ..mathematics.expression import BATCH, Axis, Constant, Expression, Load, new_axis
from ..mathematics.graph import Family, Graph
from ..mathematics.walks import rebuild


def in_reading_order(
    members: Sequence[Member], computed: Collection[str], graph: Graph, layouts: dict[str, Layout]
) -> tuple[Sequence[Member], list[str]]:
    """The members reading copies of what is not `computed` in the loop, and the copies' names, which graph and layouts know."""
    family, spread = members[0].family, members[0].spread
    reduction = family.reduction
    if reduction is None or reduction.kind != "sum" or reduction.scatter:
        return members, []
    ranks: dict[Expression, int] = dict.fromkeys(reduction.axes, 1)
    if spread is not None:
        ranks[spread] = 2
    names: dict[str, None] = {}

    def read(node: Expression) -> Expression | None:
        if not isinstance(node, Load) or node.array in computed or not _is_plain(node):
            return None
        layout = layouts[node.array]
        places = sorted(range(len(node.subscripts)), key=lambda n: -layout.strides[n])
        order = sorted(places, key=lambda n: ranks.get(node.subscripts[n], 0))
        summed = sum(ranks.get(s, 0) == 1 for s in node.subscripts)
        worth = spread in node.subscripts or (summed > 1 and ranks.get(node.subscripts[places[-1]], 0) == 1)
        if order == places or not worth:
            return None
        name = f"{node.array} packed {' '.join(map(str, order))}"
        names[name] = None
        if name not in layouts:
            layouts[name] = in_order(layout.data_type, layout.shape, order)
            axes = tuple(new_axis(f"i{n}", e) for n, e in enumerate(graph.extents_of(node.array)) if e)
            graph.families[name] = Family(name, axes, Load(node.array, axes), role="term")
        return Load(name, node.subscripts)

    body = rebuild(family.body, read)
    return [replace(members[0], family=replace(family, body=body)), *members[1:]], list(names)


def _is_plain(load: Load) -> bool:
    """True for a read of real numbers, the same for all samples, by plain indices."""
    plain = all(isinstance(s, Axis | Constant) and s != BATCH for s in load.subscripts)
    return plain and load.type == "real" and len(load.subscripts) > 1
