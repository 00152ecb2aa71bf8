"""Operands: a factor of a sum that would be computed again for many index points becomes a family of its own.

In: sums whose factors are expressions.  Out: sums whose factors are loads.

    Σ_{v,u} w[f, v, u] · select(in range, image[2y+v−2, 2x+u−2], −1)
    →  padded[p, q] = select(in range, image[p−2, q−2], −1);   Σ_{v,u} w[f, v, u] · padded[2y+v, 2x+u]

The new family's axes are the distinct linear forms of indices in the factor (here 2y+v and 2x+u), so a border becomes a
padded copy, not one copy per use, and the sum is a plain contraction again.
"""

from __future__ import annotations

from dataclasses import replace

from ..mathematics.affine import Linear, bounds, linear, proves
from ..mathematics.algebra import product, product_factors
from ..mathematics.expression import (
    BATCH,
    Apply,
    Axis,
    Constant,
    Expression,
    Load,
    Lookup,
    at_most,
    integer,
    less,
    new_axis,
)
from ..mathematics.graph import Family, Graph
from ..mathematics.walks import axes_in, postorder, substitute
from .order import recurrent

#: A factor is lifted when it has at most this part of the sum's index points.
_REUSE = 0.5

Form = tuple[tuple[Axis, int], ...]


def lift_operands(graph: Graph) -> Graph:
    """Lift the costly, much repeated factors of every sum."""
    result = graph.copy()
    result.families = {}
    loops = {name: frozenset(component) for component in recurrent(graph) for name in component}
    for name, family in graph.families.items():
        if family.reduction is not None and family.reduction.kind == "sum" and name not in family.sources:
            family = _lift(result, graph, family, loops.get(name, frozenset()))
        result.families[name] = family
    return result


def _lift(result: Graph, graph: Graph, family: Family, loop: frozenset[str]) -> Family:
    """`loop`: the families that the sum is in a recurrence with."""
    assert family.reduction is not None
    sign, factors = product_factors(family.body)
    if len(factors) < 2:
        return family
    points = 1
    for axis in family.axes + family.reduction.axes:
        points *= 1 if axis == BATCH else axis.size
    changed = False
    for number, factor in enumerate(factors):
        if isinstance(factor, Load | Constant | Lookup) or not any(
            isinstance(n, Load) for n in postorder(factor)
        ):
            continue
        within = any(isinstance(n, Load) and n.array in loop for n in postorder(factor))
        lifted = _operand(result, graph, family, factor, points, whole=within)
        if lifted is not None:
            factors[number] = lifted
            changed = True
    return replace(family, body=product(sign, factors)) if changed else family


def _operand(
    result: Graph, graph: Graph, family: Family, factor: Expression, points: int, *, whole: bool
) -> Load | None:
    """A load of a new family that holds the factor, or None where that does not pay or cannot be.

    `whole`: the family will be part of a recurrence, whose members all have the same steps; it must not have fewer.
    """
    places = _places(factor, graph)
    if places:
        entries = substitute(factor, {entry: axis + low for entry, (axis, low) in places.items()})
        lifted = _operand_over_indices(result, graph, family, entries, points, whole)
        if lifted is not None:
            return substitute(lifted, {axis: entry - low for entry, (axis, low) in places.items()})  # type: ignore[return-value]
    return _operand_over_indices(result, graph, family, factor, points, whole)


def _places(factor: Expression, graph: Graph) -> dict[Expression, tuple[Axis, int]]:
    """Table entries in the factor whose indices occur nowhere else in it, with an index to stand for each.

    The factor then depends on the place that the table names, and not on who looks it up.
    """
    entries = [n for n in postorder(factor) if isinstance(n, Lookup) and n.type == "integer"]
    inner = {n for e in entries for c in e.children for n in postorder(c)}
    found: dict[Expression, tuple[Axis, int]] = {}
    for entry in entries:
        reach = bounds(entry, graph)
        if entry not in inner and reach is not None:
            found[entry] = (new_axis("place", reach[1] - reach[0] + 1), reach[0])
    rest = substitute(factor, {entry: axis for entry, (axis, _) in found.items()})
    if set(axes_in(rest)) & {a for e in found for a in axes_in(e)}:
        return {}
    return found


