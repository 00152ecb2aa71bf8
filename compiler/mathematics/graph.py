"""The graph: index equations as plain data. Layers do not exist here; a dense layer, a convolution and a gradient look alike.

In: what the elaborator or a pass builds.  Out: `Graph`, read by every pass after it.

    x[batch, j: 3] = Σ[i: 4  where 0 ≤ i − j, i − j < 2] w[i − j] · input[batch, i]

is `Family("x", (BATCH, j), Load("w", (i - j,)) * Load("input", (BATCH, i)), Reduction("sum", (i,), where=(…,)))`.

Conventions
- A family's body ranges over its own axes and, if it reduces, over the reduction's axes. Reductions never nest: an inner one
  is a family of its own, with just the axes it depends on.
- What depends on the batch has BATCH as its first axis; a load of it has BATCH (or nothing else) as its first subscript.
  A reduction over BATCH covers the samples that are really there, also in a minibatch that is not full.
- `where` is a conjunction: only index points at which all conditions hold take part. A weight subscript outside its extents
  is such a condition (no connection). Subscripts are in range wherever all conditions hold; under a `select`, wherever the
  selected branch is taken.
- Integer arrays (kind 'input' with classes, arg-max families) may stand in subscripts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field, replace
from functools import cached_property
from typing import Literal

import numpy as np

from ..record import record
from ..source import NOWHERE, Span
from .expression import BATCH, Apply, Axis, Constant, Expression, Load, Lookup, Type
from .walks import axes_in, loads_in, postorder

ArrayKind = Literal["input", "weight", "state", "clock"]

REDUCTIONS = ("sum", "product", "max", "min", "argmax", "argmin")

#: Scalars that the runtime supplies: steps done plus one, epochs done, samples really in the minibatch, 1 while training,
#: the seed of random draws, the place of the minibatch's first sample among all of them. (No name of a file has a space.)
CLOCKS = ("step", "epoch", "batch_size", "training", "random seed", "first sample")

#: States without axes that the runtime knows by name: the factor of the rate that `reduce rate(…)` lowers, which it writes;
#: Σ Ω(w) of the weights before the step, for an optimizer that compares values of J, which it reads.
RATE_SCALE = "rate scale"
PENALTY = "penalty value"


@record
class Table:
    """A static table: int64 (a map, −1 and other values as written) or float64."""

    name: str
    values: np.ndarray = field(compare=False)
    span: Span = field(default=NOWHERE, compare=False, repr=False)

    @property
    def type(self) -> Type:
        return "integer" if self.values.dtype.kind == "i" else "real"


@record
class Initializer:
    """How a weight or state starts: an expression over `axes` (one per dimension), `Apply("draw …")` for random draws.

    The draws are `Apply` nodes named in `DRAWS`, with real arguments: normal(mean, standard deviation), uniform(low, high),
    glorot() (uniform ±√(6/(fan_in+fan_out))), he() (normal, √(2/fan_in)), orthogonal(gain), identity(scale). `fan_in` and
    `fan_out` are carried for the last four; in the expression itself they are already constants.
    """

    axes: tuple[Axis, ...]
    value: Expression
    fan_in: int = 1
    fan_out: int = 1


DRAWS = ("draw normal", "draw uniform", "draw glorot", "draw he", "draw orthogonal", "draw identity")


@record
class Array:
    """Memory with a name that outlives a step or comes from outside.

    `extents` leaves out the batch. `classes` is the number of classes of an integer input. `where`, over
    `initializer.axes`, says which entries of a weight exist at all (None: all).
    """

    name: str
    kind: ArrayKind
    extents: tuple[int, ...]
    batched: bool = False
    type: Type = "real"
    classes: int | None = None
    initializer: Initializer | None = None
    where: Expression | None = None
    frozen: bool = False
    span: Span = field(default=NOWHERE, compare=False, repr=False)

    @property
    def rank(self) -> int:
        """Number of subscripts that a load has."""
        return len(self.extents) + self.batched


@record
class Reduction:
    """kind: one of REDUCTIONS. argmax and argmin give the flat position (row-major over `axes`) of the first winner.

    `scatter`: pairs (axis of the family, integer expression). Set by sharing.py where a data-dependent subscript cannot be
    turned into a gather: the body is added, in order, at family axis = expression.
    """

    kind: str
    axes: tuple[Axis, ...]
    where: tuple[Expression, ...] = ()
    scatter: tuple[tuple[Axis, Expression], ...] = ()


@record
class Family:
    """One index equation. role: 'layer', 'let', 'term' (a reduction lifted out of a larger body), 'loss', 'metric',
    'gradient', 'update', 'slope' (slopes.py). `of` names what a gradient or an update belongs to."""

    name: str
    axes: tuple[Axis, ...]
    body: Expression
    reduction: Reduction | None = None
    role: str = "let"
    of: str = ""
    span: Span = field(default=NOWHERE, compare=False, repr=False)

    @property
    def type(self) -> Type:
        if self.reduction is not None and self.reduction.kind.startswith("arg"):
            return "integer"
        return self.body.type

    @property
    def batched(self) -> bool:
        return bool(self.axes) and self.axes[0] == BATCH

    @property
    def extents(self) -> tuple[int, ...]:
        """Extents of the axes, the batch left out."""
        return tuple(a.size for a in self.axes if a != BATCH)

    @property
    def rank(self) -> int:
        return len(self.axes)

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """Body, conditions and scatter targets: everything that loads."""
        if self.reduction is None:
            return (self.body,)
        return (self.body, *self.reduction.where, *(e for _, e in self.reduction.scatter))

    @cached_property
    def loads(self) -> tuple[Load, ...]:
        return loads_in(*self.expressions)

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Names of what is loaded, each once."""
        return tuple(dict.fromkeys(load.array for load in self.loads))


