"""The search section, read: ranges of values, and how they are searched.

In: an elaborated network with a search section.  Out: `SearchPlan`, whose ranges turn numbers between 0 and 1 into values.

    plan = read_search(network)
    plan.ranges[0].at(0.5)                  "0.00316228", of log(1e-4, 1e-1)

Values are texts, as they would follow `--set NAME=`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from ...compiler import syntax
from ...compiler.elaborate.search_settings import is_range
from ...compiler.source import did_you_mean
from ..data.columns import fail
from ..training.settings import whole_number

if TYPE_CHECKING:
    from ...compiler.elaborate import Network

METHODS = ("random", "grid", "refine", "tpe")
Method = Literal["random", "grid", "refine", "tpe"]

#: Values of a range on a grid, where its third number does not say otherwise.
POINTS = 5


@dataclass(frozen=True)
class Range:
    """The values that one setting can take.

    kind     log or linear: numbers from low to high (both included), whole ones where `whole`; choice: `choices`
    points   how many of them a grid has
    """

    name: str
    kind: Literal["log", "linear", "choice"]
    low: float = 0.0
    high: float = 1.0
    whole: bool = False
    choices: tuple[str, ...] = ()
    points: int = POINTS

    def at(self, place: float) -> str:
        """The value at a place between 0 and 1."""
        if self.kind == "choice":
            return self.choices[min(int(place * len(self.choices)), len(self.choices) - 1)]
        # Each whole number has as much room as the others.
        low, high = (
            (self.low - 0.5, self.high + 0.5)
            if self.whole and self.kind == "linear"
            else (self.low, self.high)
        )
        value = low * (high / low) ** place if self.kind == "log" else low + place * (high - low)
        return self._text(min(max(value, self.low), self.high))

    def grid(self) -> list[str]:
        """The values of a grid: both ends, and what lies evenly between them."""
        if self.kind == "choice":
            return list(self.choices)
        if self.points == 1:
            return [self._between(0.5)]
        return list(dict.fromkeys(self._between(k / (self.points - 1)) for k in range(self.points)))

    def _between(self, share: float) -> str:
        if self.kind == "log":
            return self._text(self.low * (self.high / self.low) ** share)
        return self._text(self.low + share * (self.high - self.low))

    def _text(self, value: float) -> str:
        return str(round(value)) if self.whole else f"{value:.6g}"

    def place(self, value: str) -> float:
        """Where a value lies, from 0 to 1: the inverse of `at`, for pictures."""
        if self.kind == "choice":
            return (self.choices.index(value) + 0.5) / len(self.choices)
        number = float(value)
        if self.kind == "log":
            return math.log(number / self.low) / (math.log(self.high / self.low) or 1.0)
        return (number - self.low) / ((self.high - self.low) or 1.0)

    def around(self, value: str, share: float) -> Range:
        """A range of `share` of this one's width around a value, inside of this one; of choices all."""
        if self.kind == "choice":
            return self
        place = self.place(value)
        ends = [min(max(place + side * share / 2, 0.0), 1.0) for side in (-1, 1)]
        low, high = (float(self._between(end)) for end in ends)
        return replace(self, low=low, high=high)


@dataclass(frozen=True)
class SearchPlan:
    """How to search.

    trials    None: all points of a grid
    rounds    of refine: each has its trials in a third of the range of the one before, around the best
    figure    of the validation part, at its best epoch
    prune     None, or the number of epochs after which a trial may be given up
    """

    ranges: tuple[Range, ...]
    trials: int | None
    method: Method = "random"
    rounds: int = 3
    figure: str = "loss"
    maximize: bool = False
    prune: int | None = None
    seed: int = 0


