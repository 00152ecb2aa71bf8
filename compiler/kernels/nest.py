"""Nests: what one kernel computes, with every array as a flat buffer, before loops are ordered and tiled.

In: families that share their axes, and the layouts of what they load and store (memory.py).  Out: `Nest`.

    y[batch, j] = tanh(Σ_i w[i, j] · x[batch, i])     with the batch innermost, capacity 32

    Nest(axes (a0: 10, a1: 32), reduces r0: 64 by sum, term  @0[10 r0 + a0] · @1[32 r0 + a1],
         results  @2[32 a0 + a1] = tanh(total))

Nests are in a canonical form (axes by position, buffers by first use, no axis of extent 1, neighbouring axes that every
access walks as one merged), so that equal work has equal nests, and a network of a thousand layers a few kernels.

A load whose name ends in '?' is in range only where all conditions of the reduction hold. Every other load is in range at
every index point: subscripts under a `select`, and those that come from data, are clamped here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Literal

import numpy as np

from ..mathematics.affine import Range, linear
from ..mathematics.expression import Axis, Expression, Load, Lookup, Type
from ..mathematics.graph import Array, Graph, Table
from ..mathematics.walks import axes_in, postorder
from ..record import record
from .program import DataType

Real = Literal["float32", "float64"]

#: The number of samples really in the minibatch. (A space in front: no name of a file begins with one.)
VALID = Load(" valid", (), "integer")

#: The step of the enclosing time loop, 0 … Nest.time−1; of loops within loops, the steps as one row-major number.
TIME = Load(" time", (), "integer")


def total(kind: Type, number: int = 0) -> Load:
    """What the reduction came to, in the values of a nest's results; of several sums (Nest.several), that of a number."""
    return Load(f" total {number}" if number else " total", (), kind)


@record
class Buffer:
    """A parameter of the kernel. `range` holds smallest and largest value of an integer buffer, if known."""

    data_type: DataType
    elements: int
    range: Range | None = None


@record
class Result:
    """`value` is stored into element `offset` of a buffer."""

    buffer: int
    offset: Expression
    value: Expression


@record
class Nest:
    """kind: '' (elementwise), one of graph.REDUCTIONS, or 'scatter' (each term is added to its result in memory).

    `axes` are those of the results, `reduced` those of the reduction; all have static extents (the batch its capacity).
    `position`: for arg-reductions, the flat position of an index point.  `time`: how many steps TIME tells apart.  `whole`: the
    results and all that is loaded along the one axis are whole buffers, so that lanes past the end are harmless (buffers are
    padded).
    `several`: an axis that the results lack; for each of its values there is a sum of its own, and every tile holds all of them.
    `support`: affine expressions of which one is negative only where the term is zero (support.py).
    """

    axes: tuple[Axis, ...]
    kind: str
    reduced: tuple[Axis, ...]
    where: tuple[Expression, ...]
    term: Expression | None
    results: tuple[Result, ...]
    buffers: tuple[Buffer, ...]
    real: Real
    position: Expression | None = None
    time: int = 1
    whole: bool = False
    several: Axis | None = None
    support: tuple[Expression, ...] = ()

    @cached_property
    def _hash(self) -> int:
        return hash((self.axes, self.kind, self.reduced, self.where, self.term, self.results, self.buffers))

    def __hash__(self) -> int:  # nests are looked up again and again
        return self._hash

    @cached_property
    def graph(self) -> Graph:
        """The ranges of buffers, as affine.bounds wants them."""
        graph = Graph()
        graph.arrays[TIME.array] = Array(TIME.array, "input", (), type="integer", classes=self.time)
        for number, buffer in enumerate(self.buffers):
            if buffer.range is None:
                continue
            low, high = buffer.range
            for name in (str(number), f"{number}?"):
                if low >= 0:
                    graph.arrays[name] = Array(name, "input", (), type="integer", classes=high + 1)
                graph.tables[name] = Table(name, np.array([low, high], dtype=np.int64))
        return graph

    @cached_property
    def places_from_data(self) -> bool:
        """Whether what is loaded says where something else is loaded: the score of a class, a row of an embedding."""
        accesses = [node for node in postorder(*self.expressions) if is_access(node)]
        return any(isinstance(n, Load) and is_access(n) for a in accesses for n in postorder(a.children[0]))

    @cached_property
    def expressions(self) -> tuple[Expression, ...]:
        """Everything that is evaluated, offsets of results left out."""
        term = () if self.term is None else (self.term,)
        return (*term, *self.where, *(r.value for r in self.results if r.value is not self.term))

    @cached_property
    def steps(self) -> list[tuple[int, Mapping[Expression, int]]]:
        """Of each load of the term its buffer, and how far it moves along what its offset is summed from."""
        if self.term is None:
            return []
        return [(buffer_of(n), linear(n.children[0]).coefficients) for n in accesses(self.term)]

    @cached_property
    def axes_of_conditions(self) -> tuple[frozenset[Axis], ...]:
        """The axes that each condition depends on."""
        return tuple(frozenset(axes_in(c)) for c in self.where)

    @cached_property
    def loaded(self) -> frozenset[int]:
        """The buffers that are loaded."""
        offsets = (r.offset for r in self.results)
        return frozenset(buffer_of(n) for n in postorder(*self.expressions, *offsets) if is_access(n))

    @cached_property
    def idempotent(self) -> bool:
        """True where computing a result twice is harmless: no buffer is both loaded and stored."""
        return self.kind != "scatter" and not self.loaded & {r.buffer for r in self.results}

    @cached_property
    def in_place(self) -> bool:
        """True for a reduction whose results replace what they read themselves: where it was, and nowhere else."""
        if self.kind in ("", "scatter") or self.idempotent or self.time > 1:
            return False
        stored = {result.buffer: result.offset for result in self.results}
        term = () if self.term is None else (self.term,)
        if len(stored) < len(self.results) or any(
            buffer_of(n) in stored for n in accesses(*term, *self.where)
        ):
            return False
        loads = accesses(*(result.value for result in self.results))
        return all(stored.get(buffer_of(n), n.children[0]) == n.children[0] for n in loads)

    @property
    def may_overlap(self) -> bool:
        """True where tiles may begin within others: what they compute twice is the same, or is stored by the first alone."""
        return self.idempotent or self.in_place


def is_special(load: Load) -> bool:
    """True for what stands for a value and not for memory."""
    return load.array.startswith(" ")


def is_access(node: Expression) -> bool:
    """True for a load from a buffer (and not of `valid`, `time` or `total`)."""
    return isinstance(node, Load | Lookup) and bool(node.subscripts)


def buffer_of(node: Expression) -> int:
    """The number of the buffer that an access loads."""
    assert isinstance(node, Load | Lookup)
    name = node.array if isinstance(node, Load) else node.table
    return int(name.removesuffix("?"))


def is_guarded(node: Expression) -> bool:
    """True where an access is in range only under the nest's conditions."""
    return isinstance(node, Load | Lookup) and (
        node.array if isinstance(node, Load) else node.table
    ).endswith("?")


def accesses(*roots: Expression) -> list[Load | Lookup]:
    """The distinct loads from buffers, loads inside offsets included."""
    return [n for n in postorder(*roots) if is_access(n)]  # type: ignore[misc]
