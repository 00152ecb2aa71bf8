"""The search section: which params and settings vary, over which ranges, and how they are searched.

In: the section as syntax; the names of params, of the keys of `train`, of the optimizer's arguments.
Out: messages about entries that mean nothing.

    search {
      rate    log(1e-4, 1e-1)             # a number, drawn evenly on a logarithmic scale
      width   linear(16, 128)             # whole, since both ends are
      batch   choice(16, 32, 64)
      trials  30
      method  refine(rounds = 3)          # or random, grid, tpe
    }

An entry whose value is a call of log, linear or choice is a range; any other is a key of the search itself. What the values
mean is the business of runtime/studies/ranges.py.
"""

from __future__ import annotations

from collections.abc import Iterable

from .. import syntax
from ..source import Note, Span, did_you_mean
from .report import Reporter

#: Keys of a search section, with what follows each.
SEARCH_KEYS: dict[str, str] = {
    "trials": "how many trainings",
    "method": "random, grid, refine(rounds = 3), or tpe",
    "minimize": "loss, or a metric: of the validation part, or of the training part where there is none",
    "maximize": "a metric",
    "prune": "median(after = 5), or never",
    "seed": "a whole number",
}

RANGES = ("log", "linear", "choice")


def is_range(entry: syntax.Setting) -> bool:
    """Whether an entry is a range of values."""
    match entry.values:
        case (syntax.Call(function=function),):
            return function in RANGES
    return False


def check_search(search: syntax.SearchDeclaration | None, names: Iterable[str], reporter: Reporter) -> None:
    """Report unknown and repeated keys. `names`: params and settings that can vary."""
    known = list(dict.fromkeys(names))
    ranges: dict[str, Span] = {}
    keys: dict[str, Span] = {}
    for entry in search.entries if search is not None else ():
        place = Span(entry.span.source, entry.span.start, entry.span.start + len(entry.key))
        seen = ranges if is_range(entry) else keys
        if entry.key in seen:
            notes = [Note(seen[entry.key], "first here")]
            reporter.error("E204", f"'{entry.key}' is given twice", place, notes=notes)
        seen.setdefault(entry.key, place)
        if is_range(entry):
            if entry.key not in known:
                help = did_you_mean(entry.key, known) or f"params and settings: {', '.join(known)}"
                reporter.error("E214", f"there is no param and no setting '{entry.key}'", place, help=help)
        elif entry.key not in SEARCH_KEYS:
            _unknown(entry, known, place, reporter)
        elif not entry.values:
            help = f"{entry.key} is followed by {SEARCH_KEYS[entry.key]}"
            reporter.error("E214", f"'{entry.key}' needs a value", place, help=help)
    for key in ("minimize", "maximize"):
        if key == "maximize" and "minimize" in keys and key in keys:
            notes = [Note(keys["minimize"], "here something is minimized")]
            reporter.error("E214", "a search minimizes or maximizes one figure", keys[key], notes=notes)


def _unknown(entry: syntax.Setting, known: list[str], place: Span, reporter: Reporter) -> None:
    if entry.key in known:
        help = f"for instance {entry.key} log(1e-4, 1e-1), linear(1, 10), or choice(1, 2, 3)"
        reporter.error("E214", f"'{entry.key}' needs a range", place, help=help)
        return
    help = did_you_mean(entry.key, [*SEARCH_KEYS, *known]) or f"the keys are {', '.join(SEARCH_KEYS)}"
    reporter.error("E214", f"unknown key '{entry.key}' in the search section", place, help=help)
