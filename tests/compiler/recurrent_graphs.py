"""Recurrent graphs by hand: what recurrence.py and the lowering of time loops are tested on.

graph = RECURRENT["gated"]()      a graph with a loss
"""

from __future__ import annotations

from collections.abc import Callable

from dln.compiler.mathematics.expression import (
    BATCH,
    Apply,
    Load,
    apply,
    at_most,
    less,
    select,
)
from dln.compiler.mathematics.graph import Family, Graph, Reduction

from .graphs import axes, class_input, real_input, start, weight, with_loss


def delayed(t: Apply, steps: int) -> tuple[object, ...]:
    """t + delay is within 0 … steps−1."""
    return at_most(0, t), less(t, steps)


def simple(steps: int = 5, units: int = 6, delay: int = -1) -> Graph:
    """h[t, j] = tanh(x[t, j] + Σ_k U[k, j] · h[t + delay, k])"""
    graph = start(weight("U", units, units), real_input("x", steps, units))
    t, j, k = axes("tjk", steps, units, units)
    own = (BATCH, t, j)
    body = Load("U", (k, j)) * Load("h", (BATCH, t + delay, k))
    graph.add(Family("h.sum", own, body, Reduction("sum", (k,), delayed(t + delay, steps))))
    return with_loss(graph, graph.add(Family("h", own, apply("tanh", Load("h.sum", own) + Load("x", own)))))


def backwards() -> Graph:
    return simple(delay=1)


def far() -> Graph:
    return simple(steps=7, delay=-3)


def gated(steps: int = 4, units: int = 5) -> Graph:
    """Two gates before time: a[g, t, j] = x[t, j] + Σ_k U[g, k, j] · h[t − 1, k]; h = (1 − σ(a₀)) h[t − 1] + σ(a₀) tanh(a₁)."""
    graph = start(weight("U", 2, units, units), real_input("x", steps, units))
    g, t, j, k = axes("gtjk", 2, steps, units, units)
    body = Load("U", (g, k, j)) * Load("h", (BATCH, t - 1, k))
    total = graph.add(Family("a.sum", (BATCH, g, t, j), body, Reduction("sum", (k,), (at_most(0, t - 1),))))
    graph.add(Family("a", (BATCH, g, t, j), total + Load("x", (BATCH, t, j))))
    gate = apply("sigmoid", Load("a", (BATCH, 0 * t, t, j)))
    new = apply("tanh", Load("a", (BATCH, 0 * t + 1, t, j)))
    before = select(at_most(0, t - 1), Load("h", (BATCH, t - 1, j)), 0.5)
    return with_loss(graph, graph.add(Family("h", (BATCH, t, j), (1.0 - gate) * before + gate * new)))


def turned(steps: int = 4, units: int = 5) -> Graph:
    """Gates of other units: a[g, t, j] = x[t, j] + Σ_k U[g, k, j] · h[t − 1, k]; h[t, j] = tanh(a₀[t, j]) sin(a₁[t, 4 − j])."""
    graph = start(weight("U", 2, units, units), real_input("x", steps, units))
    g, t, j, k = axes("gtjk", 2, steps, units, units)
    body = Load("U", (g, k, j)) * Load("h", (BATCH, t - 1, k))
    total = graph.add(Family("a.sum", (BATCH, g, t, j), body, Reduction("sum", (k,), (at_most(0, t - 1),))))
    graph.add(Family("a", (BATCH, g, t, j), total + Load("x", (BATCH, t, j))))
    other = Load("a", (BATCH, 0 * t + 1, t, units - 1 - j))
    here = apply("tanh", Load("a", (BATCH, 0 * t, t, j)))
    return with_loss(graph, graph.add(Family("h", (BATCH, t, j), here * apply("sin", other))))


def mutual() -> Graph:
    """Time is the first axis of one family and the second of the other, and both delays are two."""
    graph = start(weight("U", 3, 4), weight("V", 4, 3), real_input("x", 6))
    (t, j, k), (s, i, m) = axes("tjk", 6, 3, 4), axes("sim", 6, 4, 3)
    first = Load("U", (j, k)) * Load("q", (BATCH, k, t))
    graph.add(Family("p.sum", (BATCH, t, j), first, Reduction("sum", (k,))))
    p = Family("p", (BATCH, t, j), apply("tanh", Load("p.sum", (BATCH, t, j)) + Load("x", (BATCH, t))))
    second = Load("V", (i, m)) * Load("p", (BATCH, s - 2, m))
    graph.add(Family("q.sum", (BATCH, i, s), second, Reduction("sum", (m,), (at_most(2, s),))))
    graph.add(Family("q", (BATCH, i, s), apply("sin", Load("q.sum", (BATCH, i, s)) + Load("x", (BATCH, s)))))
    return with_loss(graph, graph.add(p))


