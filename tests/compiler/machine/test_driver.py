"""The driver on tiny hand-written programs: gathers, clocks, sums, outputs, time loops, threads, stopping, profiles."""

from __future__ import annotations

import ctypes
import threading
import time
from dataclasses import dataclass, field

import numpy as np
import pytest
from dln.compiler.kernels.division import calls_of
from dln.compiler.kernels.program import Call, Kernel, Placement, Program, Routine, TimeLoop
from dln.compiler.machine import driver
from dln.compiler.machine.job import Job
from dln.compiler.machine.machine_code import Code, compile_program
from dln.compiler.machine.native import Target, host_target

SIGNATURE = "i64 %valid, i64 %time, i64 %begin, i64 %end"
#: y[k] = 2·x[k] over a flat range of floats.
DOUBLE = Kernel(
    "double",
    f"""define void @double(ptr %x, ptr %y, {SIGNATURE}) {{
entry:
  %some = icmp slt i64 %begin, %end
  br i1 %some, label %loop, label %done
loop:
  %i = phi i64 [ %begin, %entry ], [ %next, %loop ]
  %from = getelementptr float, ptr %x, i64 %i
  %to = getelementptr float, ptr %y, i64 %i
  %value = load float, ptr %from
  %twice = fadd float %value, %value
  store float %twice, ptr %to
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %end
  br i1 %more, label %loop, label %done
done:
  ret void
}}
""",
)
#: One number: the mean over the valid lanes of the first feature; all other lanes are padding.
MEAN = Kernel(
    "mean",
    f"""declare double @llvm.fabs.f64(double)
define void @mean(ptr %y, ptr %loss, {SIGNATURE}) {{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %sum = phi double [ 0.0, %entry ], [ %added, %loop ]
  %from = getelementptr float, ptr %y, i64 %i
  %value = load float, ptr %from
  %wide = fpext float %value to double
  %added = fadd double %sum, %wide
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %valid
  br i1 %more, label %loop, label %done
done:
  %count = sitofp i64 %valid to double
  %mean = fdiv double %added, %count
  store double %mean, ptr %loss
  ret void
}}
""",
)
#: trace[counter] = 100·number + time, counter += 1: in which order calls are made.
TRACE = """define void @trace{n}(ptr %counter, ptr %trace, i64 %valid, i64 %time, i64 %begin, i64 %end) {{
  %index = load i64, ptr %counter
  %place = getelementptr i64, ptr %trace, i64 %index
  %code = add i64 %time, {code}
  store i64 %code, ptr %place
  %next = add i64 %index, 1
  store i64 %next, ptr %counter
  ret void
}}
"""


@dataclass
class Bench:
    """A program with memory, and a job over datasets. Keeps alive what the job points to."""

    program: Program
    code: Code = field(init=False)

    def __post_init__(self) -> None:
        self.code = compile_program(self.program)
        self.block = np.zeros(self.program.bytes + 64, np.uint8)
        self.start = -self.block.ctypes.data % 64

    def view(self, name: str) -> np.ndarray:
        p = self.program.placements[name]
        return np.ndarray(p.shape, p.data_type, self.block.data, self.start + p.offset, p.strides)

    def job(
        self,
        stop: int,
        batch: int,
        datasets: tuple[np.ndarray, ...] = (),
        outputs: tuple[np.ndarray | None, ...] = (),
        order: np.ndarray | None = None,
        results: np.ndarray | None = None,
        start: int = 0,
    ) -> Job:
        job = Job()
        pointers = (ctypes.c_void_p * 8)(*[d.ctypes.data for d in datasets])
        into = (ctypes.c_void_p * 8)(*[None if o is None else o.ctypes.data for o in outputs])
        job.memory, job.batch = self.block.ctypes.data + self.start, batch
        job.datasets, job.outputs = ctypes.addressof(pointers), ctypes.addressof(into)
        job.start, job.stop = start, stop
        job.order = None if order is None else order.ctypes.data
        job.results = None if results is None else results.ctypes.data
        self.kept = (pointers, into, datasets, outputs, order, results)
        return job


