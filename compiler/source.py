"""Source text, places in it, and messages about them.

In: a path and a text.  Out: `Span`s that every later node carries, and `Diagnostic`s that point at them.

    source = Source("digits.dln", text)
    raise DiagnosticError([Diagnostic("E201", "unknown name 'hiden'", source.span(10, 15),
                                      help="did you mean 'hidden'?")])
"""

from __future__ import annotations

import bisect
import difflib
import itertools
import os
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import field
from functools import cached_property
from pathlib import Path

from .record import record


@record
class Source:
    """One file's text. `path` is what messages show."""

    path: str
    text: str = field(repr=False)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Source:
        """The text of a file in UTF-8, with its byte-order mark, if any, left out.

        Raises DiagnosticError when there is no such file, or when it is not text.
        """
        shown = shown_path(os.fspath(path))
        where = Span(cls(shown, ""), 0, 0)
        try:
            content = Path(path).read_bytes()
        except FileNotFoundError:
            raise DiagnosticError([Diagnostic("E100", f"there is no file '{shown}'", where)]) from None
        except OSError as error:
            reason = error.strerror or str(error)
            raise DiagnosticError([Diagnostic("E100", f"the file cannot be read: {reason}", where)]) from None
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            message = f"the file is not text in UTF-8: byte {content[error.start]} on line {line}"
            help_line = "save the file as UTF-8 in your editor"
            raise DiagnosticError([Diagnostic("E100", message, where, help=help_line)]) from None
        if "\0" in text:
            message = f"the file is not text: a NUL character on line {text.count(chr(10), 0, text.index(chr(0))) + 1}"
            help_line = "a .dln file is plain text in UTF-8"
            raise DiagnosticError([Diagnostic("E100", message, where, help=help_line)])
        return cls(shown, text)

    @cached_property
    def line_starts(self) -> list[int]:
        """Offset of the first character of every line."""
        return [0, *(newline.end() for newline in re.finditer("\n", self.text))]

    def line_of(self, offset: int) -> int:
        """The 1-based line that holds `offset`."""
        return bisect.bisect_right(self.line_starts, offset)

    def line_text(self, line: int) -> str:
        """The text of a 1-based line, without its newline."""
        if not 1 <= line <= len(self.line_starts):
            return ""
        start = self.line_starts[line - 1]
        end = self.line_starts[line] - 1 if line < len(self.line_starts) else len(self.text)
        return self.text[start:end].rstrip("\r")

    def span(self, start: int, end: int) -> Span:
        return Span(self, start, end)


@record
class Span:
    """A half-open range [start, end) of characters of a source."""

    source: Source = field(repr=False)
    start: int
    end: int

    @property
    def line(self) -> int:
        return self.source.line_of(self.start)

    @property
    def column(self) -> int:
        """1-based column of the first character."""
        return self.start - self.source.line_starts[self.line - 1] + 1

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    def to(self, other: Span) -> Span:
        """The span from the start of this one to the end of `other`."""
        return Span(self.source, self.start, other.end)

    def __str__(self) -> str:
        return f"{self.source.path}:{self.line}:{self.column}"


NOWHERE = Span(Source("<built in>", ""), 0, 0)


@record
class Note:
    """A second place that a diagnostic points at: the other of two facts that disagree."""

    span: Span
    message: str


@record
class Diagnostic:
    """One message: a code (E… error, W… warning), what is wrong in concrete numbers, where, and one way to mend it.

    `message` stands on the first line; `label` beside the underline (may be empty);
    `notes` underline further places; `help` is one line.
    """

    code: str
    message: str
    span: Span
    label: str = ""
    notes: tuple[Note, ...] = ()
    help: str = ""

    @property
    def is_error(self) -> bool:
        return self.code.startswith("E")

    def as_json(self) -> dict[str, object]:
        return {
            "code": self.code,
            "file": self.span.source.path,
            "line": self.span.line,
            "column": self.span.column,
            "message": self.message,
            "help": self.help,
        }


class DiagnosticError(Exception):
    """An invalid file: carries every diagnostic that was found, in source order."""

    def __init__(self, diagnostics: Iterable[Diagnostic]):
        self.diagnostics = list(diagnostics)
        super().__init__("\n\n".join(render(d) for d in self.diagnostics))


