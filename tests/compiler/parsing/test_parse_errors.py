"""Errors and limits: recovery, caps, nonsense, truncations, and a cache that cannot be used."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from dln.compiler.parse import DEPTH_LIMIT, DIAGNOSTIC_LIMIT
from dln.compiler.source import DiagnosticError, render
from dln.compiler.syntax import (
    ArrayLiteral,
    MapDeclaration,
    Subscript,
)

from ..parsed import FILES, LANGUAGE, codes, only, tree

# ------------------------------------------------------------------------------------- recovery


def test_every_bad_statement_is_reported_once_and_good_ones_are_not() -> None:
    text = """
    layer = 3
    layer good[3] = dense(x)
    weight w[ ~ glorot
    layer fine[3] = dense(good)
    block twice(x[N]) -> y[N] {
      let y[i] = 2 ** x[i]
      let z[i] = 2 * x[i]
      wieght w[N] = 0
    }
    data {
      from from from =
      seed 3
      image == 2
    }
    loss sum(x)
    """
    assert codes(text) == ["E114", "E102", "E114", "E110", "E109", "E109", "E111"]


def test_an_unclosed_bracket_is_reported_where_it_was_opened() -> None:
    text = "let a = f(x,\n g(y)\nlet b = 3\nlet c = [1\n"
    with pytest.raises(DiagnosticError) as caught:
        tree(text)
    spans = [diagnostic.span.start for diagnostic in caught.value.diagnostics]
    assert spans == [text.index("(x"), text.index("[1")]


def test_at_most_a_hundred_errors_are_reported() -> None:
    found = codes("param = 3\n" * 500)
    assert found == ["E114"] * DIAGNOSTIC_LIMIT + ["E199"]


def test_the_body_under_a_misspelt_heading_is_parsed_all_the_same() -> None:
    assert codes("dta {\n seed 3\n image = \n}\nlet y = 3") == ["E110", "E118"]
    assert codes("blok f(x[N]) -> y[N] {\n let y = \n}") == ["E110", "E118"]
    assert codes("whatever f(x[N]) {\n seed 3\n let y = \n}\nlet y = )") == ["E110", "E103"]


# --------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    "text",
    [
        "(" * 100_000,
        "(" * 5_000 + "x" + ")" * 5_000,
        "[" * 200 + "1" + "]" * 200,
        "f(" * 5_000 + "x" + ")" * 5_000,
        " + ".join(["x"] * 5_000),
        "^".join(["x"] * 5_000),
        "-" * 50_000 + "x",
        "not " * 5_000 + "x",
        "x if y else " * 5_000 + "z",
        "sum[i] " * 5_000 + "x[i]",
        "x" + "[i]" * 5_000,
        "x < " * 5_000 + "y",
    ],
)
def test_deep_nesting_is_refused_with_a_diagnostic(text: str) -> None:
    found = codes(f"let a = {text}\nlet b = )")
    assert len(found) == 2 and found[1] == "E103"
    assert found[0] in ("E113", "E102", "E112", "E117")


def test_nesting_up_to_the_limit_is_allowed() -> None:
    tree("let a = " + "(" * 100 + "x" + ")" * 100)
    tree("let a = " + " + ".join(["x"] * (DEPTH_LIMIT - 1)))
    assert codes("let a = " + "(" * 101 + "x" + ")" * 101) == ["E113"]
    assert codes("let a = " + " + ".join(["x"] * DEPTH_LIMIT)) == ["E113"]


def test_wide_expressions_are_not_deep() -> None:
    declaration = only("map K(i) = [" + "0, -1, 2, " * 5_000 + "][i]")
    assert isinstance(declaration, MapDeclaration) and isinstance(declaration.body, Subscript)
    assert isinstance(declaration.body.base, ArrayLiteral) and len(declaration.body.base.elements) == 15_000


def test_a_file_beyond_the_size_limit_is_refused() -> None:
    assert codes("#" * 4_000_001) == ["E100"]


# ----------------------------------------------------------------------------------------- fuzz

EXAMPLES = "\n".join((LANGUAGE / name).read_text(encoding="utf-8") for name in FILES)
WORDS = re.findall(r'\w+|"[^"\n]*"|\n|[^\w\s]+', EXAMPLES)


def mutated(rng: random.Random) -> str:
    """A piece of the examples, with some characters removed, doubled or replaced; or mere words."""
    noise = '()[]{}=,.:~<->+*/^"%#\x00\n\t\r é∑ ab12;\u2028\U0001f600'
    match rng.randrange(4):
        case 0:
            return " ".join(rng.choice(WORDS) for _ in range(rng.randrange(1, 60)))
        case 1:
            start = rng.randrange(len(EXAMPLES))
            return EXAMPLES[start : start + rng.randrange(500)]
        case 2:
            return "".join(rng.choice(noise) for _ in range(rng.randrange(80)))
    start = rng.randrange(len(EXAMPLES))
    text = EXAMPLES[start : start + 500]
    for _ in range(rng.randrange(1, 4)):
        place = rng.randrange(len(text) + 1)
        text = text[:place] + rng.choice(["", rng.choice(noise)]) + text[place + rng.randrange(2) :]
    return text


def test_nonsense_gives_a_tree_or_diagnostics() -> None:
    rng = random.Random(2)
    for _ in range(3000):
        text = mutated(rng)
        try:
            tree(text)
        except DiagnosticError as error:
            assert error.diagnostics
            places = [diagnostic.span.start for diagnostic in error.diagnostics]
            assert places == sorted(places)
            for diagnostic in error.diagnostics:
                assert 0 <= diagnostic.span.start <= diagnostic.span.end <= len(text)
                assert render(diagnostic).isprintable() or "\n" in render(diagnostic)


@pytest.mark.parametrize("name", FILES)
def test_every_truncation_gives_a_tree_or_diagnostics(name: str) -> None:
    text = (LANGUAGE / name).read_text(encoding="utf-8")
    for end in range(0, len(text), 7):
        try:
            tree(text[:end])
        except DiagnosticError as error:
            assert all(d.span.end <= end for d in error.diagnostics)


# ---------------------------------------------------------------------------------- cached tables


@pytest.mark.parametrize("folder", ["fresh", "broken", "forbidden"])
def test_the_tables_are_built_where_the_cache_cannot_be_used(folder: str, tmp_path: Path) -> None:
    cache = tmp_path / folder
    if folder == "broken":
        (cache / "dln").mkdir(parents=True)
        (cache / "dln" / "grammar.lalr").write_bytes(b"not a pickle")
    if folder == "forbidden":
        cache.write_text("a file, so that no folder can be made here")
    program = "from dln.compiler.parse import parse, Source\nprint(len(parse(Source('', 'let a = 1')).declarations))"
    for _ in range(2):
        run = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "XDG_CACHE_HOME": str(cache)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (run.stdout, run.stderr, run.returncode) == ("1\n", "", 0)
    assert (cache / "dln" / "grammar.lalr").is_file() == (folder != "forbidden")
