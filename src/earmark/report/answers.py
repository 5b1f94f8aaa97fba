"""What the sections about the answers show: confusions, classes, scores, map, worst clips."""

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

MANY_CLASSES = 12  # beyond, columns are numbered: names would not fit
MOST_CLASSES = 50  # beyond, there is no matrix of cells, and tables are folded up
FIRST = 30  # rows of a table that is folded up
FEW_CLASSES = 4  # up to so many, cells are large
MOST_PAIRS = 10  # beside a matrix; FIRST instead of one
MOST_ROWS = 1_000  # of classes; summary.json has all
MOST_CLIPS = 12  # with players
EVEN_GAP = 0.02  # a smaller gap between confidence and accuracy says nothing
MOST_UNKNOWN_BYTES = 750_000  # of players of clips that were answered unknown


def confusions(contents: ReportContents) -> dict[str, object]:
    """Return the confusion matrix with the shade of each cell, and the most frequent confusions.

    Of more than 50 classes there are more confusions and no matrix: confusion.csv has it.
    """
    counts, labels = _counts(contents), contents.labels
    totals, has_matrix = counts.sum(1), len(labels) <= MOST_CLASSES
    is_many = len(labels) > MANY_CLASSES
    size = "many" if is_many else "few" if len(labels) <= FEW_CLASSES else ""
    # of the row's share the root, so that few of many are seen too
    shades = np.sqrt(counts / np.maximum(totals, 1)[:, None]) if has_matrix else np.empty(0)
    return {
        "size": size,
        "is_upright": not is_many and max(map(len, labels)) > 3,  # the heads of columns
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
    """Return the figures of each class, the lowest F1 first, classes without clips last.

    ``confused`` is (label, clips) of its most frequent confusion, or None.
    """
    rows = [
        {**row, "confused": pair and (contents.labels[pair[0]], pair[1])}
        for row, pair in zip(
            estimate["classes"], figures.most_confused(_counts(contents)), strict=True
        )
    ]
    return folded_up(sorted(rows, key=lambda row: (row["n"] == 0, row["f1"])))


def folded_up(rows: list[Any]) -> dict[str, object]:
    """Return the first 30 ``rows`` of a long table, up to 1,000 to fold up, and how many are left.

    Tables of up to 50 rows stay as they are.
    """
    first = FIRST if len(rows) > MOST_CLASSES else len(rows)
    left = max(0, len(rows) - MOST_ROWS)
    return {"rows": rows[:first], "folded": rows[first:MOST_ROWS], "left": left}


def scores(estimate: Mapping[str, Any], contents: ReportContents) -> dict[str, object]:
    """Return the reliability diagram, and how far confidence and accuracy lie apart."""
    label = f"Reliability diagram: expected calibration error {estimate['ece']:.3f}"
    confidence = float(contents.scores.max(1).mean())
    return {
        "plot": plots.reliability(label, figures.reliability(contents.scores, contents.truth)),
        "few": plots.FEW,
        "confidence": confidence,
        "is_worthless": is_worthless(estimate),
        "gap": confidence - estimate["accuracy"],
        "most_gap": EVEN_GAP + 1 / len(contents.clips),  # one clip more or less says nothing, too
    }


def embeddings(contents: ReportContents) -> dict[str, object] | None:
    """Return the map, of many clips a sample, with errors ringed, and its legend."""
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
    """Return where 'unknown' begins and whom it catches; None where no classifier answers it."""
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
