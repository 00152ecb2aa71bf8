"""A layered drawing of a directed graph: ranks by longest path, order by barycentres, places by straight lines.

In: nodes with widths and heights, edges between them.  Out: `Drawing`, the centre of every node and the points that each
edge runs through, from top to bottom.

    layout([Box("a", 80, 40), Box("b", 60, 40)], [("a", "b")])

Method: Sugiyama, Tagawa and Toda, Methods for visual understanding of hierarchical system structures (1981). An edge that
passes other ranks gets a slot in each of them, so that it runs between the boxes. An edge that closes a cycle is turned
round for the layout. Boxes that follow one another, and the slots of a long edge, are kept in a straight line.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

_SWEEPS = 12


@dataclass(frozen=True)
class Box:
    """`source`: nothing leads into it, and it should stand right above what it feeds."""

    name: str
    width: float
    height: float
    source: bool = False


@dataclass
class Drawing:
    """Coordinates grow to the right and downwards; the drawing starts at (0, 0)."""

    width: float
    height: float
    centres: dict[str, tuple[float, float]] = field(default_factory=dict)
    routes: dict[tuple[str, str], list[tuple[float, float]]] = field(default_factory=dict)
    backward: set[tuple[str, str]] = field(default_factory=set)


@dataclass(eq=False)
class _Slot:
    """A place in a rank: a box, or the passage of an edge."""

    width: float
    height: float
    above: list[_Slot] = field(default_factory=list)
    below: list[_Slot] = field(default_factory=list)
    passage: bool = False
    x: float = 0.0


def layout(
    boxes: Sequence[Box],
    edges: Sequence[tuple[str, str]],
    gap: float = 28,
    rank_gap: float = 40,
    lane: float = 14,
) -> Drawing:
    """`gap` is kept between boxes of a rank, `rank_gap` between ranks, `lane` is the width of an edge's passage."""
    edges = [e for e in dict.fromkeys(edges) if e[0] != e[1]]
    backward = _closing_edges([b.name for b in boxes], edges)
    forward = [(b, a) if (a, b) in backward else (a, b) for a, b in edges]
    rank = _ranks(boxes, forward)
    rows: list[list[_Slot]] = [[] for _ in range(max(rank.values(), default=0) + 1)]
    slots = {box.name: _Slot(box.width, box.height) for box in boxes}
    for box in boxes:
        rows[rank[box.name]].append(slots[box.name])
    passages: dict[tuple[str, str], list[_Slot]] = {}
    for edge, (upper, lower) in zip(edges, forward, strict=True):
        chain = [slots[upper]]
        for row in range(rank[upper] + 1, rank[lower]):
            slot = _Slot(lane, 0, passage=True)
            rows[row].append(slot)
            chain.append(slot)
        chain.append(slots[lower])
        for one, next_one in pairwise(chain):
            one.below.append(next_one)
            next_one.above.append(one)
        passages[edge] = chain[1:-1]
    _order(rows)
    _place(rows, gap)
    return _draw(boxes, edges, backward, rank, rows, slots, passages, rank_gap)


