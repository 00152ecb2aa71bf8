"""What `dln train FILE --folds 5` does (see folds.py), and what studies have in common on the screen.

In: the command's options.  Out: a line when a run ends, a table, with --json one object.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ..checkpoint import write_atomically
from ..command_options import Asked, print_json
from ..run_folder import RunFolder
from ..studies.folds import fold_jobs, summarise, table
from ..studies.jobs import Job, Result, run_jobs, share_cores


def train_folds(asked: Asked, folds: int, *, workers: int | None, out: str | None) -> int:
    """Train every fold; returns the exit code."""
    if folds < 2:
        raise click.UsageError(f"--folds is at least 2, got {folds}")
    folder = study_folder(asked.file, "folds", out)
    workers, threads = share_cores(folds, workers, asked.threads)
    jobs = fold_jobs(asked.file, folds, asked.settings, str(folder), threads, asked.precision)
    results = watch(jobs, workers, asked.as_json)
    content = {"folds": results, **summarise([r for r in results if "error" not in r])}
    extra: dict[str, Any] = {"mean": content["mean"], "deviation": content["deviation"]}
    print(table([job.name for job in jobs], results, extra), file=asked.text)
    print(folder, file=asked.text)
    write_atomically(folder / "folds.json", (json.dumps(content, indent=1) + "\n").encode())
    if asked.as_json:
        print_json(content)
    return 1 if any("error" in r for r in results) else 0


def study_folder(file: str, kind: str, out: str | None) -> Path:
    """Where the runs of a study lie: the folder that is asked for, or the next one that is free."""
    if out is not None:
        return RunFolder.at(Path(out)).path
    return RunFolder.numbered(Path("runs"), f"{Path(file).stem}-{kind}").path


def watch(jobs: Sequence[Job], workers: int, as_json: bool) -> list[Result]:
    """Run jobs, with a line when each ends; the results in the order of the jobs."""
    text = sys.stderr if as_json else sys.stdout
    found: dict[str, Result] = {}
    for job, result in run_jobs(jobs, workers):
        found[job.name] = result
        if "error" in result:
            click.echo(f"{job.name}: {result['error']}", err=True)
        else:
            print(f"{job.name}: {_told(result)}", file=text, flush=True)
    return [found[job.name] for job in jobs]


def _told(result: Result) -> str:
    from ..progress import figures_text

    shown: dict[str, Any] = {}
    for part in ("validation", "test", "train"):
        if part in result:
            shown = {f"{part} {name}": value for name, value in result[part].items()}
            break
    return f"{figures_text(shown)}  ({result['epochs']} epochs, {result['seconds']:.1f} s)"
