"""Cyclic sums: a sum round a cycle becomes two of half its length, with a quarter of the products each.

In: a graph with its equalities solved.  Out: the same, where a sum of products goes round a cycle of n places

    y[b, j] = Σ_i w[(i − j) mod n] · z[b, i]             i and j take all n values, n is even

has become, with h = n/2 and i, j, m < h:

    z₊[b, i] = z[b, i] + z[b, i + h]                     z₋[b, i] = z[b, i] − z[b, i + h]
    w₊[m]    = w[m] + w[m + h]                           w₋[m]    = w[m] − w[(m + h) mod n]   (of any whole m, mod n)
    y₊[b, j] = Σ_i w₊[(i − j) mod h] · z₊[b, i]          y₋[b, j] = Σ_i w₋[i − j] · z₋[b, i]
    y[b, j]  = (y₊[b, j] + y₋[b, j]) / 2                 y[b, j + h] = (y₊[b, j] − y₋[b, j]) / 2

(The polynomials modulo xⁿ − 1 = (xʰ − 1)(xʰ + 1), by the Chinese remainder theorem; H. J. Nussbaumer, Fast Fourier Transform
and Convolution Algorithms, 1982, chapter 3.) The first of the two sums is of the same form again, so that of n² products little
more than a third remain. A layer whose map is cyclic and both of its gradients are sums of this form; it is found by its
subscripts alone. What is left of the cycle is unrolled: no subscript of the new sums has a remainder to be found.
"""

from __future__ import annotations

from dataclasses import replace

from ..kernels.products import addends
from ..mathematics.affine import linear
from ..mathematics.expression import (
    BATCH,
    Apply,
    Axis,
    Constant,
    Expression,
    Load,
    apply,
    integer,
    less,
    new_axis,
    real,
    select,
)
from ..mathematics.graph import Family, Graph, Reduction
from ..mathematics.walks import axes_in
from ..passes.order import recurrent
from ..record import record

#: Shorter cycles are left as they are: what is added up before and behind would cost as much as it saves.
_SHORTEST = 256


@record
class _Cycle:
    """A sum round a cycle of `length` places: plain[…, inner, …] · turned[…, (± outer ± inner + shift) mod length, …].

    `at` and `turned_at` are the places of these subscripts; `signs` are those of `outer` and of `inner`.
    """

    plain: Load
    at: int
    turned: Load
    turned_at: int
    outer: Axis
    inner: Axis
    signs: tuple[int, int]
    shift: int
    length: int


def halve(graph: Graph) -> Graph:
    """The graph with its cyclic sums in halves."""
    result = graph.copy()
    result.families = {}
    work = _Halves(result)
    loops = {name for component in recurrent(graph) for name in component}
    for name, family in graph.families.items():
        cycle = None if name in loops else _cycle(family, graph)
        if cycle is None:
            result.families[name] = family
        else:
            work.halve(family, cycle)
    return result


def _cycle(family: Family, graph: Graph) -> _Cycle | None:
    """How a family is a sum round a cycle, if it is."""
    reduction = family.reduction
    if reduction is None or reduction.kind != "sum" or reduction.scatter or family.type != "real":
        return None
    if any(axis != BATCH for axis in axes_in(*reduction.where)):
        return None
    sums = addends(family.body)
    if len(sums) != 1 or sums[0][0] or len(sums[0][1]) != 2:
        return None
    one, other = sums[0][1]
    if not (isinstance(one, Load) and isinstance(other, Load)):
        return None
    return _turned(family, one, other, graph) or _turned(family, other, one, graph)


def _turned(family: Family, plain: Load, turned: Load, graph: Graph) -> _Cycle | None:
    """The cycle that `turned` goes round while `plain` is read from its first place to its last."""
    assert family.reduction is not None
    for place, subscript in enumerate(turned.subscripts):
        match subscript:
            case Apply(function="mod", arguments=(inside, Constant(value=length))):
                pass
            case _:
                continue
        form = linear(inside)
        axes = [a for a in form.coefficients if isinstance(a, Axis) and a.extent == length]
        if len(form.coefficients) != 2 or len(axes) != 2 or int(length) < _SHORTEST or int(length) % 2:
            continue
        outer = next((a for a in axes if a in family.axes), None)
        inner = next((a for a in axes if a in family.reduction.axes), None)
        if outer is None or inner is None or plain.subscripts.count(inner) != 1:
            continue
        signs = form.coefficients[outer], form.coefficients[inner]
        at = plain.subscripts.index(inner)
        others = [s for n, s in enumerate(plain.subscripts) if n != at]
        others += [s for n, s in enumerate(turned.subscripts) if n != place]
        extents = graph.extents_of(plain.array)[at], graph.extents_of(turned.array)[place]
        if {outer, inner} & set(axes_in(*others)) or any(abs(s) != 1 for s in signs):
            continue
        if extents == (length, length):
            return _Cycle(plain, at, turned, place, outer, inner, signs, form.constant, int(length))
    return None


