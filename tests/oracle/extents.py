"""The extents of all axes, and which array reads which: found by walking over every definition.

In: an `Expansion`.  Out: its sizes filled in, its `dependencies` noted.

    h[j: 3] = sum[i] w[K(i, j)] * x[i]     →   i runs as far as x's axis does; h depends on w and x
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dln.compiler import syntax

from .expansion import Expansion
from .scope import Definition, Field, Index, OracleError, Scope, Size, Thunk, unify


class ExtentSolver:
    """Gathers equations between sizes, then goes over them until nothing changes."""

    def __init__(self, expansion: Expansion):
        self.expansion = expansion
        self._walked: set[int] = set()

    def walk(self, field: Field) -> None:
        """Note what a family refers to, and which extents its subscripts make equal."""
        self.expansion.dependencies.setdefault(field, set())
        for node in (field.body, field.where):
            if node is not None:
                self._walk(node, field.scope, field)

    def _refer(self, field: Field, array: Field) -> None:
        self.expansion.dependencies[field].add(array)

    def _walk(self, node: syntax.Expression, scope: Scope, field: Field) -> None:
        down: Callable[..., None] = self._walk
        match node:
            case syntax.Name():
                meaning = self.expansion.find(node.name, scope)
                if isinstance(meaning, Thunk):
                    down(meaning.expression, meaning.scope, field)
                elif isinstance(meaning, Field):
                    self._whole(meaning, field)
            case syntax.Unary():
                down(node.operand, scope, field)
            case syntax.Binary():
                down(node.left, scope, field)
                down(node.right, scope, field)
            case syntax.Conditional():
                for part in (node.condition, node.then, node.otherwise):
                    down(part, scope, field)
            case syntax.BoundCall():
                self._refer(field, self.expansion.bound_call(node, scope)[0])
            case syntax.Reduction():
                inside, _, _ = self.expansion.reduction_scope(node, scope)
                if node.where is not None:
                    down(node.where, inside, field)
                down(node.body, inside, field)
            case syntax.Subscript():
                if not isinstance(node.base, syntax.ArrayLiteral | syntax.TableFile):
                    array = self.expansion.resolve(node.base, scope)
                    self._refer(field, array)
                    elements = self.expansion.elements(node, scope)
                    if len(elements) != array.rank:
                        raise OracleError(f"'{array.name}' has {array.rank} axes, {len(elements)} subscripts")
                    soft = array.kind == "weight" or node.otherwise is not None
                    for element, index in zip(elements, array.indices, strict=True):
                        meant = self.as_index(element, scope)
                        if meant is not None:
                            equations = (
                                self.expansion.weak if soft or meant.declared else self.expansion.strong
                            )
                            equations.append((meant.size, index.size))
                else:
                    self._table(node.base, node.subscripts, scope, scope)
                for element in self.expansion.elements(node, scope):
                    if not isinstance(element, Index):
                        down(element, scope, field)
                if node.otherwise is not None:
                    down(node.otherwise, scope, field)
            case syntax.Call():
                definition = scope.called(node.function)
                if isinstance(definition, Definition) and isinstance(
                    definition.node, syntax.BlockDeclaration
                ):
                    self._whole(self.expansion.instance(node, definition, scope).results[0], field)
                elif isinstance(definition, Definition) and isinstance(
                    definition.node, syntax.FunctionDeclaration
                ):
                    inside = self.expansion.function_scope(node, definition, scope)
                    down(definition.node.body, inside, field)
                else:
                    if isinstance(definition, Definition) and isinstance(
                        definition.node, syntax.MapDeclaration
                    ):
                        self._map(definition, node, scope)
                    for argument in node.arguments:
                        down(argument, scope, field)

    def _map(self, definition: Definition, node: syntax.Call, scope: Scope) -> None:
        """A map that is a table tells its arguments how far they run."""
        declaration: syntax.MapDeclaration = definition.node
        body = declaration.body
        if isinstance(body, syntax.ArrayLiteral | syntax.TableFile):
            self._table(body, node.arguments, definition.scope, scope)
        elif isinstance(body, syntax.Subscript) and isinstance(
            body.base, syntax.ArrayLiteral | syntax.TableFile
        ):
            given = dict(zip(declaration.parameters, node.arguments, strict=True))
            arguments = [given.get(s.name, s) if isinstance(s, syntax.Name) else s for s in body.subscripts]
            self._table(body.base, arguments, definition.scope, scope)

    def _table(self, table: syntax.Expression, subscripts: Sequence[Any], home: Scope, scope: Scope) -> None:
        for subscript, extent in zip(subscripts, self.expansion.values(table, home).shape, strict=False):
            meant = self.as_index(subscript, scope)
            if meant is not None:
                self.expansion.weak.append((meant.size, Size(extent)))

    def _whole(self, array: Field, field: Field) -> None:
        """An array without subscripts stands for itself at the family's own axes."""
        self._refer(field, array)
        if array.rank == 0:
            return
        if array.rank != field.rank:
            raise OracleError(f"'{array.name}' has {array.rank} axes where '{field.name}' has {field.rank}")
        self.expansion.strong += [(a.size, b.size) for a, b in zip(field.indices, array.indices, strict=True)]

    def as_index(self, element: syntax.Expression | Index, scope: Scope) -> Index | None:
        """The index that a subscript is, if it is nothing but one."""
        if isinstance(element, Index):
            return element
        if isinstance(element, syntax.Name):
            meaning = scope.find(element.name)
            if isinstance(meaning, Index):
                return meaning
            if isinstance(meaning, Thunk):
                return self.as_index(meaning.expression, meaning.scope)
        return None

    def solve(self) -> None:
        """Find all extents: declared ones, then families and inputs, then weights and guarded subscripts."""
        waiting = list(reversed(self.expansion.fields))
        while waiting:  # walking may make more fields (blocks, arguments); they come next
            field = waiting.pop()
            if id(field) not in self._walked:
                self._walked.add(id(field))
                number = len(self.expansion.fields)
                self.walk(field)
                waiting += reversed(self.expansion.fields[number:])
        while self._settle() or self._weakly():
            pass

    def _settle(self) -> bool:
        changed = False
        for a, b in self.expansion.strong:
            changed |= unify(a, b)
        for size, expression, scope in self.expansion.equations:
            value = self.expansion.constant(expression, scope)
            if value is not None:
                if value != int(value):
                    raise OracleError(f"the extent {value} is no integer")
                if size.value is None:
                    changed |= unify(size, Size(int(value)))
                elif size.value != int(value):
                    raise OracleError(f"extents disagree: {size.value} and {value}")
        return changed

    def _weakly(self) -> bool:
        """A weight's extent gives an index its size (or the reverse) where nothing else does."""
        for a, b in self.expansion.weak:
            if (a.value is None) != (b.value is None):
                return unify(a, b)
        return any(a.value is None and unify(a, b) for a, b in self.expansion.weak)
