"""Brute force: every family of a graph by its definition, over full grids of indices, in NumPy and float64.

In: a graph and values for its arrays.  Out: a value for every family. Slow, small, and independent of every pass.

    evaluate(graph, {"w": w, "x": x, "batch_size": np.int64(3)}, samples=3)["h"]
"""

from __future__ import annotations

import numpy as np
from dln.compiler.mathematics.expression import BATCH, Axis, Constant, Expression, Load, Lookup
from dln.compiler.mathematics.graph import Array, Family, Graph
from dln.compiler.mathematics.scalar import SCALAR_FUNCTIONS
from dln.compiler.mathematics.walks import postorder
from dln.compiler.passes.order import components

NEUTRAL = {"sum": 0.0, "product": 1.0, "max": -np.inf, "min": np.inf, "argmax": -np.inf, "argmin": np.inf}


def random_values(graph: Graph, samples: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Normal numbers for real arrays, classes for integer ones; clocks say `samples` and step 1."""
    generator = np.random.default_rng(seed)

    def value(array: Array) -> np.ndarray:
        shape = ((samples,) if array.batched else ()) + array.extents
        if array.kind == "clock":
            return np.int64({"batch_size": samples, "step": 1}.get(array.name, 0))  # type: ignore[return-value]
        if array.type == "integer":
            return generator.integers(0, array.classes, shape)
        return generator.standard_normal(shape)

    return {name: value(array) for name, array in graph.arrays.items()}


def evaluate(graph: Graph, arrays: dict[str, np.ndarray], samples: int) -> dict[str, np.ndarray]:
    """The value of every family (and the arrays), batch first."""
    values = dict(arrays)
    for component in components(graph):
        families = [graph.families[name] for name in component]
        if len(families) == 1 and families[0].name not in families[0].sources:
            values[component[0]] = evaluate_family(graph, families[0], values, samples)
        else:
            _settle(graph, families, values, samples)
    return values


def _settle(graph: Graph, families: list[Family], values: dict[str, np.ndarray], samples: int) -> None:
    """Families that need each other, evaluated over and over until nothing changes: no point needs itself."""
    for family in families:
        values[family.name] = np.zeros([samples if a == BATCH else a.size for a in family.axes])
    for _ in range(1000):
        before = [values[f.name] for f in families]
        for family in families:
            values[family.name] = evaluate_family(graph, family, values, samples)
        if all(
            np.array_equal(b, values[f.name], equal_nan=True) for b, f in zip(before, families, strict=True)
        ):
            return
    raise AssertionError("a recurrence does not settle")


def evaluate_family(graph: Graph, family: Family, values: dict[str, np.ndarray], samples: int) -> np.ndarray:
    reduction = family.reduction
    axes = family.axes + (reduction.axes if reduction else ())
    shape = tuple(samples if a == BATCH else a.size for a in axes)
    indices: dict[Axis, np.ndarray] = (
        dict(zip(axes, np.indices(shape, sparse=True), strict=True)) if shape else {}
    )

    def value(expression: Expression) -> np.ndarray:
        return np.broadcast_to(evaluate_expression(graph, expression, indices, values), shape)

    body = value(family.body)
    if reduction is None:
        return np.array(body)
    outer = len(family.axes)
    keep = np.ones(shape, bool)
    for condition in reduction.where:
        keep = keep & value(condition)
    if reduction.scatter:
        return _scatter(family, shape, keep, body, {a: value(e) for a, e in reduction.scatter}, indices)
    masked = np.where(keep, body, NEUTRAL[reduction.kind])
    flat = masked.reshape(*shape[:outer], -1)
    combine = {
        "sum": np.sum,
        "product": np.prod,
        "max": np.max,
        "min": np.min,
        "argmax": np.argmax,
        "argmin": np.argmin,
    }
    return np.asarray(combine[reduction.kind](flat, axis=-1))


def _scatter(family, shape, keep, body, targets, indices) -> np.ndarray:  # type: ignore[no-untyped-def]
    outer = len(family.axes)
    out = np.zeros(shape[:outer])
    # The body does not depend on an axis that is scattered to: visit that axis once.
    once = tuple(
        slice(0, 1) if n < outer and family.axes[n] in targets else slice(None) for n in range(len(shape))
    )
    places = tuple(np.broadcast_to(targets.get(a, indices[a]), shape)[once] for a in family.axes)
    np.add.at(out, places, np.where(keep, body, 0.0)[once])
    return out


def evaluate_expression(
    graph: Graph, root: Expression, indices: dict[Axis, np.ndarray], values: dict[str, np.ndarray]
) -> np.ndarray:
    """An expression over grids of indices. Subscripts are clamped, as both branches of a select are evaluated."""
    done: dict[Expression, object] = {}
    for node in postorder(root):
        if isinstance(node, Constant):
            done[node] = node.value
        elif isinstance(node, Axis):
            done[node] = indices[node]
        elif isinstance(node, Load | Lookup):
            array = np.asarray(
                values[node.array] if isinstance(node, Load) else graph.tables[node.table].values
            )
            places = [np.clip(done[s], 0, n - 1) for s, n in zip(node.subscripts, array.shape, strict=True)]
            done[node] = array[tuple(places)] if places else array[()]
        else:
            with np.errstate(all="ignore"):
                function = SCALAR_FUNCTIONS[node.function].value  # type: ignore[attr-defined]
                done[node] = function(*[done[a] for a in node.children])
    return np.asarray(done[root])