def batch_innermost(
    name: str, offset: int, capacity: int, features: tuple[int, ...], kind: str = "float32"
) -> Placement:
    item = np.dtype(kind).itemsize
    strides = [item * capacity * int(np.prod(features[k + 1 :])) for k in range(len(features))]
    return Placement(name, offset, (capacity, *features), (item, *strides), kind, True)  # type: ignore[arg-type]


def doubling(capacity: int, features: int, advances: bool = True, cost: int = 10**6) -> Bench:
    """output = 2·input, loss = mean of the first feature of the output."""
    size = 4 * capacity * features
    size += -size % 64
    clocks = {
        name: Placement(name, 2 * size + 64 * k, (), (), kind)  # type: ignore[arg-type]
        for k, (name, kind) in enumerate(
            [
                ("step", "float32"),
                ("epoch", "float64"),
                ("batch_size", "int32"),
                ("training", "int64"),
                ("loss", "float64"),
            ]
        )
    }
    placements = {
        "x": batch_innermost("x", 0, capacity, (features,)),
        "y": batch_innermost("y", size, capacity, (features,)),
        **clocks,
    }
    calls = (
        Call("double", (0, size), capacity * features, multiply_adds=cost),
        Call("mean", (size, clocks["loss"].offset)),
    )
    routine = Routine("train", calls, ("x",), ("y",), ("loss",), advances)
    kernels = {k.name: k for k in (DOUBLE, MEAN)}
    return Bench(Program("tiny", capacity, placements, {}, 2 * size + 320, kernels, {"train": routine}))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("batch", [1, 7, 32])
