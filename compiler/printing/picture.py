"""The network as a picture: an SVG of its layers from top to bottom, made without an external program.

In: the graph of a network (as elaborated, without gradients).  Out: the text of an SVG file.

    svg(graph)        inputs, one box per layer or let with the blocks inside of it folded in, and the loss

A box shows the name, the extents, the equation as the file has it, the weights, and how far they are shared: the number of
connections and of distinct weights. Boxes have fills of their own and lines are mid-grey, so that the picture reads on light
and dark backgrounds alike.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape

from ..mathematics.graph import Array, Family, Graph
from ..source import NOWHERE
from .layered import Box, Drawing, layout

_FONT = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
_MONOSPACE = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
_FILLS = {"input": "#d7e8fb", "layer": "#ffffff", "let": "#f1f1ee", "loss": "#fde3c8"}
_STROKES = {"input": "#4b83bf", "layer": "#6f7f8f", "let": "#9aa0a6", "loss": "#c98238"}
_LINE, _TEXT, _QUIET = "#7d8a97", "#1d2733", "#56626e"
_SIZE, _SMALL, _LEADING, _PADDING, _MARGIN = 14.0, 11.0, 15.0, 11.0, 16.0
_WIDEST = 46
_MOST_WEIGHTS = 5


@dataclass
class _Node:
    """One box: what it shows, before it has a place."""

    name: str
    kind: str
    extents: str = ""
    equation: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    @property
    def rows(self) -> list[tuple[str, str]]:
        """(style, text) of the rows below the name."""
        return [("code", line) for line in self.equation] + [("small", line) for line in self.lines]

    @property
    def width(self) -> float:
        head = text_width(self.name, _SIZE, bold=True)
        head += text_width(self.extents, _SMALL) + 14 if self.extents else 0
        widths = [
            0.62 * _SMALL * len(t) if style == "code" else text_width(t, _SMALL) for style, t in self.rows
        ]
        return max(70.0, max([head, *widths]) + 2 * _PADDING)

    @property
    def height(self) -> float:
        return 2 * _PADDING + _SIZE + _LEADING * len(self.rows)


def svg(graph: Graph, sharing: Mapping[str, tuple[int, int]] | None = None) -> str:
    """The picture of a network.

    `sharing`: family → (connections, distinct weights), as counts.py finds them; without it these lines are left out.
    """
    nodes, edges = _nodes_and_edges(graph, sharing or {})
    boxes = [Box(n.name, n.width, n.height, n.kind == "input") for n in nodes]
    drawing = layout(boxes, edges)
    looped = {a for a, b in edges if a == b}
    title_height = 30.0 if graph.name else 0.0
    least = text_width(graph.name, _SIZE + 2, bold=True)
    width = max(drawing.width, least) + 2 * _MARGIN + (30 if looped else 0)
    height = drawing.height + 2 * _MARGIN + title_height
    shift = (_MARGIN + (width - 2 * _MARGIN - drawing.width) / 2, _MARGIN + title_height)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img" font-family="{_FONT}">',
        f"<title>{escape(graph.name or 'network')}</title>",
        f'<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0.8 L8 4 L0 7.2 z" fill="{_LINE}"/></marker></defs>',
    ]
    if graph.name:
        out.append(
            f'<text x="{width / 2:.1f}" y="{_MARGIN + 8:.1f}" text-anchor="middle" font-weight="bold" '
            f'font-size="{_SIZE + 2:g}" fill="{_LINE}">{escape(graph.name)}</text>'
        )
    out.append(f'<g transform="translate({shift[0]:.1f} {shift[1]:.1f})">')
    out += [_edge(points, edge in drawing.backward) for edge, points in drawing.routes.items()]
    for node in nodes:
        out += _box(node, drawing, node.name in looped)
    return "\n".join([*out, "</g>", "</svg>"]) + "\n"


# --------------------------------------------------------------------------------------------- what is drawn


def _nodes_and_edges(
    graph: Graph, sharing: Mapping[str, tuple[int, int]]
) -> tuple[list[_Node], list[tuple[str, str]]]:
    """Boxes in file order, and which feeds which. A family inside of a block belongs to the box of the layer it is for."""
    wanted = graph.needed([*graph.outputs, *([graph.loss] if graph.loss else [])])
    members: dict[str, list[Family]] = {}
    for family in graph.families.values():
        if family.name in wanted and family.role not in ("gradient", "update", "metric"):
            members.setdefault(_owner(graph, family.name), []).append(family)
    edges: dict[tuple[str, str], None] = {}
    used_inputs: dict[str, None] = {}
    users: dict[str, list[str]] = {}
    for owner, families in members.items():
        own = {f.name for f in families}
        for source in dict.fromkeys(s for f in families for s in f.sources):
            array = graph.arrays.get(source)
            if array is None:
                # A box that reads its own result at another index is a recurrence.
                if source not in own or (source == owner and _is_delayed(graph, owner)):
                    edges[_owner(graph, source), owner] = None
            elif array.kind == "input":
                used_inputs[source] = None
                edges[source, owner] = None
            elif array.kind == "weight":
                users.setdefault(source, []).append(owner)
    nodes = [
        _Node(a.name, "input", _extents(a.extents), [f"class[{a.classes}]"] if a.classes else [])
        for a in graph.inputs
        if a.name in used_inputs
    ]
    for owner, families in members.items():
        nodes.append(_node(graph, owner, families, users, sharing))
    return nodes, list(edges)


def _owner(graph: Graph, name: str) -> str:
    """The box that a family is drawn in: `hidden.dense.y` belongs to `hidden`, and what the loss is made of to the loss."""
    first = name.split(".")[0]
    return first if first in graph.families else name


def _is_delayed(graph: Graph, name: str) -> bool:
    return any(load.array == name for load in graph.families[name].loads)


def _node(
    graph: Graph,
    owner: str,
    families: list[Family],
    users: Mapping[str, list[str]],
    sharing: Mapping[str, tuple[int, int]],
) -> _Node:
    main = graph.families.get(owner, families[-1])
    kind = "loss" if owner == graph.loss else main.role if main.role in _FILLS else "let"
    node = _Node(owner, kind, _extents(main.extents), _equation(main))
    weights = [graph.arrays[w] for w, boxes in users.items() if owner in boxes]
    for weight in weights[:_MOST_WEIGHTS]:
        others = [box for box in users[weight.name] if box != owner]
        node.lines.append(_weight_line(weight, owner, others))
    if len(weights) > _MOST_WEIGHTS:
        node.lines.append(f"and {len(weights) - _MOST_WEIGHTS} more weights")
    counts = [sharing[f.name] for f in families if f.name in sharing]
    connections, distinct = sum(c for c, _ in counts), sum(w for _, w in counts)
    if connections:
        node.lines.append(f"{connections:,} connections → {distinct:,} weights")
    return node


def _weight_line(weight: Array, owner: str, others: list[str]) -> str:
    name = weight.name.removeprefix(f"{owner}.")
    line = f"{name}  {_extents(weight.extents)}" if weight.extents else name
    if others:
        line += f"  shared with {others[0]}" + (f" and {len(others) - 1} more" if len(others) > 1 else "")
    return line + ("  frozen" if weight.frozen else "")


def _extents(extents: tuple[int, ...]) -> str:
    return " × ".join(f"{e:,}" for e in extents)


def _equation(family: Family) -> list[str]:
    """The right-hand side as the file has it, on three lines at most. The span is that of the left-hand side, or of all."""
    if family.span.source is NOWHERE.source:
        return []
    text = family.span.text
    rest = family.span.source.text[family.span.end : family.span.end + 20 * _WIDEST]
    if re.match(r"\s*=[^=]", rest):
        text = ""
        for line in rest.lstrip()[1:].split("\n"):
            text += " " + line.split("#")[0]
            complete = all(text.count(a) <= text.count(b) for a, b in ("()", "[]"))
            if complete and not re.search(r"[-+*/=,]\s*$", text):
                break
    text = " ".join(text.split())
    return textwrap.wrap(text, _WIDEST, max_lines=3, placeholder=" …", break_on_hyphens=False)


# -------------------------------------------------------------------------------------------- how it is drawn


def _box(node: _Node, drawing: Drawing, looped: bool) -> list[str]:
    x, y = drawing.centres[node.name]
    left, top = x - node.width / 2, y - node.height / 2
    radius = node.height / 2 if node.kind == "input" and not node.rows else 6
    out = [
        f'<g><rect x="{left:.1f}" y="{top:.1f}" width="{node.width:.1f}" height="{node.height:.1f}" rx="{radius:.1f}" '
        f'fill="{_FILLS[node.kind]}" stroke="{_STROKES[node.kind]}" stroke-width="1.2"/>'
    ]
    baseline = top + _PADDING + _SIZE - 3
    style = f'font-size="{_SIZE:g}" font-weight="bold" fill="{_TEXT}"'
    if node.extents:
        out.append(f'<text x="{left + _PADDING:.1f}" y="{baseline:.1f}" {style}>{escape(node.name)}</text>')
        out.append(
            f'<text x="{left + node.width - _PADDING:.1f}" y="{baseline:.1f}" text-anchor="end" '
            f'font-size="{_SMALL:g}" fill="{_QUIET}">{escape(node.extents)}</text>'
        )
    else:
        out.append(
            f'<text x="{x:.1f}" y="{baseline:.1f}" text-anchor="middle" {style}>{escape(node.name)}</text>'
        )
    for style_name, text in node.rows:
        baseline += _LEADING
        font = f' font-family="{_MONOSPACE}"' if style_name == "code" else ""
        colour = _TEXT if style_name == "code" else _QUIET
        out.append(
            f'<text x="{left + _PADDING:.1f}" y="{baseline:.1f}" font-size="{_SMALL:g}"{font} fill="{colour}" '
            f'xml:space="preserve">{escape(text)}</text>'
        )
    if looped:
        right = left + node.width
        out.append(
            f'<path d="M{right:.1f} {y + 8:.1f} C{right + 26:.1f} {y + 18:.1f} {right + 26:.1f} {y - 18:.1f} '
            f'{right + 1:.1f} {y - 8:.1f}" fill="none" stroke="{_LINE}" stroke-width="1.4" stroke-dasharray="4 3" '
            f'marker-end="url(#tip)"/>'
        )
    return [*out, "</g>"]


def _edge(points: list[tuple[float, float]], backward: bool) -> str:
    """A smooth line through the points, leaving and arriving vertically; dashed where it closes a recurrence."""
    (x, y), rest = points[0], points[1:]
    path = [f"M{x:.1f} {y:.1f}"]
    for next_x, next_y in rest:
        middle = (y + next_y) / 2
        if abs(next_x - x) < 0.05:
            path.append(f"L{next_x:.1f} {next_y:.1f}")
        else:
            path.append(f"C{x:.1f} {middle:.1f} {next_x:.1f} {middle:.1f} {next_x:.1f} {next_y:.1f}")
        x, y = next_x, next_y
    dashes = ' stroke-dasharray="4 3"' if backward else ""
    return (
        f'<path d="{" ".join(path)}" fill="none" stroke="{_LINE}" stroke-width="1.4"{dashes} '
        f'marker-end="url(#tip)"/>'
    )


def text_width(text: str, size: float, bold: bool = False) -> float:
    """An upper estimate of the width of a text, whichever of the sans-serif fonts is there (DejaVu Sans is the widest)."""
    total = 0.0
    for character in text:
        if character in "ijl.,:;|'!I ":
            total += 0.34
        elif character in "mwMW@%→":
            total += 0.98
        elif character.isupper() or character in "×+=<>−":
            total += 0.78
        else:
            total += 0.64
    return total * size * (1.1 if bold else 1.0)
