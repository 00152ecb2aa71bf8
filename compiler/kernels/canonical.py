"""The canonical form of nests: axes in the order of memory, and neighbours merged where all accesses walk them as one.

An axis of the results that is read through quotients and remainders becomes one axis for each digit: what differs from one value
of a quotient to the next alone is then the same within a tile.

In: a nest as nest_builder.py puts it together.  Out: an equal nest, the same for all that differ in names alone.

    @1[32·10 a0 + 32 a1 + a2] = tanh(@0[32·10 a0 + 32 a1 + a2])   →   @1[a2] = tanh(@0[a2]), one axis of 163840
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from ..mathematics.affine import linear
from ..mathematics.expression import Apply, Axis, Constant, Expression, Load, apply, integer
from ..mathematics.walks import axes_in, postorder, rebuild, substitute
from .memory import SIZES
from .nest import Nest, Result, buffer_of, is_access


def simplify(nest: Nest) -> Nest:
    """Axes in the order of memory, outermost first, and neighbours merged where all accesses walk them as one."""
    if nest.kind != "scatter":
        for axis in nest.axes:
            nest = _in_digits(nest, axis)
    offset = linear(nest.results[0].offset)
    axes = tuple(sorted(nest.axes, key=lambda a: -abs(offset.coefficients.get(a, 0))))
    reduced = nest.reduced
    if not nest.kind.startswith("arg") and nest.kind != "scatter":
        forms = [linear(n.children[0]) for n in postorder(*nest.expressions) if is_access(n)]
        # What tables are looked up with changes least often.
        looked_up = set(axes_in(*(a for f in forms for a in f.coefficients if not isinstance(a, Axis))))
        reach = {a: max((abs(f.coefficients.get(a, 0)) for f in forms), default=0) for a in reduced}
        reduced = tuple(sorted(reduced, key=lambda a: (a not in looked_up, -reach[a])))
    nest = replace(nest, axes=axes, reduced=reduced)
    nest = _merged(nest, "axes")
    if not nest.kind.startswith("arg") and nest.kind != "scatter":
        nest = _merged(nest, "reduced")
    return replace(nest, whole=_is_whole(nest))


def _in_digits(nest: Nest, axis: Axis) -> Nest:
    """The nest with two axes in place of one that is read through `axis div n` or `axis mod n`, and n divides it."""
    roots = (*nest.expressions, *(r.offset for r in nest.results))
    by = {
        int(node.arguments[1].value)
        for node in postorder(*roots)
        if isinstance(node, Apply)
        and node.function in ("div", "mod")
        and node.arguments[0] == axis
        and isinstance(node.arguments[1], Constant)
    }
    if len(by) != 1 or not 1 < min(by) < axis.size or axis.size % min(by):
        return nest
    (size,) = by
    # The places of axes tell them apart: these two are of no other.
    quotient = Axis(f"{axis.name}q", axis.size // size, axis.serial - 1000)
    remainder = Axis(f"{axis.name}r", size, axis.serial - 2000)
    mapping: dict[Expression, Expression] = {
        apply("div", axis, integer(size)): quotient,
        apply("mod", axis, integer(size)): remainder,
        axis: quotient * size + remainder,
    }
    axes = [b for a in nest.axes for b in ((quotient, remainder) if a == axis else (a,))]
    return replace(_substituted(nest, mapping), axes=tuple(axes))


def _merged(nest: Nest, which: Literal["axes", "reduced"]) -> Nest:
    axes = list(getattr(nest, which))
    at = 0
    while at + 1 < len(axes):
        outer, inner = axes[at], axes[at + 1]
        if _walked_as_one(nest, outer, inner):
            both = Axis(inner.name, outer.size * inner.size, inner.serial)
            mapping: dict[Expression, Expression] = {outer: integer(0), inner: both}
            apart = tuple(b for b in nest.support if not {outer, inner} & set(axes_in(b)))
            nest = _substituted(replace(nest, support=apart), mapping)
            axes[at : at + 2] = [both]
            at = max(at - 1, 0)
        else:
            at += 1
    return replace(nest, **{which: tuple(axes)})  # type: ignore[arg-type]


def _walked_as_one(nest: Nest, outer: Axis, inner: Axis) -> bool:
    """True where both axes occur in offsets alone, always as outer · extent(inner) + inner."""
    pair = {outer, inner}
    if nest.several in pair:
        return False
    if pair & set(axes_in(*nest.where, *((nest.position,) if nest.position else ()))):
        return False
    offsets = [r.offset for r in nest.results]
    inside: list[Expression] = []
    # Walk down from the roots, but through offsets only by way of their atoms.
    stack: list[Expression] = [e for e in nest.expressions if e not in nest.where]
    seen: set[Expression] = set()
    while stack or offsets:
        if offsets:
            form = linear(offsets.pop())
            if form.coefficients.get(outer, 0) != form.coefficients.get(inner, 0) * inner.size:
                return False
            stack.extend(a for a in form.coefficients if a not in pair)
            continue
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if node in pair:
            return False
        if is_access(node):
            offsets.append(node.children[0])
        else:
            stack.extend(node.children)
            inside.append(node)
    return True


def _substituted(nest: Nest, mapping: Mapping[Expression, Expression]) -> Nest:
    def change(node: Expression) -> Expression:
        changed = substitute(node, mapping)

        def tidy(inner: Expression) -> Expression | None:
            if is_access(inner):
                return inner.with_children((linear(inner.children[0]).expression(),))
            return None

        return changed if changed is node else rebuild(changed, tidy)

    term = None if nest.term is None else change(nest.term)
    return replace(
        nest,
        term=term,
        where=tuple(change(c) for c in nest.where),
        support=tuple(linear(change(b)).expression() for b in nest.support),
        results=tuple(
            Result(
                r.buffer,
                linear(substitute(r.offset, mapping)).expression(),
                term if r.value is nest.term and term is not None else change(r.value),
            )
            for r in nest.results
        ),
        position=None if nest.position is None else change(nest.position),
    )


def _is_whole(nest: Nest) -> bool:
    if nest.kind or len(nest.axes) != 1:
        return False
    (axis,) = nest.axes
    for node in (*postorder(*nest.expressions), *(Load(str(r.buffer), (r.offset,)) for r in nest.results)):
        if node == axis:
            continue  # as a subscript; as a value it is harmless too
        if is_access(node):
            form = linear(node.children[0])
            if form.constant == 0 and form.coefficients == {axis: 1}:
                if SIZES[nest.buffers[buffer_of(node)].data_type] > SIZES[nest.real]:
                    return False  # the padding is too short for as many lanes
                continue
            if axis not in axes_in(node.children[0]):
                continue
            return False
    return True
