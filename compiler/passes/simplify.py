"""Algebra: the same equations, shorter. Nothing here knows a layer or changes what is computed.

In: a graph.  Out: an equal graph in which

- comparisons that always or never hold are gone, and `mod`, `div` of what is in range;
- families that only rename, select or repeat others are put into the families that read them;
- a factor `select(c, x, 0)` of a sum, with c about indices, is a condition of the sum;
- indices that a sum does not use are counted instead of summed;
- families that say the same stand once, and families that nothing needs are gone.

    Σ_j select(label = j, g, 0)   →   Σ_{j: label = j} g   →  (sharing.py)  g
"""

from __future__ import annotations

from dataclasses import replace

from ..mathematics.affine import proves
from ..mathematics.algebra import product, product_factors, tidy
from ..mathematics.expression import (
    BATCH,
    Apply,
    Axis,
    Constant,
    Expression,
    Load,
    Lookup,
    apply,
    real,
)
from ..mathematics.graph import Family, Graph, Reduction
from ..mathematics.walks import axes_in, conjuncts, postorder, rebuild, substitute
from .order import in_order

#: Functions that cost nothing to repeat: what a family may be made of to be put into its readers.
_FREE = frozenset(
    {"select", "neg", "==", "!=", "<", "<=", ">", ">=", "and", "or", "not", "real", "stop_gradient"}
)

#: Roles whose families keep their name in any case, since people ask for them.
_KEPT_ROLES = frozenset({"layer", "loss", "metric", "update"})


def simplify(graph: Graph) -> Graph:
    """The graph after one sweep in order: each family is tidied with what it reads already tidied."""
    result = in_order(graph).copy()
    kept = set(result.roots())
    known = _Bodies(result)
    inlined: dict[str, Family] = {}
    same = _Same()
    renamed: dict[str, str] = {}
    for name, family in list(result.families.items()):
        family = _reuse(tidy_family(read_through(family, inlined, renamed), result), known)
        result.families[name] = family
        if name in kept or family.role in _KEPT_ROLES or name in family.sources:
            continue
        if _is_trivial(family):
            inlined[name] = family
            continue
        first = same.first(family)
        if first != name:
            renamed[name] = first
    needed = result.needed(kept)
    result.families = {n: f for n, f in result.families.items() if n in needed}
    return result


def read_through(family: Family, inlined: dict[str, Family], renamed: dict[str, str]) -> Family:
    """The family with loads of trivial families replaced by their bodies, and of repeated ones by the first."""
    if not any(s in inlined or s in renamed for s in family.sources):
        return family

    def rule(node: Expression) -> Expression | None:
        if isinstance(node, Load):
            if node.array in renamed:
                return Load(renamed[node.array], node.subscripts, node.type)
            source = inlined.get(node.array)
            if source is not None:
                return substitute(source.body, dict(zip(source.axes, node.subscripts, strict=True)))
        return None

    return map_expressions(family, lambda e: rebuild(e, rule))


def map_expressions(family: Family, change) -> Family:  # type: ignore[no-untyped-def]
    """The family with `change` applied to its body, its conditions and its scatter targets."""
    reduction = family.reduction
    if reduction is not None:
        where = tuple(c for condition in reduction.where for c in conjuncts(change(condition)))
        scatter = tuple((axis, change(value)) for axis, value in reduction.scatter)
        reduction = Reduction(reduction.kind, reduction.axes, tuple(dict.fromkeys(where)), scatter)
    body = change(family.body)
    if body is family.body and reduction == family.reduction:
        return family  # which knows already what it loads
    return replace(family, body=body, reduction=reduction)


def _is_trivial(family: Family) -> bool:
    """A constant, a renaming, or either of them under a condition (and 0 elsewhere).

    A subscript that is data is more than a renaming: a sum that reads an embedding would look every row up again and again,
    and its derivative would be added entry by entry instead of as one product.
    """
    if family.reduction is not None:
        return False
    loads = 0
    for node in postorder(family.body):
        if isinstance(node, Load) and any(isinstance(n, Load) for n in postorder(*node.subscripts)):
            return False
        if isinstance(node, Apply) and node.function not in _FREE and node.type != "integer":
            return False
        if isinstance(node, Apply) and node.function == "select" and node.arguments[2] != real(0):
            return False  # a border or a choice: computed once, not in every reader
        loads += isinstance(node, Load) and node.type == "real"
    return loads <= 1


def _outline(root: Expression) -> object:
    """What equal expressions have in common, whatever their indices are called. It is seen at a glance, and tells most others
    apart."""
    return _label(root), *[(_label(c), *[_label(d) for d in c.children]) for c in root.children]


def _label(node: Expression) -> str:
    match node:
        case Apply(function=name) | Load(array=name) | Lookup(table=name):
            return name
    return node.__class__.__name__


class _Same:
    """Families, to tell those that say the same. Only those with the same outline are compared."""

    def __init__(self) -> None:
        self.waiting: dict[object, list[Family]] = {}
        self.names: dict[object, str] = {}

    def first(self, family: Family) -> str:
        """The name of the first family that says the same."""
        extents = tuple([a.extent for a in family.axes])
        alike = self.waiting.setdefault((extents, _outline(family.body)), [])
        alike.append(family)
        if len(alike) == 1:
            return family.name
        if len(alike) == 2:  # the first had nothing to be compared with
            self.names.setdefault(_key(alike[0]), alike[0].name)
        return self.names.setdefault(_key(family), family.name)


