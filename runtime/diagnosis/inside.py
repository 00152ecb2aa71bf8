"""A network compiled so that the values of its equations stay in memory and can be looked at.

In: an elaborated network, which families are asked for.  Out: `Inside`.

    inside = Inside(elaborated, capacity=32, families=["∂hidden"])
    inside.compute(arrays, 0, 32, weights=weights)
    inside.value("∂hidden")                          array[32, 128]

Fusing equations saves memory by not keeping what lies between them; here each one is an output of the network, and is kept.
Nothing is updated: the next values of weights and states are families like any other. What is compiled is kept on disk, as
programs for training are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..execution import Execution

if TYPE_CHECKING:
    from ...compiler.elaborate import Network as Elaborated
    from ...compiler.kernels.program import Program
    from ...compiler.machine.target import Target
    from ...compiler.mathematics.graph import Graph
    from ...compiler.pipeline import Precision
    from ...compiler.syntax import Call


class Inside:
    """One minibatch of a network, looked into.

    families   the names of its equations that are kept, if there are such; None: all of them
    optimizer  None: without the next values of the weights; `gradient` False: without derivatives either

    kept       the names of these families;  updates: weight or state → family that is its next value
    """

    def __init__(
        self,
        elaborated: Elaborated,
        capacity: int,
        *,
        families: Iterable[str] | None = None,
        precision: Precision = "float32",
        threads: int | None = None,
        optimizer: Call | None = None,
        gradient: bool = True,
    ):
        from ...compiler.machine.machine_code import compile_program
        from ...compiler.machine.native import host_target
        from ...compiler.pipeline import Compiled
        from ...compiler.stored.networks import find_program, keep_program, program_key

        target = host_target()
        wanted = None if families is None else frozenset(families)
        asked = "all" if wanted is None else sorted(wanted)
        key = program_key(
            elaborated, "inside", asked, capacity, precision, optimizer, gradient, target
        )  # fmt: skip
        found = find_program(key)
        if found is None:
            found = self._lowered(elaborated, wanted, capacity, precision, optimizer, gradient, target)
            keep_program(key, *found)
        self.graph, program = found
        self.kept = list(self.graph.outputs)
        self.updates = self.graph.updates
        code = compile_program(program, target, key=key)
        compiled = Compiled(elaborated, self.graph, program, code, capacity, precision, 0.0)
        self.execution = Execution(compiled, threads)
        self.count = 0

    @staticmethod
    def _lowered(
        elaborated: Elaborated,
        wanted: frozenset[str] | None,
        capacity: int,
        precision: Precision,
        optimizer: Call | None,
        gradient: bool,
        target: Target,
    ) -> tuple[Graph, Program]:
        """The final equations, of which the wanted ones are outputs, and their program."""
        from ...compiler.mathematics.expression import forget_nodes
        from ...compiler.mathematics.walks import forget_walks
        from ...compiler.pass_order import run_passes
        from ...compiler.schedule.schedule import lower

        graph = elaborated.graph
        for _, after in run_passes(elaborated, gradient=gradient, optimizer=optimizer):
            graph = after
        kept = tuple(name for name in graph.families if wanted is None or name in wanted)
        # The routine 'forward' computes the outputs, whatever they are.
        graph = graph.copy(outputs=kept)
        program = lower(graph.copy(updates={}), capacity=capacity, precision=precision, target=target)
        forget_nodes()
        forget_walks()
        return graph, program

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
