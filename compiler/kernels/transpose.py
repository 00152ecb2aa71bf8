"""Transposing copies: blocks of lanes × lanes elements turned in registers.

In: a nest that copies one buffer to another so that a different axis becomes the contiguous one.  Out: `Function`.

    @1[512 a1 + a0] = @0[128 a0 + a1]      16 vectors along a1 are loaded, turned by 64 shuffles, stored along a0

How a block is turned stands in squares.py.
"""

from __future__ import annotations

import math

from ..mathematics.affine import linear
from ..mathematics.expression import Axis
from ..record import record
from .lanes import Evaluator
from .loop_builder import Builder
from .loops import Function, Store, Value
from .memory import SIZES
from .nest import Nest, buffer_of, is_access, is_guarded
from .squares import turned


@record
class Transposition:
    """`along`: the axis that is contiguous in the source.  `across`: the one that is contiguous in the result."""

    along: Axis
    across: Axis
    lanes: int


def find(nest: Nest, vector_bits: int) -> Transposition | None:
    """How a nest transposes, if that is all that it does."""
    if nest.kind or len(nest.results) != 1 or len(nest.axes) < 2:
        return None
    (result,) = nest.results
    value = result.value
    if not is_access(value) or is_guarded(value) or value.type != "real":
        return None
    kinds = {nest.buffers[n].data_type for n in (result.buffer, buffer_of(value))}
    source, target = linear(value.children[0]), linear(result.offset)
    if kinds != {nest.real} or not source.is_affine or not nest.idempotent:
        return None
    along = next((a for a in nest.axes if source.coefficients.get(a) == 1), None)
    across = next((a for a in nest.axes if target.coefficients.get(a) == 1), None)
    if along is None or across is None or along == across:
        return None
    most = vector_bits // (8 * SIZES[nest.real])
    lanes = min(most, 1 << (min(along.size, across.size).bit_length() - 1))
    return Transposition(along, across, lanes) if lanes >= 4 else None


def generate(nest: Nest, how: Transposition, name: str) -> tuple[Function, int]:
    """The kernel, and the size of the range that threads divide."""
    builder = Builder([f"b{n}" for n in range(len(nest.buffers))])
    lanes = how.lanes
    # Blocks side by side in the result are neighbours in the walk.
    order = [a for a in nest.axes if a not in (how.along, how.across)] + [how.along, how.across]
    starts: dict[Axis, Value] = {}
    place, _ = builder.open_loop(builder.begin, builder.end)
    counts = {a: -(-a.size // lanes) if a in (how.along, how.across) else a.size for a in order}
    left = extent = math.prod(counts.values())
    for axis in order:
        left //= counts[axis]
        block = builder.emit("udiv", (place, builder.integer(left)), "i64") if left > 1 else place
        block = builder.emit("urem", (block, builder.integer(counts[axis])), "i64")
        if axis in (how.along, how.across):
            block = builder.multiply(block, builder.integer(lanes))
            if axis.size % lanes:  # the last block begins earlier, and copies some elements twice
                block = builder.minimum(block, builder.integer(axis.size - lanes))
        starts[axis] = block
    (result,) = nest.results
    load = Evaluator(builder, nest, starts, lane=how.along, lanes=lanes, shifted=(how.across,))
    rows = [load.value(result.value, (n,)) for n in range(lanes)]
    store = Evaluator(builder, nest, starts, lane=how.across, lanes=lanes, shifted=(how.along,))
    for n, row in enumerate(turned(builder, rows)):
        pointer, _ = store.place(result.buffer, result.offset, (n,))
        builder.store(Store(pointer, row))
    builder.close()
    return builder.function(name), extent
