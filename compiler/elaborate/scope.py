"""Names: what each stands for, and where it is looked up.

In: declarations, parameters, indices.  Out: `Scope.find(name)`, from the inside out.

    file ⊂ block or function ⊂ declaration ⊂ reduction

Bindings are terms (parameters, indices, sizes), targets (arrays and families), index sets, or one of the callables below.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from .. import syntax
from ..mathematics.expression import Expression
from ..mathematics.scalar import SCALAR_FUNCTIONS, ScalarFunction
from ..record import record
from ..source import Span
from .targets import Instance, Slot, Target

#: Numbers that the runtime supplies, in the reach of every file.
CLOCKS = {
    name: Slot(name, type="integer", kind="clock", name=name)
    for name in ("step", "epoch", "batch_size", "training")
}


@record(eq=False)
class IndexSet:
    """`index gate = {input, forget, cell, output}`."""

    name: str
    values: tuple[str, ...]
    span: Span


@record(eq=False)
class FunctionBinding:
    declaration: syntax.FunctionDeclaration
    scope: Scope


@record(eq=False)
class BlockBinding:
    """Blocks of one name: they differ in the ranks of their arguments."""

    declarations: tuple[syntax.BlockDeclaration, ...]
    scope: Scope


@record(eq=False)
class MapBinding:
    declaration: syntax.MapDeclaration
    scope: Scope


@record(eq=False)
class DrawBinding:
    """A random draw of an initializer or, if `network`, in an expression; `defaults`: its arguments where they are left out."""

    name: str
    parameters: tuple[str, ...] = ()
    defaults: tuple[float, ...] = ()
    network: bool = False


@record(eq=False)
class OptimizerBinding:
    declaration: syntax.OptimizerDeclaration
    scope: Scope


Callable_ = FunctionBinding | BlockBinding | MapBinding | ScalarFunction | DrawBinding
Binding = Expression | Target | IndexSet | Callable_ | OptimizerBinding | Instance


class Scope:
    """Names and what they stand for; what is not found here is looked up outside.

    `prelude`, on the outermost scope only, supplies what no file declares.
    """

    def __init__(self, outer: Scope | None = None, names: Mapping[str, Binding] | None = None):
        self.outer = outer
        self.names: dict[str, Binding] = dict(names or {})
        self.spans: dict[str, Span] = {}

    def inner(self, names: Mapping[str, Binding] | None = None) -> Scope:
        return Scope(self, names)

    def find(self, name: str) -> Binding | None:
        scope: Scope | None = self
        while scope is not None:
            if (found := scope.names.get(name)) is not None or (found := scope.supply(name)) is not None:
                return found
            scope = scope.outer
        return None

    def supply(self, name: str) -> Binding | None:
        """What the scope can bring in on demand."""
        return None

    def chain(self) -> Iterator[Scope]:
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.outer

    def index_sets(self) -> Iterator[IndexSet]:
        for scope in self.chain():
            yield from (b for b in scope.names.values() if isinstance(b, IndexSet))

    def all_names(self) -> list[str]:
        """Every name in reach, the nearest first: candidates for 'did you mean'."""
        return list(
            dict.fromkeys(name for scope in self.chain() for name in (*scope.names, *scope.supplied()))
        )

    def supplied(self) -> list[str]:
        return []


#: Draws that give a number in an expression of the network.
NETWORK_DRAWS: dict[str, Binding] = {
    "bernoulli": DrawBinding("bernoulli", ("probability",), (math.nan,), network=True),
    "normal": DrawBinding("normal", ("mean", "deviation"), (0.0, 1.0), network=True),
    "uniform": DrawBinding("uniform", ("low", "high"), (0.0, 1.0), network=True),
}


class BuiltInScope(Scope):
    """The outermost scope: the public scalar functions, the clocks, random draws."""

    def __init__(self) -> None:
        super().__init__(None, {name: row for name, row in SCALAR_FUNCTIONS.items() if row.public})
        self.names.update(CLOCKS)
        self.names.update(NETWORK_DRAWS)
