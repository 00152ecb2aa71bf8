"""An elaborated file: what the front end hands on.

In: what network.py found out about a file.  Out: `Network`, plain data but for its scope.

    network.graph.families["hidden"]
    network.evaluate_number(entry.values[0])      # 32, for `batch 32` or `batch 2 * half` of a train section

This module imports little: a network that was elaborated earlier and kept on disk (compiler/stored) needs no more.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .. import syntax
from ..mathematics.graph import Graph
from ..source import Diagnostic, Source

if TYPE_CHECKING:
    from .scope import Scope


@dataclass
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
    #: Optimizer → whether it leaves the weights to the runtime, for those that were asked for.
    _leaving: dict[str, bool] = field(default_factory=dict, init=False, compare=False, repr=False)

    @functools.cached_property
    def optimizers(self) -> dict[str, syntax.OptimizerDeclaration]:
        """Every optimizer in reach, by name: those of the file, of its imports, of the prelude."""
        from .optimizer import optimizers_in_reach

        return optimizers_in_reach(self)

    def leaves_weights(self, call: syntax.Call) -> bool:
        """Whether an optimizer computes directions alone, and the runtime changes the weights."""
        if call.function not in self._leaving:
            from .optimizer import leaves_weights

            self._leaving[call.function] = leaves_weights(self, call)
        return self._leaving[call.function]

    def evaluate_number(self, expression: syntax.Expression) -> int | float:
        """The value of an expression over numbers, params and scalar functions. Raises DiagnosticError."""
        match expression:  # what most settings are needs no names to be looked up
            case syntax.Number():
                return expression.value
            case syntax.Name() if isinstance(value := self.parameters.get(expression.name), int | float):
                if not isinstance(value, bool):
                    return value
        from .numbers import number_of

        return number_of(self, expression)
