"""The equation in which a NaN or an infinity first arose.

In: the minibatch in which the loss or a weight is no longer finite, and the weights before it.
Out: a message about the family, with its line.

    digits.dln:5:7: error[E801]: 'p'[0] became −∞ in epoch 3, step 1207 for row 17 of the training part
       5 | layer p[2] = log(dense(h))
         |       ^ −∞ first arose here
    help: its arguments are finite: 'p.y'[0] is 0

The equations of that minibatch are computed once more, each one kept. From the loss, or the update that failed, the search goes
back along what is not finite, to an equation whose own arguments are all finite.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...compiler.mathematics.expression import Axis, Load
from ...compiler.mathematics.graph import Family, Graph
from ...compiler.mathematics.static_values import evaluate
from ...compiler.mathematics.walks import postorder
from ...compiler.source import Diagnostic, Note, Span
from ..training.finite_watch import told
from .inside import Inside

#: Arguments of an equation that a message lists.
MOST_ARGUMENTS = 4


@dataclass(frozen=True)
class Minibatch:
    """Where a training stood: the samples start … stop − 1 of `order`; epochs and steps done; the seed of random draws."""

    arrays: Mapping[str, np.ndarray]
    start: int
    stop: int
    order: np.ndarray | None
    batch: int
    epoch: int
    step: int
    seed: int
    training: bool

    def row(self, sample: int) -> int:
        """The place of a sample of the minibatch in the arrays."""
        return int(self.order[self.start + sample]) if self.order is not None else self.start + sample


def first_nonfinite(inside: Inside, weights: Mapping[str, np.ndarray], at: Minibatch) -> Diagnostic | None:
    """The message, or None where everything is finite after all (in another order of rounding, say)."""
    inside.compute(
        at.arrays, at.start, at.stop, weights=weights, step=at.step, seed=at.seed, epoch=at.epoch,
        training=at.training, order=at.order, batch=at.batch,
    )  # fmt: skip
    graph = inside.graph
    wrong = {
        name for name in inside.kept if graph.families[name].type == "real" and not _finite(inside, name)
    }
    last = [graph.loss, *inside.updates.values()] if at.training else [graph.loss]
    begin = next((name for name in last if name in wrong), None)
    if begin is None:
        return None
    family = graph.families[_origin(graph, begin, wrong)]
    return _message(inside, family, at)


def _finite(inside: Inside, name: str) -> bool:
    return bool(np.isfinite(_value(inside, name)).all())


def _value(inside: Inside, name: str) -> np.ndarray:
    """The values of a family; a next value as it is stored, where it may be too large for the weight's precision."""
    values = inside.value(name)
    if inside.graph.families[name].role != "update":
        return values
    with np.errstate(over="ignore"):
        return values.astype(inside.execution.program.float_type)


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
    values = _value(inside, family.name)
    index = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
    value = values[index]
    sample, entry = (index[0], index[1:]) if family.batched else (None, index)
    place = ""
    if sample is not None:
        part = "training" if at.training else "validation"
        place = f" for row {at.row(sample)} of the {part} part"
    shown = f"{_title(inside, family)}{_entries(entry)}"
    what = told(value)
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
        help=_arguments(inside, family, index, at),
    )


def _title(inside: Inside, family: Family) -> str:
    """A family in words: the gradient of h, the next value of w."""
    graph = inside.graph
    if family.role == "gradient":
        return f"the gradient of '{family.of}'"
    if family.role == "update":
        updated = next((array for array, name in inside.updates.items() if name == family.name), family.of)
        return f"the next value of '{updated}'"
    if family.role == "term" and family.of:
        return f"a sum of '{family.of}'"
    return "the loss" if family.name == graph.loss else f"'{family.name}'"


def _entries(entry: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, entry))}]" if entry else ""


def _places(graph: Graph, family: Family) -> tuple[Span, list[Note]]:
    """The line of the user's file, and that of the prelude's where the equation stands there."""
    own = family.span
    if not own.source.path.startswith("<prelude>"):
        return own, _differentiated(graph, family)
    owner = (family.of or family.name).split(".")[0].removeprefix("∂")
    for name in (owner, graph.loss or ""):
        found = graph.families.get(name) or graph.arrays.get(name)
        if found is not None and not found.span.source.path.startswith("<prelude>"):
            return found.span, [Note(own, "in this line of the prelude")]
    return own, []


def _differentiated(graph: Graph, family: Family) -> list[Note]:
    """Of a gradient: the equations of the user's file whose derivatives it is made of."""
    if family.role != "gradient":
        return []
    behind = [graph.families[s].of for s in family.sources if s in graph.families]
    spans = [graph.families[name].span for name in behind if name in graph.families]
    own = [s for s in dict.fromkeys(spans) if s != family.span and not s.source.path.startswith("<prelude>")]
    return [Note(span, "it is made of derivatives of this") for span in own[:2]]


def _arguments(inside: Inside, family: Family, index: tuple[int, ...], at: Minibatch) -> str:
    """The values that the equation saw, where their subscripts are known."""
    if family.reduction is not None:
        shown = [
            f"'{name}' up to {largest:.3g}"
            for name in family.sources[:MOST_ARGUMENTS]
            if (largest := _largest(inside, name, at)) is not None
        ]
        of = "a sum" if family.reduction.kind == "sum" else f"a {family.reduction.kind}"
        return f"it is {of} of what is computed from finite values: {', '.join(shown)}" if shown else ""
    seen: dict[str, None] = {}
    axes = dict(zip(family.axes, index, strict=True))
    for node in postorder(family.body):
        if isinstance(node, Load) and len(seen) < MOST_ARGUMENTS:
            seen |= _argument(inside, node, axes, at)
    return f"its arguments are finite: {', '.join(seen)}" if seen else ""


def _argument(inside: Inside, load: Load, axes: dict[Axis, int], at: Minibatch) -> dict[str, None]:
    """What is loaded, as text; nothing where a subscript is itself data."""
    if any(isinstance(node, Load) for node in postorder(*load.subscripts)):
        return {}
    place = tuple(int(evaluate(inside.graph, s, dict(axes))) for s in load.subscripts)
    array = inside.graph.arrays.get(load.array)
    if _known(inside, load.array):
        value, shown = inside.value(load.array)[place], place
    elif array is not None and array.kind == "input":
        value, shown = at.arrays[load.array][(at.row(place[0]), *place[1:])], place
    else:
        return {}
    batched = array.batched if array is not None else inside.graph.families[load.array].batched
    return {f"'{load.array}'{_entries(shown[1:] if batched else shown)} is {value:.6g}": None}


def _known(inside: Inside, name: str) -> bool:
    if name in inside.graph.families:
        return name in inside.kept
    return (
        inside.graph.arrays[name].kind in ("weight", "state") and name in inside.execution.program.placements
    )


def _largest(inside: Inside, name: str, at: Minibatch) -> float | None:
    """The largest magnitude in a family, a weight, or the minibatch's samples of an input."""
    if _known(inside, name):
        return float(np.abs(inside.value(name)).max())
    if name in at.arrays:
        rows = [at.row(sample) for sample in range(at.stop - at.start)]
        return float(np.abs(at.arrays[name][rows]).max())
    return None
