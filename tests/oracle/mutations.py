"""Texts that went wrong: random damage to good .dln files, by seed.

In: a text and a generator.  Out: the text with one to eight mistakes in it, of the kind that fingers make (characters, lines,
brackets) or of the kind that heads make (another name, another number, another operator).

    damaged("layer h[j: 3] = sum[i] w[i, j] * x[i]", random.Random(3))   →   'layer h[j: 3] = sum[i] w[j, j] * x[i]'
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

PIECES = [
    "[", "]", "(", ")", "{", "}", "..", "...", " else ", " where ", "sum[", "max[i] ", "-", "+", "~", "=", "<-", "->",
    '"', "#", "\n", "\t", "\0", "é", "∂", "1e999", "99999999999999999999", "0x1", ".5", "5.", "%", "layer ", "let ",
    "weight ", "input ", "block ", "data {", "train {", "if ", " not ", " and ", " mod ", " div ", "^", "^-", ",", ":",
    "class[", 'table "x"', 'import "', "softmax[s where s <= t](", "\r", "\r\n", "\u2028", "\ufeff", "(((((((((",
    "-------", "sum[i] sum[i] ", "10000000", "0", "2^63", " : 3", "[i, j]", "batch", "training", "step",
    "average[batch] ", "argmax[k] ", "dense(", "N", "[..]", "else 0", "where i < j", " = 0", "~ glorot", "frozen ",
    "class[0]", "state s = 0\n", "update s <- 1\n", "loss 1\n", "index g = {a, b}\n", "map K(i, j) = i\n",
    "function f(x) = f(x)\n", "block b(x[..]) -> y[..] { let y[..] = b(x) }\n",
]  # fmt: skip

WORDS = re.compile(r"[A-Za-z_]\w*")
NUMBERS = re.compile(r"\d+(?:\.\d+)?")
OPERATORS = re.compile(r"<=|>=|==|!=|<-|[-+*/^<>]|\b(?:mod|div|and|or)\b")
REDUCTIONS = re.compile(r"\b(?:sum|average|max|min|product|argmax|argmin)\b(?=\[)")
SUBSCRIPTED = re.compile(r"\b[a-z]\w*\[[^\[\]\n]*\]")
WRAPPINGS = [
    "abs(%)", "(% + 1)", "-%", "stop_gradient(%)", "(% if % > 0 else 0)", "max(%, 0.1)", "%^2", "floor(%)", "sign(%)",
    "sqrt(abs(%) + 1)", "(% - %)", "relu(%)", "softmax(%)", "dense(%)", "%[i]",
]  # fmt: skip


def _swap(text: str, rng: random.Random, pattern: re.Pattern[str], choices: list[str]) -> str:
    """One match of the pattern becomes one of the choices."""
    matches = list(pattern.finditer(text))
    if not matches or not choices:
        return text
    match = rng.choice(matches)
    return text[: match.start()] + rng.choice(choices).replace("%", match.group()) + text[match.end() :]


def _remove(text: str, rng: random.Random) -> str:
    start = rng.randrange(len(text))
    return text[:start] + text[start + rng.choice([1, 1, 2, 5, 20, 100]) :]


def _insert(text: str, rng: random.Random) -> str:
    start = rng.randrange(len(text))
    return text[:start] + rng.choice(PIECES) + text[start:]


def _replace_character(text: str, rng: random.Random) -> str:
    start = rng.randrange(len(text))
    return text[:start] + chr(rng.choice([rng.randrange(32, 127), rng.randrange(0xD800)])) + text[start + 1 :]


def _repeat(text: str, rng: random.Random) -> str:
    start = rng.randrange(len(text))
    end = start + rng.choice([1, 2, 5, 20])
    return text[:start] + text[start:end] * rng.choice([2, 3, 50]) + text[end:]


def _move_line(text: str, rng: random.Random) -> str:
    lines = text.split("\n")
    line = lines.pop(rng.randrange(len(lines)))
    if rng.random() < 0.6:
        lines.insert(rng.randrange(len(lines) + 1), line)
    return "\n".join(lines)


def _other_name(text: str, rng: random.Random) -> str:
    return _swap(text, rng, WORDS, WORDS.findall(text))


def _other_number(text: str, rng: random.Random) -> str:
    return _swap(
        text, rng, NUMBERS, ["0", "1", "2", "3", "7", "-1", "100", "1.5", "100000", str(rng.randrange(20))]
    )


def _other_operator(text: str, rng: random.Random) -> str:
    return _swap(
        text, rng, OPERATORS, ["+", "-", "*", "/", "^", "<", "<=", "==", "!=", " mod ", " div ", " and "]
    )


def _other_reduction(text: str, rng: random.Random) -> str:
    return _swap(text, rng, REDUCTIONS, ["sum", "average", "max", "min", "product", "argmax", "argmin"])


def _wrap(text: str, rng: random.Random) -> str:
    return _swap(text, rng, SUBSCRIPTED, WRAPPINGS)


def _drop_clause(text: str, rng: random.Random) -> str:
    clause = rng.choice([r" else [^\]\n]*(?=\])", r" where [^\]\n]*", r": ?\d+(?=[\],])", r"\[[^\[\]\n]*\]"])
    return _swap(text, rng, re.compile(clause), [""])


FINGERS: list[Callable[[str, random.Random], str]] = [
    _remove,
    _insert,
    _replace_character,
    _repeat,
    _move_line,
]
HEADS: list[Callable[[str, random.Random], str]] = [
    _other_name, _other_name, _other_number, _other_number, _other_operator, _other_reduction, _wrap, _drop_clause, _move_line,
]  # fmt: skip


def damaged(text: str, rng: random.Random) -> str:
    kinds = FINGERS if rng.random() < 0.35 else HEADS
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        if text:
            text = rng.choice(kinds)(text, rng)
    return text
