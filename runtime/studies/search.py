"""A search: trainings with other values of params and settings, until there are enough.

In: a `Search` (file, plan, folder).  Out: `trial-0000`, … : the run folder of every trial, with its `trial.json`.

    run_search(search, workers=2)

Every worker is a process that claims the next trial, trains, writes down what came out, and looks at the others only through
the folder (or Optuna's storage). So a second `dln search` on the same folder joins in, and one that is broken off goes on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from ..errors import RunError
from ..training.history import Record
from .methods import count_of, open_study, propose, suggest
from .ranges import SearchPlan
from .trials import Trial, Trials, hopeless, this_process


@dataclass(frozen=True)
class Search:
    """What every worker is told."""

    file: str
    plan: SearchPlan
    folder: str
    settings: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1
    precision: str = "float32"
    storage: str | None = None


def run_search(search: Search, workers: int, told: Callable[[Trial], None]) -> None:
    """Run trials until there are enough; `told` is called with each that this call has run."""
    if workers == 1:
        work(search, told)
        return
    seen: set[int] = set()
    trials = Trials(Path(search.folder))
    before = {t.number for t in trials.read() if t.state != "running"}

    def tell() -> None:
        for trial in trials.read():
            if trial.number not in seen | before and trial.state != "running":
                seen.add(trial.number)
                told(trial)

    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(work, search) for _ in range(workers)]
        try:
            while not all(future.done() for future in futures):
                time.sleep(0.2)
                tell()
        except BaseException:
            for process in list((getattr(pool, "_processes", None) or {}).values()):
                process.terminate()
            raise
        tell()
        for future in as_completed(futures):
            future.result()


def work(search: Search, told: Callable[[Trial], None] | None = None) -> None:
    """Claim trials and run them until there are none left."""
    trials, count = Trials(Path(search.folder)), count_of(search.plan)
    study = None
    if search.plan.method == "tpe":
        study = open_study(search.plan, Path(search.folder).name, Path(search.folder), search.storage)
    while (number := trials.claim(count)) is not None:
        advice = study.ask() if study is not None else None
        values = (
            suggest(advice, search.plan.ranges)
            if advice is not None
            else propose(search.plan, number, trials.read())
        )
        trial = Trial(number, values, process=this_process())
        trials.write(trial)
        started = time.perf_counter()
        _train(search, trials, trial, advice)
        trial.seconds = time.perf_counter() - started
        trials.write(trial)
        if study is not None:
            _tell_optuna(study, advice, trial)
        if told is not None:
            told(trial)
        if trial.error == "interrupted":
            raise KeyboardInterrupt


def _train(search: Search, trials: Trials, trial: Trial, advice: Any) -> None:
    """One training; what comes out is written into `trial`."""
    from ...compiler.source import DiagnosticError
    from ..run import Run, prepare
    from ..run_folder import RunFolder

    settings = {**search.settings, **trial.values}
    others = trials.read() if search.plan.prune is not None else []
    try:
        net = prepare(search.file, settings, search.threads, search.precision)
        folder = RunFolder(trials.path(trial.number))
        run = Run(net, net.load_data(), folder, search.file, settings)

        def on_epoch(record: Record) -> bool:
            trial.curve.append(_value(search.plan, record.validation or record.train))
            return _give_up(search.plan, trial, others, advice)

        run.train(on_epoch, traces=False)  # a search tries rates that diverge; nobody asks which equation did
        content = run.finish(inside=False)
        trial.figures = {part: content[part] for part in run.data.parts if part in content}
        trial.epochs = len(run.history)
        ending = run.history.ending
        if ending in ("diverged", "interrupted"):
            trial.state, trial.error = "failed", "diverged" if ending == "diverged" else "interrupted"
            return
        trial.state = "pruned" if ending == "callback" else "done"
        measured = trial.figures.get("validation") or trial.figures["train"]
        trial.value = _value(search.plan, measured)
    except (DiagnosticError, RunError, OSError, MemoryError) as error:
        trial.state, trial.error = "failed", str(error) or type(error).__name__


def _value(plan: SearchPlan, figures: Mapping[str, float]) -> float:
    value = figures.get(plan.figure, math.nan)
    return value if math.isfinite(value) else (-math.inf if plan.maximize else math.inf)


def _give_up(plan: SearchPlan, trial: Trial, others: list[Trial], advice: Any) -> bool:
    if plan.prune is None:
        return False
    if advice is not None:
        advice.report(trial.curve[-1], len(trial.curve))
        return bool(advice.should_prune())
    return hopeless(trial.curve, others, plan.prune, maximize=plan.maximize)


def _tell_optuna(study: Any, advice: Any, trial: Trial) -> None:
    from optuna.trial import TrialState

    states = {"done": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
    value = trial.value if trial.state == "done" and trial.is_finite else None
    if trial.state == "done" and value is None:
        study.tell(advice, state=TrialState.FAIL)
    else:
        study.tell(advice, value, state=states[trial.state])
