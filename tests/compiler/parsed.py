"""What the tests of the parser share: short ways to write trees by hand, and the example files.

In: text of the language.  Out: trees, error codes, nodes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from dln.compiler import syntax
from dln.compiler.parse import parse
from dln.compiler.source import DiagnosticError, Source
from dln.compiler.syntax import (
    AxisDeclaration,
    Binder,
    Ellipsis,
    Module,
    Name,
    Number,
    Reduction,
    Subscript,
)

LANGUAGE = Path(__file__).parent / "language"
FILES = sorted(path.name for path in LANGUAGE.glob("*.dln"))


def tree(text: str) -> Module:
    return parse(Source("test.dln", text))


def only(text: str) -> syntax.Declaration:
    (declaration,) = tree(text).declarations
    return declaration


def codes(text: str) -> list[str]:
    with pytest.raises(DiagnosticError) as caught:
        tree(text)
    return [diagnostic.code for diagnostic in caught.value.diagnostics]


def numbers(*values: int) -> tuple[Number, ...]:
    return tuple(Number(value) for value in values)


def names(text: str) -> tuple[Name, ...]:
    return tuple(Name(name) for name in text.split())


def axes(text: str) -> tuple[AxisDeclaration, ...]:
    """`.. N` → the axes [.., N]."""
    return tuple(
        AxisDeclaration(ellipsis=True) if word == ".." else AxisDeclaration(None, Name(word))
        for word in text.split()
    )


def at(name: str, subscripts: str, otherwise: syntax.Expression | None = None) -> Subscript:
    """`at("w", "i j")` → w[i, j]."""
    return Subscript(
        Name(name),
        tuple(Ellipsis() if word == ".." else Name(word) for word in subscripts.split()),
        otherwise,
    )


def reduction(kind: str, binders: str, body: syntax.Expression) -> Reduction:
    return Reduction(kind, tuple(Binder(name) for name in binders.split()), None, body)


def walk(node: object) -> Iterator[syntax.Node]:
    """Every node of a tree."""
    if isinstance(node, tuple):
        for part in node:
            yield from walk(part)
    elif isinstance(node, syntax.Node):
        yield node
        for part in vars(node).values():
            yield from walk(part)
