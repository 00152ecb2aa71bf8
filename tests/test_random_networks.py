"""Random networks, compiled, against the interpreter of their syntax trees: layers, the loss, every derivative.

`pytest tests/test_random_networks.py -k 'seed-17'` runs one of them; the text is in the message of a failure.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dln.compiler.parse import parse
from dln.compiler.pipeline import front_text
from dln.compiler.source import Source
from dln.runtime.program import Network
from dln.tests.oracle.interpreter import Interpreter, prelude
from dln.tests.oracle.random_networks import RandomNetwork, random_network, random_values
from dln.tests.oracle.regressions import REGRESSIONS

DOUBLE = range(240)
SINGLE = range(240, 275)


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every network is compiled here and now."""
    monkeypatch.setenv("DLN_CACHE", "off")


def agree(
    name: str, actual: np.ndarray, expected: np.ndarray, tolerance: float, floor: float, text: str
) -> None:
    """Equal up to `tolerance`, relative to the largest entry of the array or to `floor`."""
    actual = np.asarray(actual, dtype=np.float64)
    assert actual.shape == expected.shape, f"{name}: shape {actual.shape}, expected {expected.shape}\n{text}"
    scale = max(float(np.max(np.abs(expected), initial=0.0)), floor)
    worst = float(np.max(np.abs(actual - expected), initial=0.0))
    assert worst <= tolerance * scale, (
        f"{name}: off by {worst:.3g} of {scale:.3g}\n{actual}\n{expected}\n{text}"
    )


def compare(random: RandomNetwork, folder: Path, precision: str, tolerance: float) -> None:
    for name, content in random.files.items():
        (folder / name).write_text(content)
    oracle = Interpreter(parse(Source("random.dln", random.text)), prelude(), folder=folder)
    shapes = {name: (f.extents, f.class_count) for name, f in oracle.inputs.items()}
    weights, inputs = random_values(oracle.shapes(), shapes, random.samples, random.seed)
    elaborated = front_text(random.text, str(folder / "random.dln"))
    net = Network(elaborated, folder, precision=precision, threads=1, capacity=random.capacity)  # type: ignore[arg-type]
    assert set(net.weights) == set(weights), random.text
    for name, value in weights.items():
        net.weights[name][...] = value
    if precision == "float32":  # both start from the same rounded numbers
        weights = {n: v.astype(np.float32).astype(np.float64) for n, v in weights.items()}
        inputs = {
            n: v.astype(np.float32).astype(np.float64) if v.dtype.kind == "f" else v
            for n, v in inputs.items()
        }
    result = oracle.run(weights, inputs)
    if random.seed % 2 == 0:  # half of them: every routine is compiled for itself
        outputs = net(**inputs)
        assert set(outputs) == set(result.outputs)
        for name, expected in result.outputs.items():
            actual = outputs[name]
            if actual.shape != expected.shape:  # a value that no sample changes
                expected = np.broadcast_to(expected, (random.samples, *expected.shape[1:]))
            agree(name, actual, expected, tolerance, 1e-3, random.text)
    assert result.loss is not None and np.isfinite(result.loss)
    loss, gradient = net.loss_and_gradient(**inputs)
    expected_loss, expected_gradient = oracle.gradient(weights, inputs)
    agree("loss", np.array(loss), np.array(expected_loss), tolerance, 1e-3, random.text)
    assert set(gradient) == set(expected_gradient)
    for name, expected in expected_gradient.items():
        agree(f"gradient of {name}", gradient[name], expected, tolerance, 1e-3, random.text)
    if result.metrics and random.seed % 2 == 0:
        figures = net.evaluate(inputs)
        for name, value in result.metrics.items():
            assert figures[name] == pytest.approx(value, rel=tolerance, abs=1e-12), random.text


@pytest.mark.parametrize("seed", DOUBLE, ids=lambda s: f"seed-{s}-")
def test_in_double_precision(seed: int, tmp_path: Path) -> None:
    compare(random_network(seed), tmp_path, "float64", 1e-9)


@pytest.mark.parametrize("seed", SINGLE, ids=lambda s: f"seed-{s}-")
def test_in_single_precision(seed: int, tmp_path: Path) -> None:
    compare(random_network(seed), tmp_path, "float32", 1e-4)


TRAINED = range(275, 300)


@pytest.mark.parametrize("seed", TRAINED, ids=lambda s: f"seed-{s}-")
def test_an_epoch_of_training(seed: int, tmp_path: Path) -> None:
    """Minibatches in order, the last one not full; momentum, whose steps are redone here with the oracle's gradients."""
    random = random_network(seed)
    batch = random.capacity
    samples = 2 * batch + random.samples % batch
    settings = f"batch {batch}\n  epochs 1\n  order fixed\n  keep last"
    train = f"train {{\n  optimizer momentum(rate = 0.01, momentum = 0.5)\n  {settings}\n}}\n"
    for name, content in random.files.items():
        (tmp_path / name).write_text(content)
    oracle = Interpreter(parse(Source("random.dln", random.text)), prelude(), folder=tmp_path)
    shapes = {name: (f.extents, f.class_count) for name, f in oracle.inputs.items()}
    weights, inputs = random_values(oracle.shapes(), shapes, samples, seed)
    elaborated = front_text(random.text + train, str(tmp_path / "random.dln"))
    net = Network(elaborated, tmp_path, precision="float64", threads=1)
    for name, value in weights.items():
        net.weights[name] = value
    net.train(inputs)
    velocity = {name: np.zeros_like(w) for name, w in weights.items()}
    for start in range(0, samples, batch):
        part = {name: v[start : start + batch] for name, v in inputs.items()}
        _, gradient = oracle.gradient(weights, part)
        for name, g in gradient.items():
            velocity[name] = 0.5 * velocity[name] + g
            weights[name] = weights[name] - 0.01 * velocity[name]
    for name, expected in weights.items():
        agree(name, net.weights[name], expected, 1e-8, 1e-3, random.text)


@pytest.mark.parametrize("name", REGRESSIONS)
@pytest.mark.parametrize("capacity", [1, 4, 16])
def test_what_was_once_wrong(name: str, capacity: int, tmp_path: Path) -> None:
    network = RandomNetwork(0, REGRESSIONS[name].lstrip(), {}, capacity, 2 * capacity - 1)
    compare(network, tmp_path, "float64", 1e-9)
