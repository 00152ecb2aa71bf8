"""First values of weights and states, and the conditions under which entries of a weight exist.

In: `weight w[N, M] ~ uniform(-2.4, 2.4) / sqrt(fan_in) where abs(i - j) <= 2`.  Out: a term over the weight's own indices.

The condition's names are those of the axes, `w[i: N, j: M]`; where axes have no names, its free names in order of appearance
are theirs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .. import syntax
from . import messages
from .context import Context, Positions
from .declare import Declarer
from .operators import truth
from .scope import Binding, DrawBinding, IndexSet
from .targets import Instance, Site, Slot
from .terms import Access, Draw, Reduce, is_poison, own_postorder, to_real

NAN = float("nan")
DRAWS: dict[str, Binding] = {
    "normal": DrawBinding("normal", ("mean", "deviation"), (0.0, 1.0)),
    "uniform": DrawBinding("uniform", ("low", "high"), (NAN, NAN)),
    "glorot": DrawBinding("glorot"),
    "he": DrawBinding("he"),
    "orthogonal": DrawBinding("orthogonal", ("gain",), (1.0,)),
    "identity": DrawBinding("identity", ("scale",), (1.0,)),
}


class Weights(Declarer):
    """How initializers are read. Part of `Resolver`."""

    def body_context(self, instance: Instance, moment: int = 0) -> Context:
        site = instance.site or Site("", instance)
        return Context(
            instance.scope,
            site,
            Positions([]),
            instance,
            None,
            instance.group,
            moment,
            calls=instance.calls,
            active=instance.active,
        )

    def resolve_slot(self, slot: Slot, d: Any, instance: Instance, moment: int) -> None:
        """The initializer of a weight or state, and a weight's condition."""
        ctx = self.body_context(instance, moment)
        names = self.axis_names(slot, d, instance)
        if isinstance(d, syntax.WeightDeclaration) and d.where is not None:
            found = self.condition_names(slot, d, ctx, names)
            if found is not None:
                names = found
                inner = replace(ctx, scope=instance.scope.inner(names))
                condition = truth(
                    self.evaluate(d.where, self.scalar_context(inner, "the condition")),
                    d.where.span,
                    self.complain(ctx),
                )
                if not is_poison(condition):
                    slot.where = condition
        positions = Positions(list(slot.indices), slot.label, slot.span, list(slot.axis_spans))
        initial = d.initializer if isinstance(d, syntax.WeightDeclaration) else d.initial
        if initial is None:
            if slot.file is None:
                slot.initial = self.draw(DRAWS["glorot"], [], d.span, ctx)  # type: ignore[arg-type]
            return
        drawn = isinstance(d, syntax.WeightDeclaration)
        scope = instance.scope.inner({**(DRAWS if drawn else {}), **names})
        if slot.fan_in is not None and slot.fan_out is not None:
            scope.names.setdefault("fan_in", slot.fan_in)
            scope.names.setdefault("fan_out", slot.fan_out)
        value = self.evaluate(initial, replace(ctx, scope=scope, positions=positions))
        if is_poison(value):
            return
        nodes = own_postorder(value)
        if bad := next((n for n in nodes if isinstance(n, Access | Reduce | Draw)), None):
            self.error(ctx, "E219", "an initializer is made of numbers, indices and draws", bad.span)
            return
        has_draw = any(getattr(n, "function", "").startswith("draw ") for n in nodes)
        if drawn and has_draw != d.drawn:
            sign, other = ("~", "=") if d.drawn else ("=", "~")
            reason = "nothing is drawn" if d.drawn else "this is drawn"
            self.error(
                ctx,
                "E219",
                f"'{sign}' begins {'a random draw' if d.drawn else 'a fixed value'}, and {reason} here",
                initial.span,
                help=f"write {other} {initial.span.text}",
            )
            return
        slot.initial = to_real(value)

    def axis_names(self, slot: Slot, d: Any, instance: Instance) -> dict[str, Binding]:
        """The names that a declaration gives to the axes of an array: written ones, and those of index sets."""
        named = len(d.axes) == len(slot.indices)
        return {
            index.name: index
            for axis, index in zip(d.axes, slot.indices, strict=False)
            if named and (axis.name is not None or isinstance(instance.scope.find(index.name), IndexSet))
        }

    def condition_names(
        self, slot: Slot, d: syntax.WeightDeclaration, ctx: Context, names: dict[str, Binding]
    ) -> dict[str, Binding] | None:
        """Names for the axes of a weight in its condition: written ones, else the condition's own free names in order."""
        assert d.where is not None
        free = [n for n in mentions(d.where) if ctx.scope.find(n) is None and n not in names]
        if not free:
            return names
        if len(free) != len(slot.indices):
            wish = ", ".join(
                f"{free[n] if n < len(free) else 'ijklmn'[n % 6]}: {a.span.text}"
                for n, a in enumerate(d.axes)
            )
            self.error(
                ctx,
                "E202",
                f"'{slot.label}' has {messages.counted(len(slot.indices), 'axis')}, and the condition names "
                f"{messages.counted(len(free), 'index')}: {', '.join(free)}",
                d.where.span,
                help=f"name the axes: {slot.label}[{wish}]",
            )
            return None
        return dict(zip(free, slot.indices, strict=True))


def mentions(*roots: Any) -> list[str]:
    """The names in an expression, in order of appearance; of a dotted name its first part."""
    found: dict[str, None] = {}
    stack: list[Any] = list(reversed(roots))
    while stack:
        node = stack.pop()
        if isinstance(node, tuple):
            stack.extend(reversed(node))
        elif isinstance(node, syntax.Node):
            if isinstance(node, syntax.Name):
                found[node.name.split(".", 1)[0]] = None
            elif isinstance(node, syntax.Call | syntax.BoundCall):
                found[node.function] = None
            stack.extend(
                v
                for k, v in reversed(list(vars(node).items()))
                if k != "span" and isinstance(v, tuple | syntax.Node)
            )
    return list(found)
