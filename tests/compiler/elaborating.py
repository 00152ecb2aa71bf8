"""Shared by the tests of the elaborator: a network from a text, its values by brute force, its messages.

In: the text of a .dln file.  Out: `Network`, values of families, lists of diagnostics.

    graph = network("input x[3]\nlayer y[i: 3] = 2 * x[i]").graph
    values(graph, 5, x=array)["y"]
"""

from __future__ import annotations

import numpy as np
from dln.compiler.elaborate import Network, elaborate_text
from dln.compiler.mathematics.graph import Graph, verify
from dln.compiler.source import Diagnostic, DiagnosticError
from dln.tests.compiler.family_oracle import evaluate, random_values


def network(text: str, path: str = "<text>", **settings: str) -> Network:
    """The elaborated text; its graph is verified."""
    result = elaborate_text(text, path, settings)
    verify(result.graph)
    return result


def values(graph: Graph, samples: int = 3, seed: int = 0, **given: object) -> dict[str, np.ndarray]:
    """All values of a graph by brute force, the arrays random where they are not given."""
    arrays = random_values(graph, samples, seed)
    arrays.update({name.replace("__", "."): np.asarray(value) for name, value in given.items()})
    return evaluate(graph, arrays, samples)


def messages(text: str, path: str = "<text>", **settings: str) -> list[Diagnostic]:
    """The errors of a text, or its warnings where it has none."""
    try:
        return list(elaborate_text(text, path, settings).warnings)
    except DiagnosticError as error:
        return error.diagnostics


def codes(text: str, path: str = "<text>", **settings: str) -> list[str]:
    return [d.code for d in messages(text, path, **settings)]
