"""Values of the sections about clips with several classes: classes, scores, errors to hear."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from earmark.data.clip import NO_CLASS
from earmark.data.doctor.findings import Names
from earmark.report import figures, plots
from earmark.report.answers import folded_up
from earmark.report.contents import ReportContents, SeveralClasses
from earmark.report.players import MOST_BYTES, players

MOST_CLIPS = 12  # clips with players for missed classes, and as many for false ones


def classes(estimate: Mapping[str, Any], contents: ReportContents) -> dict[str, object]:
    """Return the figures, threshold and errors of each class, lowest F1 first.

    Classes without clips come last. Clips without any class are counted separately.
    """
    several = _several(contents)
    has = several.onehot > 0
    rows = [
        {**row, "threshold": float(threshold), "missed": int(missed), "false": int(false)}
        for row, threshold, missed, false in zip(
            estimate["classes"],
            several.thresholds,
            (has & ~several.chosen).sum(0),
            (~has & several.chosen).sum(0),
            strict=True,
        )
    ]
    none = ~has.any(1)
    return {
        **folded_up(sorted(rows, key=lambda row: (row["n"] == 0, row["f1"] or 0.0))),
        "empty": int(none.sum()),
        "silent": int((~several.chosen[none].any(1)).sum()),
    }


def scores(estimate: Mapping[str, Any], contents: ReportContents) -> dict[str, object]:
    """Return the reliability diagram of all scores, their mean, and how often classes occur."""
    onehot = _several(contents).onehot
    label = f"Reliability diagram: expected calibration error {estimate['ece']:.3f}"
    bins = figures.bins(contents.scores.ravel(), onehot.ravel() > 0)
    confidence, share = float(contents.scores.mean()), float(onehot.mean())
    return {
        "plot": plots.reliability(label, bins, "class present", "scores"),
        "few": plots.FEW,
        "confidence": confidence,
        "share": share,
        "gap": confidence - share,
    }


def missed(contents: ReportContents) -> dict[str, object] | None:
    """Return the classes in the label that were not predicted, lowest scores first."""
    several = _several(contents)
    return _to_hear(contents, (several.onehot > 0) & ~several.chosen, contents.scores)


def false(contents: ReportContents) -> dict[str, object] | None:
    """Return the classes that were predicted but are not in the label, highest scores first."""
    several = _several(contents)
    return _to_hear(contents, (several.onehot == 0) & several.chosen, -contents.scores)


def _to_hear(
    contents: ReportContents, errors: np.ndarray, order: np.ndarray
) -> dict[str, object] | None:
    """Return the ``errors`` (N, K) with the lowest ``order`` (N, K), with players."""
    rows, columns = np.nonzero(errors)
    if not len(rows):
        return None
    first = np.argsort(order[rows, columns], kind="stable")[:MOST_CLIPS]
    names, several = Names(contents.clips), _several(contents)
    clips = [contents.clips[n] for n in rows[first]]
    own = players(clips, contents.audio, MOST_BYTES // 2)
    return {
        "count": len(rows),
        "clips": [
            {
                "class": contents.labels[k],
                "score": float(contents.scores[n, k]),
                "labels": _named(contents, several.onehot[n] > 0),
                "answers": _named(contents, several.chosen[n]),
                "path": names(clip),
                "player": player,
            }
            for n, k, clip, player in zip(rows[first], columns[first], clips, own, strict=True)
        ],
    }


def _named(contents: ReportContents, has: np.ndarray) -> list[str]:
    """Return the names of the classes in a row (K,), or the word for no class."""
    return [contents.labels[k] for k in np.flatnonzero(has)] or [NO_CLASS]


def _several(contents: ReportContents) -> SeveralClasses:
    assert contents.several is not None
    return contents.several
