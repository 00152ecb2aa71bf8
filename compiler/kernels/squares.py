"""Squares: blocks of elements turned in registers, so that columns become vectors.

In: the rows of a block, a power of two of them, as vectors of at least as many lanes.  Out: vectors of its columns.

    4 rows of 8 lanes   →   vector n holds column n, and behind it column 4 + n: 8 shuffles

The shuffles are Eklundh's: at distance d, two rows that are d apart exchange the blocks that lie d off the diagonal
(J. O. Eklundh, A Fast Computer Method for Matrix Transposing, IEEE Transactions on Computers, 1972).
"""

from __future__ import annotations

from collections.abc import Sequence

from .loop_builder import Builder
from .loops import Value


def turned(builder: Builder, rows: Sequence[Value]) -> list[Value]:
    """As many vectors as there are rows: number n is columns n, n + rows, n + 2 · rows, … one after the other."""
    lanes, element = rows[0].lanes, rows[0].element
    distance = len(rows) // 2
    while distance:
        after = list(rows)
        for n in range(len(rows)):
            if n & distance:
                continue
            pair = (rows[n], rows[n + distance])
            low = tuple(e if not e & distance else lanes + e - distance for e in range(lanes))
            high = tuple(e + distance if not e & distance else lanes + e for e in range(lanes))
            after[n] = builder.emit("shuffle", pair, element, lanes, low)
            after[n + distance] = builder.emit("shuffle", pair, element, lanes, high)
        rows = after
        distance //= 2
    return list(rows)


def columns(builder: Builder, rows: Sequence[Value]) -> list[Value]:
    """The columns of a block, each a vector with a lane for every row."""
    lanes, element, count = rows[0].lanes, rows[0].element, len(rows)
    vectors = turned(builder, rows)
    result = []
    for column in range(lanes):
        vector = vectors[column % count]
        if count < lanes:
            first = column // count * count
            part = tuple(range(first, first + count))
            vector = builder.emit("shuffle", (vector, vector), element, count, part)
        result.append(vector)
    return result
