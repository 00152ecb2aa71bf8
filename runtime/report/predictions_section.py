"""What the trained network says: confusions, worst examples, predicted against true numbers; and its first weights as pictures.

In: `Predictions`, the graph, weights.  Out: HTML.

    predictions(found, graph, tokens=None), first_layer(graph, weights)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from ...compiler.mathematics.graph import Array, Graph
from ..diagnosis.first_weights import LEAST_SQUARE, UnitPictures, first_weights
from ..diagnosis.predictions import Predictions
from .charts import bar_chart, point_chart
from .page import figures, table
from .pictures import picture
from .scales import figure_text

#: Classes of a confusion matrix that is drawn whole; pairs of classes that are listed of a larger one.
MOST_CLASSES, MOST_PAIRS = 26, 16
#: Worst examples; points of a chart; pictures of units; numbers and tokens of an input that are written out.
WORST, POINTS, UNITS, NUMBERS, TOKENS = 12, 1500, 64, 8, 80
#: Bars of a histogram.
BINS = 40
#: The end of a line, to be seen.
END = "⏎"

Tokens = Sequence[str] | None


def predictions(found: Predictions, graph: Graph, tokens: Tokens = None) -> str:
    """`tokens`: what the classes of a text stand for."""
    return _confusion(found, tokens) + _numbers(found) + _worst(found, graph, tokens)


# --------------------------------------------------------------------------------------------------- confusions


def _confusion(found: Predictions, tokens: Tokens) -> str:
    counts = found.confusion()
    if counts is None or found.target is None:
        return ""
    names = [class_name(k, len(counts), tokens) for k in range(len(counts))]
    right, total = int(np.trace(counts)), int(counts.sum())
    share = f"{right:,} of {total:,} are right ({100 * right / max(total, 1):.2f} %)."
    if len(counts) > MOST_CLASSES:
        return f"<p>{share} The most frequent confusions:</p>" + _pairs(counts, names)
    most = max(1, int((counts - np.diag(np.diag(counts))).max()))
    rows = []
    for k, line in enumerate(counts):
        cells = "".join(_cell(int(n), k == j, most, int(line.sum())) for j, n in enumerate(line))
        of = line[k] / line.sum() if line.sum() else 0
        rows.append(f'<tr><th scope="row">{names[k]}</th>{cells}<th>{100 * of:.1f} %</th></tr>')
    head = "".join(f"<th>{name}</th>" for name in names)
    return (
        f"<p>{share} Rows are true classes, columns what the network says; the last column is the share that is right.</p>"
        f'<div class="scroll"><table class="confusion"><thead><tr><th></th>{head}<th>right</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(count: int, right: bool, most: int, total: int) -> str:
    if not count:
        return '<td class="zero">·</td>'
    share = count / max(total, 1) if right else count / most
    colour = "var(--c0)" if right else "var(--c1)"
    strength = round(8 + 42 * share)
    return f'<td style="background: color-mix(in srgb, {colour} {strength}%, transparent)">{count:,}</td>'


def _pairs(counts: np.ndarray, names: Sequence[str]) -> str:
    off = counts - np.diag(np.diag(counts))
    order = np.argsort(-off, axis=None, kind="stable")[:MOST_PAIRS]
    rows = []
    for flat in order:
        k, j = divmod(int(flat), len(counts))
        if off[k, j]:
            share = 100 * off[k, j] / counts[k].sum()
            rows.append((names[k], names[j], f"{off[k, j]:,}", f"{share:.1f} %"))
    return table(("true", "said", "times", "of the true class"), rows)


def class_name(number: int, classes: int, tokens: Tokens) -> str:
    """A class as HTML: the token of a text, or its number."""
    if tokens is None or not number < len(tokens) <= classes:
        return str(number)
    return f"<code>{escape(_visible(tokens[number]))}</code>"


def _visible(token: str) -> str:
    return {"\n": END, " ": "␣", "\t": "⇥"}.get(token, token)


# ------------------------------------------------------------------------------------------------------ numbers


def _numbers(found: Predictions) -> str:
    """Predicted over true numbers."""
    if found.target is None or found.target.classes is not None or found.values is None:
        return ""
    wanted = found.wanted
    assert wanted is not None
    true = wanted.reshape(len(wanted), -1).astype(np.float64)
    said = found.values.reshape(len(found.values), -1).astype(np.float64)
    names = found.target.layer, found.target.input
    levels = np.unique(true)
    if len(levels) == 2:
        return figures([_two(*names, levels, true.ravel(), said.ravel())])
    every = max(1, true.size // POINTS)
    note = f"{len(true):,} samples." + (" Some of the points." if every > 1 else "")
    chart = point_chart(
        f"{names[0]}, predicted, over {names[1]}, true",
        true.ravel()[::every],
        said.ravel()[::every],
        x_label=names[1],
        note=note + " On the dashed line both are equal.",
    )
    return figures([chart])


def _two(layer: str, name: str, levels: np.ndarray, true: np.ndarray, said: np.ndarray) -> str:
    """What the network says where the target is the one number, and where it is the other."""
    finite = said[np.isfinite(said)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, BINS + 1)
    series = []
    for colour, level in enumerate(levels):
        own = finite[true[np.isfinite(said)] == level]
        counts, _ = np.histogram(own, edges)
        shares = list(counts / max(own.size, 1))
        series.append((f"{name} is {figure_text(float(level))}", shares, colour))
    return bar_chart(f"{layer}, where", series, list(edges))


# ----------------------------------------------------------------------------------------------- worst examples


def _worst(found: Predictions, graph: Graph, tokens: Tokens) -> str:
    worst = found.worst(WORST)
    if not worst or found.losses is None:
        return ""
    cards = []
    for place in worst:
        row = int(found.rows[place])
        drawn, said = _inputs(found, graph, row, tokens)
        lines = [
            f"<b>row {row}</b>, loss {figure_text(float(found.losses[place]))}",
            *_verdict(found, place, tokens),
            *said,
        ]
        cards.append(f'<div class="card">{drawn}<div>{"<br>".join(lines)}</div></div>')
    return f'<h3>Worst examples</h3><div class="cards">{"".join(cards)}</div>'


def _verdict(found: Predictions, place: int, tokens: Tokens) -> list[str]:
    """What it is, and what the network says."""
    target, wanted = found.target, found.wanted
    if target is None or wanted is None or found.values is None:
        return []
    guessed = found.classes()
    if guessed is None:
        true, said = wanted[place].ravel(), found.values[place].ravel()
        return [f"true {_listed(true)}", f"said {_listed(said)}"]
    if np.ndim(guessed[place]):
        counted = found.counted[place] if found.counted is not None else np.ones_like(wanted[place], bool)
        return [
            f"true {_text(wanted[place][counted], target.classes or 0, tokens)}",
            f"said {_text(guessed[place][counted], target.classes or 0, tokens)}",
        ]
    scores = found.values[place][: target.classes].astype(np.float64)
    powers = np.exp(scores - scores.max())
    shares = powers / powers.sum()
    own, other = int(wanted[place]), int(guessed[place])
    names = [class_name(k, target.classes or 0, tokens) for k in (own, other)]
    return [f"is {names[0]} ({100 * shares[own]:.2g} %)", f"said {names[1]} ({100 * shares[other]:.3g} %)"]


def _inputs(found: Predictions, graph: Graph, row: int, tokens: Tokens) -> tuple[str, list[str]]:
    """The inputs of a sample: a picture, where there is one, and lines of text."""
    needed = graph.needed(graph.outputs)
    read = {s for name in needed for s in graph.families[name].sources}
    drawn, lines = "", []
    for array in graph.inputs:
        if array.name not in read or (found.target is not None and array.name == found.target.input):
            continue
        values = found.arrays[array.name][row]
        image = as_image(array, values)
        if image is not None and not drawn:
            drawn = picture(image, grey=True, size=72, title=f"{array.name} of row {row}")
        elif image is None:
            shown = _text(values, array.classes, tokens) if array.classes else _listed(values.ravel())
            lines.append(f"{escape(array.name)} {shown}")
    return drawn, lines[:4]


def as_image(array: Array, values: np.ndarray) -> np.ndarray | None:
    """array[rows, columns] or [rows, columns, 3] of an input that is a picture; None where it is none."""
    if array.type != "real" or array.classes:
        return None
    if values.ndim == 1:
        side = int(np.sqrt(values.size))
        return values.reshape(side, side) if side * side == values.size >= LEAST_SQUARE else None
    if values.ndim == 2 and min(values.shape) > 3:
        return values
    if values.ndim == 3 and values.shape[0] in (1, 3) and min(values.shape[1:]) > 3:
        return values[0] if values.shape[0] == 1 else np.moveaxis(values, 0, -1)
    return None


def _text(values: np.ndarray, classes: int, tokens: Tokens) -> str:
    """Class numbers as the text that they stand for."""
    numbers = [int(k) for k in np.ravel(values)]
    if tokens is None or not max(numbers, default=0) < len(tokens) <= max(classes, 1):
        return _listed(np.ravel(values))
    while len(numbers) > 1 and tokens[numbers[-1]] == tokens[numbers[-2]] == "\n":
        numbers.pop()  # what fills a row up behind its end
    between = " " if any(len(t) > 1 for t in tokens) else ""
    text = between.join(_visible(tokens[k]) if tokens[k] == "\n" else tokens[k] for k in numbers[:TOKENS])
    return f"<code>{escape(text)}{'…' if len(numbers) > TOKENS else ''}</code>"


def _listed(values: np.ndarray) -> str:
    shown = ", ".join(figure_text(float(v)) for v in values[:NUMBERS])
    return shown + (", …" if len(values) > NUMBERS else "")


# ------------------------------------------------------------------------------------------------ first weights


def first_layer(graph: Graph, weights: Mapping[str, np.ndarray]) -> str:
    """The weights that meet the input."""
    parts = [_units(found) for found in first_weights(graph, weights)]
    if not parts:
        return ""
    return "<p>Blue is positive, orange negative; the largest magnitude has the full colour.</p>" + "".join(
        parts
    )


def _units(found: UnitPictures) -> str:
    limit = float(np.abs(found.values).max(initial=0.0))
    if found.whole:
        values = found.values[0]
        rows, columns = values.shape
        names = found.rows, found.columns
        if rows > 2 * columns:  # lies better than it stands
            values, rows, columns, names = values.T, columns, rows, names[::-1]
        note = f"{rows:,} {names[0]} downwards, {columns:,} {names[1]} across; at most {figure_text(limit)}."
        size = min(640, 12 * max(rows, columns))
        return f'<h3>{escape(found.name)}</h3>{picture(values, limit=limit, size=size)}<p class="note">{note}</p>'
    count = len(found.values)
    kind = found.values.ndim == 4
    images = "".join(
        picture(values, limit=limit, size=56, grey=kind, title=f"unit {k}")
        for k, values in enumerate(found.values[:UNITS])
    )
    more = f" {UNITS} of {count:,} are shown." if count > UNITS else ""
    note = f"{count:,} pictures of {found.values.shape[1]} × {found.values.shape[2]}; at most {figure_text(limit)}.{more}"
    return f'<h3>{escape(found.name)}</h3><div class="gallery">{images}</div><p class="note">{note}</p>'
