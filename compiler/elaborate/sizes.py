"""Extents: unification in both directions, exactly.

In: equalities between size expressions, in any order.  Out: an integer for every variable that they determine.

    sizes.equate(M, integer(32), complain)      M := 32
    sizes.equate(N - 2, integer(10), complain)  N := 12, since the form is linear
    sizes.equate(P, (H + 2*p - 5) div 2 + 1, …) waits until H is known

A size expression is a term over constants and `SizeVariable`s; equal forms (n + 1 and 1 + n) are recognised by their
linear form. `complain` gets the two values and reports them with their places.
"""

from __future__ import annotations

from collections.abc import Callable

from ..mathematics.affine import linear
from ..mathematics.expression import Constant, Expression, integer
from ..mathematics.walks import own_postorder
from .terms import SizeVariable, is_poison

Complaint = Callable[[int, int], None]
Reason = tuple  # (Span, text)


class Sizes:
    """The equalities of one elaboration."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Expression, Expression, Complaint]] = []
        self._last: list[tuple[Expression, Expression, Complaint]] = []

    def reduced(self, size: Expression) -> Expression:
        """The size with everything put in that is known; a Constant when all is known."""
        if isinstance(size, Constant):
            return _whole(size)
        if isinstance(size, SizeVariable):
            seen = size
            while isinstance(seen.value, SizeVariable):
                seen = seen.value
            if seen.value is None:
                return seen
            value = self.reduced(seen.value)
            seen.value = value
            return value
        done: dict[Expression, Expression] = {}
        for node in own_postorder(size):
            if isinstance(node, SizeVariable):
                done[node] = self.reduced(node) if node.value is not None else node
                continue
            children = node.children
            new = tuple(done[c] for c in children)
            done[node] = node if new == children else node.with_children(new)
        return _whole(done[size])

    def known(self, size: Expression) -> int | None:
        """The value, where it is known and a whole number."""
        size = self.reduced(size)
        return int(size.value) if isinstance(size, Constant) and size.type == "integer" else None

    def number(self, size: Expression) -> int | float | None:
        """The value, where it is known at all."""
        size = self.reduced(size)
        return size.value if isinstance(size, Constant) else None

    def equate(
        self,
        left: Expression,
        right: Expression,
        complain: Complaint,
        because: tuple | None = None,
        last: bool = False,
    ) -> None:
        """Demand that two sizes are equal. `because` (a place and a text) explains a variable that this sets.

        `last`: only where nothing else says what the left side is, and never an error.
        """
        if is_poison(left, right):
            return
        if last:
            self._last.append((left, right, complain))
        elif not self._try(left, right, complain, because):
            self._waiting.append((left, right, complain))

    def solve(self) -> None:
        """Use every equality that waits, until nothing more follows."""
        while True:
            waiting, self._waiting = self._waiting, []
            rest = [e for e in waiting if not self._try(*e)]
            self._waiting = rest + self._waiting
            if len(self._waiting) < len(waiting):
                continue
            if not self._last:
                return
            left, right, complain = self._last.pop(0)
            if self.number(left) is None:
                self._waiting.append((left, right, complain))

    def _try(
        self, left: Expression, right: Expression, complain: Complaint, because: tuple | None = None
    ) -> bool:
        """True where the equality is settled: it holds, it has set a variable, or it has been complained about."""
        left, right = self.reduced(left), self.reduced(right)
        if isinstance(left, Constant) and isinstance(right, Constant):
            if left.value != right.value:
                complain(left.value, right.value)  # type: ignore[arg-type]
            return True
        if left is right:
            return True
        for variable, value in ((left, right), (right, left)):
            if isinstance(variable, SizeVariable) and variable not in own_postorder(value):
                variable.value = value
                variable.because = because
                return True
        if left.type != "integer" or right.type != "integer":
            return False
        form = linear(left - right)
        if not form.coefficients:
            if form.constant:
                complain(form.constant, 0)
            return True
        if len(form.coefficients) == 1:
            (atom, coefficient), *_ = form.coefficients.items()
            if isinstance(atom, SizeVariable) and form.constant % coefficient == 0:
                atom.value = integer(-form.constant // coefficient)
                atom.because = because
                return True
        return False


def _whole(size: Expression) -> Expression:
    """8.0 as 8: `n / 2` is a size where it is a whole number."""
    if isinstance(size, Constant) and size.type == "real" and float(size.value).is_integer():
        return integer(int(size.value))
    return size
