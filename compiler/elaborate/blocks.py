"""Blocks: each use makes an instance with its own weights and families.

In: `dense(image)`, `softmax[s where s <= t](e[t, s])`.  Out: the family of the block's result; the body is put on the
queue and read later, so that nesting costs no recursion.

The extents in a signature are variables of unification: `M` of `dense(x[.., N]) -> y[.., M]` comes from the declaration
at the left, from another argument, or by name: `dense(image, M = 32)`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .. import syntax
from ..mathematics.expression import TRUE, Expression
from ..source import Note
from .arguments import Arguments, Home
from .context import Context, Positions
from .operators import truth
from .scope import Binding, BlockBinding, FunctionBinding
from .signatures import Signature
from .state import INSTANCE_LIMIT, NESTING_LIMIT
from .targets import Instance, Target, Unit, View
from .terms import POISON, Index, contains_poison, free_indices, is_poison, renamed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..source import Span


class Blocks(Arguments):
    """How blocks are used. Part of `Evaluator`."""

    def block_result(self, node: syntax.Call, ctx: Context) -> Target | None:
        """The result of a block used with these arguments; None after a message."""
        binding = ctx.scope.find(node.function)
        assert isinstance(binding, BlockBinding)
        declaration = binding.declarations[0]
        instance = self.new_instance(declaration, node, ctx)
        if instance is None:
            return None
        signature = self.signature_of(declaration, binding)
        given = self.assign(signature, node, ctx)
        if given is None:
            return None
        arrays: list[tuple[syntax.BlockParameter, Target, Span]] = []
        failed = False
        for parameter in declaration.parameters:
            if parameter.axes is not None:
                argument = given.get(parameter.name, parameter.default)
                assert argument is not None
                target = self.materialise(argument, replace(ctx, subscript=False), (instance, parameter.name))
                if target is None:
                    failed = True
                else:
                    arrays.append((parameter, target, argument.span))
        if failed:
            return None
        return self.use(binding, instance, given, arrays, node.span, ctx)

    def signature_of(self, declaration: syntax.BlockDeclaration, binding: BlockBinding) -> Signature:
        return Signature(
            declaration.name,
            "block",
            declaration.parameters,
            declaration.results,
            binding.scope,
            declaration.span,
        )

    def new_instance(
        self, declaration: syntax.BlockDeclaration, node: syntax.Call | syntax.BoundCall, ctx: Context
    ) -> Instance | None:
        """An instance for one use, within the limits; None after a message."""
        if self.circular(declaration, node, ctx):
            return None
        depth = ctx.instance.depth + 1
        if depth > NESTING_LIMIT:
            self.error(ctx, "E218", f"blocks are nested more than {NESTING_LIMIT} deep", node.span)
            return None
        self.instances += 1
        if self.instances > INSTANCE_LIMIT:
            if not self.exhausted:
                self.error(
                    ctx,
                    "E218",
                    f"the file uses blocks more than {INSTANCE_LIMIT:,} times, blocks within blocks counted",
                    node.span,
                )
            self.exhausted = True
            return None
        return Instance(
            declaration.name, ctx.site, node.span, depth, active=(*ctx.active, (declaration, node.span))
        )

    def circular(self, declaration: syntax.Node, node: syntax.Call | syntax.BoundCall, ctx: Context) -> bool:
        """Whether a block, function or map is used within itself; reports the circle."""
        chain = [d for d, _ in ctx.active]
        if not any(d is declaration for d in chain):
            return False
        start = next(n for n, d in enumerate(chain) if d is declaration)
        names = [d.name for d in chain[start:]]  # type: ignore[attr-defined]
        path = " → ".join([*names, declaration.name])  # type: ignore[attr-defined]
        notes = [Note(place, f"'{d.name}' is used here") for d, place in ctx.active[start + 1 :]]  # type: ignore[attr-defined]
        self.error(ctx, "E210", f"'{names[0]}' uses itself: {path}", node.span, notes=notes)
        return True

    def use(
        self,
        binding: BlockBinding,
        instance: Instance,
        given: dict[str, syntax.Expression],
        arrays: Sequence[tuple[syntax.BlockParameter, Target, Span]],
        span: Span,
        ctx: Context,
    ) -> Target | None:
        """Bind a block's signature, declare its body and put it on the queue."""
        outer, targets = self.aligned([t for _, t, _ in arrays], (instance, "argument"))
        arrays = [(p, t, s) for (p, _, s), t in zip(arrays, targets, strict=True)]
        if not outer and any(not self.has_axes(t, ctx, s) for _, t, s in arrays):
            return None
        declaration = self.fitting(binding, [t.rank for t in targets])
        parameters = {p.name: p for p in declaration.parameters}
        arrays = [(parameters[p.name], t, s) for p, t, s in arrays]
        signature = self.signature_of(declaration, binding)
        inner = Context(
            binding.scope,
            ctx.site,
            Positions([]),
            instance,
            calls=(*ctx.calls, (span, declaration.name)),
            active=instance.active,
        )
        names = self.parameter_values(signature, given, ctx, inner)  # type: ignore[attr-defined]
        if names is None or any(isinstance(v, Expression) and is_poison(v) for v in names.values()):
            return None
        group = self.bind_arrays(signature, arrays, names, ctx)
        if group is False:
            return None
        if outer and (group is None or len(group) < len(outer)):  # type: ignore[arg-type]
            self.error(
                ctx,
                "E209",
                f"an argument of '{declaration.name}' depends on the index '{outer[0].name}', "
                f"and '{declaration.name}' has no leading axes",
                span,
                help="'..' in the signature of the block stands for leading axes",
            )
            return None
        instance.group = group  # type: ignore[assignment]
        for parameter, target, _ in arrays:
            names[parameter.name] = target
        results = [self.result_unit(r, names, signature, instance, inner) for r in declaration.results]
        if any(r is None for r in results):
            return None
        names.update({r.label: r for r in results if r is not None})
        instance.scope = binding.scope.inner(names)
        instance.declarations = declaration.body
        ctx.site.instances.append(instance)
        self.declare_body(instance, inner)
        self.queue.append(instance)
        first = results[0]
        if outer and first is not None:
            sizes = first.sizes[len(outer) :]
            return View(first.label, sizes, first.type, first.span, base=first, prefix=tuple(outer))
        return first

    def declare_body(self, instance: Instance, ctx: Context) -> None:
        raise NotImplementedError

    def fitting(self, binding: BlockBinding, ranks: list[int]) -> syntax.BlockDeclaration:
        """The block of that name whose signature takes arrays of these ranks; the first where none does."""
        for declaration in binding.declarations:
            arrays = [p for p in declaration.parameters if p.axes is not None]
            fits = len(arrays) == len(ranks)
            for parameter, rank in zip(arrays, ranks, strict=False):
                axes = parameter.axes or ()
                wild = any(a.ellipsis for a in axes)
                fixed = len(axes) - wild
                fits = fits and (rank >= fixed if wild else rank == fixed)
            if fits:
                return declaration
        return binding.declarations[0]

    def result_unit(
        self,
        result: syntax.BlockParameter,
        names: dict[str, Binding],
        signature: Signature,
        instance: Instance,
        ctx: Context,
    ) -> Unit | None:
        """The family of a result, its axes known and its equation still to be read."""
        sizes: list[Expression] = []
        spans: list[Span] = []
        for axis, size in self.signature_axes(result, names, signature.scope, ctx):
            if size is None:
                if instance.group is None:
                    self.error(
                        ctx, "E209", "'..' stands for nothing here: no argument has leading axes", axis.span
                    )
                    return None
                sizes.extend(instance.group)
                spans.extend([axis.span] * len(instance.group))
            elif is_poison(size):
                return None
            else:
                sizes.append(size)
                spans.append(axis.span)
        unit = Unit(result.name, sizes, "real", result.span, spans, role="let", home=instance)
        unit.shown = signature.name
        self.units.append(unit)
        return unit

    # --------------------------------------------------------------------------------------- bound calls

    def bound_call(self, node: syntax.BoundCall, ctx: Context) -> Expression:
        """`softmax[s where s <= t](e[t, s])`: the block along the axis that s runs over, at the s outside."""
        binding = ctx.scope.find(node.function)
        if isinstance(binding, FunctionBinding) or not isinstance(binding, BlockBinding):
            self.not_bindable(node, binding, ctx)
            return POISON
        declaration = binding.declarations[0]
        instance = self.new_instance(declaration, node, ctx)
        if instance is None:
            return POISON
        given = self.assign(self.signature_of(declaration, binding), node, ctx)
        if given is None:
            return POISON
        names: dict[str, Binding] = {}
        indices: list[Index] = []
        outside: list[Index | None] = []
        for binder in node.binders:
            found = ctx.scope.find(binder.name)
            index = self.inferred_index(binder.name, binder.span)
            if isinstance(found, Index):
                outside.append(found)
                index = Index(binder.name, found.size, binder.span, found.declared, found.because)
            else:
                outside.append(None)
            if binder.extent is not None:
                index = Index(binder.name, self.extent(binder.extent, ctx), binder.span)
            names[binder.name] = index
            indices.append(index)
        inner = replace(
            ctx,
            scope=ctx.scope.inner(names),
            positions=Positions([], purpose="the argument"),
            subscript=False,
        )
        mask: Expression = TRUE
        if node.where is not None:
            mask = truth(self.evaluate(node.where, inner), node.where.span, self.complain(ctx))
        arrays: list[tuple[syntax.BlockParameter, Target, Span]] = []
        for parameter in declaration.parameters:
            if parameter.axes is None or parameter.name not in given:
                continue
            argument = given[parameter.name]
            term = self.evaluate(argument, inner)
            if contains_poison(term) or is_poison(mask):
                return POISON
            target = self.masked(term, mask, indices, argument.span, (instance, parameter.name))
            if target is None:
                return POISON
            arrays.append((parameter, target, argument.span))
        result = self.use(binding, instance, given, arrays, node.span, ctx)
        if result is None:
            return POISON
        subscripts: list[Expression] = []
        if result.rank:
            if result.rank != len(indices) or any(o is None for o in outside):
                lone = next(
                    (i.name for i, o in zip(indices, outside, strict=True) if o is None), indices[0].name
                )
                self.error(
                    ctx,
                    "E201",
                    f"'{node.function}' gives a value for every '{lone}', and there is no index '{lone}' outside",
                    node.span,
                    help=f"declare it at the left, as in a[…, {lone}] = {node.function}[{lone}](…)",
                )
                return POISON
            subscripts = [o for o in outside if o is not None]
        return self.access(result, tuple(subscripts), None, node.span, (), ctx)

    def masked(
        self, term: Expression, mask: Expression, indices: list[Index], span: Span, home: Home
    ) -> Target | None:
        """The argument of a bound call: an array over outer indices and the bound ones, entries outside the mask left out."""
        outer = [i for i in dict.fromkeys((*free_indices(term), *free_indices(mask))) if i not in indices]
        unit = Unit(
            " ".join(span.text.split())[:40],
            [i.size for i in (*outer, *indices)],
            "real",
            span,
            home=home[0],
            suffix=home[1],
            indices=[*outer, *indices],
            body=term,
        )
        self.units.append(unit)
        if mask == TRUE:
            if not outer:
                return unit
            return View(
                unit.label, [i.size for i in indices], unit.type, span, base=unit, prefix=tuple(outer)
            )
        # The mask holds for the whole array: its own indices, outer ones first, are what it is stated over.
        own: dict[Expression, Index] = {
            i: Index(i.name, i.size, i.span, i.declared) for i in (*outer, *indices)
        }
        whole = View(
            unit.label,
            list(unit.sizes),
            unit.type,
            span,
            base=unit,
            mask=renamed(mask, own),
            mask_indices=tuple(own.values()),
            instance=home[0],
        )
        if not outer:
            return whole
        return View(unit.label, [i.size for i in indices], unit.type, span, base=whole, prefix=tuple(outer))

    def not_bindable(self, node: syntax.BoundCall, binding: Binding | None, ctx: Context) -> None:
        raise NotImplementedError
