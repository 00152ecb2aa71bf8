"""Which values a search tries next: at random, on a grid, coarse and then fine, or as Optuna's TPE advises.

In: a `SearchPlan`, the number of a trial, the trials so far.  Out: setting → value.

    propose(plan, 3, trials)                          {"rate": "0.00213", "width": "32"}

What is drawn depends on the plan's seed and the trial's number alone: whoever runs trial 3 tries the same values (refine also
looks at the best of the rounds before).
"""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import RunError
from ..initialize import generator
from .ranges import Range, SearchPlan
from .trials import Trial, best_of

#: What is left of every range's width from one round of refine to the next.
SHRINK = 1 / 3


def count_of(plan: SearchPlan) -> int:
    """How many trials there are."""
    if plan.method != "grid":
        return plan.trials or 20
    points = 1
    for range_ in plan.ranges:
        points *= len(range_.grid())
    return min(points, plan.trials or points)


def propose(plan: SearchPlan, number: int, trials: Sequence[Trial]) -> dict[str, str]:
    """The values of one trial (not of TPE, which Optuna proposes)."""
    if plan.method == "grid":
        points = itertools.product(*(r.grid() for r in plan.ranges))
        values = next(itertools.islice(points, number, None))
        return {r.name: value for r, value in zip(plan.ranges, values, strict=True)}
    ranges = refined(plan, number, trials) if plan.method == "refine" else plan.ranges
    draws = generator(plan.seed, "search", number)
    return {r.name: r.at(float(draws.random())) for r in ranges}


def refined(plan: SearchPlan, number: int, trials: Sequence[Trial]) -> tuple[Range, ...]:
    """The ranges of a trial's round: in each round a third of the width, around the best of the rounds before."""
    count = count_of(plan)
    round_ = number * plan.rounds // count
    earlier = [t for t in trials if t.number * plan.rounds // count < round_]
    best = best_of(earlier, maximize=plan.maximize)
    if best is None:
        return plan.ranges
    return tuple(r.around(best.values[r.name], SHRINK**round_) for r in plan.ranges)


# --------------------------------------------------------------------------------------------------- Optuna


def need_optuna() -> None:
    """Raises RunError with the way to install it."""
    if importlib.util.find_spec("optuna") is None:
        raise RunError("the method tpe is Optuna's, which is not installed: pip install 'dln[search]'")


def open_study(plan: SearchPlan, name: str, folder: Path, storage: str | None) -> Any:
    """The Optuna study of a search: in a journal file of its folder, or in a storage that several machines share."""
    need_optuna()
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if storage is None:
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        where: Any = JournalStorage(JournalFileBackend(str(folder / "optuna.journal")))
    else:
        where = storage
    pruner = (
        optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=plan.prune)
        if plan.prune is not None
        else optuna.pruners.NopPruner()
    )
    return optuna.create_study(
        storage=where,
        sampler=optuna.samplers.TPESampler(seed=plan.seed, constant_liar=True),
        pruner=pruner,
        study_name=name,
        direction="maximize" if plan.maximize else "minimize",
        load_if_exists=True,
    )


def suggest(trial: Any, ranges: Sequence[Range]) -> dict[str, str]:
    """What Optuna proposes for every range."""
    values: dict[str, str] = {}
    for r in ranges:
        if r.kind == "choice":
            values[r.name] = trial.suggest_categorical(r.name, list(r.choices))
        elif r.whole:
            values[r.name] = str(trial.suggest_int(r.name, round(r.low), round(r.high), log=r.kind == "log"))
        else:
            values[r.name] = f"{trial.suggest_float(r.name, r.low, r.high, log=r.kind == 'log'):.6g}"
    return values
