"""Declarations of a body: what names they introduce, before any expression is read.

In: the statements of a file or a block.  Out: bindings in the body's scope: sizes, index sets, maps, functions, arrays,
and families whose axes are known where they are written.

    weight w[N, M] ~ glorot      a Slot with sizes N and M
    layer h1[f, y, x] = …        a Unit with three indices whose extents their uses will tell
    layer hidden[width] = …      a Unit with one index without a name, of extent `width`

A lone name in an axis of a layer, let, state or update is an extent where it names a param, an extent or an index set,
else a new index. In a weight or an input it is always an extent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field, replace

from .. import syntax
from ..mathematics.expression import Constant, Expression, integer
from ..record import record
from ..source import Note, Span
from .context import Context, index_name
from .evaluate import Evaluator
from .scene import POISONED
from .scope import Binding, BlockBinding, FunctionBinding, IndexSet, MapBinding, OptimizerBinding, Scope
from .targets import Instance, Site, Slot, Target, Unit
from .terms import POISON, Index, SizeVariable, is_poison


@record(frozen=False)
class Axes:
    """The axes of a declaration: all indices, those with a name, those of `..`."""

    indices: list[Index] = field(default_factory=list)
    names: dict[str, Index] = field(default_factory=dict)
    ellipsis: tuple[Index, ...] | None = None


class Declarer(Evaluator):
    """Introduces the names of a body. Part of `Resolver`."""

    def introduce(self, scope: Scope, name: str, binding: Binding, span: Span, ctx: Context) -> bool:
        """Enter a name; a message where the same scope has it already."""
        if name in scope.names:
            first = scope.spans.get(name)
            self.error(
                ctx,
                "E204",
                f"'{name}' is declared twice",
                span,
                "declared again here",
                [Note(first, "first here")] if first is not None else [],
                "give one of them another name",
            )
            return False
        scope.names[name] = binding
        scope.spans[name] = span
        return True

    def declare_definitions(
        self, declarations: Iterable[syntax.Declaration], scope: Scope, ctx: Context
    ) -> None:
        """Functions, blocks, maps, optimizers and index sets: what does not depend on sizes."""
        for d in declarations:
            match d:
                case syntax.FunctionDeclaration():
                    self.introduce(scope, d.name, FunctionBinding(d, scope), heading(d), ctx)
                case syntax.MapDeclaration():
                    self.introduce(scope, d.name, MapBinding(d, scope), heading(d), ctx)
                case syntax.OptimizerDeclaration():
                    self.introduce(scope, d.name, OptimizerBinding(d, scope), heading(d), ctx)
                case syntax.IndexDeclaration():
                    self.introduce(scope, d.name, IndexSet(d.name, d.values, heading(d)), heading(d), ctx)
                case syntax.BlockDeclaration():
                    found = scope.names.get(d.name)
                    if isinstance(found, BlockBinding) and _overloads(found, d):
                        scope.names[d.name] = BlockBinding((*found.declarations, d), scope)
                    else:
                        self.introduce(scope, d.name, BlockBinding((d,), scope), heading(d), ctx)

    # --------------------------------------------------------------------------------------------- arrays

    def declare_input(
        self, d: syntax.InputDeclaration, scope: Scope, instance: Instance, ctx: Context
    ) -> None:
        slot = Slot(d.name, span=heading(d), kind="input", batched=True, home=instance)
        if not self.declare_sizes(slot, d.axes, scope, ctx):
            slot.used = True  # one message is enough
        if d.classes is not None:
            slot.type = "integer"
            classes = self.extent(d.classes, replace(ctx, scope=scope))
            slot.classes = integer(2) if is_poison(classes) else classes
        if self.introduce(scope, d.name, slot, heading(d), ctx):
            self.slots.append(slot)

    def declare_weight(
        self, d: syntax.WeightDeclaration, scope: Scope, instance: Instance, ctx: Context
    ) -> None:
        slot = Slot(d.name, span=heading(d), kind="weight", frozen=d.frozen, home=instance)
        slot.file = d.source.value if d.source is not None else None
        slot.fan_in, slot.fan_out = SizeVariable("fan_in", d.span), SizeVariable("fan_out", d.span)
        self.declare_sizes(slot, d.axes, scope, ctx)
        if self.introduce(scope, d.name, slot, heading(d), ctx):
            self.slots.append(slot)
            instance.slots.append(slot)

    def declare_state(
        self, d: syntax.StateDeclaration, scope: Scope, instance: Instance, ctx: Context
    ) -> None:
        slot = Slot(d.name, span=heading(d), kind="state", home=instance)
        self.declare_sizes(slot, d.axes, scope, ctx)
        if self.introduce(scope, d.name, slot, heading(d), ctx):
            self.slots.append(slot)
            instance.slots.append(slot)

    def declare_sizes(
        self, slot: Slot, axes: tuple[syntax.AxisDeclaration, ...], scope: Scope, ctx: Context
    ) -> bool:
        """The sizes of an array, all of them extents; its indices, named where the axis is."""
        inner = replace(ctx, scope=scope)
        indices: list[Index] = []
        good = True
        for n, axis in enumerate(axes):
            if axis.ellipsis or axis.extent is None:
                group = ctx.group
                if group is None or slot.kind == "input":
                    self.error(
                        ctx,
                        "E209",
                        "'..' stands for nothing here",
                        axis.span,
                        help=f"write the axes of '{slot.label}' out",
                    )
                    good = False
                    continue
                for k, size in enumerate(group):
                    slot.sizes.append(size)
                    slot.axis_spans.append(axis.span)
                    indices.append(Index(f"l{k + 1}", size, axis.span))
                continue
            size = self.extent(axis.extent, inner)
            if is_poison(size):
                good = False
                size = SizeVariable("?", axis.span)
                size.because = POISONED
            name = axis.name or index_name(n)
            if (
                axis.name is None
                and isinstance(axis.extent, syntax.Name)
                and isinstance(scope.find(axis.extent.name), IndexSet)
            ):
                name = axis.extent.name
            slot.sizes.append(size)
            slot.axis_spans.append(axis.span)
            indices.append(Index(name, size, axis.span))
        slot.indices = tuple(indices)
        return good

    # ------------------------------------------------------------------------------------------- families

    def declare_family(
        self, d: syntax.FamilyDeclaration, scope: Scope, instance: Instance, ctx: Context
    ) -> Unit:
        """A layer or let: its unit, with its indices where the axes are written."""
        found = scope.names.get(d.name)
        is_result = (
            isinstance(found, Unit)
            and found.home is instance
            and found.body is None
            and d.name not in scope.spans
        )
        if is_result:
            unit = found
            assert isinstance(unit, Unit)
            scope.spans[d.name] = heading(d)
            self.result_axes(unit, d, scope, instance, ctx)
        else:
            role = d.kind if instance.site is None else "let"  # the layers of a network are what it returns
            unit = Unit(d.name, span=heading(d), role=role, home=instance)
            axes = self.axes_of(d.axes, scope, instance, ctx)
            if axes is None:
                unit.poisoned = unit.open = True
            elif d.axes:
                self.set_axes(unit, axes)
            else:
                unit.open = True
            if self.introduce(scope, d.name, unit, heading(d), ctx):
                self.units.append(unit)
        unit.site = Site(d.name, instance, d.span)
        instance.sites.append(unit.site)
        return unit

    def result_axes(
        self, unit: Unit, d: syntax.FamilyDeclaration, scope: Scope, instance: Instance, ctx: Context
    ) -> None:
        """The axes of a block's result, by its signature and by the let that defines it."""
        if not d.axes:
            unit.indices = [Index(index_name(n), size, d.span) for n, size in enumerate(unit.sizes)]
            return
        axes = self.axes_of(d.axes, scope, instance, ctx)
        if axes is None:
            unit.poisoned = True
            return
        indices = axes.indices
        if len(indices) != len(unit.sizes):
            self.error(
                ctx,
                "E202",
                f"'{d.name}' has {len(indices)} axes here, but {len(unit.sizes)} in the signature of the block",
                heading(d),
                notes=[Note(unit.span, "the signature")],
            )
            unit.poisoned = True
            return
        for index, size in zip(indices, unit.sizes, strict=True):

            def complain(here: int, there: int, index: Index = index) -> None:
                self.error(
                    ctx,
                    "E203",
                    f"'{d.name}' has {here:,} entries here, but {there:,} by the signature of the block",
                    index.span,
                    f"{here:,} here",
                    [Note(unit.span, f"{there:,} here")],
                )

            if not index.declared:
                index.because = (unit.span, "by the signature of the block")
            self.sizes.equate(index.size, size, complain, (unit.span, "by the signature of the block"))
        sizes = unit.sizes
        self.set_axes(unit, axes)
        unit.sizes = sizes

    def set_axes(self, unit: Unit, axes: Axes) -> None:
        unit.indices = axes.indices
        unit.names = axes.names
        unit.ellipsis = axes.ellipsis
        unit.sizes = [i.size for i in axes.indices]
        unit.axis_spans = [i.span for i in axes.indices]

    def axes_of(
        self, axes: tuple[syntax.AxisDeclaration, ...], scope: Scope, instance: Instance, ctx: Context
    ) -> Axes | None:
        """The indices of a declaration's axes, and what they are called in its expression; None after a message."""
        result = Axes()
        inner = replace(ctx, scope=scope)
        failed = False
        for axis in axes:
            if axis.ellipsis:
                if instance.group is None:
                    self.error(
                        ctx,
                        "E209",
                        "'..' stands for nothing here",
                        axis.span,
                        help="'..' is bound by the signature of a block, as in block dense(x[.., N]) -> y[.., M]",
                    )
                    failed = True
                    continue
                result.ellipsis = tuple(leading_indices(instance.group, axis.span))
                result.indices.extend(result.ellipsis)
                continue
            assert axis.extent is not None
            lone = axis.extent.name if axis.name is None and isinstance(axis.extent, syntax.Name) else None
            if lone is not None and not is_extent(scope.find(lone)):
                index = self.inferred_index(lone, axis.span)
            else:
                size = self.extent(axis.extent, inner)
                failed = failed or is_poison(size)
                index = Index(axis.name or index_name(len(result.indices)), size, axis.span)
            if axis.name is not None or not index.declared:
                if index.name in result.names:
                    self.error(
                        ctx,
                        "E208",
                        f"two axes have the name '{index.name}'",
                        axis.span,
                        "again here",
                        [Note(result.names[index.name].span, "first here")],
                        "give every axis a name of its own",
                    )
                    failed = True
                result.names[index.name] = index
            result.indices.append(index)
        return None if failed else result


