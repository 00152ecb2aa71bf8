"""Expressions: the trees over indices, loads, constants and scalar functions that stand in the graph.

In: nothing.  Out: the node classes, and the few ways to walk and rebuild them.

    i, j = new_axis("i", 4), new_axis("j", 3)
    Load("w", (i - j,)) * Load("x", (BATCH, i))

Every expression has a type: 'real', 'integer' (indices, class labels) or 'boolean'. Trees share nodes freely, so all walks
visit a distinct node once, and none recurses: depth is bounded by memory, not by Python's stack.
Python's operators build nodes (`a + b`, `a * 2`, `-a`); comparisons are functions (`equal(a, b)`), since `==` compares trees.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from math import copysign
from operator import attrgetter
from typing import Literal

from .values import evaluate_constant

Type = Literal["real", "integer", "boolean"]


class Expression:
    """Base of all nodes. Nodes are immutable and compare by structure; the hash is computed once."""

    __slots__ = ()
    type: Type

    @property
    def children(self) -> tuple[Expression, ...]:
        return ()

    def with_children(self, children: tuple[Expression, ...]) -> Expression:
        """The same node over other children."""
        return self

    def __add__(self, other: Operand) -> Expression:
        return apply("+", self, other)

    def __radd__(self, other: Operand) -> Expression:
        return apply("+", other, self)

    def __sub__(self, other: Operand) -> Expression:
        return apply("-", self, other)

    def __rsub__(self, other: Operand) -> Expression:
        return apply("-", other, self)

    def __mul__(self, other: Operand) -> Expression:
        return apply("*", self, other)

    def __rmul__(self, other: Operand) -> Expression:
        return apply("*", other, self)

    def __truediv__(self, other: Operand) -> Expression:
        return apply("/", self, other)

    def __rtruediv__(self, other: Operand) -> Expression:
        return apply("/", other, self)

    def __pow__(self, other: Operand) -> Expression:
        return apply("^", self, other)

    def __neg__(self) -> Expression:
        return apply("neg", self)


Operand = Expression | int | float | bool


@dataclass(frozen=True, slots=True)
class Constant(Expression):
    """A number. 0 and −0 are different constants: 1/x tells them apart."""

    value: int | float | bool
    type: Type = "real"

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if other.__class__ is not Constant or self.type != other.type:  # type: ignore[attr-defined]
            return False
        mine, its = self.value, other.value  # type: ignore[attr-defined]
        return mine is its or (mine == its and (mine != 0 or copysign(1.0, mine) == copysign(1.0, its)))

    def __hash__(self) -> int:
        return hash(self.value)


@dataclass(frozen=True, slots=True)
class Axis(Expression):
    """An index: a variable that runs over 0 … extent−1. Two axes are the same only if their serial numbers are.

    `extent` is None for the batch axis alone, whose extent is known at run time.
    """

    name: str
    extent: int | None
    serial: int
    type: Type = field(default="integer", init=False)
    _hash: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        # Not the number itself: axes of nests have the same numbers, and Python hashes −1 and −2 alike.
        object.__setattr__(self, "_hash", self.serial ^ 0x2545F491 ^ ((self.extent or 0) << 32))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:  # the library's would build two tuples, very often
        if self is other or other.__class__ is not Axis or self.serial != other.serial:  # type: ignore[attr-defined]
            return self is other
        return self.extent == other.extent and self.name == other.name  # type: ignore[attr-defined]

    @property
    def size(self) -> int:
        """The extent, which every axis but the batch has."""
        assert self.extent is not None, "the batch axis has no static extent"
        return self.extent


BATCH = Axis("batch", None, 0)
_serials = itertools.count(1)


def new_axis(name: str, extent: int) -> Axis:
    """A fresh axis, different from every other."""
    return Axis(name, extent, next(_serials))


def fresh_serials(count: int) -> list[int]:
    """Serial numbers that no axis has, in increasing order."""
    return [next(_serials) for _ in range(count)]


class _Hashed(Expression):
    """Nodes with children keep their hash, so that comparing and memoising large shared trees stays cheap."""

    __slots__ = ()

    def __hash__(self) -> int:
        return self._hash  # type: ignore[attr-defined,no-any-return]

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(self) is not type(other) or self._hash != other._hash:  # type: ignore[attr-defined]
            return False
        return _same(self, other)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, eq=False)
class Load(_Hashed):
    """The value of an array or family at subscripts. A batched array has BATCH as its first subscript."""

    array: str
    subscripts: tuple[Expression, ...] = ()
    type: Type = "real"
    _hash: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash(("load", self.array, self.subscripts, self.type)))

    @property
    def children(self) -> tuple[Expression, ...]:
        return self.subscripts

    def with_children(self, children: tuple[Expression, ...]) -> Expression:
        return shared_load(self.array, children, self.type)


@dataclass(frozen=True, slots=True, eq=False)
class Lookup(_Hashed):
    """An entry of a static table (known when compiled): integer or real."""

    table: str
    subscripts: tuple[Expression, ...]
    type: Type = "integer"
    _hash: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash(("lookup", self.table, self.subscripts, self.type)))

    @property
    def children(self) -> tuple[Expression, ...]:
        return self.subscripts

    def with_children(self, children: tuple[Expression, ...]) -> Expression:
        return Lookup(self.table, children, self.type)


@dataclass(frozen=True, slots=True, eq=False)
class Apply(_Hashed):
    """A scalar function (a row of scalar.py) of its arguments. Build it with `apply`, which also finds the type."""

    function: str
    arguments: tuple[Expression, ...]
    type: Type = "real"
    _hash: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash(("apply", self.function, self.arguments, self.type)))

    @property
    def children(self) -> tuple[Expression, ...]:
        return self.arguments

    def with_children(self, children: tuple[Expression, ...]) -> Expression:
        return apply(self.function, *children)


# The slots themselves, without a call.
Load.children = Load.subscripts  # type: ignore
Lookup.children = Lookup.subscripts  # type: ignore
Apply.children = Apply.arguments  # type: ignore

#: What a node names.
_SYMBOL = {Load: attrgetter("array"), Lookup: attrgetter("table"), Apply: attrgetter("function")}


def _same(left: Expression, right: Expression) -> bool:
    """Structural equality without recursion."""
    stack = [(left, right)]
    while stack:
        a, b = stack.pop()
        if a is b:
            continue
        kind = a.__class__
        if kind is not b.__class__:
            return False
        symbol = _SYMBOL.get(kind)  # type: ignore[call-overload]
        if symbol is None:
            if a != b:
                return False
            continue
        if a._hash != b._hash or a.type != b.type or symbol(a) != symbol(b):  # type: ignore[attr-defined]
            return False
        children = a.children
        others = b.children
        if len(children) != len(others):
            return False
        stack.extend(zip(children, others, strict=True))
    return True


TRUE = Constant(True, "boolean")
FALSE = Constant(False, "boolean")
_ONES = (Constant(1, "integer"), Constant(1.0, "real"))


def real(value: float) -> Constant:
    return Constant(float(value), "real")


@lru_cache(maxsize=1 << 12, typed=True)
def integer(value: int) -> Constant:
    return Constant(int(value), "integer")


def as_expression(value: Operand, like: Type = "real") -> Expression:
    """An expression for a Python number; a bare number takes the type `like` of its neighbour."""
    if isinstance(value, Expression):
        return value
    if isinstance(value, bool):
        return Constant(value, "boolean")
    return integer(int(value)) if like == "integer" else real(value)


#: The types of functions' values; None: that of the last argument. All others are real.
_TYPES: dict[str, Type | None] = {
    **dict.fromkeys(("<", "<=", ">", ">=", "==", "!=", "and", "or", "not"), "boolean"),
    **dict.fromkeys(("div", "mod"), "integer"),
    **dict.fromkeys(("+", "-", "*", "neg", "abs", "min", "max", "select")),
}


def apply(function: str, *operands: Operand) -> Expression:
    """A scalar function of operands, with its type found and the obvious folded (constants, x + 0, 1 · x, −(−x)).

    Operands of + − · min max select and of comparisons must agree in type; `real` turns an integer or a boolean into a
    real number.
    """
    arguments: tuple[Expression, ...] = operands  # type: ignore[assignment]
    for operand in operands:
        if not isinstance(operand, Expression):
            types = [o.type for o in operands if isinstance(o, Expression) and o.type != "boolean"]
            arguments = tuple([as_expression(o, types[0] if types else "real") for o in operands])
            break
    kind: Type = _TYPES.get(function, "real") or arguments[-1].type
    return _fold(function, arguments, kind)


@lru_cache(maxsize=1 << 14)
def _node(function: str, arguments: tuple[Expression, ...], kind: Type) -> Expression:
    """The same node for the same arguments, as long as it is remembered: trees that are one object compare at once."""
    return Apply(function, arguments, kind)


@lru_cache(maxsize=1 << 14)
def shared_load(array: str, subscripts: tuple[Expression, ...], type: Type = "real") -> Load:
    """The same load for the same array and subscripts, as long as it is remembered."""
    return Load(array, subscripts, type)


def forget_nodes() -> None:
    """Let go of what is remembered."""
    for remembered in (_fold, _node, shared_load):
        remembered.cache_clear()


@lru_cache(maxsize=1 << 14)
def _fold(function: str, arguments: tuple[Expression, ...], kind: Type) -> Expression:
    constants = [a.value for a in arguments if a.__class__ is Constant]  # type: ignore[attr-defined]
    if constants and len(constants) == len(arguments) and function != "select":
        value = evaluate_constant(function, constants, kind)
        if value is not None:
            return Constant(value, kind)
    # Nothing else is as often called as this: one comparison finds the cases of a function, most of which want a constant.
    match function:
        case "+" if constants or kind == "real":
            match arguments:
                case (x, Constant(0)) | (Constant(0), x):
                    return x
                # Like terms are added.
                case (x, y) if kind == "real" and x == y:
                    return apply("*", 2.0, x)
                case Apply("+", (x, y)), z if kind == "real" and y == z:
                    return apply("+", x, apply("*", 2.0, y))
        case "*" if constants or kind == "real":
            match arguments:
                case (x, Constant(1)) | (Constant(1), x):
                    return x
                case (x, Constant(-1)) | (Constant(-1), x):
                    return apply("neg", x)
                case (_, Constant(0)) | (Constant(0), _) if kind == "integer":
                    return integer(0)
                # A product's constant stands first and once.
                case Constant(a), Apply("*", (Constant(b), x)) if kind == "real":
                    return apply("*", a * b, x)
                case x, Constant() as c if kind == "real":
                    return apply("*", c, x)
                case Apply("*", (Constant() as c, x)), y if kind == "real":
                    return apply("*", c, apply("*", x, y))
                case x, Apply("*", (Constant() as c, y)) if kind == "real":
                    return apply("*", c, apply("*", x, y))
        case "-":
            match arguments:
                case x, Constant(0):
                    return x
                case Constant(0), x:
                    return apply("neg", x)
                case x, y if kind == "integer" and x == y:
                    return integer(0)
        case "/" | "div" | "^" if constants and arguments[1] in _ONES:
            return arguments[0]
        case "^" if constants and arguments[1] == Constant(2.0):
            return _node("*", (arguments[0], arguments[0]), kind)
        case "mod" if arguments[1] in _ONES:
            return integer(0)
        case "neg" | "not" if isinstance(arguments[0], Apply) and arguments[0].function == function:
            return arguments[0].arguments[0]
        case "and" | "or" if constants:
            constant, other = arguments if isinstance(arguments[0], Constant) else arguments[::-1]
            return other if constants[0] == (function == "and") else constant
        case "select" if isinstance(arguments[0], Constant):
            return arguments[1] if arguments[0].value else arguments[2]
        case "select" if arguments[1] == arguments[2]:
            return arguments[1]
    return _node(function, arguments, kind)


def equal(a: Operand, b: Operand) -> Expression:
    return apply("==", a, b)


def less(a: Operand, b: Operand) -> Expression:
    return apply("<", a, b)


def at_most(a: Operand, b: Operand) -> Expression:
    return apply("<=", a, b)


def select(condition: Operand, then: Operand, otherwise: Operand) -> Expression:
    return apply("select", condition, then, otherwise)


def conjunction(conditions: Iterable[Expression]) -> Expression:
    """All of the conditions (TRUE for none)."""
    result: Expression = TRUE
    for condition in conditions:
        result = apply("and", result, condition)
    return result
