"""The frame of the page: its style, its headings, its tables.

In: sections as HTML.  Out: one HTML text that loads nothing and runs nothing.

    page("digits-1", "a network of 2,410 weights", [Section("curves", "Curves", html)])
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

STYLE = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Section:
    """`name`: of the place in the page that links lead to."""

    name: str
    title: str
    html: str


def page(title: str, head: str, sections: Sequence[Section]) -> str:
    """The whole page. `head`: HTML below the title. Sections without content are left out."""
    shown = [s for s in sections if s.html]
    links = "".join(f'<a href="#{s.name}">{escape(s.title)}</a>' for s in shown)
    body = "\n".join(f'<section id="{s.name}"><h2>{escape(s.title)}</h2>\n{s.html}</section>' for s in shown)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body><header><h1>{escape(title)}</h1>{head}<nav>{links}</nav></header>\n<main>{body}</main></body></html>\n"
    )


def table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = True, last: Sequence[str] = ()
) -> str:
    """The first column names the rows; `numbers`: the others are set to the right. `last`: a row of totals."""
    kind = ' class="n"' if numbers else ""

    def row(cells: Sequence[str]) -> str:
        first, *others = cells
        return f'<tr><th scope="row">{first}</th>' + "".join(f"<td{kind}>{c}</td>" for c in others) + "</tr>"

    titles = "".join(f"<th{kind if k else ''}>{h}</th>" for k, h in enumerate(heads))
    head = f"<thead><tr>{titles}</tr></thead>" if any(heads) else ""
    body = "".join(row(cells) for cells in rows)
    foot = f"<tfoot>{row(last)}</tfoot>" if last else ""
    return f'<div class="scroll"><table>{head}<tbody>{body}</tbody>{foot}</table></div>'


def figures(charts: Iterable[str]) -> str:
    """Charts beside each other, as many as fit."""
    shown = [c for c in charts if c]
    return f'<div class="figures">{"".join(shown)}</div>' if shown else ""
