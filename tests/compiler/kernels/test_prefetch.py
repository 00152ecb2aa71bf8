"""What a step's kernel asks for ahead: the lines that its tile reads and writes, no more, and only where a sum is long."""

from __future__ import annotations

import re

import numpy as np
import pytest
from dln.compiler.kernels.division import calls_of
from dln.compiler.kernels.prefetch import lines_of_runs
from dln.compiler.kernels.program import Kernel, Program
from dln.compiler.pipeline import front_text, lower_network

from ..running import VectorMachine


def lowered(units: int, capacity: int = 32, bits: int = 256) -> Program:
    text = f"input x[9, {units}]\nlayer h[9, {units}] = rnn(x)\nloss average[batch] sum[t, j] h[t, j]^2"
    target = VectorMachine(bits, 16 if bits == 256 else 32)
    return lower_network(front_text(text), capacity=capacity, target=target)[1]


def asked(program: Program) -> dict[str, tuple[int, int]]:
    """For each kernel that asks ahead: how often to read and to write."""
    found = {}
    for kernel in program.kernels.values():
        kinds = re.findall(r"@llvm\.prefetch\.p0\(ptr [^,]*, i32 (\d), i32 3, i32 1\)", kernel.text)
        if kinds:
            found[kernel.name] = kinds.count("0"), kinds.count("1")
    return found


@pytest.mark.parametrize("bits", [256, 512])
def test_a_step_asks_for_the_lines_of_its_tile(bits: int) -> None:
    """A line is 16 samples: as many stores as the tile has vectors, and half as many lines where vectors are half a line."""
    program = lowered(64, bits=bits)
    found = asked(program)
    loops = [
        call.kernel
        for item in program.routines["gradient"].calls
        if hasattr(item, "body")
        for call in item.body
    ]
    assert found.keys() == set(loops) and len(loops) == 2
    for name, (_, written) in found.items():
        stores = len(re.findall(rf"store <{bits // 32} x float>", program.kernels[name].text))
        assert stores == written * 512 // bits


def test_short_sums_ask_for_nothing() -> None:
    assert asked(lowered(64)) and not asked(lowered(24))


@pytest.mark.parametrize("alignment", [4, 16, 32, 64])
def test_every_line_that_holds_an_element_is_asked_for(alignment: int) -> None:
    """Whatever the shape of a tile, and wherever in its line it begins."""
    random = np.random.default_rng(0)
    for _ in range(200):
        row = int(random.integers(1, 40)) * 4
        rows = [int(random.integers(0, 500)) * alignment for _ in range(random.integers(1, 6))]
        distances = {begin + at for begin in rows for at in range(0, row, 4)}
        asked = lines_of_runs(distances, alignment)
        for begin in range(0, 64, alignment):
            wanted = {(begin + distance) // 64 for distance in distances}
            assert wanted == {(begin + distance) // 64 for distance in asked}
        assert len(asked) <= len({distance // 64 for distance in distances}) + len(rows)


def dense(inputs: int, outputs: int, samples: int) -> Kernel:
    text = f"input x[{inputs}]\nlayer h[{outputs}] = dense(x)\nloss average[batch] sum[j] h[j]^2"
    program = lower_network(front_text(text), capacity=samples, target=VectorMachine(256, 16))[1]
    (call,) = [c for c in calls_of(program.routines["forward"]) if "h" in c.families]
    return program.kernels[call.kernel]


def test_what_the_next_row_packs_comes_into_the_second_level() -> None:
    """Of the 768 by 768 weights 24 columns at a time: 96 bytes of each row, two lines (and one that was asked for before).

    Of the results 24 rows of four samples, 16 bytes that never lie in two lines. Small arrays are near.
    """
    text = dense(768, 768, 256).text
    asked = re.findall(r"@llvm\.prefetch\.p0\(ptr [^,]*, i32 (\d), i32 (\d), i32 1\)", text)
    assert set(asked) == {("0", "2"), ("1", "3")}
    tiles = 256 // 4
    assert asked.count(("0", "2")) == -(-768 // tiles) * 2
    assert asked.count(("1", "3")) == 24
    assert "prefetch" not in dense(96, 96, 256).text
