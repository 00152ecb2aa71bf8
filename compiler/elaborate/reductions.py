"""Reductions: Σ, average, max, min, product, arg-max, arg-min.

In: `sum[i, j: 5 where i <= j] w[i, j] * x[i]`, `average[batch, ..] (y - t)^2`.  Out: a `Reduce` term.

An index without an extent learns it from what it subscripts. `..` runs over the leading axes of the block or function;
outside of one, over all axes of the whole arrays in the body.
"""

from __future__ import annotations

from dataclasses import replace

from .. import syntax
from ..mathematics.expression import TRUE, Expression, integer
from ..source import Note
from .context import Context, Positions
from .operators import truth
from .scope import Binding, IndexSet
from .subscripts import Subscripts
from .terms import POISON, Around, Index, Reduce, is_poison, to_real


class Reductions(Subscripts):
    """How reductions are read. Part of `Evaluator`."""

    def reduction(self, node: syntax.Reduction, ctx: Context) -> Expression:
        indices: list[Index] = []
        names: dict[str, Binding] = {}
        batch = open_ellipsis = failed = False
        inner = ctx
        for binder in node.binders:
            if binder.name == "batch":
                batch = True
                if node.kind not in ("sum", "average"):
                    self.error(
                        ctx,
                        "E216",
                        f"'{node.kind}' cannot run over the batch",
                        binder.span,
                        help="only sum[batch] and average[batch] do",
                    )
                    failed = True
            elif binder.name == "..":
                if ctx.group is None:
                    open_ellipsis = True
                    inner = replace(inner, positions=Positions(None))
                    continue
                group = tuple(Index(f"{binder.name}", size, binder.span) for size in ctx.group)
                group = self.named_group(group, ctx)
                inner = replace(inner, ellipsis=group)
                indices.extend(group)
            else:
                index = self.bind(binder, names, ctx)
                if index is None:
                    failed = True
                else:
                    indices.append(index)
        around = Around(indices, batch)
        inner = replace(inner, scope=ctx.scope.inner(names), subscript=False, around=(*ctx.around, around))
        where: Expression = TRUE
        if node.where is not None:
            where = truth(self.evaluate(node.where, inner), node.where.span, self.complain(ctx))
        body = self.evaluate(node.body, inner)
        if open_ellipsis:
            found = inner.positions.indices
            if found is None and not is_poison(body):
                self.misplaced_ellipsis(next(b for b in node.binders if b.name == ".."), ctx)
                return POISON
            indices.extend(found or [])
        if failed or is_poison(body, where):
            return POISON
        if not indices and not batch and not node.kind.startswith("arg"):
            return to_real(body)  # `..` stands for no axes
        return Reduce(node.kind, tuple(indices), batch, where, to_real(body), node.span, ctx.calls)

    def bind(self, binder: syntax.Binder, names: dict[str, Binding], ctx: Context) -> Index | None:
        """The index of a binder, entered into `names`; None after a message."""
        name = binder.name
        outer = ctx.scope.find(name)
        bound = names.get(name) or (outer if isinstance(outer, Index) else None)
        if bound is not None:
            assert isinstance(bound, Index)
            self.error(
                ctx,
                "E208",
                f"the index '{name}' is bound already",
                binder.span,
                "bound again here",
                [Note(bound.span, "first here")],
                "give one of them another name",
            )
            return None
        if binder.extent is not None:
            size = self.extent(binder.extent, ctx)
            if is_poison(size):
                names[name] = POISON
                return None
            index = Index(name, size, binder.span)
        elif isinstance(outer, IndexSet):
            index = Index(name, integer(len(outer.values)), binder.span)
        else:
            index = self.inferred_index(name, binder.span)
        names[name] = index
        return index

    def named_group(self, group: tuple[Index, ...], ctx: Context) -> tuple[Index, ...]:
        """Leading axes get letters that no index in reach has."""
        for number, index in enumerate(group):
            index.name = f"l{number + 1}" if len(group) > 1 else "l"
        return group
