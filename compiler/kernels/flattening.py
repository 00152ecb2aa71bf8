"""Flattening: loads of arrays by subscripts become loads of buffers by offsets.

In: expressions over the axes of a nest, and layouts.  Out: the same over flat buffers, numbered by first use.

    w[i, j]                                  →   @0[10 i + j]
    p[q div 144, q div 12 mod 12, q mod 12]  →   @1[q]              the array flattened, whichever way that is written

What is static in an offset and depends on one axis alone is looked at as numbers: where these make an arithmetic progression, the
offset is linear.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field

import numpy as np

from ..mathematics.affine import Linear, Range, bounds, linear
from ..mathematics.expression import Axis, Expression, Load, Lookup, apply, integer, shared_load
from ..mathematics.graph import Graph
from ..mathematics.static_values import evaluate
from ..mathematics.walks import axes_in, postorder
from ..record import record
from .memory import Layout, table_key
from .nest import Buffer, is_special

#: Behind the name of a family of the kernel that is read at another step than the one that is computed.
OTHER_STEP = " at another step"

#: The longest axis along which offsets are looked at one by one.
_LONGEST = 1 << 20


@record(frozen=False)
class Buffers:
    """The buffers of one nest while it is being built, and accesses to them. `layouts` and `storage` say where things are."""

    graph: Graph
    layouts: Mapping[str, Layout]
    storage: Mapping[str, str]
    keys: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    buffers: list[Buffer] = field(default_factory=list)

    def buffer(self, key: str) -> int:
        """The parameter for the memory of an array, family or table; of another step of it, if the name says so."""
        other = key.endswith(OTHER_STEP)
        name = key.removesuffix(OTHER_STEP)
        name = self.storage.get(name, name)
        key = name + OTHER_STEP if other else name
        if key not in self.keys:
            layout = self.layouts[name]
            self.keys.append(key)
            self.names.append(name)
            self.buffers.append(Buffer(layout.data_type, layout.elements, self._range(name)))
        return self.keys.index(key)

    def _range(self, name: str) -> Range | None:
        if name.startswith("table "):
            values = self.graph.tables[name.removeprefix("table ")].values
            return (
                (int(values.min()), int(values.max())) if values.dtype.kind == "i" and values.size else None
            )
        known = self.graph.families.get(name) or self.graph.arrays[name]
        if known.type != "integer":
            return None
        return bounds(Load(name, (), "integer"), self.graph)

    def offset(self, name: str, subscripts: Sequence[Expression]) -> Expression:
        """Element offset of subscripts in the memory of `name`, in normal form."""
        result: Expression = integer(0)
        strides = self.layouts[name.removesuffix(OTHER_STEP)].strides
        for subscript, stride in zip(subscripts, strides, strict=True):
            result = result + apply("*", subscript, integer(stride))
        return self._straightened(linear(result)).expression()

    def _straightened(self, form: Linear) -> Linear:
        """The form with static atoms over one axis replaced by a multiple of it, where they add up to one."""
        groups: dict[Axis, list[Expression]] = {}
        for atom in form.coefficients:
            if isinstance(atom, Axis) or not _is_plain(atom):
                continue
            axes = axes_in(atom)
            if len(axes) == 1 and axes[0].size <= _LONGEST:
                groups.setdefault(axes[0], []).append(atom)
        for axis, atoms in groups.items():
            places = np.arange(axis.size)
            values = sum(form.coefficients[a] * evaluate(self.graph, a, {axis: places}) for a in atoms)
            steps = np.diff(np.broadcast_to(values, places.shape))
            if steps.size and (steps == steps[0]).all():
                for atom in atoms:
                    form = form.without(atom)
                form = form.add(Linear(int(np.ravel(values)[0]), {axis: 1} if steps[0] else {}))
                if steps[0]:
                    form = form.add(Linear(0, {axis: 1}), int(steps[0]) - 1)
        return form

    def flatten(self, root: Expression) -> Expression:
        """An expression with every load as a load from a flat buffer."""
        offsets: dict[Expression, Expression] = {}
        done: dict[Expression, Expression] = {}
        stack: list[tuple[Expression, bool]] = [(root, False)]
        while stack:
            node, ready = stack.pop()
            if node in done:
                continue
            is_load = isinstance(node, Lookup) or (isinstance(node, Load) and not is_special(node))
            if is_load and node not in offsets:
                offsets[node] = self.offset(self._memory(node), node.children)
            children = (offsets[node],) if is_load else node.children
            if not ready and children:
                stack.append((node, True))
                stack.extend((c, False) for c in reversed(children) if c not in done)
                continue
            below = tuple(done[c] for c in children)
            if not is_load:
                done[node] = node if below == node.children else node.with_children(below)
                continue
            name = self._memory(node)
            guard = "?" if (node.array if isinstance(node, Load) else node.table).endswith("?") else ""  # type: ignore[attr-defined]
            place = (linear(below[0]).expression(),)
            key = f"{self.buffer(name)}{guard}"
            done[node] = (
                shared_load(key, place, node.type)
                if isinstance(node, Load)
                else Lookup(key, place, node.type)
            )
        return done[root]

    @staticmethod
    def _memory(node: Expression) -> str:
        """Under which name the memory of a load is known."""
        if isinstance(node, Load):
            return node.array.removesuffix("?")
        assert isinstance(node, Lookup)
        return table_key(node.table.removesuffix("?"))


def _is_plain(atom: Expression) -> bool:
    """True for what depends on indices and whole tables alone."""
    return not any(
        isinstance(n, Load) or (isinstance(n, Lookup) and n.table.endswith("?")) for n in postorder(atom)
    )
