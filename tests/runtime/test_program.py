"""The Python interface, against NumPy."""

from __future__ import annotations

import threading

import dln
import numpy as np
import pytest

CLASSIFIER = """network classifier
param  width = 5
input  x[4]
input  label: class[3]
layer  hidden[width] = tanh(dense(x))
layer  score[3]      = dense(hidden)
loss   cross_entropy(score, label)
metric accuracy(score, label)
train {
  optimizer sgd(rate = 0.1)
  batch     8
  epochs    3
}
"""
SUM = """network total
input  x[4]
input  t
weight w[4] ~ normal(0, 1)
layer  y = sum[i] w[i] * x[i]
loss   sum[batch] (y - t)^2
train {
  optimizer sgd(rate = 1e-3)
  batch 8
}
"""
SPREAD = """network spread
input  x[4]
weight w[4] ~ normal(0, 1)
layer  y = sum[i] w[i] * x[i]
layer  c = y - average[batch] y
loss   average[batch] c^2
metric deviation = sqrt(average[batch] c^2)
train {
  optimizer sgd(rate = 1e-3)
  batch 8
}
"""
draws = np.random.default_rng(0)
X, LABEL = draws.normal(size=(37, 4)), draws.integers(0, 3, 37)


def reference(weights, x, label):
    """Loss, scores and gradient of the classifier in plain NumPy."""
    w1, b1, w2, b2 = (weights[n] for n in ("hidden.w", "hidden.b", "score.w", "score.b"))
    h = np.tanh(x @ w1 + b1)
    z = h @ w2 + b2
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    loss = -np.log(p[np.arange(len(x)), label]).mean()
    dz = (p - np.eye(3)[label]) / len(x)
    dh = dz @ w2.T * (1 - h**2)
    gradient = {
        "hidden.w": x.T @ dh,
        "hidden.b": dh.sum(0),
        "score.w": h.T @ dz,
        "score.b": dz.sum(0),
    }
    return h, z, loss, gradient


def in_double(net):
    return {name: view.astype(np.float64) for name, view in net.weights.items()}


@pytest.mark.parametrize("count", [1, 7, 8, 9, 37])
@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-12), ("float32", 2e-5)])
def test_values_and_gradients_for_any_number_of_samples(count, precision, tolerance):
    net = dln.compile(CLASSIFIER, precision=precision, seed=1)
    h, z, expected, gradients = reference(in_double(net), X[:count], LABEL[:count])
    out = net(x=X[:count])
    assert list(out) == ["hidden", "score"] and out["score"].dtype == np.dtype(precision)
    np.testing.assert_allclose(out["hidden"], h, atol=tolerance)
    np.testing.assert_allclose(out["score"], z, atol=tolerance)
    loss, gradient = net.loss_and_gradient(x=X[:count], label=LABEL[:count])
    assert isinstance(loss, float) and loss == pytest.approx(expected, rel=tolerance)
    assert gradient.keys() == gradients.keys()
    for name, value in gradients.items():
        assert gradient[name].dtype == np.dtype(precision)
        np.testing.assert_allclose(gradient[name], value, atol=tolerance, err_msg=name)
    figures = net.evaluate({"x": X[:count], "label": LABEL[:count]})
    assert figures["accuracy"] == pytest.approx((z.argmax(1) == LABEL[:count]).mean())


def test_gradients_of_a_sum_over_the_batch():
    net = dln.compile(SUM, precision="float64")
    t = X[:, 0] ** 2
    error = X @ net.weights["w"] - t
    loss, gradient = net.loss_and_gradient(x=X, t=t)
    assert loss == pytest.approx((error**2).sum(), rel=1e-12)
    np.testing.assert_allclose(gradient["w"], 2 * X.T @ error, rtol=1e-12)


