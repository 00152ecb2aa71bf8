"""Loss, metrics and rate over the epochs.

In: a `History`, the rates of learning.  Out: HTML.

    curves(history, {"": (epochs, rates)})
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..diagnosis.learning_rates import Curve
from ..training.history import History
from .charts import Series, line_chart
from .page import figures
from .scales import Scale, whole_scale

NAMES = {"train": "training", "validation": "validation"}


def curves(history: History, rates: Mapping[str, Curve]) -> str:
    """A chart for each figure, and one of the rate. The epochs of a second training follow those of the first."""
    count, again = len(history), history.retraining or History()
    if not count:
        return "<p>No epoch was completed.</p>"
    epochs = [float(record.epoch) for record in history]
    later = [float(count + k + 1) for k in range(len(again))]
    last = count + len(again)
    axis = whole_scale(last, first=1) if last > 1 else whole_scale(2)
    best = history.best_epoch
    what = "whose weights were kept" if history.retraining is None else "the best one"
    mark = (float(best), f"epoch {best}, {what}") if 1 <= best < last else None
    charts = []
    for figure in dict.fromkeys([*history.figures("train"), *history.figures("validation")]):
        series = [
            Series(NAMES[part], epochs, history.curve(part, figure), colour)
            for colour, part in enumerate(NAMES)
            if figure in history.figures(part)
        ]
        if figure in again.figures("train"):
            series.append(Series("second training", later, again.curve("train", figure), len(NAMES)))
        charts.append(line_chart(figure, series, x_label="epoch", x_scale=axis, mark=mark))
    series = [Series(name, list(x), list(y), k) for k, (name, (x, y)) in enumerate(rates.items())]
    if any(np.ptp(s.y) > 0 for s in series) or len(series) > 1:
        scale, every = Scale(0.0, float(count)), [v for s in series for v in s.y]
        y = Scale.of(every, zero=True, logarithmic=False) if len(series) == 1 else None
        charts.append(line_chart("learning rate", series, x_label="epochs done", x_scale=scale, y_scale=y))
    elif series:
        charts.append(
            line_chart(
                "learning rate",
                [Series("", [0.0, float(count)], [series[0].y[0]] * 2)],
                x_label="epochs done",
                x_scale=Scale(0.0, float(count)),
                y_scale=Scale.of([0.0, 1.25 * series[0].y[0]], zero=True),
            )
        )
    speed = [record.speed for record in history]
    charts.append(
        line_chart(
            "samples a second",
            [Series("", epochs, speed, 2)],
            x_label="epoch",
            x_scale=axis,
            y_scale=Scale.of(speed, zero=True, logarithmic=False),
        )
    )
    told = (
        f'<p class="note">The dashed line marks {"the best epoch" if len(again) else "the epoch whose weights were kept"}.'
        " Figures of the training part are means over its epoch, while the weights changed.</p>"
    )
    return figures(charts) + (told if mark else "")
