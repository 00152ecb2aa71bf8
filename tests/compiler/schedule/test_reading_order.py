"""Several sums in one kernel of a time step, and weights in the order in which steps read them: against NumPy, step by step."""

from __future__ import annotations

import numpy as np
import pytest
from dln.compiler.kernels.program import Call, Program, TimeLoop
from dln.compiler.pipeline import front_text, lower_network

from ..running import Runner, VectorMachine

#: What a unit does with four sums over all units of the step before; one of them is scaled for all values of its index at once.
NETWORK = """
input  x[{steps}, {units}]
weight U[4, {units}, {units}] ~ normal(0, 0.5)
weight s[4] ~ normal(0, 1)
let    a[g: 4, t: {steps}, j: {units}] = s[g] * (x[t, j] + sum[k: {units}] U[g, k, j] * h[t-1, k else 0])
let    e[g: 4, t: {steps}, j: {units}] = tanh(a[g, t, j])
let    h[t, j] = e[0, t, j] * e[1, t, j] + e[2, t, j] + sin(a[3, t, j]) * h[t-1, j else 0]
loss   average[batch] sum[t, j] h[t, j]^2
"""


def expected(x: np.ndarray, weights: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """h of the network, in double precision."""
    h = np.zeros((len(x), x.shape[1] + 1, x.shape[2]))
    for t in range(x.shape[1]):
        a = scales[:, None, None] * (x[None, :, t] + np.einsum("gkj,bk->gbj", weights, h[:, t]))
        e = np.tanh(a)
        h[:, t + 1] = e[0] * e[1] + e[2] + np.sin(a[3]) * h[:, t]
    return h[:, 1:]


def calls_of_loops(program: Program, routine: str) -> list[list[Call]]:
    loops = [c for c in program.routines[routine].calls if isinstance(c, TimeLoop)]
    return [[c for c in loop.body if isinstance(c, Call)] for loop in loops]


@pytest.mark.parametrize("bits", [256, 512])
@pytest.mark.parametrize(("capacity", "units"), [(32, 24), (32, 300), (16, 5), (3, 24), (1, 20)])
def test_four_sums_are_one_kernel_a_step(capacity: int, units: int, bits: int) -> None:
    text = NETWORK.format(steps=6, units=units)
    target = VectorMachine(bits, 16 if bits == 256 else 32)
    _, program, _ = lower_network(front_text(text), capacity=capacity, target=target)
    ((call,),) = calls_of_loops(program, "evaluate")
    assert {"h", "a", "e"} <= set(call.families)
    random = np.random.default_rng(0)
    x = random.standard_normal((capacity, 6, units))
    weights, scales = random.standard_normal((4, units, units)) / units**0.5, random.standard_normal(4)
    runner = Runner(program)
    runner.set("U", weights)
    runner.set("s", scales)
    runner.set("x", x, batched=True)
    runner.run("evaluate", capacity)
    found = runner.get("h", capacity)
    np.testing.assert_allclose(found, expected(x, weights, scales), rtol=1e-3, atol=1e-4)
    runner.run("evaluate", capacity, threads=3)
    np.testing.assert_array_equal(runner.get("h", capacity), found)


def test_weights_are_copied_once_in_the_order_of_the_steps() -> None:
    """Lanes are samples: a step reads U[g, k, j] unit by unit, k by k, g innermost; its derivative k by k, g by g."""
    text = NETWORK.format(steps=6, units=24)
    _, program, _ = lower_network(front_text(text), capacity=32, target=VectorMachine(256, 16))
    copies = [
        c.families
        for c in program.routines["gradient"].calls
        if isinstance(c, Call) and "packed" in c.families[0]
    ]
    assert copies == [("U packed 2 1 0",), ("U packed 1 0 2",)]
    _, program, _ = lower_network(front_text(text), capacity=1, target=VectorMachine(256, 16))
    assert not [
        c for c in program.routines["gradient"].calls if isinstance(c, Call) and "packed" in c.families[0]
    ]


def test_more_sums_than_registers_hold_are_no_kernel_together() -> None:
    text = "input x[6, 8]\nweight U[6, 8, 8] ~ normal(0, 1)\n"
    text += "let a[g: 6, t: 6, j: 8] = x[t, j] + sum[k: 8] U[g, k, j] * h[t-1, k else 0]\n"
    text += "let h[t, j] = a[0, t, j] * a[1, t, j] + a[2, t, j] * a[3, t, j] + a[4, t, j] * a[5, t, j]\n"
    text += "loss average[batch] sum[t, j] h[t, j]^2"
    _, program, _ = lower_network(front_text(text), capacity=32, target=VectorMachine(256, 16))
    assert [len(calls) for calls in calls_of_loops(program, "evaluate")] == [2]
