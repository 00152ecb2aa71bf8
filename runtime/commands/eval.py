"""`dln eval FILE --weights W`: loss and metrics of trained weights on every part of the data.

In: a .dln file, a file of weights or a run folder.  Out: a table, with --json one object {"test": {"loss": …}, …}.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..command_line import (
    FILE,
    JSON,
    PRECISION,
    SET,
    THREADS,
    WEIGHTS,
    print_json,
    settings_of,
    warn,
    with_json_errors,
)

if TYPE_CHECKING:
    from ..program import Network
    from ..studies.ensemble import Ensemble


@click.command("eval", help="Loss and metrics of trained weights on the file's data.")
@FILE
@WEIGHTS
@SET
@click.option("--part", type=click.Choice(["train", "validation", "test"]), help="Only this part.")
@THREADS
@PRECISION
@JSON
def command(
    file: str,
    weights: str,
    assignments: tuple[str, ...],
    part: str | None,
    threads: int | None,
    precision: str,
    as_json: bool,
) -> int:
    settings = settings_of(assignments)

    def action() -> int:
        from .train import print_table

        net = trained(file, weights, settings, threads, precision)
        data = net.load_data()
        parts = [part] if part is not None else list(data.parts)
        figures = {p: net.evaluate(data[p]) for p in parts}
        print_table(figures, sys.stderr if as_json else sys.stdout)
        if as_json:
            print_json(figures)
        return 0

    return with_json_errors(as_json, action)


def trained(
    file: str, weights: str, settings: dict[str, str], threads: int | None, precision: str
) -> Network | Ensemble:
    """The network of a file with weights restored, compiled without training; or the ensemble in a folder."""
    from ...compiler.pipeline import front
    from ..program import Network

    elaborated = front(file, settings)
    warn(elaborated.warnings)
    path = Path(weights)
    net = Network(elaborated, Path(file).parent, precision=precision, threads=threads, purpose="evaluation")  # type: ignore[arg-type]
    if (path / "ensemble.json").is_file():
        from ..studies.ensemble import Ensemble

        return Ensemble.load(net, path)
    if path.is_dir():
        path = path / "weights.safetensors"
    net.restore(path)
    return net