def shown_path(path: str) -> str:
    """How messages show a path: relative to the current folder when it lies in there."""
    if not os.path.isabs(path):
        return path
    try:
        relative = os.path.relpath(path)
    except (OSError, ValueError):  # no current folder; another drive
        return path
    return path if relative.startswith(os.pardir) else relative


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """A help line that names the nearest candidate, or '' where nothing is near."""
    near = difflib.get_close_matches(name, list(candidates), n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'?" if near else ""


# ------------------------------------------------------------------------------------------ drawing

_WIDEST = 160  # columns of a source line that are shown; a longer one is cut around its marks


@record
class _Mark:
    """One underlined range on a line: columns [start, end) counted from 0, the sign, and the label."""

    start: int
    end: int
    sign: str
    label: str


def render(diagnostic: Diagnostic) -> str:
    """The text of a diagnostic: place, message, source lines with the spans underlined, help.

    The main span is underlined with `^`, notes with `-`. Marks on one line share one row; the last one's label
    stands beside it, the others' below. Lines of the file come in their order, those of other files after them.
    """
    kind = "error" if diagnostic.is_error else "warning"
    span = diagnostic.span
    if span.source is NOWHERE.source:
        out = [f"{kind}[{diagnostic.code}]: {diagnostic.message}"]
    else:
        out = [f"{span}: {kind}[{diagnostic.code}]: {diagnostic.message}"]
    places = [(span, "^", diagnostic.label)]
    places += [(note.span, "-", note.message) for note in diagnostic.notes]
    lines: dict[tuple[bool, str, int], list[tuple[Span, str, str]]] = {}
    for place in places:
        if place[0].source is not NOWHERE.source:
            path = place[0].source.path
            lines.setdefault((path != span.source.path, path, place[0].line), []).append(place)
    width = max(4, *(len(str(line)) + 2 for _, _, line in lines), 0)
    shown_path = span.source.path
    for (_, path, line), here in sorted(lines.items(), key=lambda item: item[0]):
        if path != shown_path:
            out.append(f"{'':>{width}}--> {here[0][0]}")
            shown_path = path
        text, marks = _drawn_line(here[0][0].source.line_text(line), here)
        out.append(f"{line:>{width}} | {text}".rstrip())
        out += [f"{'':>{width}} | {row}".rstrip() for row in _underline(marks)]
    if diagnostic.help:
        out.append(f"help: {diagnostic.help}")
    return "\n".join(out)


def _drawn_line(text: str, here: list[tuple[Span, str, str]]) -> tuple[str, list[_Mark]]:
    """A source line as it is printed, and the marks below it in columns of the print."""
    columns = [0]  # where each character begins
    shown = []
    for character in text:
        drawn = _drawn_character(character)
        shown.append(drawn)
        columns.append(columns[-1] + _columns(drawn))
    marks = []
    for span, sign, label in here:
        start = min(span.column - 1, len(text))
        end = max(start, min(start + span.end - span.start, len(text)))
        marks.append(_Mark(columns[start], max(columns[end], columns[start] + 1), sign, label))
    if columns[-1] <= _WIDEST:
        return "".join(shown), marks
    cut = max(0, min(mark.start for mark in marks) - _WIDEST // 2)
    first = next(i for i, column in enumerate(columns) if column >= cut)
    last = max(i for i, column in enumerate(columns) if column <= columns[first] + _WIDEST)
    before, after = ("… " if first else ""), (" …" if last < len(text) else "")
    shift = len(before) - columns[first]
    limit = columns[last] - columns[first] + len(before)
    moved = []
    for mark in marks:
        start = min(mark.start + shift, limit)
        moved.append(_Mark(start, max(min(mark.end + shift, limit), start + 1), mark.sign, mark.label))
    return before + "".join(shown[first:last]) + after, moved


def _drawn_character(character: str) -> str:
    """A tab counts as one blank; control characters cannot reach the terminal."""
    if character == "\t":
        return " "
    return character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _underline(marks: list[_Mark]) -> list[str]:
    """The rows below a source line."""
    marks = sorted(marks, key=lambda mark: (mark.start, mark.end))
    for left, right in itertools.pairwise(marks):
        if left.end > right.start:  # they overlap: a row for each
            return [row for mark in marks for row in _underline([mark])]
    signs = ""
    for mark in marks:
        signs = signs.ljust(mark.start) + mark.sign * (mark.end - mark.start)
    *others, last = marks
    rows = [f"{signs} {last.label}".rstrip()]
    waiting = [mark for mark in others if mark.label]
    while waiting:
        mark = waiting.pop()
        row = ""
        for other in waiting:
            row = row.ljust(other.start) + "|"
        rows.append(row.ljust(mark.start) + mark.label)
    return rows
