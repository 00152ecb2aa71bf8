"""The actions of the grammar for statements and entries: what each rule becomes in the syntax tree.

In: the words and nodes that a rule has gathered, punctuation included.  Out: one node of syntax.py.

    weight_declaration: "weight" NAME axes initializer   →   WeightDeclaration(name, axes, initializer, …)

How the rules are called, and what a span is, stands in expression_builder.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import syntax
from ..source import DiagnosticError, Note, Span
from .expression_builder import (
    ExpressionBuilder,
    Group,
    declared,
    group_of,
    nodes_of,
    span_of,
    syntax_error,
    words_of,
)
from .layout import Word


class StatementBuilder(ExpressionBuilder):
    """One method a rule; the parser calls them with the children of the rule."""

    # ---------------------------------------------------------------------------- helping rules

    def axes(self, parts: list[Any]) -> Group:
        return Group("axes", parts, span_of(parts))

    def parameters(self, parts: list[Any]) -> Group:
        return Group("parameters", parts, span_of(parts))

    def results(self, parts: list[Any]) -> Group:
        return Group("results", parts, span_of(parts))

    def initializer(self, parts: list[Any]) -> Group:
        return Group("initializer", parts, span_of(parts))

    def weight_file(self, parts: list[Any]) -> Group:
        return Group("weight_file", parts, span_of(parts))

    # ------------------------------------------------------------------------------- statements

    def network_declaration(self, parts: list[Any]) -> syntax.NetworkDeclaration:
        return syntax.NetworkDeclaration(declared(parts[1]), span=span_of(parts))

    def import_declaration(self, parts: list[Any]) -> syntax.ImportDeclaration:
        return syntax.ImportDeclaration(parts[1].text[1:-1], span=span_of(parts))

    def parameter_declaration(self, parts: list[Any]) -> syntax.ParameterDeclaration:
        return syntax.ParameterDeclaration(declared(parts[1]), parts[3], span=span_of(parts))

    def input_declaration(self, parts: list[Any]) -> syntax.InputDeclaration:
        classes = nodes_of(parts)
        return syntax.InputDeclaration(
            declared(parts[1]), _axes(parts), classes[0] if classes else None, span=span_of(parts)
        )

    def weight_declaration(self, parts: list[Any]) -> syntax.WeightDeclaration:
        frozen = parts[0].type == "FROZEN"
        initializer = group_of(parts, "initializer")
        where = group_of(parts, "where")
        file, name = _file(parts)
        return syntax.WeightDeclaration(
            declared(parts[2 if frozen else 1]),
            _axes(parts),
            initializer.parts[1] if initializer else None,
            initializer is not None and initializer.parts[0].text == "~",
            where.parts[1] if where else None,
            frozen,
            file,
            name,
            span=span_of(parts),
        )

    def index_declaration(self, parts: list[Any]) -> syntax.IndexDeclaration:
        names = words_of(parts)
        seen: dict[str, Word] = {}
        for word in names[1:]:
            if word.text in seen:
                raise syntax_error(
                    "E116",
                    f"the index '{names[0].text}' has the value '{word.text}' twice",
                    word.span,
                    "give every value a name of its own",
                    Note(seen[word.text].span, "first here"),
                )
            seen[word.text] = word
        return syntax.IndexDeclaration(declared(names[0]), tuple(seen), span=span_of(parts))

    def map_declaration(self, parts: list[Any]) -> syntax.MapDeclaration:
        names = words_of(parts)
        return syntax.MapDeclaration(declared(names[0]), _distinct(names[1:]), parts[-1], span=span_of(parts))

    def family_declaration(self, parts: list[Any]) -> syntax.FamilyDeclaration:
        frozen = parts[0].type == "FROZEN"
        kind, name = parts[1:3] if frozen else parts[:2]
        body = nodes_of(parts)[-1]
        return syntax.FamilyDeclaration(
            kind.text, declared(name), _axes(parts), body, frozen, *_file(parts), span=span_of(parts)
        )

    def function_declaration(self, parts: list[Any]) -> syntax.FunctionDeclaration:
        return syntax.FunctionDeclaration(
            declared(parts[1]), _parameters(parts[2]), parts[-1], span=span_of(parts)
        )

    def state_declaration(self, parts: list[Any]) -> syntax.StateDeclaration:
        return syntax.StateDeclaration(declared(parts[1]), _axes(parts), parts[-1], span=span_of(parts))

    def update_declaration(self, parts: list[Any]) -> syntax.UpdateDeclaration:
        return syntax.UpdateDeclaration(declared(parts[1]), _axes(parts), parts[-1], span=span_of(parts))

    def loss_declaration(self, parts: list[Any]) -> syntax.LossDeclaration:
        return syntax.LossDeclaration(parts[1], span=span_of(parts))

    def metric_declaration(self, parts: list[Any]) -> syntax.MetricDeclaration:
        name = declared(parts[1]) if len(parts) == 4 else None
        return syntax.MetricDeclaration(parts[-1], name, span=span_of(parts))

    # The parser of statements completes these two with the statements in the braces.

    def block_header(self, parts: list[Any]) -> syntax.BlockDeclaration:
        return syntax.BlockDeclaration(
            declared(parts[1]),
            _parameters(parts[2]),
            _parameters(parts[4]),
            (),
            span=span_of(parts),
        )

    def optimizer_header(self, parts: list[Any]) -> syntax.OptimizerDeclaration:
        return syntax.OptimizerDeclaration(declared(parts[1]), _parameters(parts[2]), (), span=span_of(parts))

    def parameter(self, parts: list[Any]) -> syntax.BlockParameter:
        axes = group_of(parts, "axes")
        default = parts[-1] if words_of(parts, "EQUAL") else None
        return syntax.BlockParameter(
            declared(parts[0]), axes.nodes if axes else None, default, span=span_of(parts)
        )

    def axis(self, parts: list[Any]) -> syntax.AxisDeclaration:
        span = span_of(parts)
        if len(parts) == 3:
            return syntax.AxisDeclaration(declared(parts[0]), parts[2], span=span)
        if isinstance(parts[0], Word):
            return syntax.AxisDeclaration(ellipsis=True, span=span)
        return syntax.AxisDeclaration(None, parts[0], span=span)

    def section(self, parts: list[Any]) -> Group:
        return Group("section", parts, span_of(parts))

    def column(self, parts: list[Any]) -> syntax.Column:
        return syntax.Column(parts[0].text, parts[2], span=span_of(parts))

    def setting(self, parts: list[Any]) -> syntax.Setting:
        return syntax.Setting(parts[0].text, tuple(nodes_of(parts)), span=span_of(parts))


def _axes(parts: Sequence[Any]) -> tuple[syntax.AxisDeclaration, ...]:
    group = group_of(parts, "axes")
    return group.nodes if group else ()


def _file(parts: Sequence[Any]) -> tuple[syntax.String | None, str | None]:
    """`from "run.safetensors" hidden.w`: the path, and the name in that file where one is given."""
    group = group_of(parts, "weight_file")
    if group is None:
        return None, None
    (path,) = words_of(group.parts, "STRING")
    names = [w.text for w in words_of(group.parts) + words_of(group.parts, "DOTTED_NAME")]
    return syntax.String(path.text[1:-1], span=path.span), names[0] if names else None


def _distinct(names: Sequence[Word]) -> tuple[str, ...]:
    """The parameters of a map; a name that comes twice is refused."""
    seen: dict[str, Word] = {}
    for word in names:
        if word.text in seen:
            raise _twice(word.text, word.span, seen[word.text].span)
        seen[declared(word)] = word
    return tuple(seen)


def _parameters(group: Group) -> tuple[syntax.BlockParameter, ...]:
    seen: dict[str, syntax.BlockParameter] = {}
    for parameter in group.nodes:
        if parameter.name in seen:
            raise _twice(parameter.name, parameter.span, seen[parameter.name].span)
        seen[parameter.name] = parameter
    return tuple(seen.values())


def _twice(name: str, span: Span, first: Span) -> DiagnosticError:
    help_line = "give every parameter a name of its own"
    return syntax_error(
        "E116", f"the parameter '{name}' comes twice", span, help_line, Note(first, "first here")
    )
