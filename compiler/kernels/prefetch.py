"""Prefetch: what the results of a tile read and write is asked for before the tile's sum begins.

In: a `Tile` whose loops are open, in a time loop.  Out: instructions that bring lines of memory near, and change nothing.

    h[t, j] = tanh(a[t, j] + Σ_k U[k, j] · h[t − 1, k])     a line of a[t] and one of h[t] are asked for, then 128 terms are added

A step of a time loop reads and writes memory that was last touched a whole pass ago, if ever, and in short runs, which the
processor does not foresee. While a long sum is computed there is time for it to come.
"""

from __future__ import annotations

import math

from ..mathematics.affine import linear
from ..mathematics.expression import Expression
from ..mathematics.walks import postorder
from .memory import ALIGNMENT, SIZES
from .nest import TIME, accesses, buffer_of
from .tile import Tile

#: Sums of fewer terms are over before anything has come.
_LONG = 48


def ask_ahead(tile: Tile) -> None:
    """Ask for what the results of the tile read, and for where they go, if it is along the lanes and changes with time."""
    nest, plan, builder = tile.nest, tile.plan, tile.builder
    terms = math.prod(axis.size for axis in nest.reduced)
    if nest.time == 1 or plan.lane not in plan.order or terms < _LONG:
        return
    places: dict[tuple[int, Expression], str] = {}
    for result in nest.results:
        places |= {(buffer_of(n), n.children[0]): "read" for n in accesses(result.value)}
    places |= {(result.buffer, result.offset): "write" for result in nest.results}
    along = plan.order.index(plan.lane)
    evaluator = tile.evaluator(plan.lane, plan.order)
    for (buffer, offset), how in places.items():
        if linear(offset).coefficients.get(plan.lane) != 1 or TIME not in postorder(offset):
            continue
        size = SIZES[nest.buffers[buffer].data_type]
        for shift in tile.results:
            if shift[along] * size % ALIGNMENT == 0:
                pointer, _ = evaluator.place(buffer, offset, shift)
                builder.emit("prefetch", (pointer,), "ptr", 1, how)
