"""Collecting messages, so that one run reports all mistakes of a file and each of them once.

In: facts from the passes of the elaborator.  Out: sorted diagnostics.

    reporter.error("E201", "unknown name 'hiden'", span, help="did you mean 'hidden'?")

A mistake that shows inside a block of the prelude is reported at the place that called the block, with a note that
points into the block: a student looks at his own line first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..source import Diagnostic, DiagnosticError, Note, Span
from .codes import CODES

DIAGNOSTIC_LIMIT = 100


class Reporter:
    """Messages of one elaboration. `calls`, where given, are the call places that led here, outermost first."""

    def __init__(self) -> None:
        self.diagnostics: list[Diagnostic] = []
        self._seen: set[tuple[str, str, int, str]] = set()

    def error(
        self,
        code: str,
        message: str,
        span: Span,
        label: str = "",
        notes: Sequence[Note] = (),
        help: str = "",
        calls: Sequence[tuple[Span, str]] = (),
    ) -> None:
        """Add a message; the same message at the same place is added once."""
        assert code in CODES, code
        own = [(place, name) for place, name in calls if not is_built_in(place)]
        notes = list(notes)
        if is_built_in(span) and own:
            place, name = own[-1]
            notes = [n for n in notes if n.span != place and not is_built_in(n.span)]
            notes.insert(0, Note(span, label or f"inside '{name}'"))
            span, label = place, f"in this use of '{name}'"
        elif own and own[-1][0] != span and all(n.span != own[-1][0] for n in notes):
            place, name = own[-1]
            notes.append(Note(place, f"in this use of '{name}'"))
        if code == "E303" and any(_overlap(d, span) for d in self.diagnostics):
            return  # it follows from the sizes that disagree there
        key = (code, span.source.path, span.start, message)
        if key not in self._seen and len(self.diagnostics) < DIAGNOSTIC_LIMIT:
            self._seen.add(key)
            self.diagnostics.append(Diagnostic(code, message, span, label, tuple(notes), help))

    def add(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Add finished messages, as the parser makes them."""
        for d in diagnostics:
            self._seen.add((d.code, d.span.source.path, d.span.start, d.message))
            self.diagnostics.append(d)

    @property
    def failed(self) -> bool:
        return any(d.is_error for d in self.diagnostics)

    def ordered(self, paths: Sequence[str] = ()) -> list[Diagnostic]:
        """The messages by file (in the order of `paths`, others last) and place."""
        rank = {path: n for n, path in enumerate(paths)}
        return sorted(
            self.diagnostics,
            key=lambda d: (rank.get(d.span.source.path, len(rank)), d.span.start, d.code),
        )

    def finish(self, paths: Sequence[str] = ()) -> tuple[Diagnostic, ...]:
        """The warnings; raises DiagnosticError with everything where there is an error."""
        ordered = self.ordered(paths)
        if self.failed:
            raise DiagnosticError(ordered)
        return tuple(ordered)


def _overlap(diagnostic: Diagnostic, span: Span) -> bool:
    """Whether a message about sizes that disagree speaks of this place."""
    other = diagnostic.span
    same = diagnostic.code in ("E203", "E304") and other.source is span.source
    return same and other.start < span.end and span.start < other.end


def is_built_in(span: Span) -> bool:
    """Whether a place lies in the prelude, whose path is written `<prelude>/name.dln`."""
    return span.source.path.startswith("<") and not span.source.path.startswith("<text")
