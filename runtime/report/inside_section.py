"""What went on inside of the network: activations, gradients and weights over the training, by layer and by step of time.

In: `Looks` of layer_statistics.py.  Out: HTML.

    activations(looks), gradients(looks), distributions(looks)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TypeVar

import numpy as np

from ..diagnosis.layer_statistics import LayerLook, Looks
from .charts import COLOURS, Series, bar_chart, line_chart
from .page import figures, table
from .scales import Scale, figure_text, whole_scale

#: Layers or weights in one chart, and layers that get charts of their own.
MOST_CURVES, MOST_LAYERS = 16, 12
BINS = 48

Look = TypeVar("Look")


def activations(looks: Looks) -> str:
    """Values of every layer over the epochs, and how many units are dead or saturated."""
    if not looks.layers:
        return ""
    axis = whole_scale(looks.epochs[-1])
    charts = []
    for name, moments in list(looks.layers.items())[:MOST_LAYERS]:
        epochs = [float(e) for e in moments]
        own = list(moments.values())
        band = ([look.low for look in own], [look.high for look in own])
        series = Series("mean", epochs, [look.mean for look in own], 0, band=band)
        charts.append(line_chart(name, [series], x_label="epoch", x_scale=axis))
    spread = _by_layer(
        "standard deviation of activations", looks.layers, lambda look: look.deviation, axis, zero=True
    )
    dead = _by_layer(
        "share of dead units",
        looks.layers,
        lambda look: look.dead,
        axis,
        limits=(0.0, 1.0),
        note=f"Slope 0 for each of {looks.samples} samples: nothing is learned through such a unit.",
    )
    saturated = _by_layer(
        "share of saturated values",
        looks.layers,
        lambda look: look.saturated,
        axis,
        limits=(0.0, 1.0),
        note="Where the slope of the layer’s function is below 5 % of its steepest; of a ReLU, the units that are off.",
    )
    told = (
        f"<p>The same {looks.samples} samples of the training part at every moment. The line is the mean of a layer’s"
        " values, the band holds nine tenths of them.</p>"
    )
    return told + figures(charts) + "<h3>All layers</h3>" + figures([spread, dead, saturated]) + _table(looks)


def _table(looks: Looks) -> str:
    """The last moment in numbers."""
    last = looks.epochs[-1]
    rows = []
    for name, moments in looks.layers.items():
        look = moments[last]
        rows.append(
            (
                escape(name),
                figure_text(look.mean),
                figure_text(look.deviation),
                _percent(look.dead),
                _percent(look.saturated),
                figure_text(look.gradient) if look.gradient is not None else "–",
            )
        )
    heads = ("layer", "mean", "deviation", "dead units", "saturated", "∂E/∂layer, r.m.s.")
    return f"<h3>After epoch {last}</h3>" + table(heads, rows)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def gradients(looks: Looks) -> str:
    """How large the gradient is at every layer, every weight and every step of time."""
    axis = whole_scale(looks.epochs[-1]) if looks.epochs else None
    if axis is None or not looks.weights:
        return ""
    by_layer = _by_layer("∂E/∂layer, root mean square", looks.layers, lambda look: look.gradient, axis)
    weights = _by_layer("∂E/∂w, norm", looks.weights, lambda look: look.gradient, axis)
    norms = _by_layer("w, norm", looks.weights, lambda look: look.norm, axis)
    charts = [by_layer, _through_layers(looks), weights, norms]
    steps = [_by_step(name, moments, looks.shown) for name, moments in looks.steps.items()]
    told = (
        "<p>E is the loss of these samples. A gradient that shrinks or grows tenfold from layer to layer vanishes or"
        " explodes.</p>"
    )
    more = (
        "<h3>By step of time</h3><p>How much the loss depends on what a recurrent layer held at each step.</p>"
        if any(steps)
        else ""
    )
    return told + figures(charts) + more + figures(steps)


def _through_layers(looks: Looks) -> str:
    """The gradient from the first layer to the last, at three moments."""
    names = [name for name, moments in looks.layers.items() if moments[looks.epochs[-1]].gradient is not None]
    if len(names) < 3:
        return ""
    series = []
    for colour, epoch in enumerate(looks.shown):
        values = [looks.layers[name][epoch].gradient or math.nan for name in names]
        series.append(Series(f"epoch {epoch}", [float(k + 1) for k in range(len(names))], values, colour))
    note = "Layers: " + ", ".join(f"{k + 1} {name}" for k, name in enumerate(names[:MOST_CURVES])) + "."
    return line_chart(
        "∂E/∂layer from layer to layer",
        series,
        x_label="layer",
        x_scale=whole_scale(len(names), first=1),
        note=note,
    )


def _by_step(name: str, moments: Mapping[int, np.ndarray], shown: Sequence[int]) -> str:
    series = [
        Series(f"epoch {epoch}", [float(t) for t in range(len(moments[epoch]))], list(moments[epoch]), colour)
        for colour, epoch in enumerate(shown)
    ]
    length = max(len(s.x) for s in series)
    return line_chart(
        f"∂E/∂{name}[t], root mean square", series, x_label="step t", x_scale=whole_scale(length - 1)
    )


def distributions(looks: Looks) -> str:
    """Histograms of activations, gradients and weights at three moments."""
    charts: list[str] = []
    for name, moments in list(looks.layers.items())[:MOST_LAYERS]:
        charts.append(_histogram(f"{name}: values", {e: moments[e].values for e in looks.shown}))
        charts.append(_histogram(f"{name}: ∂E/∂{name}", {e: moments[e].gradients for e in looks.shown}))
    for name, kept in list(looks.weights.items())[: 2 * MOST_LAYERS]:
        values = {e: kept[e].values for e in looks.shown}
        if all(v is not None and v.size >= BINS for v in values.values()):
            charts.append(_histogram(f"weight {name}", values))
    shown = figures(charts)
    return f"<p>Shares of the entries at three moments.</p>{shown}" if shown else ""


def _histogram(title: str, values: Mapping[int, np.ndarray | None]) -> str:
    finite = {e: v[np.isfinite(v)] for e, v in values.items() if v is not None}
    finite = {e: v for e, v in finite.items() if v.size}
    if not finite:
        return ""
    together = np.concatenate(list(finite.values()))
    low, high = (float(v) for v in np.percentile(together, (0.2, 99.8)))
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        return ""
    edges = np.linspace(low, high, BINS + 1)
    series = []
    for colour, (epoch, own) in enumerate(finite.items()):
        counts, _ = np.histogram(own, edges)
        series.append((f"epoch {epoch}", list(counts / own.size), colour))
    return bar_chart(title, series, list(edges))


def _by_layer(
    title: str,
    looks: Mapping[str, Mapping[int, Look]],
    figure: Callable[[Look], float | None],
    axis: Scale,
    *,
    zero: bool = False,
    limits: tuple[float, float] | None = None,
    note: str = "",
) -> str:
    """One curve for each layer or weight that has the figure."""
    series: list[Series] = []
    left = 0
    for name, moments in looks.items():
        values = [figure(look) for look in moments.values()]
        if all(v is None for v in values):
            continue
        if len(series) == MOST_CURVES:
            left += 1
            continue
        numbers = [math.nan if v is None else v for v in values]
        colour = len(series)
        series.append(
            Series(name, [float(e) for e in moments], numbers, colour % COLOURS, dashed=colour >= COLOURS)
        )
    if left:
        note = f"{note} {left} more are not shown.".strip()
    y = Scale(*limits) if limits else None
    if zero:
        y = Scale.of([v for s in series for v in s.y], zero=True, logarithmic=False)
    return line_chart(title, series, x_label="epoch", x_scale=axis, y_scale=y, note=note)


__all__ = ["LayerLook", "activations", "distributions", "gradients"]
