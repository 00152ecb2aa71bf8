"""What a person sees with `dln train --live`: curves and layers, drawn anew while the network trains.

In: the calls that training/loop.py makes, an `Observer` of the layers.  Out: a picture on a terminal.

    with LiveView(sys.stdout, plan.epochs, observe) as view:
        net.train(data, on_progress=view.on_progress, on_epoch=view.on_epoch)

    epoch 12/60  ━━━━━━━━╺━━━━━━━━━━━  0:00:03 left  1,204,000 samples/s
               training                                 validation
    loss       0.3512    █▇▅▄▃▂▂▁▁▁▁▁                   0.3377   █▆▅▄▃▂▂▂▁▁▁▁
    layer      mean     deviation   dead   saturated   ∂E/∂layer
    hidden     0.812    1.03        3 %    41 %        0.0021   ▁▃▅▆▇███▇▇▆▅
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import IO, TYPE_CHECKING, Any

from .diagnosis.layer_statistics import LayerLook, Looks
from .training.history import Figures, Record

if TYPE_CHECKING:
    from rich.console import RenderableType

#: Signs of a sparkline, the smallest first; how many stand side by side.
SIGNS, WIDTH = "▁▂▃▄▅▆▇█", 32
#: Seconds between two looks at the layers, and the share of the time that they may take.
LOOK_SECONDS, LOOK_SHARE = 1.0, 0.05
#: Layers that are shown.
MOST_LAYERS = 16


def sparkline(values: Iterable[float], width: int = WIDTH) -> str:
    """Numbers as a line of blocks, from the smallest to the largest; where there are too many, means of neighbours."""
    known = [v for v in values if math.isfinite(v)]
    if len(known) > width:
        known = [_mean(known[k * len(known) // width : (k + 1) * len(known) // width]) for k in range(width)]
    if not known:
        return ""
    low, high = min(known), max(known)
    if high <= low:
        return SIGNS[0] * len(known)
    return "".join(SIGNS[min(int((v - low) / (high - low) * len(SIGNS)), len(SIGNS) - 1)] for v in known)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


class LiveView:
    """Progress, curves and layers on a terminal.

    observe   looks at the layers after an epoch, and gives all looks so far; None where layers are not shown
    """

    def __init__(self, stream: IO[str], epochs: int, observe: Callable[[int], Looks] | None = None):
        from rich.console import Console
        from rich.live import Live
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.epochs, self.observe = epochs, observe
        self.records: list[Record] = []
        self.running: Figures = {}
        self.looks: Looks | None = None
        self.bar = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.total:.0f}"),
            BarColumn(bar_width=30),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[speed]}"),
            auto_refresh=False,
        )
        self.task = self.bar.add_task("", total=epochs, epoch=1, speed="")
        console = Console(file=stream, force_terminal=True)
        self.live = Live(console=console, refresh_per_second=5, get_renderable=self.picture)
        self._next_look = 0.0

    # ------------------------------------------------------------------------------------ what the training calls

    def on_progress(self, done: int, count: int, running: Figures) -> None:
        self.running = running
        before = len(self.records)
        self.bar.update(self.task, completed=before + done / count, epoch=min(before + 1, self.epochs))

    def on_epoch(self, record: Record) -> None:
        self.records.append(record)
        self.bar.update(
            self.task, completed=len(self.records), epoch=record.epoch, speed=f"{record.speed:,.0f} samples/s"
        )
        if self.observe is not None and (time.monotonic() >= self._next_look or record.epoch == self.epochs):
            started = time.monotonic()
            try:
                self.looks = self.observe(record.epoch)
            except Exception:  # what hinders the view is no fault of the training
                self.observe = None
            first = self.looks is not None and len(self.looks.epochs) == 1
            spent = 0.0 if first else time.monotonic() - started  # the first look includes a compilation
            self._next_look = time.monotonic() + max(LOOK_SECONDS, spent / LOOK_SHARE)

    # ------------------------------------------------------------------------------------------------ the picture

    def picture(self) -> RenderableType:
        """All of it, as it is now."""
        from rich.console import Group

        parts: list[RenderableType] = [self.bar.get_renderable(), self._figures()]
        if self.looks is not None and self.looks.layers:
            parts.append(self._layers(self.looks))
        return Group(*parts)

    def _figures(self) -> RenderableType:
        from rich.table import Table

        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("", no_wrap=True, min_width=8)
        for head in ("training", "validation"):
            table.add_column(head, no_wrap=True, min_width=10)
            table.add_column("", no_wrap=True, min_width=WIDTH)
        last = self.records[-1] if self.records else None
        names = dict.fromkeys(
            [*self.running, *(last.train if last else {}), *(last.validation if last else {})]
        )
        for name in names:
            cells = [name]
            for part in ("train", "validation"):
                values = [getattr(r, part)[name] for r in self.records if name in getattr(r, part)]
                value = values[-1] if values else self.running.get(name) if part == "train" else None
                cells += ["" if value is None else f"{value:.4g}", sparkline(values)]
            table.add_row(*cells)
        return table

    def _layers(self, looks: Looks) -> RenderableType:
        from rich.table import Table

        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("layer", no_wrap=True)
        for head in ("mean", "deviation", "dead", "saturated", "∂E/∂layer"):
            table.add_column(head, justify="right", no_wrap=True)
        table.add_column("", no_wrap=True)
        for name, moments in list(looks.layers.items())[:MOST_LAYERS]:
            look = moments[max(moments)]
            slopes = [m.gradient for m in moments.values() if m.gradient is not None]
            table.add_row(name, *_cells(look), sparkline(slopes))
        more = len(looks.layers) - MOST_LAYERS
        if more > 0:
            table.add_row(f"and {more} more", style="dim")
        return table

    def __enter__(self) -> LiveView:
        self.live.start()
        return self

    def __exit__(self, *unused: Any) -> None:
        self.live.stop()


def _cells(look: LayerLook) -> list[str]:
    shares = ("" if s is None else f"{100 * s:.0f} %" for s in (look.dead, look.saturated))
    gradient = "" if look.gradient is None else f"{look.gradient:.2e}"
    return [f"{look.mean:.3g}", f"{look.deviation:.3g}", *shares, gradient]
