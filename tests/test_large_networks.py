"""Random networks of middling size against the interpreter: what the small ones cannot reach, tiles and tails of kernels.

Derivatives are compared along one direction for each weight: its entries' signs are random, so that one wrong entry shows.
"""

from __future__ import annotations

import numpy as np
import pytest
from dln.compiler.parse import parse
from dln.compiler.pipeline import front_text
from dln.compiler.source import Source
from dln.runtime.program import Network
from dln.tests.oracle.interpreter import Interpreter, prelude
from dln.tests.oracle.large_networks import large_network
from dln.tests.oracle.random_networks import random_values

TOLERANCE = {"float32": 1e-4, "float64": 1e-9}


def compare(seed: int, precision: str, threads: int) -> None:
    random = large_network(seed)
    tolerance = TOLERANCE[precision]
    oracle = Interpreter(parse(Source("large.dln", random.text)), prelude())
    shapes = {name: (f.extents, f.class_count) for name, f in oracle.inputs.items()}
    weights, inputs = random_values(oracle.shapes(), shapes, random.samples, seed)
    dtype = np.dtype(precision)
    inputs = {name: x.astype(dtype).astype(np.float64) for name, x in inputs.items()}
    generator = np.random.default_rng(seed)
    names, directions, tangents = list(weights), {}, {}
    for n, name in enumerate(names):
        fan = max(1, int(np.prod(weights[name].shape[:-1])))
        weights[name] = (1.5 * weights[name] / np.sqrt(fan)).astype(dtype).astype(np.float64)
        directions[name] = generator.choice([-1.0, 1.0], weights[name].shape)
        tangents[name] = np.zeros((*weights[name].shape, len(names)))
        tangents[name][..., n] = directions[name]
    result = oracle.run(weights, inputs, tangents)
    elaborated = front_text(random.text)
    net = Network(elaborated, precision=precision, threads=threads, capacity=random.capacity)  # type: ignore[arg-type]
    for name, value in weights.items():
        net.weights[name] = value
    outputs = net(**inputs)
    for name, expected in result.outputs.items():
        expected = np.broadcast_to(expected, outputs[name].shape)
        scale = max(float(np.abs(expected).max()), 1e-3)
        worst = float(np.abs(outputs[name] - expected).max())
        assert worst <= tolerance * scale, f"{name}: off by {worst:.3g} of {scale:.3g}\n{random.text}"
    loss, gradient = net.loss_and_gradient(**inputs)
    assert loss == pytest.approx(result.loss, rel=tolerance, abs=tolerance * 1e-3)
    assert result.loss_tangent is not None or not names
    for n, name in enumerate(names):
        found = float(np.sum(gradient[name].astype(np.float64) * directions[name]))
        expected = float(result.loss_tangent[n])  # type: ignore[index]
        scale = max(float(np.linalg.norm(gradient[name])), 1e-3)
        assert abs(found - expected) <= 10 * tolerance * scale, (
            f"gradient of {name}: {found}, expected {expected}; {random.samples} samples by {random.capacity}\n{random.text}"
        )


@pytest.mark.parametrize("seed", range(12))
def test_in_double_precision(seed: int) -> None:
    compare(seed, "float64", 1)


@pytest.mark.parametrize("seed", range(12, 18))
def test_in_single_precision_by_two_threads(seed: int) -> None:
    compare(seed, "float32", 2)
