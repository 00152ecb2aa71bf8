"""Optimizers: the update equations of every weight, written in the language.

In: a graph with gradients, and a call such as `adam(rate = 1e-3)`.  Out: the same graph with states and updates.

    hidden.w.m        a state, in the shape of the weight
    hidden.w.m.next   its next value
    hidden.w.next     the weight's next value

Names in an optimizer's body: weight, gradient, its parameters and states, step (1 at the first update), epoch. Statements
follow each other: what is read after an update is the new value. What depends on the clocks alone is computed once, not
for every weight.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .. import syntax
from ..mathematics.expression import Apply, Axis, Constant, Expression, Load, apply, integer, new_axis, real
from ..mathematics.graph import Array, Family, Graph, Initializer
from ..mathematics.walks import own_postorder, substitute
from ..source import did_you_mean
from .alike_updates import Updates
from .build import merge, spread_batch
from .context import Context, Positions, index_name
from .declare import heading
from .emit import Emitter
from .modules import prelude
from .report import Reporter, is_built_in
from .resolve import Resolver
from .scene import Abandon, Scene
from .scope import CLOCKS, Binding, OptimizerBinding, Scope
from .signatures import Signature
from .targets import Instance, Site, Slot, Unit
from .terms import Access, Index, Reduce, contains_poison, is_poison, to_real
from .train_settings import StepSettings, updates_weights

if TYPE_CHECKING:
    from .elaborated import Network


def instantiate_optimizer(network: Network, graph: Graph, call: syntax.Call) -> None:
    """Add the states and updates of an optimizer for every weight in `graph.gradients`. Raises DiagnosticError."""
    reporter = Reporter()
    resolver = Resolver(reporter)
    scope = network.scope or prelude()
    binding = optimizer_binding(call, scope, reporter)
    if binding is not None:
        maker = _Maker(resolver, graph, binding, call, scope)
        maker.factors = StepSettings(network.train, scope, graph, reporter).rate_factors()
        for weight, gradient in graph.gradients.items():
            if not graph.arrays[weight].frozen:
                maker.weight(weight, graph.directions.get(weight, gradient))
            if reporter.failed:
                break
    reporter.finish([network.module.path])


def optimizer_rates(network: Network, graph: Graph, call: syntax.Call) -> dict[str, Expression]:
    """Weight → its rate, where the optimizer has a parameter `rate`: a constant, or a load of a family without axes."""
    settings = StepSettings(network.train, network.scope, graph, Reporter())
    resolver = Resolver(settings.reporter)
    binding = optimizer_binding(call, settings.scope, settings.reporter)
    names = arguments(resolver, binding, call, settings.scope) if binding is not None else None
    rate = (names or {}).get("rate")
    settings.reporter.finish([network.module.path])
    if not isinstance(rate, Expression):
        return {}
    value = settings.single(Emitter(resolver, graph).build(rate, Scene("rate", ()))[0], "rate")
    factors = settings.rate_factors()
    return {w: value * factors[w] if w in factors else value for w in graph.gradients}


def optimizer_numbers(network: Network, call: syntax.Call) -> dict[str, float]:
    """The arguments of an optimizer that must all be known before training. Raises DiagnosticError."""
    reporter = Reporter()
    scope = network.scope or prelude()
    binding = optimizer_binding(call, scope, reporter)
    names = arguments(Resolver(reporter), binding, call, scope) if binding is not None else None
    for name, value in (names or {}).items():
        if not isinstance(value, Constant):
            message = f"'{name}' of '{call.function}' is a number, known before the training"
            reporter.error("E308", message, call.span)
    reporter.finish([network.module.path])
    return {n: float(v.value) for n, v in (names or {}).items() if isinstance(v, Constant)}


def optimizers_in_reach(network: Network) -> dict[str, syntax.OptimizerDeclaration]:
    """Every optimizer by name: those of the file, of its imports, of the prelude."""
    found: dict[str, syntax.OptimizerDeclaration] = {}
    scope = network.scope or prelude()
    for name in scope.all_names():
        binding = scope.find(name)
        if isinstance(binding, OptimizerBinding):
            found[name] = binding.declaration
    return found


def leaves_weights(network: Network, call: syntax.Call) -> bool:
    """Whether an optimizer computes directions alone, and the runtime changes the weights."""
    binding = (network.scope or prelude()).find(call.function)
    return isinstance(binding, OptimizerBinding) and not updates_weights(binding)


def optimizer_binding(call: syntax.Call, scope: Scope, reporter: Reporter) -> OptimizerBinding | None:
    """The optimizer that a call names; None after a message."""
    binding = scope.find(call.function)
    if isinstance(binding, OptimizerBinding):
        return binding
    names = [n for n in scope.all_names() if isinstance(scope.find(n), OptimizerBinding)]
    what = "unknown optimizer" if binding is None else "this is not an optimizer:"
    reporter.error(
        "E201",
        f"{what} '{call.function}'",
        call.span,
        help=did_you_mean(call.function, names) or f"there are {', '.join(names)}",
    )
    return None


def check_optimizer(value: syntax.Expression, scope: Scope, reporter: Reporter) -> None:
    """Report an optimizer that does not exist, or its wrong arguments, before anything is built."""
    if isinstance(value, syntax.Name):
        value = syntax.Call(value.name, (), span=value.span)
    if not isinstance(value, syntax.Call):
        reporter.error(
            "E214", "an optimizer is expected here", value.span, help="for instance adam(rate = 1e-3)"
        )
        return
    binding = optimizer_binding(value, scope, reporter)
    if binding is None:
        return
    if is_built_in(binding.declaration.span):
        arguments(Resolver(reporter), binding, value, scope)
        return
    # One of the user's own: make it for a weight that is a single number, and throw it away.
    graph = Graph("trial")
    graph.arrays["weight"] = Array("weight", "weight", ())
    graph.add(Family("gradient", (), real(0), role="gradient"))
    failed = len(reporter.diagnostics)
    trial = Reporter()
    _Maker(Resolver(trial), graph, binding, value, scope).weight("weight", "gradient")
    reporter.add(trial.diagnostics[: max(0, 100 - failed)])


def arguments(
    resolver: Resolver, binding: OptimizerBinding, call: syntax.Call, scope: Scope
) -> dict[str, Binding] | None:
    """The optimizer's parameters: schedules over step and epoch, or plain numbers; None after a message."""
    d = binding.declaration
    signature = Signature(d.name, "optimizer", d.parameters, (), binding.scope, d.span)
    instance = Instance(d.name, scope=scope)
    ctx = Context(scope, Site("", instance), Positions([], purpose="an argument of an optimizer"), instance)
    given = resolver.assign(signature, call, ctx)
    if given is None:
        return None
    names: dict[str, Binding] = {}
    for p in d.parameters:
        node = given.get(p.name, p.default)
        assert node is not None
        inside = ctx if p.name in given else replace(ctx, scope=binding.scope.inner(names))
        value = resolver.evaluate(node, inside)
        if is_poison(value):
            return None
        for part in own_postorder(value):
            if isinstance(part, Access) and part.target.label not in ("step", "epoch"):
                resolver.error(
                    ctx,
                    "E216",
                    f"the argument '{p.name}' may depend on step and epoch only",
                    node.span,
                    f"this reads '{part.target.label}'",
                )
                return None
        names[p.name] = to_real(value)
    return names


