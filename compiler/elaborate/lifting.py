"""Reductions become families of their own.

In: `Reduce` terms.  Out: `Family`s with the role 'term', and loads of them; averages as a sum over a count.

    relu(b[j] + Σ[i] …)   →   hidden.sum[j] = Σ[i] …   and   hidden[j] = max(b[j] + hidden.sum[j], 0)

A lifted family has only the axes that its body depends on. It is computed everywhere, also where an `if` around it would not
need it: what that `if` guarantees and a proof inside needs is added to its conditions.
"""

from __future__ import annotations

from ..mathematics.affine import proves
from ..mathematics.draws import standard_draw
from ..mathematics.expression import BATCH, FALSE, Axis, Expression, Load, apply, real
from ..mathematics.graph import Family, Reduction
from ..mathematics.walks import axes_in, conjuncts, own_postorder
from .accesses import Accesses
from .scene import Abandon, Scene
from .terms import Draw, Index, Reduce


class Lifting(Accesses):
    """Builds reductions. Part of `Emitter`."""

    def reduced(self, term: Reduce, scene: Scene) -> tuple[Reduction, Expression]:
        """The reduction of a term and its body; connections that do not exist are among its conditions."""
        term = _merged(term)
        axes = [self.axis(i) for i in term.indices]
        if term.batch:
            axes.insert(0, BATCH)
        outer = frozenset(scene.facts)
        inner = Scene(scene.family, (*scene.axes, *axes), scene.facts, True, outer, instance=scene.instance)
        where, own = self.build(term.where, inner)
        explicit = conjuncts(where)
        body_scene = inner.within(explicit, self.graph)
        body, missing = self.build(term.body, body_scene)
        if body.type != "real":
            body = apply("real", body)
        conditions: dict[Expression, None] = {}
        for condition in (*explicit, *own, *missing, *(f.condition for f in inner.used)):
            holds = proves(condition, self.graph)
            if condition == FALSE or holds is False:
                self.report("E307", "no index satisfies the condition", term.span, calls=term.calls)
                raise Abandon
            if holds is not True:
                conditions[condition] = None
        for fact in inner.used:
            if fact in scene.outer:
                scene.used[fact] = None
        kind = "sum" if term.kind == "average" else term.kind
        return Reduction(kind, tuple(axes), tuple(conditions)), body

    def lifted(self, term: Reduce, reduction: Reduction, body: Expression, scene: Scene) -> Expression:
        """The reduction as a family of its own, with the axes that it depends on; a load of it."""
        axes = self.needed_axes(scene, reduction, body)
        name = self.graph.fresh_name(f"{scene.family}.{reduction.kind}")
        return self.graph.add(Family(name, axes, body, reduction, "term", scene.family, term.span))

    def needed_axes(self, scene: Scene, reduction: Reduction, *expressions: Expression) -> tuple[Axis, ...]:
        inside = set(axes_in(*expressions, *reduction.where)) - set(reduction.axes)
        order = (BATCH, *(a for a in scene.axes if a != BATCH))
        return tuple(a for a in dict.fromkeys(order) if a in inside)

    def drawn(self, term: Draw, scene: Scene) -> Load:
        """A random number as a family of its own, so that all that reads it sees the same; a load of it."""
        if term not in self.drawn_already:
            around = {self.axis(i) for a in term.around for i in a.indices}
            within = {*self.own_axes, *around, *([BATCH] if any(a.batch for a in term.around) else ())}
            axes = tuple(a for a in dict.fromkeys((BATCH, *scene.axes)) if a in within)
            name = self.graph.fresh_name(f"{scene.family}.{term.kind}")
            clocks = {n: self.clock(n) for n in ("random seed", "step", "first sample")}
            body = standard_draw(term.kind, name, axes, clocks)
            family = Family(name, axes, body, None, "term", scene.family, term.span)
            self.drawn_already[term] = self.graph.add(family)
        return self.drawn_already[term]

    def average(self, term: Reduce, scene: Scene) -> Expression:
        """Σ divided by the number of index points that take part."""
        reduction, body = self.reduced(term, scene)
        total = self.lifted(term, reduction, body, scene)
        if reduction.where:
            ones = real(1)
            axes = self.needed_axes(scene, reduction, ones)
            name = self.graph.fresh_name(f"{scene.family}.count")
            count: Expression = self.graph.add(
                Family(name, axes, ones, reduction, "term", scene.family, term.span)
            )
            return total / count
        number = 1
        for axis in reduction.axes:
            number *= axis.size if axis != BATCH else 1
        if BATCH in reduction.axes:
            return total / (apply("real", self.clock("batch_size")) * real(number))
        return total / real(number)


def _merged(term: Reduce) -> Reduce:
    """A sum of a sum as one sum, where the inner one depends on all indices of the outer."""
    while (
        isinstance(inner := term.body, Reduce)
        and inner.kind == term.kind
        and term.kind in ("sum", "max", "min", "product")
        and not term.batch
        and set(term.indices) <= _indices(inner)
    ):
        indices = (*term.indices, *inner.indices)
        where = apply("and", term.where, inner.where)
        term = Reduce(term.kind, indices, inner.batch, where, inner.body, term.span, term.calls)
    return term


def _indices(term: Expression) -> set[Expression]:
    return {n for n in own_postorder(term) if isinstance(n, Index)}
