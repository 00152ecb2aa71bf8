"""An elaborated file: what the front end hands on.

In: what network.py found out about a file.  Out: `Network`, plain data but for its scope.

    network.graph.families["hidden"]
    network.evaluate_number(entry.values[0])      # 32, for `batch 32` or `batch 2 * half` of a train section

This module imports little: a network that was elaborated earlier and kept on disk (compiler/stored) needs no more.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import field
from typing import TYPE_CHECKING, Any

from .. import syntax
from ..mathematics.graph import Graph
from ..record import record
from ..source import Diagnostic, Source

if TYPE_CHECKING:
    from .scope import Scope


@record(frozen=False)
class Network:
    """One elaborated file.

    graph        its index equations (see graph.py)
    module       the main file's tree, settings of `train` put in
    parameters   the value of every param
    data, train, search
                 the sections, or None
    sources      every file that was read, the main file first
    warnings     what is odd but right
    key          what tells it from every other network, if it is kept on disk; a network that is made of another has none
    """

    graph: Graph
    module: syntax.Module
    parameters: dict[str, int | float | str] = field(default_factory=dict)
    data: syntax.DataDeclaration | None = None
    train: syntax.TrainDeclaration | None = None
    sources: tuple[Source, ...] = ()
    warnings: tuple[Diagnostic, ...] = ()
    scope: Scope | None = None
    search: syntax.SearchDeclaration | None = None
    key: str = field(default="", init=False, compare=False, repr=False)
    #: What was found out about it so far, by what was asked; and where such answers are kept, if they are.
    _facts: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)
    _recall: Callable[[str, str, Callable[[], Any]], Any] | None = field(
        default=None, init=False, compare=False, repr=False
    )

    @functools.cached_property
    def optimizers(self) -> dict[str, syntax.OptimizerDeclaration]:
        """Every optimizer in reach, by name: those of the file, of its imports, of the prelude."""
        from .optimizer import optimizers_in_reach

        return optimizers_in_reach(self)

    def leaves_weights(self, call: syntax.Call) -> bool:
        """Whether an optimizer computes directions alone, and the runtime changes the weights."""

        def find() -> bool:
            from .optimizer import leaves_weights

            return leaves_weights(self, call)

        return bool(self.known(f"leaves weights: {call.function}", find))

    def evaluate_number(self, expression: syntax.Expression) -> int | float:
        """The value of an expression over numbers, params and scalar functions. Raises DiagnosticError."""
        match expression:  # what most settings are needs no names to be looked up
            case syntax.Number():
                return expression.value
            case syntax.Name() if isinstance(value := self.parameters.get(expression.name), int | float):
                if not isinstance(value, bool):
                    return value

        def find() -> int | float:
            from .numbers import number_of

            return number_of(self, expression)

        text = expression.span.text
        found: int | float = self.known(f"number: {text}", find) if text else find()
        return found

    def known(self, what: str, find: Callable[[], Any]) -> Any:
        """What `find` tells, remembered with the network: on disk too, so that a later process need not elaborate it again.

        what   names the answer: together with the network it determines it
        find   its value is data that stored/plain.py can write
        """
        if what not in self._facts:
            recall = self._recall
            self._facts[what] = recall(self.key, what, find) if recall is not None and self.key else find()
        return self._facts[what]

    def with_graph(self, graph: Graph, what: str) -> Network:
        """The same network with another graph, which was made of this one's in the way that `what` names."""
        other = copy.copy(self)
        other.graph, other._facts = graph, {}
        other.key = f"{self.key} {what}" if self.key else ""
        return other
