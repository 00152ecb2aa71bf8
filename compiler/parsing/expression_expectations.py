"""What was expected inside an expression, in words a reader of the file understands.

In: a `Failure`.  Out: a `Diagnostic`, or None where the mistake is of another kind.

    let c = 2 ** 3      →  E114 an expression is expected after '*'; help: a power is written x ^ 2
"""

from __future__ import annotations

from ..source import Diagnostic, Note, did_you_mean
from .failure import CLOSING, FORMS, OPENING, Failure, adjacent, shown
from .layout import Word
from .syntax_errors import REDUCTIONS, RESERVED

_OPERANDS = frozenset(["NAME", "DOTTED_NAME", "NUMBER", "STRING", "REDUCTION", "TABLE"])
_INFIX = ("div", "mod", "and", "or", "where", "else", "if")


def not_an_index(failure: Failure) -> Diagnostic | None:
    """`sum[2*i] …`: what a reduction runs over is an index name."""
    opener = failure.opener
    words = failure.statement.words
    if not opener or words[opener - 1].type != "REDUCTION":
        return None
    if any(word.type == "WHERE" for word in words[opener : failure.position]):
        return None
    kind = words[opener - 1].text
    if failure.word.type == "COMPARE":
        help_line = f"a condition follows where: {kind}[i where i < j]"
    elif failure.word.text == "in" or failure.word.type == "EQUAL":
        help_line = f"a range is written as an extent: {kind}[i: 5] runs over 0 to 4"
    else:
        help_line = f"write {kind}[i], {kind}[i, j], {kind}[i: 5] or {kind}[i where i < j]"
    return failure.diagnostic(
        "E121", f"'{kind}' runs over index names, but {failure.came} in its brackets", help_line
    )


def equals_confused(failure: Failure) -> Diagnostic | None:
    word = failure.word
    if word.text == "==" and "EQUAL" in failure.accepts:
        return failure.diagnostic("E109", "'==' compares, and '=' declares", "write = here")
    if word.type != "EQUAL" or not failure.operator_expected:
        return None
    if adjacent(failure.previous, word) and failure.before in ("*", "/", "+", "-", "<", ">"):
        return None
    if failure.opener is None and failure.first == "WEIGHT" and failure.accepts >= {"$END"}:
        help_line = "write '==' to compare; the initialiser comes before where"
    elif failure.opener is not None and failure.statement.words[failure.opener].type == "LPAR":
        help_line = "write '==' to compare; a named argument is a plain name: f(rate = 0.1)"
    else:
        help_line = "write '==' to compare"
    return failure.diagnostic("E109", "'=' cannot stand inside an expression", help_line)


def reduction_in_parentheses(failure: Failure) -> Diagnostic | None:
    """`max(i) x[i]` (the builder finds `sum(…)`, which is never a function)."""
    words = failure.statement.words
    if failure.before != ")" or failure.word.type not in _OPERANDS:
        return None
    inside = Failure(failure.statement, failure.position - 1, frozenset())
    if not inside.opener or words[inside.opener - 1].text not in REDUCTIONS:
        return None
    name = words[inside.opener - 1]
    held = failure.word.span.source.text[name.span.end + 1 : words[failure.position - 1].span.start]
    span = name.span.to(words[failure.position - 1].span)
    return Diagnostic(
        "E111",
        f"'{name.text}' over an index names it in square brackets",
        span,
        help=f"write {name.text}[{held.strip()}] and then the term",
    )


def if_without_else(failure: Failure) -> Diagnostic | None:
    if "ELSE" not in failure.accepts or not failure.previous:
        return None
    waiting: list[Word] = []
    begin = 0 if failure.opener is None else failure.opener + 1
    depth = 0
    for word in failure.statement.words[begin : failure.position]:
        depth += (word.type in OPENING) - (word.type in CLOSING)
        if depth == 0 and word.type == "IF":
            waiting.append(word)
        elif depth == 0 and word.type == "ELSE" and waiting:
            waiting.pop()
    if not waiting or (failure.word.type in _OPERANDS and failure.word.type != "REDUCTION"):
        return None
    note = Note(waiting[-1].span, "this 'if'")
    return failure.diagnostic("E118", "'if' without 'else'", "write a if condition else b", (note,))


