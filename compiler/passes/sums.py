"""A sum whose conditions are being solved: what sharing.py and connections.py work on.

In: a family that reduces.  Out: its body, indices and conditions, changed step by step.

    work.replace_axis(v, p - 2*y, graph)     v := p − 2y everywhere, with 0 ≤ p − 2y < extent(v) as conditions
"""

from __future__ import annotations

from ..mathematics.affine import proves
from ..mathematics.expression import Axis, Expression, at_most, less, new_axis
from ..mathematics.graph import Family, Graph
from ..mathematics.walks import substitute
from ..record import record


@record(frozen=False)
class PendingSum:
    """A reduction while it is being solved."""

    family: Family
    body: Expression
    axes: list[Axis]
    where: list[Expression]
    scatters: list[Expression]

    def replace_axis(self, axis: Axis, value: Expression, graph: Graph) -> None:
        """Set a reduction axis to a value; it must lie in the axis's range."""
        mapping: dict[Expression, Expression] = {axis: value}
        self.axes.remove(axis)
        self.body = substitute(self.body, mapping)
        self.where = [substitute(c, mapping) for c in self.where]
        self.scatters = [substitute(c, mapping) for c in self.scatters]
        for condition in (at_most(0, value), less(value, axis.size)):
            if proves(condition, graph) is not True:
                self.where.append(condition)

    def new_axis(self, name: str, extent: int) -> Axis:
        axis = new_axis(name, extent)
        self.axes.append(axis)
        return axis
