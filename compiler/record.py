"""Dataclasses that are quick to define: for files that define many, and are imported before anything can start.

In: a class with annotated fields.  Out: the class, as `dataclasses.dataclass(frozen=True)` makes it, or without `frozen`.

    @record
    class Name(Node):
        name: str

    @record(frozen=False, eq=False)
    class Slot:
        value: int = 0

The library's decorator writes and compiles two to six functions for every class, half a millisecond each time a process starts.
Here only `__init__` is compiled, when the first object is made; the others are the same for all classes and look at the fields.
Annotations are texts here (`from __future__ import annotations`); there are no `InitVar` and no `KW_ONLY`.
`dataclasses.fields`, `replace`, `match` and `pprint` work as they do there (tests/compiler/test_record.py compares the two).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from operator import attrgetter
from reprlib import recursive_repr
from typing import Any, TypeVar, dataclass_transform, overload

_Class = TypeVar("_Class")


@dataclasses.dataclass(init=False, eq=False)
class _Plain:
    """What the library notes in its classes."""

    name: str


_PARAMETERS = vars(_Plain)["__dataclass_params__"]
_FIELD = vars(_Plain)["__dataclass_fields__"]["name"]._field_type  # which `dataclasses.fields` looks for
_replaced = getattr(_Plain, "__replace__", None)  # since Python 3.13


@overload
def record(kind: type[_Class]) -> type[_Class]: ...


@overload
def record(
    kind: None = None, *, frozen: bool = True, eq: bool = True
) -> Callable[[type[_Class]], type[_Class]]: ...


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def record(kind: type | None = None, *, frozen: bool = True, eq: bool = True) -> Any:
    """The class decorator. Fields of base classes come first, `field(kw_only=True)` ones are given by name."""
    if kind is None:
        return lambda kind: _made(kind, frozen, eq)
    return _made(kind, frozen, eq)


def _made(kind: type, frozen: bool, eq: bool) -> type:
    made: Any = kind
    if kind.__doc__ is None:
        kind.__doc__ = kind.__name__
    made.__dataclass_fields__ = named = _fields(kind)
    made.__dataclass_params__ = _PARAMETERS
    fields = tuple(named.values())
    if "__match_args__" not in kind.__dict__:
        setattr(made, "__match_args__", tuple([f.name for f in fields if f.init and not f.kw_only]))  # noqa: B010
    if _replaced is not None:
        made.__replace__ = _replaced

    def __init__(self: Any, *values: Any, **by_name: Any) -> None:
        made.__init__ = _initializer(made, fields, frozen)
        made.__init__(self, *values, **by_name)

    made.__init__ = __init__
    if "__repr__" not in kind.__dict__:
        made.__repr__ = __create_fn__(tuple(f.name for f in fields if f.repr))
    if eq and "__eq__" not in kind.__dict__:
        made.__eq__, hashed = _equality(tuple(f.name for f in fields if f.compare), frozen)
        if kind.__dict__.get("__hash__") is None:  # one that the class has is kept
            made.__hash__ = hashed
    if frozen:
        made.__setattr__, made.__delattr__ = _refuse_change, _refuse_change
    return made  # type: ignore[no-any-return]


def _fields(kind: type) -> dict[str, dataclasses.Field[Any]]:
    """The fields of base classes, and those of the class itself; their defaults become attributes of the class."""
    fields: dict[str, dataclasses.Field[Any]] = {}
    for base in reversed(kind.__mro__[1:]):
        fields.update(base.__dict__.get("__dataclass_fields__", {}))
    for name, annotation in kind.__annotations__.items():
        if "ClassVar" in annotation:
            continue
        given = kind.__dict__.get(name, dataclasses.MISSING)
        made: Any = given if isinstance(given, dataclasses.Field) else dataclasses.field(default=given)
        made.name, made.type, made._field_type = name, annotation, _FIELD
        if made.kw_only is dataclasses.MISSING:
            made.kw_only = False
        if made.default is not dataclasses.MISSING:
            if made.default.__class__.__hash__ is None:
                raise ValueError(f"the default of {kind.__name__}.{name} can change: use default_factory")
            setattr(kind, name, made.default)
        elif made is given:
            delattr(kind, name)
        fields[name] = made
    return fields


def _initializer(kind: type, fields: tuple[dataclasses.Field[Any], ...], frozen: bool) -> Callable[..., None]:
    names: dict[str, Any] = {"_MISSING": dataclasses.MISSING}
    ordinary: list[str] = ["self"]
    by_name: list[str] = []
    body = ["own = self.__dict__"] if frozen else []
    for f in fields:
        text, value = f.name, f.name
        if f.default is not dataclasses.MISSING:
            names[f"_{f.name}"] = f.default
            text += f"=_{f.name}"
        elif f.default_factory is not dataclasses.MISSING:
            names[f"_{f.name}"] = f.default_factory
            text += "=_MISSING"
            value = f"_{f.name}() if {f.name} is _MISSING else {f.name}"
        if f.init:
            (by_name if f.kw_only else ordinary).append(text)
        elif text == f.name:
            continue  # `__post_init__` gives it
        else:
            value = f"_{f.name}()" if text.endswith("_MISSING") else f"_{f.name}"
        body.append(f"own[{f.name!r}] = {value}" if frozen else f"self.{f.name} = {value}")
    if hasattr(kind, "__post_init__"):
        body.append("self.__post_init__()")
    parameters = ", ".join([*ordinary, "*", *by_name] if by_name else ordinary)
    exec(f"def __init__({parameters}):\n  " + "\n  ".join(body or ["pass"]), names)
    result: Callable[..., None] = names["__init__"]
    result.__qualname__ = f"{kind.__qualname__}.__init__"
    return result


def __create_fn__(names: tuple[str, ...]) -> Callable[[Any], str]:
    """`__repr__`. This function's name is what pprint knows the representations of dataclasses by."""

    def __repr__(self: Any) -> str:
        return f"{type(self).__qualname__}({', '.join([f'{n}={getattr(self, n)!r}' for n in names])})"

    shown: Any = recursive_repr("...")(__repr__)
    shown.__wrapped__ = __repr__
    return shown  # type: ignore[no-any-return]


def _equality(names: tuple[str, ...], hashed: bool) -> tuple[Callable[[Any, Any], Any], Any]:
    compared: Callable[[Any], Any] = attrgetter(*names) if names else lambda self: ()

    def __eq__(self: Any, other: Any) -> Any:
        if self is other:
            return True
        if type(other) is not type(self):
            return NotImplemented
        return compared(self) == compared(other)

    def __hash__(self: Any) -> int:
        return hash(compared(self))

    return __eq__, __hash__ if hashed else None


def _refuse_change(self: Any, name: str, *value: Any) -> None:
    what = "assign to" if value else "delete"
    raise dataclasses.FrozenInstanceError(f"cannot {what} field {name!r}")
