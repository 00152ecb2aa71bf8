"""Random samples for any network: where no data are needed, since only its equations are looked at, or their speed.

In: a network's inputs and equations.  Out: input → array.

    random_samples(net.elaborated.graph, 7, seed=0)        {"image": array[7, 64], "label": array[7]}

Real inputs are normal numbers. But where a loss or a metric divides by something that is made of inputs alone, or takes its
logarithm, its root or another power, normal numbers of both signs are not what was meant: a mean that is weighted by
`weight[t]` has nearly 0 below the line now and then. Such inputs are uniform between ½ and 1½.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..compiler.mathematics.expression import Apply, Constant, Expression, Load
from ..compiler.mathematics.graph import Graph
from ..compiler.mathematics.walks import postorder
from .arrays import describe_input
from .errors import RunError
from .initialize import generator


def random_samples(graph: Graph, count: int, seed: int) -> dict[str, np.ndarray]:
    """Values for every input, samples first. Raises RunError for whole numbers that are no classes."""
    samples: dict[str, np.ndarray] = {}
    positive = positive_inputs(graph)
    for array in graph.inputs:
        draws = generator(seed, "gradient check", array.name)
        shape = (count, *array.extents)
        if array.type == "integer":
            if array.classes is None:
                raise RunError(f"cannot draw values for {describe_input(array)}; use --data")
            samples[array.name] = draws.integers(0, array.classes, shape)
        elif array.name in positive:
            samples[array.name] = draws.uniform(0.5, 1.5, shape)
        else:
            samples[array.name] = draws.standard_normal(shape)
    return samples


def positive_inputs(graph: Graph) -> set[str]:
    """The real inputs that numbers are made of, without any weight or state, which must not be 0, or not be negative."""
    measured = graph.needed([*graph.metrics.values(), *([graph.loss] if graph.loss else [])])
    found: set[str] = set()
    for name in measured:
        for root in graph.families[name].expressions:
            for part in _delicate(root):
                found |= _inputs_alone(graph, part)
    return found


def _delicate(root: Expression) -> Iterator[Expression]:
    """What stands below a line, in a logarithm, under a root, or under an exponent other than 0, 1, 2, …."""
    for node in postorder(root):
        match node:
            case Apply("/", (_, below)):
                yield below
            case Apply(("log" | "log1p" | "sqrt"), (inside,)):
                yield inside
            case Apply("^", (base, exponent)):
                number = exponent.value if isinstance(exponent, Constant) else -1
                if number < 0 or not float(number).is_integer():
                    yield base


def _inputs_alone(graph: Graph, part: Expression) -> set[str]:
    """The real inputs that an expression depends on; none where it depends on weights or states too."""
    loads = {node.array for node in postorder(part) if isinstance(node, Load)}
    families = graph.needed(loads)
    sources = loads.union(*(graph.families[name].sources for name in families)) - families
    arrays = [graph.arrays[name] for name in sources if name in graph.arrays]
    if any(array.kind != "input" for array in arrays):
        return set()
    return {array.name for array in arrays if array.type == "real"}
