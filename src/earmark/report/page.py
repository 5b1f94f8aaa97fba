"""report.html: one page that needs nothing else, for a phone, a screen and paper."""

from __future__ import annotations

import importlib.resources
import platform
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
import torch

import earmark
from earmark.report import answers, estimate, palette
from earmark.report.contents import ReportContents
from earmark.report.html import section, table
from earmark.report.text import amount, name, percent, safe

MOST_LISTED = 20  # warnings, skipped recordings, cases of a finding; summary.json has all
MOST_CASES = 3  # of a finding


def page(summary: Mapping[str, Any], contents: ReportContents) -> str:
    """Return the page for a ``summary`` (of ``console.training_json``, or of an evaluation).

    A part of ``contents`` that is None, or empty, has no section. The text is well-formed XML as
    well as HTML, and refers to nothing outside of itself.
    """
    title = PurePath(str(summary["model"])).name
    parts = [
        _done(summary, contents),
        estimate.section_of(_estimate(summary), contents),
        answers.confusions(contents),
        answers.classes(contents),
        answers.scores(_estimate(summary), contents),
        answers.embeddings(contents),
        estimate.learning(contents),
        estimate.layers(contents),
        estimate.fine_tuning(contents),
        answers.worst_clips(contents),
        _findings(contents),
        _warnings(summary, contents),
        _repeat(contents),
    ]
    shown = [part for part in parts if part is not None]
    links = "".join(f'<li><a href="#{part.id}">{part.title}</a></li>' for part in shown)
    style = importlib.resources.files("earmark.report").joinpath("style.css").read_text()
    return (
        '<!DOCTYPE html>\n<html lang="en" xmlns="http://www.w3.org/1999/xhtml"><head>'
        '<meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        '<meta name="color-scheme" content="light dark"/>'
        f"<title>{safe(title, 60)}: earmark report</title>"
        f"<style>{style}{palette.css()}</style></head>\n<body>"
        f'<header><p class="eyebrow">earmark report</p><h1>{name(title, 80)}</h1>'
        f'<nav aria-label="Sections"><ul>{links}</ul></nav></header>\n<main>'
        + "\n".join(part.html for part in shown)
        + "</main></body></html>\n"
    )


