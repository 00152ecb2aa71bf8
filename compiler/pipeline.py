"""The way from text to machine code, and what of it is remembered from earlier processes.

In: a .dln file, or its text.  Out: `Network` (front end), `Compiled` (machine code and all before it).

    network = front("digits.dln", {"width": "64"})
    compiled = compile_network(network, capacity=32, optimizer=call)

Both are kept on disk (stored/): a file that is compiled a second time is neither parsed nor lowered nor given to LLVM, so this
module imports what does that work only when there is some.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .record import record
from .source import Diagnostic, DiagnosticError

if TYPE_CHECKING:
    from .elaborate import Network
    from .kernels.program import Program
    from .machine.machine_code import Code
    from .machine.target import Target
    from .mathematics.graph import Graph
    from .syntax import Call

Precision = Literal["float32", "float64"]


@contextmanager
def keeping_all() -> Iterator[None]:
    """Without Python's search for circles of garbage. What a compiler makes are trees, nearly all of which it keeps to the end:
    looking through them again and again took an eighth of its time and found nothing. Afterwards they count as old: the search
    that comes next does not begin with all of them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            _call_old()
            gc.enable()


def _call_old() -> None:
    """All objects that there are become those that Python looks through last; none is looked at for that."""
    if hasattr(gc, "freeze") and not gc.get_freeze_count():
        gc.freeze()
        gc.unfreeze()


def front(
    source: str | Path, settings: Mapping[str, str] | None = None, *, compiling: bool = False
) -> Network:
    """Read, parse and elaborate a file. Raises DiagnosticError with every error of the file.

    `compiling`: it is compiled afterwards; what makes machine code starts meanwhile.
    """
    path = Path(source)

    def again() -> Network:
        from .elaborate import elaborate

        return elaborate(source, settings or {})

    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, ValueError):  # the front end finds the words for it
        return _computable(again())
    return _network(text, str(source), path.parent, settings or {}, again, compiling)


def front_text(
    text: str, path: str = "<text>", settings: Mapping[str, str] | None = None, *, compiling: bool = False
) -> Network:
    """The same for a text; imports and tables are looked for beside `path`."""

    def again() -> Network:
        from .elaborate import elaborate_text

        return elaborate_text(text, path, settings or {})

    return _network(text, path, Path(path).parent, settings or {}, again, compiling)


def _network(
    text: str,
    path: str,
    folder: Path,
    settings: Mapping[str, str],
    again: Callable[[], Network],
    compiling: bool,
) -> Network:
    """A network from the disk, or elaborated now and kept there."""
    from .stored.networks import NetworkPlace, content_digest

    place = NetworkPlace(text, path, folder, settings, again)
    if (found := place.find()) is not None:
        return found
    if compiling:
        _start_code_process()
    from .elaborate.tables import noting_files

    with noting_files() as files, keeping_all():
        network = _computable(again())
    place.keep(network, {name: content_digest(name, content) for name, content in files.items()})
    return network


def _start_code_process() -> None:
    """LLVM takes a tenth of a second to start, in a process of its own: meanwhile this one has other things to do."""
    from .machine.code_processes import start

    start()


def _computable(network: Network) -> Network:
    """The network, if its recurrences can be computed step by step. Raises DiagnosticError."""
    from .passes.recurrence import check as check_recurrences

    if errors := check_recurrences(network.graph):
        raise DiagnosticError(errors)
    return network


def check(path: str | Path, settings: Mapping[str, str] | None = None) -> list[Diagnostic]:
    """All errors and warnings of a file, in source order; an empty list for a file without any."""
    try:
        return list(front(path, settings).warnings)
    except DiagnosticError as error:
        return error.diagnostics


@record(frozen=False)
class Compiled:
    """A network compiled for one capacity and precision."""

    network: Network
    graph: Graph
    program: Program
    code: Code
    capacity: int
    precision: Precision
    seconds: float
    stages: dict[str, float] = field(default_factory=dict)


def lower_network(
    network: Network,
    *,
    capacity: int,
    precision: Precision = "float32",
    optimizer: Call | None = None,
    gradient: bool = True,
    target: Target | None = None,
    verified: bool = False,
    **options: Any,
) -> tuple[Graph, Program, dict[str, float]]:
    """The final graph and its lowered program, with seconds per stage."""
    from .machine.native import host_target
    from .mathematics.expression import forget_nodes
    from .mathematics.walks import forget_walks
    from .pass_order import run_passes
    from .schedule.schedule import lower

    seconds: dict[str, float] = {}
    before = time.perf_counter()
    graph = network.graph
    for name, after in run_passes(network, gradient=gradient, optimizer=optimizer, verified=verified):
        graph = after
        now = time.perf_counter()
        seconds[name] = now - before
        before = now
    program = lower(
        graph,
        capacity=capacity,
        precision=precision,
        target=target or host_target(),
        verified=verified,
        **options,
    )
    seconds["lower"] = time.perf_counter() - before
    forget_nodes()
    forget_walks()
    return graph, program, seconds


def compile_network(
    network: Network,
    *,
    capacity: int,
    precision: Precision = "float32",
    optimizer: Call | None = None,
    gradient: bool = True,
    target: Target | None = None,
    verified: bool = False,
    **options: Any,
) -> Compiled:
    """Machine code for this machine. `capacity` is the most samples that one minibatch may hold.

    Without an optimizer there is no routine 'train', without `gradient` neither 'gradient'. Routines are compiled to machine
    code when they are first asked for.
    """
    from .machine.machine_code import compile_program
    from .machine.native import host_target
    from .stored.networks import find_program, keep_program, program_key

    start = time.perf_counter()
    target = target or host_target()
    key = (
        "" if options or verified else program_key(network, capacity, precision, optimizer, gradient, target)
    )
    seconds: dict[str, float] = {}
    ahead = None
    if (found := find_program(key)) is not None:
        graph, program = found
    else:
        from .machine.ahead import Ahead

        _start_code_process()
        ahead = Ahead(target)
        with keeping_all():
            graph, program, seconds = lower_network(
                network, capacity=capacity, precision=precision, optimizer=optimizer, gradient=gradient,
                target=target, verified=verified, ready=ahead.take, **options,
            )  # fmt: skip
        keep_program(key, graph, program)
    code = compile_program(program, target, key=key, ahead=ahead)
    total = time.perf_counter() - start
    return Compiled(network, graph, program, code, capacity, precision, total, seconds)
