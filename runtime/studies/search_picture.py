"""The trials of a search as a picture: one panel for every range, and the best value so far.

In: the plan, the trials.  Out: SVG text that stands alone, and follows the reader's light or dark colours.

    svg = draw(plan, trials.read())
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from .ranges import Range, SearchPlan
from .trials import Trial

WIDTH, HEIGHT, COLUMNS = 340, 240, 2
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 30, 40

STYLE = """
svg { --ink: #222; --grid: #8884; --train: #9a9a9a; --validation: #d9822b; --test: #3b7dd8; --paper: #fff; }
@media (prefers-color-scheme: dark) { svg { --ink: #ddd; --paper: #16181c; --train: #777; } }
.paper { fill: var(--paper); }
text { font: 11px system-ui, sans-serif; fill: var(--ink); } .title { font-weight: 600; font-size: 12px; }
.grid { stroke: var(--grid); } .line { fill: none; stroke: var(--validation); stroke-width: 1.5; }
.train { fill: var(--train); } .validation { fill: var(--validation); } .test { fill: var(--test); }
.pruned { fill: none; stroke: var(--validation); opacity: .5; } .best { stroke: var(--ink); stroke-width: 1.5; }
"""

PARTS = ("train", "test", "validation")  # the last is drawn on top


class _Scale:
    """Values of the figure → pixels; logarithmic where they span two powers of ten."""

    def __init__(self, values: Sequence[float]):
        finite = [v for v in values if math.isfinite(v)] or [0.0, 1.0]
        self.logarithmic = min(finite) > 0 and max(finite) > 100 * min(finite)
        self.low, self.high = self._of(min(finite)), self._of(max(finite))
        if self.high - self.low < 1e-12:
            self.low, self.high = self.low - 0.5, self.high + 0.5

    def _of(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value

    def y(self, value: float) -> float:
        share = (self._of(value) - self.low) / (self.high - self.low)
        return TOP + (1 - share) * (HEIGHT - TOP - BOTTOM)

    def ticks(self) -> list[float]:
        levels = [self.low + k / 4 * (self.high - self.low) for k in range(5)]
        return [10**level if self.logarithmic else level for level in levels]


def draw(plan: SearchPlan, trials: Sequence[Trial]) -> str:
    """The picture. Trials that are given up are circles; the best has a rim."""
    shown = [t for t in trials if t.state in ("done", "pruned") and t.is_finite]
    parts = [p for p in PARTS if any(plan.figure in t.figures.get(p, {}) for t in shown)]
    values = [t.figures[p][plan.figure] for t in shown for p in parts if plan.figure in t.figures.get(p, {})]
    scale = _Scale(values)
    panels = [_panel(r, plan, shown, parts, scale) for r in plan.ranges]
    panels.append(_history(plan, shown, scale))
    rows = -(-len(panels) // COLUMNS)
    width, height = COLUMNS * WIDTH, rows * HEIGHT + 24
    placed = "".join(
        f'<g transform="translate({k % COLUMNS * WIDTH} {k // COLUMNS * HEIGHT + 24})">{panel}</g>'
        for k, panel in enumerate(panels)
    )
    key, x = "", LEFT
    for part in reversed(parts):
        key += f'<circle class="{part}" cx="{x}" cy="13" r="4"/><text x="{x + 8}" y="17">{part} {escape(plan.figure)}</text>'
        x += 150
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f'<style>{STYLE}</style><rect class="paper" width="100%" height="100%"/>{key}{placed}</svg>\n'
    )


def _panel(r: Range, plan: SearchPlan, trials: Sequence[Trial], parts: Sequence[str], scale: _Scale) -> str:
    """One range: its values to the right, the figure upwards."""
    marks = [_frame(r.name, scale)]
    if r.kind == "choice":
        ticks = [(r.place(c), c if len(c) < 18 else c[:16] + "…") for c in r.choices]
    else:
        ends = r.grid() if r.points <= 5 else [r.at(0.0), r.at(0.5), r.at(1.0)]
        ticks = [(r.place(v), f"{float(v):.3g}") for v in ends]
    for place, text in ticks:
        marks.append(
            f'<text x="{_x(place):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{escape(text)}</text>'
        )
    best = min(
        (t for t in trials if t.state == "done"),
        key=lambda t: (-1 if plan.maximize else 1) * (t.value or 0.0),
        default=None,
    )
    for part in parts:
        for t in trials:
            value = t.figures.get(part, {}).get(plan.figure)
            if value is None or r.name not in t.values:
                continue
            kind = "pruned" if t.state == "pruned" else part
            rim = " best" if t is best and part == parts[-1] else ""
            marks.append(
                f'<circle class="{kind}{rim}" cx="{_x(r.place(t.values[r.name])):.1f}" cy="{scale.y(value):.1f}" r="3.5">'
                f"<title>trial {t.number}: {escape(part)} {escape(plan.figure)} {value:.5g}</title></circle>"
            )
    return "".join(marks)


def _history(plan: SearchPlan, trials: Sequence[Trial], scale: _Scale) -> str:
    """The best value so far, trial by trial."""
    marks = [_frame("best so far", scale)]
    best: float | None = None
    points = []
    last = max((t.number for t in trials), default=0)
    for t in sorted(trials, key=lambda t: t.number):
        if t.state == "done" and t.value is not None:
            better = best is None or (t.value > best if plan.maximize else t.value < best)
            best = t.value if better else best
        if best is not None:
            points.append(f"{_x(t.number / max(last, 1)):.1f},{scale.y(best):.1f}")
    marks.append(f'<polyline class="line" points="{" ".join(points)}"/>')
    for share in (0.0, 0.5, 1.0):
        text = f"{round(share * last)}"
        marks.append(
            f'<text x="{_x(share):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{text}</text>'
        )
    return "".join(marks)


def _x(place: float) -> float:
    return LEFT + place * (WIDTH - LEFT - RIGHT)


def _frame(title: str, scale: _Scale) -> str:
    marks = [f'<text class="title" x="{LEFT}" y="{TOP - 12}">{escape(title)}</text>']
    for value in scale.ticks():
        y = scale.y(value)
        marks.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>'
        )
    return "".join(marks)
