"""The convolutional models: their sizes against the papers', their figures on digits.

What takes minutes is recorded in models/README.md; here a few passes show that it is under way.
"""

from __future__ import annotations

import dln
import numpy as np
import pytest
from dln.compiler.mathematics.counts import count
from dln.compiler.pipeline import front
from dln.runtime.program import Network
from dln.tests.models.given import data_folder, needs, path_of

__all__ = ["data_folder"]


@pytest.mark.parametrize(
    ("name", "connections", "weights"),
    [
        (
            "lenet5",
            340_908 + 10,
            60_850,
        ),  # the paper's connections, and ten thresholds that its last layer does not have
        ("alexnet", 714_682_664, 61_100_840),
        ("googlenet", 1_585_899_032, 6_998_552),
        ("lecun1989_modern", 64_660, 9_760),
        ("mnist_cnn", 12_051_082, 1_199_882),
    ],
)
def test_sizes(name: str, connections: int, weights: int) -> None:
    total = count(front(path_of(name)).graph).total
    assert (total.connections, total.weights) == (connections, weights)


def test_alexnet_layer_by_layer() -> None:
    """Units, and weights as (inputs × kernel + 1) × outputs, for 224 × 224 pixels: 55, 27 and 13 on a side."""
    rows = {row.name: row for row in count(front(path_of("alexnet")).graph).rows}
    expected = {
        "c1": (64 * 55 * 55, (3 * 121 + 1) * 64),
        "c2": (192 * 27 * 27, (64 * 25 + 1) * 192),
        "c3": (384 * 13 * 13, (192 * 9 + 1) * 384),
        "c4": (256 * 13 * 13, (384 * 9 + 1) * 256),
        "c5": (256 * 13 * 13, (256 * 9 + 1) * 256),
        "f6": (4096, (256 * 36 + 1) * 4096),
        "f7": (4096, 4097 * 4096),
        "score": (1000, 4097 * 1000),
    }
    assert {name: (rows[name].units, rows[name].weights) for name in expected} == expected


#: The columns of table I: which maps of S2 each map of C3 reads.
TABLE = """
    012 123 234 345 045 015
    0123 1234 2345 0345 0145 0125 0134 1245 0235
    012345
"""


def test_c3_of_lenet5_reads_what_the_table_says() -> None:
    elaborated = front(path_of("lenet5"))
    (row,) = (row for row in count(elaborated.graph).rows if row.name == "c3")
    assert (row.weights, row.connections) == (1_516, 151_600)
    net = Network(elaborated, precision="float64", purpose="evaluation", capacity=1)
    image = np.random.default_rng(0).uniform(-0.1, 1.175, (28, 28))
    maps = net(image=image)
    for f, read in enumerate(TABLE.split()):
        total = np.full((10, 10), float(net.weights["c3_b"][f]))
        for c in map(int, read):
            for v in range(5):
                for u in range(5):
                    total += net.weights["c3_w"][f, c, v, u] * maps["s2"][c, v : v + 10, u : u + 10]
        np.testing.assert_allclose(maps["c3"][f], 1.7159 * np.tanh(2 / 3 * total), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "epochs", "least"), [("residual_net", 3, 0.95), ("dropout_digits", 15, 0.95)]
)
def test_accuracy_on_handwritten_digits(name: str, epochs: int, least: float) -> None:
    net = dln.load(path_of(name))
    net.train(epochs=epochs)
    assert net.evaluate()["accuracy"] >= least


@needs("mnist")
@pytest.mark.usefixtures("data_folder")
def test_the_network_of_1989_with_what_was_found_since() -> None:
    """Two of its 80 passes; models/README.md has the figures of the whole run, and of the changes one by one."""
    net = dln.load(path_of("lecun1989_modern"), threads=1)
    net.train(epochs=2)
    assert net.evaluate()["error"] < 0.2


@needs("mnist")
@pytest.mark.usefixtures("data_folder")
def test_lenet5_learns_handwriting() -> None:
    """Two passes over 2,000 digits; models/README.md has the figure of the whole run."""
    net = dln.load(path_of("lenet5"), split="2000 train, 500 validation", threads=1)
    data = net.load_data()
    net.train(data, epochs=2)
    assert net.evaluate({name: values[:1000] for name, values in data["test"].items()})["accuracy"] > 0.75
