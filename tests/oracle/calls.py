"""Calls of functions and blocks: parameters bound, blocks unfolded, the indices of reductions made.

In: a call and the scope that it stands in.  Out: the scope of its body, or the arrays that it results in. The same call in
the same scope gives the same objects, however often it is evaluated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dln.compiler import syntax

from .scope import Definition, Field, Index, IndexSet, Instance, OracleError, Scope, Size, Thunk


class Calls:
    """The part of `Expansion` that deals with calls."""

    def __init__(self, root: Scope, settings: dict[str, Any] | None = None, folder: Path = Path()):
        self.root = root
        self.settings = settings or {}
        self.folder = folder
        self.fields: list[Field] = []
        self.losses: list[Field] = []
        self.metrics: dict[str, Field] = {}
        self.instances: list[Instance] = []
        self.equations: list[tuple[Size, syntax.Expression, Scope]] = []
        self.strong: list[tuple[Size, Size]] = []
        self.weak: list[tuple[Size, Size]] = []
        self.dependencies: dict[Field, set[Field]] = {}
        self._anonymous = 0

    def add(self, field: Field) -> Field:
        self.fields.append(field)
        return field

    def declare(self, declarations: Iterable[syntax.Declaration], scope: Scope) -> None:
        raise NotImplementedError

    def extent(self, expression: syntax.Expression, scope: Scope) -> Size:
        raise NotImplementedError

    def resolve(self, node: syntax.Expression, scope: Scope) -> Field:
        raise NotImplementedError

    def bind(
        self,
        function: str,
        declaration: Any,
        outer: Scope,
        given: dict[str, syntax.Expression],
        scope: Scope,
        arrays: dict[str, Field],
    ) -> tuple[Scope, list[Index]]:
        """The scope of one call: its parameters bound to arrays or, by name, to expressions."""
        inside = Scope(outer, owner=scope.owner)
        leading: list[Index] | None = None
        names = {p.name for p in declaration.parameters}
        for name, value in given.items():  # extents of the result: dense(x, M = 32)
            if name not in names:
                inside.names[name] = Thunk(value, scope)
        for parameter in declaration.parameters:
            argument = given.get(parameter.name)
            if parameter.axes is None:
                if argument is not None:
                    inside.names[parameter.name] = Thunk(argument, scope)
                elif parameter.default is not None:
                    inside.names[parameter.name] = Thunk(parameter.default, inside)
                else:
                    inside.names[parameter.name] = Size()
                continue
            array = arrays.get(parameter.name)
            if array is None:
                argument = argument or parameter.default
                if argument is None:
                    raise OracleError(f"'{function}' needs '{parameter.name}'")
                array = self.resolve(argument, scope)
            inside.names[parameter.name] = array
            here = self.leading_of(parameter.axes, array)
            if here is None:
                continue
            if leading is None:
                leading = [Index("", i.size) for i in here]
                inside.leading, inside.leading_sizes = leading, [i.size for i in leading]
            elif len(leading) != len(here):
                raise OracleError(f"'..' is {len(leading)} axes and {len(here)} in '{function}'")
            else:
                self.strong += [(a.size, b.size) for a, b in zip(leading, here, strict=True)]
        for parameter in declaration.parameters:  # the extents may mention parameters that come later
            if parameter.axes is not None:
                self.match_axes(parameter.axes, inside.names[parameter.name], inside)
        return inside, leading or []

    def leading_of(self, axes: tuple[syntax.AxisDeclaration, ...], array: Field) -> list[Index] | None:
        """The indices of an array that `..` stands for; None where the parameter has no `..`."""
        explicit = sum(not a.ellipsis for a in axes)
        where = next((n for n, a in enumerate(axes) if a.ellipsis), None)
        if array.rank < explicit or (where is None and array.rank != explicit):
            raise OracleError(f"'{array.name}' has {array.rank} axes and needs {explicit}")
        return None if where is None else array.indices[where : where + array.rank - explicit]

    def match_axes(self, axes: tuple[syntax.AxisDeclaration, ...], array: Field, inside: Scope) -> None:
        leading = self.leading_of(axes, array) or []
        rest = [i for i in array.indices if not any(i is other for other in leading)]
        for axis, index in zip((a for a in axes if not a.ellipsis), rest, strict=True):
            extent = axis.extent or syntax.Name(axis.name or "")
            self.strong.append((self.extent(extent, inside), index.size))

    def given(self, node: syntax.Call | syntax.BoundCall, declaration: Any) -> dict[str, syntax.Expression]:
        """Arguments by parameter."""
        given = dict(zip((p.name for p in declaration.parameters), node.arguments, strict=False))
        return given | dict(getattr(node, "named", ()))

    def function_scope(self, node: syntax.Call, definition: Definition, scope: Scope) -> Scope:
        def make() -> Scope:
            given = self.given(node, definition.node)
            return self.bind(node.function, definition.node, definition.scope, given, scope, {})[0]

        return scope.once("call", node, make)

    def instance(self, node: syntax.Call, definition: Definition, scope: Scope) -> Instance:
        return scope.once("call", node, lambda: self.instantiate(node, definition, scope, {}))

    def bound_call(self, node: syntax.BoundCall, scope: Scope) -> tuple[Field, list[Index]]:
        """`softmax[s where s <= t](e[t, s])`: the result over outer and bound indices, and the indices to read it at."""
        return scope.once("bound", node, lambda: self._bound_call(node, scope))

    def _bound_call(self, node: syntax.BoundCall, scope: Scope) -> tuple[Field, list[Index]]:
        definition = scope.called(node.function)
        outside = [scope.find(b.name) for b in node.binders]
        bound: list[Index] = []
        names: dict[str, Index] = {}
        for binder, found in zip(node.binders, outside, strict=True):
            index = Index(binder.name, Size())
            if isinstance(found, Index):
                index.size, index.declared = found.size, found.declared
            if binder.extent is not None:
                index.size, index.declared = self.extent(binder.extent, scope), True
            names[binder.name] = index
            bound.append(index)
        inside = Scope(scope, owner=scope.owner)
        inside.names.update(names)
        parts = [*node.arguments, *([node.where] if node.where is not None else [])]
        outer = [i for i in self.free_indices(parts, inside) if not any(i is b for b in bound)]
        given = self.given(node, definition.node)
        arrays: dict[str, Field] = {}
        for parameter in definition.node.parameters:
            if parameter.axes is not None and parameter.name in given:
                self._anonymous += 1
                # The argument keeps the indices of the place where it is written as its own.
                field = Field(
                    f"#{self._anonymous}",
                    "family",
                    [*outer, *bound],
                    inside,
                    given[parameter.name],
                    node.where,
                )
                arrays[parameter.name] = self.add(field)
        instance = self.instantiate(node, definition, scope, arrays)
        for field in arrays.values():
            field.owner = instance  # whose `where` hides entries from this instance alone
        if any(not isinstance(o, Index) for o in outside) and instance.results[0].rank > len(outer):
            raise OracleError(f"'{node.function}' gives an array over an index that is not in force")
        rank = instance.results[0].rank
        return instance.results[0], [*outer, *outside][:rank]

    def free_indices(self, parts: list[Any], scope: Scope) -> list[Index]:
        """The indices in force that expressions mention, in order of mention."""
        found: dict[Index, None] = {}
        for part in parts:
            for name in mentioned(part):
                meaning = scope.find(name)
                if isinstance(meaning, Index):
                    found[meaning] = None
                elif isinstance(meaning, Thunk):
                    found.update(dict.fromkeys(self.free_indices([meaning.expression], meaning.scope)))
                elif name == "..":
                    found.update(dict.fromkeys(scope.ellipsis_indices()))
        return list(found)

    def free_names(self, part: syntax.Expression, scope: Scope) -> list[str]:
        return [name for name in dict.fromkeys(mentioned(part)) if scope.find(name) is None]

    def instantiate(
        self,
        node: syntax.Call | syntax.BoundCall,
        definition: Definition,
        scope: Scope,
        arrays: dict[str, Field],
    ) -> Instance:
        owner = scope.owner
        if owner is None:
            raise OracleError("a block is used outside of a family")
        problem: OracleError | None = None
        for declaration in definition.alternatives:  # blocks of one name differ in the ranks that they take
            try:
                given = self.given(node, declaration)
                inside, leading = self.bind(
                    node.function, declaration, definition.scope, given, scope, arrays
                )
                break
            except OracleError as error:
                problem = problem or error
        else:
            raise problem or OracleError("no alternative")
        instance = Instance(declaration.name, inside, [], owner)
        inside.memory[("instance", 0)] = instance
        results = []
        for result in declaration.results:
            indices = []
            for axis in result.axes or ():
                if axis.ellipsis:
                    indices += [Index("", i.size) for i in leading]
                else:
                    extent = axis.extent or syntax.Name(axis.name or "")
                    indices.append(Index("", self.extent(extent, inside)))
            promised = Field(result.name, "promised", indices, inside, owner=None)
            inside.names[result.name] = promised
            results.append(promised)
        first = len(self.fields)
        self.declare(declaration.body, inside)
        for field in self.fields[first:]:
            if field.owner is None and field.kind != "promised":
                field.owner = instance
                instance.fields.append(field)
        instance.results = results
        self.instances.append(instance)
        return instance

    def reduction_scope(
        self, node: syntax.Reduction | syntax.BoundCall, scope: Scope
    ) -> tuple[Scope, list[Index], bool]:
        """The scope of a reduction's body, its indices, and whether it runs over the batch."""
        return scope.once("bind", node, lambda: self._reduction_scope(node, scope))

    def _reduction_scope(self, node: Any, scope: Scope) -> tuple[Scope, list[Index], bool]:
        inside = Scope(scope)
        indices: list[Index] = []
        batch = False
        for binder in node.binders:
            if binder.name == "batch":
                batch = True
            elif binder.name == "..":
                inside.leading = [Index("", size) for size in scope.ellipsis_sizes()]
                inside.leading_sizes = [i.size for i in inside.leading]
                indices += inside.leading
            else:
                index = Index(binder.name, Size())
                meaning = scope.find(binder.name)
                if binder.extent is not None:
                    index.size, index.declared = self.extent(binder.extent, scope), True
                elif isinstance(meaning, IndexSet):
                    index.size = Size(len(meaning.values))
                inside.names[binder.name] = index
                indices.append(index)
        return inside, indices, batch


def mentioned(node: Any) -> Iterator[str]:
    """All names in an expression, in order; `..` too."""
    if isinstance(node, syntax.Name):
        yield node.name
    elif isinstance(node, syntax.Ellipsis):
        yield ".."
    elif isinstance(node, tuple):
        for part in node:
            yield from mentioned(part)
    elif isinstance(node, syntax.Node):
        for key, value in vars(node).items():
            if key != "span":
                yield from mentioned(value)