def test_samples_that_depend_on_each_other_share_a_minibatch():
    net = dln.compile(SPREAD, precision="float64")
    y = X @ net.weights["w"]
    np.testing.assert_allclose(net(x=X)["c"], y - y.mean(), atol=1e-12)
    loss, gradient = net.loss_and_gradient(x=X)
    assert loss == pytest.approx(y.var(), rel=1e-12)
    centred = X - X.mean(0)
    np.testing.assert_allclose(gradient["w"], 2 * centred.T @ (y - y.mean()) / 37, rtol=1e-10)
    assert net.evaluate({"x": X})["deviation"] == pytest.approx(y.std(), rel=1e-12)


def test_one_sample_without_its_axis():
    net = dln.compile(CLASSIFIER, precision="float64")
    out = net(x=X[3])
    assert out["score"].shape == (3,)
    np.testing.assert_array_equal(out["score"], net(x=X[3:4])["score"][0])


def test_a_network_without_inputs_is_one_sample():
    net = dln.compile(
        "network j\nweight x = 1.5\nlayer y = sin(x^2) + 3 * x^2\nloss cos(y)\n"
        "train {\n optimizer sgd(rate = 0.001)\n epochs 2000\n}\n",
        precision="float64",
    )
    inner, slope = np.sin(1.5**2) + 3 * 1.5**2, 2 * 1.5 * np.cos(1.5**2) + 6 * 1.5
    assert net()["y"] == pytest.approx(inner, rel=1e-14)
    loss, gradient = net.loss_and_gradient()
    assert loss == pytest.approx(np.cos(inner), rel=1e-12)
    assert gradient["x"] == pytest.approx(-np.sin(inner) * slope, rel=1e-12)
    history = net.train()
    assert history[-1].train["loss"] == pytest.approx(-1, abs=1e-6) and history[-1].step == 2000


def test_weights_are_live_and_checked():
    net = dln.compile(CLASSIFIER)
    before = net(x=X)["score"]
    net.weights["score.b"][...] += 1
    np.testing.assert_allclose(net(x=X)["score"], before + 1, rtol=1e-5)
    net.weights["score.b"] = [0, 0, 0]
    np.testing.assert_allclose(net(x=X)["score"], before, rtol=1e-5)
    assert list(net.weights) == ["hidden.w", "hidden.b", "score.w", "score.b"]
    with pytest.raises(KeyError, match=r"no weight 'scor.b'; did you mean 'score.b'\?"):
        net.weights["scor.b"]
    with pytest.raises(dln.WeightError, match=r"'score.b' has shape \(3,\), got \(2,\)"):
        net.weights["score.b"] = [1, 2]


def test_settings_seeds_and_names():
    net = dln.compile(CLASSIFIER, width=9, batch=4)
    assert net.weights["hidden.w"].shape == (4, 9) and net.plan.batch == 4
    assert (net.name, net.inputs, net.outputs) == ("classifier", ["x", "label"], ["hidden", "score"])
    again, other = dln.compile(CLASSIFIER, width=9), dln.compile(CLASSIFIER, width=9, seed=1)
    np.testing.assert_array_equal(net.weights["hidden.w"], again.weights["hidden.w"])
    assert not np.array_equal(net.weights["hidden.w"], other.weights["hidden.w"])
    again.initialize(1)
    np.testing.assert_array_equal(again.weights["hidden.w"], other.weights["hidden.w"])
    with pytest.raises(dln.DiagnosticError, match="did you mean 'width'"):
        dln.compile(CLASSIFIER, widht=9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net: net(), r"missing input: x\[4\]"),
        (lambda net: net(y=X), "unknown input 'y'"),
        (lambda net: net(x=X[:, :3]), r"should have shape \(samples, 4\), got \(37, 3\)"),
        (lambda net: net(x=X[:0]), "has no samples"),
        (lambda net: net(x=np.array(["a"])), "array of numbers"),
        (lambda net: net.loss_and_gradient(x=X), r"missing input: label: class\[3\]"),
        (lambda net: net.loss_and_gradient(x=X, label=LABEL + 1), "class numbers 0 … 2, got 3 in row"),
        (lambda net: net.loss_and_gradient(x=X, label=np.full(37, np.nan)), "'label' is NaN in row 0"),
        (lambda net: net.train({"x": X * np.inf, "label": LABEL}), "'x' is"),
        (lambda net: net.train({"x": X * 1e300, "label": LABEL}), "too large for float32"),
        (lambda net: net.train({"x": X, "label": LABEL}, epochs=0), "epochs should be a whole number"),
        (lambda net: net.train(), "no data section"),
        (lambda net: net.train({"x": X, "label": LABEL}, patience=2), "there is none"),
        (lambda net: dln.compile(CLASSIFIER, precision="float16"), "precision is"),
        (lambda net: dln.compile(CLASSIFIER, threads=0), "threads should be at least 1"),
    ],
)
def test_refusals(call, message):
    net = dln.compile(CLASSIFIER)
    before = in_double(net)
    with pytest.raises(dln.InputError, match=message):
        call(net)
    for name, value in before.items():
        np.testing.assert_array_equal(net.weights[name], value)


