"""A network compiled so that the values of its equations stay in memory and can be looked at.

In: an elaborated network, which families are asked for.  Out: `Inside`.

    inside = Inside(elaborated, capacity=32, families=lambda family: family.role == "gradient")
    inside.compute(arrays, 0, 32, weights=weights)
    inside.value("∂hidden")                          array[32, 128]

Fusing equations saves memory by not keeping what lies between them; here each one is an output of the network, and is kept.
Nothing is updated: the next values of weights and states are families like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from ...compiler.mathematics.graph import Family
from ..execution import Execution

if TYPE_CHECKING:
    from ...compiler.elaborate import Network as Elaborated
    from ...compiler.pipeline import Precision
    from ...compiler.syntax import Call


class Inside:
    """One minibatch of a network, looked into.

    families   which of its equations are kept
    optimizer  None: without the next values of the weights; `gradient` False: without derivatives either

    kept       the names of these families;  updates: weight or state → family that is its next value
    """

    def __init__(
        self,
        elaborated: Elaborated,
        capacity: int,
        *,
        families: Callable[[Family], bool] = lambda family: True,
        precision: Precision = "float32",
        threads: int | None = None,
        optimizer: Call | None = None,
        gradient: bool = True,
    ):
        from ...compiler.machine.machine_code import compile_program
        from ...compiler.machine.native import host_target
        from ...compiler.pass_order import run_passes
        from ...compiler.pipeline import Compiled
        from ...compiler.schedule.schedule import lower

        graph = elaborated.graph
        for _, after in run_passes(elaborated, gradient=gradient, optimizer=optimizer):
            graph = after
        self.kept = [family.name for family in graph.families.values() if families(family)]
        self.updates = graph.updates
        # The routine 'forward' computes the outputs, whatever they are.
        self.graph = graph.copy(outputs=tuple(self.kept), updates={})
        target = host_target()
        program = lower(self.graph, capacity=capacity, precision=precision, target=target)
        code = compile_program(program, target)
        compiled = Compiled(elaborated, self.graph, program, code, capacity, precision, 0.0)
        self.execution = Execution(compiled, threads)
        self.count = 0

    def compute(
        self,
        arrays: Mapping[str, np.ndarray],
        start: int,
        stop: int,
        *,
        weights: Mapping[str, np.ndarray],
        step: int = 0,
        seed: int = 0,
        epoch: int = 0,
        training: bool = False,
        order: np.ndarray | None = None,
        batch: int | None = None,
    ) -> None:
        """All values for one minibatch, samples start … stop − 1. Weights and states that are not given stay as they are."""
        held = self.execution.program.placements
        self.execution.memory.put_back({name: value for name, value in weights.items() if name in held})
        self.execution.step, self.execution.seed = step, seed
        self.count = stop - start
        self.execution.run(
            "forward", arrays, start, stop, order=order, batch=batch, epoch=epoch, training=training
        )

    def value(self, name: str) -> np.ndarray:
        """The values of a family (samples first, where it has them), or of a weight; live."""
        view = self.execution.memory.view(name)
        batched = self.graph.families[name].batched if name in self.graph.families else False
        return view[: self.count] if batched else view