def ends_too_early(failure: Failure) -> Diagnostic | None:
    if failure.word.type != "$END" or not failure.expression_expected:
        return None
    before = Failure(failure.statement, failure.position - 1, frozenset())
    words = failure.statement.words
    message = f"the statement ends after '{failure.before}', where an expression is expected"
    help_line = ""
    if failure.before == "]" and before.opener and words[before.opener - 1].type == "REDUCTION":
        kind = words[before.opener - 1]
        binder = failure.word.span.source.text[kind.span.start : failure.word.span.start]
        message = f"the statement ends where the term of '{binder}' is expected"
        help_line = f"write {binder} and then the term: {kind.text}[i] w[i] * x[i]"
    elif failure.before in ("loss", "metric"):
        help_line = f"write it as in: {FORMS[failure.before]}"
    return failure.diagnostic("E118", message, help_line)


def operator_missing(failure: Failure) -> Diagnostic | None:
    word, previous = failure.word, failure.previous
    if not failure.operator_expected or previous is None:
        return None
    near = did_you_mean(word.text, _INFIX) if word.type == "NAME" else ""
    if near:
        return failure.diagnostic("E115", f"'{word.text}' is not an operator", near)
    if word.text == "(":
        return failure.diagnostic(
            "E117",
            "only a function or a block, by its name, can be followed by '('",
            "to multiply, write '*' before it",
        )
    if word.text == "[":
        return failure.diagnostic(
            "E117", "only a family, by its name, can be followed by '['", "write x[i, j]"
        )
    if word.type not in _OPERANDS:
        return None
    message = f"an operator is missing between {shown(previous)} and {shown(word)}"
    if previous.text.endswith("%"):
        help_line = "a remainder is written a mod b"
    elif word.text == "in" or word.text == "for":
        help_line = "indices are bound by a reduction: sum[i] x[i]"
    else:
        help_line = "write one, for example '*', or begin a new line if a statement begins here"
    return failure.diagnostic("E115", message, help_line)


def operand_missing(failure: Failure) -> Diagnostic | None:
    if not failure.expression_expected:
        return None
    word, previous = failure.word, failure.previous
    help_line = ""
    if previous and word.text == "=" and previous.type in ("LOSS", "METRIC"):
        return failure.diagnostic(
            "E106",
            f"'{previous.text}' is followed by its expression, without '='",
            f"write it as in: {FORMS[previous.text]}",
        )
    if previous and adjacent(previous, word):
        pair = previous.text + word.text
        help_line = {
            "**": "a power is written x ^ 2",
            "//": "a quotient without remainder is written a div b",
            "=>": "write >= to compare",
            "=<": "write <= to compare",
            "<>": "write !=",
            "++": "write x + 1",
            "+=": "write update x <- x + …",
            "-=": "write update x <- x - …",
            "*=": "write update x <- x * …",
            "[]": "write the subscripts, one for each axis",
            "()": "write an expression in the parentheses",
        }.get(pair, "")
    if not help_line:
        help_line = {
            "+": "a plus sign in front of a number is left out",
            "..": "'..' stands for all leading axes, and only between [ and ]",
            "{": "braces hold the values of an index, or follow block, optimizer, data, train and search",
            ":": "an extent is given where an index is declared or bound: h[j: 3], sum[i: 5]",
        }.get(word.text, "")
    if word.text == "if":
        help_line = "a choice is written a if condition else b"
    elif word.text in RESERVED and not help_line and word.text not in REDUCTIONS:
        help_line = f"'{word.text}' is a reserved word"
    after = f" after '{failure.before}'" if previous else ""
    return failure.diagnostic("E114", f"an expression is expected{after}, but {failure.came}", help_line)
