"""`dln check FILE`: the errors of a file, or its sizes.

In: a .dln file.  Out: every error and warning; without an error a table of units, connections, distinct weights,
multiply-adds and bytes, per layer and in all, and the memory that training takes. With --json one object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..command_line import FILE, JSON, SET, print_json, settings_of

if TYPE_CHECKING:
    from ...compiler.elaborate import Network
    from ...compiler.mathematics.counts import Counts
    from ...compiler.source import Diagnostic

COLUMNS = ("units", "connections", "weights", "multiply_adds", "bytes")


@click.command("check", help="Errors of a file; or units, connections, weights, multiply-adds, bytes.")
@FILE
@SET
@JSON
def command(file: str, assignments: tuple[str, ...], as_json: bool) -> int:
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
    if counts is not None and not as_json:  # at once: the memory takes longer, since the network is lowered for it
        _print_table(network.graph.name, counts)
    memory = None if counts is None else _memory(network)
    if as_json:
        sizes = counts.as_json() if counts is not None else _empty()
        print_json(sizes | _messages(messages) | ({"memory": memory} if memory is not None else {}))
    elif memory is not None:
        what = "training" if network.train is not None else "running"
        click.echo(f"{what} takes {_bytes(memory)}")
    return 2 if any(message.is_error for message in messages) else 0


def _count(network: Network) -> Counts | None:
    """The sizes, or None after a line where a table is too large to be counted."""
    from ...compiler.mathematics.counts import count
    from ...compiler.mathematics.lattice import TooManyPoints

    try:
        return count(network.graph)
    except TooManyPoints as error:
        click.echo(f"cannot count: {error}", err=True)
        return None


def _memory(network: Network) -> int | None:
    """Bytes of the block that the compiled network works in, for minibatches of the file's size."""
    from ...compiler.pipeline import lower_network
    from ...compiler.source import DiagnosticError
    from ..training.settings import read_plan

    try:
        plan = read_plan(network)
    except DiagnosticError:
        return None
    trains = network.train is not None and network.graph.loss is not None
    try:
        program = lower_network(
            network, capacity=plan.capacity, optimizer=plan.optimizer if trains else None, gradient=trains
        )[1]
    except (NotImplementedError, MemoryError):
        return None
    return program.bytes


def _empty() -> dict[str, Any]:
    return {**dict.fromkeys(COLUMNS, 0), "families": []}


def _messages(diagnostics: list[Diagnostic]) -> dict[str, Any]:
    return {
        "errors": [d.as_json() for d in diagnostics if d.is_error],
        "warnings": [d.as_json() for d in diagnostics if not d.is_error],
    }


def _print_table(name: str, counts: Counts) -> None:
    heads = ("", "units", "connections", "weights", "multiply-adds", "bytes")
    lines: list[tuple[str, ...]] = [heads]
    for row in [*counts.rows, counts.total]:
        extents = f"[{', '.join(map(str, row.extents))}]" if row.extents else ""
        title = (name or "in all") if row is counts.total else f"{row.name}{extents}"
        lines.append((title, *(f"{getattr(row, column):,}" for column in COLUMNS)))
    widths = [max(len(line[k]) for line in lines) for k in range(len(heads))]
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
