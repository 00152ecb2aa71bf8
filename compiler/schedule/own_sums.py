"""Own sums: a sum that several routines need, one of them for elementwise equations of its own alone, is a sum of its own there.

In: a graph, and the families that each routine is for.  Out: the graph with such sums twice.

    ∂w[i, j] = Σ …                  the routine 'gradient' is for it
    w'[i, j] = w − 0.1 ∂w[i, j]     of 'train' alone, which is not for ∂w
    →   ∂w′[i, j] = Σ …,    w'[i, j] = w − 0.1 ∂w′[i, j]      one kernel in 'train': no gradient is stored, and none is read again

The sum is the same, and each routine computes it once. A small one stays in a near cache until it is read: a kernel that does
nothing but the update, on whole vectors, is then the faster one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from ..mathematics.expression import Expression, Load
from ..mathematics.graph import Family, Graph
from ..mathematics.walks import substitute

#: A sum of fewer elements stays near.
_LARGE = 80_000
#: Behind the name of a sum's copy. (No name of a file has a space.)
_OWN = " of its own"


def shown(name: str) -> str:
    """The name of a family as it was before it was copied."""
    return name.replace(_OWN, "")


def is_own(name: str) -> bool:
    """Whether a family is such a copy."""
    return _OWN in name


def with_own_sums(graph: Graph, routines: Mapping[str, Iterable[str]]) -> Graph:
    """The graph in which sums that a routine can fuse with what reads them there are families of their own."""
    roots = {name: set(names) for name, names in routines.items()}
    needed = {name: graph.needed(names) for name, names in roots.items()}
    readers = graph.readers()
    own: dict[str, dict[Expression, Expression]] = {}  # reader → what it reads in place of what
    families: dict[str, Family] = {}
    result = graph.copy()
    for name, family in graph.families.items():
        if name in own:
            family = replace(family, body=substitute(family.body, own[name]))
        families[name] = family
        users = [routine for routine in roots if name in needed[routine]]
        if len(users) < 2 or family.reduction is None or family.reduction.scatter or family.batched:
            continue
        if math.prod(family.extents) < _LARGE:
            continue
        for routine in users:
            here = [graph.families[r] for r in readers.get(name, ()) if r in needed[routine]]
            others = [needed[other] for other in roots if other != routine]
            alone = all(reader.name not in some for reader in here for some in others)
            if here and alone and name not in roots[routine] and all(_follows(r, family) for r in here):
                copy = replace(family, name=result.fresh_name(name + _OWN))
                families[copy.name] = result.families[copy.name] = copy
                for reader in here:
                    before, now = (Load(n, reader.axes, family.type) for n in (name, copy.name))
                    own.setdefault(reader.name, {})[before] = now
    result.families = families
    return result


def _follows(reader: Family, family: Family) -> bool:
    """Whether a family is computed element by element from another."""
    same = [a.extent for a in reader.axes] == [a.extent for a in family.axes]
    loads = [load for load in reader.loads if load.array == family.name]
    return reader.reduction is None and same and all(load.subscripts == reader.axes for load in loads)
