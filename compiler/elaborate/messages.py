"""The wording of messages about shapes: two facts that disagree, where each comes from, one way to mend it.

In: the places and sizes.  Out: calls of the reporter, or functions that make them once the sizes are known.

    'h' has 32 units here, but 'score' has 10
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..mathematics.expression import Expression
from ..source import Note, Span
from .report import is_built_in
from .targets import Slot, Target, Unit
from .terms import Index, SizeVariable

if TYPE_CHECKING:
    from .context import Context
    from .state import ElaborationState


def counted(number: int, noun: str) -> str:
    """1 axis, 2 axes; 1 unit, 3 units."""
    plural = noun + "s"
    for ending, several in (
        ("axis", "axes"),
        ("class", "classes"),
        ("index", "indices"),
        ("entry", "entries"),
    ):
        if noun.endswith(ending):
            plural = noun.removesuffix(ending) + several
    return f"{number:,} {noun if number == 1 else plural}"


def are_given(number: int, noun: str = "") -> str:
    """1 subscript is given, 2 subscripts are given."""
    return f"{counted(number, noun) if noun else format(number, ',')} {'is' if number == 1 else 'are'} given"


def shape_text(state: ElaborationState, sizes: Sequence[Expression]) -> str:
    """[16, 16], with names where a size is not known."""
    return "[" + ", ".join(size_text(state, s) for s in sizes) + "]"


def size_text(state: ElaborationState, size: Expression) -> str:
    number = state.sizes.number(size)
    if number is not None:
        return str(number)
    return size.name if isinstance(size, SizeVariable) else "?"


def origin(state: ElaborationState, target: Target) -> str:
    """Where a target comes from: "'hidden[32]' on line 8"."""
    shape = shape_text(state, target.sizes) if target.sizes else ""
    if is_built_in(target.span):
        return f"'{target.label}{shape}'"
    return f"'{target.label}{shape}' on line {target.span.line}"


def disagreement(
    state: ElaborationState, ctx: Context, n: int, what: str, span: Span, target: Target | None
) -> Callable[[int, int], None]:
    """Axis `n` of a whole array is not that of the positions where it is taken."""
    positions = ctx.positions
    place = positions.spans[n] if n < len(positions.spans) else positions.span

    def complain(here: int, there: int) -> None:
        indices = positions.indices or []
        flat = len(indices) == 1
        ours = f"{here:,}" if flat else shape_text(state, [i.size for i in indices])
        theirs = f"{there:,}" if flat else shape_text(state, target.sizes if target else [])
        units = " units" if flat else ""
        label = f"{theirs}{units}"
        if target is not None and not is_built_in(target.span) and target.span != span:
            label += f", from {origin(state, target)}"
        verb = "declares" if positions.declared else "has"
        help = ""
        if positions.declared and target is not None:
            help = f"write {positions.name}{shape_text(state, target.sizes)}"
            if flat and len(span.text) <= 30 and "\n" not in span.text:
                help += f", or put a dense layer between: dense({span.text})"
        mark = "declared here" if positions.declared else f"{here:,} here"
        state.error(
            ctx,
            "E203",
            f"{what} gives {theirs}{units} here, but '{positions.name}' {verb} {ours}",
            span,
            label,
            [Note(place, mark)],
            help,
        )

    return complain


def wrong_rank_of_whole(
    state: ElaborationState,
    ctx: Context,
    what: str,
    sizes: Sequence[Expression],
    span: Span,
    target: Target | None,
) -> None:
    """A whole array with another number of axes than the positions where it is taken."""
    positions = ctx.positions
    assert positions.indices is not None
    shape = shape_text(state, sizes)
    if positions.purpose != "array":
        state.error(
            ctx,
            "E213",
            f"{positions.purpose} must be one number, but {what} has {counted(len(sizes), 'axis')}: {shape}",
            span,
            help=f"reduce it, for example with sum[i] {span.text}[i], or average[batch, ..] for a whole array"
            if target is not None and len(sizes) == 1 and len(span.text) < 30
            else "reduce it, for example with average[batch, ..]",
        )
        return
    if not positions.indices:
        state.error(
            ctx,
            "E202",
            f"{what} has {counted(len(sizes), 'axis')}: {shape}, but '{positions.name}' is declared without axes",
            span,
            notes=[Note(positions.span, "declared here")],
            help=f"write {positions.name}{shape}",
        )
        return
    declared = shape_text(state, [i.size for i in positions.indices])
    names = ", ".join(i.name for i in positions.indices[: len(sizes)])
    state.error(
        ctx,
        "E202",
        f"{what} has {counted(len(sizes), 'axis')}, but '{positions.name}' has {counted(len(positions.indices), 'axis')}",
        span,
        f"{what.strip(chr(39))}{shape}" if target is not None else shape,
        [
            Note(
                positions.span,
                f"{positions.name}{declared}" if positions.declared else f"taken at {declared} from here",
            )
        ],
        help=f"say which entries are meant with subscripts, as in {span.text}[{names}]"
        if target is not None and len(span.text) < 30 and len(sizes) <= len(positions.indices)
        else "say which entries are meant with subscripts",
    )


def two_sizes(
    state: ElaborationState, ctx: Context, index: Index, first: tuple[Span, str] | None, span: Span, text: str
) -> Callable[[int, int], None]:
    """An index stands alone behind two axes of different sizes."""

    def complain(before: int, now: int) -> None:
        notes = [Note(first[0], f"{before:,}, {first[1]}")] if first is not None else []
        state.error(
            ctx,
            "E304",
            f"the index '{index.name}' has two sizes: {before:,} and {now:,}",
            span,
            f"{now:,}, {text}",
            notes,
            help=f"if the smaller is meant, say so: {index.name}: {min(before, now)}",
        )

    return complain


def wrong_number_of_subscripts(
    state: ElaborationState, ctx: Context, target: Target, given: int, span: Span
) -> None:
    shape = shape_text(state, target.sizes) if target.sizes else ""
    notes = [] if is_built_in(target.span) else [Note(target.span, "declared here")]
    wanted = target.rank
    example = ", ".join("ijklmnpq"[n] if n < 8 else "…" for n in range(wanted))
    if wanted:
        help = (
            f"write {target.label}[{example}]; the batch is implicit"
            if given == wanted + 1
            else f"write {target.label}[{example}]"
        )
    else:
        help = f"'{target.label}' is a single number: write it without subscripts"
    state.error(
        ctx,
        "E202",
        f"'{target.label}{shape}' has {counted(wanted, 'axis')}, but {are_given(given, 'subscript')}",
        span,
        notes=notes,
        help=help,
    )


def kind_of(target: Target) -> str:
    """input, weight, layer, …: what a target is, in words."""
    if isinstance(target, Slot):
        return {"clock": "a clock", "input": "an input"}.get(target.kind, f"a {target.kind}")
    if isinstance(target, Unit):
        return {"layer": "a layer"}.get(target.role, "an array")
    return "an array"
