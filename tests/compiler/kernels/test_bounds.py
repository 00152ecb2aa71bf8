"""Conditions as loop bounds: the points that loops visit are those at which all conditions hold, checked one by one."""

import itertools
import random

import pytest
from dln.compiler.kernels.bounds import split_conditions
from dln.compiler.mathematics.affine import proves
from dln.compiler.mathematics.expression import Constant, apply, at_most, equal, integer, less, new_axis
from dln.compiler.mathematics.graph import Graph
from dln.compiler.mathematics.scalar import SCALAR_FUNCTIONS
from dln.compiler.mathematics.walks import substitute


def number(expression, values):
    """An expression over axes at given numbers."""
    result = substitute(expression, {a: integer(v) for a, v in values.items()})
    assert isinstance(result, Constant), result
    return result.value


def visited(conditions, outer, loops):
    """The points that the loops visit, for all values of the outer axes."""
    split = split_conditions(conditions, loops, ())
    assert not split.masks
    found = []
    for place in itertools.product(*(range(a.size) for a in outer)):
        values = dict(zip(outer, place, strict=True))
        if not all(number(t, values) for t in split.before):
            continue
        partial = [values]
        for axis, bounds in zip(loops, split.loops, strict=True):
            longer = []
            for known in partial:
                lower = max([0, *(number(e, known) for e in bounds.lower)])
                upper = min([axis.size, *(number(e, known) for e in bounds.upper)])
                if bounds.congruent is not None:
                    lower += (number(bounds.congruent, known) - lower) % bounds.step
                for value in range(lower, upper, bounds.step):
                    point = {**known, axis: value}
                    if all(number(t, point) for t in bounds.tests):
                        longer.append(point)
            partial = longer
        found += [tuple(p[a] for a in (*outer, *loops)) for p in partial]
    return found


def expected(conditions, axes):
    points = itertools.product(*(range(a.size) for a in axes))
    return [p for p in points if all(number(c, dict(zip(axes, p, strict=True))) for c in conditions)]


@pytest.mark.parametrize("seed", range(60))
def test_random_conditions(seed):
    choose = random.Random(seed)
    y, x, v, u = (new_axis(n, e) for n, e in zip("yxvu", (4, 3, 5, 4), strict=True))
    axes = [y, x, v, u]

    def form():
        total = integer(choose.randint(-4, 6))
        for axis in choose.sample(axes, choose.randint(1, 3)):
            total = total + axis * choose.choice([-3, -2, -1, 1, 1, 2, 3])
        return total

    conditions = []
    for _ in range(choose.randint(1, 4)):
        kind = choose.randint(0, 4)
        if kind == 0:
            conditions.append(at_most(form(), form()))
        elif kind == 1:
            conditions.append(less(form(), choose.randint(-2, 9)))
        elif kind == 2:
            conditions.append(equal(form(), form()))
        elif kind == 3:
            modulus = choose.randint(2, 4)
            conditions.append(equal(apply("mod", form(), modulus), choose.randint(0, modulus - 1)))
        else:
            conditions.append(apply(choose.choice([">=", ">", "!="]), apply("div", form(), 2), form()))
    conditions = [c for c in conditions if not isinstance(c, Constant)]
    for count in (1, 2):
        assert visited(conditions, axes[:count], axes[count:]) == expected(conditions, axes)


def test_a_border_is_two_bounds():
    y, v = new_axis("y", 28), new_axis("v", 3)
    split = split_conditions([at_most(0, y + v - 1), less(y + v - 1, 28)], [v], ())
    (bounds,) = split.loops
    assert (len(bounds.lower), len(bounds.upper), bounds.tests) == (1, 1, [])
    assert proves(equal(bounds.lower[0], 1 - y), Graph()) is True
    assert proves(equal(bounds.upper[0], 29 - y), Graph()) is True


def test_a_stride_is_a_step():
    y, v = new_axis("y", 16), new_axis("v", 5)
    (bounds,) = split_conditions([equal(apply("mod", y + 2 - v, 2), 0)], [v], ()).loops
    assert bounds.step == 2 and bounds.tests == [] and bounds.congruent is not None


def test_what_varies_within_a_tile_is_a_mask():
    x, u = new_axis("x", 16), new_axis("u", 5)
    condition = less(x + u, 16)
    assert split_conditions([condition], [u], {x}).masks == [condition]
    assert SCALAR_FUNCTIONS["<"].arity == 2
