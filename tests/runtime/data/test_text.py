"""Texts as data, against windows, pairs and counts that are written out by hand or by plain loops."""

from __future__ import annotations

import gzip
import os
from collections import Counter
from pathlib import Path
from typing import Any

import dln
import numpy as np
import pytest
from dln.compiler.source import DiagnosticError
from dln.runtime.data.reading import load_data
from dln.runtime.data.vocabulary import Vocabulary
from dln.tests.runtime.sections import section

DATA = Path(os.environ.get("DLN_DATA", Path(__file__).parents[4] / "shared" / "data"))


def load(folder: Path, source: str, inputs: dict[str, Any], **parameters: int) -> Any:
    text = f"data {{\n from {source}\n order fixed\n}}"
    return load_data(section(text, inputs, **parameters), "float32", folder)


def refused(folder: Path, source: str, inputs: dict[str, Any]) -> str:
    with pytest.raises(DiagnosticError) as caught:
        load(folder, source, inputs)
    return str(caught.value)


# -------------------------------------------------------------------------------------------- vocabularies


def test_characters_are_numbered_in_the_order_of_unicode() -> None:
    vocabulary = Vocabulary.of("b√a\nb😀", "characters")
    assert vocabulary.tokens == ("\n", "a", "b", "√", "😀")
    assert vocabulary.encode("ab😀\n").tolist() == [1, 2, 4, 0]
    assert vocabulary.decode([3, 0, 1]) == "√\na"
    with pytest.raises(ValueError, match="'c' is not among the 5 characters"):
        vocabulary.encode("abc")


def test_words_are_numbered_in_order_and_rare_ones_are_unknown() -> None:
    text = "to be or not to be , that is"
    assert Vocabulary.of(text, "words").tokens == (",", "be", "is", "not", "or", "that", "to")
    few = Vocabulary.of(text, "words", lines=True, most=5)  # be and to are twice there, then comes the comma
    assert few.tokens == ("\n", "<unknown>", ",", "be", "to")
    assert few.encode("that is to be").tolist() == [1, 1, 4, 3]
    assert few.decode([4, 3, 0, 3]) == "to be\nbe"


# ------------------------------------------------------------------------------------------------- columns


def test_windows_of_a_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("abcab cabba")
    inputs = {"token": ((3,), 4), "next": ((3,), 4), "following": ((), 4)}
    part = load(tmp_path, 'text "a.txt" characters window(T)', inputs, T=3)["train"]
    numbers = [" abc".index(c) for c in "abcab cabba"]
    expected = [numbers[k : k + 3] for k in (0, 3, 6)]
    np.testing.assert_array_equal(part["token"], expected)
    np.testing.assert_array_equal(part["next"], [numbers[k + 1 : k + 4] for k in (0, 3, 6)])
    np.testing.assert_array_equal(part["following"], [numbers[k + 3] for k in (0, 3, 6)])
    part = load(tmp_path, 'text "a.txt" characters window(3, stride = 1)', inputs)["train"]
    assert part["token"].tolist() == [numbers[k : k + 3] for k in range(8)]
    assert part["following"].tolist() == numbers[3:]


def test_lines_with_their_ends(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "names.txt.gz", "wt") as file:
        file.write("ab\n\nbba\n")
    inputs = {"token": ((5,), 3), "next": ((5,), 3), "weight": ((5,), None), "length": ((), 9)}
    part = load(tmp_path, 'lines "names.txt.gz" characters length(5)', inputs)["train"]
    assert part["token"].tolist() == [[0, 1, 2, 0, 0], [0, 2, 2, 1, 0]]
    assert part["next"].tolist() == [[1, 2, 0, 0, 0], [2, 2, 1, 0, 0]]
    assert part["weight"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]]
    assert part["length"].tolist() == [3, 4]
    assert "write length(4)" in refused(tmp_path, 'lines "names.txt.gz" characters length(3)', inputs)


