"""Names in expressions: what they stand for, whole arrays, and accesses of arrays at subscripts.

In: a name or a target with subscripts, and the context.  Out: a term.

    h + bias         each taken at the positions of the declaration, where shapes must agree by position
    x[i]             an index that stands alone takes its extent from the axis that it subscripts
    hidden.w         a weight that was made by a block inside the layer `hidden`
"""

from __future__ import annotations

from dataclasses import replace

from .. import syntax
from ..mathematics.expression import Expression, apply, integer
from ..mathematics.scalar import ScalarFunction
from ..source import Note, Span, did_you_mean
from . import messages
from .context import Context, Positions, index_name
from .scope import (
    CLOCKS,
    Binding,
    BlockBinding,
    DrawBinding,
    FunctionBinding,
    IndexSet,
    MapBinding,
    OptimizerBinding,
)
from .state import ElaborationState
from .targets import Site, Slot, Target, Unit, View
from .terms import POISON, Access, Index, SizeVariable, is_poison

CALLABLES = (ScalarFunction, FunctionBinding, BlockBinding, MapBinding, DrawBinding)


class Names(ElaborationState):
    """How names are read. Part of `Evaluator`."""

    def name(self, node: syntax.Name, ctx: Context) -> Expression:
        binding = self.lookup(node, ctx)
        match binding:
            case None:
                return POISON
            case Target():
                return self.whole(binding, ctx, node.span)
            case IndexSet():
                return integer(len(binding.values))
            case DrawBinding():
                return self.draw(binding, [], node.span, ctx)
            case Expression():
                return binding
            case BlockBinding():
                kind = "a block"
            case MapBinding():
                kind = "a map"
            case OptimizerBinding():
                kind = "an optimizer"
            case _:
                kind = "a function"
        self.error(
            ctx,
            "E206",
            f"'{node.name}' is {kind}; it needs arguments here",
            node.span,
            help=f"write {node.name}(…)",
        )
        return POISON

    def draw(self, binding: DrawBinding, arguments: list[Expression], span: Span, ctx: Context) -> Expression:
        raise NotImplementedError

    def lookup(self, node: syntax.Name, ctx: Context) -> Binding | None:
        """What a name stands for; None after a message."""
        name = node.name
        found = ctx.scope.find(name)
        if found is None and "." in name:
            found = self.inside(name, ctx)
        if found is None and ctx.subscript:
            found = self.index_value(node, ctx)
        if found is None:
            self.unknown(node, ctx)
            return None
        if isinstance(found, Target):
            return self.current(found, ctx)
        return found

    def unknown(self, node: syntax.Name, ctx: Context) -> None:
        name = node.name
        if name == "batch":
            self.error(
                ctx,
                "E216",
                "'batch' is not a value",
                node.span,
                help="the batch is implicit: reduce over it with average[batch] …, or read its size, batch_size",
            )
            return
        names = ctx.scope.all_names()
        values = [v for s in ctx.scope.index_sets() for v in s.values]
        help = did_you_mean(name, values if ctx.subscript else []) or did_you_mean(name, names)
        if len(name) == 1 and name.islower() and ctx.positions.purpose not in ("a param", "a size"):
            help = f"an index is bound by a declaration, as in h[{name}: 3], or by a reduction, as in sum[{name}] …"
        if ctx.positions.purpose == "a param":
            help = "a param is made of numbers and other params"
        elif name in values:
            help = f"'{name}' is a value of an index set, and can only be a subscript"
        self.error(ctx, "E201", f"unknown name '{name}'", node.span, help=help)

    def index_value(self, node: syntax.Name, ctx: Context) -> Expression | None:
        """`forget` in a[forget, t, j]: the number of a named value of an index set."""
        places: dict[int, IndexSet] = {}
        for index_set in ctx.scope.index_sets():
            if node.name in index_set.values:
                places.setdefault(index_set.values.index(node.name), index_set)
        if len(places) > 1:
            first, second, *_ = places.values()
            self.error(
                ctx,
                "E204",
                f"'{node.name}' stands at different places of two index sets, '{first.name}' and '{second.name}'",
                node.span,
                notes=[Note(first.span, ""), Note(second.span, "")],
                help="rename one of the values",
            )
            return POISON
        return integer(next(iter(places))) if places else None

    def inside(self, path: str, ctx: Context) -> Binding | None:
        """What a dotted name reaches: hidden.w, hidden.dense_2.w, encoder.h.w."""
        first, *rest = path.split(".")
        found: Binding | None = ctx.scope.find(first)
        while rest and isinstance(found, Unit) and found.site is not None:
            found, rest = _reach(found.site, rest)
        return found if not rest else None

    def current(self, target: Target, ctx: Context) -> Target:
        """A state's value at this point of the file: that of the last update above."""
        if not isinstance(target, Slot) or not target.updates or target.home is not ctx.instance:
            return target
        before = [unit for moment, unit in target.updates if moment < ctx.moment]
        if not before:
            return target
        return before[-1] if self.always_updates else self.while_training(before[-1], target)

    def while_training(self, update: Unit, state: Slot) -> Unit:
        """The new value of a state while training; otherwise nothing is updated, and the state is what it is."""
        if update.now is None:
            indices = [Index(index_name(n), size, state.span) for n, size in enumerate(state.sizes)]
            training = apply("!=", Access(CLOCKS["training"], (), type="integer"), integer(0))
            body = apply("select", training, Access(update, tuple(indices)), Access(state, tuple(indices)))
            update.now = Unit(
                state.label,
                list(state.sizes),
                span=state.span,
                home=state.home,
                suffix=f"{state.label}.now",
                indices=indices,
                body=body,
            )
            self.units.append(update.now)
        return update.now

    # ------------------------------------------------------------------------------------ whole arrays

    def whole(self, target: Target, ctx: Context, span: Span) -> Expression:
        """The target at the positions of the context."""
        if not self.has_axes(target, ctx, span):
            return POISON
        indices = self.take(ctx, target.sizes, span, target)
        return POISON if indices is None else self.access(target, tuple(indices), None, span, (), ctx)

    def has_axes(self, target: Target, ctx: Context, span: Span) -> bool:
        """Whether the axes of a target are known already; a message, or silence after an earlier one, if not."""
        if not isinstance(target, Unit) or not target.open:
            return True
        if not target.poisoned:
            self.error(
                ctx,
                "E221",
                f"the axes of '{target.label}' must be written out, since it is part of a cycle",
                span,
                notes=[Note(target.span, f"write {target.label}[…] here")],
            )
        return False

    def take(
        self, ctx: Context, sizes: list[Expression], span: Span, target: Target | None
    ) -> list[Index] | None:
        """The indices of the context's positions, for an array of these sizes; the first array fixes them."""
        if not sizes:
            return []
        positions = ctx.positions
        if positions.indices is None:
            names = [i.name for i in target.indices] if isinstance(target, Unit) else []
            if len(names) != len(sizes) or len(set(names)) != len(names):
                names = [index_name(n) for n in range(len(sizes))]
            positions.indices = [Index(name, size, span) for name, size in zip(names, sizes, strict=True)]
            positions.name = (target.shown or target.label) if target else span.text
            positions.span = span
            positions.spans = [span] * len(sizes)
            positions.declared = False
            return positions.indices
        what = f"'{target.shown or target.label}'" if target else "this list"
        if len(positions.indices) != len(sizes):
            messages.wrong_rank_of_whole(self, ctx, what, sizes, span, target)
            return None
        for n, (index, size) in enumerate(zip(positions.indices, sizes, strict=True)):
            complain = messages.disagreement(self, ctx, n, what, span, target)
            self.sizes.equate(index.size, size, complain, (span, f"from {what}"))
        return positions.indices

    # ---------------------------------------------------------------------------------------- accesses

    def access(
        self,
        target: Target,
        subscripts: tuple[Expression, ...],
        otherwise: Expression | None,
        span: Span,
        places: tuple[Span, ...],
        ctx: Context,
    ) -> Expression:
        """The target at subscripts, whose number and types are right. Indices that stand alone learn their extent."""
        mark_used(target)
        if is_poison(*subscripts) or (otherwise is not None and is_poison(otherwise)):
            return POISON
        if isinstance(target, Unit) and target.poisoned:
            return POISON
        for n, subscript in enumerate(subscripts):
            if isinstance(subscript, Index):
                place = places[n] if places else span
                self.candidate(subscript, target.sizes[n], place, f"from '{target.label}'", ctx)
        return Access(target, subscripts, otherwise, span, places, ctx.calls, target.type)

    def candidate(self, index: Index, size: Expression, span: Span, text: str, ctx: Context) -> None:
        """The index stands alone behind an axis of this size."""
        if index.declared:
            if self.sizes.number(index.size) is None:
                self.sizes.equate(index.size, size, lambda a, b: None, (span, text), last=True)
            return
        first = index.because
        if first is None:
            index.because = (span, text)
        self.sizes.equate(
            index.size, size, messages.two_sizes(self, ctx, index, first, span, text), (span, text)
        )

    def inferred_index(self, name: str, span: Span) -> Index:
        """An index whose extent its uses tell."""
        return Index(name, SizeVariable(name, span), span, declared=False)

    def scalar_context(self, ctx: Context, purpose: str) -> Context:
        """The context of an expression that must be one number."""
        return replace(ctx, positions=Positions([], purpose=purpose))


def mark_used(target: Target) -> None:
    while True:
        target.used = True
        if not isinstance(target, View):
            return
        target = target.base


def _reach(site: Site, rest: list[str]) -> tuple[Binding | None, list[str]]:
    """One step of a dotted name into the blocks that a declaration uses."""
    bearing = [i for i in site.instances if i.bears_weights]
    for only in (bearing, site.instances):
        if len(only) == 1 and rest[0] in only[0].scope.names:
            return only[0].scope.names[rest[0]], rest[1:]
    for instance in site.instances:
        if instance.short_name == rest[0] and len(rest) > 1 and rest[1] in instance.scope.names:
            return instance.scope.names[rest[1]], rest[2:]
    return None, rest
