"""Where a term is built into the graph, and what building gives.

In: nothing.  Out: `Scene`, `Value`, and `Workshop`, the base of the parts of the emitter: axes, sizes, messages, the walk.

The tree is walked with a stack of generators instead of recursion: long sums make deep trees. A part of the emitter asks for
the value of a term by yielding it:

    left, conditions = yield term.arguments[0], scene
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import field

from ..mathematics.expression import (
    Axis,
    Expression,
    Load,
    apply,
    conjunction,
    integer,
    new_axis,
    real,
    select,
)
from ..mathematics.graph import Array, Graph
from ..mathematics.walks import own_postorder
from ..record import record
from ..source import NOWHERE, Note, Span, did_you_mean
from .ranges import Fact, Prover, fact_of
from .state import ElaborationState
from .targets import Instance, Target, Unit
from .terms import Draw, Index, SizeVariable

#: Entries of one array or family.
MEMORY_LIMIT = 2**33

#: What explains a size that a mistake has left open.
POISONED = (NOWHERE, "poison")

#: An expression, and the conditions under which its connections exist.
Value = tuple[Expression, tuple[Expression, ...]]
Steps = Generator[tuple[Expression, "Scene"], Value, Value]
Calls = tuple[tuple[Span, str], ...]


class Abandon(Exception):
    """A unit cannot be built; why has been reported."""


@record(frozen=False, eq=False)
class Scene:
    """The facts that hold where a term stands, the family that it belongs to, the axes in reach in order.

    `outer`: facts from outside the reduction; a proof that uses one adds it to the reduction's conditions (`used`), since
    the reduction becomes a family that is computed everywhere. `instance`: the block whose body the term is in.
    """

    family: str
    axes: tuple[Axis, ...]
    facts: tuple[Fact, ...] = ()
    reducing: bool = False
    outer: frozenset[Fact] = frozenset()
    used: dict[Fact, None] = field(default_factory=dict)
    instance: Instance | None = None

    def within(self, conditions: Sequence[Expression], graph: Graph) -> Scene:
        """The scene where further conditions hold."""
        if not conditions:
            return self
        known = (*self.facts, *(fact_of(c, graph) for c in conditions))
        return Scene(self.family, self.axes, known, self.reducing, self.outer, self.used, self.instance)


def existing(value: Expression, conditions: Sequence[Expression]) -> Expression:
    """A product whose connections may be missing: 0 there."""
    if not conditions:
        return value
    if value.type == "boolean":
        return apply("and", conjunction(conditions), value)
    return select(conjunction(conditions), value, integer(0) if value.type == "integer" else real(0))


class Workshop:
    """What the parts of the emitter share."""

    def __init__(self, state: ElaborationState, graph: Graph) -> None:
        self.sizes = state.sizes
        self.reporter = state.reporter
        self.graph = graph
        self.prover = Prover(graph)
        self.axes: dict[Index, Axis] = {}
        self.done: dict[tuple[Expression, Scene], Value] = {}
        self.table_names: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self.calls: Calls = ()
        #: The axes of the unit that is being built, and what has been drawn in it.
        self.own_axes: tuple[Axis, ...] = ()
        self.drawn_already: dict[Draw, Load] = {}
        self.undetermined: set[SizeVariable] = set()
        #: Names that could be meant where a size is unknown.
        self.size_names: list[str] = []
        #: Conditions that come from the `where` of a bound call, softmax[s where …], with the block in which they matter;
        #: and units of that block of which entries are left out.
        self.masks: dict[Expression, Instance] = {}
        self.masked_units: dict[Unit, tuple[Expression, ...]] = {}

    def report(
        self,
        code: str,
        message: str,
        span: Span,
        label: str = "",
        notes: Sequence[Note] = (),
        help: str = "",
        calls: Calls | None = None,
    ) -> None:
        self.reporter.error(code, message, span, label, notes, help, self.calls if calls is None else calls)

    def steps(self, term: Expression, scene: Scene) -> Steps:
        """How a term is built."""
        raise NotImplementedError

    def build(self, term: Expression, scene: Scene) -> Value:
        """The expression of a term, and the conditions under which its connections exist."""
        if (term, scene) in self.done:
            return self.done[term, scene]
        stack: list[tuple[Steps, tuple[Expression, Scene]]] = [(self.steps(term, scene), (term, scene))]
        answer: Value | None = None
        while stack:
            steps, key = stack[-1]
            try:
                wanted = steps.send(answer) if answer is not None else next(steps)
            except StopIteration as finished:
                stack.pop()
                answer = self.done[key] = finished.value
                continue
            answer = self.done.get(wanted)
            if answer is None:
                stack.append((self.steps(*wanted), wanted))
        assert answer is not None
        return answer

    def clock(self, name: str) -> Load:
        """A number that the runtime supplies; it is an array of the graph once something reads it."""
        self.graph.arrays.setdefault(name, Array(name, "clock", (), type="integer"))
        return Load(name, (), "integer")

    # ------------------------------------------------------------------------------------------- sizes

    def axis(self, index: Index) -> Axis:
        """The axis of an index, with its extent."""
        found = self.axes.get(index)
        if found is None:
            size = self.known_size(index.size, index.span, f"the size of the index '{index.name}'", index)
            found = self.axes[index] = new_axis(index.name, size)
        return found

    def known_size(self, size: Expression, span: Span, what: str, index: Index | None = None) -> int:
        """A size as a number. Raises Abandon, after a message, where it is unknown or impossible."""
        number = self.sizes.number(size)
        if number is None:
            self.unknown(self.sizes.reduced(size), span, what, index)
            raise Abandon
        if not isinstance(number, int) or number < 1:
            shown = f"{number:,}" if isinstance(number, int) else f"{number:g}"
            text = "a size must be at least 1" if isinstance(number, int) else "a size must be a whole number"
            self.report("E302", f"{text}, and {what} is {shown}", span)
            raise Abandon
        return number

    def unknown(self, size: Expression, span: Span, what: str, index: Index | None) -> None:
        """Report a size that nothing determines, each variable once."""
        variables = [n for n in own_postorder(size) if isinstance(n, SizeVariable)]
        if any(v in self.undetermined for v in variables) or any(v.because == POISONED for v in variables):
            return
        self.undetermined.update(variables)
        if index is not None and not index.declared:
            near = did_you_mean(index.name, self.size_names)
            help = near or f"give it a size: {index.name}: 10"
            self.report(
                "E301", f"the size of the index '{index.name}' cannot be inferred", index.span, help=help
            )
            return
        name = variables[0].name if variables else "?"
        if self.calls:
            block = self.calls[-1][1]
            help = f"write the size at the left, as in layer h[10] = …, or name it in the call: {name} = 10"
            self.report("E301", f"the size '{name}' of '{block}' cannot be inferred", span, help=help)
        else:
            self.report("E301", f"{what} cannot be inferred", span, help="write it as a number or a param")

    def check_memory(self, target: Target, extents: Sequence[int]) -> None:
        """Refuse what would not fit into any memory, before anything is allocated."""
        total = 1
        for extent in extents:
            total *= extent
        if total > MEMORY_LIMIT:
            shape = "[" + ", ".join(str(e) for e in extents) + "]"
            self.report(
                "E305",
                f"'{target.label}{shape}' would have {total:,} entries; {MEMORY_LIMIT:,} are the limit",
                target.span,
            )
            raise Abandon
