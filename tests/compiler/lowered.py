"""Graphs made ready and lowered, and what they compute against brute force: set-up of the tests of loops and of time loops.

In: a graph of graphs.py or recurrent_graphs.py.  Out: the graph after the usual passes; a `Runner` with the results.

    runner = compare(prepared(GRAPHS["dense"]()), 16, 13, "float32", VectorMachine())
"""

from __future__ import annotations

import numpy as np
from dln.compiler.mathematics.graph import Graph, verify
from dln.compiler.passes.gradient import differentiate
from dln.compiler.passes.operands import lift_operands
from dln.compiler.passes.order import in_order
from dln.compiler.passes.sharing import solve
from dln.compiler.passes.simplify import simplify
from dln.compiler.schedule.schedule import lower

from .family_oracle import evaluate, random_values
from .running import Runner, VectorMachine

PASSES = (simplify, lift_operands, differentiate, simplify, solve, simplify, in_order)


def prepared(graph: Graph) -> Graph:
    for step in PASSES:
        graph = step(graph)
    verify(graph)
    return graph


def compare(
    graph: Graph, capacity: int, samples: int, precision: str, target: VectorMachine, threads: int = 1
) -> Runner:
    """Run all routines on random numbers, and compare their results and all gradients with brute force."""
    values = random_values(graph, samples)
    expected = evaluate(graph, values, samples)
    program = lower(graph, capacity=capacity, precision=precision, target=target)
    runner = Runner(program)
    for name, array in graph.arrays.items():
        if name in program.placements:
            runner.set(name, values[name], array.batched)
    tolerance = 1e-11 if precision == "float64" else 3e-5
    for routine in program.routines.values():
        runner.run(routine.name, samples, threads)
        for root in {**dict.fromkeys(routine.outputs), **dict.fromkeys(routine.results)}:
            got = runner.get(root, samples if graph.families[root].batched else None)
            np.testing.assert_allclose(got, expected[root], rtol=tolerance, atol=tolerance, err_msg=root)
    for name in graph.gradients.values():
        np.testing.assert_allclose(
            runner.get(name), expected[name], rtol=tolerance, atol=tolerance, err_msg=name
        )
    return runner
