"""The backward graph: from index equations to index equations.

In: a graph with a loss.  Out: the same graph with a family ∂A for every array or family A between the weights and the loss.

For every load A[s(…)] in the body of a family G that sums over R, the chain rule adds

    ∂E/∂A[p] += Σ over the index points of G and R with s(…) = p  of  ∂E/∂G · ∂body/∂A[s(…)]

which is the textbook's ∂E/∂w_k = Σ over the connections (l, m) with K(l, m) = k. There is no table of layers: a dense layer,
a convolution, a gate and a softmax all take this one way. Subscripts that are plain indices are renamed at once; the other
equalities stay as conditions (they are what `dln show --gradient` prints) until sharing.py solves them.

    h[j] = tanh(Σ_i w[i − j] · x[i])   →   ∂w[k] = Σ_{batch, i, j: i − j = k} ∂h.sum[j] · x[i]

Method: reverse accumulation over expressions, Griewank and Walther, Evaluating Derivatives (2nd ed., 2008), chapter 3.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..mathematics.expression import (
    BATCH,
    TRUE,
    Apply,
    Axis,
    Constant,
    Expression,
    Load,
    apply,
    equal,
    integer,
    less,
    new_axis,
    real,
    select,
)
from ..mathematics.graph import Family, Graph, Reduction
from ..mathematics.scalar import SCALAR_FUNCTIONS
from ..mathematics.walks import conjuncts, postorder, substitute
from ..record import record

#: How many differently conditioned terms an adjoint keeps apart before they are added up under a select each.
_TERMS = 4


def differentiate(graph: Graph, wanted: Iterable[str] | None = None) -> Graph:
    """Add the derivative of the loss with respect to `wanted` (default: every weight that is not frozen).

    `graph.gradients` maps each of them to the family that holds its derivative, of the same extents.
    """
    if graph.loss is None:
        return graph
    names = list(wanted) if wanted is not None else [w.name for w in graph.weights if not w.frozen]
    result = graph.copy()
    active = _dependents(graph, names)
    contributions: dict[str, list[Contribution]] = {}
    # From the loss backwards, so that only what the loss depends on by real numbers gets a derivative.
    waiting, reached = [graph.loss], {graph.loss}
    while waiting:
        family = graph.families[waiting.pop()]
        is_loss = family.name == graph.loss
        seed: Expression = real(1) if is_loss else Load(derivative_name(family.name), family.axes)
        for contribution in _contributions(result, family, seed, active):
            contributions.setdefault(contribution.target, []).append(contribution)
            if contribution.target not in reached and contribution.target in graph.families:
                reached.add(contribution.target)
                waiting.append(contribution.target)
    for target in [*graph.families, *graph.arrays]:
        if target in contributions and target != graph.loss:
            _collect(result, target, contributions[target])
    for name in names:
        if name not in contributions:
            axes = _axes_like(result, name)
            result.add(Family(derivative_name(name), axes, real(0), role="gradient", of=name))
    result.gradients = {name: derivative_name(name) for name in names}
    _drop_unreached(result)
    return result


def derivative_name(name: str) -> str:
    return f"∂{name}"


@record
class Contribution:
    """One term of ∂target: Σ over `axes` where `where`, of `value` at target subscripts = `subscripts`."""

    target: str
    subscripts: tuple[Expression, ...]
    axes: tuple[Axis, ...]
    where: tuple[Expression, ...]
    value: Expression
    family: Family


def _dependents(graph: Graph, names: Iterable[str]) -> set[str]:
    """The arrays and families through which the values of `names` can reach the loss by real numbers."""
    active = set(names)
    changed = True
    while changed:  # one sweep for a DAG in order; recurrences take another
        changed = False
        for family in graph.families.values():
            if family.name not in active and any(
                load.array in active and load.type == "real" for load in family.loads
            ):
                active.add(family.name)
                changed = True
    return active


def _axes_like(graph: Graph, name: str) -> tuple[Axis, ...]:
    """Fresh axes for the derivative with respect to `name`, called as its own axes are where it has any."""
    family = graph.families.get(name)
    if family is not None:
        return tuple(a if a == BATCH else new_axis(a.name, a.size) for a in family.axes)
    array = graph.arrays[name]
    if array.initializer is not None and len(array.initializer.axes) == len(array.extents):
        labels = [a.name for a in array.initializer.axes]
    else:
        labels = ["k"] if len(array.extents) == 1 else [f"k{n + 1}" for n in range(len(array.extents))]
    axes = tuple(new_axis(label, extent) for label, extent in zip(labels, array.extents, strict=True))
    return (BATCH, *axes) if array.batched else axes


def _contributions(
    graph: Graph, family: Family, seed: Expression, active: set[str]
) -> Iterable[Contribution]:
    """What `family` adds to the derivatives of the things that it loads."""
    reduction = family.reduction
    axes = family.axes + (reduction.axes if reduction else ())
    where = reduction.where if reduction else ()
    if reduction is not None and reduction.kind in ("max", "min"):
        where += (equal(_flat_position(reduction.axes), _winner(graph, family)),)
    elif reduction is not None and reduction.kind == "product":
        seed = seed * _product_of_the_others(graph, family)
    output = Load(family.name, family.axes) if reduction is None else None
    for load, condition, value in _loads_with_adjoints(family.body, seed, output, active):
        conditions = where
        data_dependent: Expression = TRUE
        for part in conjuncts(condition):
            # Conditions on indices restrict the sum; conditions on values (a ReLU's) stay in the body.
            if all(isinstance(n, Load) is False or n.type == "integer" for n in postorder(part)):
                conditions += (part,)
            else:
                data_dependent = apply("and", data_dependent, part)
        yield Contribution(
            load.array, load.subscripts, axes, conditions, select(data_dependent, value, 0.0), family
        )


def _flat_position(axes: tuple[Axis, ...]) -> Expression:
    """Row-major position of an index point: what an arg-max family holds."""
    position: Expression = integer(0)
    for axis in axes:
        position = position * axis.size + axis
    return position


def _winner(graph: Graph, family: Family) -> Load:
    """The arg-max (arg-min) that goes with a max (min): the gradient goes to this one index point."""
    assert family.reduction is not None
    name = f"{family.name}.winner"
    if name not in graph.families:
        old = family.reduction
        reduction = Reduction(f"arg{old.kind}", old.axes, old.where)
        graph.add(Family(name, family.axes, family.body, reduction, "term", family.name, family.span))
    return Load(name, family.axes, "integer")


def _product_of_the_others(graph: Graph, family: Family) -> Load:
    """Π over all other index points: the derivative of a product, right also where a factor is zero."""
    assert family.reduction is not None
    reduction = family.reduction
    inner = {a: new_axis(a.name, a.size) for a in reduction.axes}
    where = tuple(substitute(c, inner) for c in reduction.where)
    differs = apply("!=", _flat_position(tuple(inner.values())), _flat_position(reduction.axes))
    name = graph.fresh_name(f"{family.name}.others")
    return graph.add(
        Family(
            name,
            family.axes + reduction.axes,
            substitute(family.body, inner),
            Reduction("product", tuple(inner.values()), (*where, differs)),
            "term",
            family.name,
            family.span,
        )
    )


def _loads_with_adjoints(
    body: Expression, seed: Expression, output: Load | None, active: set[str]
) -> Iterable[tuple[Load, Expression, Expression]]:
    """(load, condition, ∂E/∂load) for every active load of a body whose own derivative is `seed`.

    Conditions are kept apart from values, so that what is not selected is never multiplied in: in `log(x) if x > 0 else 0`
    the derivative at x = 0 is 0, not 0 · ∞. `output`, where given, is the stored value of the whole body.
    """
    order = postorder(body)
    reaches: dict[Expression, bool] = {}
    for node in order:
        own = isinstance(node, Load) and node.array in active and node.type == "real"
        below = not isinstance(node, Load) and any(reaches[c] for c in node.children)
        reaches[node] = own or below
    adjoints: dict[Expression, dict[Expression, Expression]] = {body: {TRUE: seed}}
    for node in reversed(order):
        terms = adjoints.get(node)
        if terms is None or not reaches[node]:
            continue
        if len(terms) > _TERMS:
            total: Expression = real(0)
            for condition, value in terms.items():
                total = total + select(condition, value, 0.0)
            terms = {TRUE: total}
        if isinstance(node, Load):
            for condition, value in terms.items():
                yield node, condition, value
            continue
        if not isinstance(node, Apply):
            continue
        stored = output if node is body and output is not None else node
        rules = SCALAR_FUNCTIONS[node.function].derivatives
        for argument, rule in zip(node.arguments, rules, strict=True):
            if rule is None or argument.type != "real" or not reaches[argument]:
                continue
            slope = rule(*node.arguments, stored)
            into = adjoints.setdefault(argument, {})
            for condition, value in terms.items():
                gate, part = _times(value, slope)
                both = apply("and", condition, gate)
                if both == Constant(False, "boolean"):
                    continue
                into[both] = into[both] + part if both in into else part


def _times(value: Expression, slope: Expression) -> tuple[Expression, Expression]:
    """value · slope as (condition, product); a slope of 1 or 0 by a condition becomes that condition."""
    match slope:
        case Apply(function="select", arguments=(condition, Constant(1.0), Constant(0.0))):
            return condition, value
        case Apply(function="select", arguments=(condition, Constant(0.0), Constant(1.0))):
            return apply("not", condition), value
    return TRUE, slope if value == real(1) else value * slope


def _collect(graph: Graph, target: str, contributions: list[Contribution]) -> None:
    """∂target as the sum of its contributions: one family, or one for each and one that adds them."""
    axes = _axes_like(graph, target)
    name = derivative_name(target)
    span = graph.families[target].span if target in graph.families else graph.arrays[target].span
    direct: list[Expression] = []
    sums: list[tuple[Expression, Reduction, Contribution]] = []
    for contribution in contributions:
        body, bound, where = _rename(contribution, axes)
        if bound:
            sums.append((body, Reduction("sum", bound, where), contribution))
        else:
            value = body
            for condition in reversed(where):
                value = select(condition, value, 0.0)
            direct.append(value)
    if len(sums) == 1 and not direct:
        body, reduction, contribution = sums[0]
        graph.add(Family(name, axes, body, reduction, "gradient", target, span))
        return
    total: Expression | None = None
    for body, reduction, contribution in sums:
        fresh = {a: a if a == BATCH else new_axis(a.name, a.size) for a in axes}
        family = Family(
            graph.fresh_name(f"{name}.{contribution.family.name}"),
            tuple(fresh.values()),
            substitute(body, fresh),
            Reduction("sum", reduction.axes, tuple(substitute(c, fresh) for c in reduction.where)),
            "gradient",
            target,
            contribution.family.span,
        )
        graph.add(family)
        part = Load(family.name, axes)
        total = part if total is None else total + part
    for value in direct:
        total = value if total is None else total + value
    graph.add(Family(name, axes, total or real(0), None, "gradient", target, span))


def _rename(
    contribution: Contribution, axes: tuple[Axis, ...]
) -> tuple[Expression, tuple[Axis, ...], tuple[Expression, ...]]:
    """(value, axes still summed over, conditions) of a contribution in terms of the derivative's own axes.

    A subscript that is a plain index is renamed; every other one becomes the condition subscript = axis.
    """
    mapping: dict[Expression, Expression] = {}
    equalities: list[tuple[Expression, Axis]] = []
    extra: list[Expression] = []
    for subscript, axis in zip(contribution.subscripts, axes, strict=True):
        if subscript == BATCH:
            mapping[BATCH] = BATCH
        elif isinstance(subscript, Axis) and subscript not in mapping:
            mapping[subscript] = axis
            if subscript.size < axis.size:
                extra.append(less(axis, subscript.size))
        else:
            equalities.append((subscript, axis))
    bound = tuple(a for a in contribution.axes if a not in mapping)
    fresh: dict[Expression, Expression] = {a: a if a == BATCH else new_axis(a.name, a.size) for a in bound}
    mapping.update(fresh)
    where = [substitute(c, mapping) for c in contribution.where]
    where += [equal(substitute(s, mapping), axis) for s, axis in equalities]
    value = substitute(contribution.value, mapping)
    return value, tuple(a for a in fresh.values() if isinstance(a, Axis)), tuple(where + extra)


def _drop_unreached(graph: Graph) -> None:
    """Remove derivatives that no wanted gradient needs."""
    keep = graph.needed([f for f in graph.families if graph.families[f].role != "gradient"])
    keep |= graph.needed(graph.gradients.values())
    for name in [n for n in graph.families if n not in keep]:
        del graph.families[name]


__all__ = ["derivative_name", "differentiate"]
