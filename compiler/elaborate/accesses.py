"""Accesses become loads: rules 2 and 3 of the language.

In: `Access` and `TableAccess` terms.  Out: loads and lookups; conditions under which connections exist; selects for `else`.

    w[i - j]                    Load("w", (i − j,)) under 0 ≤ i − j, i − j < 2        (rule 2)
    image[2*y + v - 2 else -1]  select(0 ≤ s and s < 16, Load("image", (s,)), −1)     (rule 3)
    x[i + 1]                    E303, where i + 1 can be the extent of x

What can be proved is no condition.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..mathematics.affine import bounds, normalise, proves
from ..mathematics.expression import (
    BATCH,
    FALSE,
    TRUE,
    Axis,
    Constant,
    Expression,
    Load,
    Lookup,
    apply,
    conjunction,
    integer,
    real,
    select,
)
from ..mathematics.graph import Table
from ..mathematics.walks import conjuncts, substitute
from ..source import Note, Span
from . import messages
from .ranges import opposite
from .report import is_built_in
from .scene import Abandon, Scene, Steps, Workshop
from .tables import StaticTable
from .targets import Instance, Slot, Target, Unit, View
from .terms import Access, SizeVariable, TableAccess


class Accesses(Workshop):
    """Builds loads. Part of `Emitter`."""

    def access(self, term: Access, scene: Scene) -> Steps:
        target: Target = term.target
        subscripts = list(term.subscripts)
        places = list(term.places)
        masks: list[tuple[View, list[Expression]]] = []
        while isinstance(target, View):
            subscripts = [*target.prefix, *subscripts]
            places = [term.span] * len(target.prefix) + places if places else places
            if target.mask != TRUE:
                masks.append((target, list(subscripts)))
            target = target.base
        target = target.final
        if isinstance(target, Slot) and target.kind == "clock":
            return self.clock(target.name), ()
        built: dict[Expression, Expression] = {}
        conditions: dict[Expression, None] = {}
        for subscript in subscripts:
            value, own = yield subscript, scene
            built[subscript] = normalise(value)
            conditions.update(dict.fromkeys(own))
        values = [built[s] for s in subscripts]
        for view, inner in masks:
            # The mask speaks of the view's own indices; here it is asked at the subscripts.
            mask, own = yield view.mask, scene
            mapping: dict[Expression, Expression] = {
                self.axis(i): built[s] for i, s in zip(view.mask_indices, inner, strict=True)
            }
            assert view.instance is not None
            self.add_masks((*conjuncts(substitute(mask, mapping)), *own), view.instance, scene, conditions)
        if isinstance(target, Unit) and (hidden := self.masked_units.get(target)):
            instance = self.masks[hidden[0]]
            if _within(scene.instance, instance):
                mapping = {self.axis(i): v for i, v in zip(target.indices, values, strict=True)}
                self.add_masks([substitute(c, mapping) for c in hidden], instance, scene, conditions)
        batched = isinstance(target, Slot | Unit) and target.batched
        load = Load(target.name, (BATCH, *values) if batched else tuple(values), target.type)
        extents = [self.known_size(s, target.span, f"the size of '{target.label}'") for s in target.sizes]
        is_weight = isinstance(target, Slot) and target.kind == "weight"
        missing = self.missing(
            term, target, values, extents, places, scene, weight=is_weight and term.otherwise is None
        )
        if isinstance(target, Slot) and is_weight and target.where != TRUE:
            mapping = {self.axis(i): v for i, v in zip(target.indices, values, strict=True)}
            where, _ = yield target.where, scene
            for condition in conjuncts(substitute(where, mapping)):
                if proves(condition, self.graph) is not True:
                    conditions[condition] = None
        if term.otherwise is not None:
            other, own = yield (
                term.otherwise,
                scene.within([opposite(conjunction(missing))] if missing else [], self.graph),
            )
            conditions.update(dict.fromkeys(own))
            if missing:
                if other.type != load.type:
                    other = apply("real", other) if other.type != "real" else other
                    return select(
                        conjunction(missing), apply("real", load) if load.type != "real" else load, other
                    ), tuple(conditions)
                return select(conjunction(missing), load, other), tuple(conditions)
        elif is_weight:
            conditions.update(dict.fromkeys(missing))
        return load, tuple(conditions)

    def add_masks(
        self,
        masks: Sequence[Expression],
        instance: Instance,
        scene: Scene,
        conditions: dict[Expression, None],
    ) -> None:
        """Conditions under which an entry of a masked array is there at all."""
        for mask in masks:
            if proves(mask, self.graph) is not True and not any(mask == f.condition for f in scene.facts):
                self.masks[mask] = instance
                conditions[mask] = None

    def table(self, term: TableAccess, scene: Scene) -> Steps:
        values: list[Expression] = []
        conditions: dict[Expression, None] = {}
        for subscript in term.subscripts:
            value, own = yield subscript, scene
            values.append(normalise(value))
            conditions.update(dict.fromkeys(own))
        table = term.table
        holder = Target("the table", span=table.span)
        missing = self.missing(
            term, holder, values, list(table.values.shape), list(term.places), scene, weight=False
        )
        found: Expression
        if all(isinstance(v, Constant) for v in values) and not missing:
            place = tuple(int(v.value) for v in values if isinstance(v, Constant))
            entry = table.values[place]
            found = integer(int(entry)) if table.type == "integer" else real(float(entry))
        else:
            found = Lookup(self.table_name(table), tuple(values), table.type)
        if term.otherwise is not None and missing:
            other, own = yield term.otherwise, scene
            conditions.update(dict.fromkeys(own))
            if other.type != found.type:
                found, other = (x if x.type == "real" else apply("real", x) for x in (found, other))
            return select(conjunction(missing), found, other), tuple(conditions)
        return found, tuple(conditions)

    def table_name(self, table: StaticTable) -> str:
        """The table's name in the graph; equal tables are stored once."""
        key = (table.values.dtype.str, table.values.shape, table.values.tobytes())
        if key not in self.table_names:
            name, number = table.label, 1
            while name in self.graph.tables:
                number += 1
                name = f"{table.label}_{number}"
            self.table_names[key] = name
            self.graph.tables[name] = Table(name, table.values, table.span)
        return self.table_names[key]

    def missing(
        self,
        term: Access | TableAccess,
        target: Target,
        values: list[Expression],
        extents: list[int],
        places: list[Span],
        scene: Scene,
        weight: bool,
    ) -> list[Expression]:
        """The conditions of being in range that are not proved; a message where there is no way out."""
        out: list[Expression] = []
        for n, (value, extent) in enumerate(zip(values, extents, strict=True)):
            left, used = self.prover.unproved(value, extent, scene.facts)
            for fact in used:
                if fact in scene.outer:
                    scene.used[fact] = None
            if not left:
                continue
            place = places[n] if n < len(places) else term.span
            never = [c for c in left if c == FALSE or proves(c, self.graph) is False]
            if weight:
                if never:
                    self.outside_everywhere(target, value, extent, n, place, term)
                    raise Abandon
            elif term.otherwise is None:
                self.out_of_range(target, value, extent, n, len(extents), place, term)
                raise Abandon
            out.extend(left)
        return out

    def outside_everywhere(
        self, target: Target, value: Expression, extent: int, n: int, place: Span, term: Access | TableAccess
    ) -> None:
        ends = bounds(value, self.graph)
        run = (
            f"runs from {ends[0]:,} to {ends[1]:,}"
            if ends and ends[0] != ends[1]
            else f"is {ends[0]:,}"
            if ends
            else "is outside"
        )
        self.report(
            "E306",
            f"no connection exists: this subscript {run}, and '{target.label}' has {messages.counted(extent, 'entry')} "
            f"(0 to {extent - 1:,})",
            place,
            notes=[Note(target.span, "declared here")],
            calls=term.calls,
            help=f"make '{target.label}' larger, or shift the map",
        )

    def out_of_range(
        self,
        target: Target,
        value: Expression,
        extent: int,
        n: int,
        rank: int,
        place: Span,
        term: Access | TableAccess,
    ) -> None:
        if not term.places and not isinstance(value, Load):
            return  # a whole array: its sizes disagree, which has been reported
        ends = bounds(value, self.graph)
        noun = ("row" if n == 0 else "column") if rank == 2 else "entry"
        where = f" along axis {n + 1}" if rank > 2 else ""
        shown = target.shown or target.label
        label = shown if shown.startswith("the ") else f"'{shown}'"
        text = " ".join(term.span.text.split())
        example = f"{text[:-1]} else 0]" if text.endswith("]") and len(text) < 50 else "x[… else 0]"
        help = f"say what stands outside: {example}"
        if ends is None:
            run = "the subscript can have any value"
        elif isinstance(value, Load) and value.array in self.graph.arrays:
            run = f"the classes of '{value.array}' run from {ends[0]:,} to {ends[1]:,}"
            size = target.sizes[n]
            because = size.because[1] if isinstance(size, SizeVariable) and size.because else ""
            where += f" {because}" if because.startswith("from") else ""
            larger = because.removeprefix("from ") if because.startswith("from") else label
            help = f"write input {value.array}: class[{extent}], or give {larger} {ends[1] + 1:,} units"
        elif ends[0] == ends[1]:
            run = f"the subscript is {ends[0]:,}"
        else:
            run = f"the subscript runs from {ends[0]:,} to {ends[1]:,}"
            if isinstance(value, Axis):
                help = f"let it run over {extent:,} values: [{value.name}: {extent}], or {help}"
        if is_built_in(term.span) and not isinstance(value, Load):
            help = ""
        self.report(
            "E303",
            f"{run}, but {label} has {messages.counted(extent, noun)}{where} (0 to {extent - 1:,})",
            place,
            notes=[Note(target.span, "declared here")] if target.span != place else [],
            help=help,
            calls=term.calls,
        )


def _within(instance: Instance | None, outer: Instance) -> bool:
    """Whether a body lies in the body of a block, or in a block that is used there."""
    while instance is not None:
        if instance is outer:
            return True
        instance = instance.parent
    return False
