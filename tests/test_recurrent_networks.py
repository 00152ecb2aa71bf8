"""Recurrent networks, compiled, against the interpreter of their syntax trees: layers, loss, every derivative."""

from __future__ import annotations

from pathlib import Path

import dln
import numpy as np
import pytest
from dln.compiler.parse import parse
from dln.compiler.source import DiagnosticError, Source
from dln.tests.oracle.interpreter import Interpreter, prelude
from dln.tests.oracle.torch_comparison import agree, random_inputs

#: What is shown → text.
NETWORKS = {
    "a simple recurrent net": """
input x[6, 3]
input y[6, 4]
weight W[3, 4] ~ glorot
weight U[4, 4] ~ glorot
weight b[4] = 0
layer h[t: 6, j: 4] = tanh(b[j] + sum[i] W[i, j] * x[t, i] + sum[k] U[k, j] * h[t-1, k else 0])
loss average[t,j] (h[t,j]-y[t,j])^2
""",
    "from the last step to the first, from 0.5": """
input x[6, 3]
weight W[3, 4] ~ glorot
weight U[4, 4] ~ glorot
layer h[t: 6, j: 4] = tanh(sum[i] W[i, j] * x[t, i] + sum[k] U[k, j] * h[t+1, k else 0.5])
loss average[t,j] (h[t,j])^2
""",
    "the state before the first step is a weight": """
input x[6, 3]
weight W[3, 4] ~ glorot
weight U[4, 4] ~ glorot
weight h0[4] ~ normal(0,1)
layer h[t: 6, j: 4] = tanh(sum[i] W[i, j] * x[t, i] + sum[k] U[k, j] * h[t-1, k else h0[k]])
loss average[t,j] (h[t,j])^2
""",
    "the state before the first step is computed": """
input x[6, 3]
weight W[3, 4] ~ glorot
weight U[4, 4] ~ glorot
let h0[j] = tanh(sum[i] W[i, j] * x[5, i])
layer h[t: 6, j: 4] = tanh(sum[i] W[i, j] * x[t, i] + sum[k] U[k, j] * h[t-1, k else h0[k]])
loss average[t,j] (h[t,j])^2
""",
    "two delays": """
input x[7, 3]
weight W[3, 4] ~ glorot
weight U[4, 4] ~ glorot
weight V[4, 4] ~ glorot
layer h[t: 7, j: 4] = tanh(sum[i] W[i, j] * x[t, i] + sum[k] U[k, j] * h[t-1, k else 0] + sum[k] V[k, j] * h[t-3, k else 1])
loss average[t,j] (h[t,j])^2
""",
    "one layer above the other": """
input x[6, 3]
weight W[3, 4] ~ glorot
weight U[4, 4] ~ glorot
weight V[4, 5] ~ glorot
weight Z[5, 5] ~ glorot
layer h[t: 6, j: 4] = tanh(sum[i] W[i, j] * x[t, i] + sum[k] U[k, j] * h[t-1, k else 0])
layer g[t: 6, j: 5] = tanh(sum[i] V[i, j] * h[t, i] + sum[k] Z[k, j] * g[t-1, k else 0])
loss average[t,j] (g[t,j])^2
""",
    "two layers that need each other": """
input x[6, 3]
weight W[3, 4] ~ glorot
weight U[4, 4] ~ glorot
weight V[5, 4] ~ glorot
weight Z[4, 5] ~ glorot
layer h[t: 6, j: 4] = tanh(sum[i] W[i, j] * x[t, i] + sum[k] V[k, j] * g[t-1, k else 0])
layer g[t: 6, j: 5] = tanh(sum[i] Z[i, j] * h[t, i] + g[t-2, j else 0.3])
loss average[t,j] (g[t,j])^2
""",
    "no sum at all": """
input x[6, 3]
weight d[3] ~ normal(0,1)
layer h[t: 6, j: 3] = sigmoid(d[j]) * h[t-1, j else 0] + (1 - sigmoid(d[j])) * x[t, j]
loss average[t,j] (h[t,j])^2
""",
    "sequences of different lengths": """
input x[6, 3]
input n: class[7]
weight W[3, 4] ~ glorot
weight U[4, 4] ~ glorot
let c[t: 6, j: 4] = tanh(sum[i] W[i, j] * x[t, i] + sum[k] U[k, j] * h[t-1, k else 0])
layer h[t: 6, j: 4] = c[t, j] if t < n else h[t-1, j else 0]
loss average[j] (h[5,j])^2
""",
    "both neighbours, in two dimensions": """
input x[5, 4]
weight a ~ normal(0,1)
weight b ~ normal(0,1)
layer h[y: 5, z: 4] = tanh(x[y, z] + a * h[y-1, z else 0] + b * h[y, z-1 else 0.5])
loss average[y,z] (h[y,z])^2
""",
    "the same with vectors": """
input x[3, 4, 2]
weight W[2, 5] ~ glorot
weight U[5, 5] ~ glorot
weight V[5, 5] ~ glorot
layer h[y: 3, z: 4, j: 5] = tanh(sum[i] W[i, j] * x[y, z, i] + sum[k] U[k, j] * h[y-1, z, k else 0]
                             + sum[k] V[k,j] * h[y, z-1, k else 0.5])
loss average[y,z,j] (h[y,z,j])^2
""",
    "both diagonal neighbours of the row above": """
input x[5, 4]
weight a ~ normal(0,1)
weight b ~ normal(0,1)
layer h[y: 5, z: 4] = tanh(x[y, z] + a * h[y-1, z+1 else 0] + b * h[y-1, z-1 else 0.5])
loss average[y,z] (h[y,z])^2
""",
    "every earlier step": """
input x[6, 3]
weight W[3, 4] ~ glorot
weight q[4] ~ normal(0,1)
layer h[t: 6, j: 4] = tanh(sum[i] W[i, j] * x[t, i] + q[j] * sum[s: 6 where s < t] h[s, j])
loss average[t,j] (h[t,j])^2
""",
    "every later step but the next": """
input x[6, 3]
weight q[3] ~ normal(0,1)
layer h[t: 6, j: 3] = tanh(x[t, j] + q[j] * sum[s: 6 where s >= t + 2] h[s, j])
loss average[t,j] (h[t,j])^2
""",
    "a window of earlier steps": """
input x[7, 3]
weight w[3] ~ normal(0, 1)
layer h[t: 7, j: 3] = tanh(x[t, j] + sum[k: 3] w[k] * h[t - 1 - k, j else 0.5])
loss average[t,j] (h[t,j])^2
""",
    "dilated and backwards": """
input x[9, 3]
weight w[2, 3, 3] ~ normal(0, 1)
layer h[t: 9, j: 3] = tanh(x[t, j] + sum[k: 2, i] w[k, i, j] * h[t + 2 * k + 2, i else 0])
loss average[t,j] (h[t,j])^2
""",
    "a single step": """
input x[1, 3]
weight W[3, 4] ~ glorot
weight U[4, 4] ~ glorot
layer h[t: 1, j: 4] = tanh(sum[i] W[i, j] * x[t, i] + sum[k] U[k, j] * h[t-1, k else 0])
loss average[t,j] (h[t,j])^2
""",
    "time is the last axis": """
input x[3, 6]
weight W[3, 4] ~ glorot
weight U[4, 4] ~ glorot
layer h[j: 4, t: 6] = tanh(sum[i] W[i, j] * x[i, t] + sum[k] U[k, j] * h[k, t-1 else 0])
loss average[t,j] (h[j,t])^2
""",
    "attention inside of a recurrence": """
input x[6, 3]
weight W[3, 4] ~ glorot
weight U[4, 4] ~ glorot
weight Q[4, 3] ~ glorot
let e[t: 6, s: 6] = sum[k, d] Q[k, d] * h[t-1, k else 0] * x[s, d]
let p[t, s] = softmax[s](e[t, s])
let c[t, d: 3] = sum[s] p[t, s] * x[s, d]
layer h[t: 6, j: 4] = tanh(sum[i] W[i, j] * c[t, i] + sum[k] U[k, j] * h[t-1, k else 0])
loss average[t,j] (h[t,j])^2
""",
    "data says which unit is read": """
input x[6, 3]
input k[6]: class[4]
weight W[3, 4] ~ glorot
weight u[4] ~ normal(0,1)
layer h[t: 6, j: 4] = tanh(sum[i] W[i, j] * x[t, i] + u[j] * h[t-1, k[t] else 0])
loss average[t,j] (h[t,j])^2
""",
    "a maximum over the units": """
input x[6, 3]
weight W[3, 4] ~ glorot
weight U[4, 4] ~ glorot
layer h[t: 6, j: 4] = tanh(sum[i] W[i, j] * x[t, i] + max[k] (U[k, j] * h[t-1, k else 0]))
loss average[t,j] (h[t,j])^2
""",
}

