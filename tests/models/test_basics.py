"""The models of linear regression, small networks, first weights, optimizers, regularisation: what each is to show.

The oracles: closed forms in NumPy, scikit-learn's logistic regression, published tables, equations written out by hand.
"""

from __future__ import annotations

import dln
import numpy as np
import pytest
from dln.runtime.program import Network
from dln.tests.models.given import path_of, trained


def test_linear_regression_in_one_step_is_the_direct_solution() -> None:
    """(XᵀX)⁻¹Xᵀt, which descent needs 3,000 epochs for."""
    net = dln.load(path_of("linear_regression"), precision="float64", optimizer="newton")
    net.train(epochs=1)
    train = net.load_data()["train"]
    matrix = np.column_stack([train["x"], np.ones(len(train["x"]))])
    solution = np.linalg.inv(matrix.T @ matrix) @ matrix.T @ train["target"]
    np.testing.assert_allclose([*net.weights["w"], net.weights["b"]], solution, rtol=1e-8)


@pytest.mark.parametrize(("optimizer", "epochs", "tolerance"), [("newton", 1, 1e-8), (None, 4000, 1e-4)])
@pytest.mark.parametrize("strength", [1e-3, 0])
def test_polynomial(optimizer: str | None, epochs: int, tolerance: float, strength: float) -> None:
    """(ΦᵀΦ / n + S)⁻¹ Φᵀt / n with NumPy's polynomials of Chebyshev."""
    changes = {} if optimizer is None else {"optimizer": optimizer}
    net = dln.load(path_of("polynomial"), precision="float64", strength=strength, **changes)
    data = net.load_data()["train"]
    features = np.polynomial.chebyshev.chebvander(data["x"], 9)
    penalty = strength * np.diag(np.arange(10.0) ** 4)
    left = features.T @ features / 12 + penalty
    solution = np.linalg.solve(left, features.T @ data["target"] / 12)
    best = np.mean((features @ solution - data["target"]) ** 2) + solution @ penalty @ solution
    net.train(epochs=epochs)
    loss = net.evaluate(part="train")["loss"]
    assert loss == pytest.approx(best, rel=tolerance)


