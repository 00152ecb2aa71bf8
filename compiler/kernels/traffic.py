"""Traffic: how many bytes a nest brings in from the caches, under different tiles.

In: the loads of a nest's term.  Out: `Traffic`, which cost.py asks for the cycles of a plan in which data come.

    dense, tile 6 × 16 floats:   one row of 16 floats and 6 places of a column a step: 64 bytes where rows begin at lines,
                                 up to 60 more where they do not, and a line for the column

What does not stay in the first-level cache between two tiles must come from further away.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..record import record
from .memory import SIZES
from .nest import Nest
from .processor import FIRST_LEVEL, LINE, SECOND_LEVEL, Processor


@record
class Access:
    """A load: how far it moves along each axis in elements. Sets of axes are bits, in the order of the nest's axes.

    opaque   the axes of what else its offset depends on (tables, quotients)
    axes     all axes that it depends on
    reach    how many places that rest tells apart, and how far they lie from each other: (count, distance)
    """

    steps: tuple[int, ...]
    opaque: int
    axes: int
    buffer: int
    guarded: bool
    constant: int
    reach: tuple[tuple[int, int], ...]


class Traffic:
    """The traffic of plans with one lane axis. Axes are known by number, as in cost.py.

    `reduced`: the numbers of the reduction's loops, outermost first.  `lane`: the number of the lane axis, or −1.
    """

    def __init__(
        self,
        nest: Nest,
        accesses: Sequence[Access],
        processor: Processor,
        reduced: Sequence[int],
        lane: int,
        lanes: int,
    ) -> None:
        self.nest, self.accesses, self.processor = nest, accesses, processor
        self.reduced, self.lane, self.lanes = tuple(reduced), lane, lanes
        self.lane_bit = 1 << lane if lane >= 0 else 0
        widths = [SIZES[b.data_type] for b in nest.buffers]
        self.widths = [widths[a.buffer] for a in accesses]
        self.sizes = [nest.buffers[a.buffer].elements * w for a, w in zip(accesses, self.widths, strict=True)]
        self._known: dict[tuple[int, ...], tuple[Sequence[int], list[float], list[float]]] = {}
        self._along = [[n for n in range(len(nest.axes)) if a.axes >> n & 1] for a in accesses]
        self._moves = [[bool(a.axes >> n & 1) for a in accesses] for n in range(len(nest.axes))]
        self._touched: list[dict[tuple[float, ...], float]] = [{} for _ in accesses]
        #: Whether all arrays stay in the first-level cache.
        self.is_small = sum(b.elements * w for b, w in zip(nest.buffers, widths, strict=True)) <= FIRST_LEVEL

    def cycles(
        self,
        counts: Sequence[tuple[int, int]],
        runs: Sequence[float],
        tile: Sequence[int],
        order: Sequence[int],
    ) -> tuple[float, float]:
        """Cycles of a tile in which its data come from the second-level cache, and from beyond it.

        `counts`: (bit of an axis, places along it), vectors along the lane axis.  `runs`: trips of the reduction's loops.
        """
        blocks, unique, near = self._within(counts, runs, tile)
        # From the innermost loop over tiles outwards: a loop along which an access does not move finds its data again where
        # they were, if all that the loops within have touched still fits there.
        far, sizes = [1.0] * len(near), self.sizes
        for n in reversed(order):
            turns = blocks[n]
            if turns == 1:
                continue
            footprint = sum(unique)
            near_again = turns if footprint > FIRST_LEVEL else 1
            far_again = turns if footprint > SECOND_LEVEL else 1
            for k, moves in enumerate(self._moves[n]):
                if moves:
                    near[k] *= turns
                    more = unique[k] * turns
                    unique[k] = more if more < sizes[k] else sizes[k]
                else:
                    near[k] *= near_again
                    far[k] *= far_again
        distant = 0.0
        if sum(unique) > SECOND_LEVEL:
            distant = sum([u * f for u, f in zip(unique, far, strict=True)])
        tiles = math.prod(blocks)
        return sum(near) / self.processor.near / tiles, distant / self.processor.far / tiles

    def _within(
        self, counts: Sequence[tuple[int, int]], runs: Sequence[float], tile: Sequence[int]
    ) -> tuple[Sequence[int], list[float], list[float]]:
        """The number of tiles along each axis, and of each access the bytes that one tile touches, and those that come near; the
        same for all orders of loops."""
        found = self._known.get(tuple(tile))
        if found is None:
            blocks = [-(-axis.size // size) for axis, size in zip(self.nest.axes, tile, strict=True)]
            touched = []
            for number, (along, known) in enumerate(zip(self._along, self._touched, strict=True)):
                # What it brings in depends on the tile's extent along the axes that it moves along, and on no others.
                key = (*runs, *[tile[n] for n in along])
                size = known.get(key)
                if size is None:
                    size = known[key] = self._of_a_tile(number, counts, runs)
                touched.append(size)
            unique = list(map(min, touched, self.sizes))
            # What is touched again and again within a tile stays near, if its array is small.
            near = [u if s <= FIRST_LEVEL else t for u, t, s in zip(unique, touched, self.sizes, strict=True)]
            found = self._known[tuple(tile)] = blocks, unique, near
        return found[0], found[1].copy(), found[2].copy()

    def _of_a_tile(self, number: int, counts: Sequence[tuple[int, int]], runs: Sequence[float]) -> float:
        """Bytes that an access brings in while a tile is computed.

        Pieces that it meets again at later steps (a window that slides over rows) are still there, so there are no more pieces
        than lie between the first and the last.
        """
        access = self.accesses[number]
        places, piece = self._pieces(access, self.widths[number], counts)
        passes = 1.0
        distances = [(n, access.steps[bit.bit_length() - 1]) for bit, n in counts if bit != self.lane_bit]
        for axis, times in zip(self.reduced, runs, strict=True):
            if axis == self.lane:
                passes *= times if access.axes & self.lane_bit else 1.0
            elif access.axes >> axis & 1:
                places *= times
                distances.append((math.ceil(times), access.steps[axis]))
        apart = [(n, abs(step)) for n, step in (*distances, *access.reach) if n > 1 and step]
        if apart:
            between = math.gcd(*(step for _, step in apart))
            places = min(places, sum((n - 1) * step for n, step in apart) // between + 1)
        return places * piece * passes

    def _pieces(self, access: Access, width: int, counts: Sequence[tuple[int, int]]) -> tuple[float, float]:
        """How many pieces an access brings in at one step of the loops that it depends on, and the bytes of each.

        A piece of so many bytes that begins at any multiple of g bytes lies in lines of 64 − g bytes more, on average.
        """
        places, together, vectors = 1, 1, 1
        for bit, n in counts:
            if bit == self.lane_bit:
                vectors = n
            elif access.axes & bit:
                if access.steps[bit.bit_length() - 1] == 1 and not access.opaque & bit:
                    together *= n
                else:
                    places *= n
        if access.axes & self.lane_bit:
            if access.opaque & self.lane_bit or access.steps[self.lane] != 1:
                return float(places * vectors * self.lanes), LINE
            together *= self.lanes * vectors
            if self.reduced[-1:] == (self.lane,):  # what comes next lies beside it
                return float(places), float(together * width)
        elif self.reduced and access.steps[self.reduced[-1]] == 1:
            return float(places), float(together * width)
        between = [step for n, step in enumerate(access.steps) if n != self.lane and step != 1]
        # Where it begins is not known before a table is read: it comes later than what lies at a distance that is known.
        begins = (
            width
            if access.opaque
            else math.gcd(LINE, *(width * n for n in (together, access.constant, *between)))
        )
        return float(places), float(width * together + LINE - begins)
