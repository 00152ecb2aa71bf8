"""Where an expression stands: its scope, its `..`, the positions of whole arrays, the declaration that it belongs to.

In: a declaration.  Out: `Context`, handed down while an expression is read.

    layer score[10] = relu(h + bias)      positions: one index of extent 10, fixed by 'score'

Whole arrays in one expression are taken at the same positions; the first of them fixes the axes where the declaration
does not. Scalars mix with anything.
"""

from __future__ import annotations

from dataclasses import field, replace

from ..mathematics.expression import Expression
from ..record import record
from ..source import NOWHERE, Span
from .scope import Binding, Scope
from .targets import Instance, Site
from .terms import Around, Index


@record(frozen=False, eq=False)
class Positions:
    """The axes at which whole arrays are taken. `indices` is None until something fixes them.

    `name` and `span` say what fixed them, `declared` whether a declaration did; `spans` are the places of the single axes.
    `purpose`: 'array', or what must be one number ("the loss").
    """

    indices: list[Index] | None = None
    name: str = ""
    span: Span = NOWHERE
    spans: list[Span] = field(default_factory=list)
    purpose: str = "array"
    declared: bool = True


@record
class Context:
    """`ellipsis`: the indices that `..` stands for here; `group`: the extents of `..` in this block or function.

    `moment` orders declarations of one body: a state read after an update sees the new value.
    `around`: the reductions that the expression stands in.
    """

    scope: Scope
    site: Site
    positions: Positions
    instance: Instance
    ellipsis: tuple[Index, ...] | None = None
    group: tuple[Expression, ...] | None = None
    moment: int = 0
    depth: int = 0
    calls: tuple[tuple[Span, str], ...] = ()
    active: tuple[tuple[object, Span], ...] = ()
    subscript: bool = False
    around: tuple[Around, ...] = ()

    def with_names(self, names: dict[str, Binding]) -> Context:
        return replace(self, scope=self.scope.inner(names))


#: Names for axes that the file does not name.
_LETTERS = "ijklmnpqrsuvabcdefgh"


def index_name(position: int) -> str:
    return _LETTERS[position] if position < len(_LETTERS) else f"i{position}"
