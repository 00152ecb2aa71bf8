"""Builds nests: families over the same axes become one flat computation in canonical form.

In: families, and the layouts of what they load and store (memory.py).  Out: `Nest` (nest.py), and the names of its buffers.

Axes are known by position, buffers by first use (flattening.py), an axis of extent 1 is none, and the rest is put into canonical
form (canonical.py), so that equal work has equal nests.

A family of a time loop is computed one step at a time: its time axis is the value TIME, not an axis of the nest. What it reads of
the kernel's own results at another step is memory like any other, and a buffer of its own, since the two never overlap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from ..mathematics.affine import linear
from ..mathematics.expression import BATCH, Axis, Constant, Expression, Load, apply, integer, less
from ..mathematics.graph import Family, Graph
from ..mathematics.walks import rebuild, substitute
from ..record import record
from .canonical import simplify
from .flattening import OTHER_STEP, Buffers
from .guards import clamp, guard_subscripts
from .memory import Layout
from .nest import TIME, VALID, Nest, Real, Result, total
from .support import support


@record
class Member:
    """A family of a nest, whether it is stored, and which of its axes are time, that of the outermost loop first.

    `spread`: an axis that the other families lack; each of its values is a result of its own.
    """

    family: Family
    stored: bool = True
    time: tuple[Axis, ...] = ()
    spread: Axis | None = None


@record
class _Part:
    """A member, or one value of its spread axis: the family over the kernel's axes, and where it is in the member's."""

    family: Family
    subscripts: tuple[Expression, ...]
    stored: bool
    number: int = 0


def _parts(member: Member) -> list[_Part]:
    family = member.family
    if member.spread is None:
        return [_Part(family, family.axes, member.stored)]
    axes = tuple(a for a in family.axes if a != member.spread)
    parts = []
    for n in range(member.spread.size):
        value: dict[Expression, Expression] = {member.spread: integer(n)}
        places = tuple(value.get(a, a) for a in family.axes)
        parts.append(
            _Part(replace(family, axes=axes, body=substitute(family.body, value)), places, member.stored, n)
        )
    return parts


def build(
    members: Sequence[Member],
    graph: Graph,
    layouts: Mapping[str, Layout],
    *,
    capacity: int,
    real: Real,
    storage: Mapping[str, str] | None = None,
) -> tuple[Nest, tuple[str, ...]]:
    """The nest of families over the same axes (only the first may reduce), and the names of its buffers.

    Later members read earlier ones at their own axes. `storage` says whose memory a family is stored in, if not its own.
    """
    parts = [part for member in members for part in _parts(member)]
    first = parts[0].family
    own = {m.family.name: m.family.axes.index(m.spread) if m.spread else None for m in members if m.time}
    work = Buffers(graph, layouts, storage or {})
    axes = tuple(_canonical("a", n, a, capacity) for n, a in enumerate(first.axes))
    reduction = first.reduction
    inner = tuple(_canonical("r", n, a, capacity) for n, a in enumerate(reduction.axes if reduction else ()))
    renamed: dict[Expression, Expression] = dict(zip(first.axes, axes, strict=True))
    sums, several, results = first.body, None, first.axes
    if reduction is not None and members[0].spread is not None:
        sums, several = members[0].family.body, _canonical("s", len(axes), members[0].spread, capacity)
        renamed[members[0].spread], results = several, (*first.axes, members[0].spread)
    if reduction is not None:
        renamed |= dict(zip(reduction.axes, inner, strict=True))
    for old, new in list(renamed.items()):
        if isinstance(new, Axis) and new.size == 1:
            renamed[old] = integer(0)
    steps = math.prod(a.size for a in members[0].time)
    renamed |= _time_values(members[0].time)
    where: list[Expression] = []
    if reduction is not None:
        for condition in reduction.where:
            guarded = guard_subscripts(condition, graph, sure=False, conditions=True)
            where.append(_other_steps(guarded, own, first.axes))
        if BATCH in reduction.axes and capacity > 1:
            where.append(less(BATCH, VALID))
        body = guard_subscripts(sums, graph, sure=True, conditions=bool(reduction.where))
    else:
        body = guard_subscripts(sums, graph, sure=True, conditions=False)
    body = _other_steps(body, own, first.axes)
    bounds = support(members[0].family, graph)

    def finish(expression: Expression) -> Expression:
        return work.flatten(substitute(expression, renamed))

    values: dict[Expression, Expression] = {}
    flat = finish(body)
    term = None
    position = None
    kind = ""
    if reduction is not None:
        kind, term = reduction.kind, flat
        for part in parts:
            if part.family.name == first.name:
                values[Load(first.name, part.subscripts, first.type)] = total(first.type, part.number)
        if kind.startswith("arg"):
            position = _row_major(reduction.axes, capacity)
            position = linear(substitute(position, renamed)).expression()
    else:
        values[Load(first.name, parts[0].subscripts, first.type)] = flat
    stores: list[tuple[str, tuple[Expression, ...], Expression]] = []
    for part in parts:
        family = part.family
        across: dict[Expression, Expression] = dict(zip(family.axes, first.axes, strict=True))
        places = tuple(across.get(s, s) for s in part.subscripts)
        if family.name != first.name or (reduction is None and family is not first):
            ready = guard_subscripts(family.body, graph, sure=True, conditions=False)
            ready = substitute(_other_steps(ready, own, family.axes), across)
            # Loads of members become their values, which are over the canonical axes already: keep them apart.
            marks: dict[Expression, Expression] = {
                load: Load(f" member {n}", (), load.type) for n, load in enumerate(values)
            }
            back = {mark: values[load] for load, mark in marks.items()}
            ready = substitute(ready, marks)
            ready = work.flatten(substitute(ready, renamed))
            values[Load(family.name, places, family.type)] = substitute(ready, back)
        if part.stored:
            stores.append((family.name, places, values[Load(family.name, places, family.type)]))
    stored = tuple(
        Result(work.buffer(name), work.offset(name, [substitute(s, renamed) for s in places]), value)
        for name, places, value in stores
    )
    nest = Nest(
        axes=tuple(renamed[a] for a in results if isinstance(renamed[a], Axis)),  # type: ignore[misc]
        kind=kind,
        reduced=tuple(a for a in inner if a.size > 1),
        where=tuple(finish(c) for c in where),
        term=term,
        results=stored,
        buffers=(),
        real=real,
        position=position,
        time=steps,
        several=several,
        support=tuple(bound for bound in map(finish, bounds) if linear(bound).is_affine),
    )
    if reduction is not None and reduction.scatter:
        nest = _scatter(nest, first, renamed, work, finish)
    nest = replace(nest, buffers=tuple(work.buffers))
    return simplify(nest), tuple(work.names)


def _time_values(axes: Sequence[Axis]) -> dict[Expression, Expression]:
    """Each time axis as a part of TIME, which counts the steps of loops within loops in row-major order."""
    values: dict[Expression, Expression] = {}
    inner = 1
    for n in reversed(range(len(axes))):
        value = apply("div", TIME, integer(inner))
        values[axes[n]] = value if n == 0 else apply("mod", value, integer(axes[n].size))
        inner *= axes[n].size
    return values


def _other_steps(root: Expression, own: Mapping[str, int | None], axes: tuple[Axis, ...]) -> Expression:
    """The expression, reading the kernel's own families from memory where it does not read the place that is computed.

    `own`: the families, and where their spread axis is.
    """

    def rule(node: Expression) -> Expression | None:
        if not isinstance(node, Load) or node.array.removesuffix("?") not in own:
            return None
        name, guard = node.array.removesuffix("?"), "?" if node.array.endswith("?") else ""
        spread, places = own[name], list(node.subscripts)
        if spread is not None and isinstance(places[spread], Constant):
            del places[spread]
        return None if tuple(places) == axes else Load(name + OTHER_STEP + guard, node.subscripts, node.type)

    return rebuild(root, rule)


def _canonical(letter: str, number: int, axis: Axis, capacity: int) -> Axis:
    """An axis known by its position alone, so that equal nests are equal."""
    return _numbered(letter, number, capacity if axis == BATCH else axis.size)


@lru_cache(maxsize=1 << 12)
def _numbered(letter: str, number: int, extent: int) -> Axis:
    return Axis(f"{letter}{number}", extent, -2 * number - (1 if letter == "a" else 2))


def _row_major(axes: Sequence[Axis], capacity: int) -> Expression:
    position: Expression = integer(0)
    for axis in axes:
        position = apply("*", position, integer(capacity if axis == BATCH else axis.size)) + axis
    return position


def _scatter(
    nest: Nest,
    family: Family,
    renamed: Mapping[Expression, Expression],
    work: Buffers,
    finish: Callable[[Expression], Expression],
) -> Nest:
    """The nest that adds each term at a place that depends on data. The result must be zero before."""
    assert family.reduction is not None and family.reduction.kind == "sum", "only sums are scattered"
    targets = {axis: clamp(place, axis.size, work.graph) for axis, place in family.reduction.scatter}
    targets = {
        axis: guard_subscripts(place, work.graph, sure=True, conditions=bool(family.reduction.where))
        for axis, place in targets.items()
    }
    places = [finish(targets[a]) if a in targets else substitute(a, renamed) for a in family.axes]
    moved = {renamed[a]: place for a, place in zip(family.axes, places, strict=True) if a in targets}
    assert nest.term is not None
    term = substitute(nest.term, moved)
    return replace(
        nest,
        kind="scatter",
        axes=tuple(a for a in nest.axes if a not in moved),
        term=term,
        where=tuple(substitute(c, moved) for c in nest.where),
        results=(Result(work.buffer(family.name), work.offset(family.name, places), term),),
    )
