"""Accumulators: what those of one result begin with, and how two values become one.

In: the kind of a reduction.  Out: values of the loop IR.

    neutral(builder, "argmax", "f32", 8)   →   −∞ and position 0, in 8 lanes
    combined("sum", arithmetic, a, b)      →   a + b
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..mathematics.graph import REDUCTIONS
from .arithmetic import Arithmetic
from .loop_builder import Builder
from .loops import Element, Value


def neutral(builder: Builder, kind: str, element: Element, lanes: int) -> list[Value]:
    """What the accumulators of one result begin with."""
    assert kind in REDUCTIONS
    real = element[0] == "f"
    least, greatest = (-math.inf, math.inf) if real else (-(2**63), 2**63 - 1)
    start = {"sum": 0, "product": 1, "max": least, "argmax": least}.get(kind, greatest)
    values = [builder.constant(start, element, lanes)]
    if kind.startswith("arg"):
        values.append(builder.constant(0, "i64", lanes))
    return values


def combined(kind: str, arithmetic: Arithmetic, a: Value, b: Value) -> Value:
    """Two partial results as one."""
    builder, real = arithmetic.builder, a.element[0] == "f"
    if kind == "sum":
        return builder.emit("fadd", (a, b), a.element, a.lanes) if real else builder.add(a, b)
    if kind == "product":
        return arithmetic.multiply(a, b) if real else builder.multiply(a, b)
    if real:
        return arithmetic.extreme(kind, a, b)
    return (builder.maximum if kind == "max" else builder.minimum)(a, b)


def better(
    kind: str, arithmetic: Arithmetic, before: Sequence[Value], value: Value, here: Value
) -> list[Value]:
    """Best value so far and its position; the first of equals wins, and the first NaN above all."""
    best, position = before
    if value.element[0] == "f":
        is_better = arithmetic.compare("ugt" if kind == "argmax" else "ult", value, best)
        is_better = arithmetic.builder.both(is_better, arithmetic.compare("ord", best, best))
    else:
        is_better = arithmetic.compare("sgt" if kind == "argmax" else "slt", value, best)
    return [arithmetic.select(is_better, value, best), arithmetic.select(is_better, here, position)]
