"""Standard random draws as index equations: a pure function of seed, draw, step, sample and indices.

In: the kind of a draw, the name and axes of the family that holds it, loads of the clocks.  Out: the family's body.

    standard_draw("uniform", "y.uniform", (BATCH, j), clocks)
    →  random(seed, number of "y.uniform", step, first sample · 10, batch · 10 + j)

The number of a draw is made of the name of its family: so a draw keeps its values when others are added to the file. The sample
is counted among all that a routine goes through, so that evaluation does not depend on how they are cut into minibatches.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence

from .expression import BATCH, Apply, Axis, Expression, Load, apply, integer, real


def standard_draw(kind: str, name: str, axes: Sequence[Axis], clocks: Mapping[str, Load]) -> Expression:
    """A number in (0, 1) ('uniform'), or a normal one with mean 0 and deviation 1 ('normal'), for every index point.

    Normal ones by G. Box and M. Muller, A note on the generation of random normal deviates (1958). Of the 23 bits of a uniform
    number, the largest normal one is 5.8.
    """
    place: Expression = integer(0)
    start: Expression = integer(0)
    size = math.prod(a.size for a in axes if a != BATCH)
    for axis in axes:
        place = axis if axis == BATCH else apply("*", place, integer(axis.size)) + axis
    if BATCH in axes:
        start = apply("*", clocks["first sample"], integer(size))
    words = (clocks["random seed"], integer(zlib.crc32(name.encode())), clocks["step"], start, place)
    first = Apply("random", words, "real")
    if kind == "uniform":
        return first
    radius = apply("sqrt", real(-2) * apply("log", first))
    return radius * apply("cos", real(2 * math.pi) * Apply("random2", words, "real"))
