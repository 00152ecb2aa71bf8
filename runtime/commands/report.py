"""`dln report RUN`: one HTML page about a run.

In: the folder of a run, finished or not.  Out: its report.html, or another file; the page's path is printed.
"""

from __future__ import annotations

from pathlib import Path

import click

from ..command_options import THREADS


@click.command("report", help="Write an HTML page about a run: curves, layers, predictions, equations.")
@click.argument("folder", metavar="RUN", type=click.Path())
@click.option("--out", type=click.Path(), help="The page. Default: report.html in the run's folder.")
@click.option("--brief", is_flag=True, help="Without what has to be computed anew from weights and data.")
@THREADS
def command(folder: str, out: str | None, brief: bool, threads: int | None) -> int:
    from ..checkpoint import write_atomically
    from ..report.from_folder import material_of
    from ..report.report import report

    place = Path(folder)
    if not place.is_dir():
        raise click.UsageError(f"'{folder}' is not the folder of a run")
    material = material_of(place, inside=not brief, threads=threads)
    page = report(material)
    path = Path(out) if out is not None else place / "report.html"
    write_atomically(path, page.encode())
    for line in material.missing:
        click.echo(line, err=True)
    click.echo(str(path))
    return 0
