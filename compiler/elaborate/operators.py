"""Arithmetic on terms, with the types of the language: real, integer, boolean.

In: terms.  Out: terms, or POISON with a message.

    1/2 + x     real      integers become real numbers where they meet one
    2*y + v     integer   so that it can be a subscript
    a == label  boolean   and 1 or 0 where a number is needed
"""

from __future__ import annotations

from collections.abc import Callable

from ..mathematics.expression import Constant, Expression, apply
from ..source import Span
from .terms import POISON, Access, is_poison, to_real

Complain = Callable[..., None]

_COMPARISONS = {"==", "!=", "<", "<=", ">", ">="}
_LOGIC = {"and", "or"}


def binary(
    operator: str, left: Expression, right: Expression, spans: tuple[Span, Span, Span], complain: Complain
) -> Expression:
    """`left operator right`; spans: of the whole, the left and the right side."""
    if is_poison(left, right):
        return POISON
    if operator in _LOGIC:
        first, second = truth(left, spans[1], complain), truth(right, spans[2], complain)
        return POISON if is_poison(first, second) else apply(operator, first, second)
    if operator in ("div", "mod"):
        for term, span in ((left, spans[1]), (right, spans[2])):
            if term.type != "integer":
                complain(
                    "E207",
                    f"'{operator}' needs whole numbers",
                    span,
                    f"this is {described(term)}",
                    help="write floor(a / b) to round a quotient of real numbers down"
                    if operator == "div"
                    else "",
                )
                return POISON
        if isinstance(right, Constant) and right.value == 0:
            complain("E308", f"'{operator}' by zero", spans[0])
            return POISON
        return apply(operator, left, right)
    if operator in _COMPARISONS and left.type == right.type == "boolean":
        same = apply("==", _integer(left), _integer(right))
        return same if operator == "==" else apply("not", same)
    left, right = _number(left), _number(right)
    if operator == "^":
        return _power(left, right)
    if operator == "/":
        if isinstance(right, Constant) and right.value == 0:
            complain("E308", "division by zero", spans[0])
            return POISON
        return apply("/", to_real(left), to_real(right))
    return apply(operator, *alike(left, right))


def alike(left: Expression, right: Expression) -> tuple[Expression, Expression]:
    """Two numbers of one type: integers stay integers among themselves."""
    if left.type == right.type:
        return left, right
    return to_real(left), to_real(right)


def _power(left: Expression, right: Expression) -> Expression:
    if left.type == right.type == "integer" and isinstance(right, Constant) and right.value >= 0:
        if (
            isinstance(left, Constant)
            and abs(left.value) ** min(int(right.value), 64) < 2**63
            and right.value <= 64
        ):
            return Constant(int(left.value) ** int(right.value), "integer")
        if right.value == 2:
            return apply("*", left, left)
    return apply("^", to_real(left), to_real(right))


def _number(term: Expression) -> Expression:
    return to_real(term) if term.type == "boolean" else term


def _integer(term: Expression) -> Expression:
    return apply("select", term, Constant(1, "integer"), Constant(0, "integer"))


def truth(term: Expression, span: Span, complain: Complain) -> Expression:
    """The term as a condition; `training` is one."""
    if is_poison(term) or term.type == "boolean":
        return term
    if is_clock(term, "training"):
        return apply("!=", term, Constant(0, "integer"))
    complain(
        "E207",
        "a condition is needed here",
        span,
        f"this is {described(term)}",
        help="compare it with something, as in x > 0",
    )
    return POISON


def is_clock(term: Expression, name: str) -> bool:
    return (
        isinstance(term, Access) and term.target.label == name and getattr(term.target, "kind", "") == "clock"
    )


def select(condition: Expression, then: Expression, otherwise: Expression) -> Expression:
    """`then if condition else otherwise`, the branches brought to one type."""
    if is_poison(condition, then, otherwise):
        return POISON
    if then.type != otherwise.type:
        then, otherwise = to_real(then), to_real(otherwise)
    if then.type == "boolean":
        return apply("or", apply("and", condition, then), apply("and", apply("not", condition), otherwise))
    return apply("select", condition, then, otherwise)


def negative(term: Expression) -> Expression:
    return POISON if is_poison(term) else apply("neg", _number(term))


def function(name: str, arguments: list[Expression]) -> Expression:
    """A public scalar function. abs, min and max of integers are integers."""
    if is_poison(*arguments):
        return POISON
    if name in ("abs", "min", "max") and all(a.type == "integer" for a in arguments):
        return apply(name, *arguments)
    return apply(name, *[to_real(a) for a in arguments])


def described(term: Expression) -> str:
    """The kind of a term, in words."""
    if isinstance(term, Constant) and term.type != "boolean":
        return f"the number {term.value:g}" if term.type == "real" else f"the number {term.value}"
    return {"real": "a real number", "integer": "a whole number", "boolean": "a condition"}[term.type]
