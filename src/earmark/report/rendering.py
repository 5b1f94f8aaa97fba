"""Render report.html: one page without other files, for phone, screen and paper."""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from earmark.report import (
    answers,
    estimate,
    events,
    palette,
    provenance,
    several,
    text,
    timeline,
)
from earmark.report.contents import ReportContents
from earmark.report.event_contents import EventContents

if TYPE_CHECKING:
    from jinja2 import Environment


Section = tuple[str, str, dict[str, object] | None]
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
    sections: list[Section] = [  # (id, and name of the template; title; values, or None)
        ("done", "What was done", provenance.done(summary, contents)),
        ("estimate", "How good it is", estimate.accuracy(figures, contents)),
        *_answers(figures, contents),
        ("unknown", "Unknown sounds", answers.unknown(figures, contents)),
        ("learning", "What more recordings should add", estimate.learning(figures, contents)),
        ("layers", "What the layers contribute", estimate.layers(contents)),
        ("fine-tuning", "Fine-tuning", estimate.fine_tuning(contents)),
        *_to_hear(contents),
        ("findings", "Findings about the data", provenance.findings(contents)),
        ("warnings", "Warnings", provenance.warnings(summary, contents.findings or ())),
        ("repeat", "How to repeat it", provenance.versions()),
    ]
    return _document(summary, sections, estimate=figures, contents=contents)


def event_page(summary: Mapping[str, Any], contents: EventContents) -> str:
    """Return the HTML page about detected events, of a training or an evaluation.

    ``summary`` is that of :func:`detector_json`, or the figures of an evaluation of events.
    """
    collar_s = summary["events"]["collar_s"]
    sections: list[Section] = [
        ("event-done", "What was done", events.done(summary, contents)),
        ("event-figures", "How good it is", events.figures(summary)),
        ("event-thresholds", "What other thresholds give", events.thresholds(contents)),
        ("event-boundaries", "How exact the times are", events.boundaries(contents, collar_s)),
        ("event-classes", "Class by class", events.classes(summary)),
        ("event-confusions", "Which classes are confused", events.confusions(summary)),
        ("event-scores", "Can the scores be believed?", events.scores(contents)),
        ("timeline", "The minutes with the most errors", timeline.timeline(contents)),
        ("warnings", "Warnings", provenance.warnings(summary)),
        ("repeat", "How to repeat it", provenance.versions()),
    ]
    return _document(summary, sections, contents=contents)


def _document(summary: Mapping[str, Any], sections: Sequence[Section], **shared: object) -> str:
    """Return the page with those sections that have values."""
    shared = {"summary": summary, **shared}
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
