"""Render report.html: one page without other files, for phone, screen and paper."""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from earmark.report import answers, estimate, palette, provenance, several, text
from earmark.report.contents import ReportContents

if TYPE_CHECKING:
    from jinja2 import Environment


FILTERS = (  # functions of `text` that templates use
    "amount", "count", "number", "percent", "pieces", "points", "rate", "score", "short", "signed",
)  # fmt: skip


def page(summary: Mapping[str, Any], contents: ReportContents) -> str:
    """Return the HTML page of a training or an evaluation.

    ``summary`` is that of :func:`training_json`, or the figures of an evaluation. A part of
    ``contents`` that is None or empty has no section. The page is also well-formed XML and has no
    external links.
    """
    figures = summary.get("estimate", summary)  # an evaluation has the figures at the top level
    sections = [  # (id, and name of the template; title; values, or None)
        ("done", "What was done", provenance.done(summary, contents)),
        ("estimate", "How good it is", estimate.accuracy(figures, contents)),
        *_answers(figures, contents),
        ("unknown", "Unknown sounds", answers.unknown(figures, contents)),
        ("learning", "What more recordings should add", estimate.learning(figures, contents)),
        ("layers", "What the layers contribute", estimate.layers(contents)),
        ("fine-tuning", "Fine-tuning", estimate.fine_tuning(contents)),
        *_to_hear(contents),
        ("findings", "Findings about the data", provenance.findings(contents)),
        ("warnings", "Warnings", provenance.warnings(summary, contents)),
        ("repeat", "How to repeat it", provenance.versions()),
    ]
    shared = {"summary": summary, "estimate": figures, "contents": contents}
    style = importlib.resources.files("earmark.report") / "style.css"
    return _render(
        "page",
        title=PurePath(str(summary["model"])).name,
        style=style.read_text(encoding="utf-8"),
        palette=palette,
        sections=[
            (id, title, _render(id, id=id, title=title, **shared, **values))
            for id, title, values in sections
            if values is not None
        ],
    )


Section = tuple[str, str, dict[str, object] | None]


def _answers(figures: Mapping[str, Any], contents: ReportContents) -> list[Section]:
    """Return the sections about predictions, for one class per clip or for several."""
    if contents.several is not None:
        return [
            ("each", "Class by class", several.classes(figures, contents)),
            ("sigmoids", "Can the scores be believed?", several.scores(figures, contents)),
        ]
    return [
        ("confusions", "Which classes are confused", answers.confusions(contents)),
        ("classes", "Class by class", answers.classes(figures, contents)),
        ("scores", "Can the scores be believed?", answers.scores(figures, contents)),
        ("map", "Map of the embeddings", answers.embeddings(contents)),
    ]


def _to_hear(contents: ReportContents) -> list[Section]:
    """Return the sections with clips to listen to."""
    if contents.several is not None:
        return [
            ("missed", "Missed classes", several.missed(contents)),
            ("false", "Falsely predicted classes", several.false(contents)),
        ]
    return [("worst", "Worst clips", answers.worst_clips(contents))]


def _render(template: str, **values: object) -> str:
    return _environment().get_template(f"{template}.html.j2").render(values)


@functools.cache
def _environment() -> Environment:
    import jinja2  # here, because only a page needs it

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("earmark.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_showable,
    )
    environment.filters.update({name: getattr(text, name) for name in FILTERS})
    return environment


def _showable(value: object) -> object:
    """Make a plain string showable before it is escaped; markup stays as it is."""
    is_plain = isinstance(value, str) and not hasattr(value, "__html__")
    return text.showable(value) if is_plain else value
