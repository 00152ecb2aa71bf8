"""How the numbers of a network depend on which samples share a minibatch.

In: a graph before its passes.  Out: for a family, one word of `Coupling`.

    coupling_of(graph, training=False)["score"]    'sample'    each sample for itself
    coupling_of(graph, training=False)["loss"]     'mean'      the mean over the samples of numbers of their own

The runtime cuts many samples into minibatches of a fixed capacity. For a mean it may: the mean over all is the mean of
the minibatches' means, weighted by their samples, and so is the gradient. A `sum` over the batch is the sum of the
minibatches' sums. Everything else ('mixed': batch normalisation while training, a variance over the batch) needs all
samples in one minibatch, and the runtime then makes one that is large enough.
"""

from __future__ import annotations

from typing import Literal

from ..compiler.mathematics.expression import BATCH, Apply, Expression, Load, integer
from ..compiler.mathematics.graph import Family, Graph
from ..compiler.mathematics.walks import postorder, substitute

#: constant: the same for every minibatch; sample: of one sample; share: of one sample, over the number of samples;
#: inverse: a constant over the number of samples; size: the number of samples; mean, sum: over the samples; mixed: else.
Coupling = Literal["constant", "sample", "share", "inverse", "size", "mean", "sum", "mixed"]


def coupling_of(graph: Graph, *, training: bool) -> dict[str, Coupling]:
    """The coupling of every family, with the clock `training` known."""
    clock: dict[Expression, Expression] = {Load("training", (), "integer"): integer(int(training))}
    found: dict[str, Coupling] = {}
    while True:  # more than once only where families form a recurrence
        before = dict(found)
        for name, family in graph.families.items():
            found[name] = _family(graph, family, found, clock)
        if found == before:
            return found


def _family(
    graph: Graph,
    family: Family,
    found: dict[str, Coupling],
    clock: dict[Expression, Expression],
) -> Coupling:
    parts = [_expression(graph, substitute(e, clock), found) for e in family.expressions]
    body = parts[0]
    if family.reduction is None:
        return body
    conditions = _together(parts[1:])
    if conditions not in ("constant", "sample"):
        return "mixed"
    if conditions == "sample":
        body = _sum(body, "sample") if body in ("constant", "sample") else "mixed"
    over_batch = BATCH in family.reduction.axes
    if family.reduction.kind != "sum":
        return body if body in ("constant", "sample") and not over_batch else "mixed"
    if not over_batch:
        return body
    # Over the samples a constant counts once per sample, which makes it a sum as well.
    totals: dict[Coupling, Coupling] = {
        "constant": "sum", "sample": "sum", "share": "mean", "inverse": "constant",
    }  # fmt: skip
    return totals.get(body, "mixed")


def _expression(graph: Graph, root: Expression, found: dict[str, Coupling]) -> Coupling:
    values: dict[Expression, Coupling] = {}
    for node in postorder(root):
        children = [values[c] for c in node.children]
        if isinstance(node, Load):
            inside = _together(children)
            values[node] = _load(graph, node, found) if inside in ("constant", "sample") else "mixed"
            if inside == "sample":
                values[node] = _sum(values[node], "sample")
        elif isinstance(node, Apply):
            values[node] = _apply(node.function, children)
        else:
            values[node] = "constant" if node != BATCH else "sample"
    return values[root]


def _load(graph: Graph, node: Load, found: dict[str, Coupling]) -> Coupling:
    if node.array in graph.families:
        # What a recurrence has not reached yet is taken to be as harmless as can be, and looked at again.
        innocent: Coupling = "sample" if graph.families[node.array].batched else "constant"
        return found.get(node.array, innocent)
    if node.array == "batch_size":
        return "size"
    return "sample" if graph.arrays[node.array].batched else "constant"


def _apply(function: str, parts: list[Coupling]) -> Coupling:
    match function, parts:
        case (("neg" | "real" | "stop_gradient"), (only,)):
            return only
        case (("+" | "-"), (left, right)):
            return _sum(left, right)
        case "*", (left, right):
            return _product(left, right)
        case "/", (left, right):
            return _quotient(left, right)
        case "select", ("constant", then, otherwise):
            return _sum(then, otherwise)
    return _together(parts)


def _together(parts: list[Coupling]) -> Coupling:
    """Of any function of the parts: it keeps only what is of one sample, or constant."""
    if all(p == "constant" for p in parts):
        return "constant"
    return "sample" if all(p in ("constant", "sample") for p in parts) else "mixed"


def _sum(left: Coupling, right: Coupling) -> Coupling:
    if left == right:
        return left
    kinds = {left, right}
    if kinds in ({"constant", "sample"}, {"constant", "mean"}):
        return "sample" if "sample" in kinds else "mean"
    return "share" if kinds == {"share", "inverse"} else "mixed"


def _product(left: Coupling, right: Coupling) -> Coupling:
    for one, other in ((left, right), (right, left)):
        if one == "constant":
            return other
        if one == "inverse" and other in ("sample", "sum"):
            return "share" if other == "sample" else "mean"
        if one == "sample" and other in ("sample", "share"):
            return other
    return "mixed"


def _quotient(left: Coupling, right: Coupling) -> Coupling:
    if right == "constant":
        return left
    if right == "size":
        divided: dict[Coupling, Coupling] = {
            "constant": "inverse", "sample": "share", "sum": "mean", "size": "constant",
        }  # fmt: skip
        return divided.get(left, "mixed")
    return left if right == "sample" and left in ("sample", "share") else _together([left, right])