class _Maker:
    """Instantiates one optimizer for one weight after the other."""

    def __init__(
        self, resolver: Resolver, graph: Graph, binding: OptimizerBinding, call: syntax.Call, scope: Scope
    ) -> None:
        self.resolver, self.graph, self.binding, self.call = resolver, graph, binding, call
        self.declaration = binding.declaration
        self.shared: dict[Expression, Load] = {}
        #: Weight → what its rate is multiplied by; a constant, or a load of a number.
        self.factors: dict[str, Expression] = {}
        resolver.always_updates = True
        self.names = arguments(resolver, binding, call, scope)
        #: What was made for a weight of these extents, whose rate has this factor.
        self.known: dict[tuple[tuple[int, ...], Expression | None], Updates] = {}

    def weight(self, weight: str, gradient: str) -> None:
        """The states, their next values, and the weight's next value."""
        key = (self.graph.arrays[weight].extents, self.factors.get(weight))
        if key in self.known and self.known[key].write(weight, gradient):
            return
        before, said = self.graph.copy(), len(self.resolver.reporter.diagnostics)
        self._resolved(weight, gradient)
        if len(self.resolver.reporter.diagnostics) == said:
            shared = {load.array for load in self.shared.values()}
            self.known[key] = Updates(self.graph, weight, gradient, before, shared)

    def _resolved(self, weight: str, gradient: str) -> None:
        """The same, from the optimizer's body."""
        if self.names is None:
            return
        resolver, graph = self.resolver, self.graph
        array = graph.arrays[weight]
        sizes: list[Expression] = [integer(e) for e in array.extents]
        resolver.units, resolver.slots, resolver.sizes = [], [], type(resolver.sizes)()
        slot = Slot("weight", list(sizes), span=array.span, kind="weight", name=weight)
        slope = Unit("gradient", list(sizes), span=array.span, name=gradient)
        scope = self.binding.scope.inner({**self.names_for(weight), "weight": slot, "gradient": slope})
        instance = Instance(self.declaration.name, scope=scope)
        indices = [Index(index_name(n), size, array.span) for n, size in enumerate(sizes)]
        positions = Positions(indices, "weight", array.span, [array.span] * len(indices))
        ctx = Context(scope, Site("", instance), positions, instance)
        states = [
            self.state(d, weight, indices, ctx)
            for d in self.declaration.body
            if isinstance(d, syntax.StateDeclaration)
        ]
        for d in self.declaration.body:
            match d:
                case syntax.StateDeclaration():
                    continue
                case syntax.UpdateDeclaration():
                    self.update(d, slot, states, indices, ctx)
                case syntax.FamilyDeclaration(kind="let", axes=()):
                    resolver.introduce(
                        scope, d.name, to_real(resolver.evaluate(d.body, ctx)), heading(d), ctx
                    )
                case _:
                    help = "write state …, let … without axes, or update …"
                    resolver.error(ctx, "E217", "this cannot stand in an optimizer", heading(d), help=help)
        resolver.drain()
        built_in = is_built_in(
            self.declaration.span
        )  # those of the prelude may leave the weights to the runtime
        if not slot.updates and not resolver.reporter.failed and not built_in:
            message = f"the optimizer '{self.declaration.name}' never updates 'weight'"
            resolver.error(ctx, "E220", message, self.declaration.span, help="add update weight <- …")
        if resolver.reporter.failed:
            return
        self.emit(resolver.units)
        for target in (slot, *states):
            if target.updates:
                graph.updates[target.name] = target.updates[-1][1].name

    def names_for(self, weight: str) -> dict[str, Binding]:
        """The parameters, with the rate of this weight."""
        assert self.names is not None
        rate, factor = self.names.get("rate"), self.factors.get(weight)
        if not isinstance(rate, Expression) or factor is None:
            return self.names
        if isinstance(factor, Load):
            factor = Access(Unit("factor", name=factor.array), ())
        return {**self.names, "rate": apply("*", rate, factor)}

    def state(self, d: syntax.StateDeclaration, weight: str, indices: list[Index], ctx: Context) -> Slot:
        """A state in the shape of the weight; it starts with a number, everywhere the same."""
        name = f"{weight}.{d.name}"
        state = Slot(d.name, [i.size for i in indices], span=heading(d), kind="state", name=name)
        self.resolver.introduce(ctx.scope, d.name, state, heading(d), ctx)
        if d.axes:
            message, help = "a state of an optimizer has no axes", f"'{d.name}' has those of the weight"
            self.resolver.error(ctx, "E202", message, d.axes[0].span, help=help)
        value = to_real(
            self.resolver.evaluate(d.initial, self.resolver.scalar_context(ctx, "the first value"))
        )
        if contains_poison(value):
            return state
        if any(isinstance(n, Access | Reduce) for n in own_postorder(value)):
            self.resolver.error(ctx, "E219", "a state of an optimizer starts with a number", d.initial.span)
            return state
        axes = tuple(new_axis(i.name, self.resolver.sizes.known(i.size) or 1) for i in indices)
        built, _ = Emitter(self.resolver, self.graph).build(value, Scene(name, ()))
        extents = tuple(a.size for a in axes)
        self.graph.arrays[name] = Array(
            name, "state", extents, initializer=Initializer(axes, built), span=state.span
        )
        return state

    def update(
        self,
        d: syntax.UpdateDeclaration,
        weight: Slot,
        states: list[Slot],
        indices: list[Index],
        ctx: Context,
    ) -> None:
        """The next value of a state or of the weight; what is read below sees it."""
        target = ctx.scope.names.get(d.name)
        if not isinstance(target, Slot):
            known = ["weight", *(s.label for s in states)]
            self.resolver.error(
                ctx,
                "E220",
                f"'{d.name}' is not a state of the optimizer",
                heading(d),
                help=did_you_mean(d.name, known) or f"declare it: state {d.name} = 0",
            )
            return
        count = len(target.updates)
        name = f"{target.name}.next" + (f"_{count + 1}" if count else "")
        unit = Unit(
            d.name, list(target.sizes), span=weight.span, name=name, role="update", indices=indices, of=weight
        )
        body = self.resolver.evaluate(d.value, ctx)
        if is_poison(body):
            return
        unit.body = to_real(body)
        target.home = ctx.instance
        target.updates.append((-1, unit))
        self.resolver.units.append(unit)

    def emit(self, units: list[Unit]) -> None:
        units = merge([u for u in units if u.body is not None])
        for unit in units:
            if not unit.name:
                unit.name = self.graph.fresh_name(f"{self.declaration.name}.{unit.label}")
        spread_batch(units)
        emitter = Emitter(self.resolver, self.graph)
        for unit in units:
            before = len(self.graph.families)
            try:
                emitter.unit(unit)
            except Abandon:
                return
            for name in list(self.graph.families)[before:]:
                self.hoist(name)

    def hoist(self, name: str) -> None:
        """Move what depends on the clocks alone into families without axes, shared by all weights."""
        family = self.graph.families[name]
        constant: dict[Expression, bool] = {}
        mapping: dict[Expression, Expression] = {}
        nodes = own_postorder(family.body)
        for node in nodes:
            if isinstance(node, Axis):
                constant[node] = False
            elif isinstance(node, Load):
                constant[node] = node.array in CLOCKS or node in self.factors.values()
            else:
                constant[node] = all(constant[c] for c in node.children)
        parents: dict[Expression, None] = {}
        for node in nodes:
            if not constant[node]:
                parents.update((c, None) for c in node.children if constant[c])
        for node in parents if not constant[family.body] else ():
            if isinstance(node, Apply) and any(isinstance(n, Load) for n in own_postorder(node)):
                mapping[node] = self.scalar(node)
        if mapping:
            self.graph.families[name] = Family(
                family.name,
                family.axes,
                substitute(family.body, mapping),
                family.reduction,
                family.role,
                family.of,
                family.span,
            )

    def scalar(self, node: Expression) -> Load:
        if node not in self.shared:
            families = self.graph.families
            wish = f"{self.declaration.name}.factor"
            name = self.graph.fresh_name(wish)
            # It stands before the updates that use it.
            load = self.graph.add(Family(name, (), node, None, "update", "", self.declaration.span))
            family = families.pop(name)
            reordered = {name: family, **families}
            families.clear()
            families.update(reordered)
            self.shared[node] = load
        return self.shared[node]
