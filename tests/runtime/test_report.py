"""The report page and the progress lines: well formed, self-contained, and saying what happened."""

from __future__ import annotations

import io
import math
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

from dln.runtime.progress import Bar, Lines, progress_on
from dln.runtime.report import plot, report
from dln.runtime.training.history import History, Record


def history_of(epochs: int) -> History:
    records = [
        Record(k, 10 * k, {"loss": 1 / k, "hits": 0.5}, {"loss": 2 / k}, 0.1 * k, 1234.5)
        for k in range(1, epochs + 1)
    ]
    return History(records, epochs, "epochs", 0.1 * epochs)


class Checker(HTMLParser):
    """Open and closed tags must match; nothing may be fetched or run."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attributes):
        assert tag not in ("script", "link", "img", "iframe")
        assert not any(name in ("src", "href") for name, _ in attributes)
        if tag not in ("meta", "line", "circle", "polyline"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("line", "circle", "polyline"):
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_page_is_well_formed_and_needs_nothing_else():
    page = report(
        "a<b&c-1",
        history_of(5),
        {"train": {"loss": 0.2}, "test": {"loss": 0.25, "hits": 0.9}},
        {"optimizer": "adam(rate = 1e-3)", "overrides": {"x": "<script>"}},
        "network n\n# 1 < 2 & 3\n",
    )
    checker = Checker()
    checker.feed(page)
    assert not checker.open
    for words in ("a<b&c-1", "5 epochs in 0.5 s", "those of epoch 5", "0.25", "<script>", "# 1 < 2 & 3"):
        assert words in checker.text, words


def points_of(svg: str) -> list[list[tuple[float, float]]]:
    root = ET.fromstring(svg)
    return [
        [tuple(map(float, p.split(","))) for p in line.get("points", "").split()]
        for line in root.iter("polyline")
    ]


def test_curves_are_drawn_to_scale():
    (line,) = points_of(plot({"train": [4.0, 2.0, 3.0]}, best=2))
    (x1, y1), (x2, y2), (x3, y3) = line
    assert x2 - x1 == x3 - x2 > 0
    assert y1 < y3 < y2 and abs((y2 - y3) - (y3 - y1)) < 0.2  # downwards; 3 lies midway between 4 and 2
    (line,) = points_of(plot({"train": [1000.0, 10.0, 0.1]}))
    assert abs((line[1][1] - line[0][1]) - (line[2][1] - line[1][1])) < 0.2  # logarithmic


def test_odd_curves():
    assert plot({}) == plot({"train": [math.nan]}) == "<p>nothing to draw</p>"
    assert "<circle" in plot({"train": [1.0]})
    (line,) = points_of(plot({"train": [1.0, math.nan, 1.0, math.inf]}))
    assert len(line) == 2
    (line,) = points_of(plot({"train": [float(k % 7) for k in range(100_000)]}))
    assert len(line) < 3000


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
