"""One HTML page about a run: curves, figures, settings, source. It needs no network and no script.

In: a `History`, figures per part, settings, the source.  Out: HTML text.

    html = report("digits-1", history, {"test": {"loss": 0.1, "accuracy": 0.97}}, {"seed": 0}, source)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from .training.history import Figures, History

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 640, 260, 64, 34, 14, 14
COLOURS = {"train": "#3b7dd8", "validation": "#d9822b"}

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; } td, th { padding: .2rem .9rem .2rem 0; text-align: left; }
td { font-variant-numeric: tabular-nums; }
pre { overflow-x: auto; padding: .8rem; border: 1px solid #8885; border-radius: 4px; }
svg { width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; fill: currentColor; }
.grid { stroke: #8884; } .axis { stroke: #888; } .key { font-size: .9rem; }
"""


def report(
    name: str,
    history: History,
    figures: Mapping[str, Figures],
    settings: Mapping[str, Any],
    source: str,
) -> str:
    """The page. `figures`: part → figure → value, of the weights that were kept."""
    sections = [f"<h1>{escape(name)}</h1>", _summary(history), _figures_table(figures)]
    for figure in dict.fromkeys([*history.figures("train"), *history.figures("validation")]):
        curves = {
            part: history.curve(part, figure)
            for part in ("train", "validation")
            if figure in history.figures(part)
        }
        sections.append(f"<h2>{escape(figure)}</h2>{_key(curves)}{plot(curves, history.best_epoch)}")
    rows = "".join(
        f"<tr><th>{escape(str(k))}</th><td>{escape(str(v))}</td></tr>" for k, v in settings.items()
    )
    sections.append(f"<h2>Settings</h2><table>{rows}</table>")
    sections.append(f"<h2>Source</h2><pre>{escape(source)}</pre>")
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(name)}</title><style>{STYLE}</style></head><body>"
        + "\n".join(sections)
        + "</body></html>\n"
    )


def _summary(history: History) -> str:
    endings = {
        "epochs": "all epochs done",
        "early": "stopped early, since the validation part no longer improved",
        "interrupted": "interrupted",
        "diverged": "stopped, since the numbers became NaN or infinite",
        "callback": "stopped by the program",
    }
    return (
        f"<p>{len(history)} epochs in {history.seconds:.1f} s: {endings.get(history.ending, '')}."
        f" The weights are those of epoch {history.best_epoch or len(history)}.</p>"
    )


def _figures_table(figures: Mapping[str, Figures]) -> str:
    names = list(dict.fromkeys(name for row in figures.values() for name in row))
    head = "".join(f"<th>{escape(n)}</th>" for n in names)
    rows = "".join(
        f"<tr><th>{escape(part)}</th>"
        + "".join(f"<td>{row[n]:.5g}</td>" if n in row else "<td></td>" for n in names)
        + "</tr>"
        for part, row in figures.items()
    )
    return f"<table><tr><th></th>{head}</tr>{rows}</table>"


def _key(curves: Mapping[str, Sequence[float]]) -> str:
    marks = " ".join(f'<span style="color:{COLOURS[part]}">&#9644;</span> {part}' for part in curves)
    return f'<p class="key">{marks}</p>'


def plot(curves: Mapping[str, Sequence[float]], best: int = 0) -> str:
    """Curves over the epochs as SVG; logarithmic where the positive values span two powers of ten."""
    values = [v for curve in curves.values() for v in curve if math.isfinite(v)]
    epochs = max((len(curve) for curve in curves.values()), default=0)
    if not values:
        return "<p>nothing to draw</p>"
    low, high = min(values), max(values)
    logarithmic = low > 0 and high / low > 100

    def scale(value: float) -> float:
        return math.log10(value) if logarithmic else value

    bottom, top = scale(low), scale(high)
    if top - bottom < 1e-12 * max(1.0, abs(top)):
        bottom, top = bottom - 0.5, top + 0.5

    def x(epoch: float) -> float:
        return LEFT + (epoch - 1) / max(epochs - 1, 1) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        share = (scale(value) - bottom) / (top - bottom)
        return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">']
    for k in range(5):
        level = bottom + k / 4 * (top - bottom)
        value = 10**level if logarithmic else level
        at = HEIGHT - BOTTOM - k / 4 * (HEIGHT - BOTTOM - TOP)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
            f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{value:.3g}</text>'
        )
    for epoch in sorted({1, *(round(1 + k / 4 * (epochs - 1)) for k in range(5))}):
        parts.append(f'<text x="{x(epoch):.1f}" y="{HEIGHT - 12}" text-anchor="middle">{epoch}</text>')
    if 0 < best <= epochs:
        parts.append(
            f'<line class="axis" stroke-dasharray="3 3" x1="{x(best):.1f}" x2="{x(best):.1f}"'
            f' y1="{TOP}" y2="{HEIGHT - BOTTOM}"><title>epoch {best} was kept</title></line>'
        )
    for part, curve in curves.items():
        # At most two points a pixel: a run of a million epochs draws as fast as one of a hundred.
        every = max(1, len(curve) // (2 * WIDTH))
        points = [
            f"{x(k + 1):.1f},{y(v):.1f}"
            for k, v in enumerate(curve)
            if math.isfinite(v) and (k % every == 0 or k == len(curve) - 1)
        ]
        colour = COLOURS.get(part, "#888")
        if len(points) == 1:
            cx, cy = points[0].split(",")
            parts.append(f'<circle cx="{cx}" cy="{cy}" r="3" fill="{colour}"/>')
        else:
            parts.append(
                f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{" ".join(points)}"/>'
            )
    return "".join(parts) + "</svg>"
