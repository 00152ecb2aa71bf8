"""Data and train sections: the closed set of keys, and values given on the command line.

In: the sections as syntax, `{"width": "64", "epochs": "3", "rate": "1e-2"}`.  Out: the same sections with the settings put
in; messages about keys that do not exist.

A setting names a param of the network first, then a key of `train`, one of `data`, then an argument of the optimizer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from .. import syntax
from ..parse import parse_expression, parse_setting
from ..source import DiagnosticError, Note, Source, Span, did_you_mean
from .report import Reporter
from .scope import OptimizerBinding, Scope

#: Keys of a train section, with what follows each.
TRAIN_KEYS: dict[str, str] = {
    "optimizer": "a call, as in adam(rate = 1e-3)",
    "batch": "the number of samples in a minibatch",
    "epochs": "the number of passes through the training data",
    "stop": "early(patience = 8), or never",
    "seed": "a whole number",
    "order": "random, or fixed",
    "keep": "best, or last",
    "penalty": "functions of a weight, as in l2(1e-4), each with the names of its weights (none: all)",
    "clip": "norm(1), value(5), or both",
    "decay": "coupled(1e-4), or decoupled(1e-2)",
    "rates": "factors of the rate, each with the names of its weights: 0.1 hidden",
    "limit": "norm(3), of the weights into one unit",
    "average": "ema(0.999), or mean(start = 10)",
    "reduce": "rate(factor = 0.5, patience = 5)",
    "retrain": "afresh, or further",
}

#: Keys of a data section.
DATA_KEYS: dict[str, str] = {
    "from": 'sklearn.digits, csv "file.csv", parquet "file.parquet", npz "file.npz", idx "images" "labels", '
    'or text "file.txt" window(64)',
    "split": "70% train, 15% validation, 15% test",
    "train": "where the training part comes from",
    "validation": "where the validation part comes from",
    "test": "where the test part comes from",
    "augment": "an image and what may happen to it: image flip(horizontal), rotate(10), translate(2), stretch(10%)",
    "fold": "which fold is the validation part: 0 of 5",
    "resample": "a whole number: the training part is drawn from itself with replacement, by this seed",
    "order": "random, or fixed",
    "seed": "a whole number",
}


def check_sections(
    data: syntax.DataDeclaration | None,
    train: syntax.TrainDeclaration | None,
    inputs: list[str],
    reporter: Reporter,
) -> None:
    """Report unknown and repeated keys, and columns that feed no input."""
    for section, keys, name in ((data, DATA_KEYS, "data"), (train, TRAIN_KEYS, "train")):
        seen: dict[str, Span] = {}
        for entry in section.entries if section is not None else ():
            if isinstance(entry, syntax.Column):
                key, place = entry.name, _word(entry)
                if key not in inputs:
                    help = (
                        did_you_mean(key, inputs) or f"the inputs are {', '.join(inputs)}" if inputs else ""
                    )
                    reporter.error("E214", f"'{key}' is not an input of the network", place, help=help)
            else:
                key, place = entry.key, _word(entry)
                if key not in keys:
                    help = did_you_mean(key, keys) or f"the keys are {', '.join(keys)}"
                    reporter.error("E214", f"unknown key '{key}' in the {name} section", place, help=help)
                elif not entry.values:
                    reporter.error(
                        "E214", f"'{key}' needs a value", place, help=f"{key} is followed by {keys[key]}"
                    )
            if key in seen:
                reporter.error(
                    "E204", f"'{key}' is given twice", place, notes=[Note(seen[key], "first here")]
                )
            seen.setdefault(key, place)


def _word(entry: syntax.Setting | syntax.Column) -> Span:
    name = entry.key if isinstance(entry, syntax.Setting) else entry.name
    return Span(entry.span.source, entry.span.start, entry.span.start + len(name))


def apply_data_settings(
    settings: Mapping[str, str],
    parameters: list[str],
    data: syntax.DataDeclaration | None,
    reporter: Reporter,
) -> tuple[dict[str, str], syntax.DataDeclaration | None]:
    """The settings that are left for `apply_settings`, and the data section with the others put in.

    `data.seed` is the key of the data section, `seed` that of the train section; `split`, which only one has, is as it is.
    """
    left: dict[str, str] = {}
    changed: dict[str, syntax.Setting] = {}
    for name, text in settings.items():
        key = name.removeprefix("data.")
        if name in parameters or key not in DATA_KEYS or (name in TRAIN_KEYS):
            left[name] = text
        elif (setting := _setting(key, text, reporter)) is not None:
            changed[key] = setting
    if changed:
        kept = [e for e in (data.entries if data is not None else ()) if getattr(e, "key", "") not in changed]
        entries = (*kept, *changed.values())
        data = replace(data, entries=entries) if data is not None else syntax.DataDeclaration(entries)
    return left, data


def apply_settings(
    settings: Mapping[str, str],
    parameters: list[str],
    train: syntax.TrainDeclaration | None,
    scope: Scope,
    reporter: Reporter,
) -> tuple[dict[str, syntax.Expression], syntax.TrainDeclaration | None]:
    """The values of params that are set, and the train section with the other settings put in.

    `scope` has the optimizers: their arguments can be set too.
    """
    values: dict[str, syntax.Expression] = {}
    entries = {e.key: e for e in (train.entries if train is not None else ())}
    for name, text in settings.items():
        key = name.removeprefix("train.")
        source = Source(f"--set {name}={text}", text)
        place = Span(source, 0, len(text))
        if name in parameters:
            value = _expression(name, text, reporter)
            if value is not None:
                values[name] = value
        elif key in TRAIN_KEYS:
            setting = _setting(key, text, reporter)
            if setting is not None:
                entries[key] = setting
        elif (call := _optimizer(entries)) is not None and _is_argument(key, call, scope):
            value = _expression(key, text, reporter)
            if value is not None:
                call = _with_argument(call, key.removeprefix("optimizer."), value, scope)
                entries["optimizer"] = replace(entries["optimizer"], values=(call,))
        else:
            known = [*parameters, *TRAIN_KEYS, *DATA_KEYS]
            help = (
                did_you_mean(name, known)
                or f"params: {', '.join(parameters) or 'none'}; training: {', '.join(TRAIN_KEYS)}"
            )
            reporter.error("E215", f"there is no param and no setting '{name}'", place, help=help)
    before = train.entries if train is not None else ()
    changed = {key for key, entry in entries.items() if not any(entry is e for e in before)}
    if changed:
        kept = (e for e in before if e.key not in changed)
        result = (*kept, *(entries[key] for key in entries if key in changed))
        train = replace(train, entries=result) if train is not None else syntax.TrainDeclaration(result)
    return values, train


def optimizer_arguments(train: syntax.TrainDeclaration | None, scope: Scope) -> list[str]:
    """The names of the arguments that the optimizer of a train section takes."""
    call = _optimizer({e.key: e for e in train.entries}) if train is not None else None
    return _names(call, scope) if call is not None else []


def _optimizer(entries: Mapping[str, syntax.Setting]) -> syntax.Call | None:
    values = entries["optimizer"].values if "optimizer" in entries else ()
    if not values:
        return None
    if isinstance(values[0], syntax.Name):
        return syntax.Call(values[0].name, (), (), span=values[0].span)
    return values[0] if isinstance(values[0], syntax.Call) else None


def _is_argument(key: str, call: syntax.Call, scope: Scope) -> bool:
    """`optimizer.rate`, or plain `rate` where the optimizer has it; the optimizer itself checks its arguments."""
    return key.startswith("optimizer.") or key in (n for n, _ in call.named) or key in _names(call, scope)


def _names(call: syntax.Call, scope: Scope) -> list[str]:
    """The parameters of the optimizer that a call is of."""
    found = scope.find(call.function)
    return [p.name for p in found.declaration.parameters] if isinstance(found, OptimizerBinding) else []


def _with_argument(call: syntax.Call, name: str, value: syntax.Expression, scope: Scope) -> syntax.Call:
    """The call with one argument changed, whether it was given by place, by name or not at all."""
    given = dict(zip(_names(call, scope), call.arguments, strict=False))
    if name in given:
        places = (given | {name: value}).values()
        return replace(call, arguments=(*places, *call.arguments[len(given) :]))
    return replace(call, named=(*((n, v) for n, v in call.named if n != name), (name, value)))


def _expression(name: str, text: str, reporter: Reporter) -> syntax.Expression | None:
    """A value from the command line."""
    try:
        return parse_expression(text, f"--set {name}={text}")
    except DiagnosticError:
        _not_understood(name, text, reporter)
        return None


def _setting(key: str, text: str, reporter: Reporter) -> syntax.Setting | None:
    """A line of the train section from the command line."""
    try:
        return parse_setting(f"{key} {text}", f"--set {key}={text}")
    except DiagnosticError:
        _not_understood(key, text, reporter)
        return None


def _not_understood(name: str, text: str, reporter: Reporter) -> None:
    source = Source(f"--set {name}={text}", text)
    reporter.error("E215", f"the value '{text}' of '{name}' is not understood", Span(source, 0, len(text)))
