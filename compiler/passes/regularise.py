"""What stands between the gradient and the next weights: penalties, clipping, decay, max-norm, averages.

In: a graph with gradients, and the settings of the train section.  Out: `regularise` gives every weight a *direction*, which
the optimizer takes for its gradient; `constrain` changes what the optimizer made of the weights.

    g ← ∂L/∂w + ∂Ω/∂w          penalty      (the derivative is taken here, of any function)
    g ← min(max(g, −c), c)      clip value
    g ← g · min(1, c / ‖g‖)     clip norm    (over all weights that the setting is for)
    g ← g + λ w                 decay coupled
    w ← optimizer(w, g)
    w ← w − rate · λ · w        decay decoupled
    w ← w · min(1, c / ‖w_j‖)   limit norm   (over the weights into one unit j)
    a ← a + (w − a) · share     average

Sources: clipping by norm: R. Pascanu, T. Mikolov and Y. Bengio, On the difficulty of training recurrent neural networks
(2013), algorithm 1. Max-norm: N. Srivastava et al., Dropout (2014), section 5.1. Averages of iterates: B. Polyak and
A. Juditsky, Acceleration of stochastic approximation by averaging (1992).
Sums over a weight are taken row by row, so that threads can share them; the order of additions never changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ..elaborate.train_settings import Penalty, Rule, StepSettings
from ..mathematics.expression import Axis, Expression, Load, apply, new_axis, real, select
from ..mathematics.graph import PENALTY, Array, Family, Graph, Initializer, Reduction
from ..mathematics.walks import axes_in, substitute
from .gradient import differentiate


def regularise(settings: StepSettings, *, valued: bool = False) -> Graph:
    """The settings' graph with `directions`. `valued`: also a state that holds the value of all penalties."""
    result = settings.graph
    terms: dict[str, Expression] = {}
    axes: dict[str, tuple[Axis, ...]] = {}
    for weight, gradient in result.gradients.items():
        axes[weight] = _axes_of(result, weight)
        terms[weight] = Load(gradient, axes[weight])
    untouched = dict(terms)
    penalties = [_existing(result, p) for p in settings.penalties()]
    for penalty in penalties:
        if penalty.weight in terms:
            slope = substitute(
                _slope(result, penalty), dict(zip(penalty.axes, axes[penalty.weight], strict=True))
            )
            terms[penalty.weight] = terms[penalty.weight] + slope
    for rule in settings.clips():
        chosen = [w for w in rule.weights if w in terms]
        if rule.kind == "value":
            for w in chosen:
                terms[w] = apply("min", apply("max", terms[w], -rule.number), rule.number)
        else:
            for w in chosen:
                terms[w] = _stored(result, f"{w}.direction", w, axes[w], terms[w])
            factor = _shrinking(result, rule, {w: terms[w] for w in chosen}, axes)
            terms |= {w: terms[w] * factor for w in chosen}
    for rule in settings.decays():
        for w in rule.weights if rule.kind == "coupled" else ():
            if w in terms:
                terms[w] = terms[w] + rule.number * Load(w, axes[w])
    for w, term in terms.items():
        if term != untouched[w]:
            load = _stored(result, f"{w}.direction", w, axes[w], term)
            result.directions[w] = load.array
    if valued and penalties:
        _add_value(result, penalties)
    return result


def constrain(network: Graph, settings: StepSettings, rates: Mapping[str, Expression]) -> Graph:
    """The settings' graph with other next weights, and with averages.

    `network` has the equations as the file says them; `rates` is the rate of every weight, a constant or a load.
    """
    result = settings.graph
    for rule in settings.decays():
        for w in rule.weights if rule.kind == "decoupled" else ():
            if w in result.updates:
                share = settings.single(rates[w] * rule.number, "decay")
                axes = _axes_of(result, w)
                lost = share * Load(w, axes)
                _next(result, w, axes, lambda new, lost=lost: new - lost)  # type: ignore[misc]
    for rule in settings.limits():
        for w in rule.weights:
            incoming = _incoming(network, w)
            if w in result.updates and incoming:
                _limit(result, rule, w, incoming)
    average = settings.average()
    if average is not None:
        _average(result, settings, average)
    return result


