"""The algebra of printed mathematics: what a lecturer does without thinking.

In: scalar functions of terms.  Out: `Term`s, which typeset.py prints as text and latex.py as LaTeX.

    n = Notation()
    y = n.symbol("y")
    n.sum(n.number(1), n.product(n.number(-1), y, y))      →   1 − y²
    n.product(x, n.sum(n.product(s, c), n.product(3, s)))  →   x · s · (c + 3)      with factoring=True

Sums and products are flat. A product keeps one numeric coefficient and its factors as powers, so that y·y becomes y², a
quotient becomes a negative power, and equal terms of a sum are counted. Nothing else is rewritten: a printed equation must
still show what the file says. Terms are interned: equal terms are one object, so that shared subexpressions cost nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from .notation_conditions import Conditions
from .notation_terms import Term, is_negative, parts_of_reduction


class Notation(Conditions):
    """Makes terms. `factoring` takes common factors out of sums, as one does with a derivative."""

    def __init__(self, factoring: bool = False):
        super().__init__()
        self.factoring = factoring

    # ------------------------------------------------------------------------------------------- products

    def power(self, base: Term, exponent: float) -> Term:
        """base^exponent for a number as exponent."""
        if isinstance(exponent, float) and exponent.is_integer():
            exponent = int(exponent)
        if exponent == 0:
            return self.number(1)
        if exponent == 1:
            return base
        if base.kind == "number" and (base.value != 0 or exponent > 0):
            try:
                value = base.value**exponent  # type: ignore[operator]
            except OverflowError:
                value = math.inf
            if isinstance(value, int | float) and math.isfinite(value):
                return self.number(value)
        whole = isinstance(exponent, int)
        if base.kind == "power" and whole and isinstance(base.value, int):
            return self.power(base.children[0], base.value * exponent)
        if base.kind == "product" and exponent == -1 and base.value != 0:
            inverse = [self.power(f, -1) for f in base.children]
            return self.product(self.number(1 / base.value), *inverse)  # type: ignore[operator]
        return self.make("power", exponent, base)

    def product(self, *factors: Term) -> Term:
        """The product, flat, with one coefficient and equal factors joined into powers."""
        coefficient: float = 1
        exponents: dict[Term, float] = {}
        for factor in factors:
            for part in factor.children if factor.kind == "product" else (factor,):
                if part.kind == "number":
                    coefficient *= part.value  # type: ignore[operator]
                    continue
                exponent: float = 1
                if part.kind == "power":
                    part, exponent = part.children[0], part.value  # type: ignore[assignment]
                exponents[part] = exponents.get(part, 0) + exponent
            if factor.kind == "product":
                coefficient *= factor.value  # type: ignore[operator]
        if coefficient == 0:
            return self.number(0)
        # A bracket is 0 or 1, and so is its square.
        rest = [base if base.kind == "bracket" else self.power(base, e) for base, e in exponents.items() if e]
        rest.sort(key=_rank_of_factor)
        return self._scaled(coefficient, rest)

    def _scaled(self, coefficient: float, factors: list[Term]) -> Term:
        if isinstance(coefficient, float) and coefficient.is_integer():
            coefficient = int(coefficient)
        if not factors:
            return self.number(coefficient)
        if coefficient == 1 and len(factors) == 1:
            return factors[0]
        return self.make("product", coefficient, *factors)

    def quotient(self, numerator: Term, denominator: Term) -> Term:
        return self.product(numerator, self.power(denominator, -1))

    # ------------------------------------------------------------------------------------------------ sums

    def sum(self, *terms: Term) -> Term:
        """The sum, flat, with equal terms counted; a positive term comes first where there is one."""
        coefficients: dict[Term, float] = {}
        for term in terms:
            sign, parts = _signed_parts(term)
            for part in parts:
                factor, key = self._coefficient(part)
                coefficients[key] = coefficients.get(key, 0) + sign * factor
        parts = [self.product(self.number(c), key) for key, c in coefficients.items() if c]
        if not parts:
            return self.number(0)
        if len(parts) == 1:
            return parts[0]
        first = next((n for n, part in enumerate(parts) if not is_negative(part)), 0)
        parts.insert(0, parts.pop(first))
        return self._factored(parts) if self.factoring else self.make("sum", None, *parts)

    def _coefficient(self, term: Term) -> tuple[float, Term]:
        """coefficient and the rest of a term, which is the key that equal terms share."""
        if term.kind == "number":
            return term.value, self.number(1)  # type: ignore[return-value]
        if term.kind == "product":
            return term.value, self._scaled(1, list(term.children))  # type: ignore[return-value]
        return 1, term

    def _factored(self, parts: list[Term]) -> Term:
        """a·b + a·c as a · (b + c)."""
        split = [self._coefficient(part) for part in parts]
        lists = [
            {
                base: exponent
                for factor in (rest.children if rest.kind == "product" else (rest,))
                for base, exponent in [_base(factor)]
            }
            for _, rest in split
        ]
        common: dict[Term, float] = {}
        for base, exponent in lists[0].items():
            others = [powers.get(base, 0) for powers in lists[1:]]
            if base.kind != "number" and exponent > 0 and all(e > 0 for e in others):
                common[base] = min(exponent, *others)
            elif exponent < 0 and all(e < 0 for e in others):
                common[base] = max(exponent, *others)
        if not common:
            return self.make("sum", None, *parts)
        numbers = [c for c, _ in split]
        scale: float = 1
        if all(isinstance(c, int) for c in numbers):
            scale = math.gcd(*numbers)  # type: ignore[arg-type]
        elif len({abs(c) for c in numbers}) == 1:
            scale = abs(numbers[0])
        if all(c < 0 for c in numbers):
            scale = -scale
        inverse = [self.power(base, -exponent) for base, exponent in common.items()]
        inner = [self.product(self.number(1 / scale), part, *inverse) for part in parts]
        inner.sort(key=lambda term: term.kind == "number" and term is not self.number(1))
        outer = [self.power(base, exponent) for base, exponent in common.items()]
        return self.product(self.number(scale), *outer, self.sum(*inner))

    # ------------------------------------------------------------------------------- choices, sums over indices

    def select(self, condition: Term, then: Term, otherwise: Term) -> Term:
        """A choice; one with a zero is a product with an Iverson bracket, a · [c] (Iverson 1962, Knuth 1992)."""
        if then is self.number(1) and condition.kind == "relation" and condition.value == (">",):
            left, right = condition.children
            minus = self.negative(self.bracket(self.relation("<", left, right)))
            if right is self.number(0) and otherwise is minus:
                return self.make("apply", "sign", left)  # the derivative of an absolute value
        if otherwise is self.number(0):
            return self.product(then, self.bracket(condition))
        if then is self.number(0):
            return self.product(otherwise, self.bracket(self.negated(condition)))
        return self.make("cases", None, condition, then, otherwise)

    def reduction(self, kind: str, indices: list[Term], conditions: list[Term], body: Term) -> Term:
        """Σ, Π, max, …; a sum directly inside of a sum becomes one, numbers go before it, brackets of its body become
        conditions."""
        if kind == "sum":
            if body is self.number(0):
                return body
            scale: float = body.value if body.kind == "product" else 1  # type: ignore[assignment]
            factors = body.children if body.kind == "product" else (body,)
            brackets = [f for f in factors if f.kind == "bracket"]
            rest = [f for f in factors if f.kind != "bracket"]
            if brackets and rest:
                body = self._scaled(scale, rest)
                conditions = conditions + [c for b in brackets for c in b.children]
            if rest and scale != 1:
                inner = self.reduction(kind, indices, conditions, self._scaled(1, rest))
                return self.product(self.number(scale), inner)
            if len(rest) == 1 and rest[0].kind == "reduction" and rest[0].value[0] == "sum":  # type: ignore[index]
                more_indices, more_conditions, body = parts_of_reduction(rest[0])
                return self.reduction(kind, indices + more_indices, conditions + more_conditions, body)
        if not indices:
            return self.product(body, self.bracket(*conditions)) if conditions else body
        return self.make("reduction", (kind, len(indices)), *indices, *self.conditions(conditions), body)


def _base(factor: Term) -> tuple[Term, float]:
    return (factor.children[0], factor.value) if factor.kind == "power" else (factor, 1)  # type: ignore[return-value]


def _signed_parts(term: Term) -> tuple[int, Iterable[Term]]:
    """sign and summands of a term: −(a − b) has the summands of a − b and the sign −1."""
    if term.kind == "sum":
        return 1, term.children
    if (
        term.kind == "product"
        and term.value == -1
        and len(term.children) == 1
        and term.children[0].kind == "sum"
    ):
        return -1, term.children[0].children
    return 1, (term,)


def _rank_of_factor(factor: Term) -> int:
    """The order within a product: scalars, derivatives handed back, everything else as it came, sums over indices last."""
    base, _ = _base(factor)
    if base.kind == "symbol" and not base.children:
        return 0
    if base.kind == "partial":
        return 1
    if base.kind == "bracket":
        return 3
    return 4 if base.kind == "reduction" else 2
