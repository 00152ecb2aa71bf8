"""`dln bench FILE`: how long a training step takes; with --profile how long each of its calls.

In: a .dln file; random samples, or with --data the file's own.  Out: the median time of a step; a table of calls, each with its
families, time, share, and what it does in a second: multiply-adds in GFLOP/s (two each) and as a percentage of the peak that this
machine was measured to have, or bytes. With --json one object.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from ..command_options import Asked, about_network, print_json

if TYPE_CHECKING:
    import numpy as np

    from ..program import Network

#: The fewest and the most minibatches of random samples, and about how many numbers they are: of a small network many steps are
#: one native call, so that what Python does in between does not count.
MINIBATCHES = (8, 1000)
NUMBERS = 4_000_000
#: Without a train section the first of these routines that the file has is measured.
ROUTINES = ("train", "gradient", "evaluate", "forward")


@click.command("bench", help="How long a training step takes, and how long each call of it.")
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="To measure for.",
)
@click.option("--profile", is_flag=True, help="Every call of a step.")
@click.option("--data", "own_data", is_flag=True, help="The file's data, not random numbers.")
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of weights and random samples."
)
@about_network
def command(asked: Asked, seconds: float, profile: bool, own_data: bool, seed: int) -> int:
    from ..step_timing import profile_steps, time_steps

    net = asked.network(seed=seed)
    execution = net.execution_for()
    routine = next(name for name in ROUTINES if name in execution.program.routines)
    batch = min(net.plan.capacity, execution.program.capacity)
    arrays = _samples(net, batch, own_data, seed, asked.precision)
    execution.compiled.code.load(routine)
    times = time_steps(execution, routine, arrays, batch, seconds)
    found: dict[str, Any] = {
        "routine": routine,
        "samples": batch,
        "threads": execution.threads,
        "precision": asked.precision,
        "seconds": times.median,
        "least": times.least,
        "steps": times.steps,
        "compile_seconds": net.compile_seconds,
    }
    if profile:
        calls = profile_steps(execution, routine, arrays, batch, seconds)
        found |= _profile(calls, execution.threads, asked.precision)
    if asked.as_json:
        print_json(found)
    else:
        _print(found)
    return 0


def _samples(net: Network, batch: int, own_data: bool, seed: int, precision: str) -> dict[str, np.ndarray]:
    """Whole minibatches of samples, as the program takes them."""
    from ..arrays import check_samples
    from ..random_samples import random_samples

    if own_data:
        train = net.load_data()["train"]
        count = min(map(len, train.values()))
        if count < batch:
            raise click.UsageError(f"the data has {count} samples, fewer than a minibatch of {batch}")
        return dict(train)
    drawn = random_samples(net.elaborated.graph, minibatches(net, batch) * batch, seed)
    return dict(check_samples(drawn, net.elaborated.graph.inputs, precision).arrays)


def minibatches(net: Network, batch: int) -> int:
    """How many minibatches of so many samples are drawn."""
    numbers = batch * sum(math.prod(array.extents) for array in net.elaborated.graph.inputs)
    fewest, most = MINIBATCHES
    return min(most, max(fewest, NUMBERS // max(numbers, 1)))


def _profile(calls: Any, threads: int, precision: str) -> dict[str, Any]:
    """The calls with what they do in a second, the longest first, and the peak that they are compared with."""
    from ...compiler.machine.speed import machine_speed

    peak = machine_speed().multiply_adds * (0.5 if precision == "float64" else 1.0)
    rows = []
    for call in sorted(calls, key=lambda c: -c.seconds):
        row: dict[str, Any] = {
            "families": list(call.families),
            "kernel": call.kernel,
            "seconds": call.seconds,
            "multiply_adds": call.multiply_adds,
            "bytes": call.bytes,
            "divided": call.divided,
            "of_peak": None,
        }
        if call.multiply_adds and call.seconds > 0:
            share = call.multiply_adds / call.seconds / (peak * (threads if call.divided else 1))
            row["of_peak"] = share if share <= 1 else None  # else its conditions leave out points
        rows.append(row)
    return {"peak_multiply_adds_per_second": peak, "calls": rows}


def _print(found: dict[str, Any]) -> None:
    number = found["threads"]
    threads = "one thread" if number == 1 else f"up to {number} threads"
    samples = found["samples"]
    what = "training step" if found["routine"] == "train" else f"run of '{found['routine']}'"
    click.echo(
        f"a {what} of {samples} {'sample' if samples == 1 else 'samples'} on {threads}:"
        f" {_time(found['seconds'])} (median of {found['steps']:,} steps, least {_time(found['least'])}),"
        f" {samples / found['seconds']:,.0f} samples a second"
    )
    if "calls" not in found:
        return
    peak = found["peak_multiply_adds_per_second"]
    total = sum(call["seconds"] for call in found["calls"])
    click.echo(f"peak of one core: {2e-9 * peak:.4g} GFLOP/s\n")
    click.echo(f"{'time':>8}  share  {'a second':>12}  of peak  threads  families")
    for call in found["calls"]:
        spent = call["seconds"]
        rate = "" if spent <= 0 else f"{call['bytes'] / spent / 1e9:.4g} GB/s"
        if call["multiply_adds"] and call["of_peak"] is not None:
            rate = f"{2e-9 * call['multiply_adds'] / spent:.4g} GFLOP/s"
        of_peak = "" if call["of_peak"] is None else f"{call['of_peak']:.0%}"
        shown = ", ".join(call["families"])
        shown = shown if len(shown) <= 60 else shown[:59] + "…"
        share = spent / total if total > 0 else 0.0
        click.echo(
            f"{_time(spent):>8}  {share:>5.1%}  {rate:>12}  {of_peak:>7}  {'all' if call['divided'] else 'one':>7}  {shown}"
        )
    click.echo(
        f"{_time(total):>8}  in {len(found['calls'])} calls; barriers and the gather of the samples are not among them"
    )


def _time(seconds: float) -> str:
    """`1.5 ms`: three digits."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
