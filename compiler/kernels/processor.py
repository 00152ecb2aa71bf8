"""Processors, as the cost model sees them: what a core issues in a cycle, and what its caches hold and give.

In: nothing.  Out: `WIDE` and `NARROW`, the two kinds that were measured; and how computing and waiting for data add up.

A core issues two loads and two vector operations a cycle. Absolute figures do not matter, only which of two plans is faster.
"""

from __future__ import annotations

from ..record import record

LATENCY = 4.0
LOADS_PER_CYCLE = 2.0
OPERATIONS_PER_CYCLE = 2.0

LINE = 64  # bytes
FIRST_LEVEL = 28_000  # bytes, with room for what else is in the cache
SECOND_LEVEL = 1_000_000

#: How much of the time in which data come from the second-level cache is not hidden behind arithmetic.
NEAR_WAITING = 0.15


@record
class Processor:
    """One kind of core.

    issue      operations of all kinds a cycle, of those that another thread of the same core leaves
    friction   of loads and vector operations that could overlap in full, how much does not
    counting   vector operations that a step of a reduction costs besides
    turning    cycles of a turn of its innermost loop besides
    near       bytes a cycle from the second-level cache
    far        bytes a cycle from beyond it
    waiting    how much of the time in which these come is not hidden
    gathering  loads that a gather counts for each lane: of elements at a fixed distance, of elements anywhere, and of elements
               that some lanes must not load
    scattering stores that a scatter counts for each lane
    packing    a sum reads packed copies and not its arrays in place if it is expected to take less than so many times as long
    """

    issue: float
    friction: float
    counting: float
    turning: float
    near: float
    far: float
    waiting: float
    gathering: tuple[float, float, float]
    scattering: float
    packing: float

    def issued(self, loads: float, operations: float) -> float:
        """Cycles in which loads and operations are issued. What could overlap in full never quite does."""
        both = (loads + operations) / self.issue
        least = max(loads / LOADS_PER_CYCLE, operations / OPERATIONS_PER_CYCLE, both)
        return least + self.friction * min(loads, operations)


#: With AVX-512, measured on Zen 4.
WIDE = Processor(4.0, 0.25, 2.0, 0.0, 32.0, 6.0, 0.5, (1.25, 1.25, 1.25), 1.5, 0.95)
#: With vectors of half a line and without masks, measured on Zen 3. LLVM gathers there lane by lane, behind branches where some
#: lanes must not load.
#: Within a step of training, where data come from memory, packed copies were 5 to 15 % faster than blocks of equal expectation.
#: The core issues six operations a cycle. On a machine that others share, a loop of twelve multiply-adds and seven loads keeps
#: its speed and one with eight loses a tenth of it (medians; with twelve, a quarter): half of the six are counted on.
NARROW = Processor(3.2, 0.05, 0.0, 1.0, 16.0, 16.0, 0.15, (2.5, 6.0, 12.0), 3.0, 1.13)


def in_time(
    computing: float, near: float, far: float, waits: float, near_waits: float = NEAR_WAITING
) -> float:
    """Cycles in which a tile is computed while its data come: what does not overlap is added."""
    waiting = near_waits * near + waits * far
    return max(computing, near + far) + min(computing, waiting)


def near_within(computing: float, room: float) -> float:
    """Of the cycles in which data come from the second level, so many that `in_time` is not certainly more than `room`."""
    hidden = (room - computing) / NEAR_WAITING
    return hidden if hidden <= computing else max(room / (1 + NEAR_WAITING), room - computing)
