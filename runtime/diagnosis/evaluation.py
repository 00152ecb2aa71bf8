"""Expressions of a graph evaluated with NumPy, where a few values are known.

In: an expression, the values of some loads, or of some arrays and families.  Out: its values.

    evaluate(tanh(Load("y", …)), {Load("y", …): array})
    evaluate_within(graph, Load("rate", ()), {"step": array([1, 2, 3])})       array: the rate at these steps
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...compiler.mathematics.expression import Apply, Constant, Expression, Load
from ...compiler.mathematics.graph import Graph
from ...compiler.mathematics.scalar import SCALAR_FUNCTIONS
from ...compiler.mathematics.walks import postorder


def evaluate(root: Expression, known: dict[Expression, np.ndarray]) -> np.ndarray:
    """The values of an expression whose loads are known; what is found is kept in `known`. Raises KeyError for other loads."""
    stack = [root]
    while stack:
        node = stack[-1]
        waiting = [a for a in node.arguments if a not in known] if isinstance(node, Apply) else []
        if waiting and node not in known:
            stack += waiting
            continue
        stack.pop()
        if node in known:
            continue
        if isinstance(node, Constant):
            known[node] = np.asarray(node.value)
        elif isinstance(node, Apply):
            arguments = [known[a] for a in node.arguments]
            known[node] = np.asarray(SCALAR_FUNCTIONS[node.function].value(*arguments))
        else:
            raise KeyError(node)
    return known[root]


def evaluate_within(
    graph: Graph, root: Expression, values: Mapping[str, np.ndarray | float]
) -> np.ndarray | None:
    """The same where loads are of families without axes, whose equations are evaluated too; None where anything else is met."""
    known: dict[Expression, np.ndarray] = {}
    loads: dict[Load, None] = {}
    stack = [root]
    while stack:
        for node in postorder(stack.pop()):
            if isinstance(node, Load):
                again = node in loads
                loads.pop(node, None)
                loads[node] = None  # behind everything that needs it
                if not again and node.array in graph.families and node.array not in values:
                    stack.append(graph.families[node.array].body)
    for node in reversed(loads):
        family = graph.families.get(node.array)
        if node.array in values:
            known[node] = np.asarray(values[node.array])
        elif family is None or family.axes or family.reduction or not set(family.loads) <= set(known):
            return None
        else:
            known[node] = evaluate(family.body, known)
    return evaluate(root, known)
