"""Axes with round numbers, curves to scale, pictures whose bytes are those of the array."""

from __future__ import annotations

import base64
import math
import re
import struct
import xml.etree.ElementTree as ET
import zlib

import numpy as np
import pytest
from dln.runtime.report.charts import HEIGHT, WIDTH, Series, bar_chart, line_chart, point_chart
from dln.runtime.report.pictures import picture
from dln.runtime.report.scales import Scale, figure_text, number_text, power_text, whole_scale, whole_ticks


@pytest.mark.parametrize(
    "low, high, texts",
    [
        (0.0, 1.0, ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (-1.0, 1.0, ["−1.0", "−0.5", "0", "0.5", "1.0"]),
        (0.0, 2400.0, ["0", "500", "1,000", "1,500", "2,000"]),
        (0.0, 3e-6, ["0", "10⁻⁶", "2·10⁻⁶", "3·10⁻⁶"]),
        (0.013, 0.021, ["0.014", "0.016", "0.018", "0.020"]),
    ],
)
def test_round_numbers(low, high, texts):
    scale = Scale(low, high)
    assert [text for _, text in scale.ticks()] == texts
    for place, text in scale.ticks():
        if "·" not in text and "⁻" not in text:
            value = float(text.replace("−", "-").replace(",", ""))
            assert place == pytest.approx((value - low) / (high - low))


def test_logarithmic_where_it_helps():
    assert not Scale.of([1.0, 99.0]).logarithmic and Scale.of([1.0, 101.0]).logarithmic
    assert not Scale.of([0.0, 1000.0]).logarithmic  # zero has no logarithm
    scale = Scale.of([1e-5, 1e5], room=0)
    assert [text for _, text in scale.ticks()] == ["0.001", "1", "1,000"]
    assert scale.at(1.0) == pytest.approx(0.5) and scale.at(0.0) == 0
    assert [t for _, t in Scale.of([1.2, 7.0], logarithmic=True).ticks()] == ["2", "5"]


def test_texts():
    assert [power_text(k) for k in (-4, -3, 0, 4, 5)] == ["10⁻⁴", "0.001", "1", "10,000", "10⁵"]
    assert number_text(2.5e7, 5e6) == "2.5·10⁷" and number_text(-0.25, 0.05) == "−0.25"
    assert figure_text(math.nan) == "NaN" and figure_text(-math.inf) == "−∞" and figure_text(0) == "0"
    assert figure_text(1234.6) == "1,235" and figure_text(-0.012344) == "−0.01234"
    assert figure_text(3.21e-9) == "3.21·10⁻⁹"


def test_whole_numbers_only():
    assert [t for _, t in whole_ticks(whole_scale(3))] == ["0", "1", "2", "3"]
    assert [t for _, t in whole_ticks(whole_scale(60, first=1))] == ["10", "20", "30", "40", "50", "60"]


def svg_of(html: str) -> ET.Element:
    (found,) = re.findall(r"<svg.*</svg>", html, re.DOTALL)
    return ET.fromstring(found)


def lines_of(html: str) -> list[list[tuple[float, float]]]:
    return [
        [tuple(map(float, p.split(","))) for p in line.get("points", "").split()]
        for line in svg_of(html).iter("polyline")
    ]


def curve(*values: float) -> Series:
    return Series("a < b", [float(k) for k in range(len(values))], values)


def test_curves_are_drawn_to_scale():
    html = line_chart("loss", [curve(4.0, 2.0, 3.0)], x_label="epoch")
    ((x1, y1), (x2, y2), (x3, y3)) = lines_of(html)[0]
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2) and x1 < x2
    assert y1 < y3 < y2 and abs((y2 - y3) - (y3 - y1)) < 0.2  # downwards; 3 lies midway between 4 and 2
    ((_, y1), (_, y2), (_, y3)) = lines_of(line_chart("loss", [curve(1000.0, 10.0, 0.1)], x_label="epoch"))[0]
    assert abs((y2 - y1) - (y3 - y2)) < 0.2  # logarithmic
    assert "a &lt; b" in html and "epoch" in html


def test_odd_curves():
    assert line_chart("loss", [], x_label="epoch") == ""
    assert line_chart("loss", [curve(math.nan)], x_label="epoch") == ""
    assert "<circle" in line_chart("loss", [curve(1.0)], x_label="epoch")
    (line,) = lines_of(line_chart("loss", [curve(1.0, math.nan, 1.0, math.inf)], x_label="epoch"))
    assert len(line) == 2
    (line,) = lines_of(line_chart("loss", [curve(*(float(k % 7) for k in range(100_000)))], x_label="epoch"))
    assert len(line) < 3000


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e9])
def test_nothing_lies_outside_of_the_picture(scale):
    draws = np.random.default_rng(0)
    series = [curve(*(scale * draws.normal(size=30))) for _ in range(3)]
    band = Series("band", series[0].x, series[0].y, band=(series[1].y, series[2].y))
    charts = [
        line_chart("curves", [*series, band], x_label="epoch"),
        bar_chart("bars", [("one", [0.5, 0.25, 0.25], 0)], list(scale * np.arange(4.0))),
        point_chart("points", series[0].y, series[1].y, x_label="true"),
    ]
    for html in charts:
        root = svg_of(html)
        for node in root.iter():
            for name, most in (("x", WIDTH), ("cx", WIDTH), ("y", HEIGHT), ("cy", HEIGHT)):
                if node.get(name) is not None:
                    assert 0 <= float(node.get(name)) <= most
            for pair in (node.get("points") or "").split():
                x, y = map(float, pair.split(","))
                assert 0 <= x <= WIDTH and 0 <= y <= HEIGHT
            if node.tag == "text" and node.get("text-anchor") == "end" and "x" in node.attrib:
                small = sum(c in "⁻⁰¹²³⁴⁵⁶⁷⁸⁹.," for c in node.text)
                width = 6.3 * (len(node.text) - small) + 4 * small
                assert width <= float(node.get("x")) + 1, node.text  # numbers are not cut off


def test_pictures_have_the_colours_of_their_numbers():
    html = picture(np.array([[1.0, -1.0], [0.0, 0.5]]), size=2)
    content = base64.b64decode(re.search(r"base64,([^\"]+)", html)[1])
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", content[16:24]) == (2, 2)
    start = content.index(b"IDAT") + 4
    (length,) = struct.unpack(">I", content[start - 8 : start - 4])
    lines = np.frombuffer(zlib.decompress(content[start : start + length]), np.uint8).reshape(2, 7)
    assert (lines[:, 0] == 0).all()
    blue, orange, white, light = lines[:, 1:].reshape(4, 3).astype(int)
    assert blue[2] > blue[0] + 80 and orange[0] > orange[2] + 80 and white.min() > 240
    assert np.abs(light - (blue + white) / 2).max() <= 1
