"""Likeness: what decides how families are computed together, whatever they and their arrays are called.

In: the members of a nest, and the layouts of what they load and store.  Out: a key, equal for members whose nests are equal, and
the names of the memories that they use, in the same order for all of one key.

    h1[batch, j] = tanh(Σ_i w1[i, j] · x[batch, i])   and   h2[batch, j] = tanh(Σ_i w2[i, j] · h1[batch, i])
    have one key where the extents and layouts are equal; their memories are (w1, x, h1) and (w2, h1, h2)

A network of many equal layers is so built a few times. What is told apart too finely is built once more, and no harm is done.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from ..mathematics.expression import Apply, Axis, Constant, Expression, Load, Lookup
from ..mathematics.graph import Graph
from ..mathematics.walks import postorder
from .memory import Layout
from .nest_builder import Member
from .support import support


def likeness(
    members: Sequence[Member], graph: Graph, layouts: Mapping[str, Layout], storage: Mapping[str, str]
) -> tuple[Hashable, tuple[str, ...]]:
    """The key of members, and the names of their memories."""
    found = _Description(members, graph, layouts, storage)
    return tuple(found.parts), tuple(found.memories)


class _Description:
    """The members as a flat list: nodes in order, each with the numbers of its children; axes and arrays by first use."""

    def __init__(
        self,
        members: Sequence[Member],
        graph: Graph,
        layouts: Mapping[str, Layout],
        storage: Mapping[str, str],
    ) -> None:
        self.graph, self.layouts, self.storage = graph, layouts, storage
        self.own = {member.family.name: n for n, member in enumerate(members)}
        self.parts: list[Hashable] = []
        self.numbers: dict[Expression, int] = {}
        self.arrays: dict[str, int] = {}
        self.memories: dict[str, int] = {}
        for member in members:
            family, reduction = member.family, member.family.reduction
            self.parts.append(self._array(family.name))
            self.parts += [
                family.type,
                member.stored,
                self._all(family.axes),
                self._all(member.time),
                -1 if member.spread is None else self._number(member.spread),
                self._number(family.body),
            ]
            if reduction is not None:
                self.parts += [reduction.kind, self._all(reduction.axes), self._all(reduction.where)]
                self.parts += [(self._number(a), self._number(e)) for a, e in reduction.scatter]
                self.parts.append(self._all(support(family, graph)))

    def _all(self, roots: Sequence[Expression]) -> tuple[int, ...]:
        return tuple([self._number(root) for root in roots])

    def _number(self, root: Expression) -> int:
        """The number of a node; it and what it is made of are described before, if they have not been."""
        numbers = self.numbers
        found = numbers.get(root)
        if found is not None:
            return found
        for node in postorder(root):
            if node in numbers:
                continue
            kind = node.__class__
            if kind is Apply:
                self.parts.append((node.function, node.type, *[numbers[c] for c in node.children]))  # type: ignore[attr-defined]
            elif kind is Load:
                array = self._array(node.array)  # type: ignore[attr-defined]
                self.parts.append(("load", array, node.type, *[numbers[c] for c in node.children]))
            elif kind is Lookup:
                self.parts.append(("lookup", node.table, node.type, *[numbers[c] for c in node.children]))  # type: ignore[attr-defined]
            elif kind is Axis:
                self.parts.append(("axis", node.extent))  # type: ignore[attr-defined]
            else:
                assert kind is Constant
                self.parts.append((repr(node.value), node.type))  # type: ignore[attr-defined]
            numbers[node] = len(numbers)
        return numbers[root]

    def _array(self, name: str) -> int | str:
        """The number of an array, described before where it is new; its name where it has no memory."""
        if name not in self.layouts:
            return name
        found = self.arrays.get(name)
        if found is None:
            found = self.arrays[name] = len(self.arrays)
            graph, memory = self.graph, self.storage.get(name, name)
            known = graph.families.get(name) or graph.arrays[name]
            self.parts.append(
                (
                    self.memories.setdefault(memory, len(self.memories)),
                    self.layouts[name],
                    self.layouts[memory],
                    self.own.get(name, -1),
                    name in graph.arrays,
                    graph.extents_of(name),
                    known.type if known.type != "integer" else name,  # its range decides what is clamped
                )
            )
        return found