# ------------------------------------------------------------------------------------------------- directions


def _existing(graph: Graph, penalty: Penalty) -> Penalty:
    """The penalty, 0 for entries that the weight's `where` leaves out."""
    array = graph.arrays[penalty.weight]
    if array.where is None or array.initializer is None:
        return penalty
    where = substitute(array.where, dict(zip(array.initializer.axes, penalty.axes, strict=True)))
    return replace(penalty, value=select(where, penalty.value, 0.0))


def _slope(graph: Graph, penalty: Penalty) -> Expression:
    """dΩ/dw over the penalty's axes."""
    alone = graph.copy(loss="Ω", outputs=(), metrics={}, updates={}, gradients={})
    sources = [load.array for load in Family("", (), penalty.value).loads]
    alone.families = {n: graph.families[n] for n in graph.needed(sources)}
    summed = Reduction("sum", penalty.axes) if penalty.axes else None
    alone.add(Family("Ω", (), penalty.value, summed, "loss", "", penalty.span))
    derived = differentiate(alone, [penalty.weight])
    family = derived.families[derived.gradients[penalty.weight]]
    assert family.reduction is None, "a penalty is a function of one entry"
    return substitute(family.body, dict(zip(family.axes, penalty.axes, strict=True)))


def _shrinking(
    graph: Graph, rule: Rule, terms: Mapping[str, Expression], axes: Mapping[str, tuple[Axis, ...]]
) -> Expression:
    """min(1, c / ‖g‖) over several weights together."""
    total: Expression = real(0)
    for w, term in terms.items():
        total = total + _sum(graph, f"{w}.direction.square", w, axes[w], term * term)
    square = graph.add(Family(graph.fresh_name("gradient.square"), (), total, None, "update", "", rule.span))
    return graph.add(
        Family(
            graph.fresh_name("clip.factor"), (), _factor(square, rule.number), None, "update", "", rule.span
        )
    )


def _factor(square: Expression, largest: Expression) -> Expression:
    """min(1, c / √square), and 1 where square is 0."""
    return select(apply(">", square, largest * largest), largest / apply("sqrt", square), 1.0)


def _add_value(graph: Graph, penalties: Sequence[Penalty]) -> None:
    """Σ Ω(w), kept in a state."""
    total: Expression = real(0)
    for penalty in penalties:
        total = total + _sum(graph, f"{penalty.weight}.penalty", penalty.weight, penalty.axes, penalty.value)
    graph.arrays[PENALTY] = Array(PENALTY, "state", (), initializer=Initializer((), real(0)))
    graph.updates[PENALTY] = graph.add(Family(f"{PENALTY}.next", (), total, None, "update", PENALTY)).array


# ------------------------------------------------------------------------------------------------ next weights


def _incoming(graph: Graph, weight: str) -> tuple[int, ...]:
    """The subscripts of a weight that the sum into a unit runs over, by the first family that reads it; () for a bias."""
    for family in graph.families.values():
        if family.reduction is None:
            continue
        for load in family.loads:
            if load.array == weight:
                bound = set(family.reduction.axes)
                places = (n for n, s in enumerate(load.subscripts) if bound & set(axes_in(s)))
                return tuple(places)
    return ()


def _limit(graph: Graph, rule: Rule, weight: str, incoming: tuple[int, ...]) -> None:
    """Scale the weights into each unit whose norm is too large."""
    axes = _axes_of(graph, weight)
    own = tuple(a for n, a in enumerate(axes) if n not in incoming)
    inner = tuple(a for n, a in enumerate(axes) if n in incoming)
    new = Load(graph.updates[weight], axes)
    name = graph.fresh_name(f"{weight}.square")
    square = graph.add(Family(name, own, new * new, Reduction("sum", inner), "let", weight, rule.span))
    name = graph.fresh_name(f"{weight}.shrinking")
    factor = graph.add(Family(name, own, _factor(square, rule.number), None, "let", weight, rule.span))
    _next(graph, weight, axes, lambda value: value * factor)