def _operand_over_indices(
    result: Graph, graph: Graph, family: Family, factor: Expression, points: int, whole: bool
) -> Load | None:
    """The same, for a factor that depends on indices (and the batch) alone."""
    assert family.reduction is not None
    forms = _forms(factor)
    if whole and any(len(form) > 1 for form in forms):
        return None  # as many places as the form has values: other steps than the recurrence's
    axes: list[Axis] = [BATCH] if BATCH in axes_in(factor) else []
    subscripts: list[Expression] = list(axes)
    mapping: dict[Expression, Expression] = {}
    size = 1
    for form in forms:
        expression = Linear(0, dict(form)).expression()
        found = bounds(expression, graph) if whole else _range(expression, family, graph)
        if found is None:
            return None
        low, high = found
        extent = high - low + 1
        if extent < 1:
            return None
        axis = new_axis(form[0][0].name, extent)
        axes.append(axis)
        subscripts.append((linear(expression).add(Linear(-low))).expression())
        # One of the form's indices stands for it: a := (axis + low − rest) / coefficient, with the others at 0.
        mapping.update({a: integer(0) for a, _ in form[1:]})
        mapping[form[0][0]] = axis + low if len(form) > 1 or low else axis
        size *= extent
    if size > _REUSE * points or any(form[0][1] != 1 for form in forms if len(form) > 1):
        return None
    body = substitute(factor, mapping)
    if not _in_range(body, graph):
        return None
    name = graph.fresh_name(f"{family.name}.operand")
    while name in result.families:
        name += "'"
    return result.add(Family(name, tuple(axes), body, None, "term", family.name, family.span)).with_children(  # type: ignore[return-value]
        tuple(subscripts)
    )


def _forms(factor: Expression) -> list[Form]:
    """Disjoint linear forms of indices, such that the factor depends on the indices through them alone."""
    found: dict[Form, None] = {}
    loose: set[Axis] = set()
    for node in postorder(factor):
        roots: tuple[Expression, ...] = ()
        if isinstance(node, Load | Lookup):
            roots = node.subscripts
        elif isinstance(node, Apply) and node.type != "integer":
            roots = tuple(a for a in node.arguments if a.type == "integer")
        for root in roots:
            form = linear(root)
            plain = {a: c for a, c in form.coefficients.items() if isinstance(a, Axis) and a != BATCH}
            loose.update(a for atom in form.coefficients if not isinstance(atom, Axis) for a in axes_in(atom))
            if len(plain) < 2:
                loose.update(plain)
            elif plain:
                # The index with coefficient 1 stands first; it will stand for the whole form.
                ordered = sorted(plain.items(), key=lambda item: (item[1] != 1, item[0].serial))
                found[tuple(ordered)] = None
    while True:
        clashes = {
            a for f in found for a, _ in f if a in loose or sum(any(a is b for b, _ in g) for g in found) > 1
        }
        if not clashes:
            break
        for clashing in [f for f in found if any(a in clashes for a, _ in f)]:
            del found[clashing]
            loose.update(a for a, _ in clashing)
    loose.discard(BATCH)
    single: list[Form] = [((a, 1),) for a in sorted(loose, key=lambda a: a.serial)]
    return sorted([*single, *found], key=lambda f: (f[0][0].name != "place", f[0][0].serial))


def _range(expression: Expression, family: Family, graph: Graph) -> tuple[int, int] | None:
    """The range of a form, narrowed by the sum's conditions on just that form."""
    found = bounds(expression, graph)
    if found is None:
        return None
    low, high = found
    assert family.reduction is not None
    for condition in family.reduction.where:
        if not isinstance(condition, Apply) or condition.function not in ("<", "<="):
            continue
        # left ≤ right as form + constant ≤ 0, possibly with the form's sign turned.
        left, right = condition.arguments
        difference = linear(left - right)
        strict = 1 if condition.function == "<" else 0
        own = linear(expression).coefficients
        if difference.coefficients == own:
            high = min(high, -difference.constant - strict)
        elif difference.coefficients == {a: -c for a, c in own.items()}:
            low = max(low, difference.constant + strict)
    return low, high


def _in_range(body: Expression, graph: Graph) -> bool:
    """True where every load is provably in range or stands under a select (which is then safe to evaluate)."""
    guarded = {
        load
        for node in postorder(body)
        if isinstance(node, Apply) and node.function == "select"
        for load in postorder(*node.arguments[1:])
        if isinstance(load, Load)
    }
    for node in postorder(body):
        if isinstance(node, Load) and node not in guarded:
            for subscript, extent in zip(node.subscripts, graph.extents_of(node.array), strict=True):
                if extent is None:
                    continue
                if (
                    proves(at_most(0, subscript), graph) is not True
                    or proves(less(subscript, extent), graph) is not True
                ):
                    return False
    return True
