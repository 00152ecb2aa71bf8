"""The whole elaboration of a file, and its result.

In: a path or a text, and settings.  Out: `Network`; DiagnosticError with all errors of the file.

    elaborate("digits.dln", {"width": "64"}).graph
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import syntax
from ..mathematics.counts import unused_weights
from ..mathematics.expression import Constant, Expression
from ..mathematics.graph import Graph
from ..source import NOWHERE, Diagnostic, DiagnosticError, Note, Source
from .build import build
from .context import Context, Positions
from .declare import heading, is_extent
from .elaborated import Network
from .modules import DEFINITIONS, Modules, prelude
from .optimizer import check_optimizer
from .report import Reporter
from .resolve import Resolver
from .scope import Scope
from .search_settings import check_search
from .settings import TRAIN_KEYS, apply_data_settings, apply_settings, check_sections, optimizer_arguments
from .tables import read_text
from .targets import Instance, Site, Slot, Unit
from .terms import POISON
from .train_settings import check_step_settings
from .weights import mentions

#: Python's limit on nested calls; expressions are limited to less (state.LEVEL_LIMIT), a few calls a level.
_CALLS = 6000


def elaborate(path: str | Path, settings: Mapping[str, str] | None = None) -> Network:
    """Read and elaborate a file. Raises DiagnosticError with every error of the file and of what it imports.

    `settings`: param, key of `train` or argument of the optimizer → its value as text.
    """
    file = Path(path)
    text = read_text(file, str(path), NOWHERE, 4_000_000)
    return _Elaboration(Source(str(path), text), file, file.parent, settings or {}).run()


def elaborate_text(text: str, path: str = "<text>", settings: Mapping[str, str] | None = None) -> Network:
    """Elaborate a text. Imports and tables are looked for in the folder of `path`, for "<text>" in the current one."""
    folder = Path(path).parent
    return _Elaboration(Source(path, text), None, folder, settings or {}).run()


class _Elaboration:
    def __init__(self, source: Source, file: Path | None, folder: Path, settings: Mapping[str, str]) -> None:
        self.source, self.file, self.folder, self.settings = source, file, folder, settings
        self.reporter = Reporter()
        self.modules = Modules(self.reporter)
        self.resolver = Resolver(self.reporter)
        self.train: syntax.TrainDeclaration | None = None
        self.data: syntax.DataDeclaration | None = None
        self.search: syntax.SearchDeclaration | None = None
        self.loss: Unit | None = None
        self.metrics: dict[str, Unit] = {}

    def run(self) -> Network:
        # Never lowered again: another thread may be in the middle of a file.
        sys.setrecursionlimit(max(_CALLS, sys.getrecursionlimit()))
        try:
            return self.elaborate()
        except RecursionError:
            span = self.source.span(0, 0)
            message = "the file nests expressions, functions and blocks too deeply"
            raise DiagnosticError([Diagnostic("E218", message, span)]) from None

    def elaborate(self) -> Network:
        module = self.modules.parse(self.source, self.folder)
        resolver = self.resolver
        resolver.folders = self.modules.folders
        root = Instance()
        library = Scope(prelude())
        root.scope = Scope(library)
        ctx = Context(root.scope, Site("", root), Positions([]), root)
        self.import_into(library, module, ctx)
        self.sections(module)
        resolver.declare_definitions(module.declarations, root.scope, ctx)
        parameters = [d.name for d in module.declarations if isinstance(d, syntax.ParameterDeclaration)]
        settings, self.data = apply_data_settings(self.settings, parameters, self.data, self.reporter)
        values, self.train = apply_settings(settings, parameters, self.train, root.scope, self.reporter)
        self.declare_parameters(module, root.scope, values, ctx)
        root.declarations = tuple(
            d for d in module.declarations if not isinstance(d, syntax.ParameterDeclaration)
        )
        root.work = resolver.declare_arrays(root, ctx)
        resolver.resolve_body(root, drain=True)
        self.loss_and_metrics(module, root)
        resolver.drain()
        inputs = [s for s in resolver.slots if s.kind == "input"]
        check_sections(self.data, self.train, [s.label for s in inputs], self.reporter)
        check_search(
            self.search,
            [*parameters, *TRAIN_KEYS, *optimizer_arguments(self.train, root.scope)],
            self.reporter,
        )
        self.check_use(inputs, module)
        self.check_optimizer(root.scope)
        layers = [u for u in resolver.units if u.role == "layer" and u.merged is None]
        layers.sort(key=lambda u: u.span.start)
        graph = build(
            resolver, self.name(module), layers, self.loss, self.metrics, size_names(root.scope, library)
        )
        self.freeze(root, graph)
        if not self.reporter.failed:
            self.reporter.add(unused_weights(graph))
            check_step_settings(self.train, root.scope, graph, self.reporter)
        warnings = self.reporter.finish([s.path for s in self.modules.sources])
        return Network(
            graph,
            self.with_train(module),
            self.parameter_values(root.scope, parameters),
            self.data,
            self.train,
            tuple(self.modules.sources),
            warnings,
            root.scope,
            self.search,
        )

    def freeze(self, root: Instance, graph: Graph) -> None:
        """The weights of frozen layers do not learn; those of one that is read from a file must be there."""
        for d in root.declarations:
            if not isinstance(d, syntax.FamilyDeclaration) or not (d.frozen or d.source):
                continue
            inside = [a for a in graph.weights if a.name.startswith(f"{d.name}.")]
            if not inside and not self.reporter.failed:
                what = "frozen" if d.frozen else "read from a file"
                self.reporter.error("E219", f"'{d.name}' has no weights that could be {what}", heading(d))
            for array in inside if d.frozen else ():
                graph.arrays[array.name] = replace(array, frozen=True)

    # --------------------------------------------------------------------------------------------- parts

    def name(self, module: syntax.Module) -> str:
        names = [d.name for d in module.declarations if isinstance(d, syntax.NetworkDeclaration)]
        return names[0] if names else Path(self.source.path).stem.strip("<>") or "network"

    def import_into(self, library: Scope, module: syntax.Module, ctx: Context) -> None:
        """The definitions of all imported files: they see each other, and the main file sees them."""
        for _, tree in self.modules.imports(module, self.file):
            definitions = [d for d in tree.declarations if isinstance(d, DEFINITIONS)]
            self.resolver.declare_definitions(definitions, library, ctx)
            for d in definitions:
                if isinstance(d, syntax.ParameterDeclaration):
                    value = self.resolver.static_value(
                        d.value, Context(library, ctx.site, ctx.positions, ctx.instance)
                    )
                    self.resolver.introduce(library, d.name, value, heading(d), ctx)

    def declare_parameters(
        self, module: syntax.Module, scope: Scope, values: Mapping[str, syntax.Expression], ctx: Context
    ) -> None:
        """Params, each after those that it uses."""
        waiting = [d for d in module.declarations if isinstance(d, syntax.ParameterDeclaration)]
        nodes = {d.name: values.get(d.name, d.value) for d in waiting}
        while waiting:
            open_names = {d.name for d in waiting}
            ready = [d for d in waiting if not open_names & set(mentions(nodes[d.name]))]
            if not ready:
                circle = " and ".join(f"'{d.name}'" for d in waiting)
                several = f"these params depend on each other: {circle}"
                message = several if len(waiting) > 1 else f"the param {circle} depends on itself"
                self.reporter.error("E210", message, heading(waiting[0]))
            for d in ready or waiting:
                value: Expression = self.resolver.static_value(nodes[d.name], ctx) if ready else POISON
                self.resolver.introduce(scope, d.name, value, heading(d), ctx)
            waiting = [d for d in waiting if d not in ready] if ready else []

    def sections(self, module: syntax.Module) -> None:
        """The declarations that a file has once."""
        seen: dict[type, syntax.Declaration] = {}
        for d in module.declarations:
            kinds = (
                syntax.NetworkDeclaration,
                syntax.LossDeclaration,
                syntax.DataDeclaration,
                syntax.TrainDeclaration,
                syntax.SearchDeclaration,
            )
            if not isinstance(d, kinds):
                continue
            word = d.span.text.split(None, 1)[0].strip("{")
            if type(d) in seen:
                self.reporter.error(
                    "E204",
                    f"a file has one '{word}', and this is the second",
                    heading(d),
                    notes=[Note(heading(seen[type(d)]), "the first")],
                    help="add terms up for a loss of several parts" if word == "loss" else "",
                )
                continue
            seen[type(d)] = d
            if isinstance(d, syntax.DataDeclaration):
                self.data = d
            elif isinstance(d, syntax.TrainDeclaration):
                self.train = d
            elif isinstance(d, syntax.SearchDeclaration):
                self.search = d

    def loss_and_metrics(self, module: syntax.Module, root: Instance) -> None:
        for moment, d in enumerate(module.declarations):
            if isinstance(d, syntax.LossDeclaration) and self.loss is None:
                self.loss = self.scalar_unit("loss", "loss", d, root, moment, "the loss")
            elif isinstance(d, syntax.MetricDeclaration):
                name = d.name or _callee(d.value)
                if not name:
                    self.reporter.error(
                        "E213",
                        "this metric has no name",
                        d.span,
                        help=f"write metric NAME = {d.value.span.text}",
                    )
                    name = f"metric_{len(self.metrics) + 1}"
                if name in self.metrics:
                    self.reporter.error(
                        "E204",
                        f"two metrics have the name '{name}'",
                        d.span,
                        notes=[Note(self.metrics[name].span, "the first")],
                        help="write metric OTHER_NAME = …",
                    )
                    continue
                self.metrics[name] = self.scalar_unit("metric", f"metric.{name}", d, root, moment, "a metric")

    def scalar_unit(self, role: str, suffix: str, d: Any, root: Instance, moment: int, purpose: str) -> Unit:
        unit = Unit(role, span=d.value.span, role=role, home=root, suffix=suffix)
        unit.site = Site(suffix, root, d.span)
        root.sites.append(unit.site)
        self.resolver.units.append(unit)
        self.resolver.resolve_unit(unit, d.value, root, moment, purpose)
        self.resolver.drain()
        return unit

    def check_optimizer(self, scope: Scope) -> None:
        """The optimizer of the train section exists, and takes these arguments."""
        for entry in self.train.entries if self.train is not None else ():
            if entry.key == "optimizer" and entry.values:
                check_optimizer(entry.values[0], scope, self.reporter)

    def check_use(self, inputs: list[Slot], module: syntax.Module) -> None:
        """Inputs that nothing uses. One that only a wrong expression mentions is not reported beside that mistake."""
        names = mentioned(module) if self.reporter.failed else set()
        for slot in inputs:
            if not slot.used and slot.label not in names:
                self.reporter.error(
                    "E212",
                    f"the input '{slot.label}' is used by nothing",
                    slot.span,
                    help=f"use '{slot.label}' in a layer or in the loss, or remove it",
                )
        for slot in self.resolver.slots:
            if slot.kind == "weight" and not slot.used and not self.reporter.failed:
                self.reporter.error(
                    "W501",
                    f"no connection uses the weight '{slot.label}'",
                    slot.span,
                    help="remove it, or use it in a layer",
                )

    def with_train(self, module: syntax.Module) -> syntax.Module:
        declarations = [
            self.train if isinstance(d, syntax.TrainDeclaration) and self.train else d
            for d in module.declarations
        ]
        return syntax.Module(module.path, tuple(declarations), span=module.span)

    def parameter_values(self, scope: Scope, names: list[str]) -> dict[str, int | float | str]:
        values: dict[str, int | float | str] = {}
        for name in names:
            value = scope.names.get(name)
            if isinstance(value, Constant):
                values[name] = value.value
        return values


def size_names(*scopes: Scope) -> list[str]:
    """Names that can stand for a size: whole numbers and index sets."""
    return [n for scope in scopes for n, b in scope.names.items() if is_extent(b)]


def mentioned(module: syntax.Module) -> set[str]:
    """Every name that a file mentions anywhere."""
    return set(mentions(module.declarations))


def _callee(value: syntax.Expression) -> str:
    return (
        value.function
        if isinstance(value, syntax.Call)
        else value.name
        if isinstance(value, syntax.Name)
        else ""
    )
