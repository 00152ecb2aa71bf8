"""What was expected where parsing stopped, in words a reader of the file understands.

In: a `Failure`.  Out: one `Diagnostic`.

    layer h[3] tanh(x)      →  E106 '=' is missing after 'layer h[3]'; help: write layer h[3] = …

`_RULES` is an ordered table: each row looks for one kind of mistake and answers None when it is another; the
last one always answers. Rows about expressions stand in expression_expectations.py.
"""

from __future__ import annotations

from collections.abc import Callable

from ..source import Diagnostic
from .expression_expectations import (
    ends_too_early,
    equals_confused,
    if_without_else,
    not_an_index,
    operand_missing,
    operator_missing,
    reduction_in_parentheses,
)
from .failure import FORMS, OPENING, Failure, shown
from .syntax_errors import RESERVED

_ASSIGNED = frozenset(["PARAM", "INDEX", "MAP", "LAYER", "LET", "FUNCTION", "STATE"])
_SPELLING = {
    "NAME": "a name",
    "DOTTED_NAME": "a name",
    "NUMBER": "a number",
    "STRING": "a text in quotes",
    "LPAR": "'('",
    "RPAR": "')'",
    "LSQB": "'['",
    "RSQB": "']'",
    "LBRACE": "'{'",
    "RBRACE": "'}'",
    "COMMA": "','",
    "COLON": "':'",
    "EQUAL": "'='",
    "TILDE": "'~'",
    "ARROW": "'->'",
    "ASSIGN": "'<-'",
    "ELLIPSIS": "'..'",
    "WHERE": "'where'",
    "ELSE": "'else'",
    "FROM": "'from'",
    "CLASS": "'class[…]'",
    "WEIGHT": "'weight'",
    "$END": "the end of the line",
}


def explain(failure: Failure) -> Diagnostic:
    """The diagnostic of the first rule that knows this kind of mistake."""
    for rule in _RULES:
        diagnostic = rule(failure)
        if diagnostic is not None:
            return diagnostic
    raise AssertionError("the last rule always answers")


def _extent(failure: Failure) -> Diagnostic | None:
    """`h[]`, `h[j: ]`, `h[3, , 4]` where something is declared."""
    opener = failure.opener
    words = failure.statement.words
    if not opener or words[opener].type != "LSQB" or not failure.expression_expected:
        return None
    if failure.before not in ("[", ",", ":") or failure.word.text not in ("]", ",", ":"):
        return None
    if any(w.type in ("EQUAL", "ASSIGN", "TILDE", "WHERE") for w in words[:opener]):
        return None
    if failure.first in ("LOSS", "METRIC") or failure.statement.section in ("data", "train", "search"):
        return None
    if words[opener - 1].type == "CLASS":
        return failure.diagnostic(
            "E107", "the number of classes is missing", "write it in the brackets: class[10]"
        )
    name = words[opener - 1].text
    return failure.diagnostic(
        "E107",
        f"an extent of '{name}' is missing",
        f"write a size, {name}[3], or an index with its size, {name}[j: 3]",
    )


def _name(failure: Failure) -> Diagnostic | None:
    if "NAME" not in failure.accepts or failure.expression_expected or failure.operator_expected:
        return None
    word = failure.word
    message = f"a name is expected after '{failure.before}', but {failure.came}"
    if word.text in RESERVED:
        return failure.diagnostic(
            "E108",
            f"'{word.text}' is a reserved word and cannot be a name",
            f"choose another name, such as '{word.text}_value'",
        )
    if word.type == "DOTTED_NAME":
        return failure.diagnostic(
            "E114",
            f"the declared name '{word.text}' has a dot in it",
            f"write {word.text.replace('.', '_')}",
        )
    if failure.first == "MAP" and failure.opener == 2:
        return failure.diagnostic("E114", message, "a map is written map K(i, j) = i - j")
    if failure.first == "BLOCK" and failure.before == "->":
        help_line = "results are written without parentheses: -> y[.., M], c[M]"
        return failure.diagnostic("E114", message, help_line)
    form = FORMS.get(failure.statement.keyword, "")
    help_line = f"write it as in: {form}" if form else ""
    if word.type == "$END":
        message = f"the statement ends after '{failure.before}', where a name is expected"
        return failure.diagnostic("E118", message, help_line)
    return failure.diagnostic("E114", message, help_line)


