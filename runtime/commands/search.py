"""`dln search FILE`: the best values of params and settings, as the file's search section asks.

In: a .dln file with a search section.  Out: a folder with a run for every trial, `trials.csv`, `search.svg`; a table of the
best trials, with --json one object. The same command with `--out` of an earlier search joins in, or goes on.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..command_options import Asked, about_network, print_json

if TYPE_CHECKING:
    from ..studies.ranges import SearchPlan
    from ..studies.trials import Trial, Trials

#: Lines of the table.
SHOWN = 15


@click.command("search", help="Search for the best values of params and settings.")
@click.option("--trials", type=click.IntRange(1), help="Instead of the file's.")
@click.option(
    "--method", type=click.Choice(["random", "grid", "refine", "tpe"]), help="Instead of the file's."
)
@click.option("--epochs", type=click.IntRange(1), help="Of every trial.")
@click.option("--workers", type=click.IntRange(1), help="Trials that run at once. Default: all cores.")
@click.option(
    "--storage", metavar="URL", help="Of Optuna, for tpe on several machines: sqlite:///FILE, mysql://…"
)
@click.option(
    "--out", type=click.Path(), help="The folder; an earlier search's: join in. Default: runs/NAME-search-1"
)
@about_network
def command(
    asked: Asked,
    trials: int | None,
    method: str | None,
    epochs: int | None,
    workers: int | None,
    storage: str | None,
    out: str | None,
) -> int:
    from dataclasses import replace

    from ..run_folder import RunFolder
    from ..studies.jobs import share_cores
    from ..studies.methods import count_of, need_optuna
    from ..studies.ranges import read_search
    from ..studies.search import Search, run_search
    from ..studies.trials import Trials

    asked.set(epochs=epochs)
    plan = read_search(asked.elaborated)
    changes: dict[str, Any] = {"trials": trials, "method": method}
    plan = replace(plan, **{k: v for k, v in changes.items() if v is not None})
    if storage is not None and plan.method != "tpe":
        raise click.UsageError(
            "--storage is Optuna's, for the method tpe; the others share their folder, --out"
        )
    if plan.method == "tpe":
        need_optuna()
    if out is None:
        folder = RunFolder.numbered(Path("runs"), f"{Path(asked.file).stem}-search").path
    else:
        folder = Path(out)
        folder.mkdir(parents=True, exist_ok=True)
    shared = Trials(folder)
    shared.release_lost()
    count = count_of(plan)
    processes, each = share_cores(count, workers, asked.threads)
    search = Search(asked.file, plan, str(folder), asked.settings, each, asked.precision, storage)
    try:
        run_search(
            search, processes, lambda trial: print(_line(trial, plan, count), file=asked.text, flush=True)
        )
    finally:
        found = shared.read()
        _write(found, plan, shared)
        print(_table(found, plan), file=asked.text)
        print(folder, file=asked.text)
    return _end(found, plan, folder, asked.as_json)


def _end(found: list[Trial], plan: SearchPlan, folder: Path, as_json: bool) -> int:
    from ..studies.trials import as_rows, best_of

    best = best_of(found, maximize=plan.maximize)
    if as_json:
        shown = None
        if best is not None:
            place = folder / f"trial-{best.number:04d}"
            shown = {
                "trial": best.number,
                "values": best.values,
                "value": best.value,
                **best.figures,
                "folder": str(place),
            }
        print_json(
            {"best": shown, "trials": as_rows(found, [r.name for r in plan.ranges]), "folder": str(folder)}
        )
    return 0 if best is not None else 1


def _line(trial: Trial, plan: SearchPlan, count: int) -> str:
    values = "  ".join(f"{name} {value}" for name, value in trial.values.items())
    if trial.state == "failed":
        result = trial.error.splitlines()[0]
    else:
        result = f"{plan.figure} {trial.value:.5g}" + (
            f"  given up after {trial.epochs}" if trial.state == "pruned" else ""
        )
    return f"trial {trial.number + 1}/{count}  {values}  {result}"


def _sorted(trials: list[Trial], plan: SearchPlan) -> list[Trial]:
    sign = -1 if plan.maximize else 1
    good = [t for t in trials if t.state == "done" and t.is_finite]
    others = [t for t in trials if t not in good]
    return sorted(good, key=lambda t: sign * (t.value or 0.0)) + others


def _table(trials: list[Trial], plan: SearchPlan) -> str:
    """The best trials first."""
    from ..studies.trials import as_rows

    rows = as_rows(_sorted(trials, plan), [r.name for r in plan.ranges])
    heads = list(dict.fromkeys(key for row in rows for key in row if key not in ("value", "seconds")))
    lines = [heads]
    for row in rows[:SHOWN]:
        cells = (row.get(head, "") for head in heads)
        lines.append([f"{c:.5g}" if isinstance(c, float) else str(c) for c in cells])
    widths = [max(len(line[k]) for line in lines) for k in range(len(heads))]
    text = ["  ".join(f"{c:>{w}}" for c, w in zip(line, widths, strict=True)) for line in lines]
    if len(rows) > SHOWN:
        text.append(f"and {len(rows) - SHOWN} more, in trials.csv")
    return "\n".join(text)


def _write(trials: list[Trial], plan: SearchPlan, shared: Trials) -> None:
    from ..checkpoint import write_atomically
    from ..studies.search_picture import draw
    from ..studies.trials import as_rows

    rows = as_rows(_sorted(trials, plan), [r.name for r in plan.ranges])
    heads = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, heads, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(shared.folder / "trials.csv", text.getvalue().encode())
    write_atomically(shared.folder / "search.svg", draw(plan, trials).encode())
