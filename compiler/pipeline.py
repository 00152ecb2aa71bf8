"""The ordered passes from text to machine code; any stage can be asked for by name.

In: a .dln file, or its text.  Out: `Network` (front end), `Graph`s (passes), `Compiled` (machine code and all before it).

    network = front("digits.dln", {"width": "64"})
    compiled = compile_network(network, capacity=32, optimizer=call)

`PASSES` is the list that the command line's `--stage` and its help are made of.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .elaborate import (
    Network,
    elaborate,
    elaborate_text,
    instantiate_optimizer,
    leaves_weights,
    optimizer_rates,
    step_settings,
)
from .mathematics.graph import Graph, verify
from .passes.gradient import differentiate
from .passes.operands import lift_operands
from .passes.order import in_order
from .passes.recurrence import check as check_recurrences
from .passes.regularise import constrain, regularise
from .passes.shared_values import share_values
from .passes.sharing import solve
from .passes.simplify import simplify
from .passes.tables import tabulate
from .source import Diagnostic, DiagnosticError
from .syntax import Call

if TYPE_CHECKING:
    from .kernels.program import Program
    from .machine.machine_code import Code
    from .machine.native import Target

Precision = Literal["float32", "float64"]


@dataclass(frozen=True)
class Pass:
    """One row: a graph in, a graph out. `needs` tells when it runs: always, for gradients, or for an optimizer."""

    name: str
    description: str
    function: Callable[[Graph, Network, Call | None], Graph]
    needs: Literal["", "gradient", "optimizer"] = ""


def _regularise(graph: Graph, network: Network, optimizer: Call | None) -> Graph:
    assert optimizer is not None
    return regularise(step_settings(network, graph.copy()), valued=leaves_weights(network, optimizer))


def _constrain(graph: Graph, network: Network, optimizer: Call | None) -> Graph:
    assert optimizer is not None
    result = graph.copy()
    settings = step_settings(network, result)
    if leaves_weights(network, optimizer):
        settings.refuse_outside(optimizer.function)
        settings.reporter.finish([network.module.path])
        return graph
    return constrain(network.graph, settings, optimizer_rates(network, result, optimizer))


def _optimize(graph: Graph, network: Network, optimizer: Call | None) -> Graph:
    assert optimizer is not None
    result = graph.copy()
    instantiate_optimizer(network, result, optimizer)
    return result.copy(directions={})


PASSES: tuple[Pass, ...] = (
    Pass("simplify", "algebra on the forward equations", lambda g, n, o: simplify(g)),
    Pass("operands", "costly repeated factors as families of their own", lambda g, n, o: lift_operands(g)),
    Pass(
        "gradient",
        "the backward equations, as they are printed",
        lambda g, n, o: differentiate(g),
        "gradient",
    ),
    Pass("regularise", "penalties, clipping, decay: what the optimizer is given", _regularise, "optimizer"),
    Pass("optimizer", "the update equations of every weight", _optimize, "optimizer"),
    Pass("constrain", "decay, max-norm, averages: what becomes of the next weights", _constrain, "optimizer"),
    Pass("tidy", "algebra on all equations", lambda g, n, o: simplify(g)),
    Pass("sharing", "subscripts solved: gathers, lists, scatters", lambda g, n, o: tabulate(solve(g))),
    Pass("order", "algebra once more, in topological order", lambda g, n, o: in_order(simplify(g))),
    Pass(
        "values", "costly values that several equations need, computed once", lambda g, n, o: share_values(g)
    ),
)

STAGES = ("syntax", "graph", *(p.name for p in PASSES), "llvm")


def front(source: str | Path, settings: Mapping[str, str] | None = None) -> Network:
    """Read, parse and elaborate a file. Raises DiagnosticError with every error of the file."""
    return _computable(elaborate(source, settings or {}))


def front_text(text: str, path: str = "<text>", settings: Mapping[str, str] | None = None) -> Network:
    """The same for a text; imports and tables are looked for beside `path`."""
    return _computable(elaborate_text(text, path, settings or {}))


def _computable(network: Network) -> Network:
    """The network, if its recurrences can be computed step by step. Raises DiagnosticError."""
    if errors := check_recurrences(network.graph):
        raise DiagnosticError(errors)
    return network


def check(path: str | Path, settings: Mapping[str, str] | None = None) -> list[Diagnostic]:
    """All errors and warnings of a file, in source order; an empty list for a file without any."""
    try:
        return list(front(path, settings).warnings)
    except DiagnosticError as error:
        return error.diagnostics


def run_passes(
    network: Network, *, gradient: bool = True, optimizer: Call | None = None, verified: bool = False
) -> Iterator[tuple[str, Graph]]:
    """(name, graph) after the front end and after every pass that applies."""
    graph = network.graph
    yield "graph", graph
    for step in PASSES:
        if step.needs == "gradient" and not (gradient and graph.loss):
            continue
        if step.needs == "optimizer" and (optimizer is None or not graph.gradients):
            continue
        graph = step.function(graph, network, optimizer)
        if verified:
            verify(graph)
        yield step.name, graph


@dataclass
class Compiled:
    """A network compiled for one capacity and precision."""

    network: Network
    graph: Graph
    program: Program
    code: Code
    capacity: int
    precision: Precision
    seconds: float
    stages: dict[str, float] = field(default_factory=dict)


def lower_network(
    network: Network,
    *,
    capacity: int,
    precision: Precision = "float32",
    optimizer: Call | None = None,
    gradient: bool = True,
    target: Target | None = None,
    verified: bool = False,
    **options: Any,
) -> tuple[Graph, Program, dict[str, float]]:
    """The final graph and its lowered program, with seconds per stage."""
    from .machine.native import host_target
    from .schedule.schedule import lower

    seconds: dict[str, float] = {}
    before = time.perf_counter()
    graph = network.graph
    for name, after in run_passes(network, gradient=gradient, optimizer=optimizer, verified=verified):
        graph = after
        now = time.perf_counter()
        seconds[name] = now - before
        before = now
    program = lower(graph, capacity=capacity, precision=precision, target=target or host_target(), **options)
    seconds["lower"] = time.perf_counter() - before
    return graph, program, seconds


def compile_network(
    network: Network,
    *,
    capacity: int,
    precision: Precision = "float32",
    optimizer: Call | None = None,
    gradient: bool = True,
    target: Target | None = None,
    verified: bool = False,
    **options: Any,
) -> Compiled:
    """Machine code for this machine. `capacity` is the most samples that one minibatch may hold.

    Without an optimizer there is no routine 'train', without `gradient` neither 'gradient'. Routines are compiled to machine
    code when they are first asked for.
    """
    from .machine.machine_code import compile_program
    from .machine.native import host_target

    start = time.perf_counter()
    target = target or host_target()
    graph, program, seconds = lower_network(
        network, capacity=capacity, precision=precision, optimizer=optimizer, gradient=gradient,
        target=target, verified=verified, **options,
    )  # fmt: skip
    code = compile_program(program, target)
    total = time.perf_counter() - start
    return Compiled(network, graph, program, code, capacity, precision, total, seconds)
