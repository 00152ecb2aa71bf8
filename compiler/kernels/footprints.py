"""Footprints: how many bytes the loads of a reduction bring into the caches, for loops in a given order.

In: how far each load moves along each axis, and the loops, innermost first.  Out: bytes from the second-level cache, and from
beyond it.

    loop x (26)  loop f (64)  loop v (3)  loop u (3)     ∂y[f, y − v, x − u] and w[f, c, v, u]
        what all loops within x touch, 64 · 9 lines, does not stay in the first-level cache: all of it comes again for every x;
        it stays in the second-level cache: from beyond come only the lines that the next x does not share with this one

From the innermost loop outwards: where what a loop's body touches stays in a cache, the loop finds again there what it does not
move away from, and only the rest comes anew; otherwise everything comes again at every turn. The second level is shared with
other threads of the core, and with instructions: the more of it a body needs, the more of that is gone at the next turn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from ..record import record

LINE = 64  # bytes
FIRST_LEVEL = 27_000  # bytes, with room for what else is in the cache
SECOND_LEVEL = 320_000
#: Bytes a cycle from the second level, and from beyond it.
NEAR_BANDWIDTH = 28.0
FAR_BANDWIDTH = 12.0
#: How much of the time in which data come from beyond it is not hidden behind arithmetic.
FAR_WAITING = 0.5
#: Cycles to enter a loop within the reduction, and to find the way out of it.
ENTRY = 18.0
#: Lines that come alone and not in long rows take so many times longer, besides: from the second level, and from beyond it.
NEAR_SINGLE = 2.0
FAR_SINGLE = 6.0
#: Lines whose numbers differ by a multiple of this are in the same set of the first-level cache.
_SETS = 64


@record
class Movement:
    """A load: how far it moves along each axis in bytes, the axes (as bits) along which it may go anywhere, the bytes of an
    element and of its whole array."""

    steps: tuple[int, ...]
    opaque: int
    size: int
    array: int


class Footprints:
    """The loads of one nest. What they touch is remembered from plan to plan."""

    def __init__(self, movements: Sequence[Movement]) -> None:
        self.movements = tuple(movements)
        self.axes = [tuple(n for n, s in enumerate(m.steps) if s or m.opaque >> n & 1) for m in movements]
        self._known: list[dict[tuple[float, ...], Touched]] = [{} for _ in movements]

    def brought(
        self, covered: Sequence[float], loops: Sequence[tuple[int, float, float]]
    ) -> tuple[float, float]:
        """Bytes that come into the first-level cache, and into the second; those of single lines count more.

        covered  how many consecutive values each axis takes in the body of the innermost loop
        loops    (axis, turns, values that the axis takes in all of them), the innermost first
        """
        inside = self.start(covered)
        for loop in loops:
            inside = self.around(inside, *loop)
        return inside.near, inside.far

    def start(self, covered: Sequence[float]) -> Inside:
        """What the body of the innermost loop brings."""
        now = [self._touched(k, covered) for k in range(len(self.movements))]
        bytes_ = [t.bytes for t in now]
        none = [0.0] * len(now)
        return Inside(list(covered), now, bytes_, bytes_, none, none, sum(t.room for t in now))

    def around(self, inside: Inside, axis: int, turns: float, values: float) -> Inside:
        """What a loop around it brings: one along an axis, of so many turns, in which it takes so many values."""
        if turns <= 1:
            return inside
        taken = list(inside.taken)
        step = (values - taken[axis]) / (turns - 1)
        taken[axis] = values
        stays_near = inside.room <= FIRST_LEVEL
        lost = min(inside.room / SECOND_LEVEL, 1.0) ** 2
        room = 0.0
        now, nears, fars, runs = [], [], [], []
        for k, before in enumerate(inside.now):
            growth, run, after = 1.0, before.run, before
            if axis in self.axes[k]:
                after = self._touched(k, taken)
                growth = after.bytes / before.bytes
                if self.movements[k].steps[axis] * step <= before.run * LINE:
                    run = after.run
            now.append(after)
            nears.append(inside.nears[k] * (growth if stays_near else turns))
            fars.append(inside.fars[k] * (growth + (turns - growth) * lost))
            runs.append(run)
            room += after.room
        near_runs, far_runs = inside.near_runs, inside.far_runs
        if room > FIRST_LEVEL:
            near_runs = [known or run for known, run in zip(near_runs, runs, strict=True)]
        if room > SECOND_LEVEL:
            far_runs = [known or run for known, run in zip(far_runs, runs, strict=True)]
        return Inside(taken, now, nears, fars, near_runs, far_runs, room)

    def _touched(self, k: int, taken: Sequence[float]) -> Touched:
        """What a load touches where each axis takes so many values."""
        key = tuple([taken[n] for n in self.axes[k]])
        found = self._known[k].get(key)
        if found is None:
            found = self._known[k][key] = self._measured(self.movements[k], taken)
        return found

    def _measured(self, load: Movement, taken: Sequence[float]) -> Touched:
        anywhere = math.prod(c for n, c in enumerate(taken) if load.opaque >> n & 1)
        moving = [(s, c) for s, c in zip(load.steps, taken, strict=True) if s and c > 1]
        lines, pieces, crowding = lines_of(moving, load.size)
        most = max(load.array, LINE)
        bytes_ = lines * anywhere * LINE
        return Touched(min(bytes_, most), min(bytes_ * crowding, 2.0 * most), lines / pieces)


class Touched(NamedTuple):
    """Bytes in whole lines, the room in a cache that they need, and the lines that stand side by side."""

    bytes: float
    room: float
    run: float


class Inside(NamedTuple):
    """What some loops bring, each load for itself.

    taken                 values that each axis takes in them
    now                   what is touched
    nears, fars           bytes from the second level, and from beyond it
    near_runs, far_runs   lines that came one after the other where what is touched no longer stayed in a level
    room                  what all of it takes in a cache
    """

    taken: list[float]
    now: list[Touched]
    nears: list[float]
    fars: list[float]
    near_runs: list[float]
    far_runs: list[float]
    room: float

    @property
    def near(self) -> float:
        """Bytes from the second level, those of single lines counted more."""
        pairs = zip(self.nears, self.near_runs, strict=True)
        return sum(n * (1 + NEAR_SINGLE / r) if r else n for n, r in pairs)

    @property
    def far(self) -> float:
        """Bytes from beyond it. If all that the loops touch stays in the second level, it is there from the step before."""
        return sum(f * (1 + FAR_SINGLE / r) for f, r in zip(self.fars, self.far_runs, strict=True) if r)


#: An axis, how often the loop along it turns, and how many values the axis takes in all turns.
Loop = tuple[int, float, float]


class Walks:
    """What the loops of one tile bring in different orders: the reduction's `inner` loops, and around them those over tiles.

    What the innermost of them bring is remembered from order to order: a tree, whose branches are the loops around.
    """

    def __init__(
        self, footprints: Footprints, covered: Sequence[float], inner: Sequence[Loop], outer: Sequence[Loop]
    ) -> None:
        self.footprints, self.inner, self.outer = footprints, inner, outer
        self.tiles = math.prod(turns for _, turns, _ in outer)
        self._root = self._point(footprints.start(covered))

    def in_order(self, order: Sequence[int], most: float = math.inf) -> tuple[float, float] | None:
        """What `brought` gives for loops over tiles in an order, the outermost first."""
        return self.brought([*self.inner, *[self.outer[n] for n in reversed(order)]], most)

    def brought(self, loops: Sequence[Loop], most: float = math.inf) -> tuple[float, float] | None:
        """Cycles of a tile in which its data come from the second level, and from beyond it.

        The innermost loop first. None where the former are more than `most`: they never become fewer by another loop.
        """
        point = self._root
        for loop in loops:
            if loop[1] <= 1:
                continue
            beyond = point.around.get(loop)
            if beyond is None:
                beyond = point.around[loop] = self._point(self.footprints.around(point.inside, *loop))
            point = beyond
            if point.near > most:
                return None
        return point.near, point.inside.far / FAR_BANDWIDTH / self.tiles

    def _point(self, inside: Inside) -> _Point:
        return _Point(inside, inside.near / NEAR_BANDWIDTH / self.tiles, {})


class _Point(NamedTuple):
    """What some loops bring, the cycles that it takes from the second level, and the same for one more loop around them."""

    inside: Inside
    near: float
    around: dict[Loop, _Point]


def lines_of(moving: Sequence[tuple[int, float]], size: int) -> tuple[float, float, float]:
    """Lines of the cache that Σ step · n touches, n < count for each (step, count), on average over where it begins; in how many
    pieces; and how many times more room they need because they fall into some of the cache's sets alone.

    Elements that are nearer to each other than a line are one piece. Pieces whose distances are multiples of each other overlap,
    as those of a window do that moves over an image. Pieces that are 2ᵏ lines apart fall into every 2ᵏth set.
    """
    width, pieces = float(size), 1.0
    aligned = LINE
    lattice: list[list[float]] = []  # distances between pieces, and how many there are
    for step, count in sorted(moving):
        if not lattice and step <= max(width, LINE):
            width += step * (count - 1)
            if count * step % LINE and step > size:
                aligned = math.gcd(aligned, step)
            continue
        aligned = math.gcd(aligned, step)
        for known in lattice:
            if step % known[0] == 0 and step < known[0] * known[1]:
                known[1] += step / known[0] * (count - 1)
                break
        else:
            lattice.append([float(step), count])
    for _, count in lattice:
        pieces *= count
    lines = max(1.0, (width + LINE - aligned) / LINE) if width > size else 1.0
    return pieces * lines, pieces, _crowding(lines, lattice)


def _crowding(lines: float, lattice: Sequence[Sequence[float]]) -> float:
    """The number of sets over those that pieces of so many lines use."""
    powers = []
    for distance, count in lattice:
        number = int(distance) // LINE
        if distance % LINE == 0 and number:
            powers.append((min(number & -number, _SETS), count))
    if not powers:
        return 1.0
    powers.sort(reverse=True)
    used = max(lines, 1.0)
    period, _ = powers[0]
    for power, count in powers:
        used *= max(1.0, min(count, period / power))
        period = min(period, power)
    return max(1.0, powers[0][0] / used)
