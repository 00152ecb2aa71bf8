"""Relayout: a copy of an array in another order of its axes, where a contraction gains more by it than the copy costs.

In: the families of a kernel that reduces.  Out: the same reading copies, and the copies that must be made before.

    ∂w[i, j] = Σ_batch x[batch, i] · ∂y[batch, j]      both lie with the batch innermost: lanes over the batch, and every sum
                                                       of lanes at the end
    ∂w[i, j] = Σ_batch x[batch, i] · ∂y by 1[batch, j] with j innermost in the copy: lanes over j, twice as fast

Every copy that could help is tried on the cost model, but for those that cannot pay for themselves even if all data were near.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import field, replace

from ..kernels.lower_bound import Least
from ..kernels.memory import SIZES, Layout, in_order
from ..kernels.nest import Nest
from ..kernels.nest_builder import Member
from ..kernels.tiling import Choice
from ..mathematics.expression import BATCH, Axis, Load, new_axis
from ..mathematics.graph import Family, Graph
from ..mathematics.walks import rebuild
from ..record import record

#: Kernels of fewer cycles are left as they are.
_WORTH_TRYING = 30_000.0
#: A kernel that takes so many times what it would at best is not improved by copies.
_GOOD_ENOUGH = 1.35
#: Cycles to copy an element, in registers; and to bring a byte from and to the caches.
_TURN = 0.35
_MOVE = 0.06
#: So much of a lower bound is sure: it is found for the axes that the nest has without the copy.
_SURELY = 0.95


@record(frozen=False)
class Relayout:
    """`weigh` gives the plan of a kernel and its cycles, `attempt` about the same of one that may not be made, `least` the lower
    bounds of a nest.  `copies`: the names of those that are made. Layouts and graph know each copy that was tried.
    `capacity`: the extent of the batch."""

    graph: Graph
    layouts: dict[str, Layout]
    build: Callable[[Sequence[Member]], tuple[Nest, tuple[str, ...]]]
    weigh: Callable[[Sequence[Member]], Choice]
    attempt: Callable[[Sequence[Member], str | None], Choice]
    least: Callable[[Nest], Least]
    capacity: int
    copies: set[str] = field(default_factory=set)
    #: What was found for a nest: which of its buffers are copied, and by which subscript.
    known: dict[Nest, list[tuple[int, int]]] = field(default_factory=dict)

    def improve(
        self, members: Sequence[Member], computed: Collection[str] = (), repeats: int = 1
    ) -> tuple[Sequence[Member], list[str]]:
        """The members with the best copies put in, and the names of those that are new (families of the graph).

        For a kernel of a time loop of `repeats` steps: what is `computed` in the loop is not copied.
        """
        first = members[0].family
        if first.reduction is None or first.reduction.scatter or not first.axes:
            return members, []
        nest, buffers = self.build(members)
        if nest in self.known and not computed:
            chosen = [(buffers[b], n) for b, n in self.known[nest]]
        else:
            chosen = self._search(members, computed, repeats)
            if not computed:
                self.known[nest] = [(buffers.index(array), n) for array, n in chosen]
        fresh: list[str] = []
        for key in chosen:
            members = self._reading(members, *key)
            name = self._name(*key)
            if name not in self.copies:
                fresh.append(name)
                self.copies.add(name)
        return members, fresh

    def _search(
        self, members: Sequence[Member], computed: Collection[str], repeats: int
    ) -> list[tuple[str, int]]:
        """The best copies: arrays, and the subscript that is innermost in each copy."""
        choice = self.weigh(members)
        now = choice.cycles
        result: list[tuple[str, int]] = []
        for _ in range(2):  # at most one copy for each of two factors
            best, chosen = now * 0.9, None
            if now < _WORTH_TRYING or now < _GOOD_ENOUGH * choice.ideal:
                break
            trials = []
            for number, key in enumerate(self._candidates(members[0].family)):
                if key[0] not in computed and self._price(key[0]) / repeats <= now - choice.ideal:
                    price = 0.0 if self._name(*key) in self.copies else self._price(key[0]) / repeats
                    trials.append((self._bound(members, *key) + price, number, key, price))
            for bound, _, key, price in sorted(trials):
                if bound >= best:
                    break
                # A copy along the sum is read number by number; one along the results is read in vectors.
                through = None if self._is_summed(members[0].family, *key) else self._name(*key)
                cycles = self.attempt(self._reading(members, *key), through).cycles + price
                if cycles < best:
                    best, chosen = cycles, key
            if chosen is None:
                break
            members = self._reading(members, *chosen)
            now = best
            result.append(chosen)
        return result

    def _bound(self, members: Sequence[Member], array: str, innermost: int) -> float:
        """Cycles that the members take at least if they read a copy, which is not made for that."""
        family = members[0].family
        nest, buffers = self.build(members)
        places = {load.subscripts[innermost] for load in family.loads if load.array == array}
        along, contiguous = "", ("", 0)  # any axis
        if len(places) == 1 and isinstance(place := places.pop(), Axis):
            assert family.reduction is not None
            summed = self._is_summed(family, array, innermost)
            name = self._name_in(nest, family, place)
            along, contiguous = "" if summed else name, (name, self.layouts[array].shape[innermost])
        return _SURELY * self.least(nest).cycles(buffers.index(array), along, contiguous)

    def _name_in(self, nest: Nest, family: Family, axis: Axis) -> str:
        """The name of the nest's axis that is a family's, or that it is a part of (canonical.py merges axes); '' if unknown."""
        assert family.reduction is not None
        if axis in family.axes:
            letter, axes, among = "a", family.axes, nest.axes
        else:
            letter, axes, among = "r", family.reduction.axes, nest.reduced
        if letter == "r" and axis not in axes:
            return ""
        alone = {f"{letter}{n}": self.capacity if a == BATCH else a.size for n, a in enumerate(axes)}
        own = f"{letter}{axes.index(axis)}"
        merged = [a.name for a in among if alone.get(a.name) != a.size]
        if any(a.name == own and a.name not in merged for a in among):
            return own
        return merged[0] if len(merged) == 1 and merged[0] in alone else ""

    def _candidates(self, family: Family) -> list[tuple[str, int]]:
        """Arrays of the sum with a subscript that is a plain index and not innermost."""
        result: dict[tuple[str, int], None] = {}
        for load in family.loads:
            layout = self.layouts[load.array]
            if load.type != "real" or len(load.subscripts) < 2 or " by " in load.array:
                continue
            for n, subscript in enumerate(load.subscripts):
                if isinstance(subscript, Axis) and layout.strides[n] != 1 and layout.shape[n] >= 4:
                    result[load.array, n] = None
        return list(result)

    @staticmethod
    def _is_summed(family: Family, array: str, innermost: int) -> bool:
        """Whether a subscript of an array is an index of the sum wherever the family reads it."""
        assert family.reduction is not None
        places = [load.subscripts[innermost] for load in family.loads if load.array == array]
        return all(place in family.reduction.axes for place in places)

    def _reading(self, members: Sequence[Member], array: str, innermost: int) -> Sequence[Member]:
        """The members with every load of an array in the sum read from the copy."""
        name = self._name(array, innermost)
        if name not in self.layouts:
            self._add(name, array, innermost)
        family = members[0].family

        def read(node):  # type: ignore[no-untyped-def]
            return Load(name, node.subscripts) if isinstance(node, Load) and node.array == array else None

        return [replace(members[0], family=replace(family, body=rebuild(family.body, read))), *members[1:]]

    def _add(self, name: str, array: str, innermost: int) -> None:
        layout = self.layouts[array]
        order = sorted(range(len(layout.shape)), key=lambda n: (n == innermost, -layout.strides[n]))
        self.layouts[name] = in_order(layout.data_type, layout.shape, order, lines=True)
        axes = tuple(
            BATCH if e is None else new_axis(f"i{n}", e) for n, e in enumerate(self.graph.extents_of(array))
        )
        self.graph.families[name] = Family(name, axes, Load(array, axes), role="term")

    @staticmethod
    def _name(array: str, innermost: int) -> str:
        return f"{array} by {innermost}"

    def _price(self, array: str) -> float:
        layout = self.layouts[array]
        return layout.elements * (_TURN + 2 * _MOVE * SIZES[layout.data_type])
