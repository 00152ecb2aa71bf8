"""Subscripted expressions: arrays, blocks' results, tables.

In: `image[2*y + v - 2, 2*x + u - 2 else -1]`, `dense(image)[j]`, `[0, 1, 0, 0][gate]`.  Out: an access.

`..` among the subscripts stands for the indices that `..` is bound to here. Whether a subscript stays in range is
proved when all sizes are known (emit.py).
"""

from __future__ import annotations

from dataclasses import replace

from .. import syntax
from ..mathematics.expression import Expression
from ..source import Span
from . import messages
from .calls import Calls
from .context import Context
from .names import CALLABLES, mark_used
from .operators import described
from .scope import DrawBinding, IndexSet, MapBinding
from .targets import Target
from .terms import POISON, Poison


class Subscripts(Calls):
    """How subscripts are read. Part of `Evaluator`."""

    def subscript(self, node: syntax.Subscript, ctx: Context) -> Expression:
        base = node.base
        match base:
            case syntax.ArrayLiteral() | syntax.TableFile():
                # A list in a map prints as the map: plane(f div 4, c).
                maps = (d.name for d, _ in reversed(ctx.active) if isinstance(d, syntax.MapDeclaration))
                table = self.table_of(base, ctx, next(maps, "table"))
                subscripts = self.subscripts(node, ctx)
                if table is None or subscripts is None:
                    return POISON
                terms, places = subscripts
                return self.table_access(table, terms, self.otherwise(node, ctx), node.span, places, ctx)
            case syntax.Name():
                target = self.subscripted_name(base, node, ctx)
            case syntax.Call() | syntax.BoundCall():
                target = self.materialise(base, replace(ctx, subscript=False), self.callee_home(base, ctx))
            case _:
                target = self.materialise(base, replace(ctx, subscript=False), (ctx.site, "array"))
        subscripts = self.subscripts(node, ctx)
        if target is None or subscripts is None:
            if target is not None:
                mark_used(target)
            return POISON
        if not self.has_axes(target, ctx, base.span):
            return POISON
        terms, places = subscripts
        if len(terms) != target.rank:
            mark_used(target)
            messages.wrong_number_of_subscripts(self, ctx, target, len(terms), node.span)
            return POISON
        return self.access(target, terms, self.otherwise(node, ctx), node.span, places, ctx)

    def subscripted_name(self, base: syntax.Name, node: syntax.Subscript, ctx: Context) -> Target | None:
        binding = self.lookup(base, replace(ctx, subscript=False))
        if binding is None or isinstance(binding, Poison):
            return None
        if isinstance(binding, Target):
            return binding
        name = base.name
        if isinstance(binding, MapBinding):
            inner = node.span.text[node.span.text.find("[") + 1 : -1] if node.span.text.endswith("]") else "…"
            self.error(
                ctx,
                "E206",
                f"'{name}' is a map",
                node.span,
                help=f"a map takes round brackets: {name}({inner})",
            )
        elif isinstance(binding, CALLABLES) and not isinstance(binding, DrawBinding):
            self.error(
                ctx,
                "E206",
                f"'{name}' is not an array: it needs arguments",
                node.span,
                help=f"write {name}(…)",
            )
        elif isinstance(binding, IndexSet):
            self.error(ctx, "E206", f"'{name}' is an index set, not an array", base.span)
        elif isinstance(binding, Expression):
            self.error(
                ctx,
                "E206",
                f"'{name}' is {described(binding)}, not an array",
                base.span,
                help="write it without subscripts",
            )
        else:
            self.error(ctx, "E206", f"'{name}' is not an array", base.span)
        return None

    def subscripts(
        self, node: syntax.Subscript, ctx: Context
    ) -> tuple[tuple[Expression, ...], tuple[Span, ...]] | None:
        """The subscripts as integers, with `..` written out, and where each stands; None after a message."""
        terms: list[Expression] = []
        places: list[Span] = []
        failed = False
        inner = replace(ctx, subscript=True)
        for part in node.subscripts:
            if isinstance(part, syntax.Ellipsis):
                if ctx.ellipsis is None:
                    self.misplaced_ellipsis(part, ctx)
                    failed = True
                    continue
                terms.extend(ctx.ellipsis)
                places.extend([part.span] * len(ctx.ellipsis))
                continue
            term = self.evaluate(part, inner)
            if isinstance(term, Poison):
                failed = True
            elif term.type != "integer":
                self.error(
                    ctx,
                    "E207",
                    "a subscript must be a whole number",
                    part.span,
                    f"this is {described(term)}",
                    help="divide whole numbers with div" if "/" in part.span.text else "",
                )
                failed = True
            terms.append(term)
            places.append(part.span)
        return None if failed else (tuple(terms), tuple(places))

    def misplaced_ellipsis(self, node: syntax.Node, ctx: Context) -> None:
        self.error(
            ctx,
            "E209",
            "'..' stands for nothing here",
            node.span,
            help="it is bound by a declaration with leading axes, let y[.., j] = …, or by a reduction, average[batch, ..] …",
        )

    def otherwise(self, node: syntax.Subscript, ctx: Context) -> Expression | None:
        if node.otherwise is None:
            return None
        return self.evaluate(node.otherwise, replace(ctx, subscript=False))