def _estimate(summary: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the figures, which an evaluation has in the summary itself."""
    found: Mapping[str, Any] = summary.get("estimate", summary)
    return found


def _done(summary: Mapping[str, Any], contents: ReportContents) -> Any:
    figures = _estimate(summary)
    is_training = "head" in summary
    clips, classes = amount(len(contents.clips), "clip"), amount(len(contents.labels), "class")
    accuracy = percent(figures["accuracy"], len(contents.clips))
    if is_training:
        backbones = " and ".join(safe(b) for b in summary["backbone"])
        is_tuned = (contents.fine_tuning or {}).get("use") == "fine-tuned"
        weights = "were trained further" if is_tuned else "were not changed"
        words = (
            f"{amount(summary['clips'], 'clip')} of {classes} were turned into embeddings by"
            f" {backbones}, whose weights {weights}. A {safe(summary['head'])} head was trained on"
            " these embeddings. To learn how good that is, each tested clip was answered by a"
            " model that was chosen, trained and calibrated without the clip's fold."
            f" {accuracy} of {clips} were answered rightly."
        )
    else:
        words = (
            f"The classifier {name(summary['model'])} answered {clips} and was compared with their"
            f" labels. {accuracy} were answered rightly. This is an honest figure as long as the"
            " classifier was not trained on these clips or on others of the same recordings."
        )
    rows = [
        ("data", name(contents.source, 80) if contents.source else ""),
        ("clips", _counted(summary, contents)),
        ("classes", f"{len(contents.labels)}: {', '.join(_some_names(contents.labels))}"),
        ("backbone", ", ".join(safe(b) for b in summary.get("backbone", ()))),
        ("layers", _stretch(summary.get("layers", ()))),
        ("head", safe(summary.get("head", ""))),
        ("measured by", safe(figures["scheme"])),
        ("took", _seconds(summary.get("seconds", {}))),
    ]
    facts = table("", (), [(key, value) for key, value in rows if value], "facts", is_keyed=True)
    return section("done", "What was done", f"<p>{words}</p>{facts}")


def _counted(summary: Mapping[str, Any], contents: ReportContents) -> str:
    skipped = len(summary.get("skipped", ()))
    return (
        f"{summary['clips']:,}"
        + (f", and {amount(skipped, 'recording')} that could not be read" if skipped else "")
        + (
            f"; {len(contents.clips):,} of them tested"
            if len(contents.clips) != summary["clips"]
            else ""
        )
    )


def _some_names(labels: tuple[str, ...], most: int = 12) -> list[str]:
    more = [f"and {len(labels) - most} more"] if len(labels) > most else []
    return [*(name(label, 24) for label in labels[:most]), *more]


def _stretch(layers: Any) -> str:
    if len(layers) <= 3:
        return ", ".join(safe(layer) for layer in layers)
    return f"{len(layers)}: {safe(layers[0])} to {safe(layers[-1])}"


def _seconds(seconds: Mapping[str, float]) -> str:
    steps = sorted(seconds.items(), key=lambda step: step[0] == "total")
    return ", ".join(f"{what} {s:.1f} s" for what, s in steps)


def _findings(contents: ReportContents) -> Any:
    if not contents.findings:
        return None
    items = []
    for finding in contents.findings[:MOST_LISTED]:
        severity = str(finding.get("severity", ""))
        clips = finding.get("clips")
        head = f"<strong>{safe(finding['kind'])}</strong>"
        head += f" ({safe(severity)})" if severity else ""
        head += f", {amount(len(clips), 'clip')}" if clips else ""
        cases = [item["detail"] for item in finding.get("items", ())]
        more = [f"and {len(cases) - MOST_CASES} more"] if len(cases) > MOST_CASES else []
        listed = "".join(f"<li>{safe(c, 300)}</li>" for c in [*cases[:MOST_CASES], *more])
        told = safe(finding.get("advice") or finding.get("text", ""), 600)
        kind = "error" if severity == "error" else "other"
        items.append(
            f'<li class="{kind}">{head}: {told}'
            + (f"<ul>{listed}</ul>" if listed else "")
            + "</li>"
        )
    how = "What a look at the data alone says, whatever is trained on it; worst first."
    return section(
        "findings", "Findings about the data", f'<ul class="findings">{"".join(items)}</ul>', how
    )


def _warnings(summary: Mapping[str, Any], contents: ReportContents) -> Any:
    found = {f"{f['kind']}: {f['text']}" for f in contents.findings or () if "text" in f}
    warnings = [w for w in summary.get("warnings", ()) if w not in found]
    skipped = summary.get("skipped", ())
    if not warnings and not skipped:
        return None
    body = ""
    if warnings:
        body += f"<h3>{amount(len(warnings), 'warning')}</h3>" + _listed(warnings)
    if skipped:
        lines = [f"{s['path']}: {s['reason']}" for s in skipped]
        body += f"<h3>{amount(len(skipped), 'recording')} left out</h3>" + _listed(lines)
    return section("warnings", "Warnings", body)


def _listed(lines: list[str]) -> str:
    more = [f"and {len(lines) - MOST_LISTED} more, which summary.json lists"]
    shown = [*lines[:MOST_LISTED], *(more if len(lines) > MOST_LISTED else [])]
    return (
        '<ul class="listed">' + "".join(f"<li>{safe(line, 400)}</li>" for line in shown) + "</ul>"
    )


def _repeat(contents: ReportContents) -> Any:
    versions = [
        ("earmark", earmark.__version__),
        ("Python", platform.python_version()),
        ("torch", torch.__version__),
        ("numpy", np.__version__),
    ]
    body = f"<pre><code>{safe(contents.command)}</code></pre>" + table(
        "Versions", [key for key, _ in versions], [[safe(value) for _, value in versions]]
    )
    return section("repeat", "To repeat it", body)
