"""The graph as a reader of textbooks knows it: one equation per family and per weight.

In: a graph (the backward equations need gradient.py's; they are derived here where they are missing).
Out: `Equation`s, each with its text and its LaTeX.

    forward_equations(graph)     h[j] = tanh(Σ_{i: 0 ≤ i − j < 2} w[i − j] · x[i])
    gradient_equations(graph)    ∂E/∂w[k] = Σ_{batch, i, j: i − j = k} ∂E/∂h[j] · (1 − h[j]²) · x[i]

E is the loss. The batch is implicit, as in .dln: only a sum over it mentions it, and |batch| is its size. A sum that the
elaborator lifted out of a body, and a derivative of one, is printed inside of the equation that uses it when it is used once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from ..mathematics.affine import linear
from ..mathematics.expression import BATCH, Apply, Axis, Constant, Expression, Load, Lookup, new_axis
from ..mathematics.graph import Family, Graph
from ..mathematics.walks import axes_in, postorder, substitute
from ..passes.gradient import derivative_name, differentiate
from .indicators import fold_indicators
from .latex import LatexTypesetter
from .notation import Notation
from .notation_terms import Term
from .tidy_sums import guards, is_linear_equality, solve_single, without_implied
from .typeset import Typesetter

#: What the elaborator calls the indices of an array whose declaration names none.
_UNNAMED = ("i", "j", "k", "l", "m", "n", "batch")

#: Families are printed inside of each other at most so deep.
_DEPTH = 6


@dataclass(frozen=True)
class Equation:
    """`name` is the family, or the weight or family that a derivative belongs to."""

    name: str
    left: Term
    right: Term
    notation: Notation

    @cached_property
    def text(self) -> str:
        right, definitions = Typesetter().write(self.right, self.notation)
        where = "".join(f"\n    where {name} = {value}" for name, value in definitions)
        return f"{Typesetter().line(self.left)} = {right}{where}"

    @cached_property
    def latex(self) -> str:
        right, definitions = LatexTypesetter().write(self.right, self.notation)
        where = "".join(rf", \quad {name} = {value}" for name, value in definitions)
        return f"{LatexTypesetter().line(self.left)} = {right}{where}"

    def __str__(self) -> str:
        return self.text


def forward_equations(graph: Graph) -> list[Equation]:
    """One equation per layer, let, loss and metric, in the order of computation."""
    writer = _Writer(graph)
    families = [f for f in graph.families.values() if f.role not in ("gradient", "update")]
    return [writer.equation(f) for f in families if f.name not in writer.inlined and not _is_winner(f)]


def gradient_equations(graph: Graph) -> list[Equation]:
    """One equation ∂E/∂… per family, from the loss backwards, then one per weight.

    An empty list where the network has no loss.
    """
    if graph.loss is None:
        return []
    if not graph.gradients:
        graph = differentiate(graph)
    graph = fold_indicators(graph)
    writer = _Writer(graph, factoring=True)
    families = [f for f in graph.families.values() if f.role == "gradient" and f.name not in writer.inlined]
    order = {name: n for n, name in enumerate([*reversed(graph.families), *graph.arrays])}
    families.sort(key=lambda f: order.get(f.of, 0))
    return [writer.equation(f) for f in families]


def _is_winner(family: Family) -> bool:
    """The arg-max that goes with a max, which only its gradient needs."""
    return family.role == "term" and family.type == "integer"


class _Writer:
    """Turns families into terms, with readable names for their indices."""

    def __init__(self, graph: Graph, factoring: bool = False):
        self.graph = graph
        self.notation = Notation(factoring)
        names = {*graph.families, *graph.arrays}
        self.loss = next((n for n in ("E", "L", "Loss") if n not in names), "E")
        self.shown = {family: metric for metric, family in graph.metrics.items()}
        self.inlined = _printed_inside(graph)
        self.labels: dict[Axis, str] = {}

    def equation(self, family: Family) -> Equation:
        self.label(family)
        names = self.named({}, family.axes)
        left = self.reference(family.name, [self.index(a, names) for a in family.axes if a != BATCH])
        name = family.of if family.role == "gradient" else family.name
        return Equation(name, left, self.family(family, names), self.notation)

    def label(self, family: Family) -> None:
        """Choose names for indices that have none of their own in the file."""
        if family.role == "gradient" and family.of in self.graph.families:
            forward = self.graph.families[family.of]
            self.label(forward)
            names = [self.labels.get(axis, axis.name) for axis in forward.axes]
            if set(names) & self.bound_in(family):  # then rather i than j′
                names = [axis.name for axis in forward.axes]
            self.labels.update(zip(family.axes, names, strict=True))
        elif family.role == "gradient":
            self.labels.update(zip(family.axes, self.weight_labels(family), strict=True))
        else:  # h[i] = tanh(h.y[i]), where the block that gives h.y calls its index j: call it so here too
            for load in family.loads:
                inner = self.graph.families.get(load.array)
                if inner is not None and _is_step_of(family, load):
                    self.labels.update(zip(family.axes, (a.name for a in inner.axes), strict=True))

    def bound_in(self, family: Family) -> set[str]:
        """Names of the indices summed over in the family's equation."""
        inside = [self.graph.families[load.array] for load in family.loads if load.array in self.inlined]
        return {a.name for f in (family, *inside) if f.reduction for a in f.reduction.axes if a != BATCH}

    def weight_labels(self, family: Family) -> list[str]:
        """Names for the indices of ∂E/∂weight: those that its subscripts have in the equations, else k, l, m, …"""
        loads = [
            load
            for other in self.graph.families.values()
            if other.role != "gradient"
            for load in other.loads
            if load.array == family.of
        ]
        bound = self.bound_in(family)
        labels: list[str] = []
        for position, axis in enumerate(family.axes):
            found = [load.subscripts[position] for load in loads]
            known = next((s.name for s in found if isinstance(s, Axis) and s.name not in labels), None)
            own = axis.name if axis.name not in _UNNAMED and not re.fullmatch(r"k\d+", axis.name) else None
            fresh = next(letter for letter in "klmnpqrs" if letter not in {*labels, *bound})
            labels.append(known or own or fresh)
        return labels

    def named(self, outer: dict[Axis, str], axes: Iterable[Axis]) -> dict[Axis, str]:
        """Names for more indices: their own, with primes where a visible index has the same."""
        names = dict(outer)
        for axis in axes:
            name = self.labels.get(axis, axis.name)
            while axis != BATCH and name in names.values():
                name += "′"
            names[axis] = name
        return names

    def index(self, axis: Axis, names: dict[Axis, str]) -> Term:
        return self.notation.symbol(names.get(axis, axis.name))

    def reference(self, name: str, subscripts: list[Term]) -> Term:
        """A family or array at subscripts; derivatives as ∂E/∂…"""
        family = self.graph.families.get(name)
        if name == self.graph.loss:
            return self.notation.symbol(self.loss)
        if family is not None and family.role == "gradient":
            return self.notation.make("partial", f"{self.loss}/{family.of}", *subscripts)
        return self.notation.symbol(self.shown.get(name, name), *subscripts)

    # --------------------------------------------------------------------------------------------- families

    def family(self, family: Family, names: dict[Axis, str]) -> Term:
        """The right-hand side of a family whose axes are named."""
        if family.reduction is None:
            return self.term(family.body, names)
        reduction = family.reduction
        return self.reduced(reduction.kind, list(reduction.axes), list(reduction.where), family.body, names)

    def instance(self, family: Family, subscripts: tuple[Expression, ...], names: dict[Axis, str]) -> Term:
        """The family's right-hand side at subscripts, to stand inside of another equation."""
        mapping: dict[Expression, Expression] = dict(zip(family.axes, subscripts, strict=True))
        if family.reduction is None:
            return self.term(substitute(family.body, mapping), names)
        reduction = family.reduction
        axes = [a if a == BATCH else new_axis(a.name, a.size) for a in reduction.axes]
        mapping.update(zip(reduction.axes, axes, strict=True))
        where = [substitute(c, mapping) for c in reduction.where]
        return self.reduced(reduction.kind, axes, where, substitute(family.body, mapping), names)

    def reduced(
        self, kind: str, axes: list[Axis], where: list[Expression], body: Expression, outer: dict[Axis, str]
    ) -> Term:
        if kind == "sum":
            axes, where, body = solve_single(self.graph, axes, where, body)
        where = without_implied(self.graph, where)
        where.sort(key=lambda c: not is_linear_equality(c))
        tied = axes_in(*(c for c in where if is_linear_equality(c)))
        order = [BATCH, *(tied if {*axes} <= {BATCH, *tied} else ()), *axes]
        axes = sorted(axes, key=order.index)
        names = self.named(outer, axes)
        conditions = [self.condition(c, names) for c in where]
        indices = [self.index(a, names) for a in axes]
        return self.notation.reduction(kind, indices, conditions, self.term(body, names))

    def condition(self, condition: Expression, names: dict[Axis, str]) -> Term:
        """A condition; that an index point is the winner of a maximum is written (v, u) = argmax …"""
        if isinstance(condition, Apply) and condition.function == "==":
            position, winner = condition.arguments
            family = self.graph.families.get(winner.array) if isinstance(winner, Load) else None
            if family is not None and _is_winner(family):
                form = linear(position)
                members = sorted(form.coefficients, key=lambda a: -form.coefficients[a])
                terms = [self.term(m, names) for m in members]
                left = terms[0] if len(terms) == 1 else self.notation.make("tuple", None, *terms)
                return self.notation.make("relation", ("==",), left, self.term(winner, names))
        return self.term(condition, names)

    # ------------------------------------------------------------------------------------------ expressions

    def term(self, root: Expression, names: dict[Axis, str]) -> Term:
        done: dict[Expression, Term] = {}
        for node in postorder(root):
            done[node] = self.node(node, [done[c] for c in node.children], names)
        return done[root]

    def node(self, node: Expression, children: list[Term], names: dict[Axis, str]) -> Term:
        notation = self.notation
        match node:
            case Constant(value=value):
                return (
                    notation.symbol(str(value).lower()) if isinstance(value, bool) else notation.number(value)
                )
            case Axis():
                return self.index(node, names)
            case Load(array=name, subscripts=subscripts):
                if name in self.inlined:
                    return self.instance(self.graph.families[name], subscripts, names)
                shown = [c for c, s in zip(children, subscripts, strict=True) if s != BATCH]
                return self.reference(name, shown)
            case Lookup(table=name):
                return notation.make("lookup", name, *children)
            case Apply(function="select", arguments=(condition, Load() as load, _)) if (
                load.array not in self.inlined and guards(condition, load)
            ):
                place = self.node(load, [self.term(s, names) for s in load.subscripts], names)
                if place.kind == "symbol":
                    return notation.make("guarded", place.value, *place.children, children[2])
            case Apply():
                pass
            case _:
                raise TypeError(node)
        match node.function, children:
            case "+", [a, b]:
                return notation.sum(a, b)
            case "-", [a, b]:
                return notation.sum(a, notation.negative(b))
            case "neg", [a]:
                return notation.negative(a)
            case "*", [a, b]:
                return notation.product(a, b)
            case "/", [a, b]:
                return notation.quotient(a, b)
            case "^", [a, b] if b.kind == "number":
                return notation.power(a, b.value)  # type: ignore[arg-type]
            case "exp", [a]:
                return notation.make("apply", "exp", a)
            case (("max" | "min"), [a, b]):
                return notation.extreme(node.function, a, b)
            case "real", [a]:
                return notation.bracket(a) if node.arguments[0].type == "boolean" else a
            case "select", [c, a, b]:
                return notation.select(c, a, b)
            case "not", [a]:
                return notation.negated(a)
            case (("<" | "<=" | ">" | ">=" | "==" | "!="), [a, b]):
                return notation.relation(node.function, a, b)
        return notation.make("apply", node.function, *children)


