"""The equation in which a NaN or an infinity first arose.

In: the minibatch in which the loss or a weight is no longer finite, and the weights before it.
Out: a message about the family, with its line.

    error[E801]: 'p' became −∞ here, in epoch 3, step 1207
       5 | layer p[2] = log(dense(h))
         |              ^^^^^^^^^^^^^ p[0] of sample 17
    help: what it is computed from is finite: 'p.y' is 0 there

The equations of that minibatch are computed once more, each one kept. From the loss, or the update that failed, the search goes
back along what is not finite, to an equation whose own arguments are all finite.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...compiler.mathematics.expression import Expression, Load
from ...compiler.mathematics.graph import Family, Graph
from ...compiler.mathematics.walks import postorder
from ...compiler.source import Diagnostic, Note, Span
from .inside import Inside


@dataclass(frozen=True)
class Minibatch:
    """Where a training stood: the samples start … stop − 1 of `order`, and the number of the epoch from 0."""

    arrays: Mapping[str, np.ndarray]
    start: int
    stop: int
    order: np.ndarray | None
    batch: int
    epoch: int
    step: int
    training: bool


def first_nonfinite(inside: Inside, weights: Mapping[str, np.ndarray], at: Minibatch) -> Diagnostic | None:
    """The message, or None where everything is finite after all (in another order of rounding, say)."""
    inside.compute(
        at.arrays, at.start, at.stop, weights=weights, step=at.step, epoch=at.epoch,
        training=at.training, order=at.order, batch=at.batch,
    )  # fmt: skip
    graph = inside.graph
    wrong = {
        name for name in inside.kept if graph.families[name].type == "real" and not _finite(inside, name)
    }
    last = [graph.loss, *graph.updates.values()] if at.training else [graph.loss]
    begin = next((name for name in last if name in wrong), None)
    if begin is None:
        return None
    family = graph.families[_origin(graph, begin, wrong)]
    return _message(inside, family, at)


def _finite(inside: Inside, name: str) -> bool:
    return bool(np.isfinite(inside.value(name)).all())


def _origin(graph: Graph, name: str, wrong: set[str]) -> str:
    """Back along families that are not finite, the earliest in the schedule first, to one all of whose sources are."""
    order = {n: k for k, n in enumerate(graph.families)}
    seen = {name}
    while True:
        sources = [s for s in graph.families[name].sources if s in wrong and s not in seen]
        if not sources:
            return name
        name = min(sources, key=lambda s: order[s])
        seen.add(name)


def _message(inside: Inside, family: Family, at: Minibatch) -> Diagnostic:
    values = inside.value(family.name)
    index = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
    value = values[index]
    sample, entry = (index[0], index[1:]) if family.batched else (None, index)
    place = ""
    if sample is not None:
        row = int(at.order[at.start + sample]) if at.order is not None else at.start + sample
        part = "training" if at.training else "validation"
        place = f" for row {row} of the {part} part"
    shown = f"{_title(inside.graph, family)}{_entries(entry)}"
    what = "NaN" if value != value else "∞" if value > 0 else "−∞"
    when = (
        f"epoch {at.epoch + 1}, step {at.step + 1}"
        if at.training
        else f"the validation after epoch {at.epoch + 1}"
    )
    span, notes = _places(inside.graph, family)
    return Diagnostic(
        "E801",
        f"{shown} became {what} in {when}{place}",
        span,
        label=f"{what} first arose here",
        notes=tuple(notes),
        help=_arguments(inside, family, index),
    )


def _title(graph: Graph, family: Family) -> str:
    """A family in words: the gradient of h, the next value of w."""
    if family.role == "gradient":
        return f"the gradient of '{family.of}'"
    if family.role == "update":
        return f"the next value of '{family.of or family.name}'"
    if family.role == "term" and family.of:
        return f"a sum of '{family.of}'"
    return "the loss" if family.name == graph.loss else f"'{family.name}'"


def _entries(entry: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, entry))}]" if entry else ""


def _places(graph: Graph, family: Family) -> tuple[Span, list[Note]]:
    """The line of the user's file, and that of the prelude's where the equation stands there."""
    own = family.span
    if not own.source.path.startswith("<prelude>"):
        return own, []
    owner = (family.of or family.name).split(".")[0].removeprefix("∂")
    for name in (owner, graph.loss or ""):
        found = graph.families.get(name) or graph.arrays.get(name)
        if found is not None and not found.span.source.path.startswith("<prelude>"):
            return found.span, [Note(own, "in this equation of the prelude")]
    return own, []


def _arguments(inside: Inside, family: Family, index: tuple[int, ...]) -> str:
    """The values that the equation saw, where they are loaded at the very place of the result."""
    if family.reduction is not None:
        largest = [
            f"'{name}' up to {_largest(inside, name):.3g}"
            for name in family.sources[:4]
            if _known(inside, name)
        ]
        return f"what is added up is finite: {', '.join(largest)}; it may be too large" if largest else ""
    seen: list[str] = []
    at: dict[Expression, int] = dict(zip(family.axes, index, strict=True))
    for node in postorder(family.body):
        if not isinstance(node, Load) or not _known(inside, node.array) or len(seen) == 4:
            continue
        if all(subscript in at for subscript in node.subscripts):
            place = tuple(at[subscript] for subscript in node.subscripts)
            seen.append(f"'{node.array}' is {inside.value(node.array)[place]:.6g}")
    return f"its arguments are finite: {', '.join(dict.fromkeys(seen))}" if seen else ""


def _known(inside: Inside, name: str) -> bool:
    if name in inside.graph.families:
        return name in inside.kept
    return (
        inside.graph.arrays[name].kind in ("weight", "state") and name in inside.execution.program.placements
    )


def _largest(inside: Inside, name: str) -> float:
    return float(np.abs(inside.value(name)).max())
