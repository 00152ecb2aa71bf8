"""Algebra on one expression: products taken apart, and rules that need to know ranges.

In: an expression (and the graph, for the ranges of its indices).  Out: an equal expression.

    tidy((2*y + v) mod 2)            →   v                      for v in 0 … 1
    product_factors(-(a * (b * c)))  →   (-1, [a, b, c])

What needs no ranges is done by `apply` when a node is built.
"""

from __future__ import annotations

from dataclasses import replace

from .affine import bounds, linear, proves
from .expression import Apply, Constant, Expression, apply, integer, real
from .graph import Graph
from .walks import rebuild


def product_factors(root: Expression) -> tuple[int, list[Expression]]:
    """(sign, factors) of a product, left to right."""
    sign, factors, stack = 1, [], [root]
    while stack:
        node = stack.pop()
        if isinstance(node, Apply) and node.function == "*" and node.type == "real":
            stack.extend(reversed(node.arguments))
        elif isinstance(node, Apply) and node.function == "neg" and node.type == "real":
            sign = -sign
            stack.append(node.arguments[0])
        else:
            factors.append(node)
    return sign, factors


def product(sign: int, factors: list[Expression]) -> Expression:
    result: Expression = real(1)
    for factor in factors:
        result = factor if result == real(1) else result * factor
    return -result if sign < 0 else result


def tidy(root: Expression, graph: Graph) -> Expression:
    """Algebra that needs to know ranges; what does not is done by `apply` when a node is built."""

    def rule(node: Expression) -> Expression | None:
        if not isinstance(node, Apply):
            return None
        if node.type == "boolean":
            truth = proves(node, graph)
            return None if truth is None else Constant(truth, "boolean")
        match node:
            case Apply(function="select", arguments=(c, Apply(function="select", arguments=(d, a, b)), e)):
                if c == d:
                    return apply("select", c, a, e)
                if b == e:
                    return apply("select", apply("and", c, d), a, e)
            case Apply(function="select", arguments=(c, a, Apply(function="select", arguments=(d, _, b)))):
                if c == d:
                    return apply("select", c, a, b)
            case Apply(function="*", arguments=(Apply(function="neg", arguments=(a,)), b)) if (
                node.type == "real"
            ):
                return -(a * b)
            case Apply(function="*", arguments=(a, Apply(function="neg", arguments=(b,)))) if (
                node.type == "real"
            ):
                return -(a * b)
            case Apply(function="+", arguments=(a, Apply(function="neg", arguments=(b,)))):
                return a - b
            case Apply(function="-", arguments=(a, Apply(function="neg", arguments=(b,)))):
                return a + b
            case Apply(function="mod" | "div", arguments=(x, Constant(value=n))):
                return _divide(node.function, x, int(n), graph)
        return None

    return rebuild(root, rule)


def _divide(function: str, x: Expression, n: int, graph: Graph) -> Expression | None:
    """x mod n or x div n without the multiples of n in x, and without the operation where x is in range."""
    if n <= 0:
        return None
    form = linear(x)
    multiple = replace(form, constant=(form.constant // n) * n, coefficients={})
    multiple.coefficients = {a: c for a, c in form.coefficients.items() if c % n == 0}
    rest = form.add(multiple, -1)
    inner = bounds(rest.expression(), graph)
    remainder: Expression
    quotient: Expression
    if inner is not None and inner[0] >= 0 and inner[1] < n:
        remainder, quotient = rest.expression(), integer(0)
    elif multiple.constant or multiple.coefficients:
        remainder, quotient = (
            apply("mod", rest.expression(), integer(n)),
            apply("div", rest.expression(), integer(n)),
        )
    else:
        return None
    if function == "mod":
        return remainder
    whole = replace(multiple, constant=multiple.constant // n)
    whole.coefficients = {a: c // n for a, c in multiple.coefficients.items()}
    return whole.expression() + quotient
