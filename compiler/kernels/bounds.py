"""Loop bounds from conditions: what a reduction's `where` says becomes the range of its loops, wherever that is possible.

In: conditions, and the loops that they are about, outermost first.  Out: `Bounds` for every loop, and what is left over.

    Σ_{v, u: 0 ≤ y+v−1, y+v−1 < 28, …}   →   loop v from max(0, 1−y) to min(3, 29−y): no test inside
    Σ_{q: start[k] ≤ q, q < start[k+1]}  →   loop q from start[k] to start[k+1]
    Σ_{v: (y−v) mod 2 = 0}               →   loop v from (y mod 2), in steps of 2

A condition is given to the innermost loop that it depends on. It becomes a bound there if it is linear in the loop's
variable, a stride if it is a congruence, and a test at the head of the body otherwise. Conditions that differ from lane to
lane or within a register tile are masks.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import field
from functools import lru_cache

from ..mathematics.affine import Linear, linear
from ..mathematics.expression import Apply, Axis, Constant, Expression, apply, integer
from ..mathematics.walks import axes_in
from ..record import record


@record(frozen=False)
class Bounds:
    """The loop runs from max(0, *lower) in steps of `step` to below min(extent, *upper), where all `tests` hold.

    `congruent`: where step > 1, the variable is this value modulo step. `lower` does not take that into account.
    """

    lower: list[Expression] = field(default_factory=list)
    upper: list[Expression] = field(default_factory=list)
    step: int = 1
    congruent: Expression | None = None
    tests: list[Expression] = field(default_factory=list)

    @property
    def is_plain(self) -> bool:
        """True where the loop runs over its whole axis."""
        return not self.lower and not self.upper and self.step == 1


@record(frozen=False)
class Split:
    """`before`: tests of what is known outside of all loops.  `loops`: one for each loop.  `masks`: tests of each lane."""

    before: list[Expression]
    loops: list[Bounds]
    masks: list[Expression]


def split_conditions(
    conditions: Sequence[Expression],
    loops: Sequence[Axis],
    varying: Collection[Axis],
    lane: Axis | None = None,
) -> Split:
    """Give each condition to a loop. `varying` axes differ within a register tile; `lane` is a loop that runs over lanes.

    Conditions in which `lane` is innermost may bound it (its last vector is masked), but not test or stride it. They never
    bound a loop within it.
    """
    result = Split([], [Bounds() for _ in loops], [])
    for condition in conditions:
        axes = axes_in(condition)
        if any(a in varying for a in axes):
            result.masks.append(condition)
            continue
        inside = [n for n, a in enumerate(loops) if a in axes]
        if not inside:
            result.before.append(condition)
            continue
        axis, bounds = loops[inside[-1]], result.loops[inside[-1]]
        if lane in axes and axis != lane:
            result.masks.append(condition)  # each lane would have a bound of its own
        elif (found := _bound(condition, axis)) is not None:
            bounds.lower += found[0]
            bounds.upper += found[1]
        elif lane in axes:
            result.masks.append(condition)
        elif not _stride(condition, axis, bounds):
            bounds.tests.append(condition)
    return result


def _isolated(form: Linear, axis: Axis) -> tuple[int, Linear] | None:
    """The coefficient of an axis and the rest, if the rest does not depend on the axis."""
    coefficient = form.coefficients.get(axis, 0)
    rest = form.without(axis)
    if not coefficient or any(axis in axes_in(atom) for atom in rest.coefficients):
        return None
    return coefficient, rest


@lru_cache(maxsize=1 << 12)
def _bound(condition: Expression, axis: Axis) -> tuple[Sequence[Expression], Sequence[Expression]] | None:
    """What a comparison says of the lower and the upper bound, if it is linear in the axis."""
    if not isinstance(condition, Apply) or condition.function not in ("<", "<=", ">", ">=", "=="):
        return None
    left, right = condition.arguments
    if left.type != "integer":
        return None
    difference = linear(right).add(linear(left), -1)  # right − left
    strict = Linear(1)
    forms = {
        "<=": [difference],
        "<": [difference.add(strict, -1)],
        ">=": [difference.scaled(-1)],
        ">": [difference.scaled(-1).add(strict, -1)],
        "==": [difference, difference.scaled(-1)],
    }[condition.function]
    lower: list[Expression] = []
    upper: list[Expression] = []
    for form in forms:  # each must be ≥ 0
        isolated = _isolated(form, axis)
        if isolated is None:
            return None
        coefficient, rest = isolated
        if coefficient > 0:  # axis ≥ ⌈−rest / coefficient⌉ = −⌊rest / coefficient⌋
            lower.append(_negative(rest, coefficient))
        else:  # axis ≤ ⌊rest / −coefficient⌋
            upper.append(apply("div", rest.expression(), integer(-coefficient)) + 1)
    return lower, upper


def _negative(rest: Linear, coefficient: int) -> Expression:
    if coefficient == 1:
        return rest.scaled(-1).expression()
    return apply("neg", apply("div", rest.expression(), integer(coefficient)))


def _stride(condition: Expression, axis: Axis, bounds: Bounds) -> bool:
    """Take a congruence (e mod m = r) as the loop's step, if e is linear in the axis with a coefficient prime to m."""
    match condition:
        case Apply(
            function="==",
            arguments=(Apply(function="mod", arguments=(value, Constant(value=modulus))), other),
        ):
            pass
        case Apply(
            function="==",
            arguments=(other, Apply(function="mod", arguments=(value, Constant(value=modulus)))),
        ):
            pass
        case _:
            return False
    modulus = int(modulus)
    isolated = _isolated(linear(value).add(linear(other), -1), axis)
    if bounds.step != 1 or modulus < 2 or isolated is None:
        return False
    if not isinstance(other, Constant) or not 0 <= int(other.value) < modulus:
        return False
    coefficient, rest = isolated
    if math.gcd(coefficient, modulus) != 1:
        return False
    inverse = pow(coefficient, -1, modulus)
    bounds.step = modulus
    bounds.congruent = apply("mod", rest.scaled(-inverse).expression(), integer(modulus))
    return True
