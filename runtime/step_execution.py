"""A recurrent network that is carried on from step to step.

In: a network, its input of tokens, the layer of scores.  Out: `StepExecution`, or None where the network cannot be stepped.

    stepper = step_execution(net, "token", "score")
    stepper.advance(17)                              array[65]: the scores after this token and all before it

The network is compiled once more with sequences of one step (the `param` that is the input's length set to 1), and what lies
before the first step made a state. That this gives the same scores as the whole sequence is not taken for granted: it is tried
with random tokens, and where it is not so (attention over all steps, positions) there is no `StepExecution`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..compiler import syntax
from ..compiler.pipeline import compile_network, front_text
from ..compiler.source import DiagnosticError
from ..compiler.stepping import CannotStep, step_graph
from .execution import Execution, Totals
from .initialize import generator

if TYPE_CHECKING:
    from ..compiler.elaborate import Network as Elaborated
    from .program import Network

#: Largest difference between scores, relative to the largest score, that is rounding.
TOLERANCE = {"float32": 1e-3, "float64": 1e-9}


class StepExecution:
    """One text that is being written. `advance` takes the next token."""

    def __init__(self, execution: Execution, token: str, layer: str):
        self.execution, self.layer = execution, layer
        graph = execution.compiled.graph
        self.inputs = {
            a.name: np.zeros(
                (1, *a.extents), np.int32 if a.type == "integer" else execution.program.float_type
            )
            for a in graph.inputs
        }
        self.row = self.inputs[token]
        program = execution.program
        self.outputs = {
            name: np.empty((1, *program.placements[name].shape[1:]), program.placements[name].data_type)
            for name in program.routines["step"].outputs
        }

    def start(self) -> None:
        """Forget what came before."""
        for name in self.execution.kept:
            array = self.execution.compiled.graph.arrays[name]
            if array.kind == "state" and name in self.execution.compiled.graph.updates:
                self.execution.memory.view(name)[...] = 0

    def advance(self, token: int) -> np.ndarray:
        """The scores of what follows a token."""
        self.row[...] = token
        totals = Totals(self.execution.program.routines["step"].results)
        self.execution.run("step", self.inputs, 0, 1, totals=totals, outputs=self.outputs)
        return self.outputs[self.layer].reshape(-1)


def step_execution(net: Network, token: str, layer: str) -> StepExecution | None:
    """The network as it stands now, at its first step; None where it cannot be stepped."""
    shape = net.elaborated.graph.families[layer].extents
    steps = net.elaborated.graph.arrays[token].extents
    if len(shape) != 2 or shape[0] != steps[0] or steps[0] < 2:
        return None
    shortened = _one_step(net.elaborated, token)
    if shortened is None or shortened.graph.arrays.keys() != net.elaborated.graph.arrays.keys():
        return None
    for name in net.weights:
        if shortened.graph.arrays[name].extents != net.elaborated.graph.arrays[name].extents:
            return None
    try:
        stepped = replace(shortened, graph=step_graph(shortened.graph))
    except CannotStep:
        return None
    graph = stepped.graph
    compiled = compile_network(
        stepped, capacity=1, precision=net.precision, gradient=False,
        routines={"step": (*graph.outputs, *graph.updates.values())},
    )  # fmt: skip
    execution = Execution(compiled, threads=1)
    held = {n: v for n, v in net.saved_arrays().items() if n in execution.program.placements}
    execution.memory.put_back(held)
    stepper = StepExecution(execution, token, layer)
    return stepper if _agrees(net, stepper, token, layer) else None


def _one_step(elaborated: Elaborated, token: str) -> Elaborated | None:
    """The network with sequences of one step; None where no param says how long they are."""
    for declaration in elaborated.module.declarations:
        if isinstance(declaration, syntax.InputDeclaration) and declaration.name == token:
            match declaration.axes:
                case (syntax.AxisDeclaration(extent=syntax.Name(name=length)),) if (
                    length in elaborated.parameters
                ):
                    settings = {name: str(value) for name, value in elaborated.parameters.items()}
                    source = elaborated.sources[0]
                    try:
                        return front_text(source.text, source.path, settings | {length: "1"})
                    except DiagnosticError:
                        return None
    return None


def _agrees(net: Network, stepper: StepExecution, token: str, layer: str) -> bool:
    """Whether stepping through random tokens gives the scores of the whole sequence."""
    array = net.elaborated.graph.arrays[token]
    count = min(array.extents[0], 8)
    tokens = np.zeros((1, *array.extents), np.int32)
    tokens[0, :count] = generator(0, "step").integers(0, array.classes or 1, count)
    whole = net.execution_for(1).forward({**empty_sample(net), token: tokens}, 1)[layer][0, :count]
    found = np.array([stepper.advance(int(t)).copy() for t in tokens[0, :count]])
    stepper.start()
    scale = max(float(np.abs(whole).max(initial=0)), 1e-6)
    return bool(np.abs(found - whole).max(initial=0) <= TOLERANCE[net.precision] * scale)


def empty_sample(net: Network) -> dict[str, np.ndarray]:
    """One sample of every input, all 0."""
    return {
        a.name: np.zeros((1, *a.extents), np.int32 if a.type == "integer" else net.precision)
        for a in net.elaborated.graph.inputs
    }