def _is_step_of(family: Family, load: Load) -> bool:
    """Index by index, out of a block of the family: h.y[j] in h[j] = tanh(h.y[j])."""
    same = load.subscripts == family.axes and family.reduction is None
    return same and load.array.startswith(f"{family.name}.")


def _is_plain(family: Family) -> bool:
    """A derivative that is as simple as 1/|batch|, or is another one: it is written wherever it is used."""
    if family.role != "gradient" or family.reduction is not None:
        return False
    if isinstance(family.body, Load) and family.body.subscripts == family.axes:
        return True
    return not family.axes and all(load.array == "batch_size" for load in family.loads)


def _printed_inside(graph: Graph) -> set[str]:
    """The families that are printed inside of the one equation that uses them."""
    users: dict[str, int] = {}
    steps: set[str] = set()
    for family in graph.families.values():
        steps.update(load.array for load in family.loads if _is_step_of(family, load))
        for expression in family.expressions:
            if isinstance(expression, Load):
                users[expression.array] = users.get(expression.array, 0) + 1
            for node in postorder(expression):
                for child in set(node.children):
                    if isinstance(child, Load):
                        users[child.array] = users.get(child.array, 0) + 1
    kept = {
        *graph.outputs,
        *graph.metrics.values(),
        *graph.gradients.values(),
        *graph.updates.values(),
        graph.loss,
    }
    inside: set[str] = set()
    depth: dict[str, int] = {}
    for family in graph.families.values():
        deepest = max((depth.get(s, 0) for s in family.sources), default=0)
        owner = graph.families.get(family.of)
        lifted = family.role == "term" or (
            family.role == "gradient"
            and (family.name != derivative_name(family.of) or (owner is not None and owner.role == "term"))
        )
        # The net input of a dense layer is a step of its own only where its derivative is of interest.
        inner = family.name in steps and family.role == "let" and not graph.gradients
        once = (lifted or inner) and users.get(family.name) == 1
        plain = _is_plain(family) and (owner is None or owner.role != "layer")
        if (once or plain) and family.name not in kept and deepest < _DEPTH:
            inside.add(family.name)
            depth[family.name] = deepest + 1
    # What has an equation for its derivative has one for its value.
    return {
        name
        for name in inside
        if derivative_name(name) not in graph.families or derivative_name(name) in inside
    }