def _closing_edges(names: Sequence[str], edges: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """The edges that lead back to a node that is still being visited, in a depth-first search in the given order."""
    targets: dict[str, list[str]] = {name: [] for name in names}
    for a, b in edges:
        targets[a].append(b)
    state: dict[str, int] = {}
    closing: set[tuple[str, str]] = set()
    for root in names:
        stack = [(root, iter(targets[root]))] if root not in state else []
        state.setdefault(root, 1)
        while stack:
            node, rest = stack[-1]
            for target in rest:
                if target not in state:
                    state[target] = 1
                    stack.append((target, iter(targets[target])))
                    break
                if state[target] == 1:
                    closing.add((node, target))
            else:
                state[node] = 2
                stack.pop()
    return closing


def _ranks(boxes: Sequence[Box], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Longest path from the top; sources move down to just above the first thing that they feed."""
    above: dict[str, list[str]] = {b.name: [] for b in boxes}
    below: dict[str, list[str]] = {b.name: [] for b in boxes}
    for a, b in edges:
        below[a].append(b)
        above[b].append(a)
    rank = {b.name: 0 for b in boxes}
    missing = {name: len(sources) for name, sources in above.items()}
    ready = [name for name, count in missing.items() if not count]
    while ready:
        name = ready.pop(0)
        for target in below[name]:
            rank[target] = max(rank[target], rank[name] + 1)
            missing[target] -= 1
            if not missing[target]:
                ready.append(target)
    for box in boxes:
        if box.source and below[box.name]:
            rank[box.name] = min(rank[t] for t in below[box.name]) - 1
    return rank


def _order(rows: list[list[_Slot]]) -> None:
    """Order every rank by the barycentre of the neighbours, downwards and upwards in turn; keep the fewest crossings."""
    best, fewest = [list(row) for row in rows], _crossings(rows)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        steps = pairwise(rows) if down else zip(rows[:0:-1], rows[-2::-1], strict=True)
        for fixed, row in steps:
            place = {slot: n for n, slot in enumerate(fixed)}
            wish = {}
            for n, slot in enumerate(row):
                near = slot.above if down else slot.below
                wish[slot] = sum(place[s] for s in near) / len(near) if near else float(n)
            row.sort(key=wish.__getitem__)
        count = _crossings(rows)
        if count < fewest:
            best, fewest = [list(row) for row in rows], count
    rows[:] = best


def _crossings(rows: list[list[_Slot]]) -> int:
    total = 0
    for upper, lower in pairwise(rows):
        place = {slot: n for n, slot in enumerate(lower)}
        ends = [place[below] for slot in upper for below in sorted(slot.below, key=place.__getitem__)]
        total += sum(a > b for n, a in enumerate(ends) for b in ends[n + 1 :])
    return total


def _place(rows: list[list[_Slot]], gap: float) -> None:
    """x coordinates. Slots that belong in line move together; each line goes as near as it can to the mean of its
    neighbours, from where everything is packed to the left."""
    line_of: dict[_Slot, list[_Slot]] = {}
    for row in rows:
        for slot in row:
            line_of[slot] = [slot]
    for upper, lower in pairwise(rows):
        for above, below in _in_line(upper, lower):
            line_of[above].append(below)
            line_of[below] = line_of[above]
    space: dict[_Slot, float] = {}
    left: dict[_Slot, _Slot] = {}
    right: dict[_Slot, _Slot] = {}
    for row in rows:
        for before, slot in pairwise(row):
            narrow = before.passage or slot.passage
            space[slot] = (before.width + slot.width) / 2 + (gap / 2 if narrow else gap)
            left[slot], right[before] = before, slot
    lines = list({id(line): line for line in line_of.values()}.values())
    moved = True
    while moved:  # push to the right until nothing overlaps; the order of the rows has no cycles
        moved = False
        for row in rows:
            for slot in row[1:]:
                least = left[slot].x + space[slot]
                if slot.x < least - 1e-9:
                    moved = True
                    for other in line_of[slot]:
                        other.x = least
    for sweep in range(_SWEEPS * 4):
        for line in lines if sweep % 2 else reversed(lines):
            pulls = [
                (near.x, 4.0 if near.passage or slot.passage else 1.0)
                for slot in line
                for near in slot.above + slot.below
                if line_of[near] is not line
            ]
            if not pulls:
                continue
            wish = sum(x * w for x, w in pulls) / sum(w for _, w in pulls)
            low = max((left[s].x + space[s] for s in line if s in left), default=-math.inf)
            high = min((right[s].x - space[right[s]] for s in line if s in right), default=math.inf)
            x = min(max(wish, low), high)
            for slot in line:
                slot.x = x


def _in_line(upper: list[_Slot], lower: list[_Slot]) -> list[tuple[_Slot, _Slot]]:
    """Pairs of neighbours of two ranks that stand straight below each other: no two pairs cross.

    Passages come first, so that long edges are straight; then the middle neighbour of every slot, as in Brandes and Köpf,
    Fast and simple horizontal coordinate assignment (2002).
    """
    place = {slot: n for n, slot in enumerate(upper)}
    chosen: dict[int, int] = {}
    pairs: list[tuple[_Slot, _Slot]] = []

    def choose(above: _Slot, n: int) -> bool:
        m = place[above]
        if n in chosen.values() or m in chosen or any((m - a) * (n - b) < 0 for a, b in chosen.items()):
            return False
        chosen[m] = n
        pairs.append((above, lower[n]))
        return True

    for n, slot in enumerate(lower):
        if slot.passage and slot.above[0].passage:
            choose(slot.above[0], n)
    for n, slot in enumerate(lower):
        near = sorted(slot.above, key=place.__getitem__)
        middle = (len(near) - 1) // 2
        candidates = near[middle : middle + 2 if len(near) % 2 == 0 else middle + 1]
        for above in sorted(candidates, key=lambda s: not s.above):  # rather go on with a line than begin one
            if above.passage == slot.passage and choose(above, n):
                break
    return pairs


def _draw(
    boxes: Sequence[Box],
    edges: Sequence[tuple[str, str]],
    backward: set[tuple[str, str]],
    rank: dict[str, int],
    rows: list[list[_Slot]],
    slots: dict[str, _Slot],
    passages: dict[tuple[str, str], list[_Slot]],
    rank_gap: float,
) -> Drawing:
    everything = [slot for row in rows for slot in row]
    left = min((s.x - s.width / 2 for s in everything), default=0.0)
    right = max((s.x + s.width / 2 for s in everything), default=0.0)
    tops, top = [], 0.0
    for row in rows:
        tops.append(top)
        # Many edges between two ranks need room to turn.
        turns = sum(abs(a.x - b.x) > 60 for a in row for b in a.below)
        top += max((s.height for s in row), default=0.0) + rank_gap + 4 * min(turns, 10)
    heights = [max((s.height for s in row), default=0.0) for row in rows]
    drawing = Drawing(right - left, tops[-1] + heights[-1], backward=backward)
    for box in boxes:
        n = rank[box.name]
        drawing.centres[box.name] = (slots[box.name].x - left, tops[n] + heights[n] / 2)
    row_of = {slot: n for n, row in enumerate(rows) for slot in row}
    ports = _ports(boxes, slots, left)
    for edge in edges:
        upper, lower = edge[::-1] if edge in backward else edge
        chain = passages[edge]
        first = chain[0] if chain else slots[lower]
        last = chain[-1] if chain else slots[upper]
        start_row, end_row = rank[upper], rank[lower]
        middle = tops[start_row] + heights[start_row] / 2
        points = [(ports[slots[upper], first, False], middle + slots[upper].height / 2)]
        for slot in chain:
            n = row_of[slot]
            points += [(slot.x - left, tops[n]), (slot.x - left, tops[n] + heights[n])]
        middle = tops[end_row] + heights[end_row] / 2
        points.append((ports[slots[lower], last, True], middle - slots[lower].height / 2))
        drawing.routes[edge] = points[::-1] if edge in backward else points
    return drawing


def _ports(
    boxes: Sequence[Box], slots: dict[str, _Slot], left: float
) -> dict[tuple[_Slot, _Slot, bool], float]:
    """Where edges meet a box: spread over the middle of its side, in the order of where they come from.

    Keys are (box, neighbour, whether at the top).
    """
    ports: dict[tuple[_Slot, _Slot, bool], float] = {}
    for box in boxes:
        slot = slots[box.name]
        for near, top in ((slot.above, True), (slot.below, False)):
            near = sorted(near, key=lambda s: s.x)
            step = min(22.0, 0.7 * slot.width / max(1, len(near)))
            for n, other in enumerate(near):
                ports[slot, other, top] = slot.x - left + (n - (len(near) - 1) / 2) * step
    return ports
