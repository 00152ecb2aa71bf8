"""Charts as SVG: curves, histograms, points.

In: series of numbers.  Out: the text of an HTML figure, whose colours follow the page's light or dark scheme.

    line_chart("loss", [Series("training", epochs, losses)], x_label="epoch")

Colours are the classes c0 … c7 of the page's style sheet; what a curve is stands above the chart, and again where the pointer
rests on it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from .scales import Scale, figure_text, whole_ticks

WIDTH, HEIGHT = 440, 220
LEFT, RIGHT, TOP, BOTTOM = 54, 12, 10, 40
COLOURS = 8
#: Points of a curve: more than this many would share pixels.
MOST_POINTS = 600


@dataclass(frozen=True)
class Series:
    """One curve. `dashed` sets it apart from another of the same colour; `band`: the range around it, below and above."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int = 0
    dashed: bool = False
    band: tuple[Sequence[float], Sequence[float]] | None = None


def line_chart(
    title: str,
    series: Sequence[Series],
    *,
    x_label: str,
    x_scale: Scale | None = None,
    x_whole: bool = True,
    y_scale: Scale | None = None,
    mark: tuple[float, str] | None = None,
    note: str = "",
) -> str:
    """Curves over a common axis. `mark`: a dashed line at a place of the horizontal axis, and what it says."""
    drawn = [s for s in series if any(math.isfinite(v) for v in s.y)]
    if not drawn:
        return ""
    x = x_scale or Scale.of([v for s in drawn for v in s.x], logarithmic=False, room=0)
    limits = [v for s in drawn for v in s.y]
    limits += [v for s in drawn if s.band is not None for some in s.band for v in some]
    y = y_scale or Scale.of(limits)
    parts = _frame(x, y, x_label, whole_ticks(x) if x_whole else x.ticks(6))
    if mark is not None and 0 <= x.at(mark[0]) <= 1:
        at = _x(x.at(mark[0]))
        parts.append(
            f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}">'
            f"<title>{escape(mark[1])}</title></line>"
        )
    for s in drawn:
        parts += _curve(s, x, y)
    return figure(title, parts, _legend(drawn), note)


def bar_chart(
    title: str, series: Sequence[tuple[str, Sequence[float], int]], edges: Sequence[float], note: str = ""
) -> str:
    """Histograms over the same bins, as steps: (name, shares, colour)."""
    x = Scale.of(edges, logarithmic=False, room=0)
    y = Scale.of([v for _, shares, _ in series for v in shares], logarithmic=False, zero=True)
    parts = _frame(x, y, "value", x.ticks(6), y_ticks=False)
    for name, shares, colour in series:
        bottom = _y(y.at(0))
        points = [(_x(x.at(edges[0])), bottom)]
        for k, share in enumerate(shares):
            points += [(_x(x.at(edges[k])), _y(y.at(share))), (_x(x.at(edges[k + 1])), _y(y.at(share)))]
        points.append((_x(x.at(edges[-1])), bottom))
        text = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        parts.append(
            f'<polygon class="fill c{colour}" points="{text}"><title>{escape(name)}</title></polygon>'
        )
    named = [Series(name, (), (), colour) for name, _, colour in series]
    return figure(title, parts, _legend(named), note)


def point_chart(
    title: str,
    x_values: Iterable[float],
    y_values: Iterable[float],
    *,
    x_label: str,
    note: str = "",
) -> str:
    """Points, with the diagonal on which both are equal."""
    x_values, y_values = list(x_values), list(y_values)
    both = Scale.of([*x_values, *y_values], logarithmic=False)
    parts = _frame(both, both, x_label, both.ticks(6))
    parts.append(f'<line class="mark" x1="{_x(0):.1f}" y1="{_y(0):.1f}" x2="{_x(1):.1f}" y2="{_y(1):.1f}"/>')
    for a, b in zip(x_values, y_values, strict=True):
        if math.isfinite(a) and math.isfinite(b):
            parts.append(
                f'<circle class="dot c0" cx="{_x(both.at(a)):.1f}" cy="{_y(both.at(b)):.1f}" r="2.2"/>'
            )
    return figure(title, parts, "", note)


def figure(title: str, parts: Iterable[str], legend: str = "", note: str = "") -> str:
    """A chart with its title above it."""
    told = f'<p class="note">{escape(note)}</p>' if note else ""
    return (
        f"<figure><figcaption><b>{escape(title)}</b>{legend}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>{told}</figure>'
    )


# ------------------------------------------------------------------------------------------------------- parts


def _x(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)


def _frame(
    x: Scale, y: Scale, x_label: str, x_ticks: Sequence[tuple[float, str]], y_ticks: bool = True
) -> list[str]:
    """Grid lines, numbers, and what the horizontal axis counts."""
    parts = [f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{_y(0):.1f}" y2="{_y(0):.1f}"/>']
    for place, text in y.ticks() if y_ticks else ():
        at = _y(place)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{LEFT - 7}" y="{at + 3.8:.1f}" text-anchor="end">{text}</text>')
    for place, text in x_ticks:
        at = _x(place)
        # Numbers at the ends stay inside of the picture.
        anchor = "end" if place > 0.96 and len(text) > 3 else "middle"
        parts.append(
            f'<line class="axis" x1="{at:.1f}" x2="{at:.1f}" y1="{_y(0):.1f}" y2="{_y(0) + 4:.1f}"/>'
        )
        parts.append(
            f'<text x="{at if anchor == "middle" else at + 6:.1f}" y="{_y(0) + 16:.1f}" text-anchor="{anchor}">{text}</text>'
        )
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text class="label" x="{middle:.1f}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>'
    )
    return parts


def _curve(s: Series, x: Scale, y: Scale) -> list[str]:
    every = max(1, len(s.x) // MOST_POINTS)
    kept = [k for k in range(len(s.x)) if k % every == 0 or k == len(s.x) - 1]
    parts = []
    if s.band is not None:
        below, above = s.band
        good = [k for k in kept if math.isfinite(below[k]) and math.isfinite(above[k])]
        outline = [(s.x[k], above[k]) for k in good] + [(s.x[k], below[k]) for k in reversed(good)]
        around = " ".join(f"{_x(x.at(a)):.1f},{_y(y.at(b)):.1f}" for a, b in outline)
        parts.append(f'<polygon class="band c{s.colour % COLOURS}" points="{around}"/>')
    points = [(_x(x.at(s.x[k])), _y(y.at(s.y[k]))) for k in kept if math.isfinite(s.y[k])]
    last = next(s.y[k] for k in reversed(range(len(s.y))) if math.isfinite(s.y[k]))
    title = f"<title>{escape(s.name)}: {figure_text(last)} at the end</title>"
    kind = f"c{s.colour % COLOURS}" + (" dashed" if s.dashed else "")
    if len(points) == 1:
        (a, b) = points[0]
        return [*parts, f'<circle class="dot {kind}" cx="{a:.1f}" cy="{b:.1f}" r="3">{title}</circle>']
    text = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    return [*parts, f'<polyline class="line {kind}" points="{text}">{title}</polyline>']


def _legend(series: Sequence[Series]) -> str:
    """What the colours stand for; nothing where there is one nameless curve."""
    if len(series) == 1 and not series[0].name:
        return ""
    marks = [
        f'<span class="key"><i class="c{s.colour % COLOURS}{" dashed" if s.dashed else ""}"></i>{escape(s.name)}</span>'
        for s in series
    ]
    return f'<span class="keys">{"".join(marks)}</span>'
