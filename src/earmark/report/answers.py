"""Sections about the answers: confusions, classes, scores, the map, the worst clips."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from earmark.doctor.findings import Names
from earmark.report import figures, plots
from earmark.report.contents import ReportContents
from earmark.report.html import Section, columns, figure, section, table
from earmark.report.players import Player, players
from earmark.report.text import amount, name, percent, safe, score

MANY_CLASSES = 12  # beyond, columns are numbered: names would not fit
FEW_CLASSES = 4  # up to so many, cells are large
MOST_PAIRS = 10
MOST_CLIPS = 12  # with players


def confusions(contents: ReportContents) -> Section:
    """Show the confusion matrix as a table, and the most frequent confusions in words."""
    counts = _counts(contents)
    listed = figures.pairs(counts, MOST_PAIRS)
    labels = contents.labels
    rows = [
        (name(labels[k]), name(labels[other]), f"{n:,}", percent(n / counts[k].sum()))
        for k, other, n in listed
    ]
    words = table(
        "Most frequent confusions",
        ("label", "answered", "clips", "of label"),
        rows,
        numbers=(2, 3),
    )
    how = (
        "A row for each label, a column for each answer, and how many clips; empty is none. The"
        " shade is the share of the row: blue where label and answer agree, red where not."
    )
    region = (
        '<div class="scroll" tabindex="0" role="group" aria-label="Confusion matrix">'
        f"{_matrix(counts, labels)}</div>"
    )
    none = "<p>No clip was answered wrongly.</p>"
    return section(
        "confusions",
        "What is taken for what",
        f'<div class="beside">{region}{words if rows else none}</div>',
        how,
    )


def _matrix(counts: np.ndarray, labels: tuple[str, ...]) -> str:
    is_many = len(labels) > MANY_CLASSES
    is_short = is_many or max(map(len, labels)) <= 3  # else the columns' heads stand upright

    def column(k: int, label: str) -> str:
        shown = str(k + 1) if is_many else safe(label, 15)
        shown = shown if is_short else f"<span>{shown}</span>"
        return f'<th scope="col" title="{safe(label)}">{shown}</th>'

    def cell(k: int, other: int) -> str:
        n = counts[k, other]
        if not n:
            return "<td></td>"
        share = np.sqrt(n / counts[k].sum())  # so that few of many are seen too
        kind = "hit" if k == other else "miss"
        return f'<td class="{kind}" style="--a:{share:.2f}">{n}</td>'

    numbered = [f"{k + 1} {label}" if is_many else label for k, label in enumerate(labels)]
    kind = "matrix many" if is_many else "matrix few" if len(labels) <= FEW_CLASSES else "matrix"
    top = "".join(column(k, label) for k, label in enumerate(labels))
    body = "".join(
        f'<tr><th scope="row" title="{safe(label)}">{safe(label, 40)}</th>'
        + "".join(cell(k, other) for other in range(len(labels)))
        + "</tr>"
        for k, label in enumerate(numbered)
    )
    return (
        f'<table class="{kind}">'
        "<caption>Clips by label (rows) and answer (columns)</caption>"
        f'<thead><tr><td class="corner"></td>{top}</tr></thead><tbody>{body}</tbody></table>'
    )


def classes(contents: ReportContents) -> Section:
    """Show recall, precision and F1 of each class, the lowest F1 first."""
    counts = _counts(contents)
    rows = []
    for f in figures.by_class(counts):
        label = name(contents.labels[f.number])
        if f.confused is not None:
            other, n = f.confused
            label += f"<br/><small>{n:,} taken for {name(contents.labels[other])}</small>"
        shown = (_share(f.recall), _share(f.precision), _share(f.f1))
        rows.append((label, f"{f.clips:,}", *shown))
    how = (
        "Recall is the share of the class's clips that were found, precision the share of the"
        " answers with its name that were right, F1 their harmonic mean. Below each name stands"
        " what it is most confused with. The lowest F1 comes first."
    )
    header = ("class", "clips", "recall", "precision", "F1")
    body = table("Figures of each class", header, rows, "classes", numbers=(1, 2, 3, 4))
    return section("classes", "Class by class", body, how)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def scores(estimate: Mapping[str, Any], contents: ReportContents) -> Section:
    """Show whether a score of 0.8 is right in 80 % of cases."""
    bins = figures.reliability(contents.scores, contents.truth)
    confidence = float(contents.scores.max(1).mean())
    gap = confidence - estimate["accuracy"]
    lean = (
        "The scores are about as high as they should be, on average."
        if abs(gap) < 0.02
        else f"On average the scores are too {'high' if gap > 0 else 'low'}:"
        f" {percent(confidence)} sure, {percent(estimate['accuracy'])} right."
    )
    plot = plots.reliability(
        f"Reliability diagram: expected calibration error {estimate['ece']:.3f}", bins
    )
    side = (
        f'<p class="big">{estimate["ece"]:.3f}<small>expected calibration error (ECE)</small></p>'
        f"<p>{lean}</p><p>The ECE is how far confidence and accuracy lie apart, averaged over the"
        " clips; 0 is perfect. It is never quite 0 with few clips, even for perfect scores.</p>"
        f'<p class="note">Pale bins have fewer than {plots.FEW} clips and say little.</p>'
    )
    how = (
        "Clips by how sure the answer was. Bars show how many of them were right; where they end"
        " on the dashed line, scores can be taken at their word. Below, how many clips there are."
    )
    body = columns(figure(plot), side)
    return section("scores", "Can the scores be believed?", body, how)


def embeddings(contents: ReportContents) -> Section | None:
    """Show the map, with errors ringed."""
    if contents.map_xy is None or not len(contents.clips):
        return None
    rows = np.arange(len(contents.clips))
    if len(rows) > plots.MOST_POINTS:
        rows = np.random.default_rng(0).choice(rows, plots.MOST_POINTS, replace=False)
    truth, labels = contents.truth[rows], contents.labels
    wrong = contents.scores[rows].argmax(1) != truth
    is_many = len(labels) > MANY_CLASSES
    names = [str(k + 1) if is_many else label for k, label in enumerate(labels)]
    label = f"Map of {amount(len(rows), 'clip')}; {amount(int(wrong.sum()), 'error')} ringed"
    plot = plots.scatter(label, contents.map_xy[rows], truth, wrong, names)
    legend = "".join(
        f"<li>{plots.mark(k)}{f'{k + 1} ' if is_many else ''}{name(label, 24)}</li>"
        for k, label in enumerate(labels)
    )
    ring = (
        '<li><svg class="swatch" viewBox="0 0 12 12" aria-hidden="true"><circle cx="6" cy="6"'
        ' r="4.6" class="ring"/></svg>answered wrongly</li>'
    )
    some = (
        f" {len(rows):,} of {len(contents.clips):,} clips are drawn."
        if len(rows) < len(contents.clips)
        else ""
    )
    how = (
        "Each mark is a clip; clips whose embeddings are alike lie near each other. The map is a"
        " picture of neighbours: distances across it and the axes mean nothing. A clip inside"
        f" another class's crowd deserves a second look at its label.{some}"
    )
    body = figure(plot) + f'<ul class="legend">{legend}{ring}</ul>'
    return section("map", "Map of the embeddings", body, how)


def worst_clips(contents: ReportContents) -> Section | None:
    """Show the clips that were answered wrongly with the highest confidence, to listen to."""
    rows = figures.worst(contents.scores, contents.truth, MOST_CLIPS)
    if not len(rows):
        return None
    names = Names(contents.clips)
    clips = [contents.clips[n] for n in rows]
    items = [
        _item(contents, n, names(clip), player)
        for n, clip, player in zip(rows, clips, players(clips, contents.audio), strict=True)
    ]
    how = (
        "The surest of the wrong answers, worst first: labels that may be wrong, clips that hold"
        " two sounds, or what the classifier has yet to learn. Players have the first 5 seconds."
    )
    return section("worst", "Worst clips", f'<ul class="clips">{"".join(items)}</ul>', how)


def _item(contents: ReportContents, row: int, path: str, player: Player) -> str:
    scores, labels = contents.scores[row], contents.labels
    truth, answer = int(contents.truth[row]), int(scores.argmax())

    def said(k: int) -> str:
        return f"<strong>{name(labels[k])}</strong> ({safe(score(scores[k]))})"

    if player.uri is None:
        sound = f'<p class="note">{safe(player.reason, 300)}</p>'
    else:
        about = f'controls="" preload="metadata" aria-label="{safe(path, 60)}"'
        sound = f'<audio {about} src="{player.uri}"></audio>'
    return (
        f"<li><p>labelled {said(truth)}, answered {said(answer)}</p>"
        f'<p class="path">{name(path, 70)}</p>{sound}</li>'
    )


def _counts(contents: ReportContents) -> np.ndarray:
    answer = contents.scores.argmax(1)
    return figures.confusion(contents.truth, answer, len(contents.labels))
