"""Printed mathematics as Unicode text, with the fewest parentheses.

In: a `Term`.  Out: a line such as

    Σ_{batch, i, j: i − j = k} ∂E/∂h[j] · (1 − h[j]²) · x[i]

A reduction reaches to the end of its term, as in .dln and on a board: Σ a · b + c is (Σ a · b) + c. latex.py overrides what
differs there. Works bottom-up over the distinct terms, so depth costs no stack; `Typesetter.write` names what is shared when
an equation written out in full would grow out of hand.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from .notation import Notation
from .notation_terms import Term, is_negative, parts_of_reduction, postorder, size_of

# How tightly a piece holds together; one in a tighter place gets parentheses.
CHOICE, OR, AND, NOT, RELATION, SUM, REDUCTION, PRODUCT, POWER, ATOM = range(10)

_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_RELATIONS = {"<": "<", "<=": "≤", ">": ">", ">=": "≥", "==": "=", "!=": "≠"}
_LOGIC = {"and": " and ", "or": " or ", "not": "not "}
_SPECIAL = {0.5: "½", 0.25: "¼", 0.75: "¾"}

_CONSTANTS = ((2, "π", 2 / math.sqrt(math.pi)), (1, "π", 1 / math.sqrt(math.pi)), (1, "2", 1 / math.sqrt(2)))

#: An equation of more terms than this gets its large shared parts named.
_LONG = 400


@dataclass(frozen=True)
class Piece:
    """Text of a term without its sign. `head` is the name of a function, for tanh²(x); `tall` says that parentheses must
    grow (LaTeX); `letter` that a number may stand directly before it, as in 2x."""

    text: str
    level: int = ATOM
    negative: bool = False
    head: str = ""
    tall: bool = False
    letter: bool = False


class Typesetter:
    """Unicode text."""

    minus, minus_between, plus, times, comma, separate = "−", " − ", " + ", " · ", ", ", ", "
    relations, logic = _RELATIONS, _LOGIC

    def write(self, root: Term, notation: Notation) -> tuple[str, list[tuple[str, str]]]:
        """The text of a term, and the definitions (name, text) that it refers to, in order."""
        definitions: list[tuple[str, Term]] = []
        if size_of(root, _LONG + 1) > _LONG:
            root, definitions = name_shared_parts(root, notation)
        texts = [(self.line(notation.symbol(name)), self.line(term)) for name, term in definitions]
        return self.line(root), texts

    def line(self, root: Term) -> str:
        pieces: dict[Term, Piece] = {}
        for term in postorder(root):
            pieces[term] = self.piece(term, pieces)
        return self.signed(pieces[root])

    def piece(self, term: Term, pieces: dict[Term, Piece]) -> Piece:
        children = [pieces[c] for c in term.children]
        rule: Callable[..., Piece] = getattr(self, f"on_{term.kind}")
        if term.kind in ("product", "power", "reduction"):
            return rule(term, pieces)
        return rule(term.value, children)

    # ------------------------------------------------------------------------------------------ small parts

    def signed(self, piece: Piece) -> str:
        return f"{self.minus}{piece.text}" if piece.negative else piece.text

    def parenthesised(self, piece: Piece) -> str:
        return f"({self.signed(piece)})"

    def within(self, piece: Piece, level: int) -> str:
        """The piece in a place that asks for `level`; a negative one is a product there."""
        own = min(piece.level, PRODUCT) if piece.negative else piece.level
        return self.signed(piece) if own >= level else self.parenthesised(piece)

    def joined(self, pieces: Sequence[Piece]) -> str:
        return self.comma.join(self.signed(p) for p in pieces)

    def name(self, name: str) -> str:
        return "|batch|" if name == "batch_size" else name

    def fraction(self, top: str, bottom: str) -> Piece:
        tight = not re.search(r"[ /]", top + bottom)
        return Piece(f"{top}/{bottom}" if tight else f"{top} / {bottom}", PRODUCT)

    def constant(self, value: float) -> Piece | None:
        """2/√π, √2 and the like, which derivatives of erf and GELU bring in."""
        for top, bottom, number in _CONSTANTS:
            if abs(value - number) <= 1e-14 * number:
                return self.fraction(self.digits(top), self.root(self.on_symbol(bottom, [])).text)
        return None

    def on_number(self, value: float, children: Sequence[Piece]) -> Piece:
        special = self.constant(abs(value))
        if special is not None:
            return replace(special, negative=value < 0)
        top, bottom = as_fraction(abs(value))
        if bottom != 1:
            return replace(self.fraction(str(top), str(bottom)), negative=value < 0)
        return Piece(self.digits(top), ATOM, value < 0)

    def digits(self, value: float) -> str:
        return _SPECIAL.get(value) or number_text(value)

    # ---------------------------------------------------------------------------------------------- symbols

    def on_symbol(self, name: str, children: Sequence[Piece]) -> Piece:
        text = self.name(name)
        if not children:
            return Piece(text, letter=len(text.rstrip("′")) == 1)
        return Piece(f"{text}[{self.joined(children)}]")

    def on_partial(self, name: str, children: Sequence[Piece]) -> Piece:
        loss, _, variable = name.partition("/")
        return Piece(f"∂{loss}/∂{self.on_symbol(variable, children).text}", POWER)

    def on_lookup(self, name: str, children: Sequence[Piece]) -> Piece:
        return Piece(f"{self.name(name)}({self.joined(children)})")

    def on_tuple(self, _: None, children: Sequence[Piece]) -> Piece:
        return Piece(f"({self.joined(children)})")

    def on_guarded(self, name: str, children: Sequence[Piece]) -> Piece:
        return Piece(f"{self.name(name)}[{self.joined(children[:-1])} else {self.signed(children[-1])}]")

    # ------------------------------------------------------------------------------------- sums and products

    def on_sum(self, _: None, children: Sequence[Piece]) -> Piece:
        out = self.signed(children[0]) if children[0].level >= SUM else self.parenthesised(children[0])
        for child in children[1:]:
            body = self.within(replace(child, negative=False), SUM)
            out += (self.minus_between if child.negative else self.plus) + body
        return Piece(out, SUM, tall=any(c.tall for c in children))

    def on_product(self, term: Term, pieces: dict[Term, Piece]) -> Piece:
        coefficient: Any = term.value
        top_number, bottom_number = as_fraction(abs(coefficient))
        above = [f for f in term.children if not _is_inverse(f)]
        below = [self.raised(pieces[f.children[0]], -f.value) for f in term.children if _is_inverse(f)]  # type: ignore[operator]
        if below and bottom_number == 1:  # ½ / |batch| is 1 / (2·|batch|)
            top_number, bottom_number = as_unit_fraction(top_number)
        if bottom_number != 1:
            below.insert(0, Piece(str(bottom_number)))
        tops = [pieces[f] for f in above]
        last_is_reduction = bool(above) and above[-1].kind == "reduction"
        if below and last_is_reduction:
            special = self.constant(top_number)
            top = special.text if special else self.digits(top_number)
            front = self.fraction(top, self.denominator(below))
            text = self.chain([front, *tops])
        else:
            lead = (
                []
                if top_number == 1 and tops
                else [self.constant(top_number) or Piece(self.digits(top_number))]
            )
            text = self.chain(lead + tops)
            if below:
                text = self.fraction(self.numerator(lead + tops, text), self.denominator(below)).text
        level = REDUCTION if last_is_reduction else PRODUCT
        tall = bool(below) or any(p.tall for p in tops)
        return Piece(text, level, coefficient < 0, tall=tall)

    def chain(self, factors: Sequence[Piece]) -> str:
        """Factors side by side: 2x · y, 3·w[k]; only the last may be a sum over indices without parentheses."""
        out = ""
        for n, factor in enumerate(factors):
            last = n == len(factors) - 1
            text = self.within(factor, REDUCTION if last else PRODUCT)
            if not out:
                out = text
            elif n == 1 and factor.letter and re.fullmatch(r"[\d.]+|[½¼¾]", out):
                out += text
            elif n == 1 and last and factor.level >= POWER and re.fullmatch(r"[\d.]+|[½¼¾]", out):
                out += self.times.strip() + text
            else:
                out += self.times + text
        return out

    def numerator(self, factors: Sequence[Piece], text: str) -> str:
        return text

    def denominator(self, factors: Sequence[Piece]) -> str:
        if len(factors) == 1:
            return self.within(factors[0], POWER)
        return f"({self.chain(factors)})"

    def on_power(self, term: Term, pieces: dict[Term, Piece]) -> Piece:
        base, exponent = pieces[term.children[0]], term.value
        assert isinstance(exponent, int | float)
        if exponent < 0:
            return self.fraction("1", self.denominator([self.raised(base, -exponent)]))
        return self.raised(base, exponent)

    def raised(self, base: Piece, exponent: float) -> Piece:
        """base to a positive power."""
        if exponent == 1:
            return base
        if exponent == 0.5:
            return self.root(base)
        if not isinstance(exponent, int):
            return Piece(f"{self.within(base, ATOM)}^{number_text(exponent)}", POWER)
        digits = str(exponent).translate(_SUPERSCRIPTS)
        if base.head:
            return Piece(f"{base.head}{digits}{base.text.removeprefix(base.head)}", POWER)
        return Piece(self.within(base, ATOM) + digits, POWER, letter=base.letter)

    def root(self, inner: Piece) -> Piece:
        return Piece(
            f"√{self.signed(inner)}" if inner.level == ATOM and inner.letter else f"√({self.signed(inner)})"
        )

    # --------------------------------------------------------------------------------- functions, conditions

    def on_apply(self, function: str, arguments: Sequence[Piece]) -> Piece:
        match function:
            case "and" | "or":
                level = AND if function == "and" else OR
                return Piece(self.logic[function].join(self.within(a, level) for a in arguments), level)
            case "not":
                return Piece(self.logic["not"] + self.within(arguments[0], ATOM), NOT)
            case "^":
                return self.general_power(arguments[0], arguments[1])
            case "sqrt":
                return self.root(arguments[0])
        return self.called(function, arguments)

    def general_power(self, base: Piece, exponent: Piece) -> Piece:
        return Piece(f"{self.within(base, ATOM)}^{self.within(exponent, ATOM)}", POWER)

    def called(self, function: str, arguments: Sequence[Piece]) -> Piece:
        inner = self.joined(arguments)
        match function:
            case "abs":
                return Piece(f"|{inner}|")
            case "floor":
                return Piece(f"⌊{inner}⌋")
            case "div":
                return Piece(f"⌊{self.within(arguments[0], PRODUCT)} / {self.within(arguments[1], POWER)}⌋")
            case "mod":
                text = f"{self.within(arguments[0], POWER)} mod {self.within(arguments[1], POWER)}"
                return Piece(text, RELATION)
            case "log1p":
                return Piece(f"log(1 + {inner})", head="log")
            case "expm1":
                return Piece(f"exp({inner}) − 1", SUM)
        name = {"sigmoid": "σ", "stop_gradient": "stop"}.get(function, function)
        return Piece(f"{name}({inner})", head=name)

    def on_bracket(self, _: None, children: Sequence[Piece]) -> Piece:
        return Piece(f"[{self.joined(children)}]")

    def on_cases(self, _: None, children: Sequence[Piece]) -> Piece:
        condition, then, otherwise = children
        return Piece(
            f"{self.within(then, OR)} if {self.within(condition, OR)} else {self.signed(otherwise)}", CHOICE
        )

    def on_relation(self, operators: Sequence[str], sides: Sequence[Piece]) -> Piece:
        out = self.within(sides[0], RELATION)
        for operator, side in zip(operators, sides[1:], strict=True):
            out += f" {self.relations[operator]} {self.within(side, RELATION)}"
        return Piece(out, RELATION)

    # ------------------------------------------------------------------------------------------- reductions

    def on_reduction(self, term: Term, pieces: dict[Term, Piece]) -> Piece:
        indices, conditions, body = parts_of_reduction(term)
        kind: str = term.value[0]  # type: ignore[index]
        under = self.joined([pieces[i] for i in indices])
        if conditions:
            under = self.under(under, self.separate.join(self.signed(pieces[c]) for c in conditions))
        text = self.within(pieces[body], REDUCTION if kind in ("sum", "product") else PRODUCT)
        if is_negative(body):
            text = self.parenthesised(pieces[body])
        return Piece(self.big(kind, under) + text, REDUCTION, tall=True)

    def under(self, indices: str, conditions: str) -> str:
        return f"{indices}: {conditions}"

    def big(self, kind: str, under: str) -> str:
        symbol = {"sum": "Σ", "product": "Π"}.get(kind, kind)
        return f"{symbol}_{{{under}}} "


def _is_inverse(factor: Term) -> bool:
    return factor.kind == "power" and factor.value < 0  # type: ignore[operator]


def number_text(value: float) -> str:
    """At most 12 significant digits, no trailing zeros."""
    return str(value) if isinstance(value, int) else f"{value:.12g}"


def as_fraction(value: float) -> tuple[float, int]:
    """A number as (numerator, denominator): 0.0625 is 1/16, 0.333… is 1/3; what reads well as a decimal keeps denominator 1."""
    if isinstance(value, int) or value in _SPECIAL:
        return value, 1
    nearest = Fraction(value).limit_denominator(10_000)
    if nearest.numerator == 1 and nearest == Fraction(value):  # 1/8, 1/64
        return 1, nearest.denominator
    if len(number_text(value)) <= 5:
        return value, 1
    small = nearest.numerator == 1 or nearest.denominator <= 100
    if nearest and small and abs(float(nearest) - value) <= 1e-15 * abs(value):
        return nearest.numerator, nearest.denominator
    return value, 1


def as_unit_fraction(value: float) -> tuple[float, int]:
    """(1, n) for a number that is 1/n with n up to 1000, else (value, 1)."""
    inverse = round(1 / value) if 1e-3 <= value < 1 else 1
    return (1, inverse) if abs(inverse * value - 1) < 1e-15 else (value, 1)


def name_shared_parts(root: Term, notation: Notation) -> tuple[Term, list[tuple[str, Term]]]:
    """The term with its large repeated parts replaced by names z₁, z₂, …, and what the names stand for, in order.

    Only parts that mention no index bound by a sum inside of the root may be named.
    """
    order = postorder(root)
    uses: dict[Term, int] = {}
    bound: set[Term] = set()
    for term in order:
        for child in term.children:
            uses[child] = uses.get(child, 0) + 1
        if term.kind == "reduction":
            bound.update(parts_of_reduction(term)[0])
    depends: dict[Term, bool] = {}
    done: dict[Term, Term] = {}
    definitions: list[tuple[str, Term]] = []
    for term in order:
        depends[term] = term in bound or any(depends[c] for c in term.children)
        children = tuple(done[c] for c in term.children)
        fresh = term if children == term.children else notation.make(term.kind, term.value, *children)
        done[term] = fresh
        if uses.get(term, 0) > 1 and not depends[term] and size_of(fresh, 9) > 8 and term.kind != "relation":
            name = f"z{len(definitions) + 1}"
            definitions.append((name, fresh))
            done[term] = notation.symbol(name)
    return done[root], definitions