@record(frozen=False)
class Graph:
    """All of one network. `families` are in an order in which each comes after what it loads (but for recurrences).

    outputs   names of the layers, in file order (what a call of the network returns)
    loss      name of a family without axes, or None
    metrics   metric name → name of a family without axes
    updates   state or weight → family that holds its next value; stored together when the step ends
    gradients weight → family that holds ∂loss/∂weight
    directions weight → family that the optimizer takes for its gradient, where it is another one (regularise.py)
    averages  weight → state that holds the mean of its iterates
    """

    name: str = ""
    arrays: dict[str, Array] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)
    families: dict[str, Family] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    loss: str | None = None
    metrics: dict[str, str] = field(default_factory=dict)
    updates: dict[str, str] = field(default_factory=dict)
    gradients: dict[str, str] = field(default_factory=dict)
    directions: dict[str, str] = field(default_factory=dict)
    averages: dict[str, str] = field(default_factory=dict)

    def copy(self, **changes: object) -> Graph:
        """A graph with its own dictionaries; the nodes are shared, being immutable."""
        fresh = replace(
            self,
            arrays=dict(self.arrays),
            tables=dict(self.tables),
            families=dict(self.families),
            metrics=dict(self.metrics),
            updates=dict(self.updates),
            gradients=dict(self.gradients),
            directions=dict(self.directions),
            averages=dict(self.averages),
        )
        return replace(fresh, **changes)  # type: ignore[arg-type]

    def add(self, family: Family) -> Load:
        """Add a family and return the load of it at its own axes."""
        assert family.name not in self.families and family.name not in self.arrays, family.name
        self.families[family.name] = family
        return Load(family.name, family.axes, family.type)

    def fresh_name(self, wish: str) -> str:
        """`wish`, or `wish_2`, `wish_3`, … : a name that nothing has yet."""
        name, number = wish, 1
        while name in self.families or name in self.arrays:
            number += 1
            name = f"{wish}_{number}"
        return name

    @property
    def weights(self) -> list[Array]:
        return [a for a in self.arrays.values() if a.kind == "weight"]

    @property
    def inputs(self) -> list[Array]:
        return [a for a in self.arrays.values() if a.kind == "input"]

    def roots(self) -> list[str]:
        """Families that must be computed whatever happens."""
        out = [*self.outputs, *self.metrics.values(), *self.updates.values(), *self.gradients.values()]
        return list(dict.fromkeys(out + ([self.loss] if self.loss else [])))

    def needed(self, roots: Iterable[str]) -> set[str]:
        """The families that `roots` depend on, themselves included."""
        seen: set[str] = set()
        stack = [r for r in roots if r in self.families]
        while stack:
            name = stack.pop()
            if name not in seen:
                seen.add(name)
                stack.extend(s for s in self.families[name].sources if s in self.families)
        return seen

    def readers(self) -> dict[str, list[str]]:
        """For each array and family that is read, the families that read it, in order."""
        found: dict[str, list[str]] = {}
        for name, family in self.families.items():
            for source in family.sources:
                found.setdefault(source, []).append(name)
        return found

    def extents_of(self, name: str) -> tuple[int | None, ...]:
        """Extents of an array or family as a load sees them: None for the batch."""
        if name in self.families:
            return tuple(a.extent for a in self.families[name].axes)
        array = self.arrays[name]
        return ((None,) if array.batched else ()) + array.extents


