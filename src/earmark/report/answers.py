"""Values of the sections about predictions: confusions, classes, scores, map, worst clips."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from earmark.data.doctor.findings import Names
from earmark.report import figures, palette, plots
from earmark.report.contents import ReportContents
from earmark.report.players import players
from earmark.report.text import amount
from earmark.training.summary import is_worthless

MANY_CLASSES = 12  # with more classes, columns are numbered because names would not fit
MOST_CLASSES = 50  # with more classes, there is no matrix, and long tables are folded
FIRST = 30  # rows that a folded table shows
FEW_CLASSES = 4  # up to this many classes, cells are large
MOST_PAIRS = 10  # confusions listed beside a matrix; without a matrix it is FIRST
MOST_ROWS = 1_000  # classes in a table; summary.json lists all
MOST_CLIPS = 12  # clips with players in a section
EVEN_GAP = 0.02  # a smaller gap between confidence and accuracy means nothing
MOST_UNKNOWN_BYTES = 750_000  # bytes of players of clips that were predicted unknown


def confusions(contents: ReportContents) -> dict[str, object]:
    """Return the confusion matrix with the shade of each cell, and the most frequent confusions.

    With more than 50 classes there are more confusions but no matrix; confusion.csv has it.
    """
    counts, labels = _counts(contents), contents.labels
    totals, has_matrix = counts.sum(1), len(labels) <= MOST_CLASSES
    is_many = len(labels) > MANY_CLASSES
    size = "many" if is_many else "few" if len(labels) <= FEW_CLASSES else ""
    # the root of the share in the row, so that small shares can be seen, too
    shades = np.sqrt(counts / np.maximum(totals, 1)[:, None]) if has_matrix else np.empty(0)
    return {
        "size": size,
        "is_upright": not is_many and max(map(len, labels)) > 3,  # vertical column headings
        "counts": counts.tolist() if has_matrix else [],
        "shades": shades.tolist(),
        "pairs": [
            (labels[k], labels[answer], n, n / totals[k])
            for k, answer, n in figures.pairs(counts, MOST_PAIRS if has_matrix else FIRST)
        ],
        "errors": int(totals.sum() - counts.trace()),
        "confused": int(np.count_nonzero(counts) - np.count_nonzero(counts.diagonal())),
    }


def classes(estimate: Mapping[str, Any], contents: ReportContents) -> dict[str, object]:
    """Return the figures of each class, lowest F1 first, classes without clips last.

    ``confused`` is (class, clips) of its most frequent confusion, or None.
    """
    rows = [
        {**row, "confused": pair and (contents.labels[pair[0]], pair[1])}
        for row, pair in zip(
            estimate["classes"], figures.most_confused(_counts(contents)), strict=True
        )
    ]
    return folded_up(sorted(rows, key=lambda row: (row["n"] == 0, row["f1"])))


def folded_up(rows: list[Any]) -> dict[str, object]:
    """Return the shown rows of a table, the folded rows, and how many rows are left out.

    Up to 50 rows are all shown. Of more, 30 are shown, and rows up to 1,000 are folded.
    """
    first = FIRST if len(rows) > MOST_CLASSES else len(rows)
    left = max(0, len(rows) - MOST_ROWS)
    return {"rows": rows[:first], "folded": rows[first:MOST_ROWS], "left": left}


def scores(estimate: Mapping[str, Any], contents: ReportContents) -> dict[str, object]:
    """Return the reliability diagram, and the gap between confidence and accuracy."""
    label = f"Reliability diagram: expected calibration error {estimate['ece']:.3f}"
    confidence = float(contents.scores.max(1).mean())
    return {
        "plot": plots.reliability(label, figures.reliability(contents.scores, contents.truth)),
        "few": plots.FEW,
        "confidence": confidence,
        "is_worthless": is_worthless(estimate),
        "gap": confidence - estimate["accuracy"],
        "most_gap": EVEN_GAP + 1 / len(contents.clips),  # a difference of one clip means nothing
    }


def embeddings(contents: ReportContents) -> dict[str, object] | None:
    """Return the map with a ring around each error, and its legend.

    Of many clips, a sample is drawn.
    """
    if contents.map_xy is None or not len(contents.clips):
        return None
    n = len(contents.clips)
    rows = np.arange(n) if contents.map_rows is None else contents.map_rows
    places = np.arange(len(rows))
    if len(rows) > plots.MOST_POINTS:
        places = np.random.default_rng(0).choice(places, plots.MOST_POINTS, replace=False)
    rows = rows[places]
    truth, labels = contents.truth[rows], contents.labels
    is_error = contents.answers[rows] != truth
    is_many = len(labels) > MANY_CLASSES
    has_names = len(labels) <= palette.DIFFERENT
    names = [str(k + 1) for k in range(len(labels))] if is_many else labels
    label = f"Map of {amount(len(rows), 'clip')}; {amount(int(is_error.sum()), 'error')} ringed"
    shown = names if has_names else None
    legend = [
        (plots.mark(k), f"{k + 1} " if is_many and has_names else "", label)
        for k, label in enumerate(labels[:MOST_ROWS])
    ]
    return {
        "plot": plots.scatter(label, contents.map_xy[places], truth, is_error, shown),
        "drawn": len(rows),
        "legend": legend,
        "is_folded": len(labels) > MOST_CLASSES,
        "most_different": palette.DIFFERENT,
        "left": max(0, len(labels) - MOST_ROWS),
        "ring": plots.ring(),
    }


def worst_clips(contents: ReportContents) -> dict[str, object] | None:
    """Return the clips that were misclassified with the highest confidence, to listen to."""
    rows = figures.worst(contents.scores, contents.truth, MOST_CLIPS)
    if not len(rows):
        return None
    names, labels, best = Names(contents.clips), contents.labels, contents.answers
    clips = [contents.clips[n] for n in rows]

    def scored(n: int, k: int) -> tuple[str, float]:
        return labels[k], float(contents.scores[n, k])

    return {
        "clips": [
            {
                "label": scored(n, contents.truth[n]),
                "answer": scored(n, best[n]),
                "path": names(clip),
                "player": player,
            }
            for n, clip, player in zip(rows, clips, players(clips, contents.audio), strict=True)
        ]
    }


def unknown(estimate: Mapping[str, Any], contents: ReportContents) -> dict[str, object] | None:
    """Return the figures of 'unknown' and the clips predicted so; None if it was not asked for."""
    threshold, is_unknown = estimate.get("unknown"), contents.unknown
    if threshold is None and is_unknown is None:
        return None
    rows = np.flatnonzero(np.zeros(0) if is_unknown is None else is_unknown)
    right = contents.answers[rows] == contents.truth[rows]
    sure = rows[np.argsort(-contents.scores[rows].max(1), kind="stable")][:MOST_CLIPS]
    names, clips = Names(contents.clips), [contents.clips[n] for n in sure]
    return {
        "threshold": threshold,
        "is_evaluation": is_unknown is not None,
        "n": len(contents.clips),
        "count": len(rows),
        "right": int(right.sum()),
        "clips": [
            {
                "label": contents.labels[contents.truth[n]],
                "nearest": (contents.labels[contents.answers[n]], float(contents.scores[n].max())),
                "path": names(clip),
                "player": player,
            }
            for n, clip, player in zip(
                sure, clips, players(clips, contents.audio, MOST_UNKNOWN_BYTES), strict=True
            )
        ],
    }


def _counts(contents: ReportContents) -> np.ndarray:
    return figures.confusion(contents.truth, contents.answers, len(contents.labels))
