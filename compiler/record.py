"""Frozen dataclasses that are quick to define: for files that define many, and are imported before anything can start.

In: a class with annotated fields.  Out: the class, as `dataclasses.dataclass(frozen=True)` makes it.

    @record
    class Name(Node):
        name: str

The library's decorator writes and compiles six functions for every class, half a millisecond each time a process starts. Here
only `__init__` is compiled; the others are the same for all classes and look at the fields. `dataclasses.fields`, `replace`,
`match` and `pprint` work as they do there (tests/compiler/test_record.py compares the two).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from reprlib import recursive_repr
from typing import Any, TypeVar, dataclass_transform

_Class = TypeVar("_Class")


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def record(kind: type[_Class]) -> type[_Class]:
    """The class decorator. Fields of base classes come first, `field(kw_only=True)` ones are given by name."""
    made: Any = dataclasses.dataclass(init=False, repr=False, eq=False)(kind)
    fields = dataclasses.fields(made)
    made.__init__ = _initializer(made, fields)
    made.__repr__ = __create_fn__(tuple(f.name for f in fields if f.repr))
    compared = tuple(f.name for f in fields if f.compare)
    made.__eq__, made.__hash__ = _equality(compared)
    made.__setattr__, made.__delattr__ = _refuse_change, _refuse_change
    made.__dataclass_params__.repr = True
    return made  # type: ignore[no-any-return]


def _initializer(kind: type, fields: tuple[dataclasses.Field[Any], ...]) -> Callable[..., None]:
    names: dict[str, Any] = {}
    ordinary: list[str] = ["self"]
    by_name: list[str] = []
    body = ["own = self.__dict__"]
    for f in fields:
        if not f.init:
            raise TypeError(f"{kind.__name__}.{f.name}: every field of a record is given when it is made")
        text, value = f.name, f.name
        if f.default is not dataclasses.MISSING:
            names[f"_{f.name}"] = f.default
            text += f"=_{f.name}"
        elif f.default_factory is not dataclasses.MISSING:
            names[f"_{f.name}"] = f.default_factory
            text += "=_MISSING"
            value = f"_{f.name}() if {f.name} is _MISSING else {f.name}"
        (by_name if f.kw_only else ordinary).append(text)
        body.append(f"own[{f.name!r}] = {value}")
    parameters = ", ".join([*ordinary, "*", *by_name] if by_name else ordinary)
    names["_MISSING"] = dataclasses.MISSING
    exec(f"def __init__({parameters}):\n  " + "\n  ".join(body), names)
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


def _equality(names: tuple[str, ...]) -> tuple[Callable[[Any, Any], Any], Callable[[Any], int]]:
    def __eq__(self: Any, other: Any) -> Any:
        if self is other:
            return True
        if type(other) is not type(self):
            return NotImplemented
        own, theirs = self.__dict__, other.__dict__
        return all(own[name] == theirs[name] for name in names)

    def __hash__(self: Any) -> int:
        own = self.__dict__
        return hash(tuple([own[name] for name in names]))

    return __eq__, __hash__


def _refuse_change(self: Any, name: str, *value: Any) -> None:
    what = "assign to" if value else "delete"
    raise dataclasses.FrozenInstanceError(f"cannot {what} field {name!r}")
