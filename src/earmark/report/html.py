"""Pieces of HTML that every section is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SHORT = 15  # rows of a table that is not broken over pages


@dataclass(frozen=True)
class Section:
    """A section with its anchor and title, for the list at the top of the page."""

    id: str
    title: str
    html: str


def section(anchor: str, title: str, body: str, how: str = "") -> Section:
    """Wrap ``body`` under a heading, with a sentence on ``how`` to read it."""
    told = f'<p class="how">{how}</p>' if how else ""
    top = f'<div class="top"><h2>{title}</h2>{told}</div>'
    html = f'<section id="{anchor}">{top}{body}</section>'
    return Section(anchor, title, html)


def table(
    caption: str,
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    kind: str = "",
    *,
    numbers: Sequence[int] = (),
    chosen: Sequence[int] = (),
    is_keyed: bool = False,
) -> str:
    """Return a table of cells that are HTML already; the first of each row is its heading.

    Columns in ``numbers`` are aligned at the right, rows in ``chosen`` stand out. ``is_keyed``
    tables have no header: each row is a key and its value.
    """

    def cell(tag: str, column: int, html: str, scope: str = "") -> str:
        kinds = ' class="n"' if column in numbers else ""
        return f"<{tag}{kinds}{scope}>{html}</{tag}>"

    top = ""
    if not is_keyed:
        cells = "".join(cell("th", n, h, ' scope="col"') for n, h in enumerate(header))
        top = f"<thead><tr>{cells}</tr></thead>"
    body, rows = "", list(rows)
    kind = f"{kind} short".strip() if len(rows) <= SHORT else kind
    for n, row in enumerate(rows):
        cells = cell("th", 0, row[0], ' scope="row"')
        cells += "".join(cell("td", k + 1, html) for k, html in enumerate(row[1:]))
        body += f'<tr class="chosen">{cells}</tr>' if n in chosen else f"<tr>{cells}</tr>"
    named = f"<caption>{caption}</caption>" if caption else ""
    return f'<table class="{kind}">{named}{top}<tbody>{body}</tbody></table>'


def figure(image: str, caption: str = "") -> str:
    told = f"<figcaption>{caption}</figcaption>" if caption else ""
    return f"<figure>{image}{told}</figure>"


def columns(*parts: str) -> str:
    """Put parts side by side where there is room."""
    return f'<div class="columns">{"".join(f"<div>{part}</div>" for part in parts if part)}</div>'
