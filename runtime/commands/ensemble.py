"""`dln ensemble FILE`: train several networks, average their predictions.

In: a .dln file.  Out: a run folder for every member, `ensemble.json`, a table of the members' figures and the ensemble's;
with --json one object. The folder serves as weights for `dln eval` and `dln predict`.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from ..command_options import Asked, about_network, print_json


@click.command("ensemble", help="Train several networks and average their predictions.")
@click.option("--members", type=click.IntRange(2), default=5, show_default=True, help="How many networks.")
@click.option("--bagging", is_flag=True, help="Each learns from rows drawn with replacement.")
@click.option("--average", type=click.Choice(["probabilities", "values"]), default="probabilities", show_default=True,
              help="Of scores: their probabilities, or the scores themselves.")  # fmt: skip
@click.option("--epochs", type=click.IntRange(1), help="Instead of the file's.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the first member.")
@click.option(
    "--workers", type=click.IntRange(1), help="Networks that are trained at once. Default: all cores."
)
@click.option("--out", type=click.Path(), help="The folder. Default: runs/NAME-ensemble-1, -2, …")
@about_network
def command(
    asked: Asked,
    members: int,
    bagging: bool,
    average: str,
    epochs: int | None,
    seed: int,
    workers: int | None,
    out: str | None,
) -> int:
    from ..checkpoint import write_atomically
    from ..studies.ensemble import FILE as DESCRIPTION
    from ..studies.ensemble import Ensemble, member_jobs
    from ..studies.folds import summarise, table
    from ..studies.jobs import share_cores
    from .folds import study_folder, watch

    asked.set(epochs=epochs)
    net = asked.network(
        purpose="evaluation", threads=None
    )  # members share the cores, it works when they are done
    values = average == "values"
    Ensemble(net, [], values=values)  # an ensemble that cannot be averaged is known before it is trained
    folder = study_folder(asked.file, "ensemble", out)
    processes, each = share_cores(members, workers, asked.threads)
    jobs = member_jobs(
        asked.file, members, seed, asked.settings, str(folder), each, asked.precision, bagging=bagging
    )
    results = watch(jobs, processes, asked.as_json)
    good = [Path(job.folder) for job, r in zip(jobs, results, strict=True) if "error" not in r]
    if not good:
        raise click.ClickException("no member was trained")
    description = {"members": [path.name for path in good], "values": values}
    write_atomically(folder / DESCRIPTION, (json.dumps(description) + "\n").encode())
    ensemble = Ensemble.load(net, folder)
    data = ensemble.load_data()
    figures = {part: ensemble.evaluate(data[part]) for part in data.parts}
    summary = summarise([r for r in results if "error" not in r])
    extra = {"mean": summary["mean"], "deviation": summary["deviation"], "ensemble": figures}
    print(table([job.name for job in jobs], results, extra), file=asked.text)
    print(folder, file=asked.text)
    if asked.as_json:
        print_json({**figures, "members": results, **summary, "folder": str(folder)})
    return 1 if len(good) < members else 0