def test_windows_within_lines(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text("x y z x\ny\nz z y\n")
    inputs = {"token": ((2,), 4), "next": ((2,), 4), "following": ((), 4)}
    part = load(tmp_path, 'lines "l.txt" words window(2)', inputs)["train"]
    assert part["token"].tolist() == [[0, 1], [1, 2], [2, 2]]
    assert part["following"].tolist() == [2, 0, 1] and part["next"].tolist() == [[1, 2], [2, 0], [2, 1]]
    part = load(tmp_path, 'lines "l.txt" words padded_window(2)', inputs)["train"]
    rows = [*([0, 0], [0, 1], [1, 2], [2, 3], [3, 1]), *([0, 0], [0, 2]), *([0, 0], [0, 3], [3, 3], [3, 2])]
    assert part["token"].tolist() == rows
    assert part["following"].tolist() == [1, 2, 3, 1, 0, 2, 0, 3, 3, 2, 0]


def test_pairs_and_their_options(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("ab ba\nab ba\nb1 b\nc abc\n")
    inputs = {
        "source": ((3,), 4), "source_weight": ((3,), None), "source_length": ((), 9),
        "given": ((4,), 4), "target": ((4,), 4), "weight": ((4,), None),
    }  # fmt: skip
    part = load(tmp_path, 'pairs "p.txt" characters letters distinct lengths(3, 4)', inputs)["train"]
    assert part["source"].tolist() == [[1, 2, 0], [3, 0, 0]]
    assert part["source_weight"].tolist() == [[1, 1, 0], [1, 0, 0]] and part["source_length"].tolist() == [
        2,
        1,
    ]
    assert part["given"].tolist() == [[0, 2, 1, 0], [0, 1, 2, 3]]
    assert part["target"].tolist() == [[2, 1, 0, 0], [1, 2, 3, 0]]
    assert part["weight"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    source = 'pairs "p.txt" characters letters distinct reversed lengths(3, 4)'
    assert load(tmp_path, source, inputs)["train"]["source"].tolist() == [[2, 1, 0], [3, 0, 0]]
    assert "need lengths(2, 4)" in refused(tmp_path, 'pairs "p.txt" characters lengths(1, 4)', inputs)
    (tmp_path / "q.txt").write_text("one\n")
    assert "line 1 of 'q.txt' is not a pair" in refused(tmp_path, 'pairs "q.txt" lengths(3, 4)', inputs)


def test_counts_of_neighbours(tmp_path: Path) -> None:
    text = "a b a c\nb b c\n"
    (tmp_path / "n.txt").write_text(text)
    inputs = {"word": ((), 3), "context": ((), 3), "count": ((), None)}
    part = load(tmp_path, 'neighbours "n.txt" words window(2)', inputs)["train"]
    expected: Counter[tuple[str, str]] = Counter()
    for line in text.splitlines():
        words = line.split()
        for i, one in enumerate(words):
            for j, other in enumerate(words):
                if i != j and abs(i - j) <= 2:
                    expected[one, other] += 1 / abs(i - j)  # type: ignore[assignment]
    found = {
        ("abc"[w], "abc"[c]): float(x)
        for w, c, x in zip(part["word"], part["context"], part["count"], strict=True)
    }
    assert found == pytest.approx(dict(expected))


def test_what_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("abcab")
    token = {"token": ((3,), 3)}
    assert "say how long: window(64)" in refused(tmp_path, 'text "a.txt" characters', token)
    assert "does not understand 'windows(3)'" in refused(tmp_path, 'text "a.txt" windows(3)', token)
    assert "shorter than a window" in refused(tmp_path, 'text "a.txt" window(5)', token)
    assert "0 … 1, got 2 in row 0 of a.txt, which has 3 different characters" in refused(
        tmp_path, 'text "a.txt" window(3)', {"token": ((3,), 2)}
    )
    assert "cannot find the data file" in refused(tmp_path, 'text "b.txt" window(3)', token)
    (tmp_path / "c.txt").write_bytes(b"\xff\xfe")
    assert "cannot read 'c.txt' as text" in refused(tmp_path, 'text "c.txt" window(3)', token)


def test_another_text_is_read_with_the_vocabulary_of_the_first(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("abcde")
    (tmp_path / "b.txt").write_text("ecba")
    text = 'data {\n from text "a.txt" window(2)\n validation text "b.txt" window(2, stride = 1)\n order fixed\n}'
    parts = load_data(section(text, {"token": ((2,), 5)}), "float32", tmp_path)
    assert parts["validation"]["token"].tolist() == [[4, 2], [2, 1]]
    (tmp_path / "b.txt").write_text("exba")
    with pytest.raises(DiagnosticError, match="'x' is not among the 5 characters"):
        load_data(section(text, {"token": ((2,), 5)}), "float32", tmp_path)


def test_the_vocabulary_is_saved_with_the_weights(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("cabcab cab")
    text = """
input token[2]: class[4]
input following: class[4]
let   x[2, 3] = embedding(token, 4)
let   flat[6] = flatten(x)
layer score[4] = dense(flat)
loss  cross_entropy(score, following)
data {
  from text "a.txt" window(2, stride = 1)
}
train {
  batch 4
}
"""
    net = dln.compile(text, folder=tmp_path)
    net.train(epochs=1)
    net.save(tmp_path / "w.safetensors")
    (tmp_path / "a.txt").write_text("abab")  # another text, in which b would have another number
    again = dln.compile(text, folder=tmp_path)
    again.restore(tmp_path / "w.safetensors")
    assert sorted(map(tuple, again.load_data()["train"]["token"])) == [(1, 2), (2, 1)]
    assert "".join(again.generate("ab", length=5, seed=1)) == "".join(net.generate("ab", length=5, seed=1))


@pytest.mark.skipif(
    not (DATA / "tinyshakespeare").is_dir(), reason="needs the folder tinyshakespeare in $DLN_DATA"
)
def test_tiny_shakespeare_has_the_sizes_that_are_published() -> None:
    inputs = {"token": ((64,), 65), "next": ((64,), 65)}
    text = 'data {\n from text "tinyshakespeare/input.txt" window(64)\n order fixed\n split 90% train, 10% validation\n}'
    data = load_data(section(text, inputs), "float32", DATA)
    assert sum(data.counts.values()) == (1_115_394 - 1) // 64 and data.counts["train"] == 15685
    assert data["train"]["token"].max() == 64


@pytest.mark.skipif(
    not (DATA / "raw_sentences").is_dir(), reason="needs the folder raw_sentences in $DLN_DATA"
)
def test_raw_sentences_has_the_sizes_that_are_published() -> None:
    inputs = {"token": ((3,), 250), "following": ((), 250)}
    text = 'data {\n from lines "raw_sentences/raw_sentences.txt.gz" words lower window(3)\n}'
    assert load_data(section(text, inputs), "float32", DATA).counts["train"] == 465_686


@pytest.mark.skipif(not (DATA / "names").is_dir(), reason="needs the folder names in $DLN_DATA")
def test_names_have_the_sizes_that_are_published() -> None:
    inputs = {"token": ((3,), 27), "following": ((), 27)}
    text = 'data {\n from lines "names/names.txt" characters padded_window(3)\n}'
    assert load_data(section(text, inputs), "float32", DATA).counts["train"] == 228_146