def _average(graph: Graph, settings: StepSettings, rule: Rule) -> None:
    """A state for every weight that holds the mean of its iterates; `averages` says which."""
    count = Array("average count", "state", (), initializer=Initializer((), real(0)))
    graph.arrays[count.name] = count
    held = Load(count.name, ())
    if rule.kind == "ema":
        # Corrected for its start as Adam's moments are: after one step it is the first iterate.
        counted: Expression = held + 1.0
        share = (1.0 - rule.number) / (1.0 - apply("^", rule.number, counted))
    else:
        graph.arrays.setdefault("epoch", Array("epoch", "clock", (), type="integer"))
        epoch = apply("real", Load("epoch", (), "integer"))
        counted = select(apply(">=", epoch, rule.number), held + 1.0, 0.0)
        share = 1.0 / apply("max", counted, 1.0)
    following = graph.add(Family("average count.next", (), counted, None, "update", count.name))
    graph.updates[count.name] = following.array
    part = settings.single(substitute(share, {counted: following}), "average.share")
    for weight in [w for w in rule.weights if w in graph.updates]:
        axes = _axes_of(graph, weight)
        name = graph.fresh_name(f"{weight}.average")
        start = Initializer(axes, Load(weight, axes))
        graph.arrays[name] = Array(name, "state", graph.arrays[weight].extents, initializer=start)
        before = Load(name, axes)
        body = before + (Load(graph.updates[weight], axes) - before) * part
        graph.updates[name] = graph.add(Family(f"{name}.next", axes, body, None, "update", weight)).array
        graph.averages[weight] = name


def _next(
    graph: Graph, weight: str, axes: tuple[Axis, ...], change: Callable[[Expression], Expression]
) -> None:
    """Put a function of a weight's next value in its place."""
    body = change(Load(graph.updates[weight], axes))
    name = graph.fresh_name(f"{weight}.next")
    graph.updates[weight] = graph.add(Family(name, axes, body, None, "update", weight)).array


# ------------------------------------------------------------------------------------------------------- sums


def _axes_of(graph: Graph, weight: str) -> tuple[Axis, ...]:
    initializer = graph.arrays[weight].initializer
    names = [a.name for a in initializer.axes] if initializer is not None else []
    extents = graph.arrays[weight].extents
    return tuple(new_axis(names[n] if n < len(names) else f"i{n}", e) for n, e in enumerate(extents))


def _stored(graph: Graph, wish: str, weight: str, axes: tuple[Axis, ...], term: Expression) -> Load:
    """The term as a family of its own, which several others read."""
    if isinstance(term, Load) and term.subscripts == axes:
        return term
    span = graph.arrays[weight].span
    return graph.add(Family(graph.fresh_name(wish), axes, term, None, "let", weight, span))


def _sum(graph: Graph, wish: str, weight: str, axes: tuple[Axis, ...], term: Expression) -> Expression:
    """Σ of a term over all entries of a weight: first of its rows, then of their sums."""
    if not axes:
        return term
    span = graph.arrays[weight].span
    if len(axes) == 1:
        return graph.add(
            Family(graph.fresh_name(wish), (), term, Reduction("sum", axes), "let", weight, span)
        )
    name = graph.fresh_name(f"{wish}.row")
    rows = graph.add(Family(name, axes[:1], term, Reduction("sum", axes[1:]), "let", weight, span))
    return graph.add(
        Family(graph.fresh_name(wish), (), rows, Reduction("sum", axes[:1]), "let", weight, span)
    )


__all__ = ["constrain", "regularise"]
