"""The language reference: its examples are files of the language, and it lists every code."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from dln.compiler.parse import parse
from dln.compiler.parsing.syntax_errors import RESERVED, STATEMENT_WORDS, SYNTAX_CODES
from dln.compiler.source import DiagnosticError, Source, render

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "grammar" / "README.md"
TEXT = REFERENCE.read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```dln\n(.*?)^```$", TEXT, flags=re.DOTALL | re.MULTILINE)
CODES = re.compile(r"(<!-- codes: .*? -->\n)(.*?)(<!-- end of codes -->)", flags=re.DOTALL)


@pytest.mark.parametrize("text", EXAMPLES, ids=lambda text: " ".join(text.split()[:2]))
def test_examples_are_parsed(text: str) -> None:
    try:
        module = parse(Source("README.md", text))
    except DiagnosticError as error:
        pytest.fail(str(error))
    assert module.declarations


@pytest.mark.parametrize(
    "text",
    [text for text in EXAMPLES if text.startswith("network") and "import" not in text],
    ids=lambda text: " ".join(text.split()[:2]),
)
def test_whole_files_are_right(text: str, tmp_path: Path) -> None:
    pipeline = pytest.importorskip("dln.compiler.pipeline", exc_type=ImportError)
    file = tmp_path / "example.dln"
    file.write_text(text, encoding="utf-8")
    errors = [diagnostic for diagnostic in pipeline.check(file) if diagnostic.is_error]
    assert not errors, "\n\n".join(render(diagnostic) for diagnostic in errors)


def all_codes() -> dict[str, str]:
    """Every code that a message can bear; the front end's tables, and the one of data and training."""
    codes = dict(SYNTAX_CODES)
    for name in ("dln.compiler.elaborate.codes", "dln.runtime.codes"):
        try:
            codes |= importlib.import_module(name).CODES
        except ModuleNotFoundError:
            continue
    return dict(sorted(codes.items(), key=lambda item: (item[0][1:], item[0])))


def test_every_code_is_listed(update_golden: bool) -> None:
    rows = "".join(f"| {code} | {meaning} |\n" for code, meaning in all_codes().items())
    table = f"| code | meaning |\n|---|---|\n{rows}"
    if update_golden:
        REFERENCE.write_text(CODES.sub(lambda m: m[1] + table + m[3], TEXT), encoding="utf-8")
    found = CODES.search(REFERENCE.read_text(encoding="utf-8"))
    assert found is not None and found[2] == table


def test_every_statement_and_reserved_word_is_described() -> None:
    statements = TEXT[TEXT.index("## Statements") : TEXT.index("### network")]
    for word in STATEMENT_WORDS:
        assert f"`{word} " in statements, word
    words = TEXT[TEXT.index("**Reserved words**") : TEXT.index("**Numbers**")]
    assert set(RESERVED) <= set(re.findall(r"\w+", words))


@pytest.mark.parametrize(
    "path",
    [*sorted(ROOT.glob("models/*.dln")), *sorted(ROOT.glob("grammar/prelude/*.dln"))],
    ids=lambda p: p.name,
)
def test_models_and_prelude_are_parsed(path: Path) -> None:
    try:
        parse(Source.read(path))
    except DiagnosticError as error:
        pytest.fail(str(error))
