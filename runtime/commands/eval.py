"""`dln eval FILE --weights W`: loss and metrics of trained weights on every part of the data.

In: a .dln file, a file of weights or a run folder.  Out: a table, with --json one object {"test": {"loss": …}, …}.
"""

from __future__ import annotations

import click

from ..command_options import PARTS, WEIGHTS, Asked, about_network, print_json


@click.command("eval", help="Loss and metrics of trained weights on the file's data.")
@WEIGHTS
@click.option("--part", type=PARTS, help="Only this part.")
@about_network
def command(asked: Asked, weights: str, part: str | None) -> int:
    from .train import print_table

    net = asked.trained(weights)
    data = net.load_data()
    parts = [part] if part is not None else list(data.parts)
    figures = {p: net.evaluate(data[p]) for p in parts}
    print_table(figures, asked.text)
    if asked.as_json:
        print_json(figures)
    return 0
