"""The train section, read into plain values.

In: an elaborated network (its train section and parameters).  Out: `TrainingPlan`.

    train {                                  TrainingPlan(batch=32, epochs=60, patience=8, …)
      optimizer adam(rate = 1e-3)
      batch     32
      epochs    60
      stop      early(patience = 8, maximize = accuracy)
      order     random                       # or fixed: every epoch in the same order
      keep      best                         # or last: the weights of the last epoch
      seed      0
      reduce    rate(factor = 0.5, patience = 4)
      retrain   afresh                       # or further: with the validation part, after the training
    }

Keys that become equations of the step (penalty, clip, decay, rates, limit, average) are read by
compiler/elaborate/train_settings.py.

Which keys there are is the elaborator's business (an unknown one is an error there); what they mean is this module's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ...compiler import syntax
from ...compiler.record import record
from ...compiler.source import did_you_mean
from ..data.columns import fail

if TYPE_CHECKING:
    from ...compiler.elaborate import Network

DEFAULT_BATCH = 32
DEFAULT_EPOCHS = 10
DEFAULT_OPTIMIZER = syntax.Call("adam", ())


#: Keys that the compiler reads.
EQUATIONS = ("penalty", "clip", "decay", "rates", "limit", "average")


@record
class Plateau:
    """When the rate is multiplied by `factor`: after `patience` epochs in which the watched figure did not improve.

    The scale of the rate never falls below `least`. `watched` is of the validation part, or of the training part where
    there is none.
    """

    factor: float = 0.5
    patience: int = 5
    least: float = 0.0
    improvement: float = 0.0
    watched: str = "loss"
    maximize: bool = False


@record
class TrainingPlan:
    """How to train. `patience` is None without early stopping; `watched` is a figure of the validation part.

    `batch` is None for minibatches of all samples.
    """

    optimizer: syntax.Call = DEFAULT_OPTIMIZER
    batch: int | None = DEFAULT_BATCH
    epochs: int = DEFAULT_EPOCHS
    seed: int = 0
    order: Literal["random", "fixed"] = "random"
    keep: Literal["best", "last"] = "best"
    patience: int | None = None
    watched: str = "loss"
    maximize: bool = False
    improvement: float = 0.0
    reduce: Plateau | None = None
    retrain: Literal["", "afresh", "further"] = ""

    @property
    def capacity(self) -> int:
        """Samples that a minibatch holds, as far as is known before the data is."""
        return self.batch or DEFAULT_BATCH


def read_plan(network: Network) -> TrainingPlan:
    """The plan that a file's train section describes; defaults for what it leaves out. Raises DiagnosticError."""
    plan: dict[str, Any] = {}
    for entry in network.train.entries if network.train is not None else ():
        key, values = entry.key, entry.values
        if key in EQUATIONS:
            continue
        if key == "stop":
            plan |= _stop(entry, network)
            continue
        if len(values) != 1:
            raise fail("E706", f"'{key}' takes one value, got {len(values)}", entry.span)
        (value,) = values
        match key:
            case "optimizer":
                plan["optimizer"] = value if isinstance(value, syntax.Call) else _call(value)
            case "batch" if isinstance(value, syntax.Name) and value.name == "all":
                plan["batch"] = None
            case "batch" | "epochs":
                plan[key] = whole_number(value, network, least=1)
            case "seed":
                plan[key] = whole_number(value, network, least=0)
            case "order":
                plan[key] = _word(value, ("random", "fixed"))
            case "keep":
                plan[key] = _word(value, ("best", "last"))
            case "retrain":
                plan[key] = _word(value, ("afresh", "further"))
            case "reduce":
                plan[key] = _reduce(value, network)
    optimizer = plan.get("optimizer", DEFAULT_OPTIMIZER)
    if "batch" not in plan and network.leaves_weights(optimizer):
        plan["batch"] = None
    if optimizer.function == "lbfgs" and plan["batch"] is not None and network.leaves_weights(optimizer):
        place = next(e.span for e in network.train.entries if e.key == "batch")  # type: ignore[union-attr]
        raise fail(
            "E706", "lbfgs compares values of the loss over all samples", place, help="write batch all"
        )
    return TrainingPlan(**plan)