def is_extent(binding: Binding | None) -> bool:
    """Whether a lone name in an axis is a size: a param, an extent or an index set."""
    if isinstance(binding, IndexSet):
        return True
    return (
        isinstance(binding, Expression)
        and not isinstance(binding, Index | Target)
        and (isinstance(binding, SizeVariable | Constant) or binding.type == "integer" or binding is POISON)
    )


def leading_indices(group: tuple[Expression, ...], span: Span) -> list[Index]:
    """Indices for `..`."""
    names = ["l"] if len(group) == 1 else [f"l{n + 1}" for n in range(len(group))]
    return [Index(name, size, span) for name, size in zip(names, group, strict=True)]


def heading(d: syntax.Declaration) -> Span:
    """The place of a declaration's name (with its axes, where it has some): what 'declared here' underlines."""
    name = getattr(d, "name", "")
    text = d.span.text
    start = text.find(name, _keyword_length(text)) if name else -1
    if start < 0:
        end = text.find("\n")
        return Span(d.span.source, d.span.start, d.span.start + (end if end > 0 else len(text)))
    begin = d.span.start + start
    end = begin + len(name)
    axes = getattr(d, "axes", ())
    if axes:
        end = max(end, axes[-1].span.end + 1)
    return Span(d.span.source, begin, end)


def _keyword_length(text: str) -> int:
    position = len(text) - len(text.lstrip())
    if text[position:].startswith("frozen"):
        position = text.find("weight", position)
    while position < len(text) and not text[position].isspace():
        position += 1
    return position


def _overloads(binding: BlockBinding, d: syntax.BlockDeclaration) -> bool:
    """Whether a second block of a name differs in the ranks that it takes, and in nothing else of its parameters."""

    def pattern(block: syntax.BlockDeclaration) -> list[tuple[str, bool]]:
        return [(p.name, p.axes is None) for p in block.parameters]

    def ranks(block: syntax.BlockDeclaration) -> list[int]:
        return [
            -1 if any(a.ellipsis for a in p.axes) else len(p.axes)
            for p in block.parameters
            if p.axes is not None
        ]

    return all(pattern(b) == pattern(d) and ranks(b) != ranks(d) for b in binding.declarations)
