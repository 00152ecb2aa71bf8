"""Random numbers over vectors: threefry.py's arithmetic as LLVM text.

In: names such as `dln_random_v16f32`, `dln_random2_v8f64`.  Out: their definitions. All five arguments are <n x i32> (seed,
number, step, start, place: see threefry.uniform); `random2` gives the second word of the same pair.

The parts that are the same in all lanes are left to LLVM, which takes them out of the loop.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..mathematics.threefry import BITS, PARITY, ROTATIONS, ROUNDS
from .vector_format import Format
from .vector_text import LaneText, Value

ARGUMENTS = ("seed", "number", "step", "start", "place")


def random(t: LaneText, words: Sequence[Value], f: Format, word: int) -> Value:
    """The number between 0 and 1 that belongs to five words."""
    key0, key1, step, start, place = words
    keys = (key0, key1, key0 ^ key1 ^ PARITY)
    x0, x1 = start + place + keys[0], step + keys[1]
    for turn in range(ROUNDS):
        by = t.constant(ROTATIONS[turn % 8], "i32")
        x0 = x0 + x1
        x1 = t.intrinsic("fshl", x1, x1, by) ^ x0
        if turn % 4 == 3:
            again = turn // 4 + 1
            x0 = x0 + keys[again % 3]
            x1 = x1 + keys[(again + 1) % 3] + again
    bits = t.logical_right_shift((x0, x1)[word], 32 - BITS)
    return (t.convert(bits, f.element) + 0.5) * 2.0**-BITS
