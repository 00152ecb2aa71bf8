"""Text from trained networks: the same as by calling the network on ever longer texts, whatever way the scores are made."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import dln
import numpy as np
import pytest
from dln.runtime.command_line import run
from dln.runtime.errors import InputError
from dln.runtime.generation import Carried, Windowed, carried, read_writer

TEXT = "the cat sat on the mat. the rat sat on the cat. " * 4

RECURRENT = """
param T = 12
param V = 12
input token[T]: class[V]
input next[T]: class[V]
let   x[T, 5] = embedding(token, V)
LAYERS
layer score[T, V] = dense(h)
loss  cross_entropy(score, next)
data {
  from text "a.txt" characters window(T, stride = 1)
}
train {
  optimizer adam(rate = 0.02)
  batch 16
  epochs 3
}
"""

LAYERS = {
    "rnn": "let h[T, 8] = rnn(x)",
    "lstm": "let h[T, 8] = lstm(x)",
    "two layers": "let g[T, 6] = gru(x)\nlet h[T, 8] = lstm(g)",
    "two delays": "weight u[5, 5] ~ normal(0, 0.3)\n"
    "let h[t, j: 5] = tanh(x[t, j] + sum[k] u[k, j] * (h[t-1, k else 0] + 0.5 * h[t-3, k else 0.1]))",
    "given start": "weight u[5, 5] ~ normal(0, 0.3)\nweight s[5] ~ normal(0, 1)\n"
    "let h[t, j: 5] = tanh(x[t, j] + sum[k] u[k, j] * h[t-1, k else s[k]])",
    "token before": "let h[t, j: 5] = tanh(x[t, j] + 2 * x[t-1, j else 0])",
}
NOT_STEPPED = {
    "attention": "let q[T, 5] = linear(x)\nlet h[T, 5] = causal_attention(q, x, x)",
    "positions": "let h = add_learned_positions(x)",
    "dilated": "let h[T, 5] = causal_convolution(x, size = 3, dilation = 2)",
}


def written(tmp_path: Path, text: str, **settings: object) -> dln.Network:
    (tmp_path / "a.txt").write_text(TEXT)
    net = dln.compile(text, folder=tmp_path, seed=2, **settings)
    net.train()
    return net


@pytest.mark.parametrize("name", [*LAYERS, *NOT_STEPPED])
def test_scores_are_those_of_the_network_called_on_the_text_so_far(name: str, tmp_path: Path) -> None:
    net = written(tmp_path, RECURRENT.replace("LAYERS", (LAYERS | NOT_STEPPED)[name]))
    writer = read_writer(net)
    stepped = carried(writer)
    assert (stepped is not None) == (name in LAYERS)
    ways: list[Carried | Windowed] = [Windowed(writer), *([stepped] if stepped else [])]
    tokens = writer.encode("the cat sat ")
    for way in ways:
        way.begin(tokens[:3])
        for k in range(3, 12):
            scores = way.after(tokens[k])
            whole = np.zeros((1, 12), int)
            whole[0, : k + 1] = tokens[: k + 1]
            np.testing.assert_allclose(scores, net(token=whole)["score"][0, k], rtol=1e-4, atol=1e-5)


def test_a_text_is_continued_beyond_the_window_and_repeats_with_its_seed(tmp_path: Path) -> None:
    net = written(tmp_path, RECURRENT.replace("LAYERS", LAYERS["lstm"]))
    first = "".join(net.generate("the ", length=100, temperature=0.7, seed=5))
    assert len(first) == 100 and set(first) <= set(TEXT)
    assert first == "".join(net.generate("the ", length=100, temperature=0.7, seed=5))
    assert first != "".join(net.generate("the ", length=100, temperature=0.7, seed=6))
    endless = net.generate("the ", temperature=0.7, seed=5)
    assert first[:10] == "".join(next(endless) for _ in range(10))


def test_at_temperature_0_it_is_the_likeliest_and_cold_is_nearly_so(tmp_path: Path) -> None:
    net = written(tmp_path, RECURRENT.replace("LAYERS", LAYERS["lstm"]), epochs=30)
    found = "".join(net.generate("the cat s", length=3, temperature=0))
    tokens = read_writer(net).encode("the cat s")
    for letter in found:
        whole = np.zeros((1, 12), int)
        whole[0, : len(tokens)] = tokens
        tokens.append(int(net(token=whole)["score"][0, len(tokens) - 1].argmax()))
        assert letter == "".join(read_writer(net).vocabulary.decode(tokens[-1:]))
    assert found == "at " == "".join(net.generate("the cat s", length=3, temperature=0.01, seed=9))


def test_tokens_are_drawn_with_their_probabilities(tmp_path: Path) -> None:
    """A network without inputs that matter: the shares of 4000 draws against the softmax of its scores."""
    net = written(tmp_path, RECURRENT.replace("LAYERS", "let h[t, j: 5] = 0 * x[t, j]"))
    net.weights["score.b"] = np.linspace(0, 1, 12)
    text = "".join(net.generate("the", length=4000, temperature=0.5, seed=1))
    tokens = read_writer(net).vocabulary.tokens
    shares = np.array([text.count(t) / len(text) for t in tokens])
    powers = np.exp(np.linspace(0, 1, 12) / 0.5)[: len(tokens)]
    expected = powers / powers.sum()
    assert np.abs(shares - expected).max() < 5 * np.sqrt(0.25 / 4000)


def test_the_cost_of_a_token_does_not_grow(tmp_path: Path) -> None:
    net = written(tmp_path, RECURRENT.replace("LAYERS", LAYERS["lstm"]))
    stream = net.generate("the ", seed=1)
    next(stream)

    def seconds(count: int) -> float:
        begun = time.perf_counter()
        for _ in range(count):
            next(stream)
        return time.perf_counter() - begun

    first = min(seconds(200) for _ in range(5))
    seconds(3000)
    assert min(seconds(200) for _ in range(5)) < 3 * first


NAMES = """
input token[3]: class[6]
input following: class[6]
let   x[3, 4] = embedding(token, 6)
let   flat[12] = flatten(x)
layer hidden[20] = tanh(dense(flat))
layer score[6] = dense(hidden)
loss  cross_entropy(score, following)
data {
  from lines "names.txt" characters padded_window(3)
}
train {
  optimizer adam(rate = 0.05)
  batch 8
  epochs 200
}
"""


def test_lines_end_and_begin(tmp_path: Path) -> None:
    names = ["anna", "ada", "nan", "bea"]
    (tmp_path / "names.txt").write_text("\n".join(names))
    net = dln.compile(NAMES, folder=tmp_path, seed=1)
    net.train()
    text = "".join(net.generate(length=200, temperature=0.3, seed=3))
    assert set(text.split("\n")[:-1]) <= set(names) and "".join(net.generate("an", length=3)).startswith(
        "na\n"
    )


def test_names_of_a_recurrent_network(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("anna\nada\nnan\nbea")
    text = """
