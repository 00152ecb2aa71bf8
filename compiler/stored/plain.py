"""Objects as plain data that `marshal` writes, and back.

In: numbers, texts, tuples, lists, dictionaries, sets, arrays, expressions, and dataclasses of the modules below.  Out: tuples.

    encoder = Encoder()
    plain = encoder.encode(graph.families["h"])
    Decoder(encoder.sources(), encoder.axes()).decode(plain)      # an equal family

Expressions are written as lists of nodes, operands first, so that their depth does not matter and shared parts stay shared. Axes
are numbered anew when they are read: the serial numbers of another process mean nothing in this one, but their order is kept.
"""

from __future__ import annotations

import dataclasses
import importlib
import itertools
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..mathematics.expression import (
    BATCH,
    Apply,
    Axis,
    Constant,
    Expression,
    Load,
    Lookup,
    fresh_serials,
)
from ..source import NOWHERE, Source, Span

#: Modules whose dataclasses may be written, by the name that stands in the data.
_MODULES = {
    "source": "..source",
    "syntax": "..syntax",
    "graph": "..mathematics.graph",
    "program": "..kernels.program",
}
_PRELUDE = "<prelude>/"
# Kinds of encoded things: the first entry of every tuple.
_TUPLE, _LIST, _DICT, _SET, _ARRAY, _EXPRESSION, _OBJECT, _SPAN, _SOURCE, _PLAIN = range(10)
_LEAVES = frozenset({type(None), bool, int, float, str, bytes})
_CONSTANT, _AXIS, _LOAD, _LOOKUP, _APPLY = range(5)


class CannotStore(TypeError):
    """An object that has no plain form."""


@cache
def _class_named(name: str) -> tuple[type, tuple[str, ...]]:
    """The class `module.Class`, and the names of its fields."""
    module, _, class_name = name.partition(".")
    found = getattr(importlib.import_module(_MODULES[module], __package__), class_name)
    return found, tuple(f.name for f in dataclasses.fields(found) if f.init)


@cache
def _name_of_class(kind: Any) -> tuple[str, tuple[str, ...]]:
    short = kind.__module__.rsplit(".", 1)[-1]
    name = f"{short}.{kind.__name__}"
    if short not in _MODULES or not dataclasses.is_dataclass(kind) or _class_named(name)[0] is not kind:
        raise CannotStore(f"{kind.__module__}.{kind.__name__}")
    return name, _class_named(name)[1]


class Encoder:
    """Objects to plain data; axes and sources are collected for all that one encoder writes."""

    def __init__(self) -> None:
        self._axes: dict[int, Axis] = {BATCH.serial: BATCH}
        self._sources: dict[int, tuple[int, Source]] = {}

    def axes(self) -> list[int]:
        """The serial numbers of the axes that were written."""
        return sorted(self._axes)

    def sources(self) -> list[tuple[str, str]]:
        """Path and text of the sources that were written; of the prelude's the path alone."""
        found = (source for _, source in self._sources.values())
        return [(s.path, "" if s.path.startswith(_PRELUDE) else s.text) for s in found]

    def encode(self, value: Any) -> Any:
        """Raises CannotStore."""
        kind = type(value)
        if kind in _LEAVES:
            return value
        if kind is tuple and _LEAVES.issuperset(map(type, value)):
            return (_PLAIN, value)  # is read as it is
        if isinstance(value, Expression):
            return (_EXPRESSION, *self._nodes(value))
        if isinstance(value, tuple):
            return (_TUPLE, *self._all(value))
        if isinstance(value, list):
            return (_LIST, *self._all(value))
        if isinstance(value, dict):
            return (_DICT, *self._all([part for item in value.items() for part in item]))
        if isinstance(value, np.generic):
            return value.item()  # what Python calculates with it is the same
        if isinstance(value, frozenset):
            return (_SET, *self._all(sorted(value)))
        if isinstance(value, np.ndarray):
            return (_ARRAY, value.dtype.str, value.shape, value.tobytes())
        if isinstance(value, Span):
            if value.source is NOWHERE.source:
                return (_SPAN,)
            return (_SPAN, self._source(value.source), value.start, value.end)
        if isinstance(value, Source):
            return (_SOURCE, self._source(value))
        name, fields = _name_of_class(kind)  # type: ignore[arg-type]
        return (_OBJECT, name, *self._all([getattr(value, f) for f in fields]))

    def _all(self, values: Iterable[Any]) -> list[Any]:
        return [value if type(value) in _LEAVES else self.encode(value) for value in values]

    def _source(self, source: Source) -> int:
        return self._sources.setdefault(id(source), (len(self._sources), source))[0]

    def _nodes(self, root: Expression) -> list[tuple[Any, ...]]:
        """The nodes of an expression, each after its operands, which it names by their places in the list."""
        places: dict[int, int] = {}
        nodes: list[tuple[Any, ...]] = []
        stack: list[Expression | None] = [root]
        while stack:
            node = stack.pop()
            if node is None:  # the operands of the node below it are written
                node = stack.pop()
                assert node is not None
                if id(node) not in places:
                    places[id(node)] = len(nodes)
                    nodes.append(self._node(node, tuple([places[id(child)] for child in node.children])))
            elif id(node) not in places:
                children = node.children
                if children:
                    stack.append(node)
                    stack.append(None)
                    stack.extend(children[::-1])
                else:
                    places[id(node)] = len(nodes)
                    nodes.append(self._node(node, ()))
        return nodes

    def _node(self, node: Expression, operands: tuple[int, ...]) -> tuple[Any, ...]:
        kind = node.__class__
        if kind is Apply:
            return (_APPLY, node.function, operands, node.type)  # type: ignore[attr-defined]
        if kind is Load:
            return (_LOAD, node.array, operands, node.type)  # type: ignore[attr-defined]
        if kind is Axis:
            self._axes[node.serial] = node  # type: ignore[attr-defined,assignment]
            return (_AXIS, node.name, node.extent, node.serial)  # type: ignore[attr-defined]
        if kind is Constant:
            return (_CONSTANT, node.value, node.type)  # type: ignore[attr-defined]
        if kind is Lookup:
            return (_LOOKUP, node.table, operands, node.type)  # type: ignore[attr-defined]
        raise CannotStore(kind.__name__)


