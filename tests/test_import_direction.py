"""The architecture, held by a test: who may import whom, where LLVM may be spoken, how long a file may be.

Everything is read from the sources by `ast`; nothing is imported. The order of rooms stands in the docstring of
compiler/__init__.py, where a newcomer reads it.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import networkx
import pytest

ROOT = Path(__file__).resolve().parents[1]
COMPILER = ROOT / "compiler"
FOLDERS = ("compiler", "runtime", "grammar", "bench", "tests")
PYTHON = sorted(p for folder in FOLDERS for p in (ROOT / folder).rglob("*.py"))
LONGEST_FILE = 400

#: Rooms whose text is LLVM's, and a name's beginning for those that were split.
LLVM_ROOMS = ("llvm", "contraction", "driver", "vector")
LLVM_TEXT = re.compile(
    r"getelementptr|\bbr label|\bdefine (void|internal|linkonce|private|<)|= load |\bret void"
)


def name_of(path: Path) -> str:
    """compiler/elaborate/sizes.py → compiler.elaborate.sizes"""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> tuple[tuple[str, int], ...]:
    """Every module that a file imports, as `compiler.graph` or `numpy.linalg`, with the line. Types' imports do not count."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[tuple[str, int]]:
    package = path.relative_to(ROOT).parent.parts
    for node in _statements(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name.removeprefix("dln."), node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            module = ".".join(base + (node.module.split(".") if node.module else [])).removeprefix("dln.")
            for alias in node.names:
                inner = f"{module}.{alias.name}" if module else alias.name
                yield (inner if is_module(inner) else module), node.lineno


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """All statements, those in functions too, without those that only a type checker sees. (No statement is in an expression.)"""
    for inner in ast.iter_child_nodes(node):
        if isinstance(inner, ast.If) and "TYPE_CHECKING" in ast.dump(inner.test):
            continue
        if isinstance(inner, ast.stmt):
            yield inner
        if isinstance(inner, ast.stmt | ast.excepthandler | ast.match_case):
            yield from _statements(inner)


@cache
def is_module(name: str) -> bool:
    place = ROOT / Path(*name.split("."))
    return place.with_suffix(".py").exists() or place.is_dir()


def rooms_in_order(folder: Path) -> dict[str, int]:
    """Room → its place in the list of a folder's docstring. Rooms between two arrows share a place."""
    docstring = ast.get_docstring(tree_of(folder / "__init__.py")) or ""
    places: dict[str, int] = {}
    for line in docstring.splitlines():
        if line.startswith("    ") and (line[4:5].isalpha() or line[16:17].isalpha()):
            for group in line[16:].split("→"):  # the names begin in one column
                names = re.findall(r"[a-z_]+", group)
                place = len(set(places.values()))
                places.update(dict.fromkeys(names, place))
    return places


def test_the_compiler_knows_nothing_of_the_runtime() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in sorted(COMPILER.rglob("*.py"))
        for module, line in imports(path)
        if module.split(".")[0] in ("runtime", "tests", "bench", "dln")
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "folder",
    [
        "",
        "parsing",
        "mathematics",
        "elaborate",
        "passes",
        "printing",
        "kernels",
        "schedule",
        "machine",
        "stored",
    ],
)
def test_rooms_import_only_rooms_before_them(folder: str) -> None:
    home = COMPILER / folder
    prefix = name_of(home / "__init__.py") + "."
    places = rooms_in_order(home)
    there = {p.stem for p in home.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()} - {
        "__init__"
    }
    assert set(places) == there, f"not both listed and there: {sorted(set(places) ^ there)}"
    wrong = []
    for path in sorted(home.rglob("*.py")):
        room = name_of(path).removeprefix(prefix).split(".")[0]
        for module, line in imports(path):
            other = module.removeprefix(prefix).split(".")[0] if module.startswith(prefix) else room
            if places.get(other, -1) > places.get(room, len(places)):
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {other}, a later room")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("package", ["compiler", "runtime"])
def test_no_circular_imports(package: str) -> None:
    graph = networkx.DiGraph()
    for path in sorted((ROOT / package).rglob("*.py")):
        for module, _ in imports(path):
            if module.startswith(package + ".") and module != name_of(path):
                graph.add_edge(name_of(path), module)
    cycles = [c for c in networkx.strongly_connected_components(graph) if len(c) > 1]
    assert not cycles, f"these import each other: {cycles}"


def test_only_one_file_binds_llvm() -> None:
    allowed = {COMPILER / "machine" / "code_generation.py"}
    wrong = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in PYTHON
        if path not in allowed and path.relative_to(ROOT).parts[0] in ("compiler", "runtime", "grammar")
        for module, line in imports(path)
        if module.split(".")[0] == "llvmlite"
    ]
    assert not wrong, f"only compiler/machine/code_generation.py may import llvmlite: {wrong}"


def test_only_some_rooms_write_llvm() -> None:
    wrong = []
    for path in sorted([*COMPILER.rglob("*.py"), *(ROOT / "runtime").rglob("*.py")]):
        if path.stem.startswith(LLVM_ROOMS):
            continue
        tree = tree_of(path)
        docstrings = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        wrong += [
            f"{path.relative_to(ROOT)}:{node.lineno}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in docstrings
            and LLVM_TEXT.search(node.value)
        ]
    assert not wrong, f"LLVM text outside of its rooms: {wrong}"


def test_every_folder_is_installed() -> None:
    """An editable installation finds a folder that the list forgets; a wheel does not."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    there = {
        f"dln.{name_of(path)}"
        for top in ("compiler", "runtime")
        for path in (ROOT / top).rglob("__init__.py")
    }
    assert there == {name for name in listed if name not in ("dln", "dln.grammar")}


def test_files_are_short() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in PYTHON}
    long = [f"{path.relative_to(ROOT)}: {n} lines" for path, n in lengths.items() if n > LONGEST_FILE]
    assert not long, "\n".join(long)


def test_names_say_something() -> None:
    vague = {"utils", "util", "helpers", "helper", "misc", "core", "common"}
    assert not [
        str(path.relative_to(ROOT)) for path in PYTHON if path.stem in vague or path.parent.name in vague
    ]
