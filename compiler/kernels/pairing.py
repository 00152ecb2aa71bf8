"""Pairing: two calls of an elementary function that stand side by side become one of twice the lanes.

In: `Function` (loops.py).  Out: the same, changed in place.

    %5 = call %3 [dln_erf_v8f32]          %7 = shuffle %3 %4 [0 … 15]
    %6 = call %4 [dln_erf_v8f32]     →    %8 = call %7 [dln_erf_v16f32]
                                          %5 = shuffle %8 %8 [0 … 7]     %6 = shuffle %8 %8 [8 … 15]

Such a function is one long chain, in which every operation waits for the one before. LLVM cuts vectors that are wider than
registers in two, operation by operation, and so the two chains run side by side; the shuffles cost nothing. Lanes do not know
of each other: the bits stay.
"""

from __future__ import annotations

import re

from .loops import Branch, Function, Loop, Statement, Value

#: Functions that are inlined, of one argument.
PAIRED = ("exp", "expm1", "log", "log1p", "tanh", "sigmoid", "erf")
_NAME = re.compile(rf"dln_({'|'.join(PAIRED)})_v(\d+)(f32|f64)")
#: Vectors of fewer lanes are not worth it.
_LANES = 4


def pair_calls(function: Function) -> Function:
    """The function with calls paired."""
    calls: set[str] = set()
    bodies = [function.body]
    while bodies:
        body = bodies.pop()
        if sum([s.__class__ is Value and s.operation == "call" for s in body]) > 1:  # type: ignore[union-attr]
            _pair(body)
        for statement in body:
            if isinstance(statement, Value):
                if statement.operation == "call" and str(statement.attribute).startswith("dln_"):
                    calls.add(str(statement.attribute))
            elif isinstance(statement, Loop | Branch):
                bodies.append(statement.body)
    function.requires = frozenset(calls | {n for n in function.requires if not n.startswith("dln_")})
    return function


def _pair(body: list[Statement]) -> None:
    """Pair the calls of one body, in place."""
    at = 0
    while at + 1 < len(body):
        first, second = body[at], body[at + 1]
        if isinstance(first, Value) and isinstance(second, Value) and _alike(first, second):
            body[at : at + 2] = _paired(first, second)
            at += 4
        else:
            at += 1


def _alike(first: Value, second: Value) -> bool:
    return (
        first.operation == second.operation == "call"
        and first.attribute == second.attribute
        and first not in second.operands
        and first.lanes >= _LANES
        and _NAME.fullmatch(str(first.attribute)) is not None
    )


def _paired(first: Value, second: Value) -> list[Statement]:
    lanes, element, scope = first.lanes, first.element, first.scope
    name = re.sub(r"_v\d+", f"_v{2 * lanes}", str(first.attribute))
    both = (first.operands[0], second.operands[0])
    joined = Value("shuffle", both, element, 2 * lanes, tuple(range(2 * lanes)), scope)
    call = Value("call", (joined,), element, 2 * lanes, name, scope)
    for half, value in enumerate((first, second)):
        value.operation, value.operands = "shuffle", (call, call)
        value.attribute = tuple(range(half * lanes, (half + 1) * lanes))
    return [joined, call, first, second]
