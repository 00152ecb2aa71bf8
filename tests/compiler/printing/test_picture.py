"""The picture of a network: well-formed, complete, and without overlaps (measured on the boxes that were drawn)."""

from __future__ import annotations

import random
import re
import xml.etree.ElementTree as ElementTree
from itertools import combinations, pairwise

import pytest
from dln.compiler.mathematics.expression import BATCH, Axis, Expression, Load, apply, integer, new_axis, real
from dln.compiler.mathematics.graph import Array, Family, Graph, Reduction
from dln.compiler.printing.layered import Box, layout
from dln.compiler.printing.picture import svg, text_width

SVG = "{http://www.w3.org/2000/svg}"


def network(layers: dict[str, list[str]], weights: dict[str, tuple[int, ...]], name: str = "net") -> Graph:
    """A graph whose layers (all of 8 units) load the named things at index 0; input x, label t, loss over the last layer."""
    graph = Graph(name)
    graph.arrays["x"] = Array("x", "input", (8,), True)
    graph.arrays["t"] = Array("t", "input", (), True, "integer", 10)
    for weight, extents in weights.items():
        graph.arrays[weight] = Array(weight, "weight", extents)
    last = "x"
    for last, sources in layers.items():
        body: Expression = real(0)
        for source in sources:
            body = body + _load(graph, source)
        axes: tuple[Axis, ...] = (BATCH, new_axis("j", 8))
        graph.add(Family(last, axes, body, role="let" if "." in last else "layer"))
    body = _load(graph, last) + apply("real", Load("t", (BATCH,), "integer"))
    graph.add(Family("loss", (), body, Reduction("sum", (BATCH,)), "loss"))
    graph.loss, graph.outputs = "loss", tuple(name for name in layers if "." not in name)
    return graph


def _load(graph: Graph, name: str) -> Load:
    target = graph.families.get(name) or graph.arrays[name]
    return Load(name, (BATCH,) * target.batched + (integer(0),) * len(target.extents))


def boxes_of(picture: str) -> dict[str, tuple[float, float, float, float]]:
    """name → (left, top, right, bottom) of every box in an SVG."""
    found = {}
    for group in ElementTree.fromstring(picture).iter(f"{SVG}g"):
        rectangle = group.find(f"{SVG}rect")
        if rectangle is not None:
            left, top, width, height = (
                float(rectangle.get(key, "0")) for key in ("x", "y", "width", "height")
            )
            found[group.findall(f"{SVG}text")[0].text or ""] = (left, top, left + width, top + height)
    return found


def overlaps(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


RESIDUAL = network(
    {
        "a": ["x", "a.w"],
        "b": ["a", "b.w"],
        "r": ["a", "b"],
        "s": ["r", "b.w"],
        "score": ["s", "r", "x", "score.w"],
    },
    {"a.w": (8, 8), "b.w": (8, 8), "score.w": (8, 8)},
)


def test_every_part_of_the_network_has_a_box() -> None:
    assert set(boxes_of(svg(RESIDUAL))) == {"x", "t", "a", "b", "r", "s", "score", "loss"}


def test_blocks_are_folded_into_the_box_of_their_layer() -> None:
    graph = network({"h.dense.y": ["x", "h.w"], "h": ["h.dense.y"], "out": ["h"]}, {"h.w": (8, 8)})
    assert set(boxes_of(svg(graph))) == {"x", "t", "h", "out", "loss"}


def test_a_shared_weight_says_with_whom() -> None:
    text = svg(RESIDUAL)
    assert "shared with s" in text and "shared with b" in text and "score.w" not in text


def test_sharing_is_shown_as_connections_and_weights() -> None:
    assert "6 connections → 2 weights" in svg(RESIDUAL, {"a": (6, 2)})


def test_names_are_escaped() -> None:
    ElementTree.fromstring(svg(network({"h": ["x"]}, {}, name="a < b & c")))


def test_recurrences_are_dashed_and_drawn() -> None:
    graph = network({"h": ["x"]}, {})
    family = graph.families["h"]
    graph.families["h"] = Family("h", family.axes, family.body + _load(graph, "h"), role="layer")
    assert "stroke-dasharray" in svg(graph)


@pytest.mark.parametrize("seed", range(20))
def test_random_networks_have_no_overlaps(seed: int) -> None:
    """Boxes keep apart, stay inside of the picture, and no edge runs through a box that is not its own."""
    draw = random.Random(seed)
    names = [f"n{k}" for k in range(draw.randint(2, 30))]
    boxes = [Box("x", 70, 36, source=True)] + [
        Box(n, draw.uniform(70, 320), draw.uniform(36, 100)) for n in names
    ]
    edges = [("x", names[0])]
    for k, name in enumerate(names[1:], 1):
        edges += [(draw.choice(names[max(0, k - 6) : k]), name) for _ in range(draw.randint(1, 3))]
    drawing = layout(boxes, edges)
    placed = {
        b.name: (x - b.width / 2, y - b.height / 2, x + b.width / 2, y + b.height / 2)
        for b in boxes
        for x, y in [drawing.centres[b.name]]
    }
    for (one, a), (other, b) in combinations(placed.items(), 2):
        assert not overlaps(a, b), (one, other)
    for left, top, right, bottom in placed.values():
        assert (
            left > -1e-6 and top > -1e-6 and right < drawing.width + 1e-6 and bottom < drawing.height + 1e-6
        )
    for (a, b), route in drawing.routes.items():
        assert placed[a][3] == pytest.approx(route[0][1]) and placed[b][1] == pytest.approx(route[-1][1])
        for (x0, y0), (x1, y1) in pairwise(route):
            for name, box in placed.items():
                if name not in (a, b):
                    for step in range(21):
                        # The cubic of picture.py with vertical tangents.
                        s = step / 20
                        x = x0 + (x1 - x0) * (3 * s * s - 2 * s * s * s)
                        y = (
                            y0 + (y1 - y0) * (1.5 * s * (1 - s) + s**3)
                            if abs(x1 - x0) > 0.05
                            else y0 + (y1 - y0) * s
                        )
                        assert not overlaps((x, y, x, y), box), (a, b, name)


def test_a_thousand_layers_are_drawn_in_seconds() -> None:
    names = [f"n{k}" for k in range(1000)]
    drawing = layout(
        [Box(n, 80, 40) for n in names], list(pairwise(names)) + list(zip(names, names[3:], strict=False))
    )
    assert len(drawing.centres) == 1000


def test_text_is_not_cut() -> None:
    """The widths of texts are estimated from above: DejaVu Sans (the widest of the fonts named) fits, by its own table."""
    advance = {
        "i": 0.278,
        "l": 0.278,
        "m": 0.974,
        "w": 0.818,
        "W": 0.989,
        "e": 0.615,
        "0": 0.636,
        " ": 0.318,
        "R": 0.695,
    }
    for word in ("mmmm", "illi", "eW 0", "ReRe"):
        assert text_width(word, 10) >= 10 * sum(advance[c] for c in word)
    assert re.search(r'width="\d+"', svg(RESIDUAL))
