"""`dln ensemble FILE`: train several networks, average their predictions.

In: a .dln file.  Out: a run folder for every member, `ensemble.json`, a table of the members' figures and the ensemble's;
with --json one object. The folder serves as weights for `dln eval` and `dln predict`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from ..command_line import FILE, JSON, PRECISION, SET, THREADS, print_json, settings_of, with_json_errors


@click.command("ensemble", help="Train several networks and average their predictions.")
@FILE
@SET
@click.option("--members", type=click.IntRange(2), default=5, show_default=True, help="How many networks.")
@click.option("--bagging", is_flag=True, help="Each learns from rows drawn with replacement.")
@click.option("--average", type=click.Choice(["probabilities", "values"]), default="probabilities", show_default=True,
              help="Of scores: their probabilities, or the scores themselves.")  # fmt: skip
@click.option("--epochs", type=click.IntRange(1), help="Instead of the file's.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the first member.")
@click.option(
    "--workers", type=click.IntRange(1), help="Networks that are trained at once. Default: all cores."
)
@THREADS
@PRECISION
@click.option("--out", type=click.Path(), help="The folder. Default: runs/NAME-ensemble-1, -2, …")
@JSON
def command(
    file: str,
    assignments: tuple[str, ...],
    members: int,
    bagging: bool,
    average: str,
    epochs: int | None,
    seed: int,
    workers: int | None,
    threads: int | None,
    precision: str,
    out: str | None,
    as_json: bool,
) -> int:
    settings = settings_of(assignments, epochs=epochs)

    def action() -> int:
        from ...compiler.pipeline import front
        from ..checkpoint import write_atomically
        from ..program import Network
        from ..studies.ensemble import FILE as DESCRIPTION
        from ..studies.ensemble import Ensemble, member_jobs
        from ..studies.folds import summarise, table
        from ..studies.jobs import share_cores
        from .folds import study_folder, watch

        net = Network(front(file, settings), Path(file).parent, precision=precision, purpose="evaluation")  # type: ignore[arg-type]
        values = average == "values"
        Ensemble(net, [], values=values)  # an ensemble that cannot be averaged is known before it is trained
        folder = study_folder(file, "ensemble", out)
        processes, each = share_cores(members, workers, threads)
        jobs = member_jobs(file, members, seed, settings, str(folder), each, precision, bagging=bagging)
        results = watch(jobs, processes, as_json)
        good = [Path(job.folder) for job, r in zip(jobs, results, strict=True) if "error" not in r]
        if not good:
            raise click.ClickException("no member was trained")
        description = {"members": [path.name for path in good], "values": values}
        write_atomically(folder / DESCRIPTION, (json.dumps(description) + "\n").encode())
        ensemble = Ensemble.load(net, folder)
        data = ensemble.load_data()
        figures = {part: ensemble.evaluate(data[part]) for part in data.parts}
        summary = summarise([r for r in results if "error" not in r])
        text = sys.stderr if as_json else sys.stdout
        extra = {"mean": summary["mean"], "deviation": summary["deviation"], "ensemble": figures}
        print(table([job.name for job in jobs], results, extra), file=text)
        print(folder, file=text)
        if as_json:
            print_json({**figures, "members": results, **summary, "folder": str(folder)})
        return 1 if len(good) < members else 0

    return with_json_errors(as_json, action)
