"""Sizes of a network: units, connections, distinct weights, multiply-adds and bytes, exactly.

In: a graph as elaborated.  Out: `Counts`, a row for each input, layer and other family that the outputs need; `count_sharing`.

    count(graph).total        for shared_pair: 7 units, 6 connections, 2 weights

Definitions
- a *unit* is an entry of an input that the layers use, or of a layer;
- a *connection* is a pair of an index point and a weight that is loaded there, where the connection exists; the batch is left
  out. A threshold is a connection from a unit that is always 1, as LeCun et al. (1989) count;
- *weights* are the entries of weight arrays that at least one connection uses;
- *multiply-adds* are the index points of sums (a sample's);
- *bytes* are those of the units' values for one sample and of the weights, four for each number.

Nothing is estimated: see lattice.py.
"""

from __future__ import annotations

from dataclasses import field

import numpy as np

from ..record import record
from ..source import Diagnostic
from .affine import bounds, linear
from .expression import BATCH, Apply, Axis, Expression, Load, at_most, integer, less
from .graph import Array, Family, Graph
from .lattice import bound_of, count_points, groups, values_taken
from .walks import axes_in, conjuncts, is_static, substitute


@record(frozen=False)
class Row:
    """The sizes of one input or layer, the families inside of it included. `backward` and `path` are those of effort.py."""

    name: str
    kind: str
    extents: tuple[int, ...] = ()
    units: int = 0
    connections: int = 0
    weights: int = 0
    multiply_adds: int = 0
    bytes: int = 0
    backward: int = 0
    path: int = 0

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "kind": self.kind,
            "extents": list(self.extents),
            "units": self.units,
            "connections": self.connections,
            "weights": self.weights,
            "multiply_adds": self.multiply_adds,
            "bytes": self.bytes,
            "multiply_adds_backward": self.backward,
            "path": self.path,
        }


@record(frozen=False)
class Counts:
    """rows in file order; `total` adds them up, but counts weights that several rows share once."""

    rows: list[Row] = field(default_factory=list)
    total: Row = field(default_factory=lambda: Row("total", "total"))

    def as_json(self) -> dict[str, object]:
        total = self.total.as_json()
        keys = ("units", "connections", "weights", "multiply_adds", "multiply_adds_backward", "bytes", "path")
        return {**{k: total[k] for k in keys}, "families": [r.as_json() for r in self.rows]}


@record
class Use:
    """A weight loaded in a family: over which axes and under which conditions."""

    family: Family
    load: Load
    axes: tuple[Axis, ...]
    conditions: tuple[Expression, ...]


def count(graph: Graph) -> Counts:
    """The sizes of everything that the outputs of a graph need. Raises TooManyPoints (see lattice.py) for monstrous tables."""
    wanted = graph.needed(graph.outputs or graph.families)
    families = [f for f in graph.families.values() if f.name in wanted and f.role in ("layer", "let", "term")]
    result = Counts()
    rows: dict[str, Row] = {}
    loaded = {s for f in families for s in f.sources}
    for array in graph.inputs:
        if array.name in loaded:
            row = rows[array.name] = Row(array.name, "input", array.extents)
            row.units = _product(array.extents)
            row.bytes = 4 * row.units
    used: dict[str, list[Use]] = {}
    for family in families:
        name = owner(graph, family.name)
        main = graph.families[name]
        row = rows.setdefault(name, Row(name, main.role, main.extents))
        if family.name == name and family.role == "layer":
            row.units = _product(family.extents)
        if family.name == name:
            row.bytes += 4 * _product(family.extents)
        for use in uses(graph, family):
            row.connections += count_points(graph, use.axes, use.conditions)
            used.setdefault(use.load.array, []).append(use)
        if family.reduction is not None and family.reduction.kind == "sum":
            axes = [a for a in (*family.axes, *family.reduction.axes) if a != BATCH]
            row.multiply_adds += count_points(graph, axes, _conditions(family))
    shared = 0
    for name, all_uses in used.items():
        array = graph.arrays[name]
        number = distinct(graph, array, all_uses)
        shared += number
        seen: dict[str, list[Use]] = {}
        for use in all_uses:
            seen.setdefault(owner(graph, use.family.name), []).append(use)
        for n, (row_name, own) in enumerate(seen.items()):
            rows[row_name].weights += number if len(seen) == 1 else distinct(graph, array, own)
            if n == 0:
                rows[row_name].bytes += 4 * _product(array.extents)
    order = {a.name: n for n, a in enumerate(graph.inputs)}
    result.rows = sorted(rows.values(), key=lambda r: order.get(r.name, len(order)))
    total = result.total
    for row in result.rows:
        total.units += row.units
        total.connections += row.connections
        total.multiply_adds += row.multiply_adds
        total.bytes += row.bytes
    total.weights = shared
    return result


