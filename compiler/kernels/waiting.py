"""Accumulators that wait in memory while those of other tiles are used: in the thread's own, aligned to lines.

In: the accumulators of one tile, and the number of tiles.  Out: `Waiting`.

    waiting = Waiting(builder, [12 vectors of 8 floats], 170)     64 KB
    where = waiting.pointers(number)                              of tile number `number`
    waiting.store(where, accumulators); accumulators = waiting.load(where)
"""

from __future__ import annotations

from collections.abc import Sequence

from .loop_builder import Builder
from .loops import Store, Value

_BYTES = {"f32": 4, "f64": 8, "i64": 8, "i32": 4}


class Waiting:
    """The memory of the accumulators of so many tiles; `kinds` are values of the types that those of one tile have."""

    def __init__(self, builder: Builder, kinds: Sequence[Value], tiles: int) -> None:
        self.builder, self.kinds = builder, tuple(kinds)
        sizes = [_BYTES[v.element] * v.lanes for v in kinds]
        self.places = [sum(sizes[:n]) for n in range(len(sizes))]
        self.size = sum(sizes)
        self.memory = builder.reserve(self.size * tiles)

    def pointers(self, number: Value) -> list[Value]:
        """Where the accumulators of a tile are."""
        builder = self.builder
        offset = builder.multiply(number, builder.integer(self.size))
        begin = builder.emit("address", (self.memory, offset), "ptr")
        return [builder.emit("address", (begin, builder.integer(place)), "ptr") for place in self.places]

    def load(self, where: Sequence[Value]) -> list[Value]:
        """The accumulators of a tile."""
        return [
            self.builder.emit_here("load", (pointer,), kind.element, kind.lanes)
            for pointer, kind in zip(where, self.kinds, strict=True)
        ]

    def store(self, where: Sequence[Value], values: Sequence[Value]) -> None:
        """Keep the accumulators of a tile."""
        for pointer, value in zip(where, values, strict=True):
            self.builder.store(Store(pointer, value))
