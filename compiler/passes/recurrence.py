"""Recurrences: families that need themselves, or each other, at an earlier (or later) place along one axis.

In: a graph.  Out: a `Recurrence` for each of its strongly connected components: which axis of each member is time, whether time
runs up or down, and the members in the order in which one step needs them.

    a[g, t, j] = Σ_k U[g, k, j] · h[t − 1, k];  c[t, j] = … c[t − 1, j] …;  h[t, j] = … c[t, j] …
    →   Recurrence(axes {a: t, c: t, h: t}, extent T, upwards, steps (a, c, h))

An axis is time if every read within the component is at (the reader's own place + a constant), all of these constants ≤ 0, or
all ≥ 0. A read at a summed index s counts as delayed where a condition of the sum says s < t. What is read without a delay must
be there before: an order of one step. If reads without a delay go round in a circle, that circle must be a recurrence along
another axis, and is a loop within the loop: h[y, x] of h[y − 1, x] and h[y, x − 1].
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field

from ..mathematics.affine import distance, linear
from ..mathematics.circles import circle, pairs_around
from ..mathematics.expression import Axis, Expression, Load
from ..mathematics.graph import Family, Graph
from ..record import record
from ..source import Diagnostic, Note
from .order import components, grouped_in_order, recurrent


@record(eq=False)
class Recurrence:
    """One loop. `axes`: the axis of each member that is time.  `steps`: what one step computes, in order; a Recurrence among
    them is a loop within the loop."""

    axes: Mapping[str, Axis]
    extent: int
    reverse: bool
    steps: tuple[str | Recurrence, ...]

    @property
    def members(self) -> list[str]:
        """All families of the loop and of the loops within, in order."""
        return [m for s in self.steps for m in ([s] if isinstance(s, str) else s.members)]

    def is_delayed(self, graph: Graph, reader: Family, load: Load) -> bool:
        """True for a read, by one member of another, of what another step has computed."""
        if load.array not in self.axes or reader.name not in self.axes:
            return False
        position = graph.families[load.array].axes.index(self.axes[load.array])
        form = linear(load.subscripts[position])
        return form.constant != 0 or form.coefficients != {self.axes[reader.name]: 1}


@record(frozen=False)
class RecurrenceError(Exception):
    """A component in which no axis can be time. `reads`: (reader, what is read) along a circle that shows it."""

    message: str
    help: str = ""
    reads: list[tuple[Family, Load]] = field(default_factory=list)

    def __str__(self) -> str:
        return self.message


def recurrences(graph: Graph) -> list[Recurrence]:
    """The recurrence of every component of a graph, in order. Raises RecurrenceError."""
    return [find(graph, component) for component in recurrent(graph)]


def in_steps(graph: Graph) -> tuple[Graph, list[Recurrence]]:
    """The graph in order, the members of every recurrence in the order of a step; and the recurrences."""
    found: list[Recurrence] = []
    names: list[str] = []
    for component in components(graph):
        if len(component) > 1 or component[0] in graph.families[component[0]].sources:
            found.append(find(graph, component))
            names += found[-1].members
        else:
            names += component
    result = graph.copy()
    result.families = {name: graph.families[name] for name in names}
    return result, found


def check(graph: Graph) -> list[Diagnostic]:
    """An error for every component that is not a recurrence that can be computed."""
    found: list[Diagnostic] = []
    for component in recurrent(graph):
        try:
            find(graph, component)
        except RecurrenceError as error:
            first = error.reads[0][0]
            notes = [
                Note(family.span, f"'{family.name}' is here")
                for family in dict.fromkeys(f for f, _ in error.reads[1:])
                if family.span != first.span
            ]
            found.append(Diagnostic("E211", error.message, first.span, "", tuple(notes), error.help))
    return found


@record
class _Read:
    """`load` in the family `reader`, of another member of the component."""

    reader: Family
    load: Load
    conditions: tuple[Expression, ...]


def find(graph: Graph, component: Sequence[str]) -> Recurrence:
    """The loop of a component. Raises RecurrenceError where there is none."""
    reads = [
        _Read(graph.families[name], load, _conditions(graph.families[name]))
        for name in component
        for load in graph.families[name].loads
        if load.array in component
    ]
    return _loop(graph, list(component), reads, {name: frozenset() for name in component})


def _conditions(family: Family) -> tuple[Expression, ...]:
    return family.reduction.where if family.reduction is not None else ()


def _loop(
    graph: Graph, members: list[str], reads: list[_Read], taken: Mapping[str, frozenset[Axis]]
) -> Recurrence:
    """The loop of members that read each other; `taken` are the axes of the loops around it."""
    best: tuple[tuple[int, int], dict[str, Axis], list[int]] | None = None
    problem: RecurrenceError | None = None
    for axes in _assignments(graph, members, reads, taken):
        try:
            delays = _delays(graph, axes, reads)
        except RecurrenceError as error:
            problem = problem or error
            continue
        circles = _circles(members, [r for r, d in zip(reads, delays, strict=True) if not d])
        merit = (
            len(circles),
            0 if circles else next(iter(axes.values())).size,
        )  # one loop, of the fewest steps
        if best is None or merit < best[0]:
            best = merit, axes, delays
    if best is None:
        raise problem or _no_axis(graph, members, reads)
    _, axes, delays = best
    immediate = [r for r, d in zip(reads, delays, strict=True) if not d]
    steps: list[str | Recurrence] = []
    for inner in grouped_in_order(_needs(members, immediate)):
        within = [r for r in immediate if r.reader.name in inner and r.load.array in inner]
        if within:
            steps.append(_loop(graph, inner, within, {m: taken[m] | {axes[m]} for m in inner}))
        else:
            steps += inner
    return Recurrence(axes, axes[members[0]].size, any(d > 0 for d in delays), tuple(steps))


def _circles(members: Sequence[str], reads: Sequence[_Read]) -> list[list[str]]:
    """The groups of members that need each other within one step."""
    needs = _needs(members, reads)
    return [c for c in grouped_in_order(needs) if len(c) > 1 or c[0] in needs[c[0]]]


def _needs(members: Sequence[str], reads: Iterable[_Read]) -> dict[str, list[str]]:
    """The members that each of them reads."""
    needs: dict[str, list[str]] = {name: [] for name in members}
    for read in reads:
        needs[read.reader.name].append(read.load.array)
    return needs


def _assignments(
    graph: Graph, members: list[str], reads: list[_Read], taken: Mapping[str, frozenset[Axis]]
) -> Iterator[dict[str, Axis]]:
    """Time axes of all members that agree with the reads between them, one for each axis of the first member."""
    first = graph.families[members[0]]
    by_reader: dict[str, list[_Read]] = {}
    for read in reads:
        by_reader.setdefault(read.reader.name, []).append(read)
    for axis in first.axes:
        if axis.extent is None or axis in taken[first.name]:
            continue
        axes = {first.name: axis}
        waiting = [first.name]
        while waiting:
            name = waiting.pop()
            for read in by_reader.get(name, ()):
                target = graph.families[read.load.array]
                if target.name in axes:
                    continue
                for own, subscript in zip(target.axes, read.load.subscripts, strict=True):
                    if own.extent is None or own in taken[target.name]:
                        continue
                    if _delay(read, axes[name], subscript) is not None:
                        axes[target.name] = own
                        waiting.append(target.name)
                        break
        if len(axes) == len(members):
            yield axes


def _delay(read: _Read, time: Axis, subscript: Expression) -> int | None:
    """How far behind (< 0) or ahead of the reader's own place a subscript is; None where that is not constant."""
    return distance(linear(subscript), time, read.conditions)


