"""How long a step takes, and how much of it each call.

In: an `Execution` and samples that it was made for.  Out: `StepTimes`; with a profile one `CallTime` per call of the routine.

    times = time_steps(execution, "train", arrays, batch=128, seconds=1)
    times.median                                                  # seconds
    for call in profile_steps(execution, "train", arrays, batch=128, seconds=1): …

Steps are run many at a time in one native call, as in training, for about 20 ms; each native call is one measurement.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..compiler.kernels.division import calls_of, is_divided
from ..compiler.kernels.program import Call, TimeLoop
from .execution import Execution

#: Seconds of one measurement.
_PIECE = 0.02
#: Native calls that are not counted: code is loaded, memory touched, and the number of threads found that is the fastest.
_WARMING = 8


@dataclass(frozen=True)
class StepTimes:
    """Seconds per step of every measurement, and how many steps there were in all."""

    seconds: tuple[float, ...]
    steps: int

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def least(self) -> float:
        return min(self.seconds)


@dataclass(frozen=True)
class CallTime:
    """A call of a routine in one step.

    families       what it computes
    seconds        that the first thread spends in it, all repetitions in loops over time together
    multiply_adds  index points of its sums; 0 for a call without a sum. Those that conditions leave out are among them.
    bytes          that it touches
    divided        whether all threads share it
    """

    families: tuple[str, ...]
    kernel: str
    seconds: float
    multiply_adds: int
    bytes: int
    divided: bool


def time_steps(
    execution: Execution, routine: str, arrays: Mapping[str, np.ndarray], batch: int, seconds: float
) -> StepTimes:
    """The time of a step with a full minibatch, measured for about so many seconds."""
    measured = list(_measured(execution, routine, arrays, batch, seconds, None))
    return StepTimes(tuple(spent / steps for spent, steps in measured), sum(steps for _, steps in measured))


def profile_steps(
    execution: Execution, routine: str, arrays: Mapping[str, np.ndarray], batch: int, seconds: float
) -> list[CallTime]:
    """The time of every call in a step, the median over native calls. The weights of `execution` stay as they are."""
    from ..compiler.machine.machine_code import compile_program

    compiled = execution.compiled
    profiled = Execution(
        replace(compiled, code=compile_program(compiled.program, compiled.code.target, profile=True)),
        execution.threads,
    )
    profiled.memory.put_back(execution.memory.copy_of(execution.kept))
    described = compiled.program.routines[routine]
    calls = list(calls_of(described))
    repeats = list(_repeats(described.calls, 1))
    nanoseconds = np.zeros(len(calls), dtype=np.int64)
    rows = []
    for _, steps in _measured(profiled, routine, arrays, batch, seconds, nanoseconds):
        rows.append(nanoseconds / (steps * 1e9))
        nanoseconds[:] = 0
    medians = np.median(rows, axis=0)
    return [
        CallTime(
            call.families,
            call.kernel,
            float(spent),
            0 if call.kernel.endswith("_map") else call.multiply_adds * times,
            call.bytes * times,
            is_divided(call),
        )
        for call, spent, times in zip(calls, medians, repeats, strict=True)
    ]


def _measured(
    execution: Execution,
    routine: str,
    arrays: Mapping[str, np.ndarray],
    batch: int,
    seconds: float,
    profile: np.ndarray | None,
) -> Iterator[tuple[float, int]]:
    """(seconds, steps) of one native call after the other."""
    most = min(map(len, arrays.values()), default=batch) // batch
    steps = 1
    end = time.perf_counter() + seconds
    number = 0
    while True:
        begun = time.perf_counter()
        execution.run(routine, arrays, 0, steps * batch, batch=batch, training=True, profile=profile)
        now = time.perf_counter()
        if number >= _WARMING:
            yield now - begun, steps
            if now >= end:
                return
        elif profile is not None:
            profile[:] = 0
        number += 1
        steps = max(1, min(most, 4 * steps, int(steps * _PIECE / max(now - begun, 1e-7))))


def _repeats(calls: Sequence[Call | TimeLoop], times: int) -> Iterator[int]:
    """How often a step makes each call."""
    for call in calls:
        if isinstance(call, TimeLoop):
            yield from _repeats(call.body, times * call.extent)
        else:
            yield times
