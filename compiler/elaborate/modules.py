"""Files: the main file, what it imports, and the prelude.

In: a path or a text.  Out: scopes of definitions. A file sees its own definitions, those of the files that it imports,
the prelude, and the scalar functions, in this order.

    import "layers.dln"     functions, blocks, maps, optimizers, index sets and params of that file

Imported files lie in the folder of the importing file or below it. The prelude (grammar/prelude/*.dln) is parsed
declaration by declaration, when a name is first asked for, once in a process.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

from .. import syntax
from ..parse import parse
from ..source import DiagnosticError, Note, Source
from .report import Reporter
from .scope import (
    Binding,
    BlockBinding,
    BuiltInScope,
    FunctionBinding,
    MapBinding,
    OptimizerBinding,
    Scope,
)
from .tables import inside_folder, read_text

#: Bytes of a source file.
SOURCE_LIMIT = 4_000_000
#: Files of one program.
FILE_LIMIT = 256


class PreludeScope(Scope):
    """The prelude's definitions, parsed on demand; outside of it lie the scalar functions and the clocks."""

    def __init__(self, folder: Path) -> None:
        super().__init__(BuiltInScope())
        self._texts: dict[str, list[tuple[str, str, int]]] = {}
        self._files: dict[str, str] = {}
        for file in sorted(folder.glob("*.dln")):
            path = f"<prelude>/{file.name}"
            text = file.read_text(encoding="utf-8")
            self._files[path] = text
            for found in _DEFINITION.finditer(text):
                end = _END.search(text, found.end())
                piece = (path, text[found.start() : end.start() if end else len(text)], found.start())
                self._texts.setdefault(found["name"], []).append(piece)

    def supply(self, name: str) -> Binding | None:
        if name not in self._texts:
            return None
        declarations = [self._parsed(*piece) for piece in self._texts[name]]
        first = declarations[0]
        binding: Binding
        match first:
            case syntax.FunctionDeclaration():
                binding = FunctionBinding(first, self)
            case syntax.BlockDeclaration():
                binding = BlockBinding(tuple(declarations), self)  # type: ignore[arg-type]
            case syntax.MapDeclaration():
                binding = MapBinding(first, self)
            case syntax.OptimizerDeclaration():
                binding = OptimizerBinding(first, self)
            case _:
                raise AssertionError(f"the prelude has a {type(first).__name__}")
        self.names[name] = binding
        return binding

    def supplied(self) -> list[str]:
        return list(self._texts)

    def _parsed(self, path: str, piece: str, start: int) -> syntax.Declaration:
        """One declaration, parsed at its own place of the file: what stands before it is left blank."""
        blank = re.sub(r"[^\n]", " ", self._files[path][:start])
        return parse(Source(path, blank + piece)).declarations[0]


_DEFINITION = re.compile(r"^(?:block|function|optimizer|map)\s+(?P<name>[^\W\d]\w*)", re.MULTILINE)
_END = re.compile(r"^(?:block|function|optimizer|map|#)", re.MULTILINE)


@functools.cache
def prelude() -> PreludeScope:
    """The prelude of this process."""
    return PreludeScope(Path(__file__).resolve().parent.parent.parent / "grammar" / "prelude")


class Modules:
    """The files of one elaboration: parsed trees, and the folders from which their tables are read."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.folders: dict[str, Path] = {}
        self.sources: list[Source] = []
        self._loaded: dict[Path, syntax.Module | None] = {}

    def parse(self, source: Source, folder: Path | None) -> syntax.Module:
        """Parse a text. Raises DiagnosticError with its syntax errors."""
        self.sources.append(source)
        if folder is not None:
            self.folders[source.path] = folder
        return parse(source)

    def imports(
        self, module: syntax.Module, file: Path | None
    ) -> list[tuple[syntax.ImportDeclaration, syntax.Module]]:
        """Everything that a file imports, directly or not; each file once, imported ones before those that import them.

        The result pairs each file with the declaration that first asked for it. Circles are reported.
        """
        found: list[tuple[syntax.ImportDeclaration, syntax.Module]] = []
        done: set[Path] = set()
        chain: list[
            tuple[
                Path | None,
                str,
                list[syntax.ImportDeclaration],
                syntax.Module,
                syntax.ImportDeclaration | None,
            ]
        ]
        chain = [(file.resolve() if file else None, module.path, _imports(module), module, None)]
        while chain:
            path, _, waiting, current, asked = chain[-1]
            if not waiting:
                chain.pop()
                if asked is not None and path is not None and path not in done:
                    done.add(path)
                    found.append((asked, current))
                continue
            declaration = waiting.pop(0)
            loaded = self._load(declaration)
            if loaded is None:
                continue
            target, tree = loaded
            circle = [n for n, link in enumerate(chain) if link[0] == target]
            if circle:
                names = [link[1] for link in chain[circle[0] :]]
                notes = [
                    Note(link[4].span, "imported here")
                    for link in chain[circle[0] + 1 :]
                    if link[4] is not None
                ]
                self.reporter.error(
                    "E406",
                    f"files import each other: {' → '.join([*names, names[0]])}",
                    declaration.span,
                    notes=notes,
                    help="move what both need into a third file",
                )
            elif target not in done:
                if len(self._loaded) > FILE_LIMIT:
                    self.reporter.error("E405", f"a program has at most {FILE_LIMIT} files", declaration.span)
                    return found
                chain.append((target, tree.path, _imports(tree), tree, declaration))
        return found

    def _load(self, declaration: syntax.ImportDeclaration) -> tuple[Path, syntax.Module] | None:
        importer = declaration.span.source.path
        folder = self.folders.get(importer)
        try:
            if folder is None:
                message = "an import is read from the folder of a file, and this text has none"
                self.reporter.error("E402", message, declaration.span)
                return None
            path = inside_folder(folder, declaration.path, declaration.span, "file")
            if path not in self._loaded:
                self._loaded[path] = None
                shown = str(Path(importer).parent / declaration.path)
                text = read_text(path, declaration.path, declaration.span, SOURCE_LIMIT)
                self._loaded[path] = self.parse(Source(shown, text), path.parent)
            tree = self._loaded[path]
            return None if tree is None else (path, tree)
        except DiagnosticError as problem:
            self.reporter.add(problem.diagnostics)
            return None


def _imports(module: syntax.Module) -> list[syntax.ImportDeclaration]:
    return [d for d in module.declarations if isinstance(d, syntax.ImportDeclaration)]


DEFINITIONS = (
    syntax.FunctionDeclaration
    | syntax.BlockDeclaration
    | syntax.MapDeclaration
    | syntax.OptimizerDeclaration
    | syntax.IndexDeclaration
    | syntax.ParameterDeclaration
)
