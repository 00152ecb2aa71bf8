"""Arguments: which goes to which parameter, arrays made of expressions, extents bound by signatures.

In: the arguments of a call, and a signature such as `dense(x[.., N]) -> y[.., M]`.  Out: bindings for its names.

An argument that is not a plain array becomes a family of its own. Where it depends on indices of its surroundings (as in
`softmax[s](e[t, s])`, for every t), it is an array with these indices first, seen through a `View`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .. import syntax
from ..mathematics.expression import Expression
from ..source import Span, did_you_mean
from . import messages
from .context import Context, Positions
from .names import CALLABLES
from .scope import Binding, BlockBinding, DrawBinding
from .signatures import Signature, Signatures
from .targets import Target, Unit, View
from .terms import (
    POISON,
    Access,
    Index,
    Reduce,
    contains_poison,
    free_indices,
    is_poison,
    own_postorder,
    to_real,
)

Home = tuple  # (Site | Instance, suffix)


class Arguments(Signatures):
    """How arguments are bound. Part of `Evaluator`."""

    def assign(
        self, signature: Signature, node: syntax.Call | syntax.BoundCall, ctx: Context
    ) -> dict[str, syntax.Expression] | None:
        """Parameter (or extent) name → argument; None after a message."""
        named = node.named if isinstance(node, syntax.Call) else ()
        given: dict[str, syntax.Expression] = {}
        names = [p.name for p in signature.parameters]
        ok = True
        title = f"'{signature.name}'"
        usage = f"{signature.name}({', '.join(_shown(p) for p in signature.parameters)})"
        if len(node.arguments) > len(names):
            extra = node.arguments[len(names)]
            self.error(
                ctx,
                "E205",
                f"{title} takes {messages.counted(len(names), 'argument')}, but {messages.are_given(len(node.arguments))}",
                extra.span,
                help=f"it is called as {usage}",
            )
            ok = False
        for name, value in zip(names, node.arguments, strict=False):
            given[name] = value
        allowed = names + [n for n in signature.extent_names if n not in names]
        for name, value in named:
            if name not in allowed:
                help = did_you_mean(name, allowed) or f"it is called as {usage}"
                self.error(ctx, "E205", f"{title} has no parameter '{name}'", value.span, help=help)
                ok = False
            elif name in given:
                self.error(ctx, "E205", f"the argument '{name}' of {title} is given twice", value.span)
                ok = False
            else:
                given[name] = value
        missing = [p.name for p in signature.parameters if p.name not in given and p.default is None]
        if missing and ok:
            listed = " and ".join(f"'{m}'" for m in missing)
            self.error(
                ctx,
                "E205",
                f"{title} lacks its argument {listed}"
                if len(missing) == 1
                else f"{title} lacks its arguments {listed}",
                node.span,
                help=f"it is called as {usage}",
            )
            ok = False
        return given if ok else None

    def block_result(self, node: syntax.Call, ctx: Context) -> Target | None:
        raise NotImplementedError

    # -------------------------------------------------------------------------------------------- arrays

    def callee_home(self, node: syntax.Expression, ctx: Context) -> Home:
        return ctx.site, getattr(node, "function", "array")

    def materialise(self, node: syntax.Expression, ctx: Context, home: Home) -> Target | None:
        """The array that an expression stands for: a declared one, a block's result, or a new family; None after a message."""
        if isinstance(node, syntax.Name):
            binding = self.lookup(node, ctx)
            if isinstance(binding, Target):
                return binding if self.has_axes(binding, ctx, node.span) else None
            if binding is None:
                return None
        elif isinstance(node, syntax.Call) and isinstance(ctx.scope.find(node.function), BlockBinding):
            return self.block_result(node, ctx)
        positions = Positions(None, name="the argument", span=node.span, declared=False)
        term = self.evaluate(node, replace(ctx, positions=positions, subscript=False))
        return self.family_of(term, positions.indices or [], node.span, home)

    def family_of(self, term: Expression, indices: list[Index], span: Span, home: Home) -> Target | None:
        """A new family that holds a term over its own indices, or a view of it where it depends on outer ones."""
        if contains_poison(term):
            return None
        text = " ".join(span.text.split())
        captured = [i for i in free_indices(term) if i not in indices]
        unit = Unit(
            label=text if len(text) <= 40 else text[:37] + "…",
            sizes=[i.size for i in (*captured, *indices)],
            type="integer" if term.type == "integer" and _loads(term) else "real",
            span=span,
            role="let",
            home=home[0],
            suffix=home[1],
            indices=[*captured, *indices],
        )
        unit.body = term if unit.type == "integer" else to_real(term)
        self.units.append(unit)
        if not captured:
            return unit
        return View(unit.label, [i.size for i in indices], unit.type, span, base=unit, prefix=tuple(captured))

    def aligned(self, targets: Sequence[Target], home: Home) -> tuple[list[Index], list[Target]]:
        """Arguments that depend on outer indices, all with the same ones first; and these indices."""
        outer: list[Index] = []
        for target in targets:
            if isinstance(target, View):
                outer += [i for i in target.prefix if i not in outer]  # type: ignore[misc]
        if not outer:
            return outer, list(targets)
        result: list[Target] = []
        for target in targets:
            if isinstance(target, View) and list(target.prefix) == outer:
                result.append(target.base)
                continue
            rest = [Index(f"i{n + 1}", size, target.span) for n, size in enumerate(target.sizes)]
            body = Access(target, tuple(rest), None, target.span, (), (), target.type)
            unit = Unit(
                target.label,
                [i.size for i in (*outer, *rest)],
                target.type,
                target.span,
                home=home[0],
                suffix=home[1],
                indices=[*outer, *rest],
                body=body,
            )
            self.units.append(unit)
            result.append(unit)
        return outer, result

    # ------------------------------------------------------------------------------------------- scalars

    def scalar_argument(self, node: syntax.Expression, ctx: Context, purpose: str, closed: bool) -> Binding:
        """A number, an extent or a function. `closed`: it may not depend on the indices around the call."""
        if isinstance(node, syntax.Name):
            binding = ctx.scope.find(node.name)
            if isinstance(binding, CALLABLES) and not isinstance(binding, DrawBinding):
                return binding
        if not closed:
            return self.evaluate(node, replace(ctx, subscript=False))
        term = self.evaluate(node, replace(self.scalar_context(ctx, purpose), subscript=False))
        if not is_poison(term) and (depends := free_indices(term)):
            self.error(
                ctx,
                "E207",
                f"{purpose} must be one number, but it depends on the index '{depends[0].name}'",
                node.span,
            )
            return POISON
        return term


def _shown(parameter: syntax.BlockParameter) -> str:
    return parameter.span.text or parameter.name


def _loads(term: Expression) -> bool:
    return any(isinstance(n, Access | Reduce) for n in own_postorder(term))