def _call(value: syntax.Expression) -> syntax.Call:
    if isinstance(value, syntax.Name):  # `optimizer sgd`, without parentheses
        return syntax.Call(value.name, (), span=value.span)
    raise fail("E706", "expected an optimizer", value.span, help="for instance adam(rate = 1e-3)")


def _word(value: syntax.Expression, words: tuple[str, ...]) -> str:
    if isinstance(value, syntax.Name) and value.name in words:
        return value.name
    raise fail("E706", f"expected {' or '.join(words)}", value.span)


def _stop(entry: syntax.Setting, network: Network) -> dict[str, Any]:
    match entry.values:
        case (syntax.Name(name="never"),):
            return {"patience": None}
        case (syntax.Call(function="early") as call,):
            pass
        case _:
            raise fail(
                "E706", "expected early(…) or never", entry.span, help="for instance early(patience = 8)"
            )
    plan: dict[str, Any] = {"patience": 5}
    for name, value in _arguments(call, "patience"):
        match name:
            case "patience":
                plan["patience"] = whole_number(value, network, least=1)
            case "improvement":
                plan["improvement"] = float(network.evaluate_number(value))
            case _ if (watched := _watched(name, value, network)) is not None:
                plan |= watched
            case _:
                raise fail(
                    "E706",
                    f"early(…) does not understand '{name}'",
                    value.span,
                    help="patience, improvement, maximize = METRIC, minimize = METRIC",
                )
    return plan


def _reduce(value: syntax.Expression, network: Network) -> Plateau:
    if not isinstance(value, syntax.Call) or value.function != "rate":
        raise fail(
            "E706",
            "expected rate(…)",
            value.span,
            help="for instance reduce rate(factor = 0.5, patience = 5)",
        )
    plan: dict[str, Any] = {}
    for name, argument in _arguments(value, "factor", "patience"):
        match name:
            case "patience":
                plan[name] = whole_number(argument, network, least=1)
            case "factor" | "least" | "improvement":
                plan[name] = float(network.evaluate_number(argument))
                if name == "factor" and not 0 < plan[name] < 1:
                    raise fail("E706", f"the factor is between 0 and 1, got {plan[name]:g}", argument.span)
            case _ if (watched := _watched(name, argument, network)) is not None:
                plan |= watched
            case _:
                raise fail(
                    "E706",
                    f"rate(…) does not understand '{name}'",
                    argument.span,
                    help="factor, patience, least, improvement, maximize = METRIC, minimize = METRIC",
                )
    return Plateau(**plan)


def _arguments(call: syntax.Call, *names: str) -> list[tuple[str, syntax.Expression]]:
    """The arguments of a call by name; those without one are called `names`."""
    if len(call.arguments) > len(names):
        raise fail("E706", f"'{call.function}' has too many arguments", call.arguments[len(names)].span)
    return [*zip(names, call.arguments, strict=False), *call.named]


def _watched(name: str, value: syntax.Expression, network: Network) -> dict[str, Any] | None:
    """`maximize = accuracy`; None where it is something else."""
    if name not in ("maximize", "minimize", "metric") or not isinstance(value, syntax.Name):
        return None
    known = ["loss", *network.graph.metrics]
    if value.name not in known:
        help = did_you_mean(value.name, known) or f"there are {', '.join(known)}"
        raise fail("E706", f"'{value.name}' is not measured", value.span, help=help)
    # A bare `metric` is something to be proud of unless it is a loss or an error.
    worse = ("loss", "error", "misses", "perplexity", "distance")
    proud = name == "metric" and not any(word in value.name for word in worse)
    return {"watched": value.name, "maximize": name == "maximize" or proud}


def whole_number(value: syntax.Expression, network: Network, *, least: int) -> int:
    """A whole number of at least `least`: numbers, params and scalar functions of them."""
    result = network.evaluate_number(value)
    if result != int(result) or result < least:
        raise fail("E706", f"expected a whole number from {least}, got {result:g}", value.span)
    return int(result)
