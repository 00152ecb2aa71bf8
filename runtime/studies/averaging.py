"""Predictions of several networks, averaged, and the loss and metrics that follow from them.

In: an elaborated network, the values of its layers by several sets of weights.
Out: the averages, and the figures of a network whose layers are given instead of computed.

    averager = Averager(elaborated)
    averager.layers                                  {"score": "softmax"}
    averager.figures(averager.average(outputs), arrays)

What is averaged are the layers that the loss and the metrics read. Where a layer holds scores (the first argument of a
cross-entropy), their probabilities are averaged and turned back into scores: the mean of probabilities is a probability, the
mean of scores is the geometric mean of it, up to a factor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from ...compiler import syntax
from ...compiler.mathematics.graph import Array, Graph
from ..data.reading import Arrays
from ..errors import RunError
from ..training.history import Figures

if TYPE_CHECKING:
    from ...compiler.elaborate import Network as Elaborated
    from ...compiler.pipeline import Precision

How = Literal["values", "softmax", "logistic"]

#: Functions of the prelude whose first argument is a score, and what makes a probability of it.
SCORES: dict[str, How] = {
    "cross_entropy": "softmax",
    "soft_cross_entropy": "softmax",
    "weighted_cross_entropy": "softmax",
    "binary_cross_entropy": "logistic",
}


class Averager:
    """Averages of one network's layers. Raises RunError where neither loss nor metric reads a layer alone."""

    def __init__(self, elaborated: Elaborated, precision: Precision = "float32", *, values: bool = False):
        self.elaborated, self.precision = elaborated, precision
        graph = elaborated.graph
        wanted = {"loss": graph.loss, **graph.metrics}
        fronts = {name: front(graph, family) for name, family in wanted.items() if family is not None}
        #: Figures that depend on layers and inputs alone. A loss with a penalty in it also depends on the weights.
        self.measured = [name for name, found in fronts.items() if found]
        if not self.measured:
            raise RunError(
                "neither the loss nor a metric is computed from layers alone, so nothing can be averaged"
            )
        read = dict.fromkeys(layer for name in self.measured for layer in fronts[name])
        scores = {} if values else _scores(elaborated)
        self.layers: dict[str, How] = {layer: scores.get(layer, "values") for layer in read}

    def average(self, outputs: Sequence[Mapping[str, np.ndarray]]) -> Arrays:
        """The averages of all layers of several networks, samples first."""
        kind = np.dtype(self.precision)
        found: Arrays = {}
        for name in outputs[0]:
            values = (output[name].astype(np.float64) for output in outputs)
            how = self.layers.get(name, "values")
            found[name] = averaged(values, len(outputs), how).astype(kind)
        return found

    def figures(self, layers: Mapping[str, np.ndarray], arrays: Mapping[str, np.ndarray]) -> Figures:
        """Loss and metrics of given layers, with the inputs that they are compared with."""
        from ..program import Network

        graph = given_layers(self.elaborated.graph, self.layers, self.measured)
        net = Network(replace(self.elaborated, graph=graph), precision=self.precision, purpose="evaluation")
        needed = {array.name for array in graph.inputs}
        given = {**arrays, **{name: layers[name] for name in self.layers}}
        figures = net.evaluate({name: value for name, value in given.items() if name in needed})
        return {name: value for name, value in figures.items() if name in self.measured}


def averaged(values: Iterable[np.ndarray], count: int, how: How) -> np.ndarray:
    """The mean of `count` arrays, or the scores whose probabilities are the means of theirs. Stable for every score."""
    total: np.ndarray | float = 0.0
    rest: np.ndarray | float = 0.0
    for value in values:
        if how == "softmax":
            shifted = np.exp(value - value.max(axis=-1, keepdims=True))
            total = total + shifted / shifted.sum(axis=-1, keepdims=True)
        elif how == "logistic":
            total = total + np.exp(-np.logaddexp(0, -value))
            rest = rest + np.exp(-np.logaddexp(0, value))
        else:
            total = total + value
    if how == "values":
        return np.asarray(total) / count
    tiny = np.finfo(np.float64).tiny
    mean = np.log(np.maximum(np.asarray(total) / count, tiny))
    return mean if how == "softmax" else mean - np.log(np.maximum(np.asarray(rest) / count, tiny))


def front(graph: Graph, family: str) -> list[str]:
    """The layers that a family is computed from; [] where it also loads weights or states beyond them."""
    found: dict[str, None] = {}
    stack, seen = [family], set()
    while stack:
        name = stack.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in graph.outputs:
            found[name] = None
        elif name in graph.families:
            stack.extend(graph.families[name].sources)
        elif graph.arrays[name].kind in ("weight", "state"):
            return []
    return [name for name in graph.outputs if name in found]


def given_layers(graph: Graph, layers: Iterable[str], measured: Iterable[str]) -> Graph:
    """The graph of some figures, with layers as inputs."""
    layers = list(layers)
    wanted = {"loss": graph.loss, **graph.metrics}
    loss = graph.loss if "loss" in measured else None
    metrics = {name: family for name, family in graph.metrics.items() if name in measured}
    roots = [family for name in measured if (family := wanted[name]) is not None]
    rest = graph.copy(families={n: f for n, f in graph.families.items() if n not in layers})
    families = {n: f for n, f in rest.families.items() if n in rest.needed(roots)}
    loaded = {source for family in families.values() for source in family.sources}
    arrays = {name: array for name, array in graph.arrays.items() if name in loaded or array.kind == "clock"}
    for name in layers:
        layer = graph.families[name]
        arrays[name] = Array(name, "input", layer.extents, layer.batched, layer.type, span=layer.span)
    # Without a loss a metric stands in for it: `evaluate` asks for one.
    return rest.copy(
        arrays=arrays, families=families, outputs=(), updates={}, loss=loss or roots[0], metrics=metrics
    )


def _scores(elaborated: Elaborated) -> dict[str, How]:
    """Layers that the file's losses and metrics take for scores."""
    found: dict[str, How] = {}
    for declaration in elaborated.module.declarations:
        if not isinstance(declaration, syntax.LossDeclaration | syntax.MetricDeclaration):
            continue
        for call in _calls(declaration.value):
            match call.arguments:
                case (syntax.Name(name=layer), *_) if call.function in SCORES:
                    found[layer] = SCORES[call.function]
    return found


def _calls(expression: syntax.Expression) -> Iterable[syntax.Call]:
    """The calls that are added up in a loss."""
    stack = [expression]
    while stack:
        node = stack.pop()
        if isinstance(node, syntax.Call):
            yield node
        elif isinstance(node, syntax.Binary):
            stack += [node.left, node.right]
        elif isinstance(node, syntax.Unary):
            stack.append(node.operand)
