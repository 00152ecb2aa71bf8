"""Every erroneous file of this folder gives exactly the messages that stand beside it.

NAME.dln holds mistakes, NAME.txt the rendered diagnostics, blank lines between them. After a change of
the messages, `pytest tests/errors --update-golden` rewrites the texts; then the difference is read.
Files called syntax_… have syntax errors, those called data_… mistakes in what they say about data and training; the
others go through the whole front end. A folder NAME/
may hold files that NAME.dln imports or reads. Files whose name ends in _warning have no errors.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from dln.compiler.parse import parse
from dln.compiler.parsing.syntax_errors import SYNTAX_CODES
from dln.compiler.source import Diagnostic, DiagnosticError, Source, render

FOLDER = Path(__file__).parent
FILES = sorted(path.name for path in FOLDER.glob("*.dln"))


def check_file(path: Path) -> list[Diagnostic]:
    """The diagnostics of a file, as the command `dln check` finds them."""
    if path.name.startswith("data_"):
        from dln.runtime.file_check import check_file as check_with_data

        return check_with_data(path)[1]
    if not path.name.startswith("syntax_"):
        pipeline = pytest.importorskip("dln.compiler.pipeline", exc_type=ImportError)
        diagnostics: list[Diagnostic] = pipeline.check(path)
        return diagnostics
    try:
        parse(Source.read(path))
    except DiagnosticError as error:
        return error.diagnostics
    return []


@pytest.mark.parametrize("name", FILES)
def test_messages_are_as_written(name: str, update_golden: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    monkeypatch.delenv("DLN_DATA", raising=False)
    diagnostics = check_file(Path(name))
    text = "".join(render(diagnostic) + "\n\n" for diagnostic in diagnostics).rstrip("\n") + "\n"
    golden = FOLDER / name.replace(".dln", ".txt")
    if update_golden:
        golden.write_text(text, encoding="utf-8")
    assert diagnostics, "nothing was found wrong with it"
    assert any(d.is_error for d in diagnostics) or Path(name).stem.endswith("_warning")
    assert text == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", FILES)
def test_messages_are_complete(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a code, a place in the file, a message of one line and at most one line of help."""
    monkeypatch.chdir(FOLDER)
    for diagnostic in check_file(Path(name)):
        assert re.fullmatch(r"[EW]\d{3}", diagnostic.code)
        assert diagnostic.message and "\n" not in diagnostic.message + diagnostic.help + diagnostic.label
        length = len(diagnostic.span.source.text)
        assert 0 <= diagnostic.span.start <= diagnostic.span.end <= length
        for note in diagnostic.notes:
            assert 0 <= note.span.start <= note.span.end <= len(note.span.source.text)


def test_golden_texts_have_their_files() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == {Path(name).stem for name in FILES}


def test_every_syntax_code_has_an_example() -> None:
    """But for E100 (unreadable files) and E199 (a hundred errors), which tests/compiler shows."""
    shown = "".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("syntax_*.txt"))
    assert {code for code in SYNTAX_CODES if f"[{code}]" not in shown} <= {"E100", "E199"}
