"""Sections about the figure itself: the estimate, more data, layers, fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from earmark.report import plots
from earmark.report.contents import ReportContents
from earmark.report.html import Section, columns, figure, section, table
from earmark.report.text import amount, number, percent, points, safe

CHANCE = "always guessing one class"
MOST_CANDIDATES = 8
MOST_LAYER_SETS = 30


def section_of(estimate: Mapping[str, Any], contents: ReportContents) -> Section:
    """Show the accuracy, its interval, what it has to be compared with, and the folds."""
    clips = len(contents.clips)
    low, high = estimate["ci95"]
    right = percent(estimate["accuracy"], clips)
    span = f"{percent(low, clips)} to {percent(high, clips)}"
    baselines = [*(contents.baselines or ())]
    if not any(b["name"] == CHANCE for b in baselines):
        baselines.append({"name": CHANCE, "accuracy": estimate["chance"], "ci95": None})
    chart = [plots.Row("this classifier", estimate["accuracy"], (low, high), is_main=True)]
    for b in sorted(baselines, key=lambda b: -b["accuracy"]):
        chart.append(plots.Row(b["name"], b["accuracy"], b["ci95"] and tuple(b["ci95"])))
    spoken = "; ".join(f"{row.name} {percent(row.value, clips)}" for row in chart)
    big = (
        f'<p class="big">{right}<small>of {amount(clips, "clip")} right;'
        f" 95 % interval {span}</small></p>"
        f"<p>Macro F1, in which every class counts the same, is {estimate['macro_f1']:.3f}."
        f"{_gain(estimate, contents)}</p>"
    )
    plot = figure(
        plots.rows(f"Accuracy with 95 % interval: {spoken}", chart, clips),
        "Bands are 95 % intervals over recordings, or over groups where the data has them.",
    )
    how = (
        f"Scheme: {safe(estimate['scheme'])}. The interval says how far the figure"
        " could lie off with other recordings of the same kind; recordings of another kind, such"
        " as another microphone or place, are not in it."
    )
    body = columns(big + _folds(estimate), plot)
    return section("estimate", "How good it is", body, how)


def _gain(estimate: Mapping[str, Any], contents: ReportContents) -> str:
    """Say what the pretrained network gave, where there is something to compare with."""
    others = [b for b in contents.baselines or () if b["name"] != CHANCE]
    if not others:
        return ""
    frozen = (contents.fine_tuning or {}).get("frozen", estimate["accuracy"])
    gains = [f"{points(frozen - b['accuracy'])} over {safe(b['name'], 40)}" for b in others]
    return f" What the pretrained network gave: {', '.join(gains)}."


def _folds(estimate: Mapping[str, Any]) -> str:
    folds = estimate["folds"]
    if len(folds) < 2:
        return ""
    least = min(f["n"] for f in folds)
    rows = [
        (safe(f["fold"], 24), f"{f['n']:,}", _bar(f["accuracy"], percent(f["accuracy"], least)))
        for f in folds
    ]
    accuracies = [f["accuracy"] for f in folds]
    caption = f"Folds: {percent(min(accuracies), least)} to {percent(max(accuracies), least)}"
    return table(caption, ("fold", "clips", "right"), rows, numbers=(1,))


def _bar(share: float, shown: str) -> str:
    return f'<span class="share" style="--s:{share:.3f}">{shown}</span>'


def learning(contents: ReportContents) -> Section | None:
    """Show what more clips would bring."""
    curve = contents.learning_curve
    if not curve:
        return None
    clips = [float(p["clips_per_class"]) for p in curve]
    values = [float(p["accuracy"]) for p in curve]
    band = [(float(p["low"]), float(p["high"])) for p in curve]
    spoken = "; ".join(
        f"{n:g} clips a class: {percent(a)}" for n, a in zip(clips, values, strict=True)
    )
    plot = plots.curve(
        f"Accuracy over training clips a class. {spoken}",
        clips,
        [("accuracy", values)],
        "training clips a class",
        band=band,
        doubling=True,
    )
    rows = [
        (f"{n:g}", percent(a), f"{percent(low)} to {percent(high)}")
        for n, a, (low, high) in zip(clips, values, band, strict=True)
    ]
    told = ""
    if len(clips) > 1:
        gain = values[-1] - values[-2]
        told = (
            f"<p>From {clips[-2]:g} to {clips[-1]:g} clips a class the accuracy changed by"
            f" {points(gain)}. "
            + (
                "More clips of the same kind would probably still help.</p>"
                if gain >= 0.01
                else "More clips of the same kind would probably bring little.</p>"
            )
        )
    side = told + table(
        "Accuracy by training clips", ("clips a class", "right", "range"), rows, numbers=(0, 1, 2)
    )
    which = "frozen" if contents.fine_tuning else "same"
    how = f"The {which} classifier with fewer training clips; each doubling has the same room."
    return section("learning", "What more data would bring", columns(figure(plot), side), how)


def layers(contents: ReportContents) -> Section | None:
    """Show the best inner accuracy of each layer set, and the candidates."""
    if not contents.candidates:
        return None
    best: dict[str, dict[str, Any]] = {}
    for c in contents.candidates:
        if c["layers"] not in best or c["accuracy"] > best[c["layers"]]["accuracy"]:
            best[c["layers"]] = c
    chosen = {c["layers"] for c in contents.candidates if c.get("chosen")}
    ranked = sorted(best.values(), key=lambda c: -c["accuracy"])[:MOST_LAYER_SETS]
    chart = [plots.Row(c["layers"], c["accuracy"], is_main=c["layers"] in chosen) for c in ranked]
    spoken = "; ".join(f"{row.name} {percent(row.value)}" for row in chart)
    plot = figure(
        plots.rows(f"Best accuracy with each layer set: {spoken}", chart, 1_000, bars=True),
        "The coloured bar is the layer set that was kept." if chosen else "",
    )
    top = list(contents.candidates[:MOST_CANDIDATES])
    top += [c for c in contents.candidates[MOST_CANDIDATES:] if c.get("chosen")]
    rows = [
        (safe(c["layers"], 30), safe(c["head"]), number(c["penalty"]), percent(c["accuracy"]))
        for c in top
    ]
    kept = [n for n, c in enumerate(top) if c.get("chosen")]
    side = table(
        f"The best of {amount(len(contents.candidates), 'candidate')}"
        + ("; the one that was kept is bold" if kept else ""),
        ("layers", "head", "penalty", "right"),
        rows,
        numbers=(2, 3),
        chosen=kept,
    )
    how = (
        "Accuracy inside the training folds; it is no estimate. What is kept is what has the least"
        " log loss there, which tells candidates apart that have the same few errors."
    )
    return section("layers", "What the layers contribute", columns(plot, side), how)


def fine_tuning(contents: ReportContents) -> Section | None:
    """Show the verdict, and the course of gradient training."""
    verdict = contents.fine_tuning
    if not verdict:
        return None
    folds = amount(len(verdict["folds"]), "fold")
    tuned = sum(fold["use"] != "frozen" for fold in verdict["folds"])
    text = f"<p>Frozen {percent(verdict['frozen'])}"
    if tuned:
        low, high = (100 * end for end in verdict["ci95"])
        text += (
            f", fine-tuned {percent(verdict['fine_tuned'])} (in {tuned} of {folds}):"
            f" {points(verdict['difference'])} (95 % interval {low:+.1f} to {high:+.1f})."
        )
    else:
        text += f". In none of {folds} was it fine-tuned, as rehearsals gained nothing."
    text += f" The {safe(verdict['use'])} one is saved.</p>"
    course = [e for e in verdict.get("course", ()) if "loss" in e]
    if course:
        losses = [float(e["loss"]) for e in course]
        label = f"Loss over epochs: training {number(losses[0])} to {number(losses[-1])}"
        epochs = [float(e["epoch"]) for e in course]
        looks = [e for e in verdict["course"] if "validation" in e]
        held = ", ".join(f"{e['validation']:.2f} after {e['epoch']:.0f}" for e in looks)
        text += figure(
            plots.curve(label, epochs, [("training", losses)], "epoch", shares=False),
            f"Loss on clips that were kept back, by epochs: {held}." if held else "",
        )
    how = (
        "Both are scored on the same clips, by models that had not heard their fold. The loss is"
        " the mean over the rehearsals of all folds; training clips are varied, so it stays higher."
    )
    return section("fine-tuning", "Fine-tuning", text, how)
