"""The models of sequences, texts and pre-training: what each is to show. The figures of whole runs are in models/README.md.

The oracles: min-char-rnn written in NumPy, losses of guessing that are known in closed form, what the data was made by.
"""

from __future__ import annotations

import re
from pathlib import Path

import dln
import numpy as np
import pytest
from dln.runtime.generation import carried, read_writer
from dln.tests.models.given import MODELS, data_folder, needs, path_of

assert data_folder  # a fixture


def test_char_rnn_is_min_char_rnn() -> None:
    """A. Karpathy's program in NumPy beside the compiled one: the loss of every window, and the weights after the last.

    The state is carried from window to window, the gradient is not; its entries are clipped to ±5; Adagrad.
    """
    steps, units, classes, windows = 6, 16, 65, 30
    net = dln.load(path_of("char_rnn"), precision="float64", T=steps, H=units)
    tokens = np.random.default_rng(0).integers(0, classes, windows * steps + 1)
    token, following = tokens[:-1].reshape(-1, steps), tokens[1:].reshape(-1, steps)
    w = {name: np.array(value) for name, value in net.weights.items()}
    memory = {name: np.zeros_like(value) for name, value in w.items()}
    state, losses = np.zeros(units), []
    for inputs, targets in zip(token, following, strict=True):
        h, p = {-1: state}, {}
        loss = 0.0
        for t in range(steps):
            h[t] = np.tanh(w["W"][inputs[t]] + h[t - 1] @ w["U"] + w["b"])
            y = h[t] @ w["v"] + w["c"]
            p[t] = np.exp(y) / np.exp(y).sum()
            loss -= float(np.log(p[t][targets[t]]))
        losses.append(loss)
        d = {name: np.zeros_like(value) for name, value in w.items()}
        later = np.zeros(units)
        for t in reversed(range(steps)):
            dy = p[t].copy()
            dy[targets[t]] -= 1
            d["v"] += np.outer(h[t], dy)
            d["c"] += dy
            raw = (1 - h[t] ** 2) * (w["v"] @ dy + later)
            d["b"] += raw
            d["W"][inputs[t]] += raw
            d["U"] += np.outer(h[t - 1], raw)
            later = w["U"] @ raw
        for name, gradient in d.items():
            gradient = np.clip(gradient, -5, 5)
            memory[name] += gradient**2
            w[name] -= 0.1 * gradient / np.sqrt(memory[name] + 1e-8)
        state = h[steps - 1]
    arrays = {"token": token, "next": following}
    history = net.train({"train": arrays, "validation": arrays}, epochs=1)
    assert history[-1].train["loss"] == pytest.approx(np.mean(losses), rel=1e-9)
    np.testing.assert_allclose(net.saved_arrays()["carried"], state, rtol=1e-7)
    for name, value in w.items():
        np.testing.assert_allclose(net.weights[name], value, rtol=1e-7, atol=1e-10, err_msg=name)


def test_char_rnn_writes_on_from_the_state_that_training_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stepped letter by letter it scores as the whole network does, whose first state is the carried one."""
    (tmp_path / "tinyshakespeare").mkdir()
    (tmp_path / "tinyshakespeare" / "input.txt").write_text(
        "the cat sat on the mat. the rat sat on the cat. " * 20
    )
    monkeypatch.setenv("DLN_DATA", str(tmp_path))
    net = dln.load(path_of("char_rnn"), T=12, H=16)
    net.train()
    assert np.abs(net.saved_arrays()["carried"]).max() > 0.1
    writer = read_writer(net)
    stepped = carried(writer)
    assert stepped is not None
    tokens = np.array(writer.encode("the cat sat "))
    expected = net(token=tokens)["score"]
    stepped.begin([])
    for token, scores in zip(tokens, expected, strict=True):
        np.testing.assert_allclose(stepped.after(int(token)), scores, rtol=1e-4, atol=1e-5)


def test_the_parity_of_sequences_of_different_lengths_is_learned() -> None:
    net = dln.load(path_of("sequence_parity"))
    net.train(epochs=12)
    assert net.evaluate()["binary_accuracy"] > 0.99
    data = net.load_data()["test"]
    assert len(set(data["length"])) == 12
    sample = {"bit": np.array([1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1.0])}
    scores = [float(net(**sample, length=np.array(n))["score"]) for n in range(1, 6)]
    assert [s > 0 for s in scores] == [True, False, True, True, False]


def test_pre_training_layer_by_layer_helps_where_labels_are_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three files, each of which takes its lower layers from the one before: 100 labels, with and without pre-training."""
    folder = MODELS / "pretraining"
    monkeypatch.setenv("DLN_DATA", str(tmp_path))
    for name in ("first", "second"):
        net = dln.load(folder / f"{name}.dln")
        below = {n: np.array(v) for n, v in net.weights.items() if n.startswith("code1")}
        net.train()
        for n, value in below.items():
            np.testing.assert_array_equal(net.weights[n], value)  # frozen
        (tmp_path / name).mkdir()
        net.save(tmp_path / name / "weights.safetensors")
    text = (folder / "third.dln").read_text()
    accuracy = []
    for source in (text, re.sub(r' from "[^"]*" again', "", text)):
        net = dln.compile(source, folder=folder)
        net.train()
        accuracy.append(net.evaluate()["accuracy"])
    assert accuracy[0] > 0.88
    assert accuracy[0] > accuracy[1] + 0.05


@needs("names")
def test_names_are_learned_beyond_pairs_of_letters(data_folder: None) -> None:
    """Counts of pairs of letters give 2.454 nats; one epoch of 35 is enough to do better."""
    net = dln.load(path_of("names_mlp"))
    net.train(epochs=1)
    assert net.evaluate(part="validation")["loss"] < 2.35


@needs("pig_latin")
def test_attention_finds_the_letters(data_folder: None) -> None:
    """12 of 100 epochs; without attention the loss is 0.37 after all of them."""
    net = dln.load(path_of("pig_latin_additive"))
    net.train(epochs=12)
    assert net.evaluate(part="validation")["loss"] < 0.25
    assert "".join(net.generate("trade", temperature=0)) == "adetray"


@needs("raw_sentences")
def test_glove_puts_words_of_a_kind_together(data_folder: None) -> None:
    net = dln.load(path_of("glove"))
    data = net.load_data()
    net.train(data, epochs=25)
    # Thresholds alone, fitted by weighted least squares: what the vectors are to beat.
    part = data["train"]
    share = np.sqrt(np.minimum(part["count"] / 100, 1) ** 0.75)
    design = np.zeros((len(share), 500))
    design[np.arange(len(share)), part["word"]] = share
    design[np.arange(len(share)), 250 + part["context"]] += share
    wanted = share * np.log(part["count"])
    best = np.linalg.solve(design.T @ design + 1e-9 * np.eye(500), design.T @ wanted)
    assert net.evaluate(part="train")["loss"] < 0.75 * np.mean((design @ best - wanted) ** 2)
