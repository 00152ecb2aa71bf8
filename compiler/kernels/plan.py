"""Plans: how a nest is run. Which axis runs over lanes, what is unrolled into a register tile, in what order loops stand.

In: what tiling.py chooses.  Out: `Plan`, which contraction.py follows.

    Plan(order (a0: 512, a1: 128), parallel 2, tile (14, 32), reduced (r0,), lane a1, lanes 16)

is 37 · 4 tiles, each of 14 · 2 vectors.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

from ..mathematics.expression import Axis
from ..mathematics.walks import axes_in, postorder
from ..record import record
from .memory import SIZES
from .nest import Nest, is_access
from .processor import SECOND_LEVEL

#: Most terms that stand in the body of a reduction's innermost loop; an eighth where each must first find what it reads.
_WRITTEN_OUT = 64
#: Most products that stand in that body because the loop takes several steps at once: counting and the addresses of what is
#: loaded cost as much for one step as for several, and threads that share a core share what it issues.
_IN_A_BODY = 48
#: A loop that may end early, or begin late, has so many times as many steps as it takes at once.
_LONG = 8
#: Bytes from one step to the next: a page, at whose end processors stop to fetch lines in order.
_FAR_APART = 4096
#: As many sums as this are enough to hide that each must wait for its last term.
CHAINS = 8

#: A place within a tile: how far from its start along each axis of `Plan.order`.
Shift = tuple[int, ...]


@record
class Plan:
    """How a nest is run. `order`: the results' axes, outermost first, the first `parallel` of them divided among threads.

    `lane`: the axis that runs over lanes, an axis of the results or of the reduction, or None.  `tile`: how many elements of
    each axis of `order` are computed together (for the lane axis, lanes times vectors, which overlap if it has fewer).
    `reduced`: the reduction's loops, outermost first, of which the last `unrolled` are no loops: all their terms stand one after
    the other. The innermost loop that is left takes `stride` steps at once, and one by one what that leaves over. Terms that
    stand one after the other are added to `ways` partial results in turn, so that one need not wait for the other.

    `depth`: so many values of the outermost loop of the reduction are added up for all tiles of a panel before the next; between
    two such blocks the accumulators are kept in memory. 0: each tile is finished at once.  `places`: a panel is so many
    consecutive numbers of the range that threads divide.

    `packed`: the numbers of those accesses of the term (nest.accesses) whose elements are copied into the order in which tiles
    read them (packing.py). `split`: two positions in `order`; each of them moves along the axes before the second alone, or along
    none of those between the two.
    """

    order: tuple[Axis, ...]
    parallel: int
    tile: tuple[int, ...]
    reduced: tuple[Axis, ...] = ()
    lane: Axis | None = None
    lanes: int = 1
    unrolled: int = 0
    stride: int = 1
    ways: int = 1
    depth: int = 0
    places: int = 1
    packed: tuple[int, ...] = ()
    split: tuple[int, int] = (0, 0)

    @property
    def loops(self) -> tuple[Axis, ...]:
        """The axes of the reduction that are loops."""
        return self.reduced[: len(self.reduced) - self.unrolled]

    @property
    def repeated(self) -> tuple[Axis, ...]:
        """The axes of the reduction that are unrolled."""
        return self.reduced[len(self.reduced) - self.unrolled :]

    @property
    def steps(self) -> list[Shift]:
        """The places in the reduction at which terms stand one after the other, as distances along `written`."""
        sizes: list[range] = []
        if self.stride > 1:
            step = self.lanes if self.loops[-1] == self.lane else 1
            sizes.append(range(0, self.stride * step, step))
        return list(itertools.product(*sizes, *(range(a.size) for a in self.repeated)))

    @property
    def left_over(self) -> list[Shift]:
        """The places of one step of the innermost loop, as distances along `written`."""
        return [step for step in self.steps if self.stride == 1 or step[0] == 0]

    @property
    def written(self) -> tuple[Axis, ...]:
        """The axes of the reduction that `steps` are along."""
        return (*(self.loops[-1:] if self.stride > 1 else ()), *self.repeated)

    def blocks(self, at: int) -> int:
        """The number of tiles along an axis of `order`."""
        return -(-self.order[at].size // self.tile[at])

    def is_masked(self, nest: Nest) -> bool:
        """True where the last vector along a lane axis of the results is masked: it must not begin earlier, or cannot."""
        if self.lane not in self.order or nest.whole:
            return False
        size = self.tile[self.order.index(self.lane)]
        ends_earlier = self.lanes > self.lane.size or (size < self.lane.size and not nest.may_overlap)
        return self.lane.size % size > 0 and ends_earlier

    @property
    def extent(self) -> int:
        """The size of the range that threads divide."""
        return math.prod(self.blocks(n) for n in range(self.parallel))

    @property
    def inner(self) -> int:
        """The number of tiles that one place in this range stands for."""
        return math.prod(self.blocks(n) for n in range(self.parallel, len(self.order)))

    def shifts(self, nest: Nest) -> list[Shift]:
        """The places within a tile, as distances along each axis of `order`.

        Axes along which more is loaded change less often, so that what is loaded is used up at once and few registers are
        held by the other loads. In a reduction only the loads of its terms count: they alone meet all accumulators.
        """
        counts = [
            n // (self.lanes if a == self.lane else 1) for a, n in zip(self.order, self.tile, strict=True)
        ]
        most = dict.fromkeys(self.order, 0)
        roots = nest.expressions if nest.term is None else (nest.term, *nest.where)
        for node in postorder(*roots):
            if is_access(node):
                axes = set(axes_in(node))
                places = math.prod(c for c, a in zip(counts, self.order, strict=True) if a in axes)
                for axis in axes & most.keys():
                    most[axis] = max(most[axis], places)
        result: list[dict[int, int]] = [{}]
        for n in sorted(range(len(self.order)), key=lambda n: -most[self.order[n]]):
            step = self.lanes if self.order[n] == self.lane else 1
            last = self.tile[n] - step
            if step <= self.order[n].size < self.tile[n] and not nest.whole:  # the last vector begins earlier
                last = self.order[n].size - step
            along = [min(at, last) for at in range(0, self.tile[n], step)]
            result = [{**s, n: at} for s in result for at in along]
        return [tuple(s[n] for n in range(len(self.order))) for s in result]


class Body(NamedTuple):
    """What stands in the body of a reduction's innermost loop, so many terms: see `Plan.unrolled`, `stride` and `ways`."""

    unrolled: int
    stride: int
    ways: int
    terms: int