REFUSED = {
    "'h' reads 'g', which needs it, at a place that is no constant distance": """
input x[6]
let   g[t: 6] = x[t] + h[t-1 else 0]
layer h[t: 6] = tanh(g[t div 2])
""",
    "one has 6 steps along 't' and the other 5": """
input x[6]
let   g[t: 5] = x[t] + h[t-1 else 0]
layer h[t: 6] = tanh(x[t] + g[t-1 else 0])
""",
    "reads 'g' before its own place": """
input x[6]
let   g[t: 6] = x[t] + h[t+1 else 0]
layer h[t: 6] = tanh(x[t] + g[t-1 else 0])
""",
}


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every network is compiled here and now."""
    monkeypatch.setenv("DLN_CACHE", "off")


@pytest.mark.parametrize(("precision", "samples"), [("float64", 5), ("float64", 1), ("float32", 19)])
@pytest.mark.parametrize("what", NETWORKS)
def test_against_the_interpreter(what: str, precision: str, samples: int) -> None:
    text = NETWORKS[what]
    net = dln.compile(text, precision=precision, threads=1)  # type: ignore[arg-type]
    generator = np.random.default_rng(1)
    data = {
        n: np.asarray(a, np.float32) if a.dtype.kind == "f" else a
        for n, a in random_inputs(net, samples, generator).items()
    }
    weights = {}
    for name, view in net.weights.items():
        weights[name] = np.float64(np.float32(0.7 * generator.standard_normal(view.shape)))
        net.weights[name] = weights[name]
    oracle = Interpreter(parse(Source("recurrent.dln", text)), prelude())
    expected = oracle.run(weights, {n: np.float64(a) if a.dtype.kind == "f" else a for n, a in data.items()})
    tolerance = 1e-12 if precision == "float64" else 1e-5
    for name, values in net(**data).items():
        agree(name, values, expected.outputs[name], tolerance)
    loss, gradient = net.loss_and_gradient(**data)
    wanted_loss, wanted = oracle.gradient(weights, data)
    agree("loss", loss, wanted_loss, tolerance)
    for name, values in gradient.items():
        agree(f"gradient of {name}", values, wanted[name], tolerance)


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_computed_is_refused(message: str) -> None:
    with pytest.raises(DiagnosticError) as error:
        dln.compile(REFUSED[message])
    (diagnostic,) = error.value.diagnostics
    assert diagnostic.code == "E211" and message in diagnostic.message


def test_threads_do_not_change_the_bits() -> None:
    text = "input x[20, 16]\nlayer h[20, 96] = lstm(x)\nloss average[batch] sum[t, j] h[t, j]^2"
    x = np.random.default_rng(0).standard_normal((32, 20, 16)).astype(np.float32)
    results = []
    for threads in (1, 2, 3):
        net = dln.compile(text, threads=threads, seed=1)
        _, gradient = net.loss_and_gradient(x=x)
        results.append(b"".join(g.tobytes() for g in gradient.values()) + net(x=x)["h"].tobytes())
    assert results[0] == results[1] == results[2]


def test_a_thousand_steps_take_no_longer_to_compile() -> None:
    """The text of the kernels does not know how long a sequence is."""
    from dln.compiler.pipeline import front_text, lower_network

    def size(steps: int) -> tuple[int, int]:
        text = f"input x[{steps}, 8]\nlayer h[{steps}, 16] = lstm(x)\nloss average[batch] sum[t, j] h[t, j]^2"
        _, program, _ = lower_network(front_text(text), capacity=16)
        return len(program.kernels), sum(len(k.text) for k in program.kernels.values())

    (few, short), (many, long) = size(500), size(4000)
    assert many <= few + 2 and long < 1.5 * short  # register tiles and copies may differ


def test_a_network_learns_to_remember(tmp_path: Path) -> None:
    """The first of eight numbers, after the last has been seen."""
    text = """
