"""The oracle itself, against results worked out by hand, and against finite differences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dln.compiler.parse import parse
from dln.compiler.source import Source
from dln.tests.oracle.interpreter import Interpreter
from dln.tests.oracle.random_networks import random_network, random_values


def interpreter(text: str, folder: Path | None = None) -> Interpreter:
    return Interpreter(parse(Source("test.dln", text)), folder=folder)


SHARED_PAIR = """
network shared_pair
input  x[4]
weight w[2] ~ normal(0, 0.1)
map    K(i, j) = i - j
layer  h[j: 3] = tanh(sum[i] w[K(i, j)] * x[i])
loss   average[batch] 0.5 * sum[j] h[j]^2
"""


def test_shared_pair_by_hand() -> None:
    w, x = np.array([0.3, -0.7]), np.array([[0.5, -1.0, 2.0, 0.25]])
    net = interpreter(SHARED_PAIR)
    result = net.run({"w": w}, {"x": x})
    a = np.array([w[0] * x[0, j] + w[1] * x[0, j + 1] for j in range(3)])
    np.testing.assert_allclose(result.outputs["h"][0], np.tanh(a), rtol=1e-14)
    loss, gradient = net.gradient({"w": w}, {"x": x})
    assert loss == pytest.approx(0.5 * np.sum(np.tanh(a) ** 2), rel=1e-14)
    e = np.tanh(a) * (1 - np.tanh(a) ** 2)
    by_hand = [sum(e[j] * x[0, j + k] for j in range(3)) for k in range(2)]
    np.testing.assert_allclose(gradient["w"], by_hand, rtol=1e-13)


def test_inline_table_with_absent_connections() -> None:
    net = interpreter("""
input x[2]
weight w[2]
map K(i, j) = [[0, 1, -1], [-1, 0, 1]][i, j]
layer h[j: 3] = sum[i] w[K(i, j)] * x[i]
""")
    out = net.run({"w": np.array([10.0, 100.0])}, {"x": np.array([[1.0, 2.0]])}).outputs["h"]
    assert out.tolist() == [[10.0, 120.0, 200.0]]


def test_csv_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("0,-1\n1, 0\n")
    net = interpreter(
        'input x[2]\nweight w[2]\nmap K(i, j) = table "t.csv"\nlayer h[j: 2] = sum[i] w[K(i, j)] * x[i]\n',
        tmp_path,
    )
    out = net.run({"w": np.array([10.0, 100.0])}, {"x": np.array([[1.0, 2.0]])}).outputs["h"]
    assert out.tolist() == [[210.0, 20.0]]


def test_block_names_and_sizes_from_the_left() -> None:
    net = interpreter("""
input image[3]
block dense(x[.., N]) -> y[.., M] {
  weight w[N, M] ~ glorot
  weight b[M] = 0
  let y[.., j] = b[j] + sum[i] w[i, j] * x[.., i]
}
function relu(z) = max(z, 0)
layer hidden[4] = relu(dense(image))
layer score[2] = dense(hidden) + dense(image)
""")
    assert net.shapes() == {
        "hidden.w": (3, 4), "hidden.b": (4,), "score.dense.w": (4, 2), "score.dense.b": (2,),
        "score.dense_2.w": (3, 2), "score.dense_2.b": (2,),
    }  # fmt: skip
    generator = np.random.default_rng(1)
    w = {name: generator.standard_normal(shape) for name, shape in net.shapes().items()}
    x = generator.standard_normal((5, 3))
    hidden = np.maximum(x @ w["hidden.w"] + w["hidden.b"], 0)
    score = hidden @ w["score.dense.w"] + w["score.dense.b"] + x @ w["score.dense_2.w"] + w["score.dense_2.b"]
    np.testing.assert_allclose(net.run(w, {"image": x}).outputs["score"], score, rtol=1e-13)


def test_lecun_plane_table_stride_and_border() -> None:
    net = interpreter("""
