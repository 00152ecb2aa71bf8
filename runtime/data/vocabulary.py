"""Vocabularies: the characters or words of a text, numbered.

In: a text, or the tokens that were saved with trained weights.  Out: class numbers, and text again.

    vocabulary = Vocabulary.of(text, "characters")
    vocabulary.encode("First")                     array([18, 47, 56, 57, 58])
    vocabulary.decode([18, 47, 56, 57, 58])        'First'

Characters are numbered in the order of Unicode, words in that of their letters: the same text gives the same numbers
everywhere. A word is what stands between blanks. Where there are lines, class 0 is the end of a line, written "\\n". Where only
the most frequent words are kept, "<unknown>" stands for all others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import field
from functools import cached_property
from typing import Literal

import numpy as np

from ...compiler.record import record

Unit = Literal["characters", "words"]
LINE_END = "\n"
UNKNOWN = "<unknown>"


@record
class Vocabulary:
    """Numbered tokens. Token k is `tokens[k]`."""

    tokens: tuple[str, ...]
    unit: Unit = "characters"
    _numbers: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._numbers.update({token: k for k, token in enumerate(self.tokens)})

    @classmethod
    def of(cls, text: str, unit: Unit, *, lines: bool = False, most: int | None = None) -> Vocabulary:
        """Of a text. `lines`: class 0 is the end of a line; `most`: at most so many words, "<unknown>" among them."""
        if unit == "characters":
            found = sorted(set(text) - ({LINE_END} if lines else set()))
            return cls((LINE_END, *found) if lines else tuple(found), unit)
        counts = Counter(text.split())
        special = [LINE_END] if lines else []
        if most is not None and len(counts) + len(special) > most:
            special.append(UNKNOWN)
            often = sorted(counts, key=lambda word: (-counts[word], word))[: most - len(special)]
            return cls((*special, *sorted(often)), unit)
        return cls((*special, *sorted(counts)), unit)

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def _code_points(self) -> tuple[np.ndarray, np.ndarray]:
        """Code points in order, and the class of each."""
        points = np.array([ord(t) for t in self.tokens], np.int64)
        order = np.argsort(points)
        return points[order], order.astype(np.int32)

    def encode(self, text: str) -> np.ndarray:
        """Class numbers, int32. Raises ValueError for what is not in the vocabulary, unless it has "<unknown>"."""
        if self.unit == "words":
            return self._encode_words(text.split())
        points, classes = self._code_points
        given = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.int64)
        places = np.minimum(np.searchsorted(points, given), len(points) - 1)
        wrong = points[places] != given
        if wrong.any():
            raise ValueError(f"{chr(int(given[np.argmax(wrong)]))!r} is not among the {len(self)} characters")
        return classes[places]

    def _encode_words(self, words: Sequence[str]) -> np.ndarray:
        unknown = self._numbers.get(UNKNOWN)
        out = np.empty(len(words), np.int32)
        for k, word in enumerate(words):
            number = self._numbers.get(word, unknown)
            if number is None:
                raise ValueError(f"'{word}' is not among the {len(self)} words")
            out[k] = number
        return out

    def decode(self, classes: Iterable[int]) -> str:
        """The text of class numbers; words with blanks between them."""
        tokens = [self.tokens[int(k)] for k in classes]
        if self.unit == "characters":
            return "".join(tokens)
        return " ".join(tokens).replace(f" {LINE_END} ", LINE_END)