class Decoder:
    """Plain data to objects. What one decoder reads at several times shares its axes and sources."""

    def __init__(self, sources: list[tuple[str, str]], axes: list[int]) -> None:
        self._written = sources
        self._sources: dict[int, Source] = {}
        own = [serial for serial in axes if serial != BATCH.serial]
        self._serials = dict(zip(own, fresh_serials(len(own)), strict=True))
        self._axes: dict[int, Axis] = {BATCH.serial: BATCH}

    def decode(self, plain: Any) -> Any:
        if type(plain) is not tuple:
            return plain
        return _DECODERS[plain[0]](self, plain)

    def _parts(self, plain: tuple[Any, ...], first: int) -> list[Any]:
        """What stands behind the first entries. Most of it is numbers and texts."""
        return [
            _DECODERS[part[0]](self, part) if type(part) is tuple else part
            for part in itertools.islice(plain, first, None)
        ]

    def _tuple(self, plain: tuple[Any, ...]) -> Any:
        return tuple(self._parts(plain, 1))

    def _list(self, plain: tuple[Any, ...]) -> Any:
        return self._parts(plain, 1)

    def _dict(self, plain: tuple[Any, ...]) -> Any:
        parts = self._parts(plain, 1)
        return dict(zip(parts[::2], parts[1::2], strict=True))

    def _plain(self, plain: tuple[Any, ...]) -> Any:
        return plain[1]

    def _set(self, plain: tuple[Any, ...]) -> Any:
        return frozenset(map(self.decode, plain[1:]))

    def _array(self, plain: tuple[Any, ...]) -> Any:
        _, kind, shape, content = plain
        return np.frombuffer(content, kind).reshape(shape)

    def _expression(self, plain: tuple[Any, ...]) -> Any:
        nodes: list[Expression] = []
        for kind, first, second, third in map(_four, plain[1:]):
            if kind == _CONSTANT:
                nodes.append(Constant(first, second))
            elif kind == _AXIS:
                nodes.append(self._axis(first, second, third))
            else:
                operands = tuple([nodes[n] for n in second])
                made: Any = Load if kind == _LOAD else Apply if kind == _APPLY else Lookup
                nodes.append(made(first, operands, third))
        return nodes[-1]

    def _axis(self, name: str, extent: int | None, serial: int) -> Axis:
        axis = self._axes.get(serial)
        if axis is None:
            axis = self._axes[serial] = Axis(name, extent, self._serials[serial])
        return axis

    def _object(self, plain: tuple[Any, ...]) -> Any:
        kind, fields = _class_named(plain[1])
        made: Any = object.__new__(kind)
        made.__dict__.update(zip(fields, self._parts(plain, 2), strict=True))
        return made

    def _span(self, plain: tuple[Any, ...]) -> Any:
        return Span(self._source_at(plain[1]), plain[2], plain[3]) if len(plain) > 1 else NOWHERE

    def _source(self, plain: tuple[Any, ...]) -> Any:
        return self._source_at(plain[1])

    def _source_at(self, place: int) -> Source:
        if place not in self._sources:
            path, text = self._written[place]
            if path.startswith(_PRELUDE):
                folder = Path(__file__).resolve().parents[2] / "grammar" / "prelude"
                text = (folder / path.removeprefix(_PRELUDE)).read_text(encoding="utf-8")
            self._sources[place] = Source(path, text)
        return self._sources[place]


def _four(node: tuple[Any, ...]) -> tuple[Any, Any, Any, Any]:
    return node if len(node) == 4 else (*node, None)  # type: ignore[return-value]


_DECODERS: tuple[Callable[[Decoder, tuple[Any, ...]], Any], ...] = (
    Decoder._tuple,
    Decoder._list,
    Decoder._dict,
    Decoder._set,
    Decoder._array,
    Decoder._expression,
    Decoder._object,
    Decoder._span,
    Decoder._source,
    Decoder._plain,
)