def _sign(failure: Failure) -> Diagnostic | None:
    """The sign of a declaration is missing, or is that of another kind of declaration."""
    if failure.opener is not None:
        return None
    accepts, first, word = failure.accepts, failure.first, failure.word
    so_far = failure.written_so_far()
    keyword = failure.statement.keyword
    if first == "UPDATE" and "ASSIGN" in accepts:
        sign = "<-"
    elif first in _ASSIGNED and "EQUAL" in accepts:
        sign = "="
    elif first in ("WEIGHT", "FROZEN") and accepts >= {"EQUAL", "TILDE"}:
        if word.type in ("RPAR", "RSQB", "RBRACE") or word.type in OPENING:
            return None
        return failure.diagnostic(
            "E106",
            f"'~' or '=' is missing after '{so_far}'",
            f"write {so_far} ~ normal(0, 0.1) to draw it, or {so_far} = 0 for constants",
        )
    else:
        return None
    follows = failure.statement.words[failure.position + 1 : failure.position + 2]
    if word.type == "$END":
        message = f"'{so_far}' is given no value: '{sign}' is missing"
    elif word.type == "TILDE":
        message = f"'~' draws a weight at random; '{keyword}' is written with '{sign}'"
    elif word.text == "<" and follows and follows[0].text == "-":
        message = f"'<-' belongs to update; '{keyword}' is written with '{sign}'"
    elif word.type in ("EQUAL", "ARROW", "COLON") or word.text in ("<", "<="):
        message = f"'{keyword}' is written with '{sign}', not with '{word.text}'"
    else:
        message = f"'{sign}' is missing after '{so_far}'"
    value = "{ … }" if first == "INDEX" else "…"
    return failure.diagnostic("E106", message, f"write {so_far} {sign} {value}")


def _input(failure: Failure) -> Diagnostic | None:
    if failure.first != "INPUT" or failure.opener is not None:
        return None
    word = failure.word
    if word.type in ("EQUAL", "TILDE"):
        return failure.diagnostic(
            "E114",
            "an input is given no value here: it comes from the data",
            "write the value in the data section, or declare a param or a weight",
        )
    if word.text == "class" or failure.before == ":":
        name = failure.statement.words[1].text
        return failure.diagnostic(
            "E114",
            f"classes are expected after '{failure.written_so_far()}', but {failure.came}",
            f"write input {name}: class[10]",
        )
    return None


def _heading(failure: Failure) -> Diagnostic | None:
    if failure.first == "BLOCK" and "ARROW" in failure.accepts and failure.opener is None:
        so_far = failure.written_so_far()
        return failure.diagnostic(
            "E114",
            f"the result of the block is missing after '{so_far}'",
            f"write {so_far} -> y[..] {{ … }}",
        )
    if failure.first == "INDEX" and failure.accepts == {"LBRACE"}:
        return failure.diagnostic(
            "E114",
            f"the values of an index stand in braces, but {failure.came}",
            f"write it as in: {FORMS['index']}",
        )
    if failure.first in ("DATA", "TRAIN"):
        return failure.diagnostic(
            "E114",
            f"'{failure.statement.keyword}' is followed by '{{', but {failure.came}",
            f"write {failure.statement.keyword} {{ … }}",
        )
    return None


def _otherwise(failure: Failure) -> Diagnostic:
    ends = failure.word.type == "$END"
    code = "E118" if ends else "E114"
    form = FORMS.get(failure.statement.keyword, "")
    help_line = f"write it as in: {form}" if form else ""
    after = f" after '{failure.before}'" if failure.previous else ""
    expected = sorted({_SPELLING[kind] for kind in failure.accepts if kind in _SPELLING})
    if not expected or len(expected) > 4 or failure.operator_expected:
        message = "the statement cannot end" if ends else f"{shown(failure.word)} cannot stand"
        return failure.diagnostic(code, f"{message}{after}", help_line)
    *others, last = expected
    either = f"{', '.join(others)} or {last}" if others else last
    message = f"{either} {'are' if others else 'is'} expected{after}, but {failure.came}"
    return failure.diagnostic(code, message, help_line)


_RULES: tuple[Callable[[Failure], Diagnostic | None], ...] = (
    not_an_index,
    _extent,
    _name,
    equals_confused,
    _sign,
    reduction_in_parentheses,
    if_without_else,
    ends_too_early,
    operator_missing,
    operand_missing,
    _input,
    _heading,
    _otherwise,
)
