"""Memory: the layout of every array, and one block in which all of them lie, the short-lived ones one after another.

In: a graph, and the calls in order with what each reads and writes.  Out: `Layout`s, and byte offsets (`plan`).

    layouts(graph, capacity=32, real="float32")["hidden"]   →   shape (32, 10), strides (1, 32): the batch innermost

Batched arrays have the batch innermost where the capacity fills vectors, so that every family is a vector operation over
samples whatever its subscripts do. Otherwise the batch is outermost and lanes come from other axes.
Every array begins at a multiple of 64 bytes and is padded to one, so that vectors may run over its end. Loads may go further:
behind the last array there are as many bytes as they may touch.
"""

from __future__ import annotations

import bisect
import heapq
import math
from collections.abc import Iterable, Mapping
from functools import cached_property

from ..mathematics.expression import BATCH, Axis, Constant
from ..mathematics.graph import Array, Family, Graph
from ..record import record
from .program import DataType

ALIGNMENT = 64

#: Strides that are multiples of this many bytes conflict in caches, in arrays of at least so many bytes.
_CONFLICTING = 512
_LARGE = 32_768
#: Rows of fewer bytes are not made longer.
_LONG_ROW = 512

#: With fewer samples the batch is never the innermost axis.
BATCH_LANES = 8

SIZES: dict[DataType, int] = {"float32": 4, "float64": 8, "int32": 4, "int64": 8}


