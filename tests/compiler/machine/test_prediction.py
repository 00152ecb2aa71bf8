"""The predicted time of a step: the formula by hand on a small program, and the measurements that it rests on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from dln.compiler.kernels.program import Call, Placement, Program, Routine, TimeLoop
from dln.compiler.machine import prediction, speed
from dln.compiler.machine.prediction import predict
from dln.compiler.machine.speed import Speed, machine_speed

#: 10⁹ cycles a second, 10⁹ bytes a second.
SLOW = Speed(multiply_adds=16e9, bytes=1e9, lanes=8)
LARGE = Call("k0", (0,), 100, True, ("h",), 2_000_000, 400_000, cycles=5e5)
SMALL = Call("k1", (0,), 1, False, ("g",), 10, 40, cycles=100.0)
COPY = Call("k2", (0,), 1, False, ("c",), 1000, 1200)


def program(size: int) -> Program:
    calls = (LARGE, TimeLoop(7, False, (SMALL, TimeLoop(2, True, (COPY,)))))
    routine = Routine("train", calls, inputs=("x",))
    place = Placement("x", 0, (4, 3), (12, 4), "float32")
    return Program("p", 4, {"x": place}, {}, size, {}, {"train": routine})


def test_the_formula() -> None:
    rows = predict(program(1000), "train", SLOW)
    gather, large, small, copy = rows
    call, minibatch = prediction.CALL_CYCLES, prediction.MINIBATCH_CYCLES
    assert SLOW.cycles == 1e9
    assert large.seconds == pytest.approx((5e5 + call) * 1e-9)
    assert small.seconds == pytest.approx(7 * (100 + call) * 1e-9)
    assert copy.seconds == pytest.approx(14 * (1200 / prediction.COPIED_PER_CYCLE + call) * 1e-9)
    rows_copied = 2 * 4 * 12 / prediction.COPIED_PER_CYCLE + 4 * prediction.ROW_CYCLES
    assert gather.seconds == pytest.approx((rows_copied + minibatch) * 1e-9)
    assert (small.multiply_adds, small.bytes, small.families) == (70, 280, ("g",))
    # What the caches do not hold comes at the speed of the memory.
    far = predict(program(prediction.CACHED + 1), "train", replace(SLOW, bytes=0.5e9))
    assert far[1].seconds == pytest.approx(400_000 / 0.5e9 + call * 1e-9)
    assert far[2].seconds == small.seconds


def test_threads_share_what_is_large() -> None:
    one, two = predict(program(1000), "train", SLOW), predict(program(1000), "train", SLOW, threads=2)
    assert two[1].seconds == pytest.approx(
        (2.5e5 + prediction.CALL_CYCLES + prediction.BARRIER_CYCLES) * 1e-9
    )
    assert two[2:] == one[2:]


def test_the_machine_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLN_CACHE", str(tmp_path))
    monkeypatch.setattr(speed, "_TRIALS", 5)
    first = machine_speed()
    # Between a small processor of long ago and one of years to come, whatever else the machine does.
    assert 1e7 < first.multiply_adds < 1e12
    assert 1e7 < first.bytes < 1e13
    monkeypatch.setattr(speed, "measure_speed", None)
    if speed.processor():
        assert machine_speed() == first
    assert Speed(**json.loads(json.dumps(vars(first)))) == first
