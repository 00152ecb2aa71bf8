"""Places in a text, and the drawing of diagnostics, against text written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from dln.compiler.source import (
    NOWHERE,
    Diagnostic,
    DiagnosticError,
    Note,
    Source,
    Span,
    did_you_mean,
    render,
)


def find(source: Source, text: str, start: int = 0) -> Span:
    position = source.text.index(text, start)
    return source.span(position, position + len(text))


def test_places_are_counted_from_one() -> None:
    source = Source("a.dln", "one\ntwo\r\n\nthree")
    assert [str(find(source, word)) for word in ("one", "wo", "three")] == [
        "a.dln:1:1",
        "a.dln:2:2",
        "a.dln:4:1",
    ]
    assert [source.line_text(line) for line in range(6)] == ["", "one", "two", "", "three", ""]
    end = source.span(len(source.text), len(source.text))
    assert (end.line, end.column, end.text) == (4, 6, "")
    assert find(source, "one").to(find(source, "two")).text == "one\ntwo"


def test_the_example_of_the_design() -> None:
    text = "layer hidden[32] = dense(x)\nlayer score[10] = relu(h + bias)\n"
    source = Source("digits.dln", "\n" * 7 + text)
    diagnostic = Diagnostic(
        "E203",
        "'dense' gives 32 units here, but 'score' declares 10",
        find(source, "h + bias"),
        "32 units, from 'hidden[32]' on line 8",
        (Note(find(source, "10"), "declared here"),),
        "write score[32], or put a dense layer between: dense(h)",
    )
    assert render(diagnostic) == (
        "digits.dln:9:24: error[E203]: 'dense' gives 32 units here, but 'score' declares 10\n"
        "   9 | layer score[10] = relu(h + bias)\n"
        "     |             --         ^^^^^^^^ 32 units, from 'hidden[32]' on line 8\n"
        "     |             declared here\n"
        "help: write score[32], or put a dense layer between: dense(h)"
    )
    assert diagnostic.as_json() == {
        "code": "E203",
        "file": "digits.dln",
        "line": 9,
        "column": 24,
        "message": "'dense' gives 32 units here, but 'score' declares 10",
        "help": "write score[32], or put a dense layer between: dense(h)",
    }


def test_three_marks_on_a_line() -> None:
    source = Source("a.dln", "alpha beta gamma")
    notes = (Note(find(source, "gamma"), "third"), Note(find(source, "alpha"), "first"))
    diagnostic = Diagnostic("W301", "all of them", find(source, "beta"), "second", notes)
    assert render(diagnostic) == (
        "a.dln:1:7: warning[W301]: all of them\n"
        "   1 | alpha beta gamma\n"
        "     | ----- ^^^^ ----- third\n"
        "     | |     second\n"
        "     | first"
    )


def test_marks_that_overlap_have_rows_of_their_own() -> None:
    source = Source("a.dln", "f(a, b)")
    diagnostic = Diagnostic(
        "E1", "m", find(source, "b"), "this", (Note(find(source, "f(a, b)"), "the call"),)
    )
    assert render(diagnostic) == (
        "a.dln:1:6: error[E1]: m\n"
        "   1 | f(a, b)\n"
        "     | ------- the call\n"
        "     |      ^ this"
    )  # fmt: skip


def test_lines_stand_in_their_order_and_other_files_after_them() -> None:
    source = Source("a.dln", "one\ntwo\nthree")
    other = Source("lib/b.dln", "  four")
    notes = (
        Note(find(other, "four"), "there"),
        Note(find(source, "one"), "here"),
        Note(find(source, "three"), ""),
    )
    diagnostic = Diagnostic("E1", "m", find(source, "two"), "", notes, "h")
    assert render(diagnostic) == (
        "a.dln:2:1: error[E1]: m\n"
        "   1 | one\n"
        "     | --- here\n"
        "   2 | two\n"
        "     | ^^^\n"
        "   3 | three\n"
        "     | -----\n"
        "    --> lib/b.dln:1:3\n"
        "   1 |   four\n"
        "     |   ---- there\n"
        "help: h"
    )


def test_a_span_over_several_lines_is_underlined_on_its_first() -> None:
    source = Source("a.dln", "let a = f(x,\n  y)\n")
    assert render(Diagnostic("E1", "m", find(source, "f(x,\n  y)"))).splitlines()[1:] == [
        "   1 | let a = f(x,",
        "     |         ^^^^",
    ]


def test_an_empty_span_at_the_end_of_a_line_has_a_caret() -> None:
    source = Source("a.dln", "let a =\r\nlet b")
    assert render(Diagnostic("E1", "m", source.span(7, 7))).splitlines()[1:] == [
        "   1 | let a =",
        "     |        ^",
    ]
    assert render(Diagnostic("E1", "m", Source("e.dln", "").span(0, 0))) == (
        "e.dln:1:1: error[E1]: m\n   1 |\n     | ^"
    )


def test_what_is_printed_is_what_is_underlined() -> None:
    """A tab is one blank, a wide character is two columns, an accent none; control characters are replaced."""
    source = Source("a.dln", "\tx = 漢字 e\u0301 \x1b[31m + bad")
    rows = render(Diagnostic("E1", "m", find(source, "bad"))).splitlines()
    assert rows[1:] == [
        "   1 |  x = 漢字 e\u0301 \ufffd[31m + bad",
        "     | " + " " * 20 + "^^^",  # 5 columns, 4 of two wide characters, and 11
    ]


def test_a_long_line_is_cut_around_the_marks() -> None:
    source = Source("a.dln", "[" + "0, " * 300 + "bad, " + "0, " * 300 + "]")
    rows = render(Diagnostic("E1", "m", find(source, "bad"))).splitlines()
    assert all(len(row) < 180 for row in rows)
    start = rows[2].index("^")
    assert rows[1][start : start + 3] == "bad" and rows[2].strip(" |") == "^^^"
    assert rows[1].startswith("   1 | … ") and rows[1].endswith(" …")


def test_line_numbers_of_any_length_are_aligned() -> None:
    source = Source("a.dln", "one\n" + "\n" * 12344 + "two")
    notes = (Note(find(source, "one"), ""),)
    assert render(Diagnostic("E1", "m", find(source, "two"), "", notes)).splitlines()[1:] == [
        "      1 | one",
        "        | ---",
        "  12346 | two",
        "        | ^^^",
    ]


def test_a_diagnostic_without_a_place() -> None:
    assert render(Diagnostic("E1", "m", NOWHERE, help="h")) == "error[E1]: m\nhelp: h"


def test_did_you_mean() -> None:
    assert did_you_mean("hiden", ["image", "hidden"]) == "did you mean 'hidden'?"
    assert did_you_mean("x", ["image", "hidden"]) == ""


def test_the_error_carries_all_diagnostics() -> None:
    source = Source("a.dln", "one two")
    error = DiagnosticError(Diagnostic("E1", "m", find(source, word)) for word in ("one", "two"))
    assert [diagnostic.span.text for diagnostic in error.diagnostics] == ["one", "two"]
    assert str(error).count("error[E1]: m") == 2


# ----------------------------------------------------------------------------------------- files


def refused(path: Path) -> Diagnostic:
    with pytest.raises(DiagnosticError) as caught:
        Source.read(path)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E100"
    return diagnostic


def test_files_are_read_and_shown_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    file = tmp_path / "folder" / "a.dln"
    file.write_bytes(b"\xef\xbb\xbfparam \xce\xb1 = 1\r\n")
    monkeypatch.chdir(tmp_path)
    assert Source.read(file) == Source("folder/a.dln", "param α = 1\r\n")
    assert Source.read("folder/a.dln").path == "folder/a.dln"
    monkeypatch.chdir(tmp_path / "folder")
    assert Source.read(file).path == "a.dln"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert Source.read(file).path == str(file)


def test_files_that_are_not_text_are_refused(tmp_path: Path) -> None:
    assert "no file" in refused(tmp_path / "missing.dln").message
    assert "cannot be read" in refused(tmp_path).message
    file = tmp_path / "a.dln"
    file.write_bytes(b"param a = 1\n# caf\xe9\n")
    assert "not text in UTF-8: byte 233 on line 2" in refused(file).message
    file.write_bytes(b"param a = 1\n\n\0\n")
    assert "a NUL character on line 3" in refused(file).message
    file.write_bytes("param a = 1".encode("utf-16"))
    assert "not text in UTF-8" in refused(file).message
