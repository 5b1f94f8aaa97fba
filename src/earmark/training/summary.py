"""The text and the JSON object that ``earmark train`` prints about a training."""

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

MOST_FOLDS = 12  # with more folds, only the lowest and the highest figure are printed
MOST_FINDINGS = 3  # lines of findings of the doctor


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
    """Return the names of the layers in use; 'backbone/layer' if there are several backbones."""
    several = len(backbones) > 1
    return [f"{use.name}/{name}" if several else name for use in backbones for name in use.layers]


def training_text(training: Training, model: str | None = None) -> str:
    """Return :func:`training_lines` as one text; line breaks inside names are escaped."""
    return "\n".join(map(one_line, training_lines(training, model)))


def training_lines(training: Training, model: str | None = None) -> list[str]:
    """Return lines about the classifier, its estimate, warnings and findings.

    ``model`` is the saved file.
    """
    classifier, seconds = training.classifier, training.seconds
    estimate = training.estimate.to_dict()
    saved = f" -> {model}" if model else ""
    return [
        f"{amount(training.n_clips, 'clip')}, {len(classifier.labels)} classes{saved}",
        *(
            f"  backbone  {use.name}, {some_layers(use.layers)}{_share_of(use.name, classifier)}"
            for use in classifier.backbones
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
    """Return the share of the logits that comes from a backbone, if there are several."""
    rows = classifier.provenance["contributions"]
    if not rows or len(classifier.backbones) == 1:
        return ""
    share = sum(row["share"] for row in rows if row["backbone"] == backbone)
    return f", {100 * share:.0f} % of the prediction"


def _head_text(classifier: Classifier) -> str:
    """Return the kind of head, and how many heads were averaged."""
    kind, count = classifier.head.kind, len(classifier.provenance["averaged"])
    return f"{kind}, the average of {count} heads" if count > 1 else kind


def some_layers(layers: Sequence[str]) -> str:
    """Return up to three layer names; of more, their number, the first and the last."""
    if len(layers) > 3:
        return f"{len(layers)} layers, {layers[0]} to {layers[-1]}"
    return f"layer{'' if len(layers) == 1 else 's'} {', '.join(layers)}"


def _some_findings(findings: Sequence[Finding]) -> list[str]:
    """Return at most MOST_FINDINGS lines; the last names the command that lists all findings."""
    lines = [finding.line() for finding in findings]
    if len(lines) <= MOST_FINDINGS:
        return lines
    left = len(lines) - MOST_FINDINGS + 1
    return [*lines[:-left], f"and {left} more; `earmark doctor` lists them all."]


def estimate_lines(estimate: Mapping[str, Any]) -> list[str]:
    """Return aligned lines: verdict, headline figure, how it was tested, calibration, folds."""
    figure = headline_of(estimate)
    low, high = figure["ci95"]
    quantity, guess = _SHOWN[figure["name"]]
    lines = [
        *verdict_line(estimate),
        f"  {quantity} {figure['value']:.3f} (95 % interval {low:.3f} to {high:.3f};"
        f" {guess} gives {figure['chance']:.3f})",
        *_beside(estimate, figure["name"]),
        f"  tested    {estimate['scheme']}; {', '.join(_others(estimate, figure['name']))}",
        *_calibration_line(estimate),
    ]
    return [*lines, *_fold_line(estimate["folds"], figure["name"])]


def _calibration_line(estimate: Mapping[str, Any]) -> list[str]:
    """Return the calibration error beside that of perfect scores.

    Nothing for files of 0.1, and nothing beside a worthless result: its scores mean little.
    """
    if "ece_expected" not in estimate or is_worthless(estimate):
        return []
    return [
        f"  scores    calibration error {estimate['ece']:.3f}, debiased"
        f" {estimate['ece_debiased']:.3f}; perfectly calibrated scores would show"
        f" {estimate['ece_expected']:.3f} on {amount(estimate['clips'], 'clip')}"
    ]


def _fold_line(folds: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    """Return the figure of each fold in a line; of many folds, the lowest and the highest."""
    noun = name.replace("_", " ").replace("f1", "F1")
    values = [fold.get(name, fold["accuracy"]) for fold in folds]
    if len(folds) > MOST_FOLDS:
        span = f"from {min(values):.3f} to {max(values):.3f}"
        return [f"  folds     {noun} in {len(folds):,} folds: {span}"]
    pairs = zip(folds, values, strict=True)
    line = ", ".join(f"{fold['fold']}: {value:.3f}" for fold, value in pairs)
    return [f"  folds     {noun} in fold {line}"] if len(folds) > 1 else []


_SHOWN = {  # the label of a headline's line, and the guess that it is compared with
    "accuracy": ("accuracy ", "always guessing one class"),
    "ranking": ("ranking  ", "always guessing the commonest first"),
    "balanced_accuracy": ("balanced  accuracy", "always guessing one class"),
    "macro_f1": ("macro F1 ", "always predicting every class"),
}


def guess_of(figure: str) -> str:
    """Describe the guess that a figure is compared with."""
    return _SHOWN[figure][1]


def headline_of(estimate: Mapping[str, Any]) -> dict[str, Any]:
    """Return name, value, interval and chance of the headline figure.

    Files of 0.1 have none; the accuracy stands in.
    """
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
    """Return the line that says whether the classifier may be used, and why."""
    verdict = estimate.get("verdict")
    return [] if verdict is None else [f"  verdict   {verdict['word']}: {verdict['why']}"]


def is_worthless(estimate: Mapping[str, Any]) -> bool:
    """Return whether the verdict is 'worthless'."""
    return (estimate.get("verdict") or {}).get("word") == WORTHLESS


def _beside(estimate: Mapping[str, Any], name: str) -> list[str]:
    """Return a line with the accuracy, or the ranking, where another figure is the headline."""
    if name == "balanced_accuracy":
        quantity, guess = _SHOWN["accuracy"]
        why = "; classes differ in size, and accuracy counts the large ones most"
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
    """Return the figures besides the headline ``name``, in words."""
    figures = [("mAP", "map"), ("macro F1", "macro_f1")]
    if "ece_expected" not in estimate:  # otherwise the calibration error has its own line
        figures.append(("calibration error", "ece"))
    return [
        f"{noun} {estimate[key]:.3f}" for noun, key in figures if key in estimate and key != name
    ]


def transfer_line(estimate: Mapping[str, Any]) -> list[str]:
    """Compare the pretrained network with the baselines in a line; nothing without baselines."""
    baselines = estimate.get("baselines")
    if not baselines:
        return []
    values = {
        baseline_name(baseline["name"]): headline_of(baseline)["value"] for baseline in baselines
    }
    best, most = max(values.items(), key=lambda pair: pair[1])
    gain = round(100 * (frozen_value(estimate) - most), 1) or 0.0  # no -0.0
    network = "  baseline  pretrained network:"
    if gain < 0:
        return [f"{network} {-gain:.1f} points WORSE than {best} ({most:.3f}); it did not help"]
    others = [f"; {name}: {value:.3f}" for name, value in values.items() if name != best]
    if gain == 0:
        return [f"{network} no better than {best} ({most:.3f}){''.join(others)}"]
    return [f"{network} {gain:.1f} points better than {best} ({most:.3f}){''.join(others)}"]


def baseline_name(name: str) -> str:
    """Return the name of a baseline as it stands in a sentence."""
    return "the same network with random weights" if name == "random weights" else name


def frozen_value(estimate: Mapping[str, Any]) -> float:
    """Return the headline figure before fine-tuning, which baselines are compared with."""
    tuning = estimate.get("fine_tuning") or {}
    if "headline" not in estimate:
        return float(tuning.get("frozen", estimate["accuracy"]))
    frozen = tuning.get("frozen_headline")
    return float(estimate["headline"]["value"] if frozen is None else frozen)


def growth_line(estimate: Mapping[str, Any]) -> list[str]:
    """Return what twice the recordings should add, as the learning curve predicts it.

    Nothing without a learning curve or if the verdict is 'worthless'.
    """
    from earmark.training.learning_curve import gain_of_doubling

    tuning = estimate.get("fine_tuning") or {}
    accuracy = tuning.get("frozen", estimate.get("accuracy"))
    gain = gain_of_doubling(estimate.get("learning_curve", []), accuracy)
    if gain is None or is_worthless(estimate):
        return []
    which = " to the frozen classifier" if "fine_tuning" in estimate else ""
    return [
        f"  growth    doubling the recordings should add about {100 * gain:.1f} points of"
        f" accuracy{which}"
    ]


def unknown_line(estimate: Mapping[str, Any]) -> list[str]:
    """Return how many clips of unknown and of known classes are given a class, if asked for."""
    threshold = estimate.get("unknown")
    if threshold is None:
        return []
    accepted, known = (f"{100 * threshold[name]:.0f} %" for name in ("accepted", "answered"))
    return [
        f"  unknown   a known class is predicted for {accepted} of clips of unknown classes"
        f" (each class left out in turn) and for {known} of clips of known classes"
    ]


def answered_unknown_line(figures: Mapping[str, Any]) -> list[str]:
    """Return how many clips of an evaluation would be predicted 'unknown', if any could be."""
    if "answered_unknown" not in figures:
        return []
    return [
        f"  unknown   {figures['answered_unknown']} of {amount(figures['clips'], 'clip')} would be"
        " predicted unknown; the accuracy counts their best class instead"
    ]


def fine_tuning_line(estimate: Mapping[str, Any]) -> list[str]:
    """Return what fine-tuning added, and whether the frozen or the tuned network is saved."""
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
        gain = "not fine-tuned, because the frozen network already classifies every clip correctly"
    else:
        gain = f"fine-tuned in none of {folds} folds, because it gained nothing in any rehearsal"
    return [
        f"  finetune  {verdict['how']}: accuracy frozen {verdict['frozen']:.3f}, {gain};"
        f" saved: the {verdict['use']} network"
    ]
