"""A stored object whose parts are decoded when they are asked for: training needs the sizes of arrays, not the equations.

In: parts of objects, written with one encoder.  Out: bytes, and `Parts`, which decodes one part after the other.

    content = written({**graph_parts(graph), "warnings": network.warnings}, files=files)
    parts = Parts(content)
    stored_graph(parts).arrays        # at once
    stored_graph(parts).families      # decoded now
"""

from __future__ import annotations

import marshal
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ..mathematics.graph import Graph
from .plain import Decoder, Encoder

#: Parts of a graph that are large, and that running it rarely needs.
_LARGE = ("families", "tables")


def written(parts: Mapping[str, Any], **about: Any) -> bytes:
    """Everything in one piece of bytes; `about` is plain data that can be read before the parts. Raises CannotStore."""
    encoder = Encoder()
    encoded = {name: marshal.dumps(encoder.encode(value)) for name, value in parts.items()}
    return marshal.dumps((about, encoder.sources(), encoder.axes(), encoded))


class Parts:
    """What `written` wrote. `about`: the plain data."""

    def __init__(self, content: bytes) -> None:
        self.about, sources, axes, self._parts = marshal.loads(content)
        self._decoder = Decoder(sources, axes)

    def part(self, name: str) -> Any:
        """A part, decoded anew at every call."""
        return self._decoder.decode(marshal.loads(self._parts[name]))


class _StoredGraph(Graph):
    """A graph that decodes its large parts when they are first asked for."""

    _parts: Parts

    def __getattr__(self, name: str) -> Any:
        if name not in _LARGE:
            raise AttributeError(name)
        value = self.__dict__[name] = self._parts.part(f"graph {name}")
        return value


def graph_parts(graph: Graph) -> dict[str, Any]:
    """The parts of a graph for `written`."""
    small = {f.name: getattr(graph, f.name) for f in fields(Graph) if f.name not in _LARGE}
    return {"graph": small, **{f"graph {name}": getattr(graph, name) for name in _LARGE}}


def stored_graph(parts: Parts) -> Graph:
    """The graph of an entry."""
    graph = object.__new__(_StoredGraph)
    graph.__dict__.update(parts.part("graph"), _parts=parts)
    return graph
