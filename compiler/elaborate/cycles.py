"""Cycles: a family may read itself only with a delay.

In: units.  Out: messages about cycles in which no subscript is delayed, and about recurrences that run both ways.

    layer a[4] = tanh(b)          E211: a → b → a
    layer b[4] = tanh(a)
    layer h[t: 9] = x[t] + h[t-1 else 0]     delayed by one along t

A read is delayed where one of its subscripts is an index of the reading family plus or minus a constant, or a summed index that a
condition keeps before or behind one: sum[s where s < t] h[s].
"""

from __future__ import annotations

from ..mathematics.affine import distance, linear
from ..mathematics.circles import circle, pairs_around, strongly_connected
from ..mathematics.expression import Expression
from ..record import record
from ..source import Note
from .state import ElaborationState
from .targets import Target, Unit, View
from .terms import Access, Index, Reduce, own_postorder


@record(eq=False)
class Read:
    """`unit` reads `target`; `delays`: position of a delayed subscript → its constant."""

    unit: Unit
    target: Unit
    access: Access
    delays: dict[int, int]


def references(access: Access) -> list[Target]:
    """What an access reads: the target behind all views, and what masks read."""
    found: list[Target] = []
    target: Target = access.target
    while isinstance(target, View):
        for node in own_postorder(target.mask):
            if isinstance(node, Access):
                found.extend(references(node))
        target = target.base
    return [*found, target.final]


def reads_of(state: ElaborationState, unit: Unit) -> list[Read]:
    """All reads of other units (and itself) in a unit's equation."""
    assert unit.body is not None
    out: list[Read] = []
    conditions: dict[Expression, list[Expression]] = {}

    def last(index: Expression) -> int | None:
        size = state.sizes.number(index.size) if isinstance(index, Index) else None
        return None if size is None else int(size) - 1

    nodes = own_postorder(unit.body)
    for node in nodes:
        if isinstance(node, Reduce):
            for inner in own_postorder(node.body):
                conditions.setdefault(inner, []).append(state.sizes.reduced(node.where))
    for node in nodes:
        if not isinstance(node, Access):
            continue
        subscripts: tuple[Expression, ...] = node.subscripts
        target = node.target
        while isinstance(target, View):
            subscripts = (*target.prefix, *subscripts)
            target = target.base
        if isinstance(final := target.final, Unit):
            delays: dict[int, int] = {}
            for position, subscript in enumerate(subscripts):
                form = linear(state.sizes.reduced(subscript))
                for index in unit.indices:
                    if delay := distance(form, index, conditions.get(node, ()), last):
                        delays[position] = delay
            out.append(Read(unit, final, node, delays))
    return out


def check_cycles(state: ElaborationState, units: list[Unit]) -> bool:
    """Report cycles without a delay; True where there are none."""
    reads = {unit: reads_of(state, unit) for unit in units}
    good = True
    for component in strongly_connected(
        {u: [r.target for r in rs if r.target in reads] for u, rs in reads.items()}
    ):
        members = set(component)
        inner = [r for u in component for r in reads[u] if r.target in members]
        if not inner:
            continue
        at_once: dict[Unit, dict[Unit, Read]] = {unit: {} for unit in component}
        for read in inner:
            if not read.delays:
                at_once[read.unit].setdefault(read.target, read)
        if cycle := circle(at_once):
            good = False
            _report_cycle(state, [at_once[a][b] for a, b in pairs_around(cycle)])
            continue
        both = _both_ways(inner)
        if both is not None:
            good = False
            first, second = both
            state.reporter.error(
                "E211",
                f"'{first.unit.label}' runs both ways along one axis: it reads what comes before and what comes after",
                second.access.span,
                "later values here",
                [Note(first.access.span, "earlier values here")],
                "use two families, one for each direction",
                second.access.calls,
            )
    return good


def _report_cycle(state: ElaborationState, cycle: list[Read]) -> None:
    names = " → ".join([*(r.unit.label for r in cycle), cycle[0].unit.label])
    first, *rest = cycle
    notes = [Note(r.access.span, f"'{r.unit.label}' reads '{r.target.label}'") for r in rest]
    unit = first.unit
    example = f"{unit.label}[t-1 else 0]" if len(unit.indices) <= 1 else f"{unit.label}[t-1, … else 0]"
    state.reporter.error(
        "E211",
        f"a cycle without a delay: {names}",
        first.access.span,
        f"'{first.unit.label}' reads '{first.target.label}'",
        notes,
        f"a recurrence reads an earlier step: {example}",
        first.access.calls,
    )


def _both_ways(reads: list[Read]) -> tuple[Read, Read] | None:
    """Two reads of a single unit with opposite delays along its only delayed axis."""
    if len({r.unit for r in reads}) > 1:
        return None
    axes = {p for r in reads for p in r.delays}
    if len(axes) != 1:
        return None
    (axis,) = axes
    before = [r for r in reads if r.delays[axis] < 0]
    after = [r for r in reads if r.delays[axis] > 0]
    return (before[0], after[0]) if before and after else None
