"""Sums of products: a real expression taken apart for multiply-adds.

a·(b·c) − d     →   [(False, [a, b, c]), (True, [d])]
"""

from __future__ import annotations

from ..mathematics.expression import Apply, Expression

#: Longer sums and products are evaluated as they are written: shared parts would be repeated.
_ADDENDS = 8


def _is(node: Expression, function: str) -> bool:
    return isinstance(node, Apply) and node.function == function and node.type == "real"


def addends(term: Expression) -> list[tuple[bool, list[Expression]]]:
    """A real expression as a sum of products: (whether it is subtracted, factors) for each addend, in order."""
    result: list[tuple[bool, list[Expression]]] = []
    stack = [(False, term)]
    while stack:
        negative, node = stack.pop()
        if isinstance(node, Apply) and node.type == "real" and len(stack) + len(result) < _ADDENDS:
            if node.function in ("+", "-"):
                left, right = node.arguments
                stack += [(negative != (node.function == "-"), right), (negative, left)]
                continue
            if node.function == "neg":
                stack.append((not negative, node.arguments[0]))
                continue
        factors: list[Expression] = []
        inner = [node]
        while inner:
            factor = inner.pop()
            if _is(factor, "*") and len(factors) + len(inner) < _ADDENDS:
                assert isinstance(factor, Apply)
                inner += reversed(factor.arguments)
            elif _is(factor, "neg"):
                negative = not negative
                inner.append(factor.children[0])
            else:
                factors.append(factor)
        result.append((negative, factors))
    return result
