"""Terms to graph: axes get their extents, reductions become families, accesses become loads with their conditions.

In: units whose sizes are solved.  Out: the families of a `Graph`.

    relu(b[j] + Reduce("sum", (i,), w[i, j] * x[i]))
    →  hidden.sum[j] = Σ[i] w[i, j] · x[batch, i]          a term
       hidden[j]     = max(b[j] + hidden.sum[j], 0)

Rule 2: a weight subscript that may leave the weight's extents is a condition of the nearest reduction (the index point has
no connection there); outside of reductions the product that it stands in is 0.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..mathematics.affine import bounds
from ..mathematics.expression import BATCH, Apply, Constant, Expression, apply, integer, select
from ..mathematics.graph import Family
from ..mathematics.walks import axes_in, conjuncts
from .lifting import Lifting
from .ranges import opposite
from .scene import Abandon, Scene, Steps, existing
from .targets import Unit
from .terms import Access, Draw, Index, Poison, Reduce, SizeVariable, TableAccess

#: Through these a missing connection makes the whole product 0.
_PRODUCT = frozenset({"*", "/", "neg", "real"})


class Emitter(Lifting):
    """Builds the families of one graph."""

    def unit(self, unit: Unit) -> None:
        """Add the families of a unit. Raises Abandon after a message."""
        assert unit.body is not None
        own = [self.axis(i) for i in unit.indices]
        self.check_memory(unit, [a.size for a in own])
        axes = (BATCH, *own) if unit.batched else tuple(own)
        scene = Scene(unit.name, axes, instance=unit.block)
        self.own_axes = axes
        of = unit.of.name if unit.of is not None else ""
        body = unit.body
        if isinstance(body, Reduce) and body.kind != "average":
            reduction, term = self.reduced(body, scene)
            if set(axes) <= set(axes_in(term, *reduction.where)):
                self.graph.add(Family(unit.name, axes, term, reduction, unit.role, of, unit.span))
                return
            value: Expression = self.lifted(body, reduction, term, scene)
        else:
            value, conditions = self.build(body, scene)
            value = self.whole(unit, value, conditions)
        if unit.type == "real" and value.type != "real":
            value = apply("real", value)
        self.graph.add(Family(unit.name, axes, value, None, unit.role, of, unit.span))

    def whole(self, unit: Unit, value: Expression, conditions: Sequence[Expression]) -> Expression:
        """The value of a unit where its connections exist, and where no mask hides it; else 0."""
        masks = tuple(c for c in conditions if c in self.masks)
        value = existing(existing(value, [c for c in conditions if c not in self.masks]), masks)
        if masks:
            self.masked_units[unit] = masks
        return value

    def steps(self, term: Expression, scene: Scene) -> Steps:
        match term:
            case Constant():
                return term, ()
            case Index():
                return self.axis(term), ()
            case SizeVariable():
                return integer(self.known_size(term, term.span, f"the size '{term.name}'")), ()
            case Access():
                return (yield from self.access(term, scene))
            case TableAccess():
                return (yield from self.table(term, scene))
            case Draw():
                return self.drawn(term, scene), ()
            case Reduce(kind="average"):
                return self.average(term, scene), ()
            case Reduce():
                reduction, body = self.reduced(term, scene)
                return self.lifted(term, reduction, body, scene), ()
            case Apply(function="select"):
                return (yield from self.conditional(term, scene))
            case Apply():
                return (yield from self.application(term, scene))
            case Poison():
                raise Abandon
        raise AssertionError(type(term))

    def application(self, term: Apply, scene: Scene) -> Steps:
        parts: list[Expression] = []
        conditions: dict[Expression, None] = {}
        product = term.function in _PRODUCT
        for argument in term.arguments:
            part, own = yield argument, scene
            if not (scene.reducing or product):
                part = existing(part, [c for c in own if c not in self.masks])
                own = tuple(c for c in own if c in self.masks)
            conditions.update(dict.fromkeys(own))
            parts.append(part)
        if term.function.startswith("draw "):
            return Apply(term.function, tuple(parts), "real"), tuple(conditions)
        value = apply(term.function, *parts)
        if term.function in ("div", "mod"):
            value = self.folded(value)
        return value, tuple(conditions)

    def folded(self, value: Expression) -> Expression:
        """A quotient or rest that has one value only, or changes nothing."""
        ends = bounds(value, self.graph)
        if ends is not None and ends[0] == ends[1]:
            return integer(ends[0])
        if isinstance(value, Apply) and value.function == "mod" and isinstance(value.arguments[1], Constant):
            inner = bounds(value.arguments[0], self.graph)
            if inner is not None and inner[0] >= 0 and inner[1] < value.arguments[1].value:
                return value.arguments[0]
        return value

    def conditional(self, term: Apply, scene: Scene) -> Steps:
        condition, first = yield term.arguments[0], scene
        yes, no = list(conjuncts(condition)), [opposite(condition)]
        then, second = yield term.arguments[1], scene.within(yes, self.graph)
        otherwise, third = yield term.arguments[2], scene.within(no, self.graph)
        masks = tuple(dict.fromkeys(c for c in (*first, *second, *third) if c in self.masks))
        first, second, third = (tuple(c for c in cs if c not in self.masks) for cs in (first, second, third))
        if not scene.reducing:
            return select(
                existing(condition, first), existing(then, second), existing(otherwise, third)
            ), masks
        inverse = apply("not", condition)
        conditions = [
            *first,
            *(apply("or", inverse, c) for c in second),
            *(apply("or", condition, c) for c in third),
            *masks,
        ]
        return select(condition, then, otherwise), tuple(conditions)