param T = 5
input token[T]: class[6]
input next[T]: class[6]
input weight[T]
let   x[T, 4] = embedding(token, 6)
let   h[T, 16] = gru(x)
layer score[T, 6] = dense(h)
loss  weighted_cross_entropy(score, next, weight)
data {
  from lines "names.txt" characters length(T)
}
train {
  optimizer adam(rate = 0.05)
  batch 4
  epochs 300
}
"""
    net = dln.compile(text, folder=tmp_path, seed=1)
    net.train()
    assert carried(read_writer(net)) is not None
    found = "".join(net.generate(length=300, temperature=0.3, seed=3)).split("\n")[:-1]
    assert set(found) <= {"anna", "ada", "nan", "bea"} and len(set(found)) > 1


PAIRS = """
param S = 3
param T = 4
input source[S]: class[4]
input given[T]: class[4]
input target[T]: class[4]
input weight[T]
let   a[S, 8] = embedding(source, 4)
let   a1      = add_learned_positions(a)
let   b[T, 8] = embedding(given, 4)
let   b1      = add_learned_positions(b)
let   h       = transformer_decoder_layer(b1, a1, heads = 2, hidden = 16)
layer score[T, 4] = dense(h)
loss  weighted_cross_entropy(score, target, weight)
data {
  from pairs "pairs.txt" characters lengths(S, T)
}
train {
  optimizer adam(rate = 0.01)
  batch 16
  epochs 60
}
"""


def test_pairs_are_translated(tmp_path: Path) -> None:
    """To write a word backwards: learned by heart, all 39 of them."""
    words = [a + b + c for a in "abc" for b in ["", *"abc"] for c in ["", *"abc"]]
    words = list(dict.fromkeys(words))
    (tmp_path / "pairs.txt").write_text("\n".join(f"{w}\t{w[::-1]}" for w in words))
    net = dln.compile(PAIRS, folder=tmp_path, seed=1)
    net.train()
    right = sum("".join(net.generate(w, temperature=0)) == w[::-1] for w in words)
    assert right >= len(words) - 1


def test_words_are_apart_and_lines_are_not(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one two three\n" * 9)
    text = (
        NAMES.replace("class[6]", "class[4]").replace("score[6]", "score[4]").replace("token, 6", "token, 4")
    )
    text = text.replace('lines "names.txt" characters', 'lines "a.txt" words')
    net = dln.compile(text, folder=tmp_path, seed=1, epochs=40)
    net.train()
    assert "".join(net.generate("one", length=7, temperature=0)) == " two three\none two three\n"


def test_what_cannot_be_written(tmp_path: Path) -> None:
    net = written(tmp_path, RECURRENT.replace("LAYERS", LAYERS["rnn"]))
    for message, call in {
        "the prompt cannot be read: 'x' is not among": lambda: net.generate("xyz"),
        "temperature is a number from 0": lambda: net.generate("the", temperature=-1),
        "no layer 'scores' with a score for each": lambda: net.generate("the", layer="scores"),
    }.items():
        refuse(message, call)
    other = dln.compile("input x[3]\nlayer y[3] = dense(x)\nloss average[batch, ..] y^2")
    refuse("does not learn from a text", lambda: other.generate("a"))


def refuse(message: str, call: Callable[[], object]) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = written(tmp_path, RECURRENT.replace("LAYERS", LAYERS["rnn"]))
    net.save(tmp_path / "w.safetensors")
    (tmp_path / "n.dln").write_text(RECURRENT.replace("LAYERS", LAYERS["rnn"]))
    options = ["--prompt", "the ", "--length", "20", "--temperature", "0.5", "--seed", "4"]
    weights = ["--weights", str(tmp_path / "w.safetensors")]
    assert run(["generate", str(tmp_path / "n.dln"), *weights, *options]) == 0
    expected = "".join(net.generate("the ", length=20, temperature=0.5, seed=4))
    assert capsys.readouterr().out == f"the {expected}\n"
    assert run(["generate", str(tmp_path / "n.dln"), *weights, "--prompt", "XYZ"]) == 1
    assert "the prompt cannot be read" in capsys.readouterr().err
