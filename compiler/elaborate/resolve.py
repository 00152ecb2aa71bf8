"""Bodies: the expressions of a file's or a block's declarations, each read when what it needs is known.

In: an instance with its scope and statements.  Out: units with bodies, weights with initializers; nested blocks queued.

Families may be declared in any order. One without written axes is read after those that it mentions, so that its axes
follow from its expression; recurrences need their axes written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .. import syntax
from ..mathematics.expression import Expression
from ..record import record
from ..source import Note, did_you_mean
from .context import Context, Positions
from .declare import heading
from .scope import Scope
from .targets import Instance, Site, Slot, Unit
from .terms import POISON, Access, Index, Reduce, contains_poison, is_poison, own_postorder, to_real
from .weights import Weights, mentions


@record(frozen=False)
class Work:
    """A declaration whose expression is to be read, and the names that it mentions."""

    moment: int
    declaration: Any
    target: Unit | Slot
    mentions: tuple[str, ...] = ()


class Resolver(Weights):
    """Reads the bodies of one elaboration."""

    # ------------------------------------------------------------------------------------------- declare

    def declare_body(self, instance: Instance, ctx: Context) -> None:
        """The names of a block's body."""
        scope = instance.scope
        ctx = self.body_context(instance)
        self.declare_definitions(instance.declarations, scope, ctx)
        instance.work = self.declare_arrays(instance, ctx)
        for name, binding in scope.names.items():
            if isinstance(binding, Unit) and binding.is_result(instance) and name not in scope.spans:
                self.error(
                    replace(ctx, calls=()),
                    "E220",
                    f"the block '{instance.block}' never defines its result '{name}'",
                    binding.span,
                    help=f"add let {binding.span.text} = …",
                )
                binding.poisoned = True

    def declare_arrays(self, instance: Instance, ctx: Context) -> list[Work]:
        """Params, arrays and families of a body; what is to be read of them."""
        scope: Scope = instance.scope
        work: list[Work] = []
        declarations = list(enumerate(instance.declarations))
        for _, d in declarations:
            if isinstance(d, syntax.ParameterDeclaration) and d.name not in scope.names:
                value = self.static_value(d.value, replace(ctx, scope=scope))
                self.introduce(scope, d.name, value, heading(d), ctx)
        for moment, d in declarations:
            match d:
                case syntax.InputDeclaration() if instance.site is None:
                    self.declare_input(d, scope, instance, ctx)
                case syntax.WeightDeclaration():
                    self.declare_weight(d, scope, instance, ctx)
                    if isinstance(slot := scope.names.get(d.name), Slot):
                        work.append(Work(moment, d, slot))
                case syntax.StateDeclaration():
                    self.declare_state(d, scope, instance, ctx)
                    if isinstance(slot := scope.names.get(d.name), Slot):
                        work.append(Work(moment, d, slot))
        for moment, d in declarations:
            if isinstance(d, syntax.FamilyDeclaration):
                unit = self.declare_family(d, scope, instance, ctx)
                work.append(Work(moment, d, unit, tuple(mentions(d.body))))
            elif isinstance(d, syntax.UpdateDeclaration):
                update = self.declare_update(d, moment, scope, instance, ctx)
                if update is not None:
                    work.append(Work(moment, d, update, tuple(mentions(d.value))))
        return work

    def declare_update(
        self, d: syntax.UpdateDeclaration, moment: int, scope: Scope, instance: Instance, ctx: Context
    ) -> Unit | None:
        slot = scope.names.get(d.name)
        if not isinstance(slot, Slot) or slot.kind not in ("state", "weight"):
            states = [n for n, b in scope.names.items() if isinstance(b, Slot) and b.kind == "state"]
            what = "is not a state" if slot is not None else "is not declared"
            self.error(
                ctx,
                "E220",
                f"'{d.name}' {what}; only a state can be updated",
                heading(d),
                help=did_you_mean(d.name, states) or f"declare it: state {d.name} = 0",
            )
            return None
        unit = Unit(
            d.name,
            list(slot.sizes),
            span=heading(d),
            role="update",
            home=instance,
            suffix=f"{d.name}.next",
            of=slot,
        )
        axes = self.axes_of(d.axes, scope, instance, ctx)
        if axes is None or (d.axes and len(axes.indices) != slot.rank):
            if axes is not None:
                self.error(
                    ctx,
                    "E202",
                    f"'{d.name}' has {slot.rank} axes, but {len(axes.indices)} are given",
                    heading(d),
                    notes=[Note(slot.span, "declared here")],
                )
            unit.poisoned = True
        elif d.axes:
            for index, size in zip(axes.indices, slot.sizes, strict=True):
                self.candidate(index, size, index.span, f"from '{d.name}'", ctx)
            sizes = unit.sizes
            self.set_axes(unit, axes)
            unit.sizes = sizes
        else:
            unit.indices = [Index(f"i{n + 1}", size, d.span) for n, size in enumerate(slot.sizes)]
            unit.axis_spans = [slot.span] * slot.rank
        unit.site = Site(f"{d.name}.next", instance, d.span)
        instance.sites.append(unit.site)
        slot.updates.append((moment, unit))
        self.units.append(unit)
        return unit

    def static_value(self, node: syntax.Expression, ctx: Context) -> Expression:
        """The value of a param: a number that is known when compiled."""
        term = self.evaluate(node, self.scalar_context(ctx, "a param"))
        if contains_poison(term):
            return POISON
        for part in own_postorder(term):
            if isinstance(part, Access | Index | Reduce):
                self.error(
                    ctx,
                    "E308",
                    "a param must be known when compiled",
                    node.span,
                    help="it is made of numbers and other params",
                )
                return POISON
        return self.sizes.reduced(term)

    # ------------------------------------------------------------------------------------------- resolve

    def resolve_body(self, instance: Instance, drain: bool = False) -> None:
        """Read the expressions of a body. `drain`: finish the blocks that a declaration uses before the next is read."""
        for work in in_order(instance.work):
            match work.target:
                case Slot():
                    self.resolve_slot(work.target, work.declaration, instance, work.moment)
                case Unit(role="update"):
                    self.resolve_unit(work.target, work.declaration.value, instance, work.moment)
                case Unit():
                    self.resolve_unit(work.target, work.declaration.body, instance, work.moment)
            if drain:
                self.drain()

    def drain(self) -> None:
        """Read the bodies of all blocks that wait, and of those that they use."""
        while self.queue:
            self.resolve_body(self.queue.popleft())

    def resolve_unit(
        self, unit: Unit, node: syntax.Expression, instance: Instance, moment: int, purpose: str = "array"
    ) -> None:
        """Read a family's expression."""
        if unit.poisoned:
            return
        positions = Positions(
            None if unit.open else unit.indices,
            unit.shown or unit.label,
            unit.span,
            list(unit.axis_spans),
            purpose,
        )
        assert unit.site is not None
        ctx = Context(
            instance.scope.inner(dict(unit.names)),
            unit.site,
            positions,
            instance,
            unit.ellipsis,
            instance.group,
            moment,
            calls=instance.calls,
            active=instance.active,
        )
        body = self.evaluate(node, ctx)
        if is_poison(body):
            unit.poisoned = True
            return
        if unit.open:
            unit.indices = positions.indices or []
            unit.sizes = [i.size for i in unit.indices]
            unit.axis_spans = [unit.span] * len(unit.indices)
            unit.open = False
        whole = body.type == "integer" and unit.role in ("let", "layer") and not unit.is_result(instance)
        if whole and any(isinstance(n, Access | Reduce) for n in own_postorder(body)):
            unit.type = "integer"
            unit.body = body
        else:
            unit.body = to_real(body)


def in_order(work: Sequence[Work]) -> list[Work]:
    """Declarations with those that a family without axes mentions before it; otherwise as written."""
    by_name = {w.target.label: w for w in work if isinstance(w.target, Unit) and w.target.role != "update"}
    done: list[Work] = []
    state: dict[int, bool] = {}
    for root in work:
        stack: list[tuple[Work, bool]] = [(root, False)]
        while stack:
            item, ready = stack.pop()
            if ready:
                if not state[id(item)]:
                    state[id(item)] = True
                    done.append(item)
                continue
            if id(item) in state:
                continue
            state[id(item)] = False
            stack.append((item, True))
            needed = [by_name[n] for n in reversed(item.mentions) if n in by_name]
            stack.extend((n, False) for n in needed if id(n) not in state)
    return done
