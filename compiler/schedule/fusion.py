"""Fusion: which families are computed by one kernel.

In: a graph in order, and the families that each routine is for.  Out: the graph, with scalars hoisted and single-use families put
into their readers, and `Cluster`s in order.

    d.sum = Σ…; d = tanh(d.sum + b)                →   one kernel: the sum, and tanh while it is in registers
    m' = …g…; v' = …g…; w' = …m'…v'…               →   one pass over the weights
    w − rate · m / (1 − beta1^step)                →   1 / (1 − beta1^step) is computed once, in double precision

grouping.py says which families can be one kernel. A family is stored only if another kernel or a person reads it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from ..mathematics.expression import BATCH, Apply, Axis, Expression, Load, apply, real
from ..mathematics.graph import Family, Graph
from ..mathematics.walks import postorder, rebuild, substitute
from .cyclic import halve
from .factoring import factor_out
from .grouping import Cluster, core, grouped, is_here
from .own_sums import with_own_sums
from .padding import pad

#: Longest body, in nodes, that a family is put into.
_LONGEST = 400


def clusters(graph: Graph, routines: Mapping[str, tuple[str, ...]]) -> tuple[list[Cluster], Graph]:
    """The clusters in order, and the graph that they are of."""
    result = with_own_sums(factor_out(_hoist_scalars(_only_needed(graph, routines))), routines)
    roots = {r for names in routines.values() for r in names}
    result = pad(halve(_inline(result, routines, _made_by(result, _users(result, routines)))))
    result, made = grouped(result, _users(result, routines))
    read_by: dict[str, set[int]] = {}
    for n, cluster in enumerate(made):
        for name in cluster.members:
            family = result.families[name]
            for load in family.loads:
                own = cluster.spread.get(name)
                here = load.array in cluster.members and is_here(
                    load, core(family, cluster), cluster, result, own
                )
                read_by.setdefault(load.array, set()).add(n if here else -1)
    for n, cluster in enumerate(made):
        cluster.stored = {m for m in cluster.members if m in roots or read_by.get(m, set()) - {n}}
    return made, result


def _only_needed(graph: Graph, routines: Mapping[str, Iterable[str]]) -> Graph:
    result = graph.copy()
    needed = graph.needed(r for roots in routines.values() for r in roots)
    result.families = {n: f for n, f in graph.families.items() if n in needed}
    return result


def _users(graph: Graph, routines: Mapping[str, tuple[str, ...]]) -> dict[str, frozenset[str]]:
    """The routines that need each family."""
    users: dict[str, set[str]] = {name: set() for name in graph.families}
    for routine, roots in routines.items():
        for name in graph.needed(roots):
            users[name].add(routine)
    for name, family in graph.families.items():  # where its values are, it is computed too
        if family.role == "slope":
            users[name].update(set.intersection(*(users[source] for source in family.sources)))
    return {name: frozenset(u) for name, u in users.items()}


# ------------------------------------------------------------------------------------------------------- scalars


def _hoist_scalars(graph: Graph) -> Graph:
    """What is the same at every index is computed once, in a family without axes; division by it is multiplication."""
    result = graph.copy()
    result.families = {}
    known: dict[Expression, Load] = {}

    def hoisted(value: Expression) -> Load:
        if value not in known:
            # No name of a file has a space in it.
            known[value] = result.add(Family(f"scalar {len(known) + 1}", (), value, role="term"))
        return known[value]

    for name, family in graph.families.items():
        if family.axes or family.reduction is not None:
            family = _without_scalars(family, hoisted)
        result.families[name] = family
    return result


def _without_scalars(family: Family, hoisted) -> Family:  # type: ignore[no-untyped-def]
    free: set[Expression] = set()  # of all indices
    loading: set[Expression] = set()
    for node in postorder(family.body):
        if not isinstance(node, Axis) and all(c in free for c in node.children):
            free.add(node)
            if isinstance(node, Load) or any(c in loading for c in node.children):
                loading.add(node)
    scalar = {n for n in loading if n.type == "real" and isinstance(n, Apply)}
    divides = any(
        isinstance(n, Apply) and n.function == "/" and n.arguments[1] in free for n in postorder(family.body)
    )
    if not scalar and not divides:
        return family
    done: dict[Expression, Expression] = {}
    for node in postorder(family.body):
        match node:
            case Apply(function="/", arguments=(x, divisor)) if divisor in loading and node not in free:
                done[node] = apply("*", done[x], hoisted(apply("/", real(1), divisor)))
                continue
        children = tuple(
            hoisted(c) if c in scalar and node not in scalar and _is_costly(c) else done[c]
            for c in node.children
        )
        done[node] = node if children == node.children else node.with_children(children)
    body = done[family.body]
    if family.body in scalar and family.axes and _is_costly(family.body):
        body = hoisted(family.body)
    return replace(family, body=body)


def _is_costly(node: Expression) -> bool:
    return not isinstance(node, Load)


# -------------------------------------------------------------------------------------------------------- inlining


def _made_by(graph: Graph, users: Mapping[str, frozenset[str]]) -> dict[str, str]:
    """For each family, the first of its cluster."""
    return {m: c.members[0] for c in grouped(graph, users)[1] for m in c.members}


def _inline(graph: Graph, routines: Mapping[str, tuple[str, ...]], home: Mapping[str, str]) -> Graph:
    """Put elementwise families that are read once, at no more index points than they have, into their reader.

    Those that are computed by the kernel that makes what they read stay there. What a routine is for is computed by itself there,
    and by its reader in the other routines.
    """
    users = _users(graph, routines)
    readers = graph.readers()
    result = graph.copy()
    for name in list(graph.families):
        family = result.families[name]
        if family.reduction is not None or home[name] != name or len(readers.get(name, ())) != 1:
            continue
        (reader,) = readers[name]
        wanted = [routine for routine, roots in routines.items() if name in roots]
        if reader == name or users[reader].intersection(wanted):
            continue
        target = result.families[reader]
        loads = [load for load in target.loads if load.array == name]
        if len(loads) != 1 or home[reader] == name or not (family.axes or not target.axes):
            continue
        if _points(target) > _points(family) or _size(family) + _size(target) > _LONGEST:
            continue
        if any(name in _arrays_in(other.subscripts) for other in target.loads):
            continue
        (load,) = loads
        mapping: dict[Expression, Expression] = dict(zip(family.axes, load.subscripts, strict=True))
        value = substitute(family.body, mapping)

        def put(node: Expression, load: Load = load, value: Expression = value) -> Expression | None:
            return value if node == load else None

        reduction = target.reduction
        elsewhere = (*reduction.where, *(e for _, e in reduction.scatter)) if reduction else ()
        if name in _arrays_in(elsewhere):
            continue
        result.families[reader] = replace(target, body=rebuild(target.body, put))
        for source in family.sources:
            again = [name] if wanted else []
            readers[source] = [
                r for old in readers[source] for r in ([reader, *again] if old == name else [old])
            ]
            readers[source] = list(dict.fromkeys(readers[source]))
        if wanted:
            readers[name] = []
        else:
            del result.families[name]
    return result


def _arrays_in(roots: Iterable[Expression]) -> set[str]:
    return {n.array for n in postorder(*roots) if isinstance(n, Load)}


def _points(family: Family) -> float:
    """Index points of a family; a batch counts as one that is larger than any extent."""
    axes = family.axes + (family.reduction.axes if family.reduction else ())
    return math.prod(1e9 if a == BATCH else a.size for a in axes)


def _size(family: Family) -> int:
    return len(postorder(family.body))
