"""Where barriers stand: against a look at every pair of calls."""

from __future__ import annotations

import random

import pytest
from dln.compiler.kernels.program import Call
from dln.compiler.schedule.routines import Step, calls


def overlap(ours: list[tuple[int, int]], theirs: list[tuple[int, int]]) -> bool:
    return any(a < d and c < b for a, b in ours for c, d in theirs)


@pytest.mark.parametrize("seed", range(40))
def test_barriers_stand_where_data_may_pass(seed: int) -> None:
    draw = random.Random(seed)
    places: dict[str, tuple[int, int]] = {}
    for k in range(draw.randrange(2, 12)):
        begin = draw.randrange(60)
        places[f"b{k}"] = (begin, begin + draw.randrange(1, 14))
    steps = []
    for _ in range(30):
        names = draw.sample(sorted(places), draw.randrange(1, len(places) + 1))
        cut = draw.randrange(len(names) + 1)
        steps.append(Step("k", tuple(names), frozenset(names[:cut]), frozenset(names[cut:]), 1, ("f",), 1, 1))
    found = calls(steps, places.__getitem__)
    written: list[tuple[int, int]] = []
    read: list[tuple[int, int]] = []
    for step, call in zip(steps, found, strict=True):
        assert isinstance(call, Call)
        ours = [places[n] for n in step.reads]
        stored = [places[n] for n in step.writes]
        needed = overlap(ours, written) or overlap(stored, written) or overlap(stored, read)
        assert call.barrier == needed
        if needed:
            written, read = [], []
        written += stored
        read += ours