input  x[8, 1]
input  y
layer  h[8, 12] = gru(x)
weight v[12] ~ normal(0, 0.3)
layer  z = sum[j] v[j] * h[7, j]
loss   average[batch] (z - y)^2
train {
  optimizer adam(rate = 1e-2)
  batch 32
}
"""
    net = dln.compile(text, seed=0)
    x = np.random.default_rng(0).standard_normal((256, 8, 1)).astype(np.float32)
    y = x[:, 0, 0]
    before = net.evaluate({"x": x, "y": y})["loss"]
    net.train({"train": {"x": x, "y": y}}, epochs=60)
    assert net.evaluate({"x": x, "y": y})["loss"] < 0.05 * before


def kernels_of_loops(text: str) -> list[list[str]]:
    """For each time loop of the gradient, the kernels of a step, by the last families that they compute."""
    from dln.compiler.kernels.program import Call, TimeLoop
    from dln.compiler.pipeline import front_text, lower_network

    _, program, _ = lower_network(front_text(text), capacity=32)
    loops = [c for c in program.routines["gradient"].calls if isinstance(c, TimeLoop)]
    return [[c.families[-1] for c in loop.body if isinstance(c, Call)] for loop in loops]


def test_a_step_is_few_kernels() -> None:
    """Everything is fused with the products with U; so is the choice between the gates in the derivative."""
    text = "input x[9, 8]\nlayer h[9, 16] = {}(x)\nloss average[batch] sum[t, j] h[t, j]^2"
    assert kernels_of_loops(text.format("rnn")) == [["h"], ["∂h.sum_2"]]
    assert kernels_of_loops(text.format("lstm")) == [["h"], ["∂h.a"]]
    assert kernels_of_loops(text.format("gru"))[0] == ["h"]


def test_an_embedding_is_looked_up_once() -> None:
    """The gradient of an embedding adds rows of ∂x, it does not multiply them out again for each entry."""
    from dln.compiler.kernels.program import Call
    from dln.compiler.pipeline import front_text, lower_network

    text = """
input  token[9]: class[20]
weight E[20, 8] ~ normal(0, 1)
let    x[t, d] = E[token[t], d]
layer  h[9, 16] = rnn(x)
loss   average[batch] sum[t, j] h[t, j]^2
"""
    _, program, _ = lower_network(front_text(text), capacity=32)
    calls = [c for c in program.routines["gradient"].calls if isinstance(c, Call)]
    scattered = [c.multiply_adds for c in calls if "∂E" in c.families and "scatter" in c.kernel]
    assert scattered == [32 * 9 * 8]
