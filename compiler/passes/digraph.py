"""Directed graphs of names: groups that need each other, in order; and circles.

In: names, and for each name those that need it.  Out: lists of names.

    components(["h", "a", "x"], {"x": ["a"], "a": ["h"], "h": ["a"]})     →   [["x"], ["h", "a"]]

The algorithm is that of R. Tarjan, "Depth-first search and linear graph algorithms" (1972), without recursion.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence

Edges = Mapping[str, Iterable[str]]


def components(names: Sequence[str], after: Edges) -> list[list[str]]:
    """The strongly connected components, each behind those that it needs; members in the order of `names`.

    `after`: name → the names that need it. Of components that may come next, the one whose first member stands first does.
    """
    place = {name: n for n, name in enumerate(names)}
    groups = [sorted(group, key=place.__getitem__) for group in _strongly_connected(names, after)]
    group_of = {name: n for n, group in enumerate(groups) for name in group}
    behind = [
        {group_of[later] for name in group for later in after.get(name, ())} - {n}
        for n, group in enumerate(groups)
    ]
    waiting = [0] * len(groups)
    for later in behind:
        for n in later:
            waiting[n] += 1
    ready = [(place[group[0]], n) for n, group in enumerate(groups) if not waiting[n]]
    heapq.heapify(ready)
    order: list[list[str]] = []
    while ready:
        _, n = heapq.heappop(ready)
        order.append(groups[n])
        for m in behind[n]:
            waiting[m] -= 1
            if not waiting[m]:
                heapq.heappush(ready, (place[groups[m][0]], m))
    return order


def _strongly_connected(names: Iterable[str], after: Edges) -> list[list[str]]:
    """The components, each before those that need it or the other way round."""
    found: list[list[str]] = []
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_names: list[str] = []
    is_open: set[str] = set()
    for root in names:
        if root in number:
            continue
        number[root] = lowest[root] = len(number)
        open_names.append(root)
        is_open.add(root)
        path = [(root, iter(after.get(root, ())))]
        while path:
            name, rest = path[-1]
            fresh = None
            for other in rest:
                if other not in number:
                    fresh = other
                    break
                if other in is_open:
                    lowest[name] = min(lowest[name], number[other])
            if fresh is not None:
                number[fresh] = lowest[fresh] = len(number)
                open_names.append(fresh)
                is_open.add(fresh)
                path.append((fresh, iter(after.get(fresh, ()))))
                continue
            path.pop()
            if path:
                lowest[path[-1][0]] = min(lowest[path[-1][0]], lowest[name])
            if lowest[name] == number[name]:
                group: list[str] = []
                while not group or group[-1] != name:
                    group.append(open_names.pop())
                    is_open.discard(group[-1])
                found.append(group)
    return found


def circle(start: str, after: Edges) -> list[str]:
    """The names of a circle that can be reached from `start`, each needed by the next and the last by the first; [] for none."""
    path = [start]
    place = {start: 0}
    rests = [iter(after.get(start, ()))]
    done: set[str] = set()
    while path:
        other = next(rests[-1], None)
        if other is None:
            rests.pop()
            done.add(path.pop())
            del place[next(reversed(place))]
        elif other in place:
            return path[place[other] :]
        elif other not in done:
            place[other] = len(path)
            path.append(other)
            rests.append(iter(after.get(other, ())))
    return []
