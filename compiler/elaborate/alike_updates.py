"""Updates of weights that are alike: what an optimizer does with one weight, said of another of the same extents.

In: a graph before and after an optimizer was made for a weight.  Out: `Updates`, which writes the same for other weights.

    h1.w.m, h1.w.next  over [128, 128], of h1.w and its gradient   →   h2.w.m, h2.w.next, of h2.w and its own

A network of many layers has many weights of few shapes: the equations of each shape are resolved once.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ..mathematics.expression import Axis, Expression, Load, new_axis, shared_load
from ..mathematics.graph import Array, Family, Graph
from ..mathematics.walks import rebuild


class Updates:
    """The states, families and updates that a graph has for a weight, and did not have `before`; `gradient` is what the optimizer
    read for it, `shared` the families that are for all weights."""

    def __init__(
        self, graph: Graph, weight: str, gradient: str, before: Graph, shared: Collection[str]
    ) -> None:
        self.graph, self.weight, self.gradient = graph, weight, gradient
        arrays = [a for name, a in graph.arrays.items() if name not in before.arrays]
        self.arrays = [a for a in arrays if a.kind == "state"]  # the clocks are for all weights too
        fresh = [f for name, f in graph.families.items() if name not in before.families]
        self.families = [f for f in fresh if f.name not in shared]
        all_axes = {a for f in self.families for a in (*f.axes, *(f.reduction.axes if f.reduction else ()))}
        self.axes = sorted(all_axes, key=lambda axis: axis.serial)
        self.updates = {k: v for k, v in graph.updates.items() if k not in before.updates}

    def write(self, weight: str, gradient: str) -> bool:
        """The same for another weight of these extents; False, and nothing is written, where names do not allow it."""
        graph, own = self.graph, self.weight + "."
        names = {self.weight: weight, self.gradient: gradient}
        for known in [*[a.name for a in self.arrays], *[f.name for f in self.families]]:
            name = weight + "." + known.removeprefix(own)
            if not known.startswith(own) or name in graph.arrays or name in graph.families:
                return False
            names[known] = name
        if len(set(names.values())) < len(names):
            return False
        for array in self.arrays:
            graph.arrays[names[array.name]] = _renamed(array, names)
        axes = {axis: new_axis(axis.name, axis.size) for axis in self.axes}
        for family in self.families:
            graph.families[names[family.name]] = self._family(family, names, axes)
        graph.updates.update({names[k]: names[v] for k, v in self.updates.items()})
        return True

    def _family(self, family: Family, names: dict[str, str], axes: dict[Axis, Axis]) -> Family:
        """A family of the other weight, over indices of its own."""

        def rule(node: Expression) -> Expression | None:
            if isinstance(node, Axis):
                return axes.get(node)
            if isinstance(node, Load) and node.array in names:
                return shared_load(names[node.array], node.subscripts, node.type)
            return None

        reduction = family.reduction
        if reduction is not None:
            reduction = replace(
                reduction,
                axes=tuple(axes[a] for a in reduction.axes),
                where=tuple(rebuild(c, rule) for c in reduction.where),
            )
        arrays = self.graph.arrays
        return replace(
            family,
            name=names[family.name],
            axes=tuple(axes[a] for a in family.axes),
            body=rebuild(family.body, rule),
            reduction=reduction,
            of=names.get(family.of, family.of),
            span=arrays[names[self.weight]].span if family.span == arrays[self.weight].span else family.span,
        )


def _renamed(array: Array, names: dict[str, str]) -> Array:
    first = array.initializer
    if first is not None:
        # A state of an optimizer begins with a number, which depends on no index.
        first = replace(first, axes=tuple(new_axis(a.name, a.size) for a in first.axes))
    return replace(array, name=names[array.name], initializer=first)
