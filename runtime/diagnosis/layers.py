"""Which equations of a network a person calls its layers, and the functions that bend them.

In: the graph of a network as elaborated.  Out: names, and `Bend`s.

    layers_of(graph)                                 ["hidden", "score"]
    bends(graph)["hidden"]                           of hidden = tanh(b[j] + net[j]): the slope 1 − tanh² at b[j] + net[j]

No function is known by name here: whatever an equation does to one number, entry by entry, is differentiated by the rules of
the table of scalar functions. So an activation that a file defines itself has dead and saturated units too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ...compiler.mathematics.expression import Apply, Axis, Constant, Expression, Load
from ...compiler.mathematics.graph import Family, Graph
from ...compiler.mathematics.scalar import SCALAR_FUNCTIONS
from .evaluation import evaluate

#: Between these arguments the steepest slope of a function is looked for.
LOW, HIGH, POINTS = -12.0, 12.0, 4801
#: Equations of more nodes than this are not looked at.
MOST_NODES = 200


def layers_of(graph: Graph) -> list[str]:
    """Equations of the file itself, not of the blocks in it, whose values differ from sample to sample; in file order."""
    wanted = graph.needed([*graph.outputs, *([graph.loss] if graph.loss else [])])
    return [
        f.name
        for f in graph.families.values()
        if f.name in wanted
        and f.role in ("layer", "let")
        and "." not in f.name
        and f.batched
        and f.type == "real"
    ]


@dataclass(frozen=True)
class Bend:
    """A family that is a function of one number, entry by entry: of `inner`, the last expression that all its loads go through.

    sources   the families, weights and inputs that `inner` loads
    steepest  the largest slope between −12 and 12
    """

    body: Expression
    inner: Expression
    axes: tuple[Axis, ...]
    loads: tuple[Load, ...]
    steepest: float = field(compare=False)

    @property
    def sources(self) -> list[str]:
        return [load.array for load in self.loads]

    def slopes(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """The derivative of the body by the inner expression. `values`: of the sources, samples first."""
        known: dict[Expression, np.ndarray] = {
            load: _along(self.axes, load, values[load.array]) for load in self.loads
        }
        with np.errstate(all="ignore"):
            inner = evaluate(self.inner, known)
        return slope_at(self.body, self.inner, inner)


def bends(graph: Graph) -> dict[str, Bend]:
    """Family → what bends it, for all families that are bent."""
    found = {}
    for family in graph.families.values():
        bend = _bend(graph, family)
        if bend is not None:
            found[family.name] = bend
    return found


def _bend(graph: Graph, family: Family) -> Bend | None:
    if family.reduction is not None or not family.batched or family.type != "real":
        return None
    nodes = _own_nodes(family.body)
    loads = [node for node in nodes if isinstance(node, Load)]
    if not loads or len(nodes) > MOST_NODES or any(not _is_plain(graph, load, family.axes) for load in loads):
        return None
    if any(not isinstance(node, Load | Apply | Constant) for node in nodes):
        return None
    # From the leaves up: the first expression without which no load is reached.
    inner = next(
        n
        for n in nodes
        if not any(isinstance(m, Load) for m in _own_nodes(family.body, n) if m is not n and m != n)
    )
    if inner.type != "real" or inner == family.body:
        return None
    slopes = slope_at(family.body, inner, np.linspace(LOW, HIGH, POINTS))
    finite = slopes[np.isfinite(slopes)]
    if not len(finite) or np.ptp(finite) <= 1e-9 * np.abs(finite).max():
        return None  # a straight line
    return Bend(family.body, inner, family.axes, tuple(loads), float(np.abs(finite).max()))


def _is_plain(graph: Graph, load: Load, axes: tuple[Axis, ...]) -> bool:
    """A load of known numbers, each of whose subscripts is another axis of the family."""
    array = graph.arrays.get(load.array)
    known = array.kind in ("weight", "input") if array is not None else True
    places = load.subscripts
    return (
        known and load.type == "real" and all(s in axes for s in places) and len(set(places)) == len(places)
    )


def _along(axes: tuple[Axis, ...], load: Load, values: np.ndarray) -> np.ndarray:
    """The values of a load with an axis for each of the family's, of length 1 where it does not depend on it."""
    order = sorted(range(len(load.subscripts)), key=lambda k: axes.index(load.subscripts[k]))  # type: ignore[arg-type]
    turned = np.transpose(values, order)
    lengths = iter(turned.shape)
    return turned.reshape([next(lengths) if axis in load.subscripts else 1 for axis in axes])


def _own_nodes(body: Expression, leaf: Expression | None = None) -> list[Expression]:
    """The nodes of a body, the leaves first, but for the subscripts of its loads and what is below `leaf`."""
    order: list[Expression] = []
    seen: set[Expression] = set()
    stack = [(body, False)]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            if node != leaf and not isinstance(node, Load):
                stack.extend((child, False) for child in reversed(node.children))
    return order


def slope_at(body: Expression, inner: Expression, values: np.ndarray) -> np.ndarray:
    """d body / d inner where the inner expression has these values, by the chain rule from the leaves up, in double precision."""
    known: dict[Expression, np.ndarray] = {inner: np.asarray(values, np.float64)}
    slopes: dict[Expression, np.ndarray | float] = {inner: 1.0}
    with np.errstate(all="ignore"):
        for node in _own_nodes(body, inner):
            if node == inner:
                continue
            evaluate(node, known)
            total: np.ndarray | float = 0.0
            if isinstance(node, Apply):
                rules = SCALAR_FUNCTIONS[node.function].derivatives
                for argument, rule in zip(node.arguments, rules, strict=True):
                    if rule is not None and argument.type == "real" and argument in slopes:
                        below = slopes[argument]
                        if isinstance(below, np.ndarray) or below != 0.0:
                            total = total + evaluate(rule(*node.arguments, node), known) * below
            slopes[node] = total
    return np.broadcast_to(np.asarray(slopes[body], np.float64), known[inner].shape)
