"""The lines and the bar that a person sees while a network trains."""

from __future__ import annotations

import io

from dln.runtime.progress import Bar, Lines, progress_on
from dln.runtime.training.history import History, Record


def history_of(epochs: int) -> History:
    records = [
        Record(k, 10 * k, {"loss": 1 / k, "hits": 0.5}, {"loss": 2 / k}, 0.1 * k, 1234.5)
        for k in range(1, epochs + 1)
    ]
    return History(records, epochs, "epochs", 0.1 * epochs)


def test_lines_for_what_is_no_terminal():
    stream = io.StringIO()
    with progress_on(stream, 12) as progress:
        assert isinstance(progress, Lines)
        for record in history_of(12):
            progress.on_progress(5, 10, record.train)
            progress.on_epoch(record)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "epoch  1/12  loss 1  hits 0.5  | validation loss 2  | 1,234 samples/s"
    assert lines[-1].startswith("epoch 12/12  loss 0.08333") and len(lines) == 2


def test_the_last_line_is_told_even_if_training_ends_early():
    stream = io.StringIO()
    with progress_on(stream, 1000) as progress:
        for record in history_of(7):
            progress.on_epoch(record)
    assert stream.getvalue().splitlines()[-1].startswith("epoch    7/1000")


def test_bar_on_a_terminal():
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with progress_on(stream, 3) as progress:
        assert isinstance(progress, Bar)
        for record in history_of(3):
            progress.on_progress(5, 10, record.train)
            progress.on_epoch(record)
            progress.on_progress(10, 10, record.train)
    assert "loss" in stream.getvalue() and "validation" in stream.getvalue()