@record
class Layout:
    """Shape (batch first, as capacity) and strides in elements, one per subscript; `elements` with gaps, without padding."""

    data_type: DataType
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @cached_property
    def _hash(self) -> int:
        return hash((self.data_type, self.shape, self.strides))

    def __hash__(self) -> int:  # layouts are a part of what tells nests apart
        return self._hash

    @cached_property
    def elements(self) -> int:
        return 1 + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))

    @cached_property
    def bytes(self) -> int:
        """Bytes with padding."""
        return -(-self.elements * SIZES[self.data_type] // ALIGNMENT) * ALIGNMENT


def table_key(name: str) -> str:
    """The name under which a static table has its memory."""
    return f"table {name}"


def batch_goes_innermost(graph: Graph, capacity: int, lanes: int) -> bool:
    """Whether lanes are samples. Where that would leave more than a fifth of the lanes empty, only if much of the work has
    odd subscripts (convolutions, tables): those are slow in any other direction."""
    if capacity < BATCH_LANES:
        return False
    if -(-capacity // lanes) * lanes <= 1.2 * capacity:
        return True
    plain = odd = 0
    for family in graph.families.values():
        if family.reduction is None or family.reduction.kind != "sum":
            continue
        points = math.prod(a.extent or capacity for a in family.axes + family.reduction.axes)
        batched = [load for load in family.loads if load.subscripts[:1] == (BATCH,)]
        if all(isinstance(s, Axis | Constant) for load in batched for s in load.subscripts):
            plain += points
        else:
            odd += points
    return odd * 10 > plain


def padded_capacity(capacity: int, lanes: int) -> int:
    """The capacity rounded up so that whole vectors of samples are computed."""
    width = min(lanes, 1 << (capacity - 1).bit_length())
    return -(-capacity // width) * width


def in_order(
    data_type: DataType, shape: tuple[int, ...], order: Iterable[int], *, lines: bool = False
) -> Layout:
    """A layout with the subscripts in `order`, outermost first. `lines`: long rows begin at cache lines.

    In large arrays, rows and planes whose size is a multiple of a large power of two are set apart by a cache line: otherwise
    the same place of all of them falls into the same few sets of a cache.
    """
    strides = [0] * len(shape)
    size, width = 1, SIZES[data_type]
    large = math.prod(shape) * width >= _LARGE
    for number, axis in enumerate(reversed(tuple(order))):
        if lines and number == 1 and size * width >= _LONG_ROW:
            size = -(-size * width // ALIGNMENT) * ALIGNMENT // width
        if large and shape[axis] > 1 and size * width % _CONFLICTING == 0:
            size += ALIGNMENT // width
        strides[axis] = size
        size *= shape[axis]
    return Layout(data_type, shape, tuple(strides))


def layout_of(
    known: Array | Family,
    capacity: int,
    real: DataType,
    *,
    batch_inside: bool = True,
    outermost: tuple[int, ...] = (),
) -> Layout:
    """The layout of an array or a family."""
    shape = ((capacity,) if known.batched else ()) + known.extents
    data_type: DataType = real if known.type == "real" else "int32"
    clock = isinstance(known, Array) and known.kind == "clock"
    if clock and known.type == "integer":
        data_type = "int64"
    elif not shape and known.type == "real" and (clock or isinstance(known, Family)):
        data_type = "float64"
    order = list(range(len(shape)))
    if known.batched and batch_inside:
        order = [*order[1:], 0]
    order = [*outermost, *(n for n in order if n not in outermost)]
    return in_order(data_type, shape, order)


def without_steps(layout: Layout, times: Iterable[int]) -> Layout:
    """The layout of an array of which only one step is kept at a time: all steps have the same memory."""
    once = tuple(times)
    return Layout(
        layout.data_type, layout.shape, tuple(0 if n in once else s for n, s in enumerate(layout.strides))
    )


def layouts(
    graph: Graph,
    *,
    capacity: int,
    real: DataType,
    batch_inside: bool = True,
    outermost: Mapping[str, tuple[int, ...]] | None = None,
) -> dict[str, Layout]:
    """The layout of every array, family and table. Families without axes and clocks are kept in double precision.

    `batch_inside`: whether the batch is the innermost axis, or the outermost.
    `outermost`: subscripts that go before all others, as time does where a time loop works on one step after the other.
    """
    result: dict[str, Layout] = {}
    everything: list[Array | Family] = [*graph.arrays.values(), *graph.families.values()]
    for known in everything:
        first = (outermost or {}).get(known.name, ())
        result[known.name] = layout_of(known, capacity, real, batch_inside=batch_inside, outermost=first)
    for name, table in graph.tables.items():
        values = table.values
        if values.dtype.kind == "i":
            small = values.size == 0 or -(2**31) <= int(values.min()) <= int(values.max()) < 2**31
            data_type: DataType = "int32" if small else "int64"
        else:
            data_type = real
        result[table_key(name)] = in_order(data_type, values.shape, range(values.ndim))
    return result


#: Bytes behind the last array that loads may touch: a vector with a few elements from lane to lane.
OVERRUN = 256


@record
class Lifetime:
    """Bytes that are needed from call `first` to call `last`, both included."""

    name: str
    bytes: int
    first: int
    last: int


def plan(kept: Mapping[str, int], lifetimes: Iterable[Lifetime]) -> tuple[dict[str, int], int, int]:
    """Offsets of everything, the bytes of what is kept, and the bytes in all.

    `kept` (name → bytes) lies in front, each with memory of its own. The rest is placed in order of its first call, each
    at the lowest place that is free as long as it lives.
    """
    offsets: dict[str, int] = {}
    end = 0
    for name, size in kept.items():
        offsets[name] = end
        end += _rounded(size)
    persistent = end
    free: list[tuple[int, int]] = []  # (offset, bytes), in order of offset, never touching
    ending: list[tuple[int, int, int]] = []  # (last, offset, bytes)
    for item in sorted(lifetimes, key=lambda i: (i.first, -i.bytes, i.name)):
        while ending and ending[0][0] < item.first:
            _, offset, size = heapq.heappop(ending)
            _give_back(free, offset, size)
        size = _rounded(item.bytes)
        best = min(
            ((length - size, n) for n, (_, length) in enumerate(free) if length >= size),
            default=None,
        )
        if best is None:
            # Grow the block, from a free piece at its very end if there is one.
            offset = free.pop()[0] if free and sum(free[-1]) == end else end
            end = offset + size
        else:
            offset, length = free[best[1]]
            if length > size:
                free[best[1]] = (offset + size, length - size)
            else:
                del free[best[1]]
        offsets[item.name] = offset
        heapq.heappush(ending, (item.last, offset, size))
    return offsets, persistent, end


def _rounded(size: int) -> int:
    return max(-(-size // ALIGNMENT) * ALIGNMENT, ALIGNMENT)


def _give_back(free: list[tuple[int, int]], offset: int, size: int) -> None:
    """Add a piece to the free list and join it with its neighbours."""
    at = bisect.bisect_left(free, (offset, 0))
    if at < len(free) and offset + size == free[at][0]:
        size += free[at][1]
        del free[at]
    if at > 0 and sum(free[at - 1]) == offset:
        offset, size = free[at - 1][0], free[at - 1][1] + size
        del free[at - 1]
        at -= 1
    free.insert(at, (offset, size))
