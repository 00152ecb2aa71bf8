"""What was run, and what came of it: the head of the page, the settings, the source.

In: a `History`, figures, settings.  Out: HTML.

    summary(history, figures, settings), settings_table(settings), source(text)
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from ..training.history import Figures, History
from .page import table
from .scales import figure_text

ENDINGS = {
    "epochs": "all epochs were done",
    "early": "it stopped early, since the validation part no longer improved",
    "interrupted": "it was interrupted",
    "diverged": "it was stopped, since numbers became NaN or infinite",
    "callback": "the program stopped it",
    "converged": "the optimizer could improve nothing more",
    "reached": "it reached what it was to reach",
}

#: Settings as a person knows them, in this order; the others follow under their own names.
NAMES = {
    "file": "file",
    "network": "network",
    "data": "data",
    "samples": "samples",
    "optimizer": "optimizer",
    "changes": "changes of the step",
    "batch": "minibatch",
    "epochs": "epochs, at most",
    "seed": "seed",
    "order": "order of samples",
    "precision": "precision",
    "overrides": "overrides",
}
HIDDEN = ("equations", "values", "path", "source", "event")


def summary(
    history: History, figures: Mapping[str, Figures], settings: Mapping[str, Any], weights: int
) -> str:
    """How it went, and a table of figures."""
    count = len(history)
    what = [f"{weights:,} weights"] if weights else []
    samples = settings.get("samples")
    if isinstance(samples, Mapping):
        what.append(", ".join(f"{n:,} {part}" for part, n in samples.items()) + " samples")
    kept = history.best_epoch or count
    ending = ENDINGS.get(history.ending, "it has not ended, or was broken off")
    told = f"{count:,} epoch{'s' * (count != 1)} in {_duration(history.seconds)}: {ending}."
    again = history.retraining
    if again is not None:
        more = len(again)
        told += f" Epoch {kept:,} was the best. Then it was trained again with the validation part, "
        told += (
            f"for {more:,} epoch{'s' * (more != 1)}, whose last weights were kept."
            if more
            else "with nothing to gain."
        )
    elif count:
        told += f" The weights are those of epoch {kept:,}." if kept else " The weights are the first ones."
    lead = f'<p class="lead">{escape(settings.get("network") or "")}{": " if what else ""}{"; ".join(what)}. {told}</p>'
    return lead + _figures(figures)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds >= 0.95 else f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _figures(figures: Mapping[str, Figures]) -> str:
    names = list(dict.fromkeys(name for row in figures.values() for name in row))
    if not names:
        return ""
    rows = [
        (escape(part), *(figure_text(row[name]) if name in row else "" for name in names))
        for part, row in figures.items()
    ]
    return table(["", *map(escape, names)], rows)


def settings_table(settings: Mapping[str, Any]) -> str:
    """What everything depends on."""
    known = [(title, settings[key]) for key, title in NAMES.items() if _is_told(settings.get(key))]
    known += [(k, v) for k, v in settings.items() if k not in NAMES and k not in HIDDEN and _is_told(v)]
    rows = [(escape(title), escape(_value(value))) for title, value in known]
    return table(("", ""), rows, numbers=False)


def _is_told(value: Any) -> bool:
    return value is not None and value != "" and value != {}


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {v:,}" if isinstance(v, int) else f"{k} = {v}" for k, v in value.items())
    return str(value)


def source(text: str) -> str:
    """The resolved source."""
    return f"<pre>{escape(text.rstrip())}</pre>" if text.strip() else ""
