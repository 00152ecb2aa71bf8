"""Conditions as a reader writes them.

In: relations between terms, and their conjunctions.  Out: terms that say the same in the usual way.

    0 ≤ s, s < n       →   0 ≤ s < n
    0 ≤ i − j          →   i ≥ j
    −s < s             →   s > 0
    max(a, b) > b      →   a > b           as the derivative of a maximum asks
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

from .notation_terms import Term, Terms, is_negative

#: Relations that are false where the key is true.
NEGATED = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}

#: The relation with its sides exchanged.
MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


class Conditions(Terms):
    """Makes conditions; the algebra that they need is notation.py's."""

    @abstractmethod
    def sum(self, *terms: Term) -> Term: ...

    @abstractmethod
    def product(self, *factors: Term) -> Term: ...

    def negative(self, term: Term) -> Term:
        return self.product(self.number(-1), term)

    def relation(self, operator: str, left: Term, right: Term) -> Term:
        """left operator right; max(a, b) > b, as the derivative of max asks, is a > b, and 0 = j is j = 0."""
        asks_for_first = (left.value, operator) in (("max", ">"), ("max", "<="), ("min", "<"), ("min", ">="))
        if asks_for_first and left.kind == "apply" and left.children[1] is right:
            left = left.children[0]
        if left.kind == "number" and right.kind != "number" and operator in ("==", "!="):
            left, right = right, left
        if "number" in (left.kind, right.kind):
            return self.make("relation", (operator,), left, right)
        for side, sign in ((left, 1), (self.negative(left), -1)):
            if side.kind == "apply" and side.value == "abs" and side.children[0] is right:
                # |s| > s is s < 0; −|s| < s is s > 0.
                flipped = {"<": "!=", ">": "<", "<=": ">=", ">=": "=="}[
                    operator if sign > 0 else MIRRORED[operator]
                ]
                return self.make(
                    "relation", (flipped if sign > 0 else MIRRORED[flipped],), right, self.number(0)
                )
        difference = self.sum(left, self.negative(right))  # −s < s is s > 0
        if difference.kind == "product" and difference.children[0].kind != "sum":
            coefficient: float = difference.value  # type: ignore[assignment]
            rest = self.product(self.number(1 / coefficient), difference)
            flipped = operator if coefficient > 0 else MIRRORED[operator]
            return self.make("relation", (flipped,), rest, self.number(0))
        return self.make("relation", (operator,), left, right)

    def extreme(self, function: str, left: Term, right: Term) -> Term:
        """max or min of two; max(−s, s) is |s|."""
        if left is self.negative(right):
            size = self.make("apply", "abs", right if is_negative(left) else left)
            return size if function == "max" else self.negative(size)
        return self.make("apply", function, left, right)

    def negated(self, condition: Term) -> Term:
        if condition.kind == "relation" and len(condition.children) == 2:
            operator = condition.value[0]  # type: ignore[index]
            return self.make("relation", (NEGATED[operator],), *condition.children)
        if condition.kind == "apply" and condition.value == "not":
            return condition.children[0]
        return self.make("apply", "not", condition)

    def bracket(self, *conditions: Term) -> Term:
        return self.make("bracket", None, *self.conditions(conditions))

    def conditions(self, conditions: Iterable[Term]) -> list[Term]:
        """The conjunction as a list: each once, 0 ≤ s and s < n as the chain 0 ≤ s < n, and 0 ≤ i − j as i ≥ j."""
        flat: list[Term] = []
        stack = list(conditions)[::-1]
        while stack:
            term = stack.pop()
            if term.kind == "apply" and term.value == "and":
                stack.extend(reversed(term.children))
            elif term.kind == "relation" and term.value in ((">",), (">=",)) and _is_number(term.children[1]):
                flat.append(self._mirrored(term))  # n > s as s < n, for now
            else:
                flat.append(term)
        out: list[Term] = []
        flat = list(dict.fromkeys(flat))
        while flat:
            term = flat.pop(0)
            if not (_is_lower_bound(term) or _is_upper_bound(term)):
                out.append(term)
                continue
            side = term.children[1] if _is_lower_bound(term) else term.children[0]
            group = [term, *flat]
            lower = next((t for t in group if _is_lower_bound(t) and t.children[1] is side), None)
            upper = next((t for t in group if _is_upper_bound(t) and t.children[0] is side), None)
            if lower is not None and upper is not None:
                flat = [t for t in flat if t is not lower and t is not upper]
                operators = (*lower.value, *upper.value)  # type: ignore[misc]
                term = self.make("relation", operators, *lower.children, upper.children[1])
            elif lower is not None:
                zero = lower.children[0] is self.number(0)
                term = self._without_difference(lower) if zero else self._mirrored(lower)
            out.append(term)
        return out

    def _mirrored(self, condition: Term) -> Term:
        """a < b as b > a."""
        operator = MIRRORED[condition.value[0]]  # type: ignore[index]
        return self.make("relation", (operator,), *condition.children[::-1])

    def _without_difference(self, condition: Term) -> Term:
        """0 ≤ a − b as a ≥ b."""
        side = condition.children[1]
        parts = side.children if side.kind == "sum" else (side,)
        below = [self.negative(p) for p in parts if is_negative(p)]
        if not below:
            return self._mirrored(condition)
        above = [p for p in parts if not is_negative(p)]
        operator = MIRRORED[condition.value[0]]  # type: ignore[index]
        return self.make("relation", (operator,), self.sum(*above), self.sum(*below))


def _is_number(term: Term) -> bool:
    return term.kind == "number"


def _is_lower_bound(term: Term) -> bool:
    return term.kind == "relation" and term.value in (("<=",), ("<",)) and _is_number(term.children[0])


def _is_upper_bound(term: Term) -> bool:
    return term.kind == "relation" and term.value in (("<=",), ("<",)) and _is_number(term.children[1])