def count_sharing(graph: Graph) -> dict[str, tuple[int, int]]:
    """Family → (connections, distinct weights) for every family that loads a weight."""
    found: dict[str, tuple[int, int]] = {}
    for family in graph.families.values():
        own = uses(graph, family)
        if not own:
            continue
        by_weight: dict[str, list[Use]] = {}
        for use in own:
            by_weight.setdefault(use.load.array, []).append(use)
        connections = sum(count_points(graph, u.axes, u.conditions) for u in own)
        found[family.name] = (
            connections,
            sum(distinct(graph, graph.arrays[w], us) for w, us in by_weight.items()),
        )
    return found


def unused_weights(graph: Graph, limit: int = 4_000_000) -> list[Diagnostic]:
    """Warnings about declared weights of which no connection uses some entries.

    Weights whose connections must be visited one by one, more than `limit` of them, are passed over.
    """
    used: dict[str, list[Use]] = {}
    for family in graph.families.values():
        for use in uses(graph, family):
            used.setdefault(use.load.array, []).append(use)
    warnings: list[Diagnostic] = []
    for array in graph.weights:
        own = used.get(array.name, [])
        if not own or array.span.source.path.startswith("<prelude>") or any(_points(u) > limit for u in own):
            continue
        number, entries = distinct(graph, array, own), existing(graph, array)
        if number < entries:
            some = f"'{array.name}' has {entries:,} entries, and connections use only {number:,} of them"
            warnings.append(
                Diagnostic(
                    "W502" if number else "W501",
                    some if number else f"no connection uses the weight '{array.name}'",
                    array.span,
                    help="the others never change; the map, or the extents, may be off by one",
                )
            )
    return warnings


def _points(use: Use) -> int:
    """How many points may have to be visited to know what a use reaches."""
    odd = [s for s in use.load.subscripts if is_static(s) and not linear(s).is_affine]
    odd += [c for c in use.conditions if is_static(c) and bound_of(c) is None]
    return _product(tuple(a.size for a in axes_in(*odd)))


# ------------------------------------------------------------------------------------------------------ parts


def owner(graph: Graph, name: str) -> str:
    """The layer that a family belongs to: `hidden.y.sum` to `hidden`."""
    first = name.split(".")[0]
    return first if first in graph.families else name


def uses(graph: Graph, family: Family) -> list[Use]:
    """The loads of weights in a family's body, each with its axes and conditions.

    A load inside of a select takes part where its branch is taken.
    """
    axes = tuple(
        a for a in (*family.axes, *(family.reduction.axes if family.reduction else ())) if a != BATCH
    )
    found: dict[Load, tuple[Expression, ...] | None] = {}
    stack: list[tuple[Expression, tuple[Expression, ...]]] = [(family.body, ())]
    seen: set[tuple[Expression, tuple[Expression, ...]]] = set()
    while stack:
        node, path = stack.pop()
        if (node, path) in seen:
            continue
        seen.add((node, path))
        if isinstance(node, Load):
            array = graph.arrays.get(node.array)
            if array is not None and array.kind == "weight":
                # The same connection on two paths is one; if it is under different conditions, it is under none of them.
                found[node] = path if found.get(node, path) == path else ()
        if isinstance(node, Apply) and node.function == "select":
            condition, then, otherwise = node.arguments
            stack.append((condition, path))
            stack.append((then, (*path, *conjuncts(condition))))
            stack.append((otherwise, path))
        else:
            stack.extend((c, path) for c in node.children)
    return [Use(family, load, axes, (*_conditions(family), *(path or ()))) for load, path in found.items()]


