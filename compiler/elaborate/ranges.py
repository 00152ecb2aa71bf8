"""Proofs that subscripts stay in range.

In: a subscript, the extent behind it, and the facts that hold where it is read (conditions of the reduction, of an `if`).
Out: the conditions that remain unproved, and the range for a message.

    unproved(t - s, T, facts = [s <= t])   →   ()            both ends follow
    unproved(2*y + v - 2, 16)              →   (0 <= 2*y + v - 2, 2*y + v - 2 < 16)

A form is shown to be ≥ 0 by its range, or by a fact f ≥ 0, or two of them: form − f ≥ 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..mathematics.affine import Linear, bounds, linear
from ..mathematics.expression import Apply, Expression, apply, at_most, integer, less
from ..mathematics.graph import Graph
from ..mathematics.static_values import evaluate
from ..mathematics.walks import axes_in, is_static
from ..record import record

#: Values of an index that are tried to learn what a condition says.
TRIAL_LIMIT = 100_000

#: Facts, the nearest ones, of which pairs are tried.
PAIR_LIMIT = 24


@record(eq=False)
class Fact:
    """A condition that holds, and linear forms that it says are ≥ 0."""

    condition: Expression
    forms: tuple[Linear, ...]


def fact_of(condition: Expression, graph: Graph) -> Fact:
    """What a condition says: a comparison of integers by itself, one over a single index also by trying every value.

    So `i mod 2 != 0` says that i is at least 1.
    """
    forms = _comparison(condition)
    axes = axes_in(condition)
    if (
        len(axes) == 1
        and axes[0].extent is not None
        and axes[0].extent <= TRIAL_LIMIT
        and is_static(condition)
    ):
        (axis,) = axes
        met = np.broadcast_to(evaluate(graph, condition, {axis: np.arange(axis.size)}), (axis.size,))
        (places,) = np.nonzero(met)
        if len(places):
            low, high = int(places[0]), int(places[-1])
            forms = (*forms, Linear(-low, {axis: 1}), Linear(high, {axis: -1}))
    return Fact(condition, forms)


def _comparison(condition: Expression) -> tuple[Linear, ...]:
    """The linear forms that a comparison of integers says are ≥ 0."""
    if (
        not isinstance(condition, Apply)
        or len(condition.arguments) != 2
        or condition.arguments[0].type != "integer"
    ):
        return ()
    a, b = (linear(x) for x in condition.arguments)
    ahead, behind = a.add(b, -1), b.add(a, -1)  # a − b, b − a
    one = Linear(1)
    forms: dict[str, tuple[Linear, ...]] = {
        "<=": (behind,),
        "<": (behind.add(one, -1),),
        ">=": (ahead,),
        ">": (ahead.add(one, -1),),
        "==": (ahead, behind),
    }
    return forms.get(condition.function, ())


def opposite(condition: Expression) -> Expression:
    """What holds where a condition does not."""
    other = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
    if (
        isinstance(condition, Apply)
        and condition.function in other
        and condition.arguments[0].type == "integer"
    ):
        return apply(other[condition.function], *condition.arguments)
    return apply("not", condition)


class Prover:
    """Proofs over the axes, tables and arrays of one graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def low(self, form: Linear) -> int | None:
        """The smallest value of a linear form."""
        total = form.constant
        for atom, coefficient in form.coefficients.items():
            ends = bounds(atom, self.graph)
            if ends is None:
                return None
            total += coefficient * (ends[0] if coefficient > 0 else ends[1])
        return total

    def at_least_zero(self, form: Linear, facts: Sequence[Fact]) -> tuple[Fact, ...] | None:
        """The facts that prove form ≥ 0 (none where its range does); None where nothing does."""
        low = self.low(form)
        if low is not None and low >= 0:
            return ()
        atoms = set(form.coefficients)
        near = [f for f in facts if any(atoms & set(g.coefficients) for g in f.forms)]
        for f in near:
            for g in f.forms:
                rest = form.add(g, -1)
                low = self.low(rest)
                if low is not None and low >= 0:
                    return (f,)
        for f in near[-PAIR_LIMIT:]:
            for g in f.forms:
                rest = form.add(g, -1)
                for second in facts[-PAIR_LIMIT:]:
                    for h in second.forms:
                        low = self.low(rest.add(h, -1))
                        if low is not None and low >= 0:
                            return (f, second)
        return None

    def unproved(
        self, subscript: Expression, extent: int, facts: Sequence[Fact] = ()
    ) -> tuple[tuple[Expression, ...], tuple[Fact, ...]]:
        """The conditions of being in range that are not proved, and the facts that the proofs of the others use."""
        form = linear(subscript)
        used: list[Fact] = []
        left: list[Expression] = []
        below = self.at_least_zero(form, facts)
        if below is None:
            left.append(at_most(0, subscript))
        else:
            used.extend(below)
        above = self.at_least_zero(Linear(extent - 1).add(form, -1), facts)
        if above is None:
            left.append(less(subscript, integer(extent)))
        else:
            used.extend(above)
        return tuple(left), tuple(used)
