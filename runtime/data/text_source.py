"""Texts as data: windows of a text, lines, pairs of lines, counts of neighbours.

In: the values of a `from` setting.  Out: `Columns` of class numbers, with the vocabulary.

    from text "input.txt" characters window(64)             token[64], next[64], following
    from lines "names.txt" characters length(16)            token[16], next[16], weight[16], length
    from lines "names.txt" characters padded_window(3)      token[3], next[3], following
    from pairs "pig_latin.txt" characters lengths(12, 14)   source[12], source_weight[12], source_length,
                                                            given[14], target[14], weight[14]
    from neighbours "text.txt" words window(5)              word, context, count

`next` is `token` one step later, and `following` what follows the whole window. Windows of a text begin at every
T-th token, or `window(T, stride = s)`; those of lines at every one. Where lines end, the end has class 0, and fills up what
is shorter than its array; `weight` is 1 where there is something to predict and 0 behind the end. In pairs, `given` is what a
decoder is told: the target one step late. After the unit may stand `lower` (small letters only), `letters` (only lines of letters
and hyphens), `distinct` (equal lines once), `reversed` (of pairs: the source backwards).
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...compiler import syntax
from ...compiler.record import record
from ...compiler.source import Span, did_you_mean
from .columns import Columns, fail
from .text_columns import line_columns, neighbour_columns, pair_columns, text_columns
from .vocabulary import Unit, Vocabulary

TEXT_KINDS = ("text", "lines", "pairs", "neighbours")
OPTIONS = ("lower", "letters", "distinct", "reversed")
#: Which arguments say how long the arrays are, by kind; the first where nothing is said.
SHAPES = {
    "text": ("window",),
    "lines": ("length", "window", "padded_window"),
    "pairs": ("lengths",),
    "neighbours": ("window",),
}

Number = Callable[[syntax.Expression], int | float]


@record
class TextPlan:
    """A `from` setting that names a text, read. `most`: size of a vocabulary of words; `sizes`, `stride`: of the arrays."""

    kind: str
    path: str
    unit: Unit
    shape: str
    sizes: tuple[int, ...] = ()
    stride: int = 1
    most: int | None = None
    options: frozenset[str] = frozenset()

    @property
    def has_lines(self) -> bool:
        """Whether class 0 is the end of a line."""
        return self.kind in ("pairs", "lines") and self.shape != "window"


def is_text(setting: syntax.Setting | None) -> bool:
    """Whether a `from`, `validation` or `test` setting names a text."""
    match setting.values if setting is not None else ():
        case (syntax.Name(name=kind), syntax.String(), *_):
            return kind in TEXT_KINDS
    return False


def read_text_plan(setting: syntax.Setting, number: Number) -> TextPlan:
    """What a setting says. `number` gives the value of an expression over params. Raises DiagnosticError."""
    kind, path, *rest = setting.values
    assert isinstance(kind, syntax.Name) and isinstance(path, syntax.String)
    plan = TextPlan(kind.name, path.value, "characters", SHAPES[kind.name][0])
    options: set[str] = set()
    for value in rest:
        match value:
            case syntax.Name(name="characters" | "words" as unit):
                plan = replace(plan, unit=unit)  # type: ignore[arg-type]
            case syntax.Call(function="words", arguments=(most,), named=()):
                plan = replace(plan, unit="words", most=_whole(most, number, least=3))
            case syntax.Call(function=shape) as call if shape in SHAPES[plan.kind]:
                plan = _shaped(plan, call, number)
            case syntax.Name(name=option) if option in OPTIONS and (
                option != "reversed" or plan.kind == "pairs"
            ):
                options.add(option)
            case _:
                raise _misunderstood(plan, value)
    if not plan.sizes and plan.kind != "lines":
        example = {"text": "window(64)", "pairs": "lengths(12, 14)", "neighbours": "window(5)"}[plan.kind]
        raise fail("E701", f"say how long: {example}", setting.span)
    return replace(plan, options=frozenset(options))


def _shaped(plan: TextPlan, call: syntax.Call, number: Number) -> TextPlan:
    wanted = 2 if call.function == "lengths" else 1
    named = dict(call.named)
    stride = named.pop("stride", None)
    if len(call.arguments) != wanted or named or (stride is not None and plan.kind != "text"):
        usage = {"lengths": "lengths(of source, of target)", "window": "window(steps, stride = …)"}
        raise fail("E701", f"it is written {usage.get(call.function, f'{call.function}(steps)')}", call.span)
    sizes = tuple(_whole(a, number) for a in call.arguments)
    step = sizes[0] if stride is None else _whole(stride, number)
    return replace(plan, shape=call.function, sizes=sizes, stride=step)


def _whole(value: syntax.Expression, number: Number, least: int = 1) -> int:
    result = number(value)
    if result != int(result) or result < least:
        raise fail("E701", f"expected a whole number from {least}, got {result:g}", value.span)
    return int(result)


def _misunderstood(plan: TextPlan, value: syntax.Expression) -> Exception:
    known = ["characters", "words", *SHAPES[plan.kind], *OPTIONS]
    name = value.name if isinstance(value, syntax.Name) else getattr(value, "function", "")
    return fail(
        "E701",
        f"a source of {plan.kind} does not understand '{value.span.text}'",
        value.span,
        help=did_you_mean(name, known) or f"it may be followed by {', '.join(known)}",
    )


def open_text(plan: TextPlan, path: Path, span: Span, vocabulary: Vocabulary | None = None) -> Columns:
    """The columns of a text. `vocabulary`: that of another text, or of trained weights; None: its own."""
    text = _read(path, span)
    if "lower" in plan.options:
        text = text.lower()
    lines = _lines(plan, text, path, span) if plan.kind in ("lines", "pairs") else []
    if vocabulary is None:
        of = "\n".join(map(" ".join, lines)) if lines else text
        if plan.kind == "pairs" and plan.unit == "characters":
            of = "\n".join(map("".join, lines))  # a blank between the two is none of their characters
        vocabulary = Vocabulary.of(of, plan.unit, lines=plan.has_lines, most=plan.most)
    if not len(vocabulary):
        raise fail("E703", f"'{path.name}' is empty", span)
    try:
        match plan.kind:
            case "text":
                columns = text_columns(vocabulary.encode(text), plan.sizes[0], plan.stride)
            case "neighbours":
                encoded_lines = [vocabulary.encode(line) for line in text.split("\n")]
                columns = neighbour_columns(encoded_lines, len(vocabulary), plan.sizes[0])
            case "pairs":
                encoded = [tuple(map(vocabulary.encode, line)) for line in lines]
                columns = pair_columns(encoded, plan.sizes, "reversed" in plan.options)
            case _:
                flat = [vocabulary.encode(line[0]) for line in lines]
                columns = line_columns(flat, plan.shape, plan.sizes[0] if plan.sizes else 0)
    except ValueError as error:
        raise fail("E703", f"'{path.name}': {error}", span) from None
    count = len(next(iter(columns.values())))
    if not count:
        raise fail("E703", f"'{path.name}' is shorter than a window", span)
    readers: dict[str, Any] = {n: (lambda a=a: a) for n, a in columns.items()}  # type: ignore[misc]
    what = f"{path.name}, which has {len(vocabulary)} different {plan.unit}"
    return Columns(
        path.name, count, readers, row_place=lambda row: f"row {row} of {what}", vocabulary=vocabulary
    )


def _read(path: Path, span: Span) -> str:
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise fail("E703", f"cannot read '{path.name}' as text: {error}", span) from None


def _lines(plan: TextPlan, text: str, path: Path, span: Span) -> list[tuple[str, ...]]:
    """The lines, each as one text or as a pair; empty ones are passed over."""
    lines: list[tuple[str, ...]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        parts: tuple[str, ...] = (line.strip(),)
        if plan.kind == "pairs":
            parts = tuple(p.strip() for p in (line.split("\t") if "\t" in line else line.split()))
            if len(parts) != 2:
                raise fail(
                    "E703", f"line {number} of '{path.name}' is not a pair: {line.strip()[:40]!r}", span
                )
        if "letters" in plan.options and not all(c.isalpha() or c in "- " for p in parts for c in p):
            continue
        lines.append(parts)
    if not lines:
        raise fail("E703", f"'{path.name}' has no lines", span)
    return list(dict.fromkeys(lines)) if "distinct" in plan.options else lines
