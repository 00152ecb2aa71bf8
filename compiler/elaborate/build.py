"""From units to the finished graph: names, batch, order, arrays with initializers.

In: everything that was read, its sizes solved.  Out: a `Graph` that passes `graph.verify`.

    layer score[10] = dense(hidden)
    →  arrays  score.w[32, 10], score.b[10]      families  score (taken over from the block's result y)
"""

from __future__ import annotations

from collections.abc import Iterable

from ..mathematics.expression import TRUE, Expression, integer
from ..mathematics.graph import Array, Graph, Initializer
from .cycles import check_cycles, references
from .emit import Emitter
from .scene import Abandon, Scene
from .state import ElaborationState
from .targets import Instance, Slot, Target, Unit, joined
from .terms import Access, Reduce, contains_poison, is_poison


def merge(units: list[Unit]) -> list[Unit]:
    """Let a family that is nothing else than a block's result take its equation over; the units that remain."""
    for unit in units:
        site = unit.site
        if unit.merged is not None or unit.role not in ("layer", "let"):
            continue
        while isinstance(body := unit.body, Access) and body.otherwise is None:
            inner = body.target
            if not isinstance(inner, Unit) or inner.merged is not None or inner is unit or not inner.shown:
                break
            if inner.poisoned or inner.body is None or inner.type != unit.type:
                break
            if len(unit.indices) != len(body.subscripts) or any(
                a is not b for a, b in zip(unit.indices, body.subscripts, strict=True)
            ):
                break
            if site is None or all(inner.home is not i for i in site.instances):
                break
            unit.body, unit.indices, unit.body_home = inner.body, inner.indices, inner.block
            inner.merged, site = unit, inner.site
    return [u for u in units if u.merged is None]


def name_everything(slots: list[Slot], units: list[Unit]) -> None:
    """Final names, each once. Weights come first, so that nothing takes their names."""
    taken: set[str] = set()

    def settle(wish: str) -> str:
        name, number = wish, 1
        while name in taken:
            number += 1
            name = f"{wish}_{number}"
        taken.add(name)
        return name

    for unit in units:
        if unit.role in ("layer", "loss", "metric"):
            unit.name = settle(joined(unit.home.path if unit.home else "", unit.suffix or unit.label))
    for slot in slots:
        slot.name = settle(joined(slot.home.path if slot.home else "", slot.label))
    for unit in units:
        if not unit.name:
            unit.name = settle(joined(unit.home.path if unit.home else "", unit.suffix or unit.label))


def spread_batch(units: list[Unit]) -> None:
    """Mark the units that depend on the sample: those that read, outside of a reduction over the batch, one that does."""
    readers: dict[Target, list[Unit]] = {}
    waiting: list[Target] = []
    seen: set[Target] = set()
    for unit in units:
        for target in _batch_sources(unit):
            readers.setdefault(target, []).append(unit)
            if isinstance(target, Slot) and target.batched and target not in seen:
                seen.add(target)
                waiting.append(target)
    while waiting:
        for unit in readers.get(waiting.pop(), ()):
            if not unit.batched:
                unit.batched = True
                waiting.append(unit)


def _batch_sources(unit: Unit) -> list[Target]:
    """What a unit reads outside of reductions over the batch."""
    assert unit.body is not None
    found: dict[Target, None] = {}
    stack: list[Expression] = [unit.body]
    seen: set[Expression] = set()
    while stack:
        node = stack.pop()
        if node in seen or (isinstance(node, Reduce) and node.batch):
            continue
        seen.add(node)
        if isinstance(node, Access):
            found.update(dict.fromkeys(references(node)))
        stack.extend(node.children)
    return list(found)


def in_order(units: list[Unit]) -> list[Unit]:
    """Every unit after those that it reads, but for cycles; otherwise as read."""
    reads: dict[Unit, list[Unit]] = {}
    for unit in units:
        assert unit.body is not None
        found: dict[Unit, None] = {}
        stack: list[Expression] = [unit.body]
        seen: set[Expression] = set()
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            if isinstance(node, Access):
                found.update(dict.fromkeys(t for t in references(node) if isinstance(t, Unit)))
            stack.extend(reversed(node.children))
        reads[unit] = list(found)
    done: dict[Unit, bool] = {}
    order: list[Unit] = []
    for root in units:
        stack2: list[tuple[Unit, bool]] = [(root, False)]
        while stack2:
            unit, ready = stack2.pop()
            if ready:
                if not done[unit]:
                    done[unit] = True
                    order.append(unit)
            elif unit not in done:
                done[unit] = False
                stack2.append((unit, True))
                stack2.extend((r, False) for r in reversed(reads.get(unit, [])) if r not in done)
    return [u for u in order if u in reads]


