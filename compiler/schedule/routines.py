"""Routines: steps in order become calls, with barriers where data may pass between threads, and time loops around them.

In: `Step`s of one routine, and where their buffers lie.  Out: `Call`s and `TimeLoop`s (program.py).

    W·x for all t;  step a; step h      →   call;  loop over t: barrier, call a, barrier, call h

A barrier stands before a call that reads or writes what some call since the last barrier has written, or writes what one has
read. The first call of a time loop has one in any case: the step before has written what it reads.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import field

from ..kernels.program import Call, TimeLoop
from ..mathematics.graph import Graph
from ..record import record
from .grouping import Loops

Bytes = tuple[int, int]


def standard_routines(graph: Graph) -> dict[str, tuple[str, ...]]:
    """The families that each routine is for."""
    loss = (graph.loss,) if graph.loss else ()
    metrics = tuple(graph.metrics.values())
    routines = {"forward": tuple(graph.outputs)}
    if loss or metrics:
        routines["evaluate"] = loss + metrics
    if graph.gradients:
        routines["gradient"] = loss + tuple(graph.gradients.values())
    if graph.updates:
        routines["train"] = loss + metrics + tuple(graph.updates.values())
    return {name: roots for name, roots in routines.items() if roots}


@record(frozen=False)
class Step:
    """A call before memory is planned: buffers by name. `loops`: the time loops that it stands in, the outermost first."""

    kernel: str
    buffers: tuple[str, ...]
    reads: frozenset[str]
    writes: frozenset[str]
    extent: int
    families: tuple[str, ...]
    multiply_adds: int
    bytes: int
    #: The routines that run it.
    routines: frozenset[str] = field(default_factory=frozenset)
    loops: Loops = ()
    cycles: float = 0.0
    scratch: int = 0


def calls(steps: Sequence[Step], place: Callable[[str], Bytes]) -> tuple[Call | TimeLoop, ...]:
    """The calls of a routine. `place` gives the bytes [begin, end) where a buffer lies."""
    return _Calls(place).within(steps, 0)


class _Ranges:
    """Ranges of bytes in order, no two of which overlap: a routine may have thousands of calls between two barriers."""

    def __init__(self) -> None:
        self.begins: list[int] = []
        self.ends: list[int] = []

    def meet(self, others: Iterable[Bytes]) -> bool:
        """Whether some other range overlaps with one of these."""
        for begin, end in others:
            n = bisect.bisect_right(self.ends, begin)
            if n < len(self.begins) and self.begins[n] < end and begin < end:
                return True
        return False

    def add(self, others: Iterable[Bytes]) -> None:
        """These and others, those that overlap made one."""
        for begin, end in others:
            if begin >= end:
                continue
            first = bisect.bisect_right(self.ends, begin)
            last = bisect.bisect_left(self.begins, end)
            if first < last:
                begin, end = min(begin, self.begins[first]), max(end, self.ends[last - 1])
            self.begins[first:last] = [begin]
            self.ends[first:last] = [end]


@record(frozen=False)
class _Calls:
    """What has been written and read since the last barrier. `fresh`: the next call is the first of a loop's body."""

    place: Callable[[str], Bytes]
    written: _Ranges = field(default_factory=lambda: _Ranges())
    read: _Ranges = field(default_factory=lambda: _Ranges())
    fresh: bool = False

    def within(self, steps: Iterable[Step], depth: int) -> tuple[Call | TimeLoop, ...]:
        """The calls of steps that stand in the same `depth` loops."""
        result: list[Call | TimeLoop] = []
        for _, group in itertools.groupby(steps, key=lambda s: id(s.loops[depth]) if s.loops[depth:] else 0):
            some = list(group)
            if some[0].loops[depth:]:
                loop = some[0].loops[depth]
                self.fresh = True
                result.append(TimeLoop(loop.extent, loop.reverse, self.within(some, depth + 1)))
            else:
                result += [self.call(step) for step in some]
        return tuple(result)

    def call(self, step: Step) -> Call:
        reads = [self.place(n) for n in step.reads]
        writes = [self.place(n) for n in step.writes]
        barrier = (
            self.fresh or self.written.meet(reads) or self.written.meet(writes) or self.read.meet(writes)
        )
        if barrier:
            self.written, self.read, self.fresh = _Ranges(), _Ranges(), False
        self.written.add(writes)
        self.read.add(reads)
        places = tuple(self.place(n)[0] for n in step.buffers)
        return Call(
            step.kernel,
            places,
            step.extent,
            barrier,
            step.families,
            step.multiply_adds,
            step.bytes,
            step.cycles,
            step.scratch,
        )


def last_uses(steps: Sequence[Step], kept: Iterable[str]) -> dict[str, tuple[int, int]]:
    """The first and last step that uses each buffer that is not kept; what a time loop uses lives throughout it."""
    begin: dict[int, int] = {}
    end: dict[int, int] = {}
    for number, step in enumerate(steps):
        if step.loops:
            begin.setdefault(id(step.loops[0]), number)
            end[id(step.loops[0])] = number
    kept = set(kept)
    uses: dict[str, tuple[int, int]] = {}
    for number, step in enumerate(steps):
        first = begin[id(step.loops[0])] if step.loops else number
        last = end[id(step.loops[0])] if step.loops else number
        for name in step.buffers:
            if name not in kept:
                uses[name] = min(uses.get(name, (first, 0))[0], first), last
    return uses
