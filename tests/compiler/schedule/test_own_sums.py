"""Gradients that training alone adds to weights at once: one kernel, and none of them is stored."""

import dln
import numpy as np
import pytest
from dln.compiler.kernels.division import calls_of
from dln.compiler.kernels.program import Program
from dln.compiler.machine import machine_code

from ..machine.test_driver_pieces import Always

TEXT = """input x[300]
input y[290]
layer a[310] = tanh(dense(x))
layer b[290] = dense(a)
loss  squared_error(b, y)
train {{
  optimizer {optimizer}
  batch 64
}}
"""


def lowered(text: str) -> Program:
    return dln.compile(text, threads=1, seed=0).execution_for().program


def families(program: Program, routine: str) -> list[tuple[str, ...]]:
    return [call.families for call in calls_of(program.routines[routine])]


@pytest.mark.parametrize(
    ("optimizer", "states"),
    [("sgd(rate = 0.1)", []), ("adam(rate = 0.1)", ["m", "v"]), ("momentum(rate = 0.1)", ["v"])],
)
def test_an_update_is_behind_the_sum_of_its_gradient(optimizer, states):
    program = lowered(TEXT.format(optimizer=optimizer))
    for weight in ("a.w", "b.w"):
        (call,) = [c for c in calls_of(program.routines["train"]) if f"∂{weight}" in c.families]
        assert f"{weight}.next" in call.families
        assert call.multiply_adds == 64 * 310 * (300 if weight == "a.w" else 290)
        gradients = program.placements[f"∂{weight}"]
        assert gradients.offset not in call.buffers
        for name in (weight, *(f"{weight}.{s}" for s in states)):
            assert program.placements[name].offset in call.buffers
        (alone,) = [c for c in calls_of(program.routines["gradient"]) if f"∂{weight}" in c.families]
        assert alone.families == (f"∂{weight}",) and gradients.offset in alone.buffers


def test_a_gradient_that_something_else_needs_is_stored():
    """The norm of all gradients comes before any update."""
    program = lowered(TEXT.format(optimizer="sgd(rate = 0.1)\n  clip norm(1.0)"))
    for name in families(program, "train"):
        assert not {"∂a.w", "a.w.next"} <= set(name)
    assert ("∂a.w",) in families(program, "train")


def test_what_is_small_is_stored():
    program = lowered(TEXT.format(optimizer="sgd(rate = 0.1)").replace("310", "200"))
    assert ("∂a.w",) in families(program, "train") and ("a.w.next",) in families(program, "train")


def test_the_step_is_that_of_the_gradient(monkeypatch):
    """300 and 290 are no multiples of a tile: the last tiles begin within others, and are other threads' at times."""
    monkeypatch.setattr(machine_code, "Team", Always)
    draw = np.random.default_rng(0)
    data = {
        "x": draw.standard_normal((64, 300)).astype(np.float32),
        "y": draw.standard_normal((64, 290)).astype(np.float32),
    }
    weights = {}
    for threads in (1, 2, 3, 8):
        network = dln.compile(TEXT.format(optimizer="sgd(rate = 0.1)"), threads=threads, seed=0)
        before = {name: value.copy() for name, value in network.weights.items()}
        gradients = network.loss_and_gradient(**data)[1]
        network.train(data, epochs=1)
        weights[threads] = {name: value.copy() for name, value in network.weights.items()}
        for name, weight in before.items():
            expected = weight - np.float32(0.1) * gradients[name]
            np.testing.assert_allclose(weights[threads][name], expected, rtol=1e-5, atol=1e-6)
            np.testing.assert_array_equal(weights[threads][name], weights[1][name])
            assert np.abs(gradients[name]).max() > 1e-3


def test_every_sum_is_computed_once_in_a_routine():
    program = lowered(TEXT.format(optimizer="adam(rate = 0.1)"))
    for routine in program.routines:
        names = [name for call in families(program, routine) for name in call]
        assert len(names) == len(set(names))
        assert not any("own" in name for name in names)
