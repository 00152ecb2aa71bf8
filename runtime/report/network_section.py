"""The network itself: its sizes, its graph, its equations.

In: an elaborated network.  Out: HTML.

    sizes(network), graph(network), equations(network)
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from .page import table

if TYPE_CHECKING:
    from ...compiler.elaborate import Network

#: Equations that are shown at once; the rest unfolds.
SHOWN = 40


def sizes(network: Network) -> str:
    """Units, connections, weights, multiply-adds, bytes and the longest path of every layer, as `dln check` counts them."""
    from ...compiler.mathematics.counts import count
    from ...compiler.mathematics.lattice import TooManyPoints
    from ...compiler.passes.effort import add_effort

    try:
        counts = add_effort(network.graph, count(network.graph))
    except TooManyPoints as error:
        return f"<p>{escape(str(error))}</p>"
    keys = ("units", "connections", "weights", "multiply_adds", "backward", "bytes", "path")
    rows = []
    for row in counts.rows:
        extents = " × ".join(f"{n:,}" for n in row.extents) or "1"
        rows.append((escape(row.name), row.kind, extents, *(f"{getattr(row, key):,}" for key in keys)))
    total = ("in all", "", "", *(f"{getattr(counts.total, key):,}" for key in keys))
    heads = (
        "",
        "kind",
        "extents",
        "units",
        "connections",
        "weights",
        "multiply-adds",
        "backward",
        "bytes",
        "path",
    )
    note = (
        '<p class="note">Of one sample. A connection to a unit that is always 1 is a bias; weights are the distinct ones;'
        " multiply-adds are those forwards, and those of the gradient; bytes are those of the values and of the weights, four"
        " for each number; the path is the number of sums, products, maxima and minima on the longest way from an input, of"
        " which each must wait for the one before, in a recurrence at every step.</p>"
    )
    return table(heads, rows, last=total) + note


def graph(network: Network) -> str:
    """The picture that `dln show` draws."""
    from ...compiler.mathematics.counts import count_sharing
    from ...compiler.mathematics.lattice import TooManyPoints
    from ...compiler.printing.picture import svg

    try:
        sharing = count_sharing(network.graph)
    except TooManyPoints:
        sharing = None
    return f'<div class="graph">{svg(network.graph, sharing)}</div>'


def equations(network: Network) -> str:
    """Forward and derived ones, as mathematics."""
    from ...compiler.printing.equations import Equation, forward_equations, gradient_equations
    from ...compiler.printing.mathml import mathml

    def shown(several: list[Equation]) -> str:
        lines = []
        for equation in several:
            formula = mathml(equation.latex)
            if formula is None:
                formula = f'<span class="code plain">{escape(equation.text)}</span>'
            lines.append(f'<div class="equation">{formula}</div>')
        first, rest = "".join(lines[:SHOWN]), "".join(lines[SHOWN:])
        more = f"<details><summary>{len(lines) - SHOWN} more</summary>{rest}</details>" if rest else ""
        return f'<div class="equations">{first}{more}</div>'

    derived = gradient_equations(network.graph)
    parts = ["<h3>Forwards</h3>", shown(forward_equations(network.graph))]
    if derived:
        parts += ["<h3>Derived</h3><p>E is the loss.</p>", shown(derived)]
    return "".join(parts)