def read_search(network: Network) -> SearchPlan:
    """The plan that the search section describes. Raises DiagnosticError."""
    search = network.search
    if search is None:
        raise fail("E706", "the file has no search section", network.sources[0].span(0, 0), help=_EXAMPLE)
    ranges = tuple(_range(e, network) for e in search.entries if is_range(e))
    if not ranges:
        raise fail("E706", "the search section names nothing that varies", search.span, help=_EXAMPLE)
    plan: dict[str, Any] = {}
    for entry in search.entries:
        if not is_range(entry):
            plan |= _key(entry, network)
    if plan.get("method", "random") != "grid":
        plan.setdefault("trials", 20)
    return SearchPlan(ranges, **{"trials": None, **plan})


_EXAMPLE = "for instance: search { rate log(1e-4, 1e-1) … trials 30 }, one entry a line"


def _key(entry: syntax.Setting, network: Network) -> dict[str, Any]:
    if len(entry.values) != 1:
        raise fail("E706", f"'{entry.key}' takes one value, got {len(entry.values)}", entry.span)
    (value,) = entry.values
    match entry.key:
        case "trials":
            return {"trials": whole_number(value, network, least=1)}
        case "seed":
            return {"seed": whole_number(value, network, least=0)}
        case "method":
            return _method(value, network)
        case "minimize" | "maximize":
            known = ["loss", *network.graph.metrics]
            if not isinstance(value, syntax.Name) or value.name not in known:
                name = value.name if isinstance(value, syntax.Name) else ""
                help = did_you_mean(name, known) or f"there are {', '.join(known)}"
                raise fail("E706", "this is not measured", value.span, help=help)
            return {"figure": value.name, "maximize": entry.key == "maximize"}
    match value:
        case syntax.Name(name="never"):
            return {"prune": None}
        case syntax.Name(name="median"):
            return {"prune": 5}
        case syntax.Call(function="median", arguments=(), named=(("after", after),)):
            return {"prune": whole_number(after, network, least=1)}
    raise fail("E706", "expected median(after = 5) or never", value.span)


def _method(value: syntax.Expression, network: Network) -> dict[str, Any]:
    match value:
        case syntax.Name(name=name) if name in METHODS:
            return {"method": name}
        case syntax.Call(function="refine", arguments=(rounds,), named=()):
            return {"method": "refine", "rounds": whole_number(rounds, network, least=1)}
        case syntax.Call(function="refine", arguments=(), named=(("rounds", rounds),)):
            return {"method": "refine", "rounds": whole_number(rounds, network, least=1)}
    name = getattr(value, "name", getattr(value, "function", ""))
    help = did_you_mean(name, METHODS) or f"there are {', '.join(METHODS)}"
    raise fail("E706", "this is not a method of search", value.span, help=help)


def _range(entry: syntax.Setting, network: Network) -> Range:
    (call,) = entry.values
    assert isinstance(call, syntax.Call)
    if call.named:
        raise fail("E706", f"{call.function} takes its values by place", call.span)
    if call.function == "choice":
        if not call.arguments:
            raise fail("E706", "a choice of nothing", call.span)
        choices = [" ".join(a.span.text.split()) for a in call.arguments]
        return Range(entry.key, "choice", choices=tuple(dict.fromkeys(choices)))
    if len(call.arguments) not in (2, 3):
        help = f"for instance {call.function}(1, 100), or {call.function}(1, 100, 7) for 7 values on a grid"
        raise fail("E706", f"{call.function} takes the lowest and the highest value", call.span, help=help)
    low, high = (network.evaluate_number(a) for a in call.arguments[:2])
    points = whole_number(call.arguments[2], network, least=1) if len(call.arguments) == 3 else POINTS
    if not low < high or (call.function == "log" and low <= 0):
        zero = " above 0" if call.function == "log" else ""
        raise fail(
            "E706", f"expected two values{zero}, the lower one first, got {low:g} and {high:g}", call.span
        )
    whole = isinstance(low, int) and isinstance(high, int)
    return Range(entry.key, call.function, float(low), float(high), whole, points=points)  # type: ignore[arg-type]
