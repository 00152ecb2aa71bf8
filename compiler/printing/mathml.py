r"""Printed mathematics as MathML, which browsers set by themselves.

In: the LaTeX that latex.py writes (no other).  Out: a `math` element, or None where something in it is not known here.

    mathml(r"h_{j} = \tanh(x_{j})")     <math …><mrow><msub><mi>h</mi><mi>j</mi></msub><mo>=</mo>…

Formulas are nested as deeply as their braces are; one that is nested more deeply than `DEEPEST` is left to its text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape

DEEPEST = 60

_TOKEN = re.compile(r"\\[a-zA-Z]+\*?|\\.|\d+(?:\.\d+)?|[{}^_&]|\s+|.", re.DOTALL)
_SPACES = {r"\,": "0.17em", r"\;": "0.28em", r"\quad": "1em", "\\ ": "0.25em", r"\!": "-0.17em"}
_OPERATORS = {
    r"\le": "≤", r"\ge": "≥", r"\ne": "≠", r"\wedge": "∧", r"\vee": "∨", r"\neg": "¬", r"\cdot": "·", r"\bmod": "mod",
    r"\partial": "∂", r"\lfloor": "⌊", r"\rfloor": "⌋", r"\{": "{", r"\}": "}", "-": "−", "'": "′",
}  # fmt: skip
_AIR = '<mspace width="0.17em"/>'
_BIG = {r"\sum": "∑", r"\prod": "∏"}
_FUNCTIONS = (r"\exp", r"\log", r"\tanh", r"\sin", r"\cos", r"\max", r"\min")
_GREEK = {
    r"\alpha": "α", r"\beta": "β", r"\gamma": "γ", r"\delta": "δ", r"\epsilon": "ϵ", r"\zeta": "ζ", r"\eta": "η",
    r"\theta": "θ", r"\kappa": "κ", r"\lambda": "λ", r"\mu": "μ", r"\nu": "ν", r"\xi": "ξ", r"\pi": "π", r"\rho": "ρ",
    r"\sigma": "σ", r"\tau": "τ", r"\phi": "ϕ", r"\chi": "χ", r"\psi": "ψ", r"\omega": "ω", r"\Gamma": "Γ",
    r"\Delta": "Δ", r"\Theta": "Θ", r"\Lambda": "Λ", r"\Xi": "Ξ", r"\Pi": "Π", r"\Sigma": "Σ", r"\Phi": "Φ",
    r"\Psi": "Ψ", r"\Omega": "Ω",
}  # fmt: skip


class _Unknown(Exception):
    """A piece of LaTeX that this module does not speak."""


def mathml(latex: str) -> str | None:
    """A formula on a line of its own, set to the left."""
    reader = _Reader(latex)
    try:
        row = reader.row(())
        if reader.next():
            return None
    except _Unknown:
        return None
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML" displaystyle="true">{row}</math>'


class _Reader:
    """Reads tokens from left to right."""

    def __init__(self, latex: str):
        self.tokens = [t for t in _TOKEN.findall(latex) if not t.isspace()]
        self.plain = _TOKEN.findall(latex)
        self.text, self.at, self.depth = latex, 0, 0
        self.offsets: list[int] = []
        place = 0
        for token in self.plain:
            if not token.isspace():
                self.offsets.append(place)
            place += len(token)

    def next(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, expected: str = "") -> str:
        token = self.next()
        if not token or (expected and token != expected):
            raise _Unknown(token)
        self.at += 1
        return token

    def row(self, ends: tuple[str, ...]) -> str:
        """Everything up to one of these tokens, which stays."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise _Unknown("too deep")
        parts: list[str] = []
        while self.next() and self.next() not in ends:
            parts.append(self.scripted())
        self.depth -= 1
        return parts[0] if len(parts) == 1 else f"<mrow>{''.join(parts)}</mrow>"

    def scripted(self) -> str:
        """An atom with what stands below and above it."""
        first = self.next()
        base = self.atom()
        below = above = ""
        while self.next() in ("^", "_", "'"):
            if self.next() == "'":
                self.take()
                above += "<mo>′</mo>"
            elif self.take() == "_":
                below = self.group()
            else:
                above += self.group()
        if above.count("<m") > 1 and not above.startswith("<mrow"):
            above = f"<mrow>{above}</mrow>"
        limits = first in _BIG or first in (r"\max", r"\min", r"\operatorname*")
        if limits and below:
            return f"<munder>{base}{below}</munder>{'' if first in _BIG else _AIR}"
        if below and above:
            return f"<msubsup>{base}{below}{above}</msubsup>"
        if below:
            return f"<msub>{base}{below}</msub>"
        return f"<msup>{base}{above}</msup>" if above else base

    def group(self) -> str:
        """{…}, or one token."""
        if self.next() != "{":
            return self.atom()
        self.take()
        row = self.row(("}",))
        self.take("}")
        return row

    def atom(self) -> str:
        token = self.take()
        special: dict[str, Callable[[], str]] = {
            r"\frac": self.fraction,
            r"\tfrac": self.fraction,
            r"\sqrt": lambda: f"<msqrt>{self.group()}</msqrt>",
            r"\left": self.fence,
            r"\begin": self.cases,
            r"\text": lambda: f"<mtext>{escape(self.words()).replace(' ', chr(160))}</mtext>",
            r"\mathrm": lambda: f'<mi mathvariant="normal">{escape(self.words())}</mi>',
            r"\operatorname": lambda: f"<mi>{escape(self.words())}</mi>",
            r"\operatorname*": lambda: f"<mi>{escape(self.words())}</mi>",
        }
        if token in special:
            return special[token]()
        if token == "{":
            self.at -= 1
            return self.group()
        if token in _SPACES:
            return f'<mspace width="{_SPACES[token]}"/>'
        if token in _BIG:
            return f'<mo movablelimits="false">{_BIG[token]}</mo>'
        if token in _FUNCTIONS:
            return f"<mi>{token[1:]}</mi>"
        if token in _GREEK:
            return f"<mi>{_GREEK[token]}</mi>"
        if token in _OPERATORS:
            return f"<mo>{_OPERATORS[token]}</mo>"
        if token[0].isdigit():
            return f"<mn>{token}</mn>"
        if token.isalpha():
            return f"<mi>{token}</mi>"
        if token in "()[]|":
            return f'<mo stretchy="false">{token}</mo>'
        if len(token) == 1 and token in "+=<>,.:;/!⌊⌋∞":
            return f"<mo>{escape(token)}</mo>"
        raise _Unknown(token)

    def fraction(self) -> str:
        return f"<mfrac>{self.group()}{self.group()}</mfrac>"

    def fence(self) -> str:
        left = self.take()
        inner = self.row((r"\right",))
        self.take(r"\right")
        right = self.take()
        marks = [_OPERATORS.get(mark, mark) for mark in (left, right)]
        if any(mark not in "()[]|⌊⌋" for mark in marks):
            raise _Unknown(left)
        return f"<mrow><mo>{marks[0]}</mo>{inner}<mo>{marks[1]}</mo></mrow>"

    def cases(self) -> str:
        if self.words() != "cases":
            raise _Unknown("an environment")
        rows, cells = [], []
        while True:
            cells.append(self.row(("&", r"\\", r"\end")))
            token = self.take()
            if token != "&":
                rows.append("".join(f'<mtd style="text-align: left">{c}</mtd>' for c in cells))
                cells = []
            if token == r"\end":
                break
        self.words()
        return f"<mrow><mo>{{</mo><mtable>{''.join(f'<mtr>{r}</mtr>' for r in rows)}</mtable></mrow>"

    def words(self) -> str:
        """{…} as it is written, with its blanks."""
        self.take("{")
        start, depth = self.offsets[self.at - 1] + 1, 1
        while depth:
            token = self.take()
            depth += (token == "{") - (token == "}")
        text = self.text[start : self.offsets[self.at - 1]]
        return re.sub(r"\\([_&%$#{}])", r"\1", text.replace(r"\,", " "))
