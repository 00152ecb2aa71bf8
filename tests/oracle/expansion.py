"""From a syntax tree to a flat list of arrays with definitions: blocks unfolded, extents found.

In: `syntax.Module` and the modules it may use.  Out: `Expansion`, with every input, weight and family as a `Field`.

    expand(parse('network n\\ninput x[3]\\nlayer y[j: 2] = sum[i] w[i, j] * x[i] …'))

Names of weights inside of blocks follow the rule of the language reference; see `name_instances`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from dln.compiler import syntax

from .calls import Calls
from .names import full_name
from .scope import (
    Constant,
    Definition,
    Field,
    Index,
    IndexSet,
    OracleError,
    Scope,
    Size,
    Thunk,
)
from .tables import read_table


class Expansion(Calls):
    """All arrays of one network, and the equations between their extents."""

    # ------------------------------------------------------------------------------------ declarations

    def declare(self, declarations: Iterable[syntax.Declaration], scope: Scope) -> None:
        """Enter all declarations of a file or a block into its scope."""
        declarations = list(declarations)
        for node in declarations:
            match node:
                case syntax.ParameterDeclaration():
                    value = self.settings.get(node.name)
                    if value is None or scope is not self.root:
                        value = self.constant(node.value, scope)
                    if value is None:
                        raise OracleError(f"param '{node.name}' is not a constant")
                    scope.names[node.name] = Constant(value)
                case (
                    syntax.MapDeclaration()
                    | syntax.FunctionDeclaration()
                    | syntax.BlockDeclaration()
                    | syntax.OptimizerDeclaration()
                ):
                    others = scope.names.get(node.name)
                    alternatives = others.alternatives if isinstance(others, Definition) else []
                    scope.names[node.name] = Definition(node, scope, [*alternatives, node])
                case syntax.IndexDeclaration():
                    scope.names[node.name] = IndexSet(node.values)
                    for number, value_name in enumerate(node.values):
                        scope.names[value_name] = Constant(number)
        for node in declarations:
            match node:
                case syntax.InputDeclaration():
                    self.array(node.name, "input", node.axes, scope, classes=node.classes)
                case syntax.WeightDeclaration():
                    self.array(node.name, "weight", node.axes, scope, where=node.where)
                case syntax.StateDeclaration():
                    self.array(node.name, "state", node.axes, scope)
        families = [node for node in declarations if isinstance(node, syntax.FamilyDeclaration)]
        for node in sorted(families, key=lambda f: not f.axes):  # the others may take their axes from these
            self.family(node, scope)
        for node in declarations:
            match node:
                case syntax.LossDeclaration():
                    self.losses.append(self.scalar("loss", node.value, scope))
                case syntax.MetricDeclaration():
                    called = node.value.function if isinstance(node.value, syntax.Call) else "metric"
                    name = node.name or called
                    self.metrics[name] = self.scalar(name, node.value, scope)

    def array(
        self,
        name: str,
        kind: str,
        axes: tuple[syntax.AxisDeclaration, ...],
        scope: Scope,
        where: syntax.Expression | None = None,
        classes: syntax.Expression | None = None,
    ) -> None:
        """An input, weight or state: its axes are extents, named or not."""
        inside = Scope(scope)
        indices: list[Index] = []
        for axis in axes:
            if axis.ellipsis:
                indices += [Index("", size) for size in scope.ellipsis_sizes()]
                continue
            index = Index(axis.name or "", Size())
            if axis.name:
                inside.names[axis.name] = index
            lone = axis.extent or syntax.Name(axis.name or "")
            index.size = self.extent(lone, scope)
            indices.append(index)
        count = None if classes is None else self.extent(classes, scope)
        if where is not None and not any(axis.name for axis in axes):
            inside.names.update(zip(self.free_names(where, inside), indices, strict=False))
        field = Field(name, kind, indices, inside, where=where, classes=count)
        scope.names[name] = self.add(field)

    def family(self, node: syntax.FamilyDeclaration, scope: Scope) -> None:
        inside = Scope(scope)
        field = Field(node.name, "family", [], inside, body=node.body, layer=node.kind == "layer")
        inside._owner = field
        for axis in node.axes:
            if axis.ellipsis:
                leading = [Index(i.name, i.size) for i in scope.ellipsis_indices()]
                inside.leading, inside.leading_sizes = leading, [i.size for i in leading]
                field.indices += leading
                continue
            lone = axis.extent.name if isinstance(axis.extent, syntax.Name) else None
            if axis.name is None and lone is not None:
                meaning = scope.find(lone)
                if not isinstance(meaning, Constant | Size | Thunk):
                    index = Index(
                        lone, Size(len(meaning.values)) if isinstance(meaning, IndexSet) else Size()
                    )
                    inside.names[lone] = index
                    field.indices.append(index)
                    continue
            index = Index(axis.name or "", Size())
            if axis.extent is not None:
                index.size, index.declared = self.extent(axis.extent, scope), True
            if axis.name:
                inside.names[axis.name] = index
            field.indices.append(index)
        if not node.axes:
            field.indices = [Index("", Size()) for _ in range(self.rank(node.body, inside))]
        already = scope.names.get(node.name)
        if isinstance(already, Field) and already.kind == "promised":
            # A result of the block: the promise made in its head becomes this family.
            for promised, index in zip(already.indices, field.indices, strict=True):
                self.strong.append((promised.size, index.size))
            field.owner = already.owner
            already.__dict__.update(field.__dict__)
            inside._owner = already
            self.add(already)
            return
        scope.names[node.name] = self.add(field)

    def scalar(self, name: str, value: syntax.Expression, scope: Scope) -> Field:
        inside = Scope(scope)
        field = Field(name, "family", [], inside, body=value)
        inside._owner = field
        return self.add(field)

    def extent(self, expression: syntax.Expression, scope: Scope) -> Size:
        """The size that an extent expression means; a new name becomes a new unknown size of this scope."""
        if isinstance(expression, syntax.Name):
            meaning = scope.find(expression.name)
            if isinstance(meaning, Size):
                return meaning
            if isinstance(meaning, IndexSet):
                return Size(len(meaning.values))
            if meaning is None:
                scope.names[expression.name] = size = Size()
                return size
        size = Size()
        self.equations.append((size, expression, scope))
        return size

    # ---------------------------------------------------------------------------------------- constants

    def constant(self, node: syntax.Expression, scope: Scope) -> int | float | None:
        """The value of an expression without indices, or None while a size in it is unknown."""
        match node:
            case syntax.Number():
                return node.value
            case syntax.Name():
                meaning = scope.find(node.name)
                match meaning:
                    case Constant():
                        return meaning.value
                    case Size():
                        return meaning.value
                    case Thunk():
                        return self.constant(meaning.expression, meaning.scope)
                    case IndexSet():
                        return len(meaning.values)
                return None
            case syntax.Unary(operator="-"):
                value = self.constant(node.operand, scope)
                return None if value is None else -value
            case syntax.Binary():
                a, b = self.constant(node.left, scope), self.constant(node.right, scope)
                if a is None or b is None:
                    return None
                return CONSTANT_OPERATORS[node.operator](a, b)
            case syntax.Conditional():
                condition = self.constant(node.condition, scope)
                if condition is None:
                    return None
                return self.constant(node.then if condition else node.otherwise, scope)
            case syntax.Call() if node.function in ("max", "min", "abs", "sqrt"):
                values = [self.constant(a, scope) for a in node.arguments]
                if any(v is None for v in values):
                    return None
                return {"max": max, "min": min, "abs": abs, "sqrt": math.sqrt}[node.function](*values)  # type: ignore[operator]
        return None

    def values(self, node: syntax.Expression, scope: Scope) -> np.ndarray:
        """The entries of a literal or a CSV table."""
        if isinstance(node, syntax.TableFile):
            return read_table(self.folder / node.path)

        def entries(part: syntax.Expression) -> Any:
            if isinstance(part, syntax.ArrayLiteral):
                return [entries(e) for e in part.elements]
            return self.constant(part, scope)

        return np.array(entries(node))

    # ------------------------------------------------------------------------------------------- arrays

    def find(self, name: str, scope: Scope) -> Any:
        """What a name means; a dotted one reaches into the blocks of a layer."""
        meaning = scope.find(name)
        if meaning is None and "." in name:
            return self.inside(name)
        return meaning

    def inside(self, name: str) -> Field | None:
        """The array of that full name, among those of the blocks unfolded so far."""
        return next(
            (f for f in self.fields if f.owner is not None and full_name(f, self.instances) == name), None
        )

    def resolve(self, node: syntax.Expression, scope: Scope) -> Field:
        """The array that an expression names or makes."""
        if isinstance(node, syntax.Name):
            meaning = self.find(node.name, scope)
            if isinstance(meaning, Field):
                return meaning
            if isinstance(meaning, Thunk):
                return self.resolve(meaning.expression, meaning.scope)
        if isinstance(node, syntax.Call):
            definition = scope.called(node.function)
            if isinstance(definition, Definition) and isinstance(definition.node, syntax.BlockDeclaration):
                return self.instance(node, definition, scope).results[0]
        if isinstance(node, syntax.BoundCall):
            return self.bound_call(node, scope)[0]
        return scope.once("anonymous", node, lambda: self._anonymous_field(node, scope))

    def _anonymous_field(self, node: syntax.Expression, scope: Scope) -> Field:
        self._anonymous += 1
        inside = Scope(scope, owner=scope.owner)
        indices = [Index("", Size()) for _ in range(self.rank(node, inside))]
        return self.add(Field(f"#{self._anonymous}", "family", indices, inside, body=node))

    def rank(self, node: syntax.Expression, scope: Scope) -> int:
        """How many axes an expression has when it is read as a whole array."""
        match node:
            case syntax.Name():
                meaning = self.find(node.name, scope)
                if isinstance(meaning, Field):
                    return meaning.rank
                if isinstance(meaning, Thunk):
                    return self.rank(meaning.expression, meaning.scope)
                return 0
            case syntax.Unary():
                return self.rank(node.operand, scope)
            case syntax.Binary():
                return max(self.rank(node.left, scope), self.rank(node.right, scope))
            case syntax.Conditional():
                return max(self.rank(n, scope) for n in (node.condition, node.then, node.otherwise))
            case syntax.Call():
                definition = scope.called(node.function)
                if isinstance(definition, Definition):
                    if isinstance(definition.node, syntax.BlockDeclaration):
                        return self.instance(node, definition, scope).results[0].rank
                    if isinstance(definition.node, syntax.FunctionDeclaration):
                        inside = self.function_scope(node, definition, scope)
                        return self.rank(definition.node.body, inside)
                return max([0, *(self.rank(a, scope) for a in node.arguments)])
        return 0

    def elements(self, node: syntax.Subscript, scope: Scope) -> list[syntax.Expression | Index]:
        """The subscripts, with `..` replaced by the leading axes."""
        out: list[syntax.Expression | Index] = []
        for element in node.subscripts:
            if isinstance(element, syntax.Ellipsis):
                out += scope.ellipsis_indices()
            else:
                out.append(element)
        return out


CONSTANT_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b,
    "^": lambda a, b: a**b, "div": lambda a, b: a // b, "mod": lambda a, b: a % b,
    "==": lambda a, b: a == b, "!=": lambda a, b: a != b, "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
    "and": lambda a, b: a and b, "or": lambda a, b: a or b,
}  # fmt: skip
