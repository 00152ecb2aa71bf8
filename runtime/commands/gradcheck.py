"""`dln gradcheck FILE`: the derived gradient against finite differences, in double precision.

In: a .dln file.  Out: a table with a line per weight; exit code 1 where an error is above the tolerance.
"""

from __future__ import annotations

from pathlib import Path

import click

from ..command_options import FILE, JSON, SET, print_json, settings_of, warn, with_json_errors


@click.command("gradcheck", help="Symbolic against finite differences, in double precision.")
@FILE
@SET
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of weights and random samples."
)
@click.option("--samples", type=click.IntRange(1), default=7, show_default=True, help="How many.")
@click.option("--data", "own_data", is_flag=True, help="The file's data, not random numbers.")
@click.option("--tolerance", type=float, default=1e-6, show_default=True, help="Of the relative error.")
@JSON
def command(
    file: str,
    assignments: tuple[str, ...],
    seed: int,
    samples: int,
    own_data: bool,
    tolerance: float,
    as_json: bool,
) -> int:
    settings = settings_of(assignments)

    def action() -> int:
        from ...compiler.pipeline import front
        from ..gradient_check import check_gradient
        from ..program import Network
        from ..random_samples import random_samples

        elaborated = front(file, settings, compiling=True)
        warn(elaborated.warnings)
        if elaborated.graph.loss is None:
            raise click.UsageError(f"'{file}' has no loss, so there is no gradient")
        net = Network(
            elaborated, Path(file).parent, seed=seed, precision="float64",
            purpose="gradient", capacity=min(samples, 8),
        )  # fmt: skip
        if own_data:
            train = net.load_data()["train"]
            given = {name: values[:samples] for name, values in train.items()}
        else:
            given = random_samples(elaborated.graph, samples, seed)
        rows = check_gradient(net, given, seed)
        width = max([len(row.weight) for row in rows] + [6])
        echo_to_error = as_json
        click.echo(
            f"{'weight':{width}}  {'entries':>9}  {'directions':>10}  {'|gradient|':>10}  error",
            err=echo_to_error,
        )
        for row in rows:
            click.echo(
                f"{row.weight:{width}}  {row.entries:9,}  {row.directions:10}"
                f"  {row.gradient:10.3g}  {row.error:.1e}"
                + ("  too large" if not row.error <= tolerance else ""),
                err=echo_to_error,
            )
        worst = max((row.error for row in rows), default=0.0)
        good = worst <= tolerance
        click.echo(
            f"largest relative error {worst:.1e}, {'within' if good else 'above'} {tolerance:g}",
            err=echo_to_error,
        )
        if as_json:
            weights = {
                row.weight: {"entries": row.entries, "gradient": row.gradient, "error": row.error}
                for row in rows
            }
            print_json({"error": worst, "tolerance": tolerance, "passed": good, "weights": weights})
        return 0 if good else 1

    return with_json_errors(as_json, action)
