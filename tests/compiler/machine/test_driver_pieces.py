"""Calls in which threads help each other: every piece is computed once, and the bits are those of one thread."""

import dln
import numpy as np
import pytest
from dln.compiler.kernels import division
from dln.compiler.machine import machine_code
from dln.compiler.machine.driver_pieces import PIECES

NETWORK = """network helped
input   x[40]
input   y[10]
layer   a[60] = tanh(dense(x))
layer   b[50] = tanh(dense(a))
layer   c[10] = dense(b)
loss    squared_error(c, y)
train {
  optimizer adam(rate = 1e-2)
  batch     32
  order     fixed
  epochs    3
}
"""
#: Loops over time in both directions, and loops within loops.
RECURRENT = """network helped
input   x[7, 6]
input   y[7, 3, 96]
layer   a[7, 128] = bidirectional_lstm(x)
weight  w[96, 96] ~ normal(0, 0.1)
weight  u[128, 96] ~ normal(0, 0.1)
let     v[t, k] = sum[j] u[j, k] * a[t, j]
layer   g[t: 7, s: 3, k: 96] = tanh(v[t, k] + sum[m] w[m, k] * (g[t - 1, s, m else 0] + g[t, s - 1, m else 0]))
loss    squared_error(g, y)
train {
  optimizer adam(rate = 1e-2)
  batch     32
  order     fixed
  epochs    2
}
"""


class Always:
    """A team that uses all threads."""

    def choose(self, minibatches):
        return True

    def record(self, several, minibatches, seconds):
        pass


@pytest.mark.parametrize("threads", [2, 3, 8])
@pytest.mark.parametrize(
    ("source", "samples", "inputs", "targets", "in_loops"),
    [(NETWORK, 1280, (40,), (10,), 0), (RECURRENT, 160, (7, 6), (7, 3, 96), 5)],
)
def test_bits_do_not_depend_on_who_helps(source, samples, inputs, targets, in_loops, threads, monkeypatch):
    monkeypatch.setattr(division, "WORTH_DIVIDING", 0)
    monkeypatch.setattr(division, "WORTH_BALANCING", 0)
    monkeypatch.setattr(machine_code, "Team", Always)
    monkeypatch.setenv("DLN_CACHE", "off")
    draw = np.random.default_rng(0)
    data = {
        "x": draw.standard_normal((samples, *inputs)).astype(np.float32),
        "y": draw.standard_normal((samples, *targets)).astype(np.float32),
    }
    weights = {}
    for count in (1, threads):
        network = dln.compile(source, threads=count, seed=0)
        network.train(data)
        weights[count] = {name: value.copy() for name, value in network.weights.items()}
        routine = network._main.program.routines["train"]
        steps = {id(call) for call in division.calls_of(routine)} - set(map(id, routine.calls))
        balanced = [id(c) in steps for c in division.calls_of(routine) if division.is_balanced(c)]
        assert len(balanced) >= 5 and sum(balanced) >= in_loops
        assert count == 1 or network._main.compiled.code.load("train").balanced == len(balanced)
    for name, value in weights[1].items():
        np.testing.assert_array_equal(value, weights[threads][name])


@pytest.mark.parametrize("size", [0, 1, 3, 8, 100, 683])
def test_pieces_cover_a_part_once(size):
    finest = 1 << (PIECES - 1)
    edges = [size * (finest - (finest >> n)) // finest for n in range(PIECES + 1)]
    assert edges[0] == 0 and edges[-1] == size and edges == sorted(edges)
