"""Signatures of blocks and functions: the extents in them, and the arrays that are matched with them.

In: `dense(x[.., N]) -> y[.., M]`, and the array that stands for x.  Out: N and the extents of `..`; a variable for M.

A name in the place of a size is what the file says it is (a param, an index set, a parameter of the block); otherwise it is a
variable that unification finds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from .. import syntax
from ..mathematics.expression import Constant, Expression
from ..record import record
from ..source import Note, Span
from . import messages
from .context import Context
from .literals import Literals
from .scope import Binding, IndexSet, Scope
from .targets import Target
from .terms import POISON, Access, Index, Reduce, SizeVariable, contains_poison, is_poison, own_postorder


@record(frozen=False)
class Signature:
    """What a block or function declares, and where its body looks up names."""

    name: str
    kind: str
    parameters: tuple[syntax.BlockParameter, ...]
    results: tuple[syntax.BlockParameter, ...]
    scope: Scope
    span: Span

    @property
    def extent_names(self) -> list[str]:
        """Names of extents that the signature introduces: what may be given by name, dense(x, M = 32)."""
        own = {p.name for p in self.parameters}
        names: dict[str, None] = {}
        for p in (*self.parameters, *self.results):
            for axis in p.axes or ():
                if isinstance(axis.extent, syntax.Name) and axis.extent.name not in own:
                    names[axis.extent.name] = None
        return list(names)


class Signatures(Literals):
    """How sizes and signatures are read. Part of `Evaluator`."""

    def extent(self, node: syntax.Expression, ctx: Context) -> Expression:
        """A size: a whole number, known when compiled, made of numbers, parameters and other sizes."""
        term = self.evaluate(node, replace(self.scalar_context(ctx, "a size"), subscript=False))
        if contains_poison(term):
            return POISON
        for part in own_postorder(term):
            if isinstance(part, Access | Index | Reduce) or (part.type == "boolean" and part is term):
                self.error(
                    ctx,
                    "E308",
                    "a size must be known when compiled",
                    node.span,
                    help="sizes are made of numbers, params and other sizes",
                )
                return POISON
        return self.checked_size(self.sizes.reduced(term), node.span, ctx)

    def checked_size(self, size: Expression, span: Span, ctx: Context) -> Expression:
        """The size, where it is not already known to be impossible."""
        if isinstance(size, Constant):
            if size.type != "integer":
                self.error(
                    ctx,
                    "E302",
                    f"a size must be a whole number, and this is {size.value:g}",
                    span,
                    help="div divides whole numbers and rounds down",
                )
                return POISON
            if size.value < 1:
                self.error(ctx, "E302", f"a size must be at least 1, and this is {size.value:,}", span)
                return POISON
        return size

    def signature_axes(
        self, parameter: syntax.BlockParameter, names: dict[str, Binding], scope: Scope, ctx: Context
    ) -> list[tuple[syntax.AxisDeclaration, Expression | None]]:
        """The axes of a parameter or result with their sizes; a name that nothing declares becomes a variable. None: `..`."""
        out: list[tuple[syntax.AxisDeclaration, Expression | None]] = []
        for axis in parameter.axes or ():
            if axis.ellipsis or axis.extent is None:
                out.append((axis, None))
                continue
            size: Expression
            if isinstance(axis.extent, syntax.Name):
                name = axis.extent.name
                found = names.get(name) or scope.find(name)
                if isinstance(found, IndexSet):
                    size = Constant(len(found.values), "integer")
                elif isinstance(found, Expression) and not isinstance(found, Index):
                    checked = self.checked_size(self.sizes.reduced(found), axis.span, ctx)
                    size = POISON if is_poison(checked) else found  # a variable knows where its value is from
                else:
                    size = SizeVariable(name, axis.span)
                    names[name] = size
            else:
                size = self.extent(axis.extent, replace(ctx, scope=scope.inner(names)))
            out.append((axis, size))
        return out

    def bind_arrays(
        self,
        signature: Signature,
        arrays: Sequence[tuple[syntax.BlockParameter, Target, Span]],
        names: dict[str, Binding],
        ctx: Context,
    ) -> tuple[Expression, ...] | bool | None:
        """Match arrays with the axes of their parameters. The extents of `..` (None without one); False after a message."""
        group: tuple[Expression, ...] | None = None
        group_of: tuple[str, Span] | None = None
        for parameter, target, span in arrays:
            axes = self.signature_axes(parameter, names, signature.scope, ctx)
            fixed = sum(1 for _, size in axes if size is not None)
            wild = fixed < len(axes)
            if target.rank < fixed or (not wild and target.rank != fixed):
                self._wrong_argument_rank(signature, parameter, target, span, fixed, wild, ctx)
                return False
            position = next((n for n, (_, size) in enumerate(axes) if size is None), len(axes))
            length = target.rank - fixed
            leading = tuple(target.sizes[position : position + length])
            rest = [*target.sizes[:position], *target.sizes[position + length :]]
            if wild and group is None:
                group, group_of = leading, (target.label, span)
            elif wild:
                assert group is not None and group_of is not None
                if len(group) != len(leading):
                    self.error(
                        ctx,
                        "E202",
                        f"'{target.label}' has {messages.counted(len(leading), 'leading axis')}, "
                        f"but '{group_of[0]}' has {len(group)}",
                        span,
                        notes=[Note(group_of[1], f"{len(group)} here")],
                        help=f"'..' stands for the same axes everywhere in '{signature.name}'",
                    )
                    return False
                for before, now in zip(group, leading, strict=True):
                    self.sizes.equate(
                        before, now, self._argument_sizes(ctx, signature, *group_of, target, span)
                    )
            for (axis, size), given in zip([a for a in axes if a[1] is not None], rest, strict=True):
                assert size is not None
                self.sizes.equate(
                    size,
                    given,
                    self._parameter_size(ctx, signature, parameter, axis, size, target, span),
                    (span, f"from '{target.label}'"),
                )
        return group

    def _wrong_argument_rank(
        self,
        signature: Signature,
        parameter: syntax.BlockParameter,
        target: Target,
        span: Span,
        fixed: int,
        wild: bool,
        ctx: Context,
    ) -> None:
        at_least = "at least " if wild else ""
        shape = messages.shape_text(self, target.sizes) if target.sizes else ""
        what = (
            f"'{target.label}{shape}' has {messages.counted(target.rank, 'axis')}"
            if target.rank
            else f"'{target.label}' is one number"
        )
        self.error(
            ctx,
            "E202",
            f"'{signature.name}' needs an array with {at_least}{messages.counted(fixed, 'axis')} here, but {what}",
            span,
            notes=[Note(parameter.span, "the parameter")],
        )

    def _argument_sizes(
        self, ctx: Context, signature: Signature, name: str, place: Span, target: Target, span: Span
    ) -> Callable[[int, int], None]:
        def complain(before: int, now: int) -> None:
            self.error(
                ctx,
                "E203",
                f"the arguments of '{signature.name}' disagree: '{name}' has {before:,} entries along a leading axis, "
                f"'{target.label}' has {now:,}",
                span,
                f"{now:,} here",
                [Note(place, f"{before:,} here")],
            )

        return complain

    def _parameter_size(
        self,
        ctx: Context,
        signature: Signature,
        parameter: syntax.BlockParameter,
        axis: syntax.AxisDeclaration,
        size: Expression,
        target: Target,
        span: Span,
    ) -> Callable[[int, int], None]:
        def complain(before: int, now: int) -> None:
            text = axis.span.text
            known = size.because if isinstance(size, SizeVariable) else None
            notes = (
                [Note(known[0], f"{before:,}, {known[1]}")]
                if known
                else [Note(axis.span, f"{before:,} here")]
            )
            where = f"{text} = {before:,}" if not text.isdigit() else text
            self.error(
                ctx,
                "E203",
                f"'{signature.name}' takes {parameter.span.text.split('=')[0].strip()} with {where}, "
                f"but '{target.label}' has {now:,}",
                span,
                f"{now:,} here",
                notes,
            )

        return complain
