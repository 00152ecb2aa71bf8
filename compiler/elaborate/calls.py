"""Calls: scalar functions, functions of the language (inlined), maps, random draws, and which of them a name means.

In: `relu(z)`, `K(i, j)`, `normal(0, 0.1)`, `dense(image)`.  Out: a term.

A function's arguments are read once, and every use of a parameter is the same term: nothing is copied. A call with the
same arguments is read once. Functions that use themselves are refused with the circle.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .. import syntax
from ..mathematics.expression import Apply, Expression, apply, real
from ..mathematics.scalar import ScalarFunction
from ..source import Note, Span, did_you_mean
from . import messages, operators
from .blocks import Blocks
from .context import Context
from .names import CALLABLES
from .scope import Binding, BlockBinding, DrawBinding, FunctionBinding, IndexSet, MapBinding, OptimizerBinding
from .signatures import Signature
from .targets import Target
from .terms import POISON, Draw, Poison, is_poison, to_real

#: Purposes (of context.Positions) of expressions in which something can be drawn: they become families.
DRAWING = ("array", "the loss", "a metric", "the argument")


class Calls(Blocks):
    """How calls are read. Part of `Evaluator`."""

    def call(self, node: syntax.Call, ctx: Context) -> Expression:
        binding = ctx.scope.find(node.function)
        match binding:
            case ScalarFunction():
                return self.scalar_function(binding, node, ctx)
            case FunctionBinding():
                return self.inline(binding, node, ctx)
            case MapBinding():
                return self.map_call(binding, node, ctx)
            case BlockBinding():
                result = self.block_result(node, ctx)
                return POISON if result is None else self.whole(result, ctx, node.span)
            case DrawBinding():
                arguments = [self.evaluate(a, ctx) for a in (*node.arguments, *(v for _, v in node.named))]
                return (
                    POISON if is_poison(*arguments) else self.draw(binding, arguments, node.span, ctx, node)
                )
        self.not_callable(node, binding, ctx)
        return POISON

    def not_callable(
        self, node: syntax.Call | syntax.BoundCall, binding: Binding | None, ctx: Context
    ) -> None:
        name = node.function
        if isinstance(binding, Poison):
            return
        if binding is None:
            place = Span(node.span.source, node.span.start, node.span.start + len(name))
            names = [n for n in ctx.scope.all_names() if isinstance(ctx.scope.find(n), CALLABLES)]
            self.error(
                ctx, "E201", f"unknown block or function '{name}'", place, help=did_you_mean(name, names)
            )
            return
        inner = ", ".join(a.span.text for a in node.arguments) or "…"
        if isinstance(binding, Target):
            kind, help = messages.kind_of(binding), f"subscripts are written {name}[{inner}]"
        elif isinstance(binding, IndexSet):
            kind, help = "an index set", ""
        elif isinstance(binding, OptimizerBinding):
            kind, help = "an optimizer", "an optimizer stands in the train section"
        else:
            kind, help = "a number", f"write {name} * ({inner}) for a product"
        self.error(ctx, "E206", f"'{name}' is {kind}, not a function", node.span, help=help)

    def scalar_function(self, row: ScalarFunction, node: syntax.Call, ctx: Context) -> Expression:
        if node.named:
            self.error(
                ctx, "E205", f"'{row.name}' has no parameter '{node.named[0][0]}'", node.named[0][1].span
            )
            return POISON
        if len(node.arguments) != row.arity:
            self.error(
                ctx,
                "E205",
                f"'{row.name}' takes {messages.counted(row.arity, 'argument')}, but {messages.are_given(len(node.arguments))}",
                node.span,
                help="the largest over an index is max[i] x[i]" if row.name in ("max", "min") else "",
            )
            return POISON
        return operators.function(row.name, [self.evaluate(a, ctx) for a in node.arguments])

    # ----------------------------------------------------------------------------------------- functions

    def inline(self, binding: FunctionBinding, node: syntax.Call, ctx: Context) -> Expression:
        """The body of a function, its parameters standing for the arguments."""
        declaration = binding.declaration
        if self.circular(declaration, node, ctx):
            return POISON
        signature = Signature(
            declaration.name, "function", declaration.parameters, (), binding.scope, declaration.span
        )
        given = self.assign(signature, node, ctx)
        if given is None:
            return POISON
        inner = replace(
            ctx,
            calls=(*ctx.calls, (node.span, declaration.name)),
            active=(*ctx.active, (declaration, node.span)),
            ellipsis=None,
            group=None,
            subscript=False,
        )
        names = self.parameter_values(signature, given, ctx, inner)
        if names is None:
            return POISON
        key: Any = None
        if all(p.axes is None for p in declaration.parameters):
            key = (declaration.span, binding.scope, tuple(names.values()), ctx.positions, ctx.site)
            if key in self.inlined:
                return self.inlined[key]
        group = self.bind_parameters(signature, given, names, ctx)
        if group is False:
            return POISON
        inner = replace(inner, scope=binding.scope.inner(names), group=group)  # type: ignore[arg-type]
        made = self.instances, self.draws
        result = self.evaluate(declaration.body, inner)
        # Every use of a block has weights of its own, and every call that draws draws anew.
        if key is not None and made == (self.instances, self.draws):
            self.inlined[key] = result
        return result

    def parameter_values(
        self, signature: Signature, given: dict[str, syntax.Expression], ctx: Context, inner: Context
    ) -> dict[str, Binding] | None:
        """What the parameters without axes stand for, defaults included; None after a message."""
        names: dict[str, Binding] = {}
        closed = signature.kind == "block"
        failed = False
        for name in signature.extent_names:
            if name in given:
                names[name] = self.extent(given[name], ctx)
        for parameter in signature.parameters:
            if parameter.axes is not None:
                continue
            purpose = f"the argument '{parameter.name}' of '{signature.name}'"
            if parameter.name in given:
                value = self.scalar_argument(given[parameter.name], ctx, purpose, closed)
            else:
                assert parameter.default is not None
                scope = signature.scope.inner(names)
                value = self.scalar_argument(parameter.default, replace(inner, scope=scope), purpose, closed)
            failed = failed or isinstance(value, Poison)
            names[parameter.name] = value
        return None if failed else names

    def bind_parameters(
        self,
        signature: Signature,
        given: dict[str, syntax.Expression],
        names: dict[str, Binding],
        ctx: Context,
    ) -> tuple[Expression, ...] | bool | None:
        """Bind a function's parameters with axes. Returns as `bind_arrays`."""
        arrays = []
        failed = False
        for parameter in signature.parameters:
            if parameter.axes is None:
                continue
            node = given.get(parameter.name, parameter.default)
            assert node is not None
            target = self.materialise(
                node, replace(ctx, subscript=False), (ctx.site, f"{signature.name}.{parameter.name}")
            )
            if target is None:
                failed = True
                continue
            names[parameter.name] = target
            arrays.append((parameter, target, node.span))
        return False if failed else self.bind_arrays(signature, arrays, names, ctx)

    def not_bindable(self, node: syntax.BoundCall, binding: Binding | None, ctx: Context) -> None:
        if isinstance(binding, CALLABLES):
            binders = ", ".join(b.name for b in node.binders)
            self.error(
                ctx,
                "E206",
                f"'{node.function}' is not a block: only a block runs along an index, as in softmax[{binders}](…)",
                node.span,
            )
        else:
            self.not_callable(node, binding, ctx)

    # ---------------------------------------------------------------------------------------------- maps

    def map_call(self, binding: MapBinding, node: syntax.Call, ctx: Context) -> Expression:
        """A sharing map at its arguments: an entry of its table, or its expression."""
        declaration = binding.declaration
        if self.circular(declaration, node, ctx):
            return POISON
        wanted = declaration.parameters
        if node.named or len(node.arguments) != len(wanted):
            self.error(
                ctx,
                "E205",
                f"the map '{declaration.name}' takes {messages.counted(len(wanted), 'argument')}, "
                f"but {messages.are_given(len(node.arguments) + len(node.named))}",
                node.span,
                help=f"it is called as {declaration.name}({', '.join(wanted)})",
            )
            return POISON
        arguments = [self.evaluate(a, ctx) for a in node.arguments]
        if is_poison(*arguments):
            return POISON
        for argument, part in zip(arguments, node.arguments, strict=True):
            if argument.type != "integer":
                self.error(
                    ctx,
                    "E207",
                    f"the map '{declaration.name}' takes whole numbers",
                    part.span,
                    f"this is {operators.described(argument)}",
                )
                return POISON
        inner = replace(
            ctx,
            scope=binding.scope.inner(dict(zip(wanted, arguments, strict=True))),
            subscript=True,
            calls=(*ctx.calls, (node.span, declaration.name)),
            active=(*ctx.active, (declaration, node.span)),
            ellipsis=None,
            group=None,
        )
        body = declaration.body
        if isinstance(body, syntax.ArrayLiteral | syntax.TableFile):
            table = self.table_of(
                body, replace(inner, scope=binding.scope, calls=ctx.calls), declaration.name
            )
            if table is None:
                return POISON
            if table.type != "integer":
                self.error(
                    ctx,
                    "E404",
                    f"the map '{declaration.name}' must hold whole numbers, and its table holds others",
                    node.span,
                    notes=[Note(declaration.span, "the map")],
                )
                return POISON
            places = tuple(a.span for a in node.arguments)
            return self.table_access(table, tuple(arguments), None, node.span, places, ctx)
        value = self.evaluate(body, inner)
        if not is_poison(value) and value.type != "integer":
            self.error(
                ctx,
                "E207",
                f"the map '{declaration.name}' must give a whole number",
                body.span,
                f"this is {operators.described(value)}",
                help="divide whole numbers with div",
            )
            return POISON
        return value

    # --------------------------------------------------------------------------------------------- draws

    def draw(
        self,
        binding: DrawBinding,
        arguments: list[Expression],
        span: Span,
        ctx: Context,
        node: syntax.Call | None = None,
    ) -> Expression:
        """A random draw, of an initializer or in an expression."""
        values: dict[str, Expression] = {}
        names = [*binding.parameters[: len(node.arguments)], *(n for n, _ in node.named)] if node else []
        usage = (
            f"it is written {binding.name}({', '.join(binding.parameters)})"
            if binding.parameters
            else f"it is written {binding.name}"
        )
        if len(names) != len(arguments):
            self.error(
                ctx,
                "E205",
                f"'{binding.name}' takes {messages.counted(len(binding.parameters), 'argument')}, "
                f"but {messages.are_given(len(arguments))}",
                span,
                help=usage,
            )
            return POISON
        for name, argument in zip(names, arguments, strict=True):
            if name not in binding.parameters or name in values:
                self.error(ctx, "E205", f"'{binding.name}' has no parameter '{name}'", span, help=usage)
                return POISON
            values[name] = to_real(argument)
        for name, default in zip(binding.parameters, binding.defaults, strict=True):
            if name not in values:
                if default != default:
                    self.error(ctx, "E205", f"'{binding.name}' lacks its argument '{name}'", span, help=usage)
                    return POISON
                values[name] = real(default)
        if binding.network:
            return self.network_draw(binding.name, [values[p] for p in binding.parameters], span, ctx)
        return Apply(f"draw {binding.name}", tuple(values[p] for p in binding.parameters), "real")

    def network_draw(self, name: str, values: list[Expression], span: Span, ctx: Context) -> Expression:
        """A draw as an expression of a standard one, so that its parameters have derivatives where there are any."""
        if ctx.positions.purpose not in DRAWING:
            where = ctx.positions.purpose
            help = "draw it in a let, where its axes are known"
            self.error(ctx, "E222", f"a random number cannot be drawn in {where}", span, help=help)
            return POISON
        self.draws += 1
        drawn = Draw("normal" if name == "normal" else "uniform", ctx.around, span)
        if name == "bernoulli":
            return apply("select", apply("<", drawn, values[0]), real(1), real(0))
        scale = values[1] if name == "normal" else values[1] - values[0]
        return values[0] + scale * drawn
