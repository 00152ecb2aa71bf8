"""Where barriers stand between calls: against all short sequences of calls, by brute force."""

from __future__ import annotations

import itertools

from dln.compiler.kernels.division import Pending, is_divided
from dln.compiler.kernels.program import Call, Program, Routine, TimeLoop
from dln.compiler.machine.driver import routine_text


def brute_force_race(calls: list[Call], needed: list[bool]) -> bool:
    """Whether two calls that must be kept apart may overlap: a divided call touches every thread, another only the first.

    A call with `barrier` must come after all earlier calls; one without only after those before the last call with it.
    """
    for later, call in enumerate(calls):
        fence = later if call.barrier else max((k for k in range(later) if calls[k].barrier), default=0)
        for earlier in range(fence):
            separated = any(needed[earlier + 1 : later + 1])
            alone = not is_divided(calls[earlier]) and not is_divided(call)
            if not separated and not alone:
                return True
    return False


def test_barriers_are_enough_and_not_more_than_needed() -> None:
    kinds = [
        Call("k", (), 8, barrier, multiply_adds=10**6 if divided else 1)
        for barrier in (False, True)
        for divided in (False, True)
    ]
    for calls in itertools.product(kinds, repeat=5):
        pending, needed = Pending(), []
        for call in calls:
            need, pending = pending.before(call)
            needed.append(need)
        assert not brute_force_race(list(calls), needed)
        for k in range(5):
            if needed[k]:
                fewer = [n and j != k for j, n in enumerate(needed)]
                assert brute_force_race(list(calls), fewer)


def test_barriers_in_time_loops_see_the_end_of_the_body() -> None:
    divided = Call("double", (0, 0), 8, multiply_adds=10**7)
    alone = Call("double", (0, 0), 1)
    loop = TimeLoop(5, False, (alone, divided))
    program = Program("p", 8, {}, {}, 64, {}, {"run": Routine("run", (loop,))})
    text, _ = routine_text(program, "run", vector_bits=128)
    # One before the single call (the divided one of the step before), one before the divided call, two around the minibatch.
    assert text.count("call void @dln_barrier") == 4
