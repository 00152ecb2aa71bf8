"""One step of a recurrence as a network of its own: what generation of text carries on from token to token.

In: the graph of a network whose sequences are one step long (`T = 1`).  Out: the graph with states in the place of what lies
before the first step.

    h[t] = tanh(Σ_k U[k, j] · (h[t − 1, k] if 0 ≤ t − 1 else 0) + …)
    →  h[t] = tanh(Σ_k U[k, j] · (past[k] if started ≥ 1 else 0) + …),   past ← h,   started ← started + 1

A step then costs the same however long the text is. Only what is delayed by a fixed number of steps can be carried so; whoever
uses the result compares it with the whole sequence (runtime/generation.py).
"""

from __future__ import annotations

from dataclasses import replace

from .mathematics.affine import bounds, proves
from .mathematics.expression import BATCH, Apply, Expression, Load, apply, integer, new_axis, real
from .mathematics.graph import Array, Family, Graph, Initializer, Reduction
from .mathematics.walks import postorder, rebuild

#: The state that counts steps. (No name of a file has a space in it.)
STARTED = "steps done"


class CannotStep(ValueError):
    """The network reads something that lies ahead, or not at a fixed distance."""


def step_graph(graph: Graph) -> Graph:
    """The graph of one step; its updates are those of the states that it adds. Raises CannotStep."""
    work = _Stepping(graph)
    for name in graph.needed(graph.outputs):
        work.family(graph.families[name])
    if not work.delays:
        raise CannotStep("nothing is carried from step to step")
    return work.finished()


class _Stepping:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.result = graph.copy(updates={}, loss=None, metrics={}, gradients={})
        #: Family → the longest delay at which it is read.
        self.delays: dict[str, int] = {}

    def family(self, family: Family) -> None:
        """The family with its delayed loads read from states."""
        if not any(self.delay(load) for load in family.loads):
            return
        if family.reduction is not None and any(
            self.delay(n) for c in family.reduction.where for n in postorder(c) if isinstance(n, Load)
        ):
            raise CannotStep(f"'{family.name}' asks for what is delayed in a condition")
        self.result.families[family.name] = replace(family, body=self.body(family.body))

    def body(self, root: Expression) -> Expression:
        def rule(node: Expression) -> Expression | None:
            match node:
                case Load():
                    return self.past(node)
                case Apply(function="select", arguments=(condition, then, otherwise)):
                    delay = self._delay_of_states(then)
                    if delay and self.never(condition):
                        started = apply(">=", Load(STARTED), real(delay))
                        return apply("select", started, then, otherwise)
            return None

        return rebuild(root, rule)

    def never(self, condition: Expression) -> bool:
        """Whether one of the conditions cannot hold, as 0 ≤ t − 1 with t = 0."""
        if isinstance(condition, Apply) and condition.function == "and":
            return any(self.never(a) for a in condition.arguments)
        return proves(condition, self.graph) is False

    def delay(self, load: Load) -> int:
        """How many steps before this one a family is read: 0 for what is read now."""
        extents = self.graph.extents_of(load.array)
        found = 0
        for subscript, extent in zip(load.subscripts, extents, strict=True):
            reach = None if extent is None else bounds(subscript, self.graph)
            if reach is None or extent is None or (reach[0] >= 0 and reach[1] < extent):
                continue
            if reach[0] != reach[1] or reach[1] >= 0 or extent != 1 or found:
                raise CannotStep(f"'{load.array}' is not read at a fixed distance behind")
            found = -reach[0]
        return found

    def past(self, load: Load) -> Load | None:
        delay = self.delay(load)
        if not delay:
            return None
        if load.array not in self.graph.families or load.type != "real":
            raise CannotStep(f"'{load.array}' is no family of real numbers")
        self.delays[load.array] = max(delay, self.delays.get(load.array, 0))
        places = [
            integer(0) if (reach := bounds(s, self.graph)) is not None and reach[1] < 0 else s
            for s in load.subscripts
            if s != BATCH
        ]
        return Load(_past_name(load.array, delay), tuple(places))

    def _delay_of_states(self, root: Expression) -> int:
        """The longest delay of the states that an expression reads."""
        names = [n.array for n in postorder(root) if isinstance(n, Load)]
        return max((int(n.rsplit(" ", 1)[1]) for n in names if " steps ago " in n), default=0)

    def finished(self) -> Graph:
        """The graph with the states and their updates."""
        result = self.result
        one = real(1)
        result.arrays[STARTED] = Array(STARTED, "state", (), initializer=Initializer((), real(0)))
        result.add(Family(f"{STARTED}.next", (), Load(STARTED) + one, role="update", of=STARTED))
        result.updates[STARTED] = f"{STARTED}.next"
        for name, longest in self.delays.items():
            source = self.graph.families[name]
            for delay in range(1, longest + 1):
                state = _past_name(name, delay)
                axes = tuple(new_axis(a.name, a.size) for a in source.axes if a != BATCH)
                extents = tuple(a.size for a in axes)
                result.arrays[state] = Array(state, "state", extents, initializer=Initializer(axes, real(0)))
                before = Load(_past_name(name, delay - 1), axes)
                reduction = None
                if delay == 1 and source.batched:  # of the one sample that there is
                    before, reduction = Load(name, (BATCH, *axes)), Reduction("sum", (BATCH,))
                elif delay == 1:
                    before = Load(name, axes)
                update = Family(f"{state}.next", axes, before, reduction, "update", state)
                result.add(update)
                result.updates[state] = update.name
        return result


def _past_name(name: str, delay: int) -> str:
    return f"{name} steps ago {delay}"
