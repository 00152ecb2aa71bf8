"""Limits: between which values a loop of a reduction need not look for terms that are not zero.

In: a `Tile` whose loops are open, and the support of its nest (support.py).  Out: bounds of a loop.

    y[t, j] = Σ_{s: 64} a[t, s] · v[s, j],  a[t, s] = 0 where t − s < 0
    →   in a tile of t … t + 2 the loop over s, in steps of four, ends behind the step that has t + 2

A condition of the reduction is kept at every index point, by masks where it differs within a tile. Here nothing must be kept,
since what is stored there is zero: a loop goes as far as any point of the tile needs, to the end of the steps it takes at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..mathematics.affine import Linear, linear
from ..mathematics.expression import Axis
from .loops import Value
from .tile import Tile


def limits(tile: Tile, axis: Axis) -> tuple[Value | None, Value | None]:
    """Where a loop of the reduction may begin and end: nothing outside is other than zero at any point of the tile, nor at any
    value of the loops within it. None: nothing is known."""
    plan, builder = tile.plan, tile.builder
    lower: Value | None = None
    upper: Value | None = None
    whole = plan.stride if axis == plan.loops[-1] and axis.size % plan.stride == 0 else 1
    for bound in tile.nest.support:
        form = linear(bound)
        sign = form.coefficients.get(axis, 0)
        if abs(sign) != 1 or axis == plan.lane:
            continue
        value = _most(tile, form.without(axis), plan.loops[: plan.loops.index(axis)])
        if sign > 0:  # axis ≥ −value, which whole steps come to
            first = builder.multiply(value, builder.integer(-1))
            first = builder.maximum(_rounded(tile, first, whole), builder.integer(0))
            lower = first if lower is None else builder.maximum(lower, first)
        else:
            behind = _rounded(tile, builder.add(value, builder.integer(whole)), whole)
            behind = builder.minimum(behind, builder.integer(axis.size))
            upper = behind if upper is None else builder.minimum(upper, behind)
    return lower, upper


def _rounded(tile: Tile, value: Value, step: int) -> Value:
    """The next multiple of a power of two downwards."""
    builder = tile.builder
    return value if step == 1 else builder.emit("and", (value, builder.integer(-step)), "i64")


def _most(tile: Tile, form: Linear, outside: Sequence[Axis]) -> Value:
    """The largest value of an affine form within the tile, and in the loops of the reduction but for those outside."""
    plan, builder = tile.plan, tile.builder
    sizes = dict(zip(plan.order, plan.tile, strict=True))
    constant, result = form.constant, builder.integer(0)
    for atom, step in form.coefficients.items():
        assert isinstance(atom, Axis)
        if atom in sizes or atom in outside:
            result = builder.add(result, builder.multiply(tile.starts[atom], builder.integer(step)))
        span = sizes.get(atom, 1 if atom in outside else atom.size)
        constant += max(step, 0) * (span - 1)
    return builder.add(result, builder.integer(constant))