class _Halves:
    """The families that are added to a graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        #: Sums and differences that there are: array, place, which, first place, length → name.
        self.known: dict[tuple[str, int, str, int, int], str] = {}

    def halve(self, family: Family, cycle: _Cycle) -> None:
        """Add a family in halves."""
        half = cycle.length // 2
        outer, inner = new_axis(cycle.outer.name, half), new_axis(cycle.inner.name, half)
        place = apply("mod", cycle.outer, integer(half))
        sums = []
        for which in ("sums", "differences"):
            part = self._part(family, cycle, which, outer, inner)
            sums.append(Load(part, tuple(place if a == cycle.outer else a for a in family.axes)))
        first, second = sums
        value = select(less(cycle.outer, half), first + second, first - second)
        self.graph.add(replace(family, body=apply("*", real(0.5), value), reduction=None))

    def _part(self, family: Family, cycle: _Cycle, which: str, outer: Axis, inner: Axis) -> str:
        """Add one of the two sums of half the length, perhaps in halves again."""
        assert family.reduction is not None
        half = cycle.length // 2
        plain = self._folded(cycle.plain, cycle.at, which, half)
        turning: Expression = integer(cycle.shift)
        for sign, axis in zip(cycle.signs, (outer, inner), strict=True):
            turning = turning + axis if sign > 0 else turning - axis
        again = which == "sums" and half >= _SHORTEST and half % 2 == 0
        if again:
            turned = self._folded(cycle.turned, cycle.turned_at, which, half)
            subscript = apply("mod", turning, integer(half))
        else:  # the places that ± outer ± inner takes, one after the other
            least = -(half - 1) * sum(sign < 0 for sign in cycle.signs)
            turned = self._unrolled(cycle.turned, cycle.turned_at, which, cycle.length, least + cycle.shift)
            subscript = linear(turning - integer(least + cycle.shift)).expression()
        factors = [
            Load(plain, _with(cycle.plain.subscripts, cycle.at, inner)),
            Load(turned, _with(cycle.turned.subscripts, cycle.turned_at, subscript)),
        ]
        if cycle.turned == addends(family.body)[0][1][0]:
            factors.reverse()
        part = Family(
            f"{family.name} of {which}",
            tuple(outer if a == cycle.outer else a for a in family.axes),
            apply("*", *factors),
            Reduction(
                "sum",
                tuple(inner if a == cycle.inner else a for a in family.reduction.axes),
                family.reduction.where,
            ),
            "term",
            family.of,
            family.span,
        )
        found = _cycle(part, self.graph) if again else None
        if found is None:
            self.graph.add(part)
        else:
            self.halve(part, found)
        return part.name

    def _folded(self, load: Load, place: int, which: str, half: int) -> str:
        """array[m] ± array[m + half] for m < half."""
        key = (load.array, place, which, 0, half)
        if key not in self.known:
            axes = self._axes(load.array, place, half)
            here, there = Load(load.array, axes), Load(load.array, _with(axes, place, axes[place] + half))
            self._add(key, axes, here + there if which == "sums" else here - there)
        return self.known[key]

    def _unrolled(self, load: Load, place: int, which: str, length: int, first: int) -> str:
        """array[m mod length] ± array[(m + length/2) mod length] for the length − 1 places m from `first` on."""
        key = (load.array, place, which, first, length - 1)
        if key not in self.known:
            axes = self._axes(load.array, place, length - 1)

            def at(distance: int) -> Expression:
                turned = apply("mod", axes[place] + (first + distance) % length, integer(length))
                return Load(load.array, _with(axes, place, turned))

            here, there = at(0), at(length // 2)
            self._add(key, axes, here + there if which == "sums" else here - there)
        return self.known[key]

    def _axes(self, array: str, place: int, extent: int) -> tuple[Axis, ...]:
        extents = list(self.graph.extents_of(array))
        extents[place] = extent
        return tuple(BATCH if e is None else new_axis(f"i{n}", e) for n, e in enumerate(extents))

    def _add(self, key: tuple[str, int, str, int, int], axes: tuple[Axis, ...], body: Expression) -> None:
        name = self.known[key] = f"{key[0]} {key[2]} {len(self.known) + 1}"
        self.graph.add(Family(name, axes, body, role="term"))


def _with(subscripts: tuple[Expression, ...], place: int, subscript: Expression) -> tuple[Expression, ...]:
    return (*subscripts[:place], subscript, *subscripts[place + 1 :])