input h1[8, 6, 6]
map plane(f, c) = [[0,1,2], [4,5,6], [7,0,2]][f div 2, c]
weight w2[6, 3, 5, 5]
layer h2[f, y: 3, x: 3] = sum[c, v, u] w2[f, c, v, u] * h1[plane(f, c), 2*y + v - 2, 2*x + u - 2 else -1]
""")
    generator = np.random.default_rng(2)
    w, h = generator.standard_normal((6, 3, 5, 5)), generator.standard_normal((2, 8, 6, 6))
    padded = np.pad(h, ((0, 0), (0, 0), (2, 2), (2, 2)), constant_values=-1)
    planes = [[0, 1, 2], [4, 5, 6], [7, 0, 2]]
    expected = np.zeros((2, 6, 3, 3))
    for b, f, y, x, c in np.ndindex(2, 6, 3, 3, 3):
        window = padded[b, planes[f // 2][c], 2 * y : 2 * y + 5, 2 * x : 2 * x + 5]
        expected[b, f, y, x] += np.sum(window * w[f, c])
    np.testing.assert_allclose(net.run({"w2": w}, {"h1": h}).outputs["h2"], expected, rtol=1e-12)


def test_recurrence_and_its_gradient() -> None:
    net = interpreter("""
input x[6]
weight a
layer h[t: 6] = tanh(a * h[t-1 else 0] + x[t])
loss average[batch] h[5]
""")
    x, a = np.random.default_rng(3).standard_normal((1, 6)), 0.8
    h, dh = 0.0, 0.0
    for t in range(6):
        h_next = np.tanh(a * h + x[0, t])
        dh = (1 - h_next**2) * (h + a * dh)
        h = h_next
    loss, gradient = net.gradient({"a": np.array(a)}, {"x": x})
    assert loss == pytest.approx(h, rel=1e-13)
    assert gradient["a"] == pytest.approx(dh, rel=1e-12)


def test_reductions_with_conditions() -> None:
    net = interpreter("""
input x[4]
let last = max[i where i >= 2] x[i]
layer a = average[i where i mod 2 == 0] x[i]
layer b = product[i where i != 1] x[i]
layer c = (argmax[i] x[i]) + 0.0
layer d = last - (min[i] x[i])
layer m = average[batch] x[0]
""")
    out = net.run({}, {"x": np.array([[1.0, 5.0, 3.0, -2.0], [2.0, 0.0, 4.0, 8.0]])}).outputs
    assert out["a"].tolist() == [2.0, 3.0]
    assert out["b"].tolist() == [-6.0, 64.0]
    assert out["c"].tolist() == [1.0, 3.0]
    assert out["d"].tolist() == [5.0, 8.0]
    assert out["m"].tolist() == [1.5]


@pytest.mark.parametrize("seed", range(0, 60, 3))
def test_derivatives_against_finite_differences(seed: int, tmp_path: Path) -> None:
    """A central difference in one random direction per network."""
    random = random_network(seed, prelude=False)
    if "stop_gradient" in random.text:
        pytest.skip("stop_gradient is not the derivative")
    for name, content in random.files.items():
        (tmp_path / name).write_text(content)
    net = interpreter(random.text, tmp_path)
    shapes = {name: (f.extents, f.class_count) for name, f in net.inputs.items()}
    weights, inputs = random_values(net.shapes(), shapes, random.samples, seed)
    loss, gradient = net.gradient(weights, inputs)
    generator = np.random.default_rng(seed)
    direction = {name: generator.standard_normal(w.shape) for name, w in weights.items()}
    step = 1e-6
    plus, minus = (
        net.run({n: w + sign * step * direction[n] for n, w in weights.items()}, inputs).loss
        for sign in (1, -1)
    )
    assert plus is not None and minus is not None
    slope = sum(float(np.sum(gradient[n] * direction[n])) for n in weights)
    assert (plus - minus) / (2 * step) == pytest.approx(slope, rel=1e-5, abs=1e-6 + 1e-8 * abs(loss))
