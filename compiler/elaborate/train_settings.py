"""The settings of the train section that become equations of the training step, read into expressions of the graph.

In: a train section, and a graph with the network's weights.  Out: `StepSettings`, of which regularise.py makes families.

    penalty l2(1e-4) w, l1(1e-5) hidden    values, each followed by the weights that it is for (none: all of them)
    rates   0.1 hidden.w, (epoch >= 5) b   numbers may depend on step and epoch

A weight is meant by its name (hidden.w), by the layer or block that it is in (hidden), or by its own last word (w).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .. import syntax
from ..mathematics.expression import Axis, Constant, Expression, Load, integer, real
from ..mathematics.graph import RATE_SCALE, Array, Family, Graph, Initializer
from ..mathematics.walks import own_postorder
from ..record import record
from ..source import Span, did_you_mean
from .context import Context, Positions, index_name
from .emit import Emitter
from .modules import prelude
from .report import Reporter
from .resolve import Resolver
from .scene import Abandon, Scene
from .scope import Binding, FunctionBinding, OptimizerBinding, Scope
from .targets import Instance, Site, Slot, Unit
from .terms import Access, Index, contains_poison, to_real

if TYPE_CHECKING:
    from .elaborated import Network

#: Keys whose values are calls: the calls that each understands, with their parameters and defaults.
_FORMS: dict[str, dict[str, dict[str, float | None]]] = {
    "clip": {"norm": {"largest": None}, "value": {"largest": None}},
    "decay": {"coupled": {"strength": None}, "decoupled": {"strength": None}},
    "limit": {"norm": {"largest": None}},
    "average": {"ema": {"decay": 0.999}, "mean": {"start": 0.0}},
}


@record
class Penalty:
    """Ω(w) of one entry of a weight, over `axes`."""

    weight: str
    axes: tuple[Axis, ...]
    value: Expression
    span: Span


@record
class Rule:
    """One call of a setting: its word, its number, and the weights that it is for."""

    kind: str
    number: Expression
    weights: tuple[str, ...]
    span: Span


class StepSettings:
    """Reads one key after the other; `graph` gets the families of numbers that change. Mistakes go to the reporter."""

    def __init__(
        self, train: syntax.TrainDeclaration | None, scope: Scope | None, graph: Graph, reporter: Reporter
    ) -> None:
        self.entries = {e.key: e for e in train.entries} if train is not None else {}
        self.scope = scope or prelude()
        self.graph, self.reporter = graph, reporter
        self.resolver = Resolver(reporter)
        self.weights = [a.name for a in graph.weights if not a.frozen]

    # ------------------------------------------------------------------------------------------------ the keys

    def penalties(self) -> list[Penalty]:
        """`penalty l2(1e-4) w`: functions of one entry of a weight, of the prelude or of the file."""
        found: list[Penalty] = []
        for value, weights in self.choices("penalty"):
            if not isinstance(value, syntax.Call):
                self.wrong(value.span, "a penalty is a function of a weight", "for instance penalty l2(1e-4)")
                continue
            binding = self.function(value.function)
            if binding is None:
                known = ", ".join(n for n in prelude().supplied() if n in ("l1", "l2"))
                message = f"unknown function '{value.function}'"
                help = f"there are {known}; or write your own: function {value.function}(w, strength) = …"
                self.reporter.error("E201", message, value.span, help=help)
                continue
            for weight in weights:
                penalty = self.penalty(value, binding, weight)
                if penalty is None:
                    break
                found.append(penalty)
        return found

    def clips(self) -> list[Rule]:
        """`clip norm(1)`, `clip value(5)`: in the order in which they stand."""
        return list(self.rules("clip", least=0.0, strict=True))

    def decays(self) -> list[Rule]:
        """`decay coupled(1e-4)`, `decay decoupled(1e-2)`"""
        return list(self.rules("decay", least=0.0))

    def limits(self) -> list[Rule]:
        """`limit norm(3)`: of the weights into one unit."""
        return list(self.rules("limit", least=0.0, strict=True))

    def average(self) -> Rule | None:
        """`average ema(0.999)`, `average mean(start = 10)`"""
        found = list(self.rules("average", least=0.0))
        for rule in found[1:]:
            self.wrong(rule.span, "there is one average", "")
        for rule in found[:1]:
            if rule.kind == "ema" and isinstance(rule.number, Constant) and rule.number.value >= 1:
                self.wrong(rule.span, f"the decay is less than 1, got {rule.number.value:g}", "")
            return rule
        return None

    def rate_factors(self) -> dict[str, Expression]:
        """Weight → what its rate is multiplied by: `rates 0.1 hidden`, and the scale of `reduce rate(…)`."""
        factors: dict[str, Expression] = {}
        for value, weights in self.choices("rates"):
            number = self.number(value, "rates", least=0.0)
            if number is None:
                continue
            for weight in weights:
                factors[weight] = factors[weight] * number if weight in factors else number
        if "reduce" in self.entries:
            scale = self.rate_scale()
            factors = {w: factors[w] * scale if w in factors else scale for w in self.weights}
        shared: dict[Expression, Expression] = {}
        for weight, factor in factors.items():
            if factor not in shared:
                shared[factor] = self.single(factor, "rate_factor")
            factors[weight] = shared[factor]
        return factors

    def rate_scale(self) -> Load:
        """1, until the runtime writes another number."""
        if RATE_SCALE not in self.graph.arrays:
            self.graph.arrays[RATE_SCALE] = Array(
                RATE_SCALE, "state", (), initializer=Initializer((), real(1))
            )
        return Load(RATE_SCALE, ())

    def refuse_outside(self, optimizer: str) -> None:
        """Report the settings that have no meaning where the runtime changes the weights."""
        spans = [e.span for key, e in self.entries.items() if key in ("rates", "reduce", "limit", "average")]
        spans += [rule.span for rule in self.decays() if rule.kind == "decoupled"]
        for span in spans:
            self.wrong(span, f"this cannot be used with '{optimizer}', which is not made of equations", "")

    # ------------------------------------------------------------------------------------------------- reading

    def choices(self, key: str) -> Iterator[tuple[syntax.Expression, tuple[str, ...]]]:
        """The values of a setting, each with its weights: the names that follow it, or all."""
        entry = self.entries.get(key)
        values = list(entry.values) if entry is not None else []
        while values:
            value = values.pop(0)
            weights: dict[str, None] = {}
            named = failed = False
            while values and isinstance(values[0], syntax.Name):
                name = values[0].name
                matching = [w for w in self.weights if _means(name, w)]
                if not matching and isinstance(self.scope.find(name), Constant):
                    break  # a param: the next value
                values.pop(0)
                named = True
                failed = failed or not matching
                if not matching:
                    self.unknown_weight(name, entry.values, key)  # type: ignore[union-attr]
                weights.update(dict.fromkeys(matching))
            if not failed:
                yield value, tuple(weights) if named else tuple(self.weights)

    def unknown_weight(self, name: str, values: tuple[syntax.Expression, ...], key: str) -> None:
        place = next(v.span for v in values if isinstance(v, syntax.Name) and v.name == name)
        parts = dict.fromkeys(p for w in self.weights for p in (w, *w.split(".")))
        listed = ", ".join(self.weights[:8]) + (", …" if len(self.weights) > 8 else "")
        help = did_you_mean(name, list(parts)) or f"the weights are {listed}"
        self.reporter.error("E201", f"'{key}' names a weight that does not exist: '{name}'", place, help=help)

    def rules(self, key: str, *, least: float, strict: bool = False) -> Iterator[Rule]:
        """The calls of a setting that has a closed set of them, one number each."""
        forms = _FORMS[key]
        usage = " or ".join(f"{word}({', '.join(parameters)})" for word, parameters in forms.items())
        for value, weights in self.choices(key):
            call = syntax.Call(value.name, (), span=value.span) if isinstance(value, syntax.Name) else value
            if not isinstance(call, syntax.Call) or call.function not in forms:
                near = did_you_mean(call.function, list(forms)) if isinstance(call, syntax.Call) else ""
                self.wrong(value.span, f"'{key}' is followed by {usage}", near or "")
                continue
            ((name, default),) = forms[call.function].items()
            given = [*call.arguments, *(v for n, v in call.named if n == name)]
            strange = next((n for n, _ in call.named if n != name), None)
            if strange is not None:
                help = did_you_mean(strange, [name]) or f"it is called as {call.function}({name})"
                message = f"'{call.function}' has no parameter '{strange}'"
                self.reporter.error("E205", message, call.span, help=help)
                continue
            if len(given) > 1 or (not given and default is None):
                self.reporter.error(
                    "E205",
                    f"'{call.function}' takes one number, and {len(given)} are given",
                    call.span,
                    help=f"it is called as {call.function}({name})",
                )
                continue
            number = self.number(given[0], key, least, strict) if given else real(default or 0.0)
            if number is not None:
                yield Rule(call.function, number, weights, call.span)

    def number(
        self, node: syntax.Expression, key: str, least: float = 0.0, strict: bool = False
    ) -> Expression | None:
        """A number, or a family without axes for one that depends on step or epoch; None after a message."""
        instance = Instance(key, scope=self.scope)
        ctx = Context(self.scope, Site("", instance), Positions([], purpose=f"'{key}'"), instance)
        term = self.resolver.evaluate(node, ctx)
        if contains_poison(term):
            return None
        term = to_real(term)
        for part in own_postorder(term):
            if isinstance(part, Access) and part.target.label not in ("step", "epoch"):
                message = f"'{key}' may depend on step and epoch only"
                self.reporter.error("E216", message, node.span, f"this reads '{part.target.label}'")
                return None
        try:
            value, _ = Emitter(self.resolver, self.graph).build(term, Scene(key, ()))
        except Abandon:
            return None
        if isinstance(value, Constant) and (value.value < least or (strict and value.value == least)):
            bound = f"more than {least:g}" if strict else f"at least {least:g}"
            self.wrong(node.span, f"'{key}' is {bound}, got {value.value:g}", "")
            return None
        return self.single(value, key)

    def single(self, value: Expression, wish: str) -> Expression:
        """A constant or a load, so that nothing is computed for every weight which is the same for all."""
        if isinstance(value, Constant | Load):
            return value
        return self.graph.add(Family(self.graph.fresh_name(wish), (), value, None, "update"))

    def function(self, name: str) -> FunctionBinding | None:
        """A function by its name, also where a layer of the file hides it."""
        for scope in self.scope.chain():
            found = scope.names.get(name) or scope.supply(name)
            if isinstance(found, FunctionBinding):
                return found
        return None

    def penalty(self, call: syntax.Call, binding: FunctionBinding, weight: str) -> Penalty | None:
        """The function of one entry of this weight; None after a message."""
        array = self.graph.arrays[weight]
        sizes: list[Expression] = [integer(e) for e in array.extents]
        slot = Slot("the weight", list(sizes), span=array.span, kind="weight", name=weight)
        names: dict[str, Binding] = {"the weight": slot}
        arguments: list[syntax.Expression] = [syntax.Name("the weight", span=call.span)]
        named: list[tuple[str, syntax.Expression]] = []
        for n, (name, node) in enumerate([*(("", a) for a in call.arguments), *call.named]):
            number = self.number(node, "penalty", least=float("-inf"))
            if number is None:
                return None
            key = f"argument {n}"
            names[key] = Unit(node.span.text, name=number.array) if isinstance(number, Load) else number
            read = syntax.Name(key, span=node.span)
            arguments += [] if name else [read]
            named += [(name, read)] if name else []
        scope = self.scope.inner(names)
        instance = Instance(call.function, scope=scope)
        indices = [Index(index_name(n), size, array.span) for n, size in enumerate(sizes)]
        positions = Positions(indices, "weight", array.span, [array.span] * len(indices))
        ctx = Context(scope, Site("", instance), positions, instance)
        whole = syntax.Call(call.function, tuple(arguments), tuple(named), span=call.span)
        term = self.resolver.inline(binding, whole, ctx)
        if contains_poison(term):
            return None
        emitter = Emitter(self.resolver, self.graph)
        try:
            axes = tuple(emitter.axis(i) for i in indices)
            value, _ = emitter.build(to_real(term), Scene(weight, axes))
        except Abandon:
            return None
        return Penalty(weight, axes, value, call.span)

    def wrong(self, span: Span, message: str, help: str) -> None:
        self.reporter.error("E214", message, span, help=help)


def _means(name: str, weight: str) -> bool:
    """Whether a name stands for a weight: its whole name, what it is in, or its last words."""
    return name == weight or weight.startswith(name + ".") or weight.endswith("." + name)


def step_settings(network: Network, graph: Graph) -> StepSettings:
    """The settings of an elaborated network, for a graph that the passes are making."""
    return StepSettings(network.train, network.scope, graph, Reporter())


def check_step_settings(
    train: syntax.TrainDeclaration | None, scope: Scope, graph: Graph, reporter: Reporter
) -> None:
    """Report all mistakes in the settings that become equations."""
    settings = StepSettings(train, scope, graph.copy(), reporter)
    settings.penalties()
    settings.clips()
    settings.limits()
    settings.average()
    settings.rate_factors()
    decoupled = [rule.span for rule in settings.decays() if rule.kind == "decoupled"]
    needing = [e.span for key, e in settings.entries.items() if key in ("rates", "reduce")] + decoupled
    value = settings.entries["optimizer"].values[:1] if "optimizer" in settings.entries else ()
    name = value[0].name if value and isinstance(value[0], syntax.Name) else ""
    name = value[0].function if value and isinstance(value[0], syntax.Call) else name
    binding = scope.find(name) if name else None
    if not isinstance(binding, OptimizerBinding):
        return
    if needing and not any(p.name == "rate" for p in binding.declaration.parameters):
        reporter.error("E214", f"the optimizer '{name}' has no parameter 'rate' for this", needing[0])
    elif not updates_weights(binding):
        settings.refuse_outside(name)


def updates_weights(binding: OptimizerBinding) -> bool:
    """Whether an optimizer is all equations; line_search and lbfgs leave the weights to the runtime."""
    body = binding.declaration.body
    return any(isinstance(d, syntax.UpdateDeclaration) and d.name == "weight" for d in body)