def _conditions(family: Family) -> tuple[Expression, ...]:
    return family.reduction.where if family.reduction is not None else ()


def distinct(graph: Graph, array: Array, all_uses: list[Use]) -> int:
    """How many entries of a weight at least one of these connections uses."""
    parts = [_reached(graph, array, use) for use in all_uses]
    entries = existing(graph, array)
    sizes = [_size(p) for p in parts]
    if max(sizes, default=0) >= entries:
        return entries
    if len(parts) == 1:
        return sizes[0]
    if all(_same(parts[0], p) for p in parts[1:]):
        return sizes[0]
    whole = np.zeros(array.extents, dtype=bool)
    for part in parts:
        whole |= _written_out(part, array.extents)
    return int(np.count_nonzero(whole))


Reached = list[tuple[tuple[int, ...], np.ndarray]]  # dimensions, and which of their entries are used


def _reached(graph: Graph, array: Array, use: Use) -> Reached:
    """The entries that a load reaches, as a product over groups of dimensions that have no axis in common."""
    conditions = list(use.conditions)
    for subscript, extent in zip(use.load.subscripts, array.extents, strict=True):
        conditions += [at_most(0, subscript), less(subscript, integer(extent))]
    if array.where is not None and array.initializer is not None:
        conditions += conjuncts(
            substitute(array.where, dict(zip(array.initializer.axes, use.load.subscripts, strict=True)))
        )
    conditions = [c for c in conditions if is_static(c)]
    joined = [axes_in(s) for s in use.load.subscripts] + [axes_in(c) for c in conditions]
    found: Reached = []
    done: set[int] = set()
    for group in groups(use.axes, joined):
        dimensions = tuple(
            n for n, s in enumerate(use.load.subscripts) if any(a in group for a in axes_in(s))
        )
        if not dimensions:
            continue
        done.update(dimensions)
        inside = [c for c in conditions if any(a in group for a in axes_in(c))]
        subscripts = [use.load.subscripts[n] for n in dimensions]
        extents = [array.extents[n] for n in dimensions]
        if all(is_static(s) for s in subscripts):
            found.append((dimensions, values_taken(graph, group, inside, subscripts, extents)))
        else:
            for n, s, e in zip(dimensions, subscripts, extents, strict=True):
                found.append(((n,), _possible(graph, s, e)))
    for n, (subscript, extent) in enumerate(zip(use.load.subscripts, array.extents, strict=True)):
        if n not in done:
            found.append(((n,), _possible(graph, subscript, extent)))
    return found


def _possible(graph: Graph, subscript: Expression, extent: int) -> np.ndarray:
    """Entries that a constant, or a class number of the data, can reach."""
    taken = np.zeros(extent, dtype=bool)
    ends = bounds(subscript, graph) or (0, extent - 1)
    taken[max(0, ends[0]) : max(0, min(extent - 1, ends[1]) + 1)] = True
    return taken


def _size(reached: Reached) -> int:
    total = 1
    for _, taken in reached:
        total *= int(np.count_nonzero(taken))
    return total


def _same(a: Reached, b: Reached) -> bool:
    return len(a) == len(b) and all(
        x[0] == y[0] and np.array_equal(x[1], y[1]) for x, y in zip(a, b, strict=True)
    )


def _written_out(reached: Reached, extents: tuple[int, ...]) -> np.ndarray:
    whole = np.ones(extents, dtype=bool)
    for dimensions, taken in reached:
        shape = [1] * len(extents)
        order = sorted(range(len(dimensions)), key=lambda n: dimensions[n])
        for n in dimensions:
            shape[n] = extents[n]
        whole &= np.transpose(taken, order).reshape(shape)
    return whole


def existing(graph: Graph, array: Array) -> int:
    """The entries of a weight that exist: all, or those where its condition holds."""
    if array.where is None or array.initializer is None:
        return _product(array.extents)
    return count_points(graph, array.initializer.axes, conjuncts(array.where))


def _product(extents: tuple[int, ...]) -> int:
    total = 1
    for extent in extents:
        total *= extent
    return total
