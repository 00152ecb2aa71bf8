"""Prefetch: what is wanted next is asked for before a sum begins: what the results of its tile read and write, and what is copied
for later tiles.

In: a `Tile` whose loops are open.  Out: instructions that bring lines of memory near, and change nothing.

    h[t, j] = tanh(a[t, j] + Σ_k U[k, j] · h[t − 1, k])     a line of a[t] and one of h[t] are asked for, then 128 terms are added

A step of a time loop reads and writes memory that was last touched a whole pass ago, if ever; so do the results in an array that
is larger than the near caches. They come in short runs, which the processor does not foresee. While a long sum is computed there
is time for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from ..mathematics.affine import Linear, linear
from ..mathematics.expression import Axis, Expression
from ..mathematics.walks import axes_in, postorder
from .loops import Value
from .memory import SIZES
from .nest import TIME, accesses, buffer_of
from .processor import LINE
from .tile import Tile

#: Sums of fewer terms are over before anything has come.
_LONG = 48
#: At most one line of an array is asked for while so many vectors of terms are added.
_VECTORS = 16
#: Bytes of an array that is not near when a kernel begins.
_LARGE = 320_000


def ask_ahead(tile: Tile) -> None:
    """Ask for what the results of the tile read, and for where they go: what changes with time, or is in a large array."""
    nest, plan, builder = tile.nest, tile.plan, tile.builder
    terms = math.prod(axis.size for axis in nest.reduced)
    if plan.lane not in plan.order or terms < _LONG:
        return
    places: dict[tuple[int, Expression], str] = {}
    for result in nest.results:
        places |= {(buffer_of(n), n.children[0]): "read" for n in accesses(result.value)}
    places |= {(result.buffer, result.offset): "write" for result in nest.results}
    evaluator = tile.evaluator(plan.lane, plan.order)
    for (buffer, offset), how in places.items():
        size = SIZES[nest.buffers[buffer].data_type]
        form = linear(offset)
        if nest.time > 1:
            if TIME not in postorder(offset):
                continue
        elif not is_large(tile, buffer):
            continue
        if not all(isinstance(atom, Axis) or not axes_in(atom) for atom in form.coefficients):
            continue
        asked = lines_of_runs(_distances(tile, form, size), _alignment(tile, form, size))
        if len(asked) * _VECTORS > terms * len(tile.shifts):
            continue
        begin, _ = evaluator.place(buffer, offset, (0,) * len(plan.order))
        for distance in asked:
            pointer = builder.emit("address", (begin, builder.integer(distance)), "ptr")
            builder.emit_here("prefetch", (pointer,), "ptr", 1, how)


def is_large(tile: Tile, buffer: int) -> bool:
    """Whether an array is not near when a kernel begins."""
    kind = tile.nest.buffers[buffer]
    return kind.elements * SIZES[kind.data_type] > _LARGE


def ask_for_slice(tile: Tile, node: Expression, points: int, part: Value, parts: int) -> None:
    """Ask for what an access of the term reads in the tile that is open, at all points of the reduction's only loop from its
    start on: part number `part` of so many.

    Of lines where a run begins only those are asked for that hold its end too: the others were asked for as what stands before.
    """
    plan, builder = tile.plan, tile.builder
    (loop,) = plan.loops
    form, size = linear(node.children[0]), SIZES[tile.nest.buffers[buffer_of(node)].data_type]
    step = abs(form.coefficients.get(loop, 0)) * size
    several = max(LINE // step, 1) if step else points
    groups = -(-points // several)
    each = -(-groups // parts)
    needed = -(-groups // each)
    if needed < parts:  # later parts have nothing left to ask for
        builder.open_branch(builder.emit("icmp", (part, builder.integer(needed)), "i1", 1, "slt"))
    first = builder.minimum(builder.multiply(part, builder.integer(each)), builder.integer(groups - each))
    with tile.elsewhere():
        tile.starts[loop] = builder.add(tile.starts[loop], builder.multiply(first, builder.integer(several)))
        evaluator = tile.evaluator(None, (*plan.order, loop))
        pointer, _ = evaluator.place(buffer_of(node), node.children[0], (0,) * (len(plan.order) + 1))
    distances = _distances(tile, form, size)
    for group in range(each):
        at = {d + (group * several + n) * step for d in distances for n in range(several)}
        for run in _runs(at):
            for distance in range(run.stop, run.start - 1, -LINE):
                place = builder.emit("address", (pointer, builder.integer(distance)), "ptr")
                builder.emit_here("prefetch", (place,), "ptr", 1, "near")
    if needed < parts:
        builder.close()


def _distances(tile: Tile, form: Linear, size: int) -> set[int]:
    """How many bytes the elements of a tile are from its first."""
    plan, steps = tile.plan, form.coefficients
    found: set[int] = set()
    for shift in tile.results:
        begin = sum(steps.get(axis, 0) * at for axis, at in zip(plan.order, shift, strict=True))
        found.update(size * (begin + steps.get(plan.lane, 0) * lane) for lane in range(plan.lanes))  # type: ignore[arg-type]
    return found


def _alignment(tile: Tile, form: Linear, size: int) -> int:
    """Of how many bytes the place of a tile's first element is a multiple, a line at most."""
    found = math.gcd(LINE, form.constant * size)
    for atom, step in form.coefficients.items():
        tiles = dict(zip(tile.plan.order, tile.plan.tile, strict=True))
        each = tiles.get(atom, 1)  # type: ignore[call-overload]
        if isinstance(atom, Axis) and atom in tiles and atom.size % each:  # the last tile begins earlier
            each = 1 if atom.size > each else 0
        found = math.gcd(found, step * size * each)
    return found


def lines_of_runs(distances: Iterable[int], alignment: int) -> list[int]:
    """Of some distances in bytes so many that every line that holds one of them is asked for, wherever in its line the first is
    that is a multiple of the alignment: of each run the first, one in every line's length, and the last."""
    asked: list[int] = []
    for run in _runs(distances):
        asked += range(run.start, run.stop + 1, LINE)
        if any((asked[-1] + at) // LINE < (run.stop + at) // LINE for at in range(0, LINE, alignment)):
            asked.append(run.stop)
    return asked


def _runs(distances: Iterable[int]) -> list[range]:
    """Where elements follow one another with less than a line between them: the first and the last of each such run."""
    runs: list[range] = []
    for distance in sorted(distances):
        if runs and distance - runs[-1].stop < LINE:
            runs[-1] = range(runs[-1].start, distance)
        else:
            runs.append(range(distance, distance))
    return runs
