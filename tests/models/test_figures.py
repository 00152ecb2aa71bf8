"""The figures of models/README.md: what the models reach, and how large they are.

The oracles are outside of dln: NumPy's least squares, the weights that made the data, equations in plain loops, and the
accuracies that the models are to reach on real data.
"""

from __future__ import annotations

import dln
import numpy as np
import pytest
from dln.compiler.mathematics.counts import count
from dln.compiler.pipeline import front
from dln.compiler.printing.equations import gradient_equations
from dln.tests.models.given import MODELS, data_folder, needs, path_of, trained

__all__ = ["data_folder"]


def test_shared_pair_finds_its_weights() -> None:
    net = trained("shared_pair")
    np.testing.assert_allclose(net.weights["w"], [0.8, -0.5], atol=1e-4)


def test_shared_pair_has_the_gradient_of_the_textbook() -> None:
    """∂E/∂w_k = Σ_{i, j: i − j = k} ∂E/∂x_j · x_i, in plain loops; and the compiler prints it so."""
    net = dln.load(path_of("shared_pair"), precision="float64")
    draw = np.random.default_rng(1)
    x, target = draw.normal(size=(7, 4)), draw.normal(size=(7, 3))
    w = np.array(net.weights["w"])
    expected = np.zeros(2)
    for sample, wanted in zip(x, target, strict=True):
        for j in range(3):
            h = np.tanh(sum(w[i - j] * sample[i] for i in range(4) if 0 <= i - j < 2))
            for i in range(4):
                if 0 <= i - j < 2:
                    expected[i - j] += (h - wanted[j]) * (1 - h * h) * sample[i] / len(x)
    _, gradient = net.loss_and_gradient(x=x, target=target)
    np.testing.assert_allclose(gradient["w"], expected, rtol=1e-12)
    printed = [e.text for e in gradient_equations(front(path_of("shared_pair")).graph)]
    assert printed == [
        "∂E/∂h[j] = (h[j] − target[j]) / |batch|",
        "∂E/∂w[k] = Σ_{batch, i, j: i − j = k} ∂E/∂h[j] · (1 − h[j]²) · x[i]",
    ]


def test_xor_is_solved_for_nine_of_ten_seeds() -> None:
    solved = sum(
        trained("xor", seed=seed).evaluate(part="train")["binary_accuracy"] == 1 for seed in range(10)
    )
    assert solved >= 9


def test_linear_regression_reaches_the_direct_solution() -> None:
    net = trained("linear_regression", precision="float64")
    train = net.load_data()["train"]
    matrix = np.column_stack([train["x"], np.ones(len(train["x"]))])
    solution, *_ = np.linalg.lstsq(matrix, train["target"], rcond=None)
    best = float(np.mean((matrix @ solution - train["target"]) ** 2))
    assert net.evaluate(part="train")["loss"] == pytest.approx(best, rel=1e-3)
    assert float(net.weights["b"][()]) == pytest.approx(solution[-1], abs=1e-2)


def test_circulant_finds_the_laplacian_of_a_ring() -> None:
    net = trained("circulant")
    np.testing.assert_allclose(net.weights["w"], [-2, 1, 0, 0, 0, 0, 0, 1], atol=1e-4)


@pytest.mark.parametrize(
    ("name", "least"),
    [("digits", 0.96), ("digits_cnn", 0.98), ("hexagonal", 0.95), ("banded", 0.95), ("random_table", 0.93)],
)
def test_accuracy_on_handwritten_digits(name: str, least: float) -> None:
    assert trained(name).evaluate()["accuracy"] >= least


def test_the_hexagonal_kernel_is_seven_neighbours_on_the_plane() -> None:
    """Against an image convolved by hand, with the neighbours found by distance in the plane, not by the file's tables."""
    net = dln.load(path_of("hexagonal"), precision="float64")
    image = np.random.default_rng(0).normal(size=(8, 8))
    shifted = np.pad(image, ((0, 0), (0, 1)))[:, 1:]
    brick = np.where(np.arange(8)[:, None] % 2 == 1, (image + shifted) / 2, image)
    w, b = np.array(net.weights["w"]), np.array(net.weights["b"])
    place = {(y, x): (x + y % 2 / 2, y * np.sqrt(3) / 2) for y in range(-1, 9) for x in range(-1, 9)}
    expected = np.zeros((16, 8, 8))
    for y in range(8):
        for x in range(8):
            own = place[y, x]
            near = [p for p, q in place.items() if np.hypot(q[0] - own[0], q[1] - own[1]) < 1.1]
            assert len(near) == 7
            values = [brick[p] if 0 <= p[0] < 8 and 0 <= p[1] < 8 else 0.0 for p in sorted(near)]
            expected[:, y, x] = np.maximum(w @ np.array(values) + b, 0)
    np.testing.assert_allclose(net(image=image)["cell"], expected, atol=1e-12)


def test_the_table_of_random_table_is_what_its_comment_says() -> None:
    table = np.loadtxt(MODELS / "random_table.csv", delimiter=",", dtype=int)
    np.testing.assert_array_equal(table, np.random.default_rng(0).integers(384, size=(64, 48)))


@needs("mnist")
@pytest.mark.usefixtures("data_folder")
def test_lecun1989_learns_handwriting() -> None:
    """Three of its 23 passes; models/README.md has the figures of the whole run."""
    net = dln.load(path_of("lecun1989"))
    net.train(epochs=3)
    assert net.evaluate()["error"] < 0.12


@needs("concrete")
@pytest.mark.usefixtures("data_folder")
def test_concrete_strength_on_two_of_the_splits() -> None:
    """models/README.md has the mean over all twenty."""
    for fold in (1, 5):
        net = dln.load(path_of("concrete"), fold=fold)
        data = net.load_data()
        assert data.counts == {"train": 927, "test": 103}
        net.train(data)
        residuals = net.predict()["y"] - data["test"]["strength"]
        assert np.sqrt(np.mean(residuals**2)) == pytest.approx(net.evaluate()["rmse"], rel=1e-5)
        assert net.evaluate()["rmse"] < 5


@pytest.mark.parametrize(
    ("name", "units", "connections", "weights"),
    [
        ("shared_pair", 7, 6, 2),
        ("circulant", 16, 64, 8),
        ("lecun1989", 1256, 64660, 9760),  # the numbers of the paper
        ("banded", 138, 64 * 64 - 54 * 55 + 64 + 650, 64 * 64 - 54 * 55 + 64 + 650),
        ("random_table", 122, 64 * 48 + 48 + 490, 384 + 48 + 490),
    ],
)
def test_sizes(name: str, units: int, connections: int, weights: int) -> None:
    total = count(front(path_of(name)).graph).total
    assert (total.units, total.connections, total.weights) == (units, connections, weights)
