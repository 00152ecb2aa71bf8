"""Words to statements: where each statement of a file begins and ends.

In: the words of a file, in order, as the lexer of grammar/dln.lark cuts them (with NEWLINEs).
Out: `Statement`s, each with its words and, where braces follow, with the statements in them; and
diagnostics for whatever makes the end of a statement doubtful: brackets, quotes, odd characters.

    "let y[j] = a[j]\n  + b[j]\nloss y"  →  Statement(let y [ j ] = a [ j ] + b [ j ]), Statement(loss y)

A newline ends a statement unless brackets are open, the line ends where something must follow (an
operator, a comma, `=`), or the next line begins with something that cannot begin a statement.
Cutting first and parsing afterwards means that an error cannot reach beyond its statement. A bracket
that is never closed is noticed at the next line that plainly begins a new statement.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import field

from ..record import record
from ..source import Diagnostic, Note, Source, Span, did_you_mean
from .syntax_errors import STATEMENT_WORDS, limit_exceeded, malformed_number, open_string, unknown_character

BRACKET_LIMIT = 100

DECLARING = frozenset(word.upper() for word in STATEMENT_WORDS)
SECTIONS = {name: name for name in ("block", "optimizer", "data", "train", "search")}
#: Sections whose lines are entries.
OF_ENTRIES = ("data", "train", "search")
_SOFT = DECLARING | {"CLASS", "FROM"}

#: What can be frozen.
_FROZEN = frozenset(["WEIGHT", "LAYER", "LET"])

_OPENS = {")": "(", "]": "[", "}": "{"}
_CLOSES = {opening: closing for closing, opening in _OPENS.items()}
_OPERATORS = frozenset(["PLUS", "MINUS", "STAR", "SLASH", "CIRCUMFLEX", "COMPARE", "AND", "OR", "DIV", "MOD"])
# After one of these a statement cannot be complete, before one of those none can begin.
_CONTINUES_AFTER = _OPERATORS | frozenset(
    ["EQUAL", "COMMA", "COLON", "ARROW", "ASSIGN", "TILDE", "WHERE", "ELSE", "IF", "NOT"]
)
_CONTINUES_BEFORE = _OPERATORS | frozenset(["EQUAL", "ARROW", "ASSIGN", "TILDE", "WHERE", "ELSE", "IF"])
_ENDS_OPERAND = frozenset(["NAME", "DOTTED_NAME", "NUMBER", "STRING", "RPAR"]) | _SOFT
_STARTS_OPERAND = frozenset(["NAME", "DOTTED_NAME", "NUMBER", "STRING"]) | _SOFT


@record(frozen=False, eq=False)
class Word:
    """One word of the text. `type` is the name of its terminal in the grammar, '$END' for the end."""

    type: str
    text: str
    span: Span


@record(frozen=False, eq=False)
class Statement:
    """The words of one statement. Where braces follow it, `opening` is the `{` and `body` what they hold.

    `section` says where it stands: in the 'module', in a 'block', 'optimizer', 'data', 'train' or 'search' section, or
    under a heading that nobody understands (''). A `flawed` statement has been reported and is not parsed.
    """

    section: str
    words: list[Word] = field(default_factory=list)
    flawed: bool = False
    opening: Word | None = None
    body: list[Statement] = field(default_factory=list)
    closing: Word | None = None

    @property
    def keyword(self) -> str:
        """The word it begins with."""
        return self.words[0].text if self.words else ""

    @property
    def span(self) -> Span:
        return self.words[0].span.to((self.closing or self.opening or self.words[-1]).span)


@record(frozen=False, eq=False)
class _Bracket:
    word: Word
    binds: bool  # it follows sum, average, …: a term must come after it


def read_statements(
    source: Source, words: Iterable[Word], section: str = "module"
) -> tuple[list[Statement], list[Diagnostic]]:
    """The statements of a file, and what is wrong with its brackets, quotes and characters.
    `section` is where a text stands that is not a whole file."""
    return _Layout(source, list(words), section).run()


class _Layout:
    def __init__(self, source: Source, words: list[Word], outermost: str):
        self.source = source
        self.words = words
        self.outermost = outermost
        self.position = 0
        self.braces = [i for i, word in enumerate(words) if word.type in ("LBRACE", "RBRACE")]
        self.statements: list[Statement] = []
        self.diagnostics: list[Diagnostic] = []
        self.open_sections: list[Statement] = []
        self.brackets: list[_Bracket] = []
        self.current = Statement("module")
        self.after_binder = False

    def run(self) -> tuple[list[Statement], list[Diagnostic]]:
        for position, word in enumerate(self.words):
            self.position = position
            match word.type:
                case "NEWLINE":
                    self._newline()
                case "LPAR" | "LSQB":
                    self._open(word)
                case "LBRACE":
                    self._open_brace(word)
                case "RPAR" | "RSQB" | "RBRACE":
                    self._close(word)
                case "MALFORMED_NUMBER":
                    self._refuse(malformed_number(word))
                    self._append(word)
                case "UNKNOWN":
                    if not (word.text == "\ufeff" and word.span.start == 0):  # a byte-order mark
                        self._refuse(unknown_character(word))
                        self._append(word)
                case "OPEN_STRING":
                    # Its closing bracket may be inside: what was open ends with the line.
                    self._refuse(open_string(word))
                    self._append(word)
                    self.brackets.clear()
                case _:
                    self._append(word)
        if self.brackets:
            self._unclosed(self.brackets[-1].word, "the file ends")
        self._end_statement()
        while self.open_sections:
            section = self.open_sections.pop()
            if section.opening and section.keyword in SECTIONS:
                self._report(_unclosed_diagnostic(section.opening, "the file ends", None))
        return self.statements, self.diagnostics

    # ------------------------------------------------------------------------------ statements

    @property
    def section(self) -> str:
        return _kind_of_section(self.open_sections[-1]) if self.open_sections else self.outermost

    def _append(self, word: Word) -> None:
        self.current.words.append(word)
        self.after_binder = False

    def _end_statement(self, before_brace: bool = False) -> None:
        statement, self.current = self.current, Statement("module")
        self.brackets.clear()
        self.after_binder = False
        if not statement.words:
            return
        statement.section = self.section
        statement.words = _in_context(statement)
        (self.open_sections[-1].body if self.open_sections else self.statements).append(statement)
        if statement.words[0].text in SECTIONS and not self.open_sections and not before_brace:
            # The heading lacks its `{`. Where a `}` follows all the same, what comes until then is its body.
            following = bisect.bisect_left(self.braces, self.position)
            if self.braces[following:] and self.words[self.braces[following]].text == "}":
                self.open_sections.append(statement)

    def _newline(self) -> None:
        following = self._next_line()
        if not self.current.words or (following and following[0].type == "NEWLINE"):
            return  # the last of several newlines decides
        previous = self.current.words[-1]
        kinds = [word.type for word in following] + ["$END"] * 3
        if previous.type == "OPEN_STRING":
            self._end_statement()
        elif self.brackets:
            if self._begins_statement(previous, kinds):
                self._unclosed(
                    self.brackets[-1].word,
                    f"line {following[0].span.line} begins a new statement",
                    following[0],
                )
                self._end_statement()
        elif kinds[0] == "LBRACE" and self.current.keyword in SECTIONS:
            pass  # the brace of a heading may stand on the next line
        elif (
            not (previous.type in _CONTINUES_AFTER or kinds[0] in _CONTINUES_BEFORE or self.after_binder)
        ) or self._begins_statement(previous, kinds):
            self._end_statement()

    def _next_line(self) -> list[Word]:
        """The first words of the next line; only a NEWLINE when it is empty."""
        line: list[Word] = []
        for word in self.words[self.position + 1 : self.position + 4]:
            if word.type == "NEWLINE" and line:
                break
            line.append(word)
        return line

    def _begins_statement(self, previous: Word, kinds: list[str]) -> bool:
        """Whether the next line is plainly a new statement, although the one before it is not complete: it
        begins with two operands in a row, which no expression can hold."""
        first, second = kinds[:2]
        if second not in _STARTS_OPERAND and second not in ("LBRACE", "REDUCTION"):
            return self.section == "data" and second == "EQUAL" and previous.type in _ENDS_OPERAND
        if first in DECLARING:
            return True
        if previous.type in ("COMMA", "RSQB") or first not in ("NAME", *_SOFT):
            return False
        return previous.type in _ENDS_OPERAND if self.brackets else self.section in OF_ENTRIES

    # -------------------------------------------------------------------------------- brackets

    def _open(self, word: Word) -> None:
        words = self.current.words
        binds = word.type == "LSQB" and bool(words) and words[-1].type == "REDUCTION"
        self.brackets.append(_Bracket(word, binds))
        if len(self.brackets) == BRACKET_LIMIT + 1:
            self._refuse(limit_exceeded(word.span, "brackets are nested", BRACKET_LIMIT))
        self._append(word)

    def _open_brace(self, word: Word) -> None:
        statement = self.current
        if not statement.words:
            help_line = "braces follow the heading of a block, an optimizer, data, train or search"
            self._report(Diagnostic("E119", "'{' stands alone", word.span, help=help_line))
            self.open_sections.append(Statement("", opening=word))
            return
        heading = statement.keyword in SECTIONS
        if statement.words[0].type == "INDEX" or (self.brackets and not heading):
            self.brackets.append(_Bracket(word, False))
            self._append(word)
            return
        if self.brackets:
            self._unclosed(self.brackets[-1].word, "'{' begins the body", word)
        if heading:
            self._leave_unclosed_sections(statement)
        self._end_statement(before_brace=True)
        statement.opening = word
        self.open_sections.append(statement)

    def _leave_unclosed_sections(self, heading: Statement) -> None:
        """A heading inside a section: sections do not nest, so a `}` is missing before it."""
        while self.open_sections:
            section = self.open_sections.pop()
            if section.opening and section.keyword in SECTIONS:
                before = f"'{heading.keyword}' begins first"
                self._report(_unclosed_diagnostic(section.opening, before, heading.words[0]))

    def _close(self, word: Word) -> None:
        wanted = _OPENS[word.text]
        if any(bracket.word.text == wanted for bracket in self.brackets[-BRACKET_LIMIT:]):
            bracket = self.brackets.pop()
            while bracket.word.text != wanted:
                self._unclosed(bracket.word, f"'{word.text}' comes first", word)
                bracket = self.brackets.pop()
            self._append(word)
            self.after_binder = bracket.binds
        elif word.text == "}":
            if self.brackets:
                self._unclosed(self.brackets[-1].word, "'}' comes first", word)
            self._end_statement()
            if self.open_sections:
                self.open_sections.pop().closing = word
            else:
                self._report(_stray_diagnostic(word))
        elif self.brackets:
            self._refuse(_wrong_bracket_diagnostic(word, self.brackets[-1].word))
        else:
            self._refuse(_stray_diagnostic(word))
            self._append(word)

    # ----------------------------------------------------------------------------- diagnostics

    def _report(self, diagnostic: Diagnostic) -> None:
        self.diagnostics.append(diagnostic)

    def _refuse(self, diagnostic: Diagnostic) -> None:
        """Report, and do not parse the statement. Odd characters are all reported; of what follows from
        each other, such as brackets, only the first."""
        if not self.current.flawed or diagnostic.code in ("E101", "E104", "E105"):
            self._report(diagnostic)
        self.current.flawed = True

    def _unclosed(self, opening: Word, why: str, by: Word | None = None) -> None:
        self._refuse(_unclosed_diagnostic(opening, why, by))


def _stray_diagnostic(word: Word) -> Diagnostic:
    wanted = _OPENS[word.text]
    message = f"'{word.text}' closes nothing: no '{wanted}' is open here"
    help_line = f"remove '{word.text}', or write the '{wanted}' that it belongs to"
    return Diagnostic("E103", message, word.span, help=help_line)


def _wrong_bracket_diagnostic(word: Word, opening: Word) -> Diagnostic:
    notes = (Note(opening.span, "opened here"),)
    help_line = f"write '{_CLOSES[opening.text]}' here, or remove '{word.text}'"
    message = f"'{word.text}' does not close '{opening.text}'"
    return Diagnostic("E103", message, word.span, "", notes, help_line)


def _unclosed_diagnostic(opening: Word, why: str, by: Word | None) -> Diagnostic:
    notes = (Note(by.span, "not closed before this"),) if by else ()
    return Diagnostic(
        "E102",
        f"'{opening.text}' is never closed: {why}",
        opening.span,
        "opened here",
        notes,
        f"write the missing '{_CLOSES[opening.text]}'",
    )


def _kind_of_section(heading: Statement) -> str:
    """The section that a heading opens; a misspelt heading counts as what it was meant to be."""
    if heading.keyword in SECTIONS:
        return SECTIONS[heading.keyword]
    for section in SECTIONS:
        if f"'{section}'" in did_you_mean(heading.keyword, SECTIONS):
            return section
    return ""


def _in_context(statement: Statement) -> list[Word]:
    """The words, with those that are special only at certain places turned into NAMEs elsewhere."""
    words: list[Word] = []
    entry = statement.section in OF_ENTRIES
    first = statement.words[0].type
    depth = 0
    assigned = False
    for position, word in enumerate(statement.words):
        if word.text in ("(", "[", "{"):
            depth += 1
        elif word.text in (")", "]", "}"):
            depth -= 1
        if word.type in DECLARING:
            begins = position == 0 or (position == 1 and first == "FROZEN" and word.type in _FROZEN)
            if entry or not begins:
                word = Word("NAME", word.text, word.span)
        elif word.type == "CLASS":
            if not (first == "INPUT" and depth == 0 and words[-1].type == "COLON"):
                word = Word("NAME", word.text, word.span)
        elif word.type == "FROM":
            of_file = statement.words[position + 1 : position + 2]
            if (
                entry
                or depth
                or not (
                    first in ("WEIGHT", "FROZEN")
                    or (first in _FROZEN and of_file and of_file[0].type == "STRING")
                )
            ):
                word = Word("NAME", word.text, word.span)
        elif word.type == "ASSIGN" and first == "UPDATE" and not assigned and depth == 0:
            assigned = True
        elif word.type == "ASSIGN":
            # `x<-1` compares x with -1; only `update x <- …` assigns.
            start = word.span.start
            source = word.span.source
            words.append(Word("COMPARE", "<", source.span(start, start + 1)))
            word = Word("MINUS", "-", source.span(start + 1, start + 2))
        words.append(word)
    return words
