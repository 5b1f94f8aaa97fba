"""A training in words and figures: what the command prints, as text and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from earmark.classifier.estimate import WORTHLESS
from earmark.errors import amount
from earmark.system.text import one_line

if TYPE_CHECKING:
    from earmark.classifier.classifier import BackboneUse, Classifier
    from earmark.data.doctor.findings import Finding
    from earmark.training.training import Training

MOST_FOLDS = 12  # that have a figure each
MOST_FINDINGS = 3  # of the doctor's, one a line


def training_json(training: Training, model: str | None = None) -> dict[str, Any]:
    """Return the object that ``train --json`` prints; ``model`` is the saved file."""
    classifier = training.classifier
    return {
        "model": model,
        "backbone": [use.name for use in classifier.backbones],
        "layers": layer_names(classifier.backbones),
        "head": classifier.head.kind,
        "averaged": classifier.provenance["averaged"],
        "contributions": classifier.provenance["contributions"],
        "labels": list(classifier.labels),
        "clips": training.n_clips,
        "skipped": [{"path": f.path, "reason": f.reason} for f in training.skipped],
        "warnings": [
            *training.warnings,
            *(f.line() for f in training.findings),
            *training.read_warnings,
        ],
        "notes": list(training.read_notes),
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
            f"{_share_of(use.name, classifier)}"
            for n, use in enumerate(classifier.backbones)
        ),
        f"  head      {_head_text(classifier)}",
        *estimate_lines(estimate),
        *transfer_line(estimate),
        *growth_line(estimate),
        *unknown_line(estimate),
        *fine_tuning_line(estimate),
        "  seconds   " + ", ".join(f"{stage} {seconds[stage]:.1f}" for stage in seconds),
        *(f"  warning   {warning}" for warning in training.warnings),
        *(f"  finding   {finding}" for finding in _some_findings(training.findings)),
    ]


def _share_of(backbone: str, classifier: Classifier) -> str:
    """Say what a backbone contributes, if it is one of several."""
    rows = classifier.provenance["contributions"]
    if not rows or len(classifier.backbones) == 1:
        return ""
    share = sum(row["share"] for row in rows if row["backbone"] == backbone)
    return f", {100 * share:.0f} % of the answer"


def _head_text(classifier: Classifier) -> str:
    """Return the kind of head, and how many were averaged."""
    count = len(classifier.provenance["averaged"])
    return f"{classifier.head.kind}, the average of {count}" if count > 1 else classifier.head.kind


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
    figure = headline_of(estimate)
    low, high = figure["ci95"]
    quantity, guess = _SHOWN[figure["name"]]
    lines = [
        *verdict_line(estimate),
        f"  {quantity} {figure['value']:.3f} (95 % interval {low:.3f} to {high:.3f};"
        f" {guess} gives {figure['chance']:.3f})",
        *_beside(estimate, figure["name"]),
        f"  measured  {estimate['scheme']}; {', '.join(_others(estimate, figure['name']))}",
        *_calibration_line(estimate),
    ]
    return [*lines, *_fold_line(estimate["folds"], figure["name"])]


def _calibration_line(estimate: Mapping[str, Any]) -> list[str]:
    """Say how far the scores are off, and what exactly right ones would show; not of 0.1."""
    if "ece_expected" not in estimate:
        return []
    return [
        f"  scores    calibration error {estimate['ece']:.3f}, debiased"
        f" {estimate['ece_debiased']:.3f}; exactly right scores would show"
        f" {estimate['ece_expected']:.3f} on {amount(estimate['clips'], 'clip')}"
    ]


def _fold_line(folds: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    """Return the figure of each fold in a line, or of many the lowest and the highest."""
    values = [fold.get(name, fold["accuracy"]) for fold in folds]
    if len(folds) > MOST_FOLDS:
        return [f"  folds     {len(folds):,}, from {min(values):.3f} to {max(values):.3f}"]
    pairs = zip(folds, values, strict=True)
    line = ", ".join(f"{fold['fold']}: {value:.3f}" for fold, value in pairs)
    return [f"  folds     {line}"] if len(folds) > 1 else []


_SHOWN = {  # how a headline begins its line, and what guessing is
    "accuracy": ("accuracy ", "always guessing one class"),
    "ranking": ("ranking  ", "always guessing the commonest first"),
    "balanced_accuracy": ("balanced  accuracy", "always guessing one class"),
    "macro_f1": ("macro F1 ", "always answering every class"),
}


def guess_of(figure: str) -> str:
    """Return in words what guessing is, against which a figure is held."""
    return _SHOWN[figure][1]


def headline_of(estimate: Mapping[str, Any]) -> dict[str, Any]:
    """Return name, value, interval and chance of the figure to go by; of 0.1 the accuracy."""
    headline = estimate.get("headline")
    if headline is not None:
        return dict(headline)
    return {
        "name": "ranking" if "map" in estimate else "accuracy",
        "value": estimate["accuracy"],
        "ci95": estimate.get("ci95"),
        "chance": estimate.get("chance"),
    }


def verdict_line(estimate: Mapping[str, Any]) -> list[str]:
    """Say whether the classifier may be used, and why."""
    verdict = estimate.get("verdict")
    return [] if verdict is None else [f"  verdict   {verdict['word']}: {verdict['why']}"]


def is_worthless(estimate: Mapping[str, Any]) -> bool:
    """Say if the verdict is that the answers are worthless."""
    return (estimate.get("verdict") or {}).get("word") == WORTHLESS


def _beside(estimate: Mapping[str, Any], name: str) -> list[str]:
    """Return the accuracy, or the ranking, where that is not the figure to go by."""
    if name == "balanced_accuracy":
        quantity, guess = _SHOWN["accuracy"]
        why = "; classes are of unequal size, and it counts the large ones most"
    elif name == "macro_f1":
        quantity, guess = _SHOWN["ranking"]
        why = ""
    else:
        return []
    low, high = estimate["ci95"]
    return [
        f"  {quantity} {estimate['accuracy']:.3f} (95 % interval {low:.3f} to {high:.3f};"
        f" {guess} gives {estimate['chance']:.3f}{why})"
    ]


def _others(estimate: Mapping[str, Any], name: str) -> list[str]:
    """Return the figures that are not gone by."""
    figures = [("mAP", "map"), ("macro F1", "macro_f1")]
    if "ece_expected" not in estimate:  # else it has a line of its own
        figures.append(("calibration error", "ece"))
    return [
        f"{noun} {estimate[key]:.3f}" for noun, key in figures if key in estimate and key != name
    ]


def transfer_line(estimate: Mapping[str, Any]) -> list[str]:
    """Say in one line what the pretrained network gave, where there is something to compare."""
    baselines = estimate.get("baselines")
    if not baselines:
        return []
    rivals = {baseline["name"]: headline_of(baseline)["value"] for baseline in baselines}
    rival, most = max(rivals.items(), key=lambda pair: pair[1])
    gain = round(100 * (frozen_value(estimate) - most), 1) or 0.0  # no -0.0
    if gain < 0:
        if rival == "random weights":
            rival = "the same network with random weights"
        return [
            f"  transfer  pretrained network: {-gain:.1f} points WORSE than {rival}"
            f" ({most:.3f}); it did not help"
        ]
    others = ", ".join(f"{value:.3f} with {name}" for name, value in rivals.items())
    return [f"  transfer  {gain:+.1f} points from the pretrained network: {others}"]


def frozen_value(estimate: Mapping[str, Any]) -> float:
    """Return the figure to go by before fine-tuning, which is what baselines are held against."""
    tuning = estimate.get("fine_tuning") or {}
    if "headline" not in estimate:
        return float(tuning.get("frozen", estimate["accuracy"]))
    frozen = tuning.get("frozen_headline")
    return float(estimate["headline"]["value"] if frozen is None else frozen)


def growth_line(estimate: Mapping[str, Any]) -> list[str]:
    """Say what more recordings should add, where the learning curve says it.

    Of worthless answers it says nothing.
    """
    from earmark.training.learning_curve import gain_of_doubling

    tuning = estimate.get("fine_tuning") or {}
    accuracy = tuning.get("frozen", estimate.get("accuracy"))
    gain = gain_of_doubling(estimate.get("learning_curve", []), accuracy)
    if gain is None or is_worthless(estimate):
        return []
    which = " to the frozen classifier" if "fine_tuning" in estimate else ""
    if (estimate.get("headline") or {}).get("name") == "balanced_accuracy":
        which = f" of accuracy{which}"
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
    elif not folds:
        gain = "not fine-tuned, because the frozen network is already right about every clip"
    else:
        gain = f"fine-tuned in none of {folds} folds, because no rehearsal gained anything"
    return [
        f"  finetune  {verdict['how']}: frozen {verdict['frozen']:.3f}, {gain};"
        f" saved: the {verdict['use']} one"
    ]
