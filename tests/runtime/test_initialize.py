"""First values: their distributions, their independence of each other, their shapes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from dln.compiler.mathematics.expression import Apply, Axis, Expression, Load, Lookup, new_axis, real
from dln.compiler.mathematics.graph import Array, Initializer, Table
from dln.runtime.errors import RunError
from dln.runtime.initialize import _orthonormal, initial_values, write_initial_values


def draw(name: str, *arguments: float) -> Expression:
    return Apply(f"draw {name}", tuple(real(a) for a in arguments))


def weight(name: str, extents: tuple[int, ...], make, where=None, fans=(1, 1)) -> Array:
    axes = tuple(new_axis(f"a{k}", size) for k, size in enumerate(extents))
    value = make(*axes) if callable(make) else make
    condition = where(*axes) if where else None
    return Array(name, "weight", extents, initializer=Initializer(axes, value, *fans), where=condition)


def test_same_seed_and_name_same_values_whatever_else_there_is():
    a = weight("a", (5, 4), draw("normal", 0, 1))
    np.testing.assert_array_equal(initial_values(a, 7), initial_values(a, 7))
    assert not np.array_equal(initial_values(a, 7), initial_values(a, 8))
    b = weight("b", (5, 4), draw("normal", 0, 1))
    assert not np.array_equal(initial_values(a, 7), initial_values(b, 7))


@pytest.mark.parametrize(
    ("value", "fans", "mean", "deviation", "limit"),
    [
        (draw("normal", 2, 0.5), (1, 1), 2, 0.5, math.inf),
        (draw("uniform", -1, 3), (1, 1), 1, 4 / math.sqrt(12), 3),
        (draw("glorot"), (30, 20), 0, math.sqrt(2 / 50), math.sqrt(6 / 50)),
        (draw("he"), (8, 20), 0, 0.5, math.inf),
        (draw("uniform", -2.4, 2.4) / math.sqrt(25), (25, 1), 0, 2.4 / 5 / math.sqrt(3), 0.48),
    ],
)
def test_distributions(value, fans, mean, deviation, limit):
    values = initial_values(weight("w", (200, 100), value, fans=fans), 0)
    assert abs(values.mean() - mean) < 4 * deviation / math.sqrt(20_000)
    assert abs(values.std() / deviation - 1) < 0.03
    assert np.abs(values).max() <= limit


@pytest.mark.parametrize("extents", [(6, 6), (7, 3), (3, 7), (4, 5, 5), (2, 3, 8, 4)])
def test_orthogonal(extents):
    values = initial_values(weight("w", extents, draw("orthogonal", 1)), 1)
    rows, columns = extents[-2:]
    tall = values if rows >= columns else np.swapaxes(values, -1, -2)
    product = np.swapaxes(tall, -1, -2) @ tall
    np.testing.assert_allclose(
        product, np.broadcast_to(np.eye(min(rows, columns)), product.shape), atol=1e-12
    )


def test_orthogonal_and_identity_need_two_axes():
    for name in ("orthogonal", "identity"):
        with pytest.raises(RunError, match="has 1 axes; it needs two"):
            initial_values(weight("w", (4,), draw(name, 1)), 0)


def test_expressions_over_indices_tables_and_other_arrays():
    table = Table("t", np.array([3.0, 1.0, 2.0]))

    def value(i: Axis, j: Axis) -> Expression:
        entry = Lookup("t", (i,), "real") + Apply("real", (j,)) * 10
        return entry + Load("other", (i, j)) + draw("identity", 100)

    other = np.arange(6.0).reshape(3, 2)
    got = initial_values(weight("w", (3, 2), value), 0, {"t": table}, {"other": other}.__getitem__)
    expected = np.array([[3, 13], [1, 11], [2, 12]]) + other + 100 * np.eye(3, 2)
    np.testing.assert_array_equal(got, expected)


def test_entries_that_do_not_exist_are_zero():
    def banded(i: Axis, j: Axis) -> Expression:
        return Apply("<=", (abs_difference(i, j), new(1)), "boolean")

    def abs_difference(i: Axis, j: Axis) -> Expression:
        return Apply("abs", (i - j,), "integer")

    def new(value: int) -> Expression:
        from dln.compiler.mathematics.expression import integer

        return integer(value)

    got = initial_values(weight("w", (5, 5), real(2), where=banded), 0)
    i, j = np.indices((5, 5))
    np.testing.assert_array_equal(got, np.where(abs(i - j) <= 1, 2.0, 0.0))


INDEPENDENT = [draw("normal", 2, 0.5), draw("uniform", -1, 3), draw("glorot"), draw("he")]
OTHERS = [draw("orthogonal", 1), draw("uniform", -2.4, 2.4) / math.sqrt(25), real(0.25)]


@pytest.mark.parametrize(
    ("value", "extents"),
    [
        *itertools.product(INDEPENDENT, [(3,), (70_000,), (7, 11_000), (90, 40, 7), (2, 100_000)]),
        *itertools.product(OTHERS, [(90, 70)]),
    ],
)
def test_what_is_drawn_piece_by_piece_is_what_is_drawn_at_once(value, extents):
    array = weight("w", extents, value, fans=(8, 20))
    memory = np.full((*extents, 2), np.nan, np.float32)
    write_initial_values(memory[..., 0], array, 5)
    np.testing.assert_array_equal(memory[..., 0], initial_values(array, 5).astype(np.float32))
    assert np.isnan(memory[..., 1]).all()


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (2, 40, 40), (3, 70, 12), (257, 256), (300, 280)])
def test_orthonormal_columns_are_those_of_a_decomposition_with_a_positive_diagonal(shape):
    tall = np.random.default_rng(3).standard_normal(shape)
    q = _orthonormal(tall)
    r = np.swapaxes(q, -1, -2) @ tall
    np.testing.assert_allclose(
        np.swapaxes(q, -1, -2) @ q, np.broadcast_to(np.eye(shape[-1]), r.shape), atol=1e-12
    )
    np.testing.assert_allclose(q @ r, tall, atol=1e-11)
    np.testing.assert_allclose(np.tril(r, -1), 0, atol=1e-11)
    assert (np.diagonal(r, axis1=-2, axis2=-1) > 0).all()