def test_logistic_regression_is_that_of_scikit_learn() -> None:
    """Its C is 1 / (λ n)."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    net = dln.load(path_of("logistic_regression"), precision="float64", optimizer="newton")
    data = net.load_data()
    train, test = data["train"], data["test"]
    net.train(data, epochs=20)
    other = linear_model.LogisticRegression(C=1 / (1e-3 * len(train["x"])), tol=1e-10, max_iter=1000)
    other.fit(train["x"], train["target"])
    np.testing.assert_allclose(net.weights["w"], other.coef_[0], rtol=1e-3, atol=1e-4)
    assert net.evaluate()["binary_accuracy"] == pytest.approx(other.score(test["x"], test["target"]))
    assert trained("logistic_regression").evaluate(part="train")["loss"] == pytest.approx(
        net.evaluate(part="train")["loss"], rel=0.02
    )


def test_softmax_regression_of_irises() -> None:
    net = trained("softmax_regression")
    assert net.evaluate(part="train")["accuracy"] > 0.98
    assert net.evaluate()["accuracy"] >= 0.9
    np.testing.assert_allclose(net.predict()["p"].sum(-1), 1, rtol=1e-6)


def test_more_units_approximate_a_function_better() -> None:
    errors = []
    for units in (4, 16):
        net = trained("sine", units=units)
        x = np.linspace(-0.98, 0.98, 401)
        errors.append(np.abs(net(x=x)["y"] - np.sin(6 * x) - 0.5 * np.cos(13 * x)).max())
    assert errors[1] < 0.6 * errors[0]


def test_the_stuck_unit() -> None:
    """∂E/∂w2 = Σ (y − t) y (1 − y) x with y = 10⁻¹³ moves nothing; with the cross-entropy it is Σ (y − t) x."""
    net = trained("stuck_unit")
    figures = net.evaluate(part="train")
    assert figures["first_accuracy"] > 0.95
    assert figures["second_accuracy"] < 0.55
    assert float(net.weights["b2"][()]) == -30
    net = trained("stuck_unit", kind=1)
    assert net.evaluate(part="train")["second_accuracy"] > 0.95
    data = net.load_data()["train"]
    net.initialize(0)
    _, gradient = net.loss_and_gradient(**data)
    y = 1 / (1 + np.exp(30 - 0.1 * data["x"].astype(float)))
    assert float(gradient["w2"]) == pytest.approx(np.mean((y - data["target"]) * data["x"]), rel=1e-5)


def test_functions_of_ones_own() -> None:
    net = dln.load(path_of("own_functions"), precision="float64")
    data = net.load_data()["test"]
    found = net(image=data["image"])
    z = data["image"] @ net.weights["first.w"] + net.weights["first.b"]
    np.testing.assert_allclose(found["first"], z * np.tanh(np.log1p(np.exp(z))), rtol=1e-10)
    p = np.exp(found["score"]) / np.exp(found["score"]).sum(-1, keepdims=True)
    own = -np.log(p[np.arange(len(p)), data["label"]])
    figures = net.evaluate(data)
    assert figures["loss"] == pytest.approx(np.mean(0.9 * own - 0.1 * np.log(p).mean(-1)), rel=1e-10)
    ranks = (found["score"] > found["score"][np.arange(len(p)), data["label"]][:, None]).sum(-1)
    assert figures["second_guess"] == pytest.approx(np.mean(ranks <= 1))


#: Deviations of ten tanh layers of 500 units for weights of deviation 0.01, 1 and 1 / √500: the published table.
TEN_LAYERS = [
    (0, [0.213, 0.0476, 0.0106, 0.00238]),
    (1, [0.982] * 10),
    (2, [0.627, 0.486, 0.408, 0.357, 0.320, 0.293, 0.271, 0.256, 0.243, 0.231]),
]


@pytest.mark.parametrize(("kind", "published"), TEN_LAYERS)
def test_the_spread_of_ten_tanh_layers(kind: int, published: list[float]) -> None:
    from dln.compiler.pipeline import front

    net = Network(front(path_of("deep_tanh"), {"kind": str(kind)}), purpose="evaluation", capacity=1000)
    figures = net.evaluate(part="train")
    for layer, deviation in enumerate(published, 1):
        assert figures[f"s{layer}"] == pytest.approx(deviation, rel=0.02)


@pytest.mark.parametrize(
    ("kind", "learns"), [(0, False), (1, False), (2, True), (3, True), (4, True), (5, True), (6, True)]
)
def test_first_weights(kind: int, learns: bool) -> None:
    """Zeros: the units of a layer remain the same unit. Small numbers: five layers on, nothing of the image is left."""
    net = dln.load(path_of("initialisation"), kind=kind)
    start = np.array(net.weights["h2.w"], float)
    if kind == 1:
        spread = [np.std(layer) for layer in net.predict().values()]
        assert spread[3] < 1e-3 * spread[0]
    if kind == 5:
        np.testing.assert_allclose(start.T @ start, np.eye(64), atol=1e-5)
    if kind == 6:
        np.testing.assert_array_equal(start, np.eye(64))
    net.train(epochs=4)
    assert (net.evaluate()["accuracy"] > 0.9) == learns
    if kind == 0:
        for name in ("h1.w", "h2.w"):
            weights = np.array(net.weights[name])
            np.testing.assert_array_equal(weights, np.broadcast_to(weights[:, :1], weights.shape))


def test_positive_thresholds_open_all_units() -> None:
    assert dln.load(path_of("initialisation"), kind=1, bias=0.1).evaluate()["open"] == 1


@pytest.mark.parametrize("optimizer", ["lbfgs(iterations = 100)", "newton", "heavy_ball(rate = 1e-3)"])
def test_the_valley_of_rosenbrock(optimizer: str) -> None:
    net = trained("rosenbrock", precision="float64", optimizer=optimizer)
    assert [float(net.weights["a"][()]), float(net.weights["b"][()])] == pytest.approx([1, 1], abs=1e-3)


def test_a_rate_that_falls_is_better_in_the_end() -> None:
    losses = [trained("schedules", kind=kind, threads=1).evaluate()["loss"] for kind in (0, 2)]
    assert losses[1] < losses[0]


def test_max_norm_and_what_is_learned_of_the_validation_part() -> None:
    losses = {}
    for retrain in (None, "afresh", "further"):
        more = {} if retrain is None else {"retrain": retrain, "patience": 10}
        net = trained("regularised_digits", limit="norm(1) w", threads=1, **more)
        for name in ("first.w", "second.w", "score.w"):
            assert np.linalg.norm(net.weights[name], axis=0).max() <= 1 + 1e-5
        losses[retrain] = net.evaluate()["loss"]
    assert max(losses["afresh"], losses["further"]) < 0.9 * losses[None]


def test_digits_that_are_moved_teach_more() -> None:
    accuracy = [
        trained("augmented_digits", augment=augment, seed=1, threads=1, epochs=25).evaluate()["accuracy"]
        for augment in ("image translate(0)", "image rotate(12), translate(0.8), stretch(12%)")
    ]
    assert accuracy[1] > accuracy[0] + 0.01


def test_double_descent() -> None:
    """Against the pseudo-inverse on the same random units; the error has its peak where units and samples are as many."""
    losses = []
    for width in (10, 40, 320):
        net = dln.load(path_of("double_descent"), precision="float64", width=width, threads=1)
        data = net.load_data()
        net.train(data)
        features = {
            part: np.tanh(data[part]["x"] @ net.weights["a"] + net.weights["b"]) / np.sqrt(width)
            for part in ("train", "validation")
        }
        weights = np.linalg.pinv(features["train"]) @ data["train"]["target"]
        error = features["validation"] @ weights - data["validation"]["target"]
        losses.append(net.evaluate(part="validation")["loss"])
        assert losses[-1] == pytest.approx(np.mean(error**2), rel=1e-3)
    assert losses[1] > 3 * losses[0] > 3 * losses[2]
