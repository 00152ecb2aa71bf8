"""Text to syntax tree.

In: a `Source`.  Out: its `Module`, or a DiagnosticError with every syntax error of the file, in order.

    parse(Source("xor.dln", "param width = 4"))
    → Module("xor.dln", (ParameterDeclaration("width", Number(4)),))

The grammar (grammar/dln.lark) says how words are cut and what a statement looks like; parsing/layout.py finds
where statements end; the LALR parser takes each alone and builds its nodes bottom-up (statement_builder.py);
expectations.py puts into words what stopped it. Nothing recurses on the text: brackets are counted and
trees are measured before they leave this file, so that later passes may recurse on an expression.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import syntax
from .parsing.expectations import explain
from .parsing.failure import Failure
from .parsing.layout import DECLARING, OF_ENTRIES, SECTIONS, Statement, Word, read_statements
from .parsing.statement_builder import StatementBuilder
from .parsing.syntax_errors import (
    braces_misplaced,
    braces_missing,
    limit_exceeded,
    misplaced_statement,
    setting_with_equals,
    unknown_statement,
)
from .source import Diagnostic, DiagnosticError, Source, Span

if TYPE_CHECKING:
    from lark import Lark

DEPTH_LIMIT = 200  # of an expression's tree; `a + b + c` has depth 3
DIAGNOSTIC_LIMIT = 100
CHARACTER_LIMIT = 4_000_000


def parse(source: Source) -> syntax.Module:
    """The tree of one file.

    Raises DiagnosticError with all syntax errors of the file (at most DIAGNOSTIC_LIMIT), in source order.
    """
    statements, diagnostics = read_statements(source, _words(source))
    declarations = _declarations(statements, diagnostics)
    if diagnostics:
        diagnostics.sort(key=lambda diagnostic: diagnostic.span.start)
        raise DiagnosticError(_limited(diagnostics))
    return syntax.Module(source.path, tuple(declarations), span=source.span(0, len(source.text)))


def parse_expression(text: str, path: str = "<value>") -> syntax.Expression:
    """The tree of one expression, such as the value of `--set rate=1e-3`.

    Raises DiagnosticError when `text` is not one expression.
    """
    expression: syntax.Expression = _parse_line(Source(path, text), "expression")
    return expression


def parse_setting(text: str, path: str = "<setting>") -> syntax.Setting:
    """One line of a data or train section, such as `split 70% train, 30% test`.

    Raises DiagnosticError when `text` is not one setting.
    """
    setting = _parse_line(Source(path, text), "entry")
    if isinstance(setting, syntax.Column):
        raise DiagnosticError([setting_with_equals(setting.name, setting.span)])
    result: syntax.Setting = setting
    return result


def _parse_line(source: Source, start: str) -> Any:
    statements, diagnostics = read_statements(source, _words(source), section="train")
    if not diagnostics and len(statements) != 1:
        span = statements[1].span if statements else source.span(0, 0)
        came = "nothing" if not statements else f"{len(statements)} lines"
        diagnostics = [Diagnostic("E118", f"one value is expected, but {came} came", span)]
    if diagnostics:
        raise DiagnosticError(_limited(diagnostics))
    return _tree(start, statements[0])


# ------------------------------------------------------------------------------------- statements


def _declarations(statements: list[Statement], diagnostics: list[Diagnostic]) -> list[Any]:
    """The nodes of the statements that are right; what is wrong with the others joins `diagnostics`."""
    nodes = []
    for statement in statements:
        try:
            node = _declaration(statement, diagnostics)
        except DiagnosticError as error:
            diagnostics.extend(error.diagnostics)
        else:
            if node is not None:
                nodes.append(node)
    return nodes


def _declaration(statement: Statement, diagnostics: list[Diagnostic]) -> Any:
    """The node of one statement; None when it has been reported already."""
    # Sections do not nest (layout.py sees to it), so this goes no deeper than braces in braces.
    known = statement.keyword in SECTIONS or statement.words[0].type not in DECLARING
    body = _declarations(statement.body, diagnostics) if known and statement.section else []
    if statement.flawed or not statement.section:
        return None
    if statement.section in OF_ENTRIES:
        return _entry(statement)
    if statement.words[0].type not in DECLARING:
        raise DiagnosticError([unknown_statement(statement)])
    if (misplaced := misplaced_statement(statement)) is not None:
        raise DiagnosticError([misplaced])
    if statement.keyword in SECTIONS:
        return _with_body(statement, body)
    if statement.opening:
        raise DiagnosticError([braces_misplaced(statement)])
    return _tree("statement", statement)


def _entry(statement: Statement) -> syntax.Setting | syntax.Column:
    if statement.opening:
        raise DiagnosticError([braces_misplaced(statement)])
    entry: syntax.Setting | syntax.Column = _tree("entry", statement)
    if isinstance(entry, syntax.Column) and statement.section != "data":
        raise DiagnosticError([setting_with_equals(entry.name, statement.words[1].span)])
    return entry


_SECTION_NODES: dict[str, Any] = {
    "data": syntax.DataDeclaration,
    "train": syntax.TrainDeclaration,
    "search": syntax.SearchDeclaration,
}


def _with_body(statement: Statement, body: list[Any]) -> syntax.Declaration:
    section = statement.keyword in OF_ENTRIES
    header = _tree("section" if section else "header", statement)
    if statement.opening is None:
        raise DiagnosticError([braces_missing(statement)])
    if section:
        return _SECTION_NODES[statement.keyword](tuple(body), span=statement.span)
    declaration: syntax.Declaration = replace(header, body=tuple(body), span=statement.span)
    return declaration


def _tree(start: str, statement: Statement) -> Any:
    """What the grammar's symbol `start` makes of the statement's words.

    Raises DiagnosticError at the first word that it cannot take, and when the tree is too deep.
    """
    from lark.exceptions import UnexpectedToken

    run = _parser().parse_interactive("", start=start)
    end = statement.words[-1].span.end
    last = Word("$END", "", statement.words[-1].span.source.span(end, end))
    tree = None
    for position, word in enumerate([*statement.words, last]):
        try:
            tree = run.feed_token(word)  # type: ignore[arg-type]  # it reads nothing but `type`
        except UnexpectedToken as error:
            accepts = _accepted_before(start, statement.words[:position])
            raise DiagnosticError([explain(Failure(statement, position, accepts))]) from error
    if len(statement.words) > DEPTH_LIMIT and _depth(tree) > DEPTH_LIMIT:
        span = statement.words[0].span
        raise DiagnosticError([limit_exceeded(span, "the expression is nested", DEPTH_LIMIT)])
    return tree


def _accepted_before(start: str, words: list[Word]) -> frozenset[str]:
    """The terminals that may follow these words. (The parser that failed knows less: an LALR parser may
    complete a rule before it notices that the next word cannot follow.)"""
    run = _parser().parse_interactive("", start=start)
    for word in words:
        run.feed_token(word)  # type: ignore[arg-type]
    return frozenset(run.accepts())


def _depth(tree: Any) -> int:
    """The number of nodes from the root to the deepest leaf, counted without recursion."""
    deepest = 0
    waiting: list[tuple[Any, int]] = [(tree, 0)]
    while waiting:
        part, depth = waiting.pop()
        if isinstance(part, tuple):
            waiting.extend((each, depth) for each in part)
        elif isinstance(part, syntax.Node):
            deepest = max(deepest, depth + 1)
            waiting.extend((each, depth + 1) for each in vars(part).values())
    return deepest


def _limited(diagnostics: list[Diagnostic]) -> list[Diagnostic]:
    if len(diagnostics) <= DIAGNOSTIC_LIMIT:
        return diagnostics
    rest = len(diagnostics) - DIAGNOSTIC_LIMIT
    message = f"there are {rest} more errors; only the first {DIAGNOSTIC_LIMIT} are shown"
    span = diagnostics[DIAGNOSTIC_LIMIT].span
    return [*diagnostics[:DIAGNOSTIC_LIMIT], Diagnostic("E199", message, span)]


# ------------------------------------------------------------------------------ the parser itself


def _words(source: Source) -> Iterator[Word]:
    """The words of the text, blanks and comments left out."""
    if len(source.text) > CHARACTER_LIMIT:
        message = f"the file has {len(source.text)} characters; {CHARACTER_LIMIT} are the limit"
        help_line = 'put large tables into a file of their own: table "connections.csv"'
        raise DiagnosticError([Diagnostic("E100", message, source.span(0, 0), help=help_line)])
    run = _parser().parse_interactive(source.text, start="statement")
    for token in run.lexer_thread.lex(run.parser_state):
        start = token.start_pos
        yield Word(token.type, str(token), Span(source, start, start + len(token)))


@functools.cache
def _parser() -> Lark:
    """The LALR parser. Its tables are built once (0.1 s) and kept in the user's cache folder; lark
    rebuilds them when the grammar, lark or Python change. Without such a folder they are built
    every time."""
    from lark import Lark

    grammar = Path(__file__).parent.parent / "grammar" / "dln.lark"
    return Lark(
        grammar.read_text(encoding="utf-8"),
        parser="lalr",
        lexer="basic",
        start=["statement", "header", "section", "entry", "expression", "unparsed"],
        keep_all_tokens=True,
        maybe_placeholders=False,
        transformer=StatementBuilder(),
        cache=_cache_file() or False,
    )


def _cache_file() -> str:
    """Where the tables are kept; '' where there is no folder for them."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dln"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return ""
    return str(folder / "grammar.lalr") if os.access(folder, os.W_OK) else ""
