r"""Printed mathematics as LaTeX (amsmath), with indices.

In: a `Term`.  Out: a formula such as

    \sum_{\text{batch},i,j \,:\, i-j=k} \frac{\partial E}{\partial h_{j}} \, \left(1-h_{j}^{2}\right) \, x_{i}

`hidden.w[i, j]` is w^{hidden}_{i,j}; `w1[f, v]` is w^{(1)}_{f,v}; `h.sum[j]`, a sum lifted out of h, is h^{sum}_j; names of
several letters stand upright.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ..mathematics.scalar import SCALAR_FUNCTIONS
from .notation_terms import Term
from .typeset import ATOM, CHOICE, NOT, POWER, PRODUCT, RELATION, Piece, Typesetter

_GREEK = frozenset(
    word
    for letter in (
        *(
            "alpha",
            "beta",
            "gamma",
            "delta",
            "epsilon",
            "zeta",
            "eta",
            "theta",
            "kappa",
            "lambda",
            "mu",
            "nu",
            "xi",
        ),
        *("pi", "rho", "sigma", "tau", "phi", "chi", "psi", "omega"),
    )
    for word in (letter, letter.capitalize())
) - {"Alpha", "Beta", "Epsilon", "Zeta", "Eta", "Kappa", "Mu", "Nu", "Rho", "Tau", "Chi"}

_RELATIONS = {"<": "<", "<=": r"\le", ">": ">", ">=": r"\ge", "==": "=", "!=": r"\ne"}
_LOGIC = {"and": r" \wedge ", "or": r" \vee ", "not": r"\neg "}
_NAMES = {"batch": r"\text{batch}", "π": r"\pi"}
_REDUCTIONS = {
    "sum": r"\sum",
    "product": r"\prod",
    "max": r"\max",
    "min": r"\min",
    "argmax": r"\operatorname*{arg\,max}",
    "argmin": r"\operatorname*{arg\,min}",
}


class LatexTypesetter(Typesetter):
    """LaTeX."""

    minus, minus_between, plus, times, comma, separate = "-", " - ", " + ", r" \, ", ",", r",\; "
    relations, logic = _RELATIONS, _LOGIC

    def joined(self, pieces: Sequence[Piece]) -> str:
        """Indices close together, as in w_{i,j}; expressions with some air between them."""
        texts = [self.signed(p) for p in pieces]
        return (r",\, " if any(" " in t for t in texts) else ",").join(texts)

    def parenthesised(self, piece: Piece) -> str:
        text = self.signed(piece)
        return rf"\left({text}\right)" if piece.tall else f"({text})"

    def name(self, name: str) -> str:
        if name == "batch_size":
            return r"|\text{batch}|"
        symbol, above = split_name(name)
        return f"{symbol}^{{{above}}}" if above else symbol

    def fraction(self, top: str, bottom: str) -> Piece:
        return Piece(rf"\frac{{{top}}}{{{bottom}}}", PRODUCT, tall=True)

    def digits(self, value: float) -> str:
        if value in (0.5, 0.25, 0.75):
            top, bottom = float(value).as_integer_ratio()
            return rf"\tfrac{{{top}}}{{{bottom}}}"
        text = super().digits(value)
        return re.sub(r"e([+-]?)0*(\d+)$", lambda m: rf" \cdot 10^{{{m[1].strip('+')}{m[2]}}}", text)

    def on_symbol(self, name: str, children: Sequence[Piece]) -> Piece:
        if name in _NAMES:
            return Piece(_NAMES[name], letter=name == "π")
        if not children:
            base, primes = name.rstrip("′"), name.count("′")
            digits = re.fullmatch(r"([^\d.]+)_?(\d+)", base)
            text = f"{split_name(digits[1])[0]}_{{{digits[2]}}}" if digits else self.name(base)
            return Piece(text + "'" * primes, letter=len(base) == 1 or base in _GREEK)
        return Piece(f"{self.name(name)}_{{{self.joined(children)}}}")

    def on_partial(self, name: str, children: Sequence[Piece]) -> Piece:
        loss, _, variable = name.partition("/")
        return Piece(
            rf"\frac{{\partial {loss}}}{{\partial {self.on_symbol(variable, children).text}}}",
            POWER,
            tall=True,
        )

    def on_lookup(self, name: str, children: Sequence[Piece]) -> Piece:
        return Piece(f"{self.name(name)}({self.joined(children)})")

    def on_guarded(self, name: str, children: Sequence[Piece]) -> Piece:
        inside = rf"{self.joined(children[:-1])} \text{{ else }} {self.signed(children[-1])}"
        return Piece(f"{self.name(name)}_{{{inside}}}")

    def numerator(self, factors: Sequence[Piece], text: str) -> str:
        """A fraction bar groups: a lone sum needs no parentheses above it."""
        return self.signed(factors[0]) if len(factors) == 1 else text

    def denominator(self, factors: Sequence[Piece]) -> str:
        return self.signed(factors[0]) if len(factors) == 1 else self.chain(factors)

    def raised(self, base: Piece, exponent: float) -> Piece:
        if exponent == 1:
            return base
        if exponent == 0.5:
            return self.root(base)
        power = f"^{{{self.digits(exponent)}}}"
        if base.head:
            return Piece(base.head + power + base.text.removeprefix(base.head), POWER, tall=base.tall)
        fits = base.level == ATOM and not base.negative and "^" not in base.text
        inner = base.text if fits else self.parenthesised(base)
        return Piece(inner + power, POWER, tall=base.tall, letter=base.letter)

    def root(self, inner: Piece) -> Piece:
        return Piece(rf"\sqrt{{{self.signed(inner)}}}", tall=inner.tall)

    def general_power(self, base: Piece, exponent: Piece) -> Piece:
        inner = base.text if base.level == ATOM and "^" not in base.text else self.parenthesised(base)
        return Piece(f"{inner}^{{{self.signed(exponent)}}}", POWER, tall=base.tall)

    def called(self, function: str, arguments: Sequence[Piece]) -> Piece:
        """By the LaTeX column of the table of scalar functions."""
        if function == "mod":
            text = rf"{self.within(arguments[0], POWER)} \bmod {self.within(arguments[1], POWER)}"
            return Piece(text, RELATION)
        template = SCALAR_FUNCTIONS[function].latex
        tall = any(a.tall for a in arguments)
        if tall:
            template = re.sub(r"(?<!\\left)\((?=\{\d\}|1)", r"\\left(", template)
            template = re.sub(r"(?<!\\right)\)", r"\\right)", template)
        text = template.format(*(self.signed(a) for a in arguments))
        head = re.match(r"\\(operatorname\{\w+\}|[a-z]+)(?=\\left\(|\()", text)
        simple = head is not None and function not in ("expm1", "max", "min")
        return Piece(text, head=head[0] if head and simple else "", tall=tall)

    def on_cases(self, _: None, children: Sequence[Piece]) -> Piece:
        condition, then, otherwise = (self.signed(c) for c in children)
        rows = rf"{then} & {condition} \\ {otherwise} & \text{{otherwise}}"
        return Piece(rf"\begin{{cases}} {rows} \end{{cases}}", CHOICE, tall=True)

    def on_apply(self, function: str, arguments: Sequence[Piece]) -> Piece:
        if function == "not":
            return Piece(self.logic["not"] + self.within(arguments[0], ATOM), NOT)
        return super().on_apply(function, arguments)

    def under(self, indices: str, conditions: str) -> str:
        return rf"{indices} \,:\, {conditions}"

    def big(self, kind: str, under: str) -> str:
        return f"{_REDUCTIONS[kind]}_{{{under}}} "

    def line(self, root: Term) -> str:
        return re.sub(r" {2,}", " ", super().line(root)).strip()


def split_name(name: str) -> tuple[str, str]:
    """The symbol of a dotted name and what stands above it: `hidden.w1` gives w and hidden,1."""
    *owners, last = name.split(".")
    lifted = re.fullmatch(r"(sum|product|max|min|argmax|argmin|winner)(_\d+)?", last) and owners
    if lifted:
        symbol, above_owner = split_name(".".join(owners))
        return symbol, ",".join(filter(None, [above_owner, rf"\mathrm{{{_escape(last)}}}"]))
    above = [rf"\mathrm{{{_escape('.'.join(owners))}}}"] if owners else []
    digits = re.fullmatch(r"(\D+?)_?(\d+)", last)
    if digits:
        last = digits[1]
        above.append(digits[2] if owners else f"({digits[2]})")
    return _symbol(last), ",".join(above)


def _symbol(word: str) -> str:
    if word in _GREEK:
        return rf"\{word}"
    return word if len(word) == 1 else rf"\mathrm{{{_escape(word)}}}"


def _escape(word: Any) -> str:
    return re.sub(r"([_&%$#{}])", r"\\\1", word)
