"""The passes from the equations of a file to those of its training step, in their order.

In: an elaborated network.  Out: `Graph`s, one after every pass.

    for name, graph in run_passes(network, optimizer=call): …

`PASSES` is the list that the command line's `--stage` and its help are made of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from .elaborate import Network, instantiate_optimizer, optimizer_rates, step_settings
from .mathematics.graph import Graph, verify
from .passes.choices import read_choices
from .passes.digits import split_digits
from .passes.gradient import differentiate
from .passes.operands import lift_operands
from .passes.order import in_order
from .passes.regularise import constrain, regularise
from .passes.shared_values import share_values
from .passes.sharing import solve
from .passes.simplify import simplify
from .passes.slopes import keep_slopes
from .passes.tables import tabulate
from .record import record
from .syntax import Call


@record
class Pass:
    """One row: a graph in, a graph out. `needs` tells when it runs: always, for gradients, or for an optimizer."""

    name: str
    description: str
    function: Callable[[Graph, Network, Call | None], Graph]
    needs: Literal["", "gradient", "optimizer"] = ""


def _regularise(graph: Graph, network: Network, optimizer: Call | None) -> Graph:
    assert optimizer is not None
    return regularise(step_settings(network, graph.copy()), valued=network.leaves_weights(optimizer))


def _constrain(graph: Graph, network: Network, optimizer: Call | None) -> Graph:
    assert optimizer is not None
    result = graph.copy()
    settings = step_settings(network, result)
    if network.leaves_weights(optimizer):
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
    Pass(
        "sharing",
        "subscripts solved: gathers, lists, scatters",
        lambda g, n, o: tabulate(solve(split_digits(g))),
    ),
    Pass("order", "algebra once more, in topological order", lambda g, n, o: in_order(simplify(g))),
    Pass(
        "values", "costly values that several equations need, computed once", lambda g, n, o: share_values(g)
    ),
    Pass(
        "choices",
        "values that only a choice wants are read from it",
        lambda g, n, o: read_choices(g),
        "gradient",
    ),
    Pass(
        "slopes",
        "factors of derivatives that forward values decide",
        lambda g, n, o: keep_slopes(g),
        "gradient",
    ),
)

STAGES = ("syntax", "graph", *(p.name for p in PASSES), "llvm")


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