def grid() -> Graph:
    """h[y, z] = tanh(x[y, z] + a h[y − 1, z] + b h[y, z − 1]): a loop within a loop."""
    graph = start(weight("a"), weight("b"), real_input("x", 4, 3))
    y, z = axes("yz", 4, 3)
    up = select(at_most(0, y - 1), Load("h", (BATCH, y - 1, z)), 0.0)
    left = select(at_most(0, z - 1), Load("h", (BATCH, y, z - 1)), 0.25)
    body = apply("tanh", Load("x", (BATCH, y, z)) + Load("a") * up + Load("b") * left)
    return with_loss(graph, graph.add(Family("h", (BATCH, y, z), body)))


def history() -> Graph:
    """Every earlier step: h[t] = tanh(x[t] + c Σ_{s < t} h[s])."""
    graph = start(weight("c", 3), real_input("x", 5, 3))
    t, j, s = axes("tjs", 5, 3, 5)
    body = Load("c", (j,)) * Load("h", (BATCH, s, j))
    total = graph.add(Family("h.sum", (BATCH, t, j), body, Reduction("sum", (s,), (less(s, t),))))
    return with_loss(
        graph, graph.add(Family("h", (BATCH, t, j), apply("tanh", total + Load("x", (BATCH, t, j)))))
    )


def lengths() -> Graph:
    """A sequence that is over keeps its last value: the loss sees only that."""
    graph = start(weight("c", 3), real_input("x", 5, 3), class_input("n", 6))
    t, j, i = axes("tji", 5, 3, 3)
    before = select(at_most(0, t - 1), Load("h", (BATCH, t - 1, j)), 0.0)
    new = apply("sin", Load("x", (BATCH, t, j)) + Load("c", (j,)) * before)
    graph.add(Family("h", (BATCH, t, j), select(less(t, Load("n", (BATCH,), "integer")), new, before)))
    return with_loss(graph, graph.add(Family("last", (BATCH, i), Load("h", (BATCH, 0 * i + 4, i)))))


def unbatched() -> Graph:
    """A recurrence of weights alone: r[t, j] = sin(r[t − 1, j] + s[j])."""
    graph = start(weight("s", 4), real_input("x", 6, 4))
    t, j = axes("tj", 6, 4)
    before = select(at_most(0, t - 1), Load("r", (t - 1, j)), 1.0)
    r = graph.add(Family("r", (t, j), apply("sin", before + Load("s", (j,)))))
    return with_loss(graph, graph.add(Family("y", (BATCH, t, j), r * Load("x", (BATCH, t, j)))))


def chosen() -> Graph:
    """Which unit of the step before is read is data: its derivative is scattered, step by step."""
    graph = start(weight("c", 4), real_input("x", 5, 4), class_input("n", 4, 5))
    t, j = axes("tj", 5, 4)
    place = Load("n", (BATCH, t), "integer")
    before = select(at_most(0, t - 1), Load("h", (BATCH, t - 1, place)), 0.0)
    body = apply("tanh", Load("x", (BATCH, t, j)) + Load("c", (j,)) * before)
    return with_loss(graph, graph.add(Family("h", (BATCH, t, j), body)))


def best() -> Graph:
    """Viterbi's recurrence: h[t, j] = x[t, j] + max_k (U[k, j] + h[t − 1, k])."""
    graph = start(weight("U", 4, 4), real_input("x", 5, 4))
    t, j, k = axes("tjk", 5, 4, 4)
    before = select(at_most(0, t - 1), Load("h", (BATCH, t - 1, k)), 0.0)
    total = graph.add(Family("h.max", (BATCH, t, j), Load("U", (k, j)) + before, Reduction("max", (k,))))
    return with_loss(graph, graph.add(Family("h", (BATCH, t, j), total + Load("x", (BATCH, t, j)))))


RECURRENT: dict[str, Callable[[], Graph]] = {
    f.__name__: f
    for f in (
        simple, backwards, far, gated, turned, mutual, grid, history, lengths, unbatched, chosen, best,
    )
}  # fmt: skip
