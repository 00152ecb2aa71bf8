"""What a syntax error is called and how it is told: the codes, and the messages about single words and whole statements.

In: the word or the statement that is wrong.  Out: a `Diagnostic` with a code of `SYNTAX_CODES`.

    unknown_statement(lyer h [ 3 ] = …)  →  E110 'lyer' does not begin a statement; help: did you mean 'layer'?

What is wrong in the middle of a statement is told by expectations.py.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from ..source import Diagnostic, Span, did_you_mean

if TYPE_CHECKING:
    from .layout import Statement, Word

SYNTAX_CODES = {
    "E100": "the file cannot be read as text",
    "E101": "a character that the language does not use",
    "E102": "a bracket or brace that is never closed",
    "E103": "a bracket or brace that closes nothing",
    "E104": "a text in quotes that is never closed",
    "E105": "a malformed number",
    "E106": "the sign of a declaration (=, ~ or <-) is missing or is another one",
    "E107": "an extent is missing",
    "E108": "a reserved word as a name",
    "E109": "= and == confused",
    "E110": "a line that begins with no known word",
    "E111": "a reduction with parentheses: sum(i) for sum[i]",
    "E112": "chained comparisons",
    "E113": "nested too deeply",
    "E114": "something else was expected here",
    "E115": "an operator is missing between two values",
    "E116": "arguments in the wrong order, or one given twice",
    "E117": "something that cannot be subscripted or called",
    "E118": "the statement ends too early",
    "E119": "a statement or braces in a place where they cannot stand",
    "E120": "a setting written with =",
    "E121": "a reduction over something that is not an index name",
    "E199": "too many errors",
}

REDUCTIONS = ("sum", "average", "max", "min", "product", "argmax", "argmin")
RESERVED = ("if", "else", "and", "or", "not", "div", "mod", "where", *REDUCTIONS)

STATEMENT_WORDS = (
    *("network", "import", "param", "input", "weight", "frozen", "index", "map", "layer", "let", "function"),
    *("block", "state", "update", "loss", "metric", "optimizer", "data", "train", "search"),
)

# How statements of other languages are written here.
_OTHER_WAYS = {
    "for": "what repeats is written with indices: layer h[j: 3] = sum[i] w[i, j] * x[i]",
    "while": "what repeats is written with indices: a recurrence is let h[t] = f(h[t-1 else 0])",
    "if": "a choice is an expression: let y = a if condition else b",
    "return": "the result of a block is what a let of its name defines",
    "print": "values are shown by the commands dln show and dln eval",
}

# What the words of other languages are called here.
_OTHER_LANGUAGES = {
    "def": "function",
    "func": "function",
    "fn": "function",
    "lambda": "function",
    "parameter": "param",
    "var": "let",
    "const": "let",
    "bias": "weight",
    "variable": "weight",
    "class": "block",
    "module": "block",
    "include": "import",
    "from": "import",
    "use": "import",
    "hidden": "layer",
    "output": "layer",
    "objective": "loss",
    "minimize": "loss",
    "model": "network",
    "enum": "index",
    "buffer": "state",
    "fit": "train",
    "training": "train",
    "dataset": "data",
    "sweep": "search",
    "tune": "search",
}

_CHARACTERS = {
    ";": "a newline ends a statement: remove ';'",
    "%": "a remainder is written a mod b; a percentage has no blank before its sign: 70%",
    "&": "write and",
    "|": "write or, or abs(x) for the size of x",
    "!": "write not, or != to compare",
    "'": 'texts stand in double quotes: "file.csv"',
    "`": 'texts stand in double quotes: "file.csv"',
    "@": "a product is a visible reduction: sum[i] a[i] * b[i]",
    "\\": "a line goes on by itself after an operator or inside brackets: remove the backslash",
    "$": "names are letters, digits and _",
    "?": "a choice is written a if condition else b",
    ".": "a name with dots has no blanks in it; a number has a digit beside its point",
    "\u2026": "all leading axes are written '..'",
    "\u2212": "write the minus sign of the keyboard: -",
    "\u2013": "write the minus sign of the keyboard: -",
    "\u2014": "write the minus sign of the keyboard: -",
    "\u00d7": "write *",
    "\u00b7": "write *",
    "\u22c5": "write *",
    "\u00f7": "write /",
    "\u2264": "write <=",
    "\u2265": "write >=",
    "\u2260": "write !=",
    "\u2192": "write ->",
    "\u2190": "write <-",
    "\u2211": "write sum[i]",
    "\u220f": "write product[i]",
    "\u221a": "write sqrt(x)",
    "\u201c": 'write plain double quotes: "',
    "\u201d": 'write plain double quotes: "',
    "\u201e": 'write plain double quotes: "',
    "\u2018": 'write plain double quotes: "',
    "\u2019": 'write plain double quotes: "',
    "\u00a0": "write a plain blank",
    "\u00b2": "write ^2",
    "\u00b3": "write ^3",
}


def unknown_character(word: Word) -> Diagnostic:
    character = word.text
    if character.startswith("..."):
        return Diagnostic(
            "E101", "'...' is not used here", word.span, help="all leading axes are written '..'"
        )
    if len(character) > 2:
        message = f"the text {character} stands in single quotes"
        help_line = f'write it in double quotes: "{character[1:-1]}"'
        return Diagnostic("E101", message, word.span, help=help_line)
    name = unicodedata.name(character[0], "")
    if character.isascii() and character.isprintable():
        shown = f"'{character}'"
    elif character.isprintable() and not character.isspace():
        shown = f"'{character}' (U+{ord(character):04X}{', ' + name.lower() if name else ''})"
    else:
        shown = f"U+{ord(character):04X}{f' ({name.lower()})' if name else ''}"
    help_line = _CHARACTERS.get(character[0], "remove it; names are letters, digits and _")
    return Diagnostic("E101", f"the character {shown} has no meaning here", word.span, help=help_line)


def open_string(word: Word) -> Diagnostic:
    end = word.span.start + len(word.text.rstrip())
    span = Span(word.span.source, word.span.start, max(end, word.span.start + 1))
    return Diagnostic(
        "E104",
        "the text that begins here is not closed on its line",
        span,
        help='write a second " where the text ends',
    )


def malformed_number(word: Word) -> Diagnostic:
    text = word.text
    digits = len(text) - len(text.lstrip("0123456789"))
    rest = text[digits:]
    if digits and "_" in text and text.replace("_", "").isdigit():
        help_line = f"digits are written without '_': {text.replace('_', '')}"
    elif text[:2].lower() in ("0x", "0b", "0o"):
        help_line = "numbers are written with decimal digits"
    elif digits and rest in ("e", "E"):
        help_line = f"an exponent needs digits: {text}3, {text}-3"
    elif rest.count(".") > 1 or (rest.startswith(".") and rest.count(".") == 1 and ".." in rest):
        help_line = "a number has one decimal point"
    elif digits and rest.isidentifier():
        help_line = f"to multiply, write {text[:digits]} * {rest}; a name cannot begin with a digit"
    else:
        help_line = "numbers look like 3, 0.5, 1e-3 or 70%"
    return Diagnostic("E105", f"'{text}' is not a number", word.span, help=help_line)


def limit_exceeded(span: Span, what: str, limit: int) -> Diagnostic:
    return Diagnostic(
        "E113",
        f"{what} more than {limit} deep, which is the limit",
        span,
        help="give parts of the expression a name with let",
    )


def unknown_statement(statement: Statement) -> Diagnostic:
    """A statement whose first word is none of the words that begin one."""
    word = statement.words[0]
    if word.text in _OTHER_WAYS:
        return Diagnostic(
            "E110", f"'{word.text}' does not begin a statement", word.span, help=_OTHER_WAYS[word.text]
        )
    if word.type not in ("NAME", "DOTTED_NAME"):
        return Diagnostic(
            "E110",
            f"a line cannot begin with '{word.text}'",
            word.span,
            help=f"a statement begins with one of: {', '.join(STATEMENT_WORDS)}",
        )
    second = statement.words[1].type if len(statement.words) > 1 else ""
    nearest = did_you_mean(word.text, STATEMENT_WORDS)
    if word.text in _OTHER_LANGUAGES:
        help_line = f"the word for this is '{_OTHER_LANGUAGES[word.text]}'"
    elif nearest and second not in ("EQUAL", "LSQB"):
        help_line = nearest
    elif second in ("EQUAL", "LSQB"):
        help_line = f"to define '{word.text}', write let or layer before it"
    else:
        help_line = nearest or f"a statement begins with one of: {', '.join(STATEMENT_WORDS)}"
    return Diagnostic("E110", f"'{word.text}' does not begin a statement", word.span, help=help_line)


# What may stand in the braces of a block and of an optimizer.
_ALLOWED = {
    "block": ("weight", "frozen", "index", "map", "let", "layer", "state", "update", "function"),
    "optimizer": ("state", "update", "let"),
}


def misplaced_statement(statement: Statement) -> Diagnostic | None:
    """A statement in braces that do not hold such statements, or None."""
    allowed = _ALLOWED.get(statement.section)
    if allowed is None or statement.keyword in allowed:
        return None
    where = "a block" if statement.section == "block" else "an optimizer"
    return Diagnostic(
        "E119",
        f"'{statement.keyword}' cannot stand inside {where}",
        statement.words[0].span,
        help=f"here may stand: {', '.join(allowed)}",
    )


def braces_missing(statement: Statement) -> Diagnostic:
    keyword = statement.keyword
    end = statement.words[-1].span.end
    help_lines = {
        "optimizer": "here an optimizer is defined; to choose one, write it inside train { … }",
        "data": "write data { … }, one entry a line",
        "train": "write train { … }, one entry a line",
        "search": "write search { … }, one entry a line",
        "block": "write { after the result and } after the last line of the block",
    }
    return Diagnostic(
        "E119",
        f"the braces of '{keyword}' are missing",
        statement.words[0].span.source.span(end, end),
        help=help_lines[keyword],
    )


def braces_misplaced(statement: Statement) -> Diagnostic:
    """Braces after a statement that has none."""
    assert statement.opening is not None
    if statement.words[-1].type == "EQUAL":
        help_line = "a list of numbers is written [1, 2, 3]"
    else:
        help_line = "braces hold the values of an index, or follow block, optimizer, data, train and search"
    message = f"no braces can stand after '{statement.words[-1].text}'"
    return Diagnostic("E119", message, statement.opening.span, help=help_line)


def setting_with_equals(key: str, span: Span) -> Diagnostic:
    return Diagnostic(
        "E120",
        f"the setting '{key}' is written without '='",
        span,
        help=f"write {key}, a blank, and the value",
    )
