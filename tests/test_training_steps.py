"""What holds of every step of training: its bits are the same for any number of threads, and it allocates nothing."""

import ctypes
import re
from pathlib import Path

import dln
import numpy as np
import pytest
from dln.compiler.machine.module import whole_text
from dln.compiler.machine.native import TARGETS

WORKLOADS = Path(__file__).resolve().parents[1] / "bench" / "workloads"
STEPS = 2


def prepared(name):
    net = dln.load(WORKLOADS / f"{name}.dln", seed=0)
    batch = net.plan.batch
    arrays = {n: a[: STEPS * batch] for n, a in net.load_data()["train"].items()}
    return net.execution_for(), arrays, batch


@pytest.mark.parametrize("name", ["circulant", "mnist_mlp", "random_table"])
def test_the_bits_do_not_depend_on_the_number_of_threads(name):
    execution, arrays, batch = prepared(name)
    start = execution.memory.copy_of(execution.kept)
    found = {}
    for threads in (1, 2, 3, 8):
        execution.memory.put_back(start)
        execution.step, execution.threads = 0, threads  # the first job of a team is run by all of it
        execution.run("train", arrays, 0, STEPS * batch, batch=batch, training=True)
        found[threads] = execution.memory.copy_of(execution.kept)
    assert any(not np.array_equal(start[n], found[1][n]) for n in start)
    for threads in (2, 3, 8):
        for weight, value in found[1].items():
            np.testing.assert_array_equal(
                found[threads][weight], value, err_msg=f"{weight}, {threads} threads"
            )


@pytest.mark.parametrize("target", ["x86-64-v3", "x86-64-v4", "aarch64"])
def test_a_step_calls_nothing_that_could_allocate(target):
    """Every function that the code calls by name is defined in it, or LLVM's own; the others are the system's clock and yield."""
    execution, _, _ = prepared("circulant")
    text = whole_text(execution.program, ["train"], TARGETS[target])
    called = set(re.findall(r"\bcall\b[^@%\n]*@([\w.]+)\(", text))
    defined = set(re.findall(r"^define\b[^@\n]*@([\w.]+)\(", text, re.MULTILINE))
    assert called and defined
    assert {name for name in called - defined if not name.startswith("llvm.")} == set()


def test_many_steps_take_no_more_memory_than_one():
    """By the C library's own account of what is in use."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallinfo2"):
        pytest.skip("this C library does not tell what it has allocated")

    names = (
        "arena",
        "ordblks",
        "smblks",
        "hblks",
        "hblkhd",
        "usmblks",
        "fsmblks",
        "uordblks",
        "fordblks",
        "keepcost",
    )

    class Account(ctypes.Structure):
        _fields_ = [(name, ctypes.c_size_t) for name in names]

    library.mallinfo2.restype = Account
    execution, arrays, batch = prepared("random_table")

    order = np.arange(200 * batch) % (STEPS * batch)

    def grown():
        before = library.mallinfo2()
        execution.run("train", arrays, 0, len(order), order=order, batch=batch, training=True)
        after = library.mallinfo2()
        return after.uordblks + after.hblkhd - before.uordblks - before.hblkhd

    grown()
    assert min(grown() for _ in range(3)) < 1024  # Python's own objects of one call
