"""Partial sums: a long reduction with few results is done in parts, and the parts are added up by a small kernel.

In: the families of a kernel that reduces.  Out: the same work as two kernels, where the cost model finds that faster.

    h[batch, j] = Σ_{i: 9216} w[i, j] · x[batch, i]
    →   part[batch, k, j] = Σ_{i: 1024} w[1024 k + i, j] · x[batch, 1024 k + i];   h[batch, j] = Σ_{k: 9} part[batch, k, j]

What one part reads stays in the cache while all its tiles read it, and there are more tiles for threads to share. The parts are
the same whatever the number of threads, and so are the bits of the sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field, replace

from ..kernels.footprints import FAR_BANDWIDTH
from ..kernels.lower_bound import Least
from ..kernels.memory import Layout
from ..kernels.nest import Nest
from ..kernels.nest_builder import Member
from ..kernels.processor import SECOND_LEVEL
from ..kernels.tiling import Choice
from ..mathematics.expression import BATCH, Axis, Expression, Load, integer, new_axis
from ..mathematics.graph import Family, Graph, Reduction
from ..mathematics.walks import substitute
from ..record import record

#: Kernels of fewer cycles are left as they are.
_WORTH_TRYING = 60_000.0
#: A kernel that takes so many times what it would at best is not improved by parts.
_GOOD_ENOUGH = 1.25
#: With fewer tiles than this, some threads have nothing to do.
_TILES = 16
#: Numbers of parts that are tried, and how long a part is at least.
_PARTS = (4, 8, 16, 32)
_SHORTEST = 48
#: Where some parts take so many times as long as fewer did, more are not tried.
_WORSE = 1.02
#: Parts that are roughly so many times too slow, the best of them, are weighed with care.
_NEARLY = 1.05
#: So much of a lower bound of the whole is one of its parts.
_SURELY = 0.95


@record(frozen=False)
class PartialSums:
    """`weigh` gives the plan of a kernel and its cycles, `attempt` about the same of one that may not be made.
    `lay_out` makes the layout of a new family, `least` lower bounds of a nest."""

    graph: Graph
    layouts: dict[str, Layout]
    build: Callable[[Sequence[Member]], tuple[Nest, tuple[str, ...]]]
    weigh: Callable[[Sequence[Member]], Choice]
    attempt: Callable[[Sequence[Member]], Choice]
    lay_out: Callable[[Family], Layout]
    least: Callable[[Nest], Least]
    #: What was found for a nest: which axis of the reduction is divided, and into how many parts.
    known: dict[Nest, tuple[int, int] | None] = field(default_factory=dict)

    def divide(self, members: Sequence[Member]) -> list[Sequence[Member]]:
        """The kernels in place of one: itself, or the parts and what adds them up."""
        first = members[0].family
        reduction = first.reduction
        if reduction is None or reduction.scatter or reduction.kind.startswith("arg") or not first.axes:
            return [members]
        nest, _ = self.build(members)
        if nest not in self.known:
            self.known[nest] = self._search(members)
        division = self.known[nest]
        return (
            [members]
            if division is None
            else self._divided(members, reduction.axes[division[0]], division[1])
        )

    def _search(self, members: Sequence[Member]) -> tuple[int, int] | None:
        """The best axis of the reduction to divide, by number, and into how many parts; None to leave it whole."""
        first = members[0].family
        reduction = first.reduction
        assert reduction is not None
        plan, cycles, ideal = choice = self.weigh(members)
        least = self._score(choice) * 0.9
        if least < _WORTH_TRYING:
            return None
        read = sum(self.layouts[name].elements for name in first.sources)
        if plan.extent >= _TILES and plan.depth:
            return None  # blocks of the sum keep what they read near, and need no other array
        if plan.extent >= _TILES and (cycles < _GOOD_ENOUGH * ideal or read > ideal):
            return None  # enough tiles, and nothing to gain in the caches
        if _SURELY * self.least(self.build(members)[0]).cycles() > least:
            return None  # the parts are as much work as the whole
        best, before = None, math.inf
        roughly: list[tuple[float, Axis, int]] = []
        for axis, count in _divisions(reduction):
            parts, whole = self._divided(members, axis, count)
            score = self._score(self.attempt(parts)) + self._stored(parts[0].family)
            if score > _WORSE * before:
                break  # there are too many parts already
            before = score
            roughly.append((score, axis, count))
            if score < least:
                score += self._score(self.attempt(whole))
            if score < least:
                least, best = score, (reduction.axes.index(axis), count)
        if best is not None or not roughly:
            return best
        score, axis, count = min(roughly, key=lambda found: found[0])
        if score < least * _NEARLY:  # blocks of the parts may decide
            parts, whole = self._divided(members, axis, count)
            score = self._score(self.weigh(parts)) + self._stored(parts[0].family)
            if score + self._score(self.attempt(whole)) < least:
                return reduction.axes.index(axis), count
        return None

    def _divided(self, members: Sequence[Member], axis: Axis, count: int) -> list[Sequence[Member]]:
        """The kernel of the parts, and the one that adds them up and does what the rest of the members do."""
        parts, whole = _in_parts(members[0].family, axis, count)
        if parts.name not in self.graph.families:
            self.graph.families[parts.name] = parts
            self.layouts[parts.name] = self.lay_out(parts)
        return [[Member(self.graph.families[parts.name])], [replace(members[0], family=whole), *members[1:]]]

    def _stored(self, parts: Family) -> float:
        """Cycles in which parts that no cache holds go to memory; a line is fetched before it is written."""
        size = self.layouts[parts.name].bytes
        return 2 * size / FAR_BANDWIDTH if size > SECOND_LEVEL else 0.0

    @staticmethod
    def _score(choice: Choice) -> float:
        """Cycles, more where there are too few tiles for several threads."""
        plan, cycles, _ = choice
        if cycles < _WORTH_TRYING / 4:
            return cycles
        return cycles * (1 + max(_TILES - plan.extent, 0) / _TILES)


def _divisions(reduction: Reduction) -> Iterator[tuple[Axis, int]]:
    """The longest axis of a reduction, and the numbers of equal parts that it may be divided into."""
    axes = [a for a in reduction.axes if a != BATCH]
    if not axes:
        return
    axis = max(axes, key=lambda a: a.size)
    longest = axis.size // _SHORTEST if len(reduction.axes) == 1 else axis.size
    seen: set[int] = set()
    for wish in _PARTS:
        divisors = [n for n in range(2, min(2 * wish, longest) + 1) if axis.size % n == 0]
        if divisors:
            count = min(divisors, key=lambda n: (abs(math.log(n / wish)), n))
            if count not in seen:
                seen.add(count)
                yield axis, count


def _in_parts(family: Family, axis: Axis, count: int) -> tuple[Family, Family]:
    """The parts of a sum along one of its axes, and the family as the sum of its parts."""
    reduction = family.reduction
    assert reduction is not None
    size = axis.size // count
    part, inner = new_axis("part", count), new_axis(axis.name, size)
    mapping: dict[Expression, Expression] = {axis: part * integer(size) + inner}
    if size == 1:
        mapping = {axis: part}
    batch = family.axes[: 1 if family.batched else 0]
    axes = (*batch, part, *family.axes[len(batch) :])
    within = tuple(inner if a == axis else a for a in reduction.axes if a != axis or size > 1)
    name = f"{family.name} in {count} parts"
    parts = Family(
        name,
        axes,
        substitute(family.body, mapping),
        Reduction(reduction.kind, within, tuple(substitute(c, mapping) for c in reduction.where)),
        role="term",
    )
    summed = new_axis("part", count)
    load = Load(name, tuple(summed if a == part else a for a in axes), family.type)
    return parts, replace(family, body=load, reduction=Reduction(reduction.kind, (summed,)))
