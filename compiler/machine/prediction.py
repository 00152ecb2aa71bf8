"""The time of a step, predicted before anything runs.

In: a `Program`, the machine's `Speed`, a number of threads.  Out: `Prediction`s, one per call of a routine, in its order.

    sum(p.seconds for p in predict(program, "train", speed, threads=2))

A call takes

    max(cycles / (cycles per second), bytes beyond the caches / (bytes per second)) / share + overhead

The cycles are those of the cost model (kernels/cost.py): multiply-adds in vectors, other operations, what the caches must bring.
A second has as many as the measured multiply-adds say: peak / (lanes · 2). Bytes count where a step touches more memory than
the caches hold. `share` is the number of threads for calls that are divided (division.py), else 1. The overhead is that of a call
and, with several threads, of the barrier before it. Copies have bytes alone, at the speed of the second-level cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..kernels.division import is_divided
from ..kernels.program import Call, Program, TimeLoop
from .speed import Speed

#: Bytes of the caches of all levels together, as far as one step can count on them.
CACHED = 16 * 2**20
#: Cycles of a call: its arguments, its loops begun and ended.
CALL_CYCLES = 15.0
#: Cycles of a barrier between threads that run.
BARRIER_CYCLES = 1500.0
#: Bytes that a copy within the caches moves in a cycle.
COPIED_PER_CYCLE = 12.0
#: Cycles of a minibatch beside its calls (clocks, results), and of a row of it that is gathered.
MINIBATCH_CYCLES = 60.0
ROW_CYCLES = 4.0


@dataclass(frozen=True)
class Prediction:
    """families: what is computed.  multiply_adds, bytes: of all repetitions in one step.  seconds: of all of them."""

    families: tuple[str, ...]
    multiply_adds: int
    bytes: int
    seconds: float


def predict(program: Program, routine: str, speed: Speed, threads: int = 1) -> list[Prediction]:
    """What every call of a routine takes in one step with a full minibatch; the gather of the minibatch comes first."""
    far = program.bytes > CACHED
    found = [_minibatch(program, routine, speed, far)]
    for call, repeats in _repeated(program.routines[routine].calls, 1):
        share = threads if threads > 1 and is_divided(call) else 1
        cycles = call.cycles or call.bytes / COPIED_PER_CYCLE
        seconds = cycles / speed.cycles / share
        if far:
            seconds = max(seconds, call.bytes / speed.bytes)
        overhead = CALL_CYCLES + (BARRIER_CYCLES if call.barrier and threads > 1 else 0.0)
        found.append(
            Prediction(
                call.families,
                repeats * call.multiply_adds,
                repeats * call.bytes,
                repeats * (seconds + overhead / speed.cycles),
            )
        )
    return found


def _minibatch(program: Program, routine: str, speed: Speed, far: bool) -> Prediction:
    """The rows of the minibatch are copied from the data to their places."""
    size = 0
    for name in program.routines[routine].inputs:
        place = program.placements[name]
        length = 8 if place.data_type.endswith("64") else 4
        for extent in place.shape:
            length *= extent
        size += 2 * length
    cycles = size / COPIED_PER_CYCLE + ROW_CYCLES * program.capacity + MINIBATCH_CYCLES
    seconds = max(cycles / speed.cycles, size / speed.bytes if far else 0.0)
    return Prediction(("minibatch",), 0, size, seconds)


def _repeated(calls: Sequence[Call | TimeLoop], repeats: int) -> Iterator[tuple[Call, int]]:
    """Every call with how often a step makes it."""
    for call in calls:
        if isinstance(call, TimeLoop):
            yield from _repeated(call.body, repeats * call.extent)
        else:
            yield call, repeats