def test_nan_in_features_passes_through_a_call():
    bad = X.copy()
    bad[2, 1] = np.nan
    score = dln.compile(CLASSIFIER)(x=bad)["score"]
    assert np.isnan(score[2]).all() and np.isfinite(np.delete(score, 2, 0)).all()


def test_training_equals_gradient_descent_in_numpy():
    """SGD over minibatches of 8, the last one of 5, in the order that the seed gives."""
    net = dln.compile(CLASSIFIER, precision="float64")
    weights = in_double(net)
    history = net.train({"x": X, "label": LABEL}, seed=4)
    from dln.runtime.initialize import generator

    for epoch in (1, 2, 3):
        order = generator(4, "order", epoch).permutation(37)
        losses = []
        for start in range(0, 37, 8):
            rows = order[start : start + 8]
            _, _, loss, gradient = reference(weights, X[rows], LABEL[rows])
            losses.append(loss * len(rows))
            weights = {n: w - 0.1 * gradient[n] for n, w in weights.items()}
        assert history[epoch - 1].train["loss"] == pytest.approx(sum(losses) / 37, rel=1e-10)
        assert history[epoch - 1].step == 5 * epoch
    for name, value in weights.items():
        np.testing.assert_allclose(net.weights[name], value, rtol=1e-9, atol=1e-12)
    assert (history.ending, len(history)) == ("epochs", 3)


def test_larger_minibatches_than_the_file_has():
    net = dln.compile(CLASSIFIER, precision="float64")
    weights = in_double(net)
    view = net.weights["score.w"]
    net.train({"x": X, "label": LABEL}, batch=64, epochs=1)
    _, _, _, gradient = reference(weights, X, LABEL)
    np.testing.assert_allclose(view, weights["score.w"] - 0.1 * gradient["score.w"], rtol=1e-10)


def test_a_network_without_a_train_section_trains_with_adam():
    net = dln.compile(CLASSIFIER[: CLASSIFIER.index("train {")])
    before = net.evaluate({"x": X, "label": LABEL})["loss"]
    assert len(net.train({"x": X, "label": LABEL})) == 10
    assert net.evaluate({"x": X, "label": LABEL})["loss"] < before


def test_training_twice_starts_the_optimizer_anew():
    text = CLASSIFIER.replace("sgd(rate = 0.1)", "adam(rate = 0.01)")
    data = {"x": X, "label": LABEL}
    first, second = dln.compile(text), dln.compile(text)
    start = {n: v.copy() for n, v in second.weights.items()}
    first.train(data)
    second.train(data)
    for name, value in start.items():
        second.weights[name] = value
    second.train(data)
    for name, value in first.weights.items():
        np.testing.assert_array_equal(second.weights[name], value)