def build(
    state: ElaborationState,
    name: str,
    layers: Iterable[Unit],
    loss: Unit | None,
    metrics: dict[str, Unit],
    size_names: list[str],
) -> Graph:
    """The graph of everything that was read. Mistakes are in the reporter.

    `size_names`: what a name in the place of a size could mean, for "did you mean".
    """
    graph = Graph(name)
    state.sizes.solve()
    healthy = [
        u for u in state.units if u.body is not None and not u.poisoned and not contains_poison(u.body)
    ]
    units = merge(healthy)
    name_everything(state.slots, units)
    spread_batch(units)
    emitter = Emitter(state, graph)
    emitter.size_names = size_names
    for unit in units:
        if isinstance(unit.home, Instance) and unit.home.site is None:
            inferred_sizes(emitter, unit)
    for slot in state.slots:
        array(emitter, slot)
    if loss is not None and loss in units and loss.batched:
        assert loss.body is not None
        loss.body, loss.batched = Reduce("average", (), True, TRUE, loss.body, loss.span), False
    for metric in metrics.values():
        if metric in units and metric.batched:
            assert metric.body is not None
            metric.body, metric.batched = Reduce("average", (), True, TRUE, metric.body, metric.span), False
    spread_batch(units)
    if check_cycles(state, units):
        for unit in in_order(units):
            emitter.calls = unit.block.calls if unit.block is not None else ()
            try:
                emitter.unit(unit)
            except Abandon:
                continue
    if not state.reporter.failed:
        initialise(emitter, state.slots, graph)
        graph.outputs = tuple(u.name for u in layers)
        graph.loss = loss.name if loss is not None else None
        graph.metrics = {label: u.name for label, u in metrics.items()}
        graph.updates = {s.name: s.updates[-1][1].name for s in state.slots if s.updates}
    return graph


def inferred_sizes(emitter: Emitter, unit: Unit) -> None:
    """Report indices of a declaration whose extents nothing tells, before blocks that depend on them complain."""
    for index in unit.names.values():
        if not index.declared:
            try:
                emitter.axis(index)
            except Abandon:
                continue


def array(emitter: Emitter, slot: Slot) -> None:
    """Add an array, still without its initializer."""
    try:
        emitter.calls = slot.home.calls if slot.home is not None else ()
        places = slot.axis_spans or [slot.span] * slot.rank
        extents = tuple(
            emitter.known_size(
                size,
                place,
                f"the size of '{slot.label}' along axis {n + 1}"
                if slot.rank > 1
                else f"the size of '{slot.label}'",
            )
            for n, (size, place) in enumerate(zip(slot.sizes, places, strict=True))
        )
        emitter.check_memory(slot, extents)
        classes = None
        if slot.classes is not None:
            classes = emitter.known_size(slot.classes, slot.span, f"the number of classes of '{slot.label}'")
    except Abandon:
        return
    emitter.graph.arrays[slot.name] = Array(
        slot.name, slot.kind, extents, slot.batched, slot.type, classes, None, None, slot.frozen, slot.span
    )


def initialise(emitter: Emitter, slots: Iterable[Slot], graph: Graph) -> None:
    """Give weights and states their initializers, now that their first uses are known."""
    from dataclasses import replace

    fans = first_uses(graph)
    for slot in slots:
        if slot.kind not in ("weight", "state"):
            continue
        found = graph.arrays[slot.name]
        fan_in, fan_out = fans.get(slot.name) or _fans_of(found.extents)
        if slot.fan_in is not None and slot.fan_out is not None:
            slot.fan_in.value, slot.fan_out.value = integer(fan_in), integer(fan_out)
        axes = tuple(emitter.axis(i) for i in slot.indices)
        scene = Scene(slot.name, axes)
        emitter.calls = slot.home.calls if slot.home is not None else ()
        try:
            initializer = None
            if slot.initial is not None and not is_poison(slot.initial):
                value, _ = emitter.build(slot.initial, scene)
                initializer = Initializer(axes, value, fan_in, fan_out)
            where = None
            if slot.where != TRUE:
                where, _ = emitter.build(slot.where, scene)
        except Abandon:
            continue
        graph.arrays[slot.name] = replace(found, initializer=initializer, where=where)


def _fans_of(extents: tuple[int, ...]) -> tuple[int, int]:
    """Fans of a weight that nothing uses: all axes but the last, and the last."""
    total = 1
    for extent in extents:
        total *= extent
    last = extents[-1] if extents else 1
    return total // last, last


def first_uses(graph: Graph) -> dict[str, tuple[int, int]]:
    """fan_in and fan_out of every weight, by the first family that loads it.

    fan_in: the connections into one unit, the product of the extents of the reduction's axes.
    fan_out: the entries of the weight over the extents of those reduction axes that stand alone both in a subscript of the
    weight and in one of another load. For dense that is M, for a convolution F·V·U, as PyTorch counts.
    """
    fans: dict[str, tuple[int, int]] = {}
    for family in graph.families.values():
        loads = family.loads
        for load in loads:
            source = graph.arrays.get(load.array)
            if source is None or source.kind != "weight" or load.array in fans:
                continue
            entries = 1
            for extent in source.extents:
                entries *= extent
            fan_in, shared = 1, 1
            axes = [a for a in family.reduction.axes if a.extent is not None] if family.reduction else []
            for axis in axes:
                fan_in *= axis.size
                others = (x for x in loads if x.array != load.array)
                if axis in load.subscripts and any(axis in x.subscripts for x in others):
                    shared *= axis.size
            fans[load.array] = fan_in, max(1, entries // shared)
    return fans
