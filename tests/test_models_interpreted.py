"""Every model of models/ against the interpreter of its syntax tree: layers, loss, metrics, derivatives along directions.

Nothing is to be written for a new model; one that is too large for the interpreter, or says what it does not know, is skipped.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from dln.compiler.parse import parse
from dln.compiler.pipeline import front
from dln.compiler.source import Source
from dln.runtime.program import Network
from dln.tests.models.given import REDUCED
from dln.tests.oracle.interpreter import Interpreter, prelude
from dln.tests.oracle.scope import OracleError
from dln.tests.oracle.torch_comparison import agree, random_inputs

MODELS = sorted((Path(__file__).resolve().parents[1] / "models").glob("*.dln"))
SAMPLES = 3
LARGEST = 30_000_000  # index points of a model's sums, all samples together


@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.stem)
def test_model(path: Path) -> None:
    settings = REDUCED.get(path.stem, {})
    elaborated = front(path, settings)
    graph = elaborated.graph
    points = sum(
        math.prod(a.extent or SAMPLES for a in (*f.axes, *(f.reduction.axes if f.reduction else ())))
        for f in graph.families.values()
    )
    if points > LARGEST:
        pytest.skip(f"{points:,} index points are too many for the interpreter")
    if graph.loss is None:
        pytest.skip("there is no loss")
    if "random seed" in graph.arrays:  # told before anything is compiled
        pytest.skip("the interpreter does not know random draws")
    try:
        text = path.read_text()
        for name, value in settings.items():
            text = re.sub(rf"^(param +{name} *=).*", rf"\1 {value}", text, flags=re.M)
        oracle = Interpreter(parse(Source(path.name, text)), prelude(), folder=path.parent)
    except OracleError as problem:
        pytest.skip(f"the interpreter does not know this: {problem}")
    # The same network as in tests/models/test_models.py, so that it is compiled once.
    net = Network(elaborated, path.parent, precision="float64", purpose="gradient", capacity=4)
    assert set(net.weights) == set(oracle.weights)
    generator = np.random.default_rng(0)
    inputs = random_inputs(net, SAMPLES, generator)
    weights, directions, tangents = {}, {}, {}
    names = list(net.weights)
    for n, name in enumerate(names):
        shape = net.weights[name].shape
        weights[name] = generator.standard_normal(shape) / math.sqrt(max(1, math.prod(shape[:-1])))
        directions[name] = generator.choice([-1.0, 1.0], shape)
        tangents[name] = np.zeros((*shape, len(names)))
        tangents[name][..., n] = directions[name]
        net.weights[name] = weights[name]
    states = net.saved_arrays()
    try:
        result = oracle.run(weights, inputs, tangents, states=states)
    except OracleError as problem:
        pytest.skip(f"the interpreter does not know this: {problem}")
    outputs = net(**inputs) if net.outputs else {}
    for name, expected in result.outputs.items():
        agree(name, outputs[name], np.broadcast_to(expected, outputs[name].shape), 1e-9)
    figures = net.evaluate(inputs)
    for name, value in result.metrics.items():
        assert figures[name] == pytest.approx(value, rel=1e-9, abs=1e-12)
    for training in (False, True) if oracle.states else (False,):
        if training:  # statistics of the batch instead of those that are kept
            result = oracle.run(weights, inputs, tangents, states=states, training=True)
        loss, gradient = net.loss_and_gradient(**inputs, training=training)
        assert loss == pytest.approx(result.loss, rel=1e-9)
        assert result.loss_tangent is not None
        for n, name in enumerate(names):
            if name not in gradient:
                continue  # frozen
            found = float(np.sum(gradient[name] * directions[name]))
            scale = max(float(np.linalg.norm(gradient[name])), 1e-6)
            assert abs(found - result.loss_tangent[n]) <= 1e-8 * scale, name