def test_parts_and_callbacks():
    seen = []
    net = dln.compile(CLASSIFIER)
    data = {
        "train": {"x": X[:20], "label": LABEL[:20]},
        "validation": {"x": X[20:], "label": LABEL[20:]},
    }
    history = net.train(data, epochs=5, on_epoch=lambda record: seen.append(record.epoch))
    assert seen == [1, 2, 3, 4, 5] and len(history.curve("validation", "accuracy")) == 5
    best = min(history.curve("validation"))
    assert net.evaluate(data["validation"])["loss"] == pytest.approx(best, rel=1e-6)


def test_save_and_restore(tmp_path):
    net, other = dln.compile(CLASSIFIER, seed=1), dln.compile(CLASSIFIER, seed=2)
    net.save(tmp_path / "w.safetensors")
    other.restore(tmp_path / "w.safetensors")
    np.testing.assert_array_equal(net(x=X)["score"], other(x=X)["score"])
    wide = dln.compile(
        CLASSIFIER.replace("layer  score", "layer  result").replace("(score", "(result"), width=6
    )
    with pytest.raises(dln.WeightError) as caught:
        wide.restore(tmp_path / "w.safetensors")
    message = str(caught.value)
    assert "missing: result.w, result.b" in message and "unexpected: score.b, score.w" in message
    assert "hidden.w should have shape (4, 6), has (4, 5)" in message
    cut = (tmp_path / "w.safetensors").read_bytes()[:-7]
    (tmp_path / "cut.safetensors").write_bytes(cut)
    with pytest.raises(dln.WeightError, match="not a whole safetensors file"):
        net.restore(tmp_path / "cut.safetensors")
    with pytest.raises(FileNotFoundError):
        net.restore(tmp_path / "absent.safetensors")


def test_weights_are_handed_from_one_file_to_another(tmp_path):
    first = dln.compile(CLASSIFIER, seed=3)
    first.weights["score.b"] = [1, 2, 3]
    first.save(tmp_path / "first.safetensors")
    (tmp_path / "second.dln").write_text(
        'network second\ninput x[3]\nfrozen weight b[3] from "b.safetensors"\nlayer y[j: 3] = b[j] * x[j]\n'
    )
    from dln.runtime.checkpoint import write_weights

    with pytest.raises(dln.DiagnosticError, match="cannot find the data file"):
        dln.load(tmp_path / "second.dln")
    write_weights(tmp_path / "b.safetensors", {"b": first.weights["score.b"]}, {})
    second = dln.load(tmp_path / "second.dln")
    np.testing.assert_array_equal(second(x=np.ones((1, 3)))["y"], [[1, 2, 3]])
    write_weights(tmp_path / "b.safetensors", {"c": np.zeros(3)}, {})
    with pytest.raises(dln.DiagnosticError, match="holds no weight 'b'"):
        dln.load(tmp_path / "second.dln")
    write_weights(tmp_path / "b.safetensors", {"b": np.zeros(4)}, {})
    with pytest.raises(dln.DiagnosticError, match=r"'b' has the extents \[3\], in 'b.safetensors' \[4\]"):
        dln.load(tmp_path / "second.dln")


def test_threads_share_a_network():
    net = dln.compile(CLASSIFIER, precision="float64")
    expected = net(x=X)["score"]
    wrong = []

    def work(k: int) -> None:
        for _ in range(30):
            rows = slice(k, k + 9)
            if not np.array_equal(net(x=X[rows])["score"], expected[rows]):
                wrong.append(k)

    workers = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_training_in_another_thread_needs_no_signal_handler():
    net, problems = dln.compile(CLASSIFIER), []

    def work() -> None:
        try:
            net.train({"x": X, "label": LABEL})
        except Exception as error:
            problems.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    assert not problems


def test_equations():
    net = dln.compile(CLASSIFIER)
    assert any(line.startswith("∂E/∂hidden.w") for line in net.equations())
    assert any(r"\tanh" in line for line in net.equations(gradient=False, latex=True))
    assert repr(net) == "<dln network classifier: x[4], label: class[3] → hidden, score>"