def _delays(graph: Graph, axes: Mapping[str, Axis], reads: Sequence[_Read]) -> list[int]:
    """The delay of every read. Raises RecurrenceError where they do not make a loop along these axes."""
    delays: list[int] = []
    for read in reads:
        target = graph.families[read.load.array]
        time = axes[read.reader.name]
        own = axes[target.name]
        subscript = read.load.subscripts[target.axes.index(own)]
        delay = _delay(read, time, subscript)
        if delay is None:
            raise RecurrenceError(
                f"'{read.reader.name}' reads '{target.name}', which needs it, at a place along '{own.name}' that is "
                f"not a constant distance from its own",
                "a recurrence reads at t - 1, t - 2, … or at t + 1, …",
                [(read.reader, read.load), (target, read.load)],
            )
        if own.size != time.size:
            raise RecurrenceError(
                f"'{read.reader.name}' and '{target.name}' need each other, but one has {time.size} steps along "
                f"'{time.name}' and the other {own.size}",
                "give both the same extent",
                [(read.reader, read.load), (target, read.load)],
            )
        delays.append(delay)
    before = next((r for r, d in zip(reads, delays, strict=True) if d < 0), None)
    after = next((r for r, d in zip(reads, delays, strict=True) if d > 0), None)
    if before is not None and after is not None:
        raise RecurrenceError(
            f"along '{axes[before.reader.name].name}', '{before.reader.name}' reads '{before.load.array}' before its own "
            f"place, and '{after.reader.name}' reads '{after.load.array}' after it",
            "use two families that do not need each other, one for each direction",
            [(before.reader, before.load), (after.reader, after.load)],
        )
    if before is None and after is None:
        raise _no_axis(graph, list(axes), list(reads))
    return delays


