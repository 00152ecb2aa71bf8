"""The value of every expression at every point of a grid, by definition.

In: an `Expansion` with its extents, and the values from outside.  Out: the value of each family.

A grid is a list of indices in force: dimension 0 is the batch (extent 1 where nothing depends on it), then one
dimension per index.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from dln.compiler import syntax

from .dual import UNARY, Dual, all_seen, binary, reduce, select, unary
from .expansion import Expansion
from .scope import Constant, Definition, Field, Index, IndexSet, Instance, OracleError, Scope, Size, Thunk

Grid = list[Index]
DRAWS = ("bernoulli", "uniform", "normal")


class Evaluation:
    """One evaluation: the values found so far."""

    def __init__(self, expansion: Expansion, batch: int, training: bool = False):
        self.expansion = expansion
        self.batch = batch
        self.training = training
        self.values: dict[Field, Dual] = {}
        self.masks: dict[Field, np.ndarray | None] = {}
        self.reducing = False
        self.reader: Field | None = None
        self.hidden: dict[Field, tuple[np.ndarray, Instance]] = {}

    def supply(
        self,
        input_fields: dict[str, Field],
        inputs: dict[str, np.ndarray],
        weight_fields: dict[str, Field],
        weights: dict[str, np.ndarray],
        tangents: dict[str, np.ndarray],
    ) -> None:
        """Enter the values that come from outside."""
        for name, f in input_fields.items():
            kind = np.int64 if f.classes else np.float64
            self.values[f] = Dual(np.asarray(inputs[name]).astype(kind).reshape(self.batch, *f.extents))
        for name, f in weight_fields.items():
            tangent = tangents.get(name)
            value = np.asarray(weights[name], dtype=np.float64).reshape(1, *f.extents)
            self.values[f] = Dual(value, None if tangent is None else tangent[None])
            self.masks[f] = self._mask(f)

    def _mask(self, array: Field) -> np.ndarray | None:
        """Which entries of a weight exist, or of the argument of `softmax[s where …](…)` are seen."""
        if array.where is None:
            return None
        mask = self.evaluate(array.where, array.scope, array.indices, array).value
        return np.broadcast_to(mask, (mask.shape[0], *array.extents))  # it may depend on the sample

    def family(self, f: Field) -> Dual:
        assert f.body is not None
        self.reader = f
        value = self.evaluate(f.body, f.scope, f.indices, f).settled()
        if f.where is not None:
            assert f.owner is not None
            mask = self._mask(f)
            value.seen, self.hider = mask, f.owner
        if value.seen is not None:
            self.hidden[f] = (np.broadcast_to(value.seen, (value.seen.shape[0], *f.extents)), self.hider)
            value = select(Dual(value.seen), value, Dual(np.zeros_like(value.value)))
        return self._spread(value, f)

    def _spread(self, value: Dual, f: Field) -> Dual:
        shape = (value.value.shape[0], *f.extents)
        tangent = value.tangent
        if tangent is not None:
            tangent = np.broadcast_to(tangent, (*shape, tangent.shape[-1]))
        return Dual(np.broadcast_to(value.value, shape), tangent)

    def recurrence(self, group: list[Field]) -> None:
        """Sweep over all families of a recurrence until nothing changes: right, since no point depends on itself."""
        for f in group:
            self.values[f] = Dual(np.full((1, *f.extents), np.nan))
        sweeps = sum(sum(f.extents) for f in group) + 2
        for _ in range(sweeps):
            changed = False
            for f in group:
                old, new = self.values[f], self.family(f)
                self.values[f] = new
                same = old.value.shape == new.value.shape and np.array_equal(
                    old.value, new.value, equal_nan=True
                )
                if same and new.tangent is not None:
                    same = old.tangent is not None and np.array_equal(
                        old.tangent, new.tangent, equal_nan=True
                    )
                changed |= not same
            if not changed:
                return
        raise OracleError(f"the recurrence of {[f.name for f in group]} does not settle")

    def present(self, value: Dual) -> Dual:
        """Outside of reductions a product whose connection does not exist is 0; inside, the whole index point is left out."""
        return value if self.reducing else value.settled()

    def batch_mean(self, value: Dual) -> Dual:
        """A loss or metric that still depends on the sample is averaged over the batch."""
        value = value.real()
        tangent = None if value.tangent is None else value.tangent.mean(0)
        return Dual(np.asarray(value.value.mean()), tangent)

    # ------------------------------------------------------------------------------------ expressions

    def grid_of(self, index: Index, grid: Grid) -> Dual:
        where = next((k for k, other in enumerate(grid) if other is index), None)
        if where is None:
            raise OracleError(f"the index '{index.name}' is not in force here")
        size = index.size.value
        if size is None:
            raise OracleError(f"the extent of '{index.name}' cannot be found")
        shape = [1] * (len(grid) + 1)
        shape[where + 1] = size
        return Dual(np.arange(size).reshape(shape))

    def scalar(self, value: float | int | bool, grid: Grid) -> Dual:
        array = np.asarray(value)
        if array.dtype.kind == "f":
            array = array.astype(np.float64)
        return Dual(array.reshape((1,) * (len(grid) + 1)))

    def evaluate(
        self, node: syntax.Expression, scope: Scope, grid: Grid, family: Field | None = None
    ) -> Dual:
        """The value at every point of the grid, with extent 1 in the dimensions that it does not depend on."""
        match node:
            case syntax.Number():
                return self.scalar(node.value, grid)
            case syntax.Name():
                return self._name(node, scope, grid, family)
            case syntax.Unary():
                operand = self.evaluate(node.operand, scope, grid, family)
                result = unary(node.operator, operand if node.operator == "-" else self.present(operand))
                return replace(result, seen=operand.seen)
            case syntax.Binary():
                parts = [self.evaluate(n, scope, grid, family) for n in (node.left, node.right)]
                if node.operator not in ("*", "/"):
                    parts = [self.present(p) for p in parts]
                return replace(binary(node.operator, *parts), seen=all_seen(*parts))
            case syntax.Conditional():
                parts = [
                    self.present(self.evaluate(n, scope, grid, family))
                    for n in (node.condition, node.then, node.otherwise)
                ]
                return replace(select(*parts), seen=all_seen(*parts))
            case syntax.BoundCall():
                array, subscripts = self.expansion.bound_call(node, scope)
                return self._load(array, [self.grid_of(i, grid) for i in subscripts], None, grid)
            case syntax.Call():
                return self._call(node, scope, grid, family)
            case syntax.Subscript():
                return self._subscript(node, scope, grid, family)
            case syntax.Reduction():
                return self._reduction(node, scope, grid, family)
        raise OracleError(f"cannot evaluate {type(node).__name__}")

    def _name(self, node: syntax.Name, scope: Scope, grid: Grid, family: Field | None) -> Dual:
        meaning = self.expansion.find(node.name, scope)
        match meaning:
            case Constant():
                return self.scalar(meaning.value, grid)
            case Size():
                if meaning.value is None:
                    raise OracleError(f"the extent '{node.name}' cannot be found")
                return self.scalar(meaning.value, grid)
            case IndexSet():
                return self.scalar(len(meaning.values), grid)
            case Index():
                return self.grid_of(meaning, grid)
            case Thunk():
                return self.evaluate(meaning.expression, meaning.scope, grid, family)
            case Field():
                return self._whole(meaning, grid, family)
        if node.name == "training":
            return self.scalar(self.training, grid)
        raise OracleError(f"unknown name '{node.name}'")

    def _whole(self, array: Field, grid: Grid, family: Field | None) -> Dual:
        own = [] if array.rank == 0 or family is None else family.indices
        return self._load(array, [self.grid_of(i, grid) for i in own], None, grid)

    def _call(self, node: syntax.Call, scope: Scope, grid: Grid, family: Field | None) -> Dual:
        definition = scope.called(node.function)
        if isinstance(definition, Definition):
            match definition.node:
                case syntax.MapDeclaration():
                    return self._map(
                        definition, [self.evaluate(a, scope, grid, family) for a in node.arguments], grid
                    )
                case syntax.BlockDeclaration():
                    result = self.expansion.instance(node, definition, scope).results[0]
                    return self._whole(result, grid, family)
                case syntax.FunctionDeclaration():
                    inside = self.expansion.function_scope(node, definition, scope)
                    return self.evaluate(definition.node.body, inside, grid, family)
        if node.function in DRAWS:
            return self.scalar(np.nan, grid)  # no result may depend on it
        arguments = [self.present(self.evaluate(a, scope, grid, family)) for a in node.arguments]
        if node.function in ("max", "min") and len(arguments) == 2:
            return replace(binary(node.function, *arguments), seen=all_seen(*arguments))
        if node.function in UNARY and len(arguments) == 1:
            return replace(unary(node.function, arguments[0]), seen=arguments[0].seen)
        raise OracleError(f"unknown function '{node.function}' of {len(arguments)} arguments")

    def _map(self, definition: Definition, arguments: list[Dual], grid: Grid) -> Dual:
        """A map is a function of integers; a bare table is looked up, −1 (no connection) outside of it."""
        node: syntax.MapDeclaration = definition.node
        if isinstance(node.body, syntax.ArrayLiteral | syntax.TableFile):
            return self._table(self.expansion.values(node.body, definition.scope), arguments, None)
        inside = Scope(definition.scope)
        bound = Substitution(self, inside, dict(zip(node.parameters, arguments, strict=True)))
        return bound.evaluate(node.body, grid)

    def _table(self, table: np.ndarray, subscripts: list[Dual], otherwise: Dual | None) -> Dual:
        field_value = Dual(table[None])
        return self._pick(field_value, table.shape, subscripts, otherwise, outside=-1)

    def _subscript(self, node: syntax.Subscript, scope: Scope, grid: Grid, family: Field | None) -> Dual:
        subscripts = [
            self.grid_of(e, grid) if isinstance(e, Index) else self.evaluate(e, scope, grid, family)
            for e in self.expansion.elements(node, scope)
        ]
        otherwise = None if node.otherwise is None else self.evaluate(node.otherwise, scope, grid, family)
        if isinstance(node.base, syntax.ArrayLiteral | syntax.TableFile):
            return self._table(self.expansion.values(node.base, scope), subscripts, otherwise)
        return self._load(self.expansion.resolve(node.base, scope), subscripts, otherwise, grid)

    def _load(self, array: Field, subscripts: list[Dual], otherwise: Dual | None, grid: Grid) -> Dual:
        found = self._entry(array, subscripts, otherwise, grid)
        hidden = self.hidden.get(array)
        if hidden is not None and self.reader is not None and within(self.reader, hidden[1]):
            self.hider = hidden[1]
            if subscripts:
                found.seen = self._pick(Dual(hidden[0]), array.extents, subscripts, None, outside=0).value
            else:
                found.seen = hidden[0].reshape(-1, *(1,) * len(grid))
        return found

    def _entry(self, array: Field, subscripts: list[Dual], otherwise: Dual | None, grid: Grid) -> Dual:
        if not subscripts:
            value = self.values[array]
            shape = (value.value.shape[0],) + (1,) * len(grid)
            tangent = None if value.tangent is None else value.tangent.reshape(*shape, -1)
            return Dual(value.value.reshape(shape), tangent)
        value = self.values[array]
        if array.kind == "weight" and otherwise is None:
            picked = self._pick(value, array.extents, subscripts, None, outside=0)
            inside = self._inside(array.extents, subscripts)
            mask = self.masks.get(array)
            if mask is not None:
                held = self._pick(Dual(mask), array.extents, subscripts, None, outside=0).value.astype(bool)
                inside = inside & held
            return Dual(picked.value, picked.tangent, inside)
        return self._pick(value, array.extents, subscripts, otherwise)

    def _inside(self, extents: tuple[int, ...], subscripts: list[Dual]) -> np.ndarray:
        inside: Any = True
        for subscript, extent in zip(subscripts, extents, strict=True):
            inside = inside & (subscript.value >= 0) & (subscript.value < extent)
        return np.asarray(inside)

    def _pick(
        self,
        array: Dual,
        extents: tuple[int, ...],
        subscripts: list[Dual],
        otherwise: Dual | None,
        outside: int | None = None,
    ) -> Dual:
        """array[subscripts]; outside of the extents `otherwise`, or `outside`, or NaN, which no result may contain."""
        inside = self._inside(extents, subscripts)
        clipped = [np.clip(s.value, 0, e - 1) for s, e in zip(subscripts, extents, strict=True)]
        ndim = inside.ndim
        samples = np.arange(array.value.shape[0]).reshape((-1,) + (1,) * (ndim - 1))
        where = (samples, *clipped)
        tangent = None if array.tangent is None else array.tangent[where]
        found = Dual(array.value[where], tangent)
        if inside.all():
            return found
        if otherwise is None:
            if outside is None:
                outside_value: Any = np.nan if found.is_real else 0
            else:
                outside_value = outside
            otherwise = Dual(np.full((1,) * ndim, outside_value, dtype=found.value.dtype))
            if found.tangent is not None and outside is None:
                otherwise.tangent = np.full((*otherwise.value.shape, found.tangent.shape[-1]), np.nan)
        return select(Dual(np.broadcast_to(inside, np.broadcast_shapes(inside.shape))), found, otherwise)

    def _reduction(self, node: syntax.Reduction, scope: Scope, grid: Grid, family: Field | None) -> Dual:
        inside, indices, over_batch = self.expansion.reduction_scope(node, scope)
        wider = [*grid, *indices]
        before, self.reducing = self.reducing, True
        body = self.evaluate(node.body, inside, wider, family)
        if not body.is_real and body.value.dtype.kind == "b":
            body = body.real()
        holds = np.ones(self._reduced_shape(body.value.shape, len(grid), indices, over_batch), bool)
        if node.where is not None:
            condition = self.evaluate(node.where, inside, wider, family)
            holds = holds & condition.value
            if condition.exists is not None:
                holds = holds & condition.exists
        self.reducing = before
        for mask in (body.exists, body.seen):
            if mask is not None:
                holds = holds & mask
        dims = tuple(range(len(grid) + 1, len(wider) + 1))
        return reduce(node.kind, body, holds, ((0,) if over_batch else ()) + dims)

    def _reduced_shape(
        self, shape: tuple[int, ...], kept: int, indices: list[Index], over_batch: bool
    ) -> tuple[int, ...]:
        sizes = []
        for index in indices:
            if index.size.value is None:
                raise OracleError(f"the extent of '{index.name}' cannot be found")
            sizes.append(index.size.value)
        batch = self.batch if over_batch else shape[0]
        return (batch, *shape[1 : kept + 1], *sizes)


def within(reader: Field, instance: Instance) -> bool:
    """Whether a family is inside of an instance of a block, at any depth."""
    while True:
        scopes = list(reader.scope.upwards())
        if any(s is instance.scope for s in scopes):
            return True
        around = next((s.memory[("instance", 0)] for s in scopes if ("instance", 0) in s.memory), None)
        if around is None:
            return False
        reader = around.owner


class Substitution:
    """Evaluates the body of a map, whose parameters are values that are already on the grid."""

    def __init__(self, evaluation: Evaluation, scope: Scope, parameters: dict[str, Dual]):
        self.evaluation = evaluation
        self.scope = scope
        self.parameters = parameters

    def evaluate(self, node: syntax.Expression, grid: Grid) -> Dual:
        match node:
            case syntax.Name() if node.name in self.parameters:
                return self.parameters[node.name]
            case syntax.Unary():
                return unary(node.operator, self.evaluate(node.operand, grid))
            case syntax.Binary():
                return binary(node.operator, self.evaluate(node.left, grid), self.evaluate(node.right, grid))
            case syntax.Conditional():
                return select(*(self.evaluate(n, grid) for n in (node.condition, node.then, node.otherwise)))
            case syntax.Subscript() if isinstance(node.base, syntax.ArrayLiteral | syntax.TableFile):
                values = self.evaluation.expansion.values(node.base, self.scope)
                otherwise = None if node.otherwise is None else self.evaluate(node.otherwise, grid)
                return self.evaluation._table(
                    values, [self.evaluate(s, grid) for s in node.subscripts], otherwise
                )
            case syntax.Call():
                definition = self.scope.called(node.function)
                arguments = [self.evaluate(a, grid) for a in node.arguments]
                if isinstance(definition, Definition) and isinstance(definition.node, syntax.MapDeclaration):
                    return self.evaluation._map(definition, arguments, grid)
                if node.function in ("max", "min"):
                    return binary(node.function, *arguments)
                return unary(node.function, arguments[0])
        return self.evaluation.evaluate(node, self.scope, grid)
