"""`dln train FILE`: compile, train, leave a run folder.

In: a .dln file, overrides.  Out: the run folder (see run_folder.py), progress, a table of figures, with --json one object.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..command_options import Asked, about_network, print_json, warn

if TYPE_CHECKING:
    from ..program import Network
    from ..run import Run
    from ..run_folder import RunFolder
    from ..training.history import Figures


@click.command("train", help="Compile and train a network; leaves a run folder.")
@click.option("--epochs", type=click.IntRange(1), help="Instead of the file's.")
@click.option("--seed", type=click.IntRange(0), help="Of first weights and sample order.")
@click.option("--out", type=click.Path(), help="The run folder. Default: runs/NAME-1, -2, …")
@click.option("--folds", type=int, help="Cross-validation: train once for each of so many folds.")
@click.option("--workers", type=click.IntRange(1), help="Folds that are trained at once. Default: all cores.")
@click.option("--live", is_flag=True, help="On a terminal: curves and layers while it trains.")
@click.option(
    "--brief",
    is_flag=True,
    envvar="DLN_BRIEF",
    help="A report without what is computed anew: layers, predictions.",
)
@click.option("--resume", type=click.Path(), help="Go on with an interrupted run: its folder.")
@about_network
def command(
    asked: Asked,
    epochs: int | None,
    seed: int | None,
    out: str | None,
    folds: int | None,
    workers: int | None,
    live: bool,
    brief: bool,
    resume: str | None,
) -> int:
    if folds is not None and resume is not None:
        raise click.UsageError("--folds and --resume exclude each other")
    if out is not None and resume is not None:
        raise click.UsageError("--resume goes on in the folder of the run; leave out --out")
    asked.set(epochs=epochs, seed=seed)
    if folds is not None:
        from .folds import train_folds

        return train_folds(asked, folds, workers=workers, out=out)
    return _train(asked, out, resume, live, brief)


def _train(asked: Asked, out: str | None, resume: str | None, live: bool, brief: bool) -> int:
    started = time.perf_counter()
    from ..errors import NothingToTrain, ResumeError
    from ..run import Run, prepare

    try:
        net = prepare(asked.file, asked.settings, asked.threads, asked.precision)
        warn(net.elaborated.warnings)
        data = net.load_data()
        warn(data.warnings)
        folder = _folder(net, out, resume)
        run = Run(net, data, folder, asked.file, asked.settings, resume=resume is not None)
    except (NothingToTrain, ResumeError) as error:
        raise click.UsageError(str(error)) from None
    run.started = started
    whole = _watched(run, asked.text, live)
    content = run.finish(inside=not brief)
    _tell(run, content, asked.text)
    if asked.as_json:
        print_json({"train": {}, "validation": {}, "test": {}} | content)
    return 0 if whole else 1


def _watched(run: Run, text: Any, live: bool) -> bool:
    """Train, with progress on the screen."""
    from ..progress import is_terminal, progress_on

    net = run.net
    counts = ", ".join(f"{n} {part}" for part, n in run.data.counts.items())
    weights = sum(view.size for view in net.weights.values())
    print(
        f"{net.name}: {weights:,} weights, compiled in {net.compile_seconds:.2f} s; {counts}",
        file=text,
        flush=True,
    )
    if live and is_terminal(text):
        from ..live_view import LiveView

        with LiveView(text, net.plan.epochs, run.observer()) as view:
            return run.train(view.on_epoch, view.on_progress)
    with progress_on(text, net.plan.epochs) as progress:
        return run.train(progress.on_epoch, progress.on_progress)


def _tell(run: Run, content: dict[str, Any], text: Any) -> None:
    """How a run ended."""
    history = run.history
    if history_of_all := history.retraining:
        steps = history_of_all[-1].step if len(history_of_all) else 0
        print(f"trained again with the validation part, up to step {steps}", file=text)
    if run.message:
        click.echo(run.message, err=True)
        click.echo(f"the weights are in {run.folder.weights}", err=True)
    print_table({part: content[part] for part in run.data.parts if part in content}, text)
    print(
        f"{len(history)} epochs in {history.seconds:.2f} s"
        f" ({content['seconds']:.2f} s in all); {run.folder.path}",
        file=text,
    )


def _folder(net: Network, out: str | None, resume: str | None) -> RunFolder:
    from ..run_folder import RunFolder

    if resume is not None:
        folder = RunFolder(Path(resume))
        if not folder.checkpoint.is_file() and not folder.log_file.is_file():
            raise click.UsageError(f"'{resume}' is not the folder of a run")
        return folder
    if out is not None:
        return RunFolder.at(Path(out))
    return RunFolder.numbered(Path("runs"), net.name or "network")


def print_table(figures: dict[str, Figures], stream: Any) -> None:
    """A line per part, a column per figure."""
    names = list(dict.fromkeys(name for row in figures.values() for name in row))
    if not names:
        return
    widths = {name: max(len(name), 9) + 2 for name in names}
    print(f"{'':10}" + "".join(f"{name:>{widths[name]}}" for name in names), file=stream)
    for part, row in figures.items():
        cells = (f"{row[n]:{widths[n]}.5g}" if n in row else " " * widths[n] for n in names)
        print(f"{part:10}{''.join(cells)}", file=stream)