def _no_axis(graph: Graph, members: list[str], reads: list[_Read]) -> RecurrenceError:
    """The error that shows a read at no constant distance, or a circle through the first member."""
    for read in reads:
        own = [a for a in read.reader.axes if a.extent is not None]
        if all(_delay(read, axis, s) is None for axis in own for s in read.load.subscripts):
            target = graph.families[read.load.array]
            return RecurrenceError(
                f"'{read.reader.name}' reads '{target.name}', which needs it, at a place that is no constant distance from "
                "its own along any axis",
                "a recurrence reads at t - 1, t - 2, … or at t + 1, …",
                [(read.reader, read.load), (target, read.load)],
            )
    edges: dict[str, dict[str, _Read]] = {name: {} for name in members}
    for read in reads:
        edges[read.reader.name].setdefault(read.load.array, read)
    along = [edges[a][b] for a, b in pairs_around(circle(edges))]
    path = " → ".join([*(r.reader.name for r in along), along[0].reader.name])
    return RecurrenceError(
        f"these need each other, and there is no axis along which all of them are delayed: {path}",
        "a recurrence reads an earlier step along one axis: h[t-1, k else 0]",
        [(r.reader, r.load) for r in along],
    )


def time_slices(graph: Graph, found: Iterable[tuple[Recurrence, ...]]) -> dict[str, tuple[int, ...]]:
    """For families that are computed in time loops, and families and weights of which they read one step: which subscripts are
    time, that of the outermost loop first. `found`: loops, each with those around it, the outermost first."""
    result: dict[str, tuple[int, ...]] = {}
    for loops in found:
        for name in loops[-1].steps:
            if isinstance(name, str):
                family = graph.families[name]
                result[name] = tuple(family.axes.index(loop.axes[name]) for loop in loops)
    for loops in found:
        for name in loops[-1].steps:
            if not isinstance(name, str):
                continue
            for load in graph.families[name].loads:
                if load.array in graph.arrays and graph.arrays[load.array].kind == "input":
                    continue
                moving = [
                    next(
                        (n for n, s in enumerate(load.subscripts) if linear(s).coefficients == {axis: 1}), -1
                    )
                    for axis in (loop.axes[name] for loop in loops)
                ]
                positions = tuple(dict.fromkeys(n for n in moving if n >= 0))
                if positions:
                    result.setdefault(load.array, positions)
    return result
