"""`dln check FILE`: the errors of a file, or its sizes.

In: a .dln file.  Out: every error and warning; without an error a table of units, connections, distinct weights, multiply-adds
forward and backward, bytes, and the length of the longest path, per layer and in all; and the memory that training takes.
With --cost the time of a step, predicted family by family (compiler/machine/prediction.py). With --json one object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..command_options import FILE, JSON, SET, THREADS, print_json, settings_of

if TYPE_CHECKING:
    from ...compiler.elaborate import Network
    from ...compiler.kernels.program import Program
    from ...compiler.mathematics.counts import Counts
    from ...compiler.source import Diagnostic

COLUMNS = ("units", "connections", "weights", "multiply_adds", "backward", "bytes", "path")
HEADS = ("", "units", "connections", "weights", "multiply-adds", "backward", "bytes", "path")
#: Calls of which --cost shows the families; the others are added up.
SHOWN_CALLS = 12


@click.command("check", help="Errors of a file; or units, connections, weights, multiply-adds, bytes.")
@FILE
@SET
@click.option("--cost", is_flag=True, help="Predict the time of a training step.")
@THREADS
@JSON
def command(file: str, assignments: tuple[str, ...], cost: bool, threads: int | None, as_json: bool) -> int:
    from ...compiler.source import render
    from ..file_check import check_file

    network, messages = check_file(file, settings_of(assignments))
    for message in messages:
        click.echo(render(message) + "\n", err=True)
    if network is None:
        if as_json:
            print_json(_empty() | _messages(messages))
        return 2
    counts = _count(network)
    if counts is not None and not as_json:
        _print_table(
            network.graph.name, counts
        )  # at once: the memory takes longer, the network is lowered for it
    program = None if counts is None else _program(network)
    prediction = _predicted(program, threads) if program is not None and cost else None
    if as_json:
        sizes = counts.as_json() if counts is not None else _empty()
        if program is not None:
            sizes |= {"memory": program.bytes, "arena": program.bytes - program.persistent_bytes}
        print_json(sizes | _messages(messages) | ({"cost": prediction} if prediction is not None else {}))
    elif counts is not None:
        if program is not None:
            what = "training" if network.train is not None else "running"
            arena = _bytes(program.bytes - program.persistent_bytes)
            click.echo(
                f"{what} takes {_bytes(program.bytes)} of memory, {arena} of it for what a step computes"
            )
        if prediction is not None:
            _print_prediction(prediction)
    return 2 if any(message.is_error for message in messages) else 0


def _count(network: Network) -> Counts | None:
    """The sizes, or None after a line where a table is too large to be counted."""
    from ...compiler.mathematics.counts import count
    from ...compiler.mathematics.lattice import TooManyPoints
    from ...compiler.passes.effort import add_effort

    try:
        return add_effort(network.graph, count(network.graph))
    except TooManyPoints as error:
        click.echo(f"cannot count: {error}", err=True)
        return None


def _program(network: Network) -> Program | None:
    """The network lowered for minibatches of the file's size; None where that cannot be done."""
    from ...compiler.pipeline import compile_network
    from ...compiler.source import DiagnosticError
    from ..gathered_execution import PART, is_gathered
    from ..training.settings import read_plan

    try:
        plan = read_plan(network)
    except DiagnosticError:
        return None
    trains = network.train is not None and network.graph.loss is not None
    optimizer = plan.optimizer if trains else None
    capacity = PART if is_gathered(network.graph, plan.capacity) else plan.capacity
    try:
        return compile_network(network, capacity=capacity, optimizer=optimizer, gradient=trains).program
    except (NotImplementedError, MemoryError):
        return None


def _predicted(program: Program, threads: int | None) -> dict[str, Any]:
    """The time of a step of the routine that learns, or else runs, call by call; and what it was predicted from."""
    from ...compiler.machine.prediction import predict
    from ...compiler.machine.speed import machine_speed
    from ..execution import default_threads

    speed, threads = machine_speed(), threads or default_threads()
    routine = next(name for name in ("train", "gradient", "evaluate", "forward") if name in program.routines)
    calls = predict(program, routine, speed, threads)
    return {
        "routine": routine,
        "samples": program.capacity,
        "threads": threads,
        "seconds": sum(call.seconds for call in calls),
        "multiply_adds_per_second": speed.multiply_adds,
        "bytes_per_second": speed.bytes,
        "calls": [vars(call) | {"families": list(call.families)} for call in calls],
    }


def _print_prediction(prediction: dict[str, Any]) -> None:
    """The longest calls, and all of them together."""
    total, number = prediction["seconds"], prediction["threads"]
    threads = "one thread" if number == 1 else f"{number} threads"
    calls = sorted(prediction["calls"], key=lambda call: -call["seconds"])
    rest = calls[SHOWN_CALLS:]
    if len(rest) > 1:
        sums = {key: sum(call[key] for call in rest) for key in ("multiply_adds", "bytes", "seconds")}
        calls[SHOWN_CALLS:] = [{"families": [f"{len(rest)} other calls"], **sums}]
    click.echo(
        f"\na step of {prediction['samples']} samples on {threads}: about {_time(total)}"
        f" ({prediction['multiply_adds_per_second'] / 1e9:.3g} G multiply-adds a second and core,"
        f" {prediction['bytes_per_second'] / 1e9:.3g} GB a second)"
    )
    for call in calls:
        families, seconds = ", ".join(call["families"]), call["seconds"]
        shown = families if len(families) <= 60 else families[:59] + "…"
        points, size = f"{call['multiply_adds']:,}", _bytes(call["bytes"])
        click.echo(f"{_time(seconds):>8}  {seconds / total:>4.0%}  {points:>15} points  {size:>9}  {shown}")


def _time(seconds: float) -> str:
    """`1.5 ms`: three digits."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def _empty() -> dict[str, Any]:
    from ...compiler.mathematics.counts import Counts

    return Counts().as_json()


def _messages(diagnostics: list[Diagnostic]) -> dict[str, Any]:
    return {
        "errors": [d.as_json() for d in diagnostics if d.is_error],
        "warnings": [d.as_json() for d in diagnostics if not d.is_error],
    }


def _print_table(name: str, counts: Counts) -> None:
    lines: list[tuple[str, ...]] = [HEADS]
    for row in [*counts.rows, counts.total]:
        extents = f"[{', '.join(map(str, row.extents))}]" if row.extents else ""
        title = (name or "in all") if row is counts.total else f"{row.name}{extents}"
        lines.append((title, *(f"{getattr(row, column):,}" for column in COLUMNS)))
    widths = [max(len(line[k]) for line in lines) for k in range(len(HEADS))]
    for number, line in enumerate(lines):
        if number == len(lines) - 1:
            click.echo("─" * (sum(widths) + 2 * (len(widths) - 1)))
        cells = [f"{line[0]:{widths[0]}}", *(f"{line[k]:>{widths[k]}}" for k in range(1, len(line)))]
        click.echo("  ".join(cells).rstrip())


def _bytes(size: int) -> str:
    """`1.5 MB`: powers of 1000, three digits."""
    value, units = float(size), ["bytes", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.3g} {units[0]}"
