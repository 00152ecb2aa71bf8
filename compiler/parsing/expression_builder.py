"""The actions of the grammar for expressions: what each rule becomes in the syntax tree.

In: the words and nodes that a rule has gathered, punctuation included.  Out: one node of syntax.py.

    reduction: REDUCTION "[" binders "]" term   →   Reduction("sum", binders, where, body)

The LALR parser calls these methods while it parses, from the leaves up, so that nothing here (and
nothing in the parser) recurses, however deep or long an expression is. A span is always the range
from the first child to the last. Mistakes that the grammar lets through, because they can be told
better when seen whole, are raised here as DiagnosticError.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .. import syntax
from ..record import record
from ..source import Diagnostic, DiagnosticError, Note, Span
from .layout import Word
from .syntax_errors import REDUCTIONS, RESERVED

_DIGIT_LIMIT = 18  # an integer of the language fits 64 bits


@record(frozen=False)
class Group:
    """What a helping rule hands to the rule above it: its parts in order, and where they stand."""

    rule: str
    parts: list[Any]
    span: Span

    @property
    def nodes(self) -> tuple[Any, ...]:
        return tuple(part for part in self.parts if isinstance(part, syntax.Node))


@record(frozen=False)
class NamedArgument:
    name: Word
    value: syntax.Expression
    span: Span


def span_of(parts: Sequence[Any]) -> Span:
    first: Span = parts[0].span
    return Span(first.source, first.start, parts[-1].span.end)


def syntax_error(code: str, message: str, span: Span, help_line: str, *notes: Note) -> DiagnosticError:
    return DiagnosticError([Diagnostic(code, message, span, "", notes, help_line)])


def words_of(parts: Sequence[Any], kind: str = "NAME") -> list[Word]:
    return [part for part in parts if isinstance(part, Word) and part.type == kind]


def nodes_of(parts: Sequence[Any]) -> list[Any]:
    return [part for part in parts if isinstance(part, syntax.Node)]


def group_of(parts: Sequence[Any], rule: str) -> Group | None:
    return next((part for part in parts if isinstance(part, Group) and part.rule == rule), None)


def declared(word: Word) -> str:
    if word.text in RESERVED:
        raise syntax_error(
            "E108",
            f"'{word.text}' is a reserved word and cannot be a name",
            word.span,
            f"choose another name, such as '{word.text}_value'",
        )
    return word.text


class ExpressionBuilder:
    """One method a rule; the parser calls them with the children of the rule."""

    def name(self, parts: list[Word]) -> syntax.Name:
        return syntax.Name(parts[0].text, span=parts[0].span)

    def number(self, parts: list[Word]) -> syntax.Number:
        word = parts[0]
        text = word.text.rstrip("%")
        value: int | float
        if text.isdigit():
            if len(text.lstrip("0")) > _DIGIT_LIMIT:
                raise syntax_error(
                    "E105",
                    f"the whole number has {len(text)} digits; {_DIGIT_LIMIT} are the limit",
                    word.span,
                    "write it with an exponent, such as 1e20",
                )
            value = int(text)
        else:
            value = float(text)
        if word.text.endswith("%"):
            value = value / 100
        if not math.isfinite(value):
            help_line = "the largest number is about 1.8e308"
            raise syntax_error("E105", f"'{word.text}' is too large a number", word.span, help_line)
        return syntax.Number(value, span=word.span)

    def string(self, parts: list[Word]) -> syntax.String:
        return syntax.String(parts[0].text[1:-1], span=parts[0].span)

    def ellipsis(self, parts: list[Word]) -> syntax.Ellipsis:
        return syntax.Ellipsis(span=parts[0].span)

    def table_file(self, parts: list[Word]) -> syntax.TableFile:
        return syntax.TableFile(parts[1].text[1:-1], span=span_of(parts))

    def parenthesis(self, parts: list[Any]) -> syntax.Expression:
        inner: syntax.Expression = parts[1]
        return replace(inner, span=span_of(parts))

    def array_literal(self, parts: list[Any]) -> syntax.ArrayLiteral:
        return syntax.ArrayLiteral(tuple(nodes_of(parts)), span=span_of(parts))

    def call(self, parts: list[Any]) -> syntax.Call:
        function: Word = parts[0]
        positional, named = _split_arguments(parts[1])
        span = span_of(parts)
        if function.text in REDUCTIONS and function.text not in ("max", "min"):
            raise syntax_error(
                "E111",
                f"'{function.text}' is a reduction: it names its indices in square brackets",
                span,
                f"write {function.text}[i] and then the term: {function.text}[i] w[i] * x[i]",
            )
        return syntax.Call(function.text, positional, named, span=span)

    def arguments(self, parts: list[Any]) -> Group:
        return Group("arguments", parts, span_of(parts))

    def named_argument(self, parts: list[Any]) -> NamedArgument:
        return NamedArgument(parts[0], parts[2], span_of(parts))

    def subscript(self, parts: list[Any]) -> Group:
        return Group("subscript", parts, span_of(parts))

    def subscripted(self, parts: list[Group]) -> syntax.Subscript:
        """`base[s, … else e]`: the bracket is not followed by '('."""
        base, *inside = parts[0].parts
        if not isinstance(base, syntax.Name | syntax.Call | syntax.ArrayLiteral):
            raise _not_subscriptable(base, inside[0].span)
        if isinstance(base, syntax.ArrayLiteral) and base.span.end != inside[0].span.start:
            raise syntax_error(
                "E115",
                "a comma is missing between two lists",
                inside[0].span,
                "write one; the subscripts of a list follow it without a blank",
            )
        for part in inside:
            if isinstance(part, syntax.Binder):
                raise syntax_error(
                    "E114",
                    f"'{part.name}: …' declares an extent, but this only reads '{base.span.text}'",
                    part.span,
                    f"write the subscript alone: {part.name}",
                )
        if (where := group_of(inside, "where")) is not None:
            raise syntax_error(
                "E114",
                "'where' cannot stand in a subscript",
                where.span,
                "a condition belongs to a reduction, sum[i where i < j], or to a block called along "
                "an axis, softmax[s where s <= t](e[t, s])",
            )
        subscripts, otherwise = _split_else(inside)
        return syntax.Subscript(base, subscripts, otherwise, span=span_of(parts))

    def bound_call(self, parts: list[Group]) -> syntax.BoundCall:
        """`softmax[s where s <= t](e[t, s])`."""
        base, *inside = parts[0].parts
        if not isinstance(base, syntax.Name):
            raise syntax_error(
                "E117",
                "only a block, by its name, can be called along an axis",
                parts[0].span,
                "to multiply, write '*' before the parenthesis",
            )
        elements, otherwise = _split_else(inside)
        binders = []
        for element in elements:
            match element:
                case syntax.Binder():
                    binders.append(element)
                case syntax.Name(name=name) if "." not in name:
                    binders.append(syntax.Binder(name, span=element.span))
                case syntax.Ellipsis():
                    binders.append(syntax.Binder("..", span=element.span))
                case _:
                    raise syntax_error(
                        "E121",
                        f"'{base.name}' is called along index names, but '{element.span.text[:40]}' is none",
                        element.span,
                        f"write {base.name}[s](…); to multiply, write '*' before the parenthesis",
                    )
        if otherwise is not None:
            raise syntax_error(
                "E114",
                "'else' cannot stand between the names that a block is called along",
                otherwise.span,
                "put the else into the subscript that may leave its range",
            )
        where = group_of(inside, "where")
        positional, named = _split_arguments(parts[1])
        if named:
            raise syntax_error(
                "E116",
                f"'{base.name}[…](…)' takes no named arguments",
                named[0][1].span,
                "bind the argument in a block of your own",
            )
        condition = where.parts[1] if where else None
        return syntax.BoundCall(base.name, tuple(binders), condition, positional, span=span_of(parts))

    def where(self, parts: list[Any]) -> Group:
        return Group("where", parts, span_of(parts))

    def binders(self, parts: list[Any]) -> Group:
        return Group("binders", parts, span_of(parts))

    def binder(self, parts: list[Any]) -> syntax.Binder:
        extent = parts[2] if len(parts) == 3 else None
        word: Word = parts[0]
        if word.type == "NAME":
            declared(word)
        return syntax.Binder(word.text, extent, span=span_of(parts))

    def reduction(self, parts: list[Any]) -> syntax.Reduction:
        binders: Group = parts[2]
        where = group_of(binders.parts, "where")
        condition = where.parts[1] if where else None
        return syntax.Reduction(parts[0].text, binders.nodes, condition, parts[4], span=span_of(parts))

    def binary(self, parts: list[Any]) -> syntax.Binary:
        return syntax.Binary(parts[1].text, parts[0], parts[2], span=span_of(parts))

    def unary(self, parts: list[Any]) -> syntax.Unary:
        return syntax.Unary(parts[0].text, parts[1], span=span_of(parts))

    def conditional(self, parts: list[Any]) -> syntax.Conditional:
        return syntax.Conditional(parts[2], parts[0], parts[4], span=span_of(parts))

    def chained_comparison(self, parts: list[Any]) -> syntax.Binary:
        first, sign, middle, second, last = parts[:5]
        raise syntax_error(
            "E112",
            "comparisons cannot be chained",
            second.span,
            f"write {first.span.text} {sign.text} {middle.span.text} and "
            f"{middle.span.text} {second.text} {last.span.text}",
        )


def _not_subscriptable(base: syntax.Expression, bracket: Span) -> DiagnosticError:
    match base:
        case syntax.Subscript():
            help_line = f"write all subscripts in one pair of brackets: {base.span.text[:-1]}, …]"
        case syntax.TableFile():
            help_line = "a table is subscripted by the indices of its map: leave the brackets out"
        case _:
            help_line = "give the expression a name with let, and subscript that"
    message = "only a name, a call or a list of numbers can be followed by '['"
    return syntax_error("E117", message, bracket, help_line)


def _split_else(inside: list[Any]) -> tuple[tuple[Any, ...], syntax.Expression | None]:
    """The elements between the brackets, and the expression after `else`."""
    for position, part in enumerate(inside):
        if isinstance(part, Word) and part.type == "ELSE":
            return tuple(nodes_of(inside[:position])), inside[position + 1]
    return tuple(nodes_of(inside)), None


def _split_arguments(
    group: Group,
) -> tuple[tuple[syntax.Expression, ...], tuple[tuple[str, syntax.Expression], ...]]:
    positional: list[syntax.Expression] = []
    named: dict[str, NamedArgument] = {}
    for part in group.parts:
        if isinstance(part, NamedArgument):
            if part.name.text in named:
                raise syntax_error(
                    "E116",
                    f"the argument '{part.name.text}' is given twice",
                    part.name.span,
                    "remove one of the two",
                    Note(named[part.name.text].name.span, "first here"),
                )
            named[part.name.text] = part
        elif isinstance(part, syntax.Node):
            if named:
                raise syntax_error(
                    "E116",
                    "an argument without a name stands after one with a name",
                    part.span,
                    "write the arguments without a name first",
                    Note(next(reversed(named.values())).span, "named argument"),
                )
            positional.append(part)  # type: ignore[arg-type]
    return tuple(positional), tuple((name, part.value) for name, part in named.items())
