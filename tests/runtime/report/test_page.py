"""The page about a run: whole, well formed, self-contained, and right in a browser."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from dln.runtime.checkpoint import read_weights
from dln.runtime.command_line import run

#: A recurrent layer, classes, a validation part, a schedule: something for every section.
FILE = """network signs
param  width = 12
input  x[9, 4]
input  side: class[3]
layer  h[t: 9, j: width] = tanh(b[j] + sum[i] w[j, i] * x[t, i] + sum[k] u[j, k] * h[t-1, k else 0])
weight w[width, 4] ~ glorot
weight u[width, width] ~ orthogonal
weight b[width] = 0
layer  last[j: width] = relu(h[8, j])
layer  score[3] = dense(last)
loss   cross_entropy(score, side)
metric accuracy(score, side)
data {
  from  random(samples = 300)
  x     = normal()
  side  = floor(uniform(0, 3))
  split 60% train, 20% validation, 20% test
}
train {
  optimizer adam(rate = 0.01 * 0.9^epoch)
  epochs    5
}
"""
SECTIONS = [
    "curves",
    "predictions",
    "activations",
    "gradients",
    "distributions",
    "first-weights",
    "graph",
    "sizes",
    "equations",
    "settings",
    "source",
]
VOID = {"meta", "img", "br", "line", "circle", "polyline", "polygon", "rect", "path", "mspace"}


class Checker(HTMLParser):
    """Open and closed tags must match; nothing may be fetched or run."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sections: list[str] = []
        self.links: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag, attributes):
        assert tag not in ("script", "link", "iframe", "object", "embed")
        for name, value in attributes:
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href", "action"):
                assert value.startswith(("data:image/png;base64,", "#")), value
                self.links |= {value[1:]} if value.startswith("#") else set()
            if tag == "section" and name == "id":
                self.sections.append(value)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A run with its whole report."""
    place = tmp_path_factory.mktemp("report")
    (place / "signs.dln").write_text(FILE)
    environment = pytest.MonkeyPatch()
    environment.delenv("DLN_BRIEF", raising=False)
    environment.setenv("DLN_DEBUG", "1")
    assert run(["train", str(place / "signs.dln"), "--set", "width=8", "--out", str(place / "a<b&c")]) == 0
    environment.undo()
    return place / "a<b&c"


def check(html: str) -> Checker:
    checker = Checker()
    checker.feed(html)
    assert not checker.open
    assert "url(" not in re.sub(r"url\(#\w+\)", "", html) and "@import" not in html
    assert checker.links == set(checker.sections)
    return checker


def test_the_page_of_a_training_has_every_section(folder):
    checker = check((folder / "report.html").read_text())
    assert checker.sections == SECTIONS
    for words in (
        "a<b&c",
        "5 epochs in",
        "learning rate",
        "share of dead units",
        "share of saturated values",
        "∂E/∂h[t], root mean square",
        "Worst examples",
        "After epoch 5",
        "width = 8",
        "180 train, 60 validation, 60 test samples",
    ):
        assert words in checker.text, words


def test_the_same_page_from_the_folder_and_a_brief_one(folder, capsys):
    whole = (folder / "report.html").read_text()
    other = folder / "again.html"
    assert run(["report", str(folder), "--out", str(other)]) == 0
    again, before = other.read_text(), whole
    # Everything is computed anew from what lies on the disk; only the clock of the end is not written there.
    for name in ("predictions", "activations", "gradients", "distributions", "first-weights", "sizes"):
        assert section(again, name) == section(before, name), name
    assert run(["report", str(folder), "--brief", "--out", str(other)]) == 0
    brief = check(other.read_text())
    assert brief.sections == [
        s for s in SECTIONS if s not in ("predictions", "activations", "gradients", "distributions")
    ]
    capsys.readouterr()


def section(html: str, name: str) -> str:
    return html.split(f'<section id="{name}">')[1].split("</section>")[0]


def test_what_is_missing_is_said(folder, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for name in ("snapshots.safetensors", "weights.safetensors"):
        (copy / name).unlink()
    assert run(["report", str(copy)]) == 0
    checker = check((copy / "report.html").read_text())
    assert "no weights yet" in checker.text and "curves" in checker.sections
    assert "activations" not in checker.sections
    capsys.readouterr()
    # The log as it is after a kill in the middle: no end, and it is said.
    lines = (copy / "log.jsonl").read_text().splitlines()
    (copy / "log.jsonl").write_text("\n".join(lines[:3]) + "\n")
    assert run(["report", str(copy)]) == 0
    assert "it has not ended, or was broken off" in check((copy / "report.html").read_text()).text
    (copy / "log.jsonl").write_text("{}\n")
    capsys.readouterr()
    assert run(["report", str(copy)]) in (0, 1)
    (copy / "log.jsonl").unlink()
    assert run(["report", str(copy)]) == 1
    assert "is not the folder of a run: it has no log.jsonl" in capsys.readouterr().err
    assert run(["report", str(tmp_path / "nowhere")]) == 2


def test_the_confusion_matrix_counts_the_test_part(folder):
    rows = re.findall(
        r"<tr><th scope=\"row\">\d</th>(.*?)</tr>",
        section((folder / "report.html").read_text(), "predictions"),
    )
    cells = [[0 if c == "·" else int(c) for c in re.findall(r"<td[^>]*>([^<]*)</td>", row)] for row in rows]
    table = np.array(cells)
    assert table.shape == (3, 3) and table.sum() == 60
    figures = re.search(
        r"test</th><td class=\"n\">[\d.]+</td><td class=\"n\">([\d.]+)", (folder / "report.html").read_text()
    )
    assert np.trace(table) / 60 == pytest.approx(float(figures[1]), abs=1e-3)
    assert read_weights(folder / "weights.safetensors")["w"].shape == (8, 4)


CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_a_browser_shows_it_without_an_error(folder, tmp_path):
    page = shutil.copy(folder / "report.html", tmp_path / "report.html")
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
         "--enable-logging=stderr", "--v=0", "--window-size=400,900", "--virtual-time-budget=2000", "--dump-dom",
         Path(page).as_uri()],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "CONSOLE" not in done.stderr
    assert [s for s in SECTIONS if f'<section id="{s}">' not in done.stdout] == []
    assert done.stdout.count("<svg") == (folder / "report.html").read_text().count("<svg") > 10
