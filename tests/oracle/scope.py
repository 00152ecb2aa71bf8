"""What names mean: sizes, indices, arrays, instances of blocks, and the scopes that hold them.

In: nothing.  Out: the entities that `expansion.py` makes of a syntax tree and `interpreter.py` evaluates.

A `Size` is an extent that may still be unknown; `unify` makes two of them one. Sizes are found by going over all
constraints until nothing changes, which is slow and plain.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dln.compiler import syntax


class OracleError(Exception):
    """The tree says something that the oracle refuses or does not know."""


class Size:
    """An extent: a number, or unknown as yet. Equal sizes share a root."""

    def __init__(self, value: int | None = None):
        self._value = value
        self._parent: Size | None = None

    @property
    def root(self) -> Size:
        node = self
        while node._parent is not None:
            node = node._parent
        return node

    @property
    def value(self) -> int | None:
        return self.root._value

    def __repr__(self) -> str:
        return f"Size({self.value})"


def unify(a: Size, b: Size) -> bool:
    """Make two sizes one; True if that changed anything."""
    a, b = a.root, b.root
    if a is b:
        return False
    if a._value is not None and b._value is not None:
        if a._value != b._value:
            raise OracleError(f"extents disagree: {a._value} and {b._value}")
        return False
    if a._value is None:
        a, b = b, a
    b._parent = a
    return True


_serials = itertools.count(1)


@dataclass(eq=False)
class Index:
    """A variable that runs over 0 … size−1. `declared`: its extent is written, and may be less than what it subscripts."""

    name: str
    size: Size
    declared: bool = False
    serial: int = field(default_factory=lambda: next(_serials))


@dataclass(eq=False)
class Field:
    """An array of the network: an input, a weight, a state, or a family with a definition."""

    name: str
    kind: str  # input, weight, state, family
    indices: list[Index]
    scope: Scope
    body: syntax.Expression | None = None
    where: syntax.Expression | None = None
    classes: Size | None = None  # how many, for an input of class labels
    layer: bool = False
    owner: Instance | None = None

    @property
    def rank(self) -> int:
        return len(self.indices)

    @property
    def class_count(self) -> int:
        """How many classes an input of labels has; 0 for real arrays."""
        return 0 if self.classes is None else self.classes.value or 0

    @property
    def extents(self) -> tuple[int, ...]:
        sizes = [i.size.value for i in self.indices]
        if any(s is None for s in sizes):
            raise OracleError(f"the extents of '{self.name}' cannot be found: {sizes}")
        return tuple(s for s in sizes if s is not None)


@dataclass(eq=False)
class Constant:
    value: int | float


@dataclass(eq=False)
class IndexSet:
    """`index gate = {input, forget}`."""

    values: tuple[str, ...]


@dataclass(eq=False)
class Thunk:
    """An argument handed over by name: an expression that keeps the scope it was written in."""

    expression: syntax.Expression
    scope: Scope


@dataclass(eq=False)
class Definition:
    """A map, function, block or optimizer, and where it was declared."""

    node: Any
    scope: Scope
    alternatives: list[Any] = field(default_factory=list)  # blocks of the same name, `node` the last of them


@dataclass(eq=False)
class Instance:
    """One use of a block: its results and the arrays inside of it."""

    block: str
    scope: Scope
    results: list[Field]
    owner: Field
    fields: list[Field] = field(default_factory=list)


class Scope:
    """Names in a block, function or file; what is not found here is looked for in the parent."""

    def __init__(self, parent: Scope | None = None, owner: Field | None = None):
        self.parent = parent
        self.names: dict[str, Any] = {}
        self.leading: list[Index] | None = None  # the axes that `..` stands for
        self.leading_sizes: list[Size] | None = None
        self._owner = owner
        self.memory: dict[tuple[str, int], Any] = {}

    def find(self, name: str) -> Any:
        for scope in self.upwards():
            if name in scope.names:
                return scope.names[name]
        return None

    def called(self, name: str) -> Any:
        """What a call's name means: a parameter may stand for a function or a block."""
        meaning = self.find(name)
        while isinstance(meaning, Thunk) and isinstance(meaning.expression, syntax.Name):
            meaning = meaning.scope.find(meaning.expression.name)
        return meaning

    def upwards(self) -> Iterator[Scope]:
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def ellipsis_indices(self) -> list[Index]:
        for scope in self.upwards():
            if scope.leading is not None:
                return scope.leading
        raise OracleError("'..' without leading axes")

    def ellipsis_sizes(self) -> list[Size]:
        for scope in self.upwards():
            if scope.leading_sizes is not None:
                return scope.leading_sizes
        raise OracleError("'..' without leading axes")

    @property
    def owner(self) -> Field | None:
        for scope in self.upwards():
            if scope._owner is not None:
                return scope._owner
        return None

    def once(self, what: str, node: Any, make: Any) -> Any:
        """The same object for the same node of the tree, however often it is evaluated."""
        key = (what, id(node))
        if key not in self.memory:
            self.memory[key] = make()
        return self.memory[key]