def body(
    nest: Nest,
    reduced: Sequence[Axis],
    lane: Axis | None,
    lanes: int,
    places: int,
    varying: Collection[Axis],
    *,
    copied: bool = False,
) -> Body:
    """Short innermost loops are written out, and steps of the next one, if few results are computed together.

    `places`: results that are computed together, in vectors.  `varying`: axes that differ within the tile. A condition on them is
    a mask, and a mask that no loop changes is found once.  `copied`: all that the term loads is packed (packing.py).
    """
    varying = set(varying)

    def bounded(axis: Axis) -> bool:
        return any(axis in axes and not varying & axes for axes in nest.axes_of_conditions)

    steps, unrolled = 1, 0
    most = _WRITTEN_OUT // 8 if nest.places_from_data else _WRITTEN_OUT
    for axis in reversed(reduced):
        if axis == lane or places * steps * axis.size > most or bounded(axis):
            break
        steps *= axis.size
        unrolled += 1
        varying.add(axis)
    left = reduced[: len(reduced) - unrolled]
    stride = 1
    if left and (left[-1] == lane or not bounded(left[-1])):
        width = lanes if left[-1] == lane else 1
        while (
            stride * 2 * steps * places <= CHAINS
            and left[-1].size % (2 * stride * width) == 0
            and left[-1].size >= 4 * stride * width
        ):
            stride *= 2
    ways = 1 if nest.kind.startswith("arg") else min(steps * stride, max(CHAINS // places, 1))
    width = lanes if left and left[-1] == lane else 1
    more = nest.kind == "sum" and left and stride * 2 * steps * places <= _IN_A_BODY
    if more and left[-1].size >= 4 * stride * width and (copied or _is_direct(nest, left[-1], lane, varying)):
        least = _LONG if bounded(left[-1]) else 4
        while stride * 2 * steps * places <= _IN_A_BODY and left[-1].size >= least * stride * width:
            if left[-1] == lane and (left[-1].size % (2 * stride * width) or bounded(lane)):
                break
            stride *= 2
    return Body(unrolled, stride, ways, steps * stride)


def _is_direct(nest: Nest, axis: Axis, lane: Axis | None, varying: Collection[Axis]) -> bool:
    """Whether each step of a loop loads numbers of its own, from places at a fixed distance from those of the step before, and
    not far from them in a large array.

    Steps that share what they load (x[i + j] does) would keep it in registers, and these are for the sums. What is far apart the
    processor fetches ahead for each instruction that loads, best if one instruction comes to all of it.
    """
    for number, steps in nest.steps:
        if any(not isinstance(atom, Axis) and axis in axes_in(atom) for atom in steps):
            return False
        if steps.get(lane, 0) not in (0, 1):  # type: ignore[arg-type]
            return False
        along = steps.get(axis, 0)
        buffer = nest.buffers[number]
        size = SIZES[buffer.data_type]
        if abs(along) * size >= _FAR_APART and buffer.elements * size > SECOND_LEVEL:
            return False
        for other in varying:
            beside = steps.get(other, 0)
            if other not in (axis, lane) and along and beside and _meet(along, beside, other.size):
                return False
    return True


def _meet(along: int, beside: int, most: int) -> bool:
    """Whether a few steps of one size come to where a few of another do, of which there are fewer than `most`."""
    most = min(most, CHAINS)
    return any(along * n % beside == 0 and abs(along * n // beside) < most for n in range(1, CHAINS))
