"""A training in words and figures: what the command prints, as text and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from earmark.errors import amount
from earmark.system.text import one_line

if TYPE_CHECKING:
    from earmark.classifier.classifier import BackboneUse
    from earmark.data.doctor.findings import Finding
    from earmark.training.training import Training

MOST_FINDINGS = 3  # of the doctor's, one a line


def training_json(training: Training, model: str | None = None) -> dict[str, Any]:
    """Return the object that ``train --json`` prints; ``model`` is the saved file."""
    classifier = training.classifier
    return {
        "model": model,
        "backbone": [use.name for use in classifier.backbones],
        "layers": layer_names(classifier.backbones),
        "head": classifier.head.kind,
        "labels": list(classifier.labels),
        "clips": training.n_clips,
        "skipped": [{"path": f.path, "reason": f.reason} for f in training.skipped],
        "warnings": [
            *training.warnings,
            *(f.line() for f in training.findings),
            *training.read_warnings,
        ],
        "estimate": training.estimate.to_dict(),
        "seconds": training.seconds,
    }


def layer_names(backbones: Sequence[BackboneUse]) -> list[str]:
    """Return the layers in use; with several backbones as 'backbone/layer'."""
    several = len(backbones) > 1
    return [f"{use.name}/{name}" if several else name for use in backbones for name in use.layers]


def training_text(training: Training, model: str | None = None) -> str:
    """Return :func:`training_lines` as one text, in which no name breaks a line."""
    return "\n".join(map(one_line, training_lines(training, model)))


def training_lines(training: Training, model: str | None = None) -> list[str]:
    """Return the classifier, its estimate and what to distrust; ``model`` is the saved file."""
    classifier, seconds = training.classifier, training.seconds
    estimate = training.estimate.to_dict()
    saved = f" -> {model}" if model else ""
    return [
        f"{amount(training.n_clips, 'clip')}, {len(classifier.labels)} classes{saved}",
        *(
            f"  {'and' if n else 'backbone':<9} {use.name}, {_some_layers(use.layers)}"
            for n, use in enumerate(classifier.backbones)
        ),
        f"  head      {classifier.head.kind}",
        *estimate_lines(estimate),
        *transfer_line(estimate),
        *growth_line(estimate),
        *unknown_line(estimate),
        *fine_tuning_line(estimate),
        f"  seconds   embed {seconds['embed']:.1f}, select {seconds['select']:.1f},"
        f" fit {seconds['fit']:.1f}, total {seconds['total']:.1f}",
        *(f"  warning   {warning}" for warning in training.warnings),
        *(f"  finding   {finding}" for finding in _some_findings(training.findings)),
    ]


def _some_layers(layers: Sequence[str]) -> str:
    """Return layer names, of many only the first and the last."""
    if len(layers) > 3:
        return f"{len(layers)} layers, {layers[0]} to {layers[-1]}"
    return f"layer{'' if len(layers) == 1 else 's'} {', '.join(layers)}"


def _some_findings(findings: Sequence[Finding]) -> list[str]:
    """Return at most MOST_FINDINGS lines; the last points to where all of them are."""
    lines = [finding.line() for finding in findings]
    if len(lines) <= MOST_FINDINGS:
        return lines
    left = len(lines) - MOST_FINDINGS + 1
    return [*lines[:-left], f"and {left} more; `earmark doctor` has them all."]


def estimate_lines(estimate: Mapping[str, Any]) -> list[str]:
    """Return the estimate as aligned lines: the figure, how it was made, its spread over folds."""
    low, high = estimate["ci95"]
    is_single = "map" not in estimate  # else clips may have several classes
    quantity, guess = (
        ("accuracy", "one class") if is_single else ("ranking ", "the commonest first")
    )
    ranking = "" if is_single else f"mAP {estimate['map']:.3f}, "
    lines = [
        f"  {quantity}  {estimate['accuracy']:.3f} (95 % interval {low:.3f} to {high:.3f};"
        f" always guessing {guess} gives {estimate['chance']:.3f})",
        f"  measured  {estimate['scheme']}; {ranking}macro F1 {estimate['macro_f1']:.3f},"
        f" calibration error {estimate['ece']:.3f}",
    ]
    folds = [f"{fold['fold']}: {fold['accuracy']:.3f}" for fold in estimate["folds"]]
    return [*lines, f"  folds     {', '.join(folds)}"] if len(folds) > 1 else lines


def transfer_line(estimate: Mapping[str, Any]) -> list[str]:
    """Say in one line what the pretrained network gave, where there is something to compare."""
    baselines = estimate.get("baselines")
    if not baselines:
        return []
    best = max(baselines, key=lambda baseline: baseline["accuracy"])
    frozen = estimate.get("fine_tuning", {}).get("frozen", estimate["accuracy"])
    gain = round(100 * (frozen - best["accuracy"]), 1) or 0.0  # no -0.0
    if gain < 0:
        rival = best["name"]
        if rival == "random weights":
            rival = "the same network with random weights"
        return [
            f"  transfer  pretrained network: {-gain:.1f} points WORSE than {rival}"
            f" ({best['accuracy']:.3f}); it did not help"
        ]
    rivals = ", ".join(f"{rival['accuracy']:.3f} with {rival['name']}" for rival in baselines)
    return [f"  transfer  {gain:+.1f} points from the pretrained network: {rivals}"]


def growth_line(estimate: Mapping[str, Any]) -> list[str]:
    """Say what more recordings should add, where the learning curve says it."""
    from earmark.training.learning_curve import gain_of_doubling

    gain = gain_of_doubling(estimate.get("learning_curve", []))
    if gain is None:
        return []
    which = " to the frozen classifier" if "fine_tuning" in estimate else ""
    return [f"  more      doubling the recordings should add about {100 * gain:.1f} points{which}"]


def unknown_line(estimate: Mapping[str, Any]) -> list[str]:
    """Say how well unknown classes are told from known ones, where that was asked for."""
    threshold = estimate.get("unknown")
    if threshold is None:
        return []
    return [
        f"  unknown   of clips of unknown classes (each class left out in turn),"
        f" {100 * threshold['accepted']:.0f} % are given a class; of known clips,"
        f" {100 * threshold['answered']:.0f} %"
    ]


def answered_unknown_line(figures: Mapping[str, Any]) -> list[str]:
    """Say of an evaluation how many clips would be answered 'unknown', where any could be."""
    if "answered_unknown" not in figures:
        return []
    return [
        f"  unknown   {figures['answered_unknown']} of {amount(figures['clips'], 'clip')} would be"
        " answered unknown; accuracy counts the best class of every clip"
    ]


def fine_tuning_line(estimate: Mapping[str, Any]) -> list[str]:
    """Say in one line what fine-tuning gave, and which of the two the classifier is."""
    verdict = estimate.get("fine_tuning")
    if verdict is None:
        return []
    folds = len(verdict["folds"])
    tuned = sum(fold["use"] != "frozen" for fold in verdict["folds"])
    if tuned:
        low, high = (100 * x for x in verdict["ci95"])
        gain = (
            f"fine-tuned {verdict['fine_tuned']:.3f} (in {tuned} of {folds} folds),"
            f" {100 * verdict['difference']:+.1f} points (95 % interval {low:+.1f} to {high:+.1f})"
        )
    else:
        gain = f"fine-tuned in none of {folds} folds, because no rehearsal gained anything"
    return [
        f"  finetune  {verdict['how']}: frozen {verdict['frozen']:.3f}, {gain};"
        f" saved: the {verdict['use']} one"
    ]
