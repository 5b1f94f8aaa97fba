"""Values of the sections about accuracy: the estimate, more data, layers, fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from earmark.report import plots
from earmark.report.answers import folded_up
from earmark.report.contents import ReportContents
from earmark.report.text import number, percent
from earmark.training.summary import (
    baseline_name,
    frozen_value,
    guess_of,
    headline_of,
    is_worthless,
)

NOUNS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "ranking": "Ranking precision",
}
CHANCE = "always guessing one class"
MOST_CANDIDATES = 8
MOST_LAYER_SETS = 30


def accuracy(estimate: Mapping[str, Any], contents: ReportContents) -> dict[str, object]:
    """Return the headline figure, its baselines, and the figure of each fold."""
    n, headline = len(contents.clips), headline_of(estimate)
    others = [
        {**headline_of(b), "name": b["name"], "words": baseline_name(b["name"])}
        for b in contents.baselines or ()
        if b["name"] != CHANCE
    ]
    guess = guess_of(headline["name"])
    chance = {"name": guess, "value": headline["chance"], "ci95": None}
    chart = [plots.Row("this classifier", headline["value"], tuple(headline["ci95"]), True)]
    for b in sorted([*others, chance], key=lambda b: -b["value"]):
        chart.append(plots.Row(b["name"], b["value"], b["ci95"] and tuple(b["ci95"])))
    noun = NOUNS[headline["name"]]
    folds = [
        {**fold, "value": fold.get(headline["name"], fold["accuracy"])}
        for fold in estimate["folds"]
    ]
    return {
        "plot": plots.rows(f"{noun} with 95 % interval", chart, n),
        "n": n,
        "quantity": noun.lower().replace("f1", "F1"),
        "headline": headline,
        "verdict": estimate.get("verdict"),
        "others": others,
        "frozen": frozen_value({"fine_tuning": contents.fine_tuning, **estimate}),
        **folded_up(folds),
        "values": [fold["value"] for fold in folds],
        "least": min((fold["n"] for fold in estimate["folds"]), default=0),
    }


def learning(estimate: Mapping[str, Any], contents: ReportContents) -> dict[str, object] | None:
    """Return the learning curve; None without one."""
    rows = contents.learning_curve
    if not rows:
        return None
    clips = [float(row["clips_per_class"]) for row in rows]
    values = [float(row["accuracy"]) for row in rows]
    spoken = "; ".join(
        f"{n:g} {'clip' if n == 1 else 'clips'} per class: {percent(value)}"
        for n, value in zip(clips, values, strict=True)
    )
    plot = plots.curve(
        f"Accuracy by training clips per class. {spoken}",
        clips,
        values,
        "training clips per class",
        band=[(float(row["low"]), float(row["high"])) for row in rows],
        doubling=True,
    )
    return {"plot": plot, "rows": rows, "is_worthless": is_worthless(estimate)}


def layers(contents: ReportContents) -> dict[str, object] | None:
    """Return the best inner accuracy of each layer set, and the best candidates.

    If layer sets were screened on few clips, all accuracies of layer sets are those on few clips.
    """
    if not contents.candidates:
        return None
    screened = [c for c in contents.candidates if c.get("screened")]
    candidates = [c for c in contents.candidates if not c.get("screened")]
    best: dict[str, float] = {}
    for c in screened or candidates:
        best[c["layers"]] = max(c["accuracy"], best.get(c["layers"], 0.0))
    chosen = {c["layers"] for c in candidates if c.get("chosen")}
    names = sorted(best, key=lambda name: -best[name])[:MOST_LAYER_SETS]
    chart = [plots.Row(name, best[name], is_main=name in chosen) for name in names]
    rows = [c for n, c in enumerate(candidates) if n < MOST_CANDIDATES or c.get("chosen")]
    return {
        "plot": plots.rows("Best accuracy with each layer set", chart, 1_000, bars=True),
        "shares": _shares(contents.contributions or ()),
        "count": len(candidates),
        "n_screened": len(screened),
        "rows": rows,
        "chosen": [n for n, c in enumerate(rows) if c.get("chosen")],
    }


def _shares(contributions: Sequence[Mapping[str, Any]]) -> object | None:
    """Return the share of each layer as bars; of many layers, those with the largest shares."""
    if len(contributions) < 2:
        return None
    several = len({row["backbone"] for row in contributions}) > 1
    largest = sorted(contributions, key=lambda row: -row["share"])[:MOST_LAYER_SETS]
    chart = [
        plots.Row(
            f"{row['backbone']}/{row['layer']}" if several else row["layer"],
            max(0.0, row["share"]),
        )
        for row in contributions
        if row in largest
    ]
    return plots.rows("Share of each layer in the predictions", chart, 1_000, bars=True)


def fine_tuning(contents: ReportContents) -> dict[str, object] | None:
    """Return the verdict of fine-tuning, and its losses by epoch."""
    verdict = contents.fine_tuning
    if not verdict:
        return None
    course = verdict.get("course", ())
    epochs = [float(e["epoch"]) for e in course if "loss" in e]
    losses = [float(e["loss"]) for e in course if "loss" in e]
    plot = None
    if losses:
        label = f"Training loss by epoch, from {number(losses[0])} to {number(losses[-1])}"
        plot = plots.curve(label, epochs, losses, "epoch", shares=False)
    return {
        "verdict": verdict,
        "tuned": sum(fold["use"] != "frozen" for fold in verdict["folds"]),
        "plot": plot,
        "evaluations": [e for e in course if "validation" in e],
    }