class GraphError(AssertionError):
    """A pass built a graph that breaks the conventions above: a bug of the compiler, never of the user's file."""


def verify(graph: Graph) -> None:
    """Check the conventions of this module's docstring as far as they are local to a family."""
    for name, family in graph.families.items():

        def fail(what: str, name: str = name) -> None:
            raise GraphError(f"{name}: {what}")

        if name != family.name:
            fail(f"stored under another name than its own, {family.name}")
        if name in graph.arrays:
            fail("is also an array")
        bound = family.axes + (family.reduction.axes if family.reduction else ())
        if len(set(bound)) != len(bound):
            fail("an axis is bound twice")
        if BATCH in family.axes[1:]:
            fail("batch is not its first axis")
        if any(a.extent is not None and a.extent < 1 for a in bound):
            fail("an axis has no elements")
        if family.reduction is not None:
            if family.reduction.kind not in REDUCTIONS:
                fail(f"reduces by {family.reduction.kind}")
            if any(c.type != "boolean" for c in family.reduction.where):
                fail("a condition is not boolean")
        if unbound := [a.name for a in axes_in(*family.expressions) if a not in bound]:
            fail(f"unbound axes {unbound}")
        for node in postorder(*family.expressions):
            if isinstance(node, Load):
                if node.array not in graph.families and node.array not in graph.arrays:
                    fail(f"loads '{node.array}', which does not exist")
                target = graph.families.get(node.array) or graph.arrays[node.array]
                if target.rank != len(node.subscripts):
                    fail(
                        f"loads '{node.array}' with {len(node.subscripts)} subscripts for {target.rank} axes"
                    )
                if target.type != node.type:
                    fail(f"loads '{node.array}' as {node.type}, it is {target.type}")
                if target.batched != (bool(node.subscripts) and node.subscripts[0] == BATCH):
                    fail(f"loads '{node.array}' with the batch in the wrong place")
            if isinstance(node, Lookup):
                if node.table not in graph.tables:
                    fail(f"looks up '{node.table}', which does not exist")
                if graph.tables[node.table].values.ndim != len(node.subscripts):
                    fail(f"looks up '{node.table}' with {len(node.subscripts)} subscripts")
            if isinstance(node, Load | Lookup) and any(s.type != "integer" for s in node.subscripts):
                fail("a subscript is not an integer")
            if isinstance(node, Apply) and node.function not in ("select", "real"):
                kinds = {a.type for a in node.arguments}
                if len(kinds) > 1:
                    fail(f"'{node.function}' of mixed types {sorted(kinds)}")
            if isinstance(node, Constant) and node.type == "integer" and not isinstance(node.value, int):
                fail(f"an integer constant {node.value!r}")
    for name in graph.roots():
        if name not in graph.families:
            raise GraphError(f"'{name}' is asked for and does not exist")
    for scalar in [*graph.metrics.values(), *([graph.loss] if graph.loss else [])]:
        if graph.families[scalar].axes:
            raise GraphError(f"'{scalar}' should be a single number")
    for updated, family_name in graph.updates.items():
        if graph.arrays[updated].extents != graph.families[family_name].extents:
            raise GraphError(f"the update of '{updated}' has other extents")