@pytest.mark.parametrize(("shuffled", "longest"), [(False, 40), (True, 40), (True, 0)])
def test_minibatches(
    threads: int, batch: int, shuffled: bool, longest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "_LONG", longest)  # longer routines are compiled in haste
    bench = doubling(32, 21)
    random = np.random.default_rng(1)
    x = random.normal(size=(100, 21)).astype(np.float32)
    order = random.integers(0, 100, 90) if shuffled else None
    rows = x[:90] if order is None else x[order]
    y, results = np.full((90, 21), np.nan, np.float32), np.array([1.0, 2.0])
    job = bench.job(90, batch, (x,), (y,), order, results)
    job.step, job.epoch, job.training = 5, 3, 1
    bench.code.run("train", job, threads)
    np.testing.assert_array_equal(y, 2 * rows)
    np.testing.assert_allclose(results, [1 + 2 * rows[:, 0].astype(float).sum(), 2 + 90], rtol=1e-12)
    minibatches = -(-90 // batch)
    assert (job.done, job.step) == (90, 5 + minibatches)
    clocks = [bench.view(name)[()] for name in ("step", "epoch", "batch_size", "training")]
    assert clocks == [5 + minibatches, 3, 90 - (minibatches - 1) * batch, 1]
    # The last minibatch was padded with copies of its last sample.
    valid = 90 - (minibatches - 1) * batch
    padded = np.concatenate([rows[90 - valid :], np.repeat(rows[89:90], 32 - valid, axis=0)])
    np.testing.assert_array_equal(bench.view("x"), padded)


def test_jobs_can_be_taken_up_again_and_outputs_left_out() -> None:
    bench = doubling(16, 3, advances=False)
    x = np.arange(60, dtype=np.float32).reshape(20, 3)
    y, results = np.zeros((20, 3), np.float32), np.zeros(2)
    for start, stop in ((0, 8), (8, 8), (8, 20)):
        job = bench.job(stop, 5, (x,), (y,), None, results, start)
        bench.code.run("train", job)
        assert (job.done, job.step) == (stop, 0)
    np.testing.assert_array_equal(y, 2 * x)
    bench.code.run("train", bench.job(20, 16, (x,), (None,), None, None))
    assert bench.view("step")[()] == 1  # steps done, plus one


def test_batches_that_do_not_fit_are_refused() -> None:
    bench = doubling(16, 3)
    for batch in (0, 17, -1):
        with pytest.raises(ValueError, match="room for 16"):
            bench.code.run("train", bench.job(20, batch))


LAYOUTS = {
    "batch innermost, features in order": (lambda c, n, m: (1, m * c, c)),
    "batch innermost, features transposed": (lambda c, n, m: (1, c, n * c)),
    "batch innermost, gaps between rows": (lambda c, n, m: (1, (m * c + 8), c)),
    "batch first": (lambda c, n, m: (n * m, m, 1)),
    "batch in the middle": (lambda c, n, m: (m, c * m, 1)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["float32", "float64", "int32"])
@pytest.mark.parametrize(
    ("capacity", "n", "m"), [(32, 3, 20), (24, 16, 16), (16, 5, 1), (4, 7, 3), (1, 2, 33), (40, 1, 1)]
)
def test_every_layout_is_filled_and_read_back(layout: str, kind: str, capacity: int, n: int, m: int) -> None:
    item = np.dtype(kind).itemsize
    strides = tuple(item * s for s in LAYOUTS[layout](capacity, n, m))
    size = sum((e - 1) * s for e, s in zip((capacity, n, m), strides, strict=True)) + item
    place = Placement("x", 64, (capacity, n, m), strides, kind, True)  # type: ignore[arg-type]
    routine = Routine("copy", (), ("x",), ("x",))
    bench = Bench(Program("copies", capacity, {"x": place}, {}, size + 128, {}, {"copy": routine}))
    data = np.random.default_rng(2).integers(-(10**6), 10**6, (50, n, m)).astype(kind)
    guarded = np.full((52, n, m), 77, kind)
    bench.code.run("copy", bench.job(50, max(1, capacity - 1), (data,), (guarded[1:],)))
    np.testing.assert_array_equal(guarded[1:51], data)
    assert (guarded[[0, 51]] == 77).all()
    assert (bench.block[bench.start : bench.start + 64] == 0).all()  # nothing before the buffer
    assert (bench.block[bench.start + 64 + size : bench.start + size + 128] == 0).all()  # nor behind it


def test_outputs_without_a_batch_are_repeated() -> None:
    places = {
        "x": batch_innermost("x", 0, 8, (2,)),
        "table": Placement("table", 64, (3,), (4,), "float32", False),
        "number": Placement("number", 128, (), (), "float64"),
    }
    routine = Routine("forward", (), ("x",), ("table", "number"))
    bench = Bench(Program("p", 8, places, {}, 192, {}, {"forward": routine}))
    bench.view("table")[:] = [1, 2, 3]
    bench.view("number")[...] = 0.5
    table, number = np.zeros((11, 3), np.float32), np.zeros(11)
    bench.code.run("forward", bench.job(11, 8, (np.zeros((11, 2), np.float32),), (table, number)))
    assert (table == [1, 2, 3]).all()
    assert (number == 0.5).all()


def tracing(calls: tuple[Call | TimeLoop, ...], numbers: int) -> Bench:
    kernels = {f"trace{n}": Kernel(f"trace{n}", TRACE.format(n=n, code=100 * n)) for n in range(numbers)}
    places = {
        "counter": Placement("counter", 0, (), (), "int64"),
        "trace": Placement("trace", 64, (1000,), (8,), "int64"),
    }
    return Bench(Program("t", 1, places, {}, 8192, kernels, {"run": Routine("run", calls)}))


def test_time_loops_nest_and_run_backwards() -> None:
    calls = [Call(f"trace{n}", (0, 64)) for n in range(4)]
    inner = TimeLoop(2, True, (calls[2],))
    bench = tracing(
        (calls[0], TimeLoop(3, False, (calls[1], inner, calls[3])), TimeLoop(1, True, (calls[0],))), 4
    )
    bench.code.run("run", bench.job(1, 1), 2)
    expected = [0]
    for t in range(3):
        expected += [
            100 + t,
            200 + 2 * t + 1,
            200 + 2 * t,
            300 + t,
        ]  # a loop within a loop: outer · 2 + inner
    assert bench.view("trace")[: bench.view("counter")[()]].tolist() == [*expected, 0]
    assert [c.kernel for c in calls_of(bench.program.routines["run"])] == [
        "trace0",
        "trace1",
        "trace2",
        "trace3",
        "trace0",
    ]


def test_the_stop_flag_ends_a_job_between_minibatches() -> None:
    bench = doubling(16, 64)
    x = np.ones((64, 64), np.float32)
    order = np.zeros(50_000_000, np.int64)  # half a minute of work
    flag = ctypes.c_int32(0)
    for threads in (1, 2):
        flag.value = 0
        bench.code.run("train", bench.job(16, 16, (x,), (None,)), threads)  # compiled now, not below
        job = bench.job(len(order), 1, (x,), (None,), order, np.zeros(2))
        job.stop_flag = ctypes.addressof(flag)
        timer = threading.Timer(0.1, lambda: setattr(flag, "value", 1))
        timer.start()
        before = time.perf_counter()
        bench.code.run("train", job, threads)
        assert time.perf_counter() - before < 5
        assert 0 < job.done < len(order)
        assert job.done == job.step
        bench.code.run("train", job, threads)  # the flag is still up: nothing is done
        assert job.done == job.start


def test_profile_counts_every_call() -> None:
    bench = doubling(32, 400)
    bench.code = compile_program(bench.program, profile=True)
    x = np.ones((320, 400), np.float32)
    job, nanoseconds = bench.job(320, 32, (x,), (None,)), np.zeros(2, np.int64)
    job.profile = nanoseconds.ctypes.data
    bench.code.run("train", job)
    assert (nanoseconds > 0).all()
    assert nanoseconds.sum() < 10**9
    bench.code.run("train", bench.job(320, 32, (x,), (None,)))  # no table: nothing is measured


def test_subnormal_numbers_are_flushed_and_the_caller_is_not_touched() -> None:
    if host_target().architecture != "x86_64":
        pytest.skip("sets a register of one architecture")
    bench = doubling(16, 1)
    x = np.full((16, 1), 1e-40, np.float32)
    y = np.ones((16, 1), np.float32)
    bench.code.run("train", bench.job(16, 16, (x,), (y,)), 2)
    assert (y == 0).all()
    assert x[0, 0] * np.float32(2) > 0


def test_threads_divide_a_chain_of_dependent_calls() -> None:
    """Each call reads what other threads wrote in the one before; many calls, so that a missing barrier would show."""
    capacity, features = 16, 512
    size = 4 * capacity * features
    reverse = Kernel(
        "reverse",
        DOUBLE.text.replace("@double", "@reverse").replace(
            "%from = getelementptr float, ptr %x, i64 %i",
            f"%back = sub i64 {capacity * features - 1}, %i\n  %from = getelementptr float, ptr %x, i64 %back",
        ),
    )
    calls = []
    for k in range(100):
        ends = (0, size) if k % 2 == 0 else (size, 0)
        calls.append(Call("reverse", ends, capacity * features, multiply_adds=10**6))
    places = {"x": batch_innermost("x", 0, capacity, (features,))}
    routine = Routine("run", tuple(calls), (), ("x",))
    bench = Bench(Program("p", capacity, places, {}, 2 * size, {"reverse": reverse}, {"run": routine}))
    start = np.random.default_rng(3).normal(size=(capacity, features)).astype(np.float32)
    for threads in (2, 5):
        for _ in range(5):
            bench.view("x")[...] = start
            y = np.zeros((capacity, features), np.float32)
            bench.code.run("run", bench.job(capacity, capacity, (), (y,)), threads)
            with np.errstate(over="ignore"):
                expected = start * np.float32(2.0**100)
            np.testing.assert_array_equal(y, expected)


def test_a_target_with_narrow_vectors_copies_alike() -> None:
    host = host_target()
    for bits in (128, 256):
        bench = doubling(32, 50)
        bench.code = compile_program(bench.program, Target(host.triple, host.cpu, host.features, bits))
        x = np.random.default_rng(4).normal(size=(70, 50)).astype(np.float32)
        y = np.zeros((70, 50), np.float32)
        bench.code.run("train", bench.job(70, 32, (x,), (y,)))
        np.testing.assert_array_equal(y, 2 * x)


def test_a_batch_of_a_million() -> None:
    """Nothing that grows with the batch lies on a stack."""
    capacity = 1 << 20
    place = batch_innermost("x", 0, capacity, (1,))
    bench = Bench(
        Program(
            "p", capacity, {"x": place}, {}, 4 * capacity, {}, {"copy": Routine("copy", (), ("x",), ("x",))}
        )
    )
    x = np.arange(capacity - 5, dtype=np.float32).reshape(-1, 1)
    y = np.zeros_like(x)
    bench.code.run("copy", bench.job(len(x), capacity, (x,), (y,)), 2)
    np.testing.assert_array_equal(x, y)