def _key(family: Family) -> object:
    """Equal exactly for families that say the same, whatever their axes are called."""
    bound = family.axes + (family.reduction.axes if family.reduction else ())
    names = {a: a if a == BATCH else Axis("", a.extent, -1 - n) for n, a in enumerate(bound)}
    plain = map_expressions(family, lambda e: substitute(e, names))
    axes = tuple(names[a] for a in family.axes)
    if plain.reduction is None:
        return axes, plain.body
    reduction = replace(plain.reduction, axes=tuple(names[a] for a in plain.reduction.axes))
    scatter = tuple((names[a], e) for a, e in reduction.scatter)
    return axes, plain.body, reduction.kind, reduction.axes, frozenset(reduction.where), scatter


def _by_position(root: Expression) -> tuple[Expression, tuple[Axis, ...]]:
    """An expression with its indices called by order of appearance, and these indices."""
    axes = tuple(a for a in axes_in(root) if a != BATCH)
    names: dict[Expression, Expression] = {a: Axis("", a.extent, -1 - n) for n, a in enumerate(axes)}
    return substitute(root, names), axes


class _Bodies:
    """What elementwise families compute, to be read instead of computed again inside a sum."""

    def __init__(self, graph: Graph) -> None:
        self.waiting: dict[object, list[Family]] = {}
        for family in graph.families.values():
            if family.reduction is None:
                self.waiting.setdefault(_outline(family.body), []).append(family)
        self.known: dict[Expression, tuple[Family, tuple[Axis, ...]]] = {}

    def holding(self, factor: Expression) -> tuple[Family, tuple[Axis, ...], tuple[Axis, ...]] | None:
        """The first family that computes an expression, the indices of its body, and those of the expression in their places."""
        outline = _outline(factor)
        if outline not in self.waiting:
            return None
        for family in self.waiting[outline]:
            if not _is_trivial(family):
                body, axes = _by_position(family.body)
                if set(axes) == {a for a in family.axes if a != BATCH}:
                    self.known.setdefault(body, (family, axes))
        self.waiting[outline] = []
        body, axes = _by_position(factor)
        found = self.known.get(body)
        return None if found is None else (*found, axes)


def _reuse(family: Family, known: _Bodies) -> Family:
    """A sum whose body, or a factor of it, is just what a family holds reads that family."""
    reduction = family.reduction
    if reduction is None or reduction.kind != "sum":
        return family

    def read(factor: Expression) -> Expression:
        if not isinstance(factor, Apply):
            return factor
        found = known.holding(factor)
        if found is None or found[0].name == family.name:
            return factor
        source, own, axes = found
        place = {a: axes[own.index(a)] for a in source.axes if a != BATCH}
        return Load(source.name, tuple(a if a == BATCH else place[a] for a in source.axes))

    whole = read(family.body)
    if whole is not family.body:
        return replace(family, body=whole)
    sign, factors = product_factors(family.body)
    return replace(family, body=product(sign, [read(f) for f in factors])) if len(factors) > 1 else family


def tidy_family(family: Family, graph: Graph) -> Family:
    family = map_expressions(family, lambda e: tidy(e, graph))
    reduction = family.reduction
    if reduction is None:
        return family
    body = family.body
    where = [c for c in reduction.where if proves(c, graph) is not True]
    if reduction.kind == "sum":
        body, conditions = _guards(body)
        where += [c for c in conditions if c not in where and proves(c, graph) is not True]
    if body is not family.body or tuple(where) != reduction.where:
        family = replace(family, body=body, reduction=replace(reduction, where=tuple(where)))
    return _count_unused(family) if reduction.kind == "sum" and not reduction.scatter else family


def _guards(body: Expression) -> tuple[Expression, tuple[Expression, ...]]:
    """A product without its factors' index conditions, and those conditions."""
    sign, factors = product_factors(body)
    conditions: list[Expression] = []
    plain: list[Expression] = []
    for factor in factors:
        while (
            isinstance(factor, Apply)
            and factor.function == "select"
            and factor.arguments[2] == Constant(0.0)
            and _about_indices(factor.arguments[0])
        ):
            conditions.extend(conjuncts(factor.arguments[0]))
            factor = factor.arguments[1]
        inner_sign, inner = product_factors(factor)
        sign *= inner_sign
        plain.extend(inner)
    if not conditions:
        return body, ()
    again, more = _guards(product(sign, plain))
    return again, (*conditions, *more)


def _about_indices(condition: Expression) -> bool:
    """True where a condition is about indices and class labels, not about real values."""
    return all(node.type != "real" or isinstance(node, Lookup) for node in postorder(condition))


def _count_unused(family: Family) -> Family:
    """Σ over an index that occurs nowhere is a factor: its extent."""
    assert family.reduction is not None
    used = set(axes_in(*family.expressions))
    unused = [a for a in family.reduction.axes if a not in used]
    if not unused:
        return family
    factor: Expression = real(1)
    for axis in unused:
        samples = apply("real", Load("batch_size", (), "integer"))
        factor = factor * (samples if axis == BATCH else real(axis.size))
    rest = tuple(a for a in family.reduction.axes if a in used)
    body = family.body * factor
    if rest or family.reduction.where:
        if not rest:
            return family
        return replace(family, body=body, reduction=replace(family.reduction, axes=rest))
    return replace(family, body=body, reduction=None)
