"""Terms: expressions while sizes and names of families are still open. They extend the graph's expressions.

In: nothing.  Out: node classes that stand beside `Constant` and `Apply` until `emit.py` replaces them.

    SizeVariable   an extent that unification finds             →  Constant
    Index          an index variable, its size maybe unknown    →  Axis
    Access         an array or family at subscripts             →  Load (with conditions, or a select for `else`)
    TableAccess    an entry of a static table                   →  Lookup
    Reduce         Σ, average, max, …                           →  a family of its own, and a Load of it
    Draw           a random number                              →  a family of its own, and a Load of it

These nodes compare by identity: two uses of `w[i]` in a file are two places. A node that is used twice, as the argument
of an inlined function is, stays one node and becomes one value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING

from ..mathematics.expression import Expression, Type, apply
from ..mathematics.walks import own_postorder
from ..record import record
from ..source import NOWHERE, Span

if TYPE_CHECKING:
    from .tables import StaticTable
    from .targets import Target


@record(frozen=False, eq=False)
class SizeVariable(Expression):
    """An extent. `value` is set once, by `Sizes`; `because` says what set it, for messages."""

    name: str
    span: Span = NOWHERE
    value: Expression | None = None
    because: tuple[Span, str] | None = None
    type: Type = field(default="integer", init=False)


@record(frozen=False, eq=False)
class Index(Expression):
    """An index variable. `declared` tells an extent that the file states from one that is inferred."""

    name: str
    size: Expression
    span: Span = NOWHERE
    declared: bool = True
    because: tuple[Span, str] | None = None
    type: Type = field(default="integer", init=False)


@record(frozen=False, eq=False)
class Access(Expression):
    target: Target
    subscripts: tuple[Expression, ...]
    otherwise: Expression | None = None
    span: Span = NOWHERE
    #: Where each subscript stands, for messages; the whole span where it is not written.
    places: tuple[Span, ...] = ()
    calls: tuple[tuple[Span, str], ...] = ()
    type: Type = "real"

    @property
    def children(self) -> tuple[Expression, ...]:
        return self.subscripts if self.otherwise is None else (*self.subscripts, self.otherwise)

    def with_children(self, children: tuple[Expression, ...]) -> Expression:
        subscripts, rest = children[: len(self.subscripts)], children[len(self.subscripts) :]
        return Access(
            self.target, subscripts, rest[0] if rest else None, self.span, self.places, self.calls, self.type
        )


@record(frozen=False, eq=False)
class TableAccess(Expression):
    table: StaticTable
    subscripts: tuple[Expression, ...]
    otherwise: Expression | None = None
    span: Span = NOWHERE
    places: tuple[Span, ...] = ()
    calls: tuple[tuple[Span, str], ...] = ()
    type: Type = "integer"

    @property
    def children(self) -> tuple[Expression, ...]:
        return self.subscripts if self.otherwise is None else (*self.subscripts, self.otherwise)

    def with_children(self, children: tuple[Expression, ...]) -> Expression:
        subscripts, rest = children[: len(self.subscripts)], children[len(self.subscripts) :]
        return TableAccess(
            self.table, subscripts, rest[0] if rest else None, self.span, self.places, self.calls, self.type
        )


@record(frozen=False, eq=False)
class Reduce(Expression):
    """kind: a kind of graph.py, or 'average'. `batch`: the samples are reduced too."""

    kind: str
    indices: tuple[Index, ...]
    batch: bool
    where: Expression
    body: Expression
    span: Span = NOWHERE
    calls: tuple[tuple[Span, str], ...] = ()

    @property
    def type(self) -> Type:  # type: ignore[override]
        return "integer" if self.kind.startswith("arg") else "real"

    @property
    def children(self) -> tuple[Expression, ...]:
        return (self.where, self.body)

    def with_children(self, children: tuple[Expression, ...]) -> Expression:
        where, body = children
        return Reduce(self.kind, self.indices, self.batch, where, body, self.span, self.calls)


@record(frozen=False, eq=False)
class Draw(Expression):
    """A random number, drawn anew for every index point around it: 'uniform' in (0, 1), or 'normal' with deviation 1.

    `around`: the reductions that it stands in. A use of it elsewhere, as the argument of a function, is the same number.
    """

    kind: str
    around: tuple[Around, ...] = ()
    span: Span = NOWHERE
    type: Type = field(default="real", init=False)


@record
class Around:
    """A reduction around a term: its indices (found out later for a `..` outside of blocks), and whether it is over the batch."""

    indices: list[Index]
    batch: bool


@record
class Poison(Expression):
    """What a mistake leaves behind: whatever is made of it is poison too and says nothing more."""

    type: Type = "real"


POISON = Poison()


def is_poison(*terms: Expression) -> bool:
    return any(isinstance(t, Poison) for t in terms)


def contains_poison(*terms: Expression) -> bool:
    return any(isinstance(t, Poison) for t in own_postorder(*terms))


def to_real(term: Expression) -> Expression:
    """The term as a real number: integers and truth values (1, 0) are converted."""
    if is_poison(term):
        return POISON
    return term if term.type == "real" else apply("real", term)


def free_indices(term: Expression) -> list[Index]:
    """The indices of a term that no reduction inside it binds, in order of first visit."""
    nodes = own_postorder(term)
    bound = {i for node in nodes if isinstance(node, Reduce) for i in node.indices}
    return [node for node in nodes if isinstance(node, Index) and node not in bound]


def renamed(term: Expression, mapping: Mapping[Expression, Expression]) -> Expression:
    """The term with indices replaced. Nodes without a replaced index stay the same nodes."""
    if not mapping:
        return term
    done: dict[Expression, Expression] = {}
    for node in own_postorder(term):
        if node in mapping:
            done[node] = mapping[node]
            continue
        children = node.children
        new = tuple(done[c] for c in children)
        done[node] = (
            node if all(a is b for a, b in zip(new, children, strict=True)) else node.with_children(new)
        )
    return done[term]
