"""What learning and order cost a layer: multiply-adds of its gradients, and how many sums must wait for each other.

In: a graph, and its sizes as counts.py found them.  Out: the same rows, with `backward` and `path`.

    dense layer of 3 units on 4, on the inputs:     12 forward, 12 backward (∂w alone), path 1
    the same on another layer:                      12 forward, 24 backward (∂w and what it reads), path 2
    recurrent layer over 64 steps:                  path 64 and what is before it

Definitions
- *backward* are the index points of the sums by which the derivatives of the layer's values become those of its weights and of
  what it reads (a sample's; the sum over the batch is left out, as it is forward). What the derivatives of the loss itself take
  counts in the total alone.
- a *path* leads from the inputs to the layer; its length is the number of sums, products, maxima and minima on the longest one,
  each of which must wait for the one before. A recurrence counts for all of its steps, and each of them at least as one.
"""

from __future__ import annotations

from ..mathematics.counts import Counts, owner
from ..mathematics.expression import BATCH
from ..mathematics.graph import Family, Graph
from ..mathematics.lattice import count_points
from .gradient import differentiate
from .order import components
from .recurrence import Recurrence, find


def add_effort(graph: Graph, counts: Counts) -> Counts:
    """The counts of a graph with `backward` (where it has a loss) and `path`. Raises TooManyPoints (see lattice.py)."""
    rows = {row.name: row for row in counts.rows}
    depths = path_lengths(graph)
    for name in graph.needed(graph.outputs or graph.families):
        row = rows.get(owner(graph, name))
        if row is not None:
            row.path = max(row.path, depths[name])
    counts.total.path = max((row.path for row in counts.rows), default=0)
    if graph.loss:
        for row_name, number in backward_multiply_adds(graph).items():
            counts.total.backward += number
            if row_name in rows:
                rows[row_name].backward += number
    return counts


def backward_multiply_adds(graph: Graph) -> dict[str, int]:
    """Layer → index points of the sums over derivatives of its values; '' for sums over no derivative."""
    derived = differentiate(graph)
    found: dict[str, int] = {}
    for name, family in derived.families.items():
        if name in graph.families or family.reduction is None or family.reduction.kind != "sum":
            continue
        read = [derived.families[s] for s in family.sources if s in derived.families]
        layers = [
            owner(graph, f.of or f.name.removeprefix("∂")) for f in read if f.name not in graph.families
        ]
        layer = next((name for name in layers if name in graph.families), "")
        axes = [a for a in (*family.axes, *family.reduction.axes) if a != BATCH]
        found[layer] = found.get(layer, 0) + count_points(derived, axes, family.reduction.where)
    return found


def path_lengths(graph: Graph) -> dict[str, int]:
    """Family → the sums on the longest path that ends in it."""
    depths: dict[str, int] = {}
    for component in components(graph):
        families = [graph.families[name] for name in component]
        before = max((depths[s] for f in families for s in f.sources if s in depths), default=0)
        if len(families) == 1 and component[0] not in families[0].sources:
            depths[component[0]] = before + _own(families[0])
        else:
            loop = find(graph, component)
            depths |= dict.fromkeys(component, before + loop.extent * _step_length(graph, loop))
    return depths


def _step_length(graph: Graph, loop: Recurrence) -> int:
    """The sums that wait for each other within one step of a recurrence."""
    depths: dict[str, int] = {}
    for step in loop.steps:
        members = [step] if isinstance(step, str) else step.members
        own = _own(graph.families[members[0]]) if isinstance(step, str) else 0
        if isinstance(step, Recurrence):
            own = step.extent * _step_length(graph, step)
        before = max(
            (
                depths[load.array]
                for name in members
                for load in graph.families[name].loads
                if load.array in depths and not loop.is_delayed(graph, graph.families[name], load)
            ),
            default=0,
        )
        depths |= dict.fromkeys(members, before + own)
    return max(1, *depths.values())


def _own(family: Family) -> int:
    """1 for what goes through several values one by one."""
    reduction = family.reduction
    return int(reduction is not None and any(a == BATCH or a.size > 1 for a in reduction.axes))
