"""Values of the sections about detected events: figures, thresholds, boundaries, scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from earmark.report import event_plots, plots
from earmark.report.answers import folded_up
from earmark.report.event_contents import EventContents
from earmark.report.figures import Bin
from earmark.training.detector_summary import false_text, seconds_text
from earmark.training.event_curves import BINS, event_reliability
from earmark.training.event_matching import IouCriterion, match
from earmark.training.event_tables import tabulate

MOST_LABELS = 12  # classes named in the facts
MOST_PAIRS = 30
EVEN_GAP = 0.02  # a smaller gap between scores and the share that is right means nothing
CHART = {
    "f1_iou30": "F1 at IoU 0.3",
    "f1_iou50": "F1 at IoU 0.5",
    "f1_collar": "F1 by collar",
    "recall": "recall",
    "precision": "precision",
}


def done(summary: Mapping[str, Any], contents: EventContents) -> dict[str, object]:
    """Return the facts of the run: recordings, events, windows and times."""
    events = summary["events"]
    counts = events["overall"]["counts"]["iou30"]
    return {
        "events": events,
        "n_true": counts["right"] + counts["missed"],
        "n_answers": counts["right"] + counts["false"],
        "labels": contents.labels[:MOST_LABELS],
        "skipped": len(summary["skipped"]),
        "seconds": sorted(summary.get("seconds", {}).items(), key=lambda step: step[0] == "total"),
    }


def figures(summary: Mapping[str, Any]) -> dict[str, object]:
    """Return the headline figure, the others with intervals, and errors of boundaries."""
    events = summary["events"]
    overall, intervals = events["overall"], events["overall"]["ci95"]
    chart = [
        plots.Row(words, overall[name], tuple(intervals[name]) if name in intervals else None, main)
        for name, words in CHART.items()
        for main in [name == "f1_iou30"]
        if overall[name] is not None
    ]
    counts = overall["counts"]["iou30"]
    n = counts["right"] + counts["missed"]
    errors = [(name, overall[f"{name}_error_s"]) for name in ("onset", "offset")]
    return {
        "events": events,
        "overall": overall,
        "interval": intervals.get("f1_iou30"),
        "plot": plots.rows("Figures with 95 % intervals", chart, max(n, 1)),
        "n": n,
        "false_events": false_text(overall, events["hours"]),
        "errors": [
            (name, seconds_text(e["median_absolute"]), seconds_text(e["p90_absolute"]))
            for name, e in errors
            if e is not None
        ],
        "asked": summary.get("false_per_hour"),
        "unknown": summary.get("unknown", ()),
        "left_out": summary.get("unknown_threshold"),
    }


def thresholds(contents: EventContents) -> dict[str, object] | None:
    """Return precision, recall and false events an hour over thresholds; None without them."""
    rows = contents.thresholds
    if not rows or not any(recording.events for recording in contents.known_truth):
        return None
    x = [row.threshold for row in rows]
    series = {
        "recall": [row.counts.recall for row in rows],
        "precision": [row.counts.precision for row in rows],
    }
    rates = [row.false_per_hour for row in rows]
    chosen = sorted(set(contents.chosen))
    has_rates = all(rate is not None for rate in rates)
    return {
        "plot": event_plots.shares(
            "Recall and precision over thresholds", x, series, "threshold", chosen
        ),
        "rates": event_plots.rates(
            "False events an hour over thresholds", x, [r or 0.0 for r in rates], chosen
        )
        if has_rates
        else None,
        "rows": rows,
        "chosen": chosen,
    }


def boundaries(contents: EventContents, collar_s: float) -> dict[str, object] | None:
    """Return histograms of onset and offset errors of right events; None without any."""
    tables = tabulate(contents.known_truth, contents.answers)
    true, answer = match(tables.truth, tables.answers, IouCriterion(0.3))
    if not len(true):
        return None
    onset = tables.answers.start[answer] - tables.truth.start[true]
    offset = tables.answers.end[answer] - tables.truth.end[true]
    limit = max(2 * collar_s, float(np.quantile(np.abs(np.concatenate([onset, offset])), 0.98)))
    return {
        "plots": [
            event_plots.histogram(f"Errors of {name}s", errors, limit, collar_s, f"{name} error, s")
            for name, errors in (("onset", onset), ("offset", offset))
        ],
        "n": len(true),
        "collar": collar_s,
        "within": [float((np.abs(e) <= collar_s + 1e-6).mean()) for e in (onset, offset)],
    }


def classes(summary: Mapping[str, Any]) -> dict[str, object]:
    """Return the figures of each class, lowest F1 first; classes without true events come last."""
    confused: dict[str, tuple[str, int]] = {}
    for row in summary["events"]["confusions"]:
        confused.setdefault(row["label"], (row["answered"], row["count"]))
    rows = []
    for row in summary["events"]["classes"]:
        counts = row["counts"]["iou30"]
        n = counts["right"] + counts["missed"]
        rows.append({**row, "n": n, "confused": confused.get(row["label"])})
    return folded_up(sorted(rows, key=lambda row: (row["n"] == 0, row["f1_iou30"] or 0)))


def confusions(summary: Mapping[str, Any]) -> dict[str, object]:
    """Return the most frequent confusions, and the sounds of unknown classes."""
    rows = summary["events"]["confusions"]
    return {
        "pairs": rows[:MOST_PAIRS],
        "left": max(0, len(rows) - MOST_PAIRS),
        "unknown": summary.get("unknown", ()),
    }


def scores(contents: EventContents) -> dict[str, object] | None:
    """Return the reliability diagram of the scores of events; None without answers."""
    found = event_reliability(contents.known_truth, contents.answers)
    if not found:
        return None
    bins = []
    for row in found:
        place = min(int(row.mean_score * BINS), BINS - 1)
        bins.append(Bin(place / BINS, (place + 1) / BINS, row.n, row.mean_score, row.right))
    total = sum(row.n for row in found)
    mean = sum(row.n * row.mean_score for row in found) / total
    right = sum(row.n * row.right for row in found) / total
    error = sum(row.n * abs(row.mean_score - row.right) for row in found) / total
    label = f"Reliability diagram of events: calibration error {error:.3f}"
    return {
        "plot": plots.reliability(label, bins, "right", "events"),
        "few": plots.FEW,
        "error": error,
        "mean": mean,
        "right": right,
        "n": total,
        "is_even": abs(mean - right) < EVEN_GAP + 1 / total,
    }
