"""How threads share the calls of a routine, and where barriers between them are needed.

In: the calls of a `Routine`.  Out: `is_divided`, `is_balanced`, and `Pending`, which follows the calls one by one.

A call that is too small to be worth dividing is made by the first thread alone. This is decided from the costs that the program
states, so it is the same for any number of threads. A barrier stands only where data may pass from one thread to another:
none between calls that the first thread makes one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..record import record
from .program import Call, Routine, TimeLoop

#: What a core does in a nanosecond, roughly, and how many nanoseconds of work are worth dividing.
MULTIPLY_ADDS_PER_NANOSECOND = 60
BYTES_PER_NANOSECOND = 80
WORTH_DIVIDING = 2000
#: Of calls of so many nanoseconds, a thread that is done takes over pieces from the others.
WORTH_BALANCING = 20_000


def is_divided(call: Call) -> bool:
    """Whether the threads share a call, or the first one makes it alone."""
    return call.extent > 1 and is_worth_dividing(call.multiply_adds, call.bytes)


def is_worth_dividing(multiply_adds: int, size: int) -> bool:
    """Whether so many multiply-adds on so many bytes are enough work for several threads."""
    return _nanoseconds(multiply_adds, size) >= WORTH_DIVIDING


def is_balanced(call: Call) -> bool:
    """Whether threads that are done with their part of a call take over pieces from the others; in a time loop, if there is a
    barrier before it in every step."""
    return is_divided(call) and _nanoseconds(call.multiply_adds, call.bytes) >= WORTH_BALANCING


def _nanoseconds(multiply_adds: int, size: int) -> float:
    return multiply_adds / MULTIPLY_ADDS_PER_NANOSECOND + size / BYTES_PER_NANOSECOND


def calls_of(routine: Routine) -> Iterator[Call]:
    """Every call once, in order; the index in this order is the one of job.profile."""
    stack: list[Call | TimeLoop] = list(reversed(routine.calls))
    while stack:
        item = stack.pop()
        if isinstance(item, TimeLoop):
            stack.extend(reversed(item.body))
        else:
            yield item


def scratch_of(routine: Routine) -> int:
    """Bytes of its own memory that each thread lends to the calls of a routine, to one after the other."""
    return max((call.scratch for call in calls_of(routine)), default=0)


@record
class Pending:
    """Which calls other threads may still be busy with: since the last barrier that the program asked for, by kind; and
    whether there are calls of the first thread before that, because the barrier itself was not needed."""

    alone: bool = False
    divided: bool = False
    earlier: bool = False

    def before(self, call: Call) -> tuple[bool, Pending]:
        """Whether a barrier is needed before a call, and what is pending after the call."""
        divided = is_divided(call)
        needed, rest = False, self
        if call.barrier:
            needed = self.divided or (divided and (self.alone or self.earlier))
            rest = Pending() if needed else Pending(earlier=self.earlier or self.alone)
        elif divided and self.earlier:
            needed, rest = True, Pending()
        return needed, replace(rest, divided=True) if divided else replace(rest, alone=True)

    def __or__(self, other: Pending) -> Pending:
        return Pending(
            self.alone or other.alone, self.divided or other.divided, self.earlier or other.earlier
        )
