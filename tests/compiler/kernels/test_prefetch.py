"""What a step's kernel asks for ahead: the lines that its tile reads and writes, no more, and only where a sum is long."""

from __future__ import annotations

import re

import pytest
from dln.compiler.kernels.program import Program
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
