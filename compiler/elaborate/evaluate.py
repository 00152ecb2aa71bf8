"""Reading expressions: syntax to terms.

In: an expression and where it stands.  Out: a term, or POISON after a message.

    max(z, 0)  with z = b[j] + sum[i] w[i, j] * x[i]   →   Apply("max", (Apply("+", …), 0.0))

The parts: names, literals (tables), arguments, blocks, calls, subscripts, reductions; this file dispatches, and reads
arithmetic. Depth is bounded: the parser limits an expression, and levels are counted across inlined functions.
"""

from __future__ import annotations

from dataclasses import replace

from .. import syntax
from ..mathematics.expression import Constant, Expression, apply
from . import operators
from .context import Context
from .reductions import Reductions
from .state import LEVEL_LIMIT, STEP_LIMIT
from .terms import POISON, is_poison


class Evaluator(Reductions):
    """Reads expressions of one elaboration."""

    def evaluate(self, node: syntax.Expression, ctx: Context) -> Expression:
        self.steps += 1
        if self.exhausted:
            return POISON
        if self.level >= LEVEL_LIMIT or self.steps >= STEP_LIMIT:
            return self.exhaust(node, ctx)
        self.level += 1
        try:
            return self.dispatch(node, ctx)
        finally:
            self.level -= 1

    def exhaust(self, node: syntax.Expression, ctx: Context) -> Expression:
        if self.level >= LEVEL_LIMIT:
            message = f"expressions are nested more than {LEVEL_LIMIT} levels deep, functions written out"
        else:
            message = f"the file has more than {STEP_LIMIT:,} expressions, functions written out"
        self.exhausted = True  # one message is enough
        self.error(ctx, "E218", message, node.span)
        return POISON

    def dispatch(self, node: syntax.Expression, ctx: Context) -> Expression:
        match node:
            case syntax.Number(value=value):
                return Constant(value, "integer" if isinstance(value, int) else "real")
            case syntax.Name():
                return self.name(node, ctx)
            case syntax.Subscript():
                return self.subscript(node, ctx)
            case syntax.Binary():
                return self.binary(node, ctx)
            case syntax.Call():
                return self.call(node, ctx)
            case syntax.Reduction():
                return self.reduction(node, ctx)
            case syntax.Unary(operator="not"):
                condition = operators.truth(
                    self.evaluate(node.operand, ctx), node.operand.span, self.complain(ctx)
                )
                return POISON if is_poison(condition) else apply("not", condition)
            case syntax.Unary():
                return operators.negative(self.evaluate(node.operand, ctx))
            case syntax.Conditional():
                return self.conditional(node, ctx)
            case syntax.BoundCall():
                return self.bound_call(node, ctx)
            case syntax.ArrayLiteral() | syntax.TableFile():
                return self.whole_table(node, ctx)
            case syntax.Ellipsis():
                self.misplaced_ellipsis(node, ctx)
            case syntax.String():
                self.error(
                    ctx,
                    "E207",
                    "a text has no meaning here",
                    node.span,
                    help='a table is read with table "file.csv"',
                )
        return POISON

    def binary(self, node: syntax.Binary, ctx: Context) -> Expression:
        """`a + b + c` leans to the left and may be long: its left side is followed in a loop."""
        spine: list[syntax.Binary] = []
        left: syntax.Expression = node
        while isinstance(left, syntax.Binary):
            spine.append(left)
            left = left.left
        result = self.evaluate(left, ctx)
        for part in reversed(spine):
            self.steps += 1
            right = self.evaluate(part.right, ctx)
            spans = (part.span, part.left.span, part.right.span)
            result = operators.binary(part.operator, result, right, spans, self.complain(ctx))
        return result

    def conditional(self, node: syntax.Conditional, ctx: Context) -> Expression:
        condition = operators.truth(
            self.evaluate(node.condition, replace(ctx, subscript=False)),
            node.condition.span,
            self.complain(ctx),
        )
        then = self.evaluate(node.then, ctx)
        otherwise = self.evaluate(node.otherwise, ctx)
        return operators.select(condition, then, otherwise)
