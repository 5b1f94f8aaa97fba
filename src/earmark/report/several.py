"""What the page shows of clips that may have several classes: each class, missed, false."""

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

MOST_CLIPS = 12  # missed ones, with players, and as many false ones


def classes(estimate: Mapping[str, Any], contents: ReportContents) -> dict[str, object]:
    """Return the figures, threshold and errors of each class, the lowest F1 first.

    Classes without clips come last. Clips of no class are counted apart.
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
    """Return the reliability diagram of all scores, and their mean beside how often classes are
    there."""
    onehot = _several(contents).onehot
    label = f"Reliability diagram: expected calibration error {estimate['ece']:.3f}"
    bins = figures.bins(contents.scores.ravel(), onehot.ravel() > 0)
    confidence, share = float(contents.scores.mean()), float(onehot.mean())
    return {
        "plot": plots.reliability(label, bins, "share that is there", "scores"),
        "few": plots.FEW,
        "confidence": confidence,
        "share": share,
        "gap": confidence - share,
    }


def missed(contents: ReportContents) -> dict[str, object] | None:
    """Return the classes of clips that were not answered, the lowest scores first."""
    several = _several(contents)
    return _to_hear(contents, (several.onehot > 0) & ~several.chosen, contents.scores)


def false(contents: ReportContents) -> dict[str, object] | None:
    """Return the classes that were answered and are not in the label, the highest scores first."""
    several = _several(contents)
    return _to_hear(contents, (several.onehot == 0) & several.chosen, -contents.scores)


def _to_hear(
    contents: ReportContents, errors: np.ndarray, order: np.ndarray
) -> dict[str, object] | None:
    """Return the first of the ``errors`` (N, K) in ``order`` (N, K), with players."""
    rows, columns = np.nonzero(errors)
    if not len(rows):
        return None
    first = np.argsort(order[rows, columns], kind="stable")[:MOST_CLIPS]
    names, several = Names(contents.clips), _several(contents)
    clips = [contents.clips[n] for n in rows[first]]
    heard = players(clips, contents.audio, MOST_BYTES // 2)
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
            for n, k, clip, player in zip(rows[first], columns[first], clips, heard, strict=True)
        ],
    }


def _named(contents: ReportContents, has: np.ndarray) -> list[str]:
    """Return the names of the classes that a row (K,) has, or that it has none."""
    return [contents.labels[k] for k in np.flatnonzero(has)] or [NO_CLASS]


def _several(contents: ReportContents) -> SeveralClasses:
    assert contents.several is not None
    return contents.several
