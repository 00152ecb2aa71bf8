"""A place where parsing stopped, and what its rules of explanation ask about it.

In: a statement, the position of the word that the LALR parser could not take, and the set of terminals that it
could have taken there.  Out: the answers that expectations.py builds its messages from.

    layer h[3] tanh(x)      at 'tanh': previous is ']', accepts is {"EQUAL"}, opener is None
"""

from __future__ import annotations

from functools import cached_property

from ..record import record
from ..source import Diagnostic, Note
from .layout import Statement, Word

OPENING = {"LPAR", "LSQB", "LBRACE"}
CLOSING = {"RPAR", "RSQB", "RBRACE"}

# One right example of every statement.
FORMS = {
    "network": "network digits",
    "import": 'import "layers.dln"',
    "param": "param width = 32",
    "input": "input image[64]",
    "frozen": "frozen weight w[4, 3] ~ glorot",
    "weight": "weight w[4, 3] ~ glorot",
    "index": "index gate = {input, forget, cell, output}",
    "map": "map K(i, j) = i - j",
    "layer": "layer h[j: 3] = tanh(sum[i] w[i, j] * x[i])",
    "let": "let y[j] = 2 * x[j]",
    "function": "function relu(z) = max(z, 0)",
    "block": "block double(x[N]) -> y[N] { … }",
    "state": "state m = 0",
    "update": "update m <- 0.9 * m + 0.1 * gradient",
    "loss": "loss cross_entropy(score, label)",
    "metric": "metric accuracy(score, label)",
    "optimizer": "optimizer sgd(rate = 0.1) { … }",
}


@record
class Failure:
    """A place where parsing stopped: words[position] cannot follow what comes before it."""

    statement: Statement
    position: int
    accepts: frozenset[str]

    @cached_property
    def word(self) -> Word:
        words = self.statement.words
        if self.position < len(words):
            return words[self.position]
        end = words[-1].span.end
        return Word("$END", "", words[-1].span.source.span(end, end))

    @cached_property
    def previous(self) -> Word | None:
        return self.statement.words[self.position - 1] if self.position else None

    @cached_property
    def first(self) -> str:
        return self.statement.words[0].type

    @cached_property
    def opener(self) -> int | None:
        """Position of the innermost bracket that is open before the word."""
        depth = 0
        for position in range(self.position - 1, -1, -1):
            kind = self.statement.words[position].type
            if kind in CLOSING:
                depth += 1
            elif kind in OPENING:
                if depth == 0:
                    return position
                depth -= 1
        return None

    @property
    def before(self) -> str:
        """What stands before the word, as written."""
        return self.previous.text if self.previous else ""

    @property
    def came(self) -> str:
        if self.word.type == "$END":
            return "the statement ends"
        return f"{shown(self.word)} came"

    @property
    def expression_expected(self) -> bool:
        return "NUMBER" in self.accepts

    @property
    def operator_expected(self) -> bool:
        return "STAR" in self.accepts

    def written_so_far(self) -> str:
        """The text of the statement before the word, on one line."""
        start = self.statement.words[0].span.start
        end = self.previous.span.end if self.previous else start
        return " ".join(self.word.span.source.text[start:end].split())

    def diagnostic(
        self, code: str, message: str, help_line: str = "", notes: tuple[Note, ...] = ()
    ) -> Diagnostic:
        return Diagnostic(code, message, self.word.span, "", notes, help_line)


def shown(word: Word) -> str:
    return word.text if word.type == "STRING" and len(word.text) < 40 else f"'{word.text[:40]}'"


def adjacent(first: Word | None, second: Word) -> bool:
    return first is not None and first.span.end == second.span.start
