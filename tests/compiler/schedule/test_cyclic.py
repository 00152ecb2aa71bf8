"""Sums round a cycle in halves: the values and gradients of the sums themselves, which NumPy computes term by term."""

import dln
import numpy as np
import pytest
from dln.compiler.machine.native import TARGETS
from dln.compiler.pipeline import front_text, lower_network

TEXT = """network cyclic
input  x[{n}]
weight s[{n}] ~ uniform(0.5, 1.5)
weight w[{n}] ~ normal(0, 1) / sqrt({n})
map    K(i, j) = ({subscript}) mod {n}
let    z[i: {n}] = s[i] * x[i]
layer  y[j: {n}] = sum[i] w[K(i, j)] * z[i]
loss   average[batch] sum[j] y[j]^4
"""

BLOCKS = """network blocks
input  x[3, 256]
weight w[2, 3, 256] ~ normal(0, 0.05)
layer  y[p: 2, j: 256] = sum[q, i] w[p, q, (i - j) mod 256] * x[q, i]
loss   average[batch] sum[p, j] y[p, j]^4
"""


def families(text):
    network = front_text(text)
    return lower_network(network, capacity=8, target=TARGETS["x86-64-v3"])[1].routines["gradient"].calls


def halves(text):
    return sum("differences" in name for call in families(text) for name in call.families)


@pytest.mark.parametrize(
    ("n", "subscript", "sign_i", "sign_j", "shift"),
    [
        (512, "i - j", 1, -1, 0),
        (256, "j - i + 5", -1, 1, 5),
        (256, "i + j - 3", 1, 1, -3),
        (260, "-i - j", -1, -1, 0),
    ],
)
def test_a_cyclic_layer_and_its_gradients(n, subscript, sign_i, sign_j, shift):
    text = TEXT.format(n=n, subscript=subscript)
    assert halves(text) >= 3  # the layer and both gradients
    net = dln.compile(text, threads=2)
    x = np.random.default_rng(0).standard_normal((11, n)).astype(np.float32)
    w, s = (net.weights[name].astype(np.float64) for name in ("w", "s"))
    i, j = np.arange(n)[:, None], np.arange(n)[None, :]
    K = (sign_i * i + sign_j * j + shift) % n
    z = s * x
    y = z @ w[K]
    loss, gradient = net.loss_and_gradient(x=x)
    dy = 4 * y**3 / len(x)
    dw = np.zeros(n)
    np.add.at(dw, K, z.T @ dy)
    ds = ((dy @ w[K].T) * x).sum(axis=0)
    np.testing.assert_allclose(net(x=x)["y"], y, rtol=0, atol=2e-6 * np.abs(y).max())
    np.testing.assert_allclose(loss, (y**4).sum(axis=1).mean(), rtol=1e-5)
    np.testing.assert_allclose(gradient["w"], dw, rtol=0, atol=5e-6 * np.abs(dw).max())
    np.testing.assert_allclose(gradient["s"], ds, rtol=0, atol=5e-6 * np.abs(ds).max())


def test_blocks_that_are_each_cyclic():
    assert halves(BLOCKS) >= 2
    net = dln.compile(BLOCKS, threads=1)
    x = np.random.default_rng(1).standard_normal((9, 3, 256)).astype(np.float32)
    w = net.weights["w"].astype(np.float64)
    K = (np.arange(256)[:, None] - np.arange(256)[None, :]) % 256
    y = np.einsum("pqij,bqi->bpj", w[:, :, K], x)
    _, gradient = net.loss_and_gradient(x=x)
    dw = np.zeros_like(w)
    products = np.einsum("bqi,bpj->pqij", x, 4 * y**3 / len(x))
    for p, q in np.ndindex(2, 3):
        np.add.at(dw[p, q], K, products[p, q])
    np.testing.assert_allclose(net(x=x)["y"], y, rtol=0, atol=2e-6 * np.abs(y).max())
    np.testing.assert_allclose(gradient["w"], dw, rtol=0, atol=5e-6 * np.abs(dw).max())


@pytest.mark.parametrize(
    "layer",
    [
        "layer  y[j: 256] = sum[i: 256] w[(i - j) mod 257] * x[i]",  # the cycle is longer than what is summed
        "layer  y[j: 256] = sum[i: 256] w[(i - 2 * j) mod 257] * x[i]",
        "layer  y[j: 128] = sum[i: 128] w[(i - j) mod 128] * x[i]",  # too short to gain by it
    ],
)
def test_what_is_no_full_cycle_is_left_alone(layer):
    assert not halves(
        f"network n\ninput x[256]\nweight w[257] ~ normal(0, 1)\n{layer}\nloss average[batch] sum[j] y[j]^2\n"
    )
