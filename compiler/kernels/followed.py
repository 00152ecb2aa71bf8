"""Followed: the plan of a sum for the same sum with more behind it, without another search.

In: two nests whose sums are the same, and what was chosen for one.  Out: the choice for the other, or None.

    ∂w = Σ …: tile 24 × 4     →     ∂w = Σ …,  w ← w − 0.1 ∂w: tile 24 × 4, and the loads and operations that follow
"""

from __future__ import annotations

from .candidates import Registers
from .cost import CostModel
from .nest import Nest
from .tiling import Choice


def follow(nest: Nest, alone: Nest, choice: Choice, registers: Registers) -> Choice | None:
    """The choice for a nest that has the sum of another one. None where its tiles must not overlap, or the sums differ."""
    plan, cycles, ideal = choice
    same = all(
        getattr(nest, name) == getattr(alone, name) for name in ("axes", "kind", "reduced", "where", "term")
    )
    if not same or not nest.may_overlap or plan.lane not in nest.axes:
        return None
    tiles = dict(zip(plan.order, plan.tile, strict=True))
    tile = [tiles[axis] for axis in nest.axes]
    more, less = (
        CostModel(n, masks=registers.masks).along(plan.lane, plan.lanes, plan.reduced).tiled(tile)
        for n in (nest, alone)
    )
    return Choice(plan, cycles + more.blocks * (more.behind - less.behind), ideal)
