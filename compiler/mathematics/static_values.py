"""Static expressions by their values: what depends on indices and tables only is known when compiled.

In: an expression without loads, and grids of indices.  Out: its values, as NumPy arrays.

    evaluate(graph, (j - i) mod 8, {i: arange(8)[:, None], j: arange(8)})   →   8 × 8 numbers
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .expression import Apply, Axis, Constant, Expression, Lookup
from .graph import Graph
from .scalar import SCALAR_FUNCTIONS
from .walks import postorder


def evaluate(graph: Graph, root: Expression, environment: dict[Axis, Any]) -> Any:
    """The value of a static expression over grids of indices. A lookup outside its table gives −1 (no connection)."""
    done: dict[Expression, Any] = {}
    for node in postorder(root):
        match node:
            case Constant(value=value):
                done[node] = value
            case Axis():
                done[node] = environment[node]
            case Lookup(table=name, subscripts=subscripts):
                table = graph.tables[name].values
                places = np.broadcast_arrays(*[np.asarray(done[s]) for s in subscripts])
                inside = np.ones(places[0].shape, bool)
                for place, extent in zip(places, table.shape, strict=True):
                    inside &= (place >= 0) & (place < extent)
                clipped = tuple(np.clip(p, 0, e - 1) for p, e in zip(places, table.shape, strict=True))
                done[node] = np.where(inside, table[clipped], -1)
            case Apply(function=function, arguments=arguments):
                done[node] = SCALAR_FUNCTIONS[function].value(*[done[a] for a in arguments])
            case _:
                raise TypeError(f"not static: {node}")
    return done[root]
