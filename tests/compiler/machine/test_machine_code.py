"""The machine code of programs: shared kernels, targets, threads, forks, and the choice between one thread and several."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from dln.compiler.kernels.program import Call, Kernel, Placement, Program, Routine
from dln.compiler.machine.job import Job
from dln.compiler.machine.machine_code import compile_program, emit_object
from dln.compiler.machine.module import kernel_symbol, kernel_text, whole_text
from dln.compiler.machine.native import TARGETS, assembly, host_target
from dln.compiler.machine.team import AGAIN, SOON, TRIALS, Team

ARGUMENTS = "ptr %x, ptr %y, i64 %valid, i64 %time, i64 %begin, i64 %end"


def vector_kernel(name: str, lanes: int, function: str) -> Kernel:
    """y[k] = function(x[k]) for vectors begin … end−1."""
    kind, called = f"<{lanes} x float>", f"dln_{function}_v{lanes}f32"
    text = f"""define void @{name}({ARGUMENTS}) {{
entry:
  %some = icmp slt i64 %begin, %end
  br i1 %some, label %loop, label %done
loop:
  %i = phi i64 [ %begin, %entry ], [ %next, %loop ]
  %from = getelementptr {kind}, ptr %x, i64 %i
  %to = getelementptr {kind}, ptr %y, i64 %i
  %value = load {kind}, ptr %from, align 4
  %result = call {kind} @{called}({kind} %value)
  store {kind} %result, ptr %to, align 4
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %end
  br i1 %more, label %loop, label %done
done:
  ret void
}}
"""
    return Kernel(name, text, frozenset({called, "llvm.fma.v16f32"}))


def sample_program(lanes: int = 16, vectors: int = 64) -> Program:
    """y = tanh(x), z = exp(y); `first` makes y, `both` makes z as well."""
    size = 4 * lanes * vectors
    places = {
        name: Placement(name, k * size, (vectors, lanes), (4 * lanes, 4), "float32", True)
        for k, name in enumerate("xyz")
    }
    kernels = {
        "squash": vector_kernel("squash", lanes, "tanh"),
        "raise": vector_kernel("raise", lanes, "exp"),
    }
    first = Call("squash", (0, size), vectors, multiply_adds=10**6)
    second = Call("raise", (size, 2 * size), vectors, multiply_adds=10**6)
    routines = {"first": Routine("first", (first,)), "both": Routine("both", (first, second))}
    return Program("sample", vectors, places, {}, 3 * size, kernels, routines)


class Memory:
    def __init__(self, program: Program) -> None:
        block = np.zeros(program.bytes + 64, np.uint8)
        start = -block.ctypes.data % 64
        self.bytes = block[start : start + program.bytes]
        self.views = {
            p.name: np.ndarray(p.shape, p.data_type, self.bytes.data, p.offset, p.strides)
            for p in program.placements.values()
        }

    def job(self, minibatches: int = 1) -> Job:
        job = Job()
        job.memory, job.batch, job.stop = self.bytes.ctypes.data, 1, minibatches
        return job


def test_routines_share_kernels_and_are_compiled_when_asked_for() -> None:
    program = sample_program()
    memory, x = Memory(program), np.linspace(-3, 3, 1024, dtype=np.float32).reshape(64, 16)
    memory.views["x"][...] = x
    code = compile_program(program)
    assert code.seconds == {}
    code.run("first", memory.job())
    assert set(code.seconds) == {"first"}
    np.testing.assert_allclose(memory.views["y"], np.tanh(x), rtol=3e-7)
    assert (memory.views["z"] == 0).all()
    code.run("both", memory.job(), threads=2)
    np.testing.assert_allclose(memory.views["z"], np.exp(np.tanh(x)), rtol=3e-7)
    np.testing.assert_array_equal(memory.views["y"], code_of_all(memory, x))


def code_of_all(memory: Memory, x: np.ndarray) -> np.ndarray:
    """The same by a program that is compiled in one piece."""
    program = sample_program()
    other = Memory(program)
    other.views["x"][...] = x
    compile_program(program).run("both", other.job())
    return other.views["y"]


def test_kernels_are_named_by_what_they_do() -> None:
    tanh, again, exp = (
        vector_kernel("a", 8, "tanh"),
        vector_kernel("b", 8, "tanh"),
        vector_kernel("a", 8, "exp"),
    )
    assert kernel_symbol(tanh) == kernel_symbol(again) != kernel_symbol(exp)
    assert kernel_text(tanh, host_target()) == kernel_text(again, host_target())
    twice = vector_kernel("kernel_10", 8, "tanh")
    clash = Kernel("kernel_1", twice.text.replace("@kernel_10(", "@kernel_1("))
    assert kernel_symbol(clash) == kernel_symbol(twice)
    # Two names for one kernel: it is defined once.
    program = sample_program()
    program.kernels["other"] = vector_kernel("other", 16, "tanh")
    call = program.routines["first"].calls[0]
    assert isinstance(call, Call)
    program.routines["again"] = Routine("again", (call, Call("other", call.buffers, call.extent)))
    text = whole_text(program, ["again"], host_target())
    assert text.count(f"define void @{kernel_symbol(program.kernels['other'])}(") == 1
    memory = Memory(program)
    memory.views["x"][...] = 2
    compile_program(program).run("again", memory.job())
    assert abs(memory.views["y"][1, 1] - np.tanh(2.0)) < 1e-7


def test_many_programs_come_and_go() -> None:
    for lanes in (4, 8, 16) * 3:
        program = sample_program(lanes)
        code, memory = compile_program(program), Memory(program)
        memory.views["x"][...] = 1
        code.run("both", memory.job())
        assert abs(memory.views["z"][3, 2] - np.exp(np.tanh(1.0))) < 1e-6
        del code
        gc.collect()


@pytest.mark.parametrize("name", TARGETS)
def test_objects_for_other_machines(name: str) -> None:
    target = TARGETS[name]
    code = emit_object(sample_program(target.vector_bits // 32), target)
    magic = b"\0asm" if name == "wasm32" else b"\x7fELF"
    assert code.startswith(magic)
    assert b"dln_routine_both" in code
    assert b"dln_routine_first" in code


def test_wide_vectors_stay_wide() -> None:
    if host_target().vector_bits < 512:
        pytest.skip("no 512-bit vectors here")
    assert "zmm" in assembly(whole_text(sample_program(), ["both"], host_target()), host_target())


# --------------------------------------------------------------------------------------------------------- threads


def test_python_threads_run_programs_at_the_same_time() -> None:
    program = sample_program(16, 256)
    code = compile_program(program)
    x = np.random.default_rng(0).normal(size=(256, 16)).astype(np.float32)
    single = Memory(program)
    single.views["x"][...] = x
    code.run("both", single.job())
    failures: list[str] = []

    def work(seed: int) -> None:
        memory = Memory(program)
        for _ in range(20):
            memory.views["x"][...] = np.roll(x, seed, axis=0)
            memory.views["z"][...] = 0
            code.run("both", memory.job(5), threads=2 + seed % 2)
            if (memory.views["z"] != np.roll(single.views["z"], seed, axis=0)).any():
                failures.append(f"thread {seed} got other results")

    workers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []


def test_idle_threads_sleep() -> None:
    program = sample_program(16, 256)
    code, memory = compile_program(program), Memory(program)
    code.run("both", memory.job(3), threads=3)
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own() -> None:
    program = sample_program()
    code, memory = compile_program(program), Memory(program)
    memory.views["x"][...] = 1
    code.run("both", memory.job(), threads=2)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        memory.views["z"][...] = 0
        for _ in range(2 * TRIALS):
            code.run("both", memory.job(), threads=2)
        os._exit(0 if abs(memory.views["z"][0, 0] - np.exp(np.tanh(1.0))) < 1e-6 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    code.run("both", memory.job(), threads=2)


SCRIPT = """
import os, sys, threading, time
sys.path.insert(0, os.path.dirname({file!r}))
import test_machine_code as t
program = t.sample_program(16, 256)
code, memory = t.compile_program(program), t.Memory(program)
code.run("both", memory.job(10), threads=4)
{end}
"""
ENDS = {
    "return": "",
    "exit": "sys.exit(3)",
    "a daemon thread still at work": (
        "threading.Thread(target=lambda: code.run('both', memory.job(10**9), threads=2), daemon=True).start(); time.sleep(0.2)"
    ),
    "signal": (
        "import signal\nsignal.signal(signal.SIGINT, lambda *a: sys.exit(5))\n"
        "threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
        "while True: code.run('both', memory.job(100), threads=2)"
    ),
}


@pytest.mark.parametrize(
    ("end", "status"), [("return", 0), ("exit", 3), ("a daemon thread still at work", 0), ("signal", 5)]
)
def test_the_process_ends_as_it_should(end: str, status: int) -> None:
    script = SCRIPT.format(file=__file__, end=ENDS[end])
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (status, "")


# ------------------------------------------------------------------------------------------ one thread, or several


def run_team(team: Team, jobs: int, minibatches: int, one: float, several: float) -> list[bool]:
    choices = []
    for _ in range(jobs):
        choice = team.choose(minibatches)
        team.record(choice, minibatches, minibatches * (several if choice else one))
        choices.append(choice)
    return choices


def test_the_faster_way_is_found_and_found_again() -> None:
    team = Team()
    assert sum(run_team(team, 100, 50, one=1.0, several=0.6)) >= 100 - TRIALS - 2
    assert sum(run_team(team, 100, 3, one=1.0, several=4.0)) <= TRIALS + 2  # short jobs are another matter
    # The other cores become busy: given up at once; free again: tried now and then, and found.
    assert sum(run_team(team, 100, 50, one=1.0, several=5.0)) <= 5
    assert sum(run_team(team, 10 * AGAIN, 50, one=1.0, several=0.6)) > 5 * AGAIN
    team.record(True, 0, 1.0)  # nothing was done: nothing is learnt


def test_a_machine_that_is_busy_for_a_moment_changes_the_choice_for_a_moment() -> None:
    team = Team()
    run_team(team, 20, 50, one=1.0, several=0.6)
    # Two jobs that were disturbed, and the one on one thread that is compared with them was not.
    run_team(team, 2, 50, one=1.0, several=3.0)
    # That one, as many again, and two trials when all is well again.
    assert sum(run_team(team, 40, 50, one=1.0, several=0.6)) >= 40 - (1 + SOON + 2)


def test_what_slows_both_ways_changes_no_choice() -> None:
    team = Team()
    run_team(team, 20, 50, one=1.0, several=0.6)
    assert sum(run_team(team, 100, 50, one=2.0, several=1.2)) >= 95


def test_a_clear_choice_takes_three_jobs() -> None:
    assert run_team(Team(), 8, 50, one=1.0, several=0.6) == [True, False, True] + [True] * 5
