"""What a person sees while a network trains: a bar on a terminal, plain lines elsewhere.

In: the calls that training.py makes.  Out: text on a stream.

    with progress_on(sys.stdout, plan.epochs) as progress:
        net.train(data, on_progress=progress.on_progress, on_epoch=progress.on_epoch)

    epoch  3/60  loss 0.3512  accuracy 0.902  | validation loss 0.3377  accuracy 0.915  | 412,000 samples/s
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import IO, Any

from .training.history import Figures, Record

#: Seconds between two lines where an epoch takes less.
LINE_SECONDS = 0.5


def figures_text(figures: Figures) -> str:
    """`loss 0.3512  accuracy 0.902`."""
    return "  ".join(f"{name} {value:.4g}" for name, value in figures.items())


def epoch_text(record: Record, epochs: int) -> str:
    """A line about an epoch."""
    width = len(str(epochs))
    of = f"/{epochs}" if record.epoch <= epochs else " " * (1 + width)  # a second training counts on
    parts = [f"epoch {record.epoch:>{width}}{of}  {figures_text(record.train)}"]
    if record.validation:
        parts.append(f"validation {figures_text(record.validation)}")
    parts.append(f"{record.speed:,.0f} samples/s")
    return "  | ".join(parts)


class Lines:
    """A line per epoch, but not more than two a second (the first and the last always)."""

    def __init__(self, stream: IO[str], epochs: int):
        self.stream, self.epochs = stream, epochs
        self._printed = 0.0
        self._waiting: Record | None = None

    def on_progress(self, done: int, count: int, running: Figures) -> None:
        """Nothing: lines are for whole epochs."""

    def on_epoch(self, record: Record) -> None:
        self._waiting = record
        if time.monotonic() - self._printed >= LINE_SECONDS or record.epoch == self.epochs:
            self._flush()

    def _flush(self) -> None:
        if self._waiting is not None:
            print(epoch_text(self._waiting, self.epochs), file=self.stream, flush=True)
            self._printed = time.monotonic()
            self._waiting = None

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None or not issubclass(kind, OSError):
            self._flush()


class Bar:
    """One bar over all epochs, with the loss, the validation, the speed and the time left."""

    def __init__(self, stream: IO[str], epochs: int):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.epochs = epochs
        self.epoch, self.validation = 1, ""
        self.bar = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.total:.0f}"),
            BarColumn(bar_width=24),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[figures]}"),
            console=Console(file=stream),
            refresh_per_second=5,
        )
        self.task = self.bar.add_task("", total=epochs, epoch=1, figures="")
        self._started = time.monotonic()
        self._samples = 0.0

    def on_progress(self, done: int, count: int, running: Figures) -> None:
        seconds = max(time.monotonic() - self._started, 1e-9)
        speed = ((self.epoch - 1) * count + done) / seconds
        shown = f"{figures_text(running)}{self.validation}  {speed:,.0f} samples/s"
        self.bar.update(self.task, completed=self.epoch - 1 + done / count, epoch=self.epoch, figures=shown)

    def on_epoch(self, record: Record) -> None:
        if record.validation:
            self.validation = f"  | validation {figures_text(record.validation)}"
        self.epoch = record.epoch + 1
        self.bar.update(self.task, completed=record.epoch)

    def __enter__(self) -> Bar:
        self.bar.start()
        return self

    def __exit__(self, *unused: Any) -> None:
        self.bar.stop()


def progress_on(stream: IO[str], epochs: int) -> Lines | Bar:
    """A bar where the stream is a terminal, lines where it is not."""
    return Bar(stream, epochs) if is_terminal(stream) else Lines(stream, epochs)


def is_terminal(stream: IO[str]) -> bool:
    """Whether a person looks at the stream."""
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False
