"""Equality of expressions, and walks that are remembered."""

from __future__ import annotations

import math

import pytest
from dln.compiler.mathematics.expression import (
    BATCH,
    Axis,
    Constant,
    Expression,
    Load,
    Lookup,
    apply,
    forget_nodes,
    integer,
    new_axis,
    real,
)
from dln.compiler.mathematics.walks import forget_walks, own_postorder, postorder, rebuild, substitute


def test_constants_are_equal_by_value_and_type() -> None:
    assert real(2) == real(2) != real(3)
    assert real(1) != integer(1)
    assert integer(1) != Constant(True, "boolean")
    assert real(0.0) != real(-0.0)
    assert real(math.inf) == real(math.inf)
    nan = real(math.nan)
    assert nan == nan
    assert len({real(0.0), real(-0.0), real(0.0), integer(0)}) == 3


def test_axes_are_equal_if_all_of_them_is() -> None:
    i = new_axis("i", 3)
    assert i == Axis("i", 3, i.serial)
    assert i != Axis("i", 4, i.serial)
    assert i != Axis("j", 3, i.serial)
    assert i != new_axis("i", 3)
    assert BATCH not in (i, 0)


def tree() -> Expression:
    i = Axis("i", 3, -77)
    part = apply("*", Load("w", (apply("+", i, 1),)), Lookup("t", (i,), "real"))
    return apply("+", apply("tanh", part), apply("*", part, Load("x", (BATCH, i))))


def test_axes_of_nests_and_what_is_made_of_them_have_hashes_of_their_own() -> None:
    """Their serial numbers are −1, −2, … in every nest; where hashes meet, whole trees are compared again and again."""
    axes = [Axis(f"a{k}", extent, -k) for k in range(1, 9) for extent in (2, 3, 64, 640)] + [BATCH]
    for make in (lambda a: a, lambda a: a * 3 + 1, lambda a: Load("0", (a,))):
        assert len({hash(make(a)) for a in axes}) == len(axes)


def test_trees_are_equal_by_structure_though_nothing_is_remembered() -> None:
    first = tree()
    forget_nodes()
    second = tree()
    assert first is not second
    assert first == second
    assert hash(first) == hash(second)
    assert tree() is second
    assert substitute(first, {Load("w", (apply("+", Axis("i", 3, -77), 1),)): real(2)}) != first


@pytest.mark.parametrize("forgotten", [False, True])
def test_walks_are_the_same_remembered_or_not(forgotten: bool) -> None:
    first, other = tree(), apply("-", tree(), Load("x", (BATCH, new_axis("k", 2))))
    if forgotten:
        forget_walks()
        forget_nodes()
    assert list(postorder(first)) == own_postorder(first)
    assert list(postorder(first, other)) == own_postorder(first, other)
    assert list(postorder(other, first)) == own_postorder(other, first)
    assert postorder(real(1)) == (real(1),)
    assert postorder() == ()
    assert rebuild(other, lambda node: None) == other


def test_signs_of_zero_survive_a_walk_over_an_equal_looking_tree() -> None:
    for zero in (0.0, -0.0, 0.0):
        node = rebuild(apply("/", real(1), apply("+", Load("x"), Load("y"))), lambda n: None)
        assert node.children[0] == real(1)
        kept = rebuild(apply("max", Load("x"), real(zero)), lambda n: None).children[1]
        assert isinstance(kept, Constant)
        assert math.copysign(1, kept.value) == math.copysign(1, zero)
