"""What the command line shows: the progress bar and the texts. Nothing is computed here."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from earmark.classifier.classifier import Prediction
    from earmark.data.doctor.findings import Finding
    from earmark.embeddings.stages import Failure
    from earmark.system.progress import Observer, Progress
    from earmark.training.training import Training

MOST_LISTED = 20  # skipped recordings printed one by one; --json has them all


def say(text: str) -> None:
    """Print to standard error, where everything goes that is not the result."""
    print(text, file=sys.stderr)


@contextlib.contextmanager
def progress_bar(what: str, clips: int) -> Iterator[Progress | None]:
    """Show clips done, speed (times real time) and time left on a terminal; else yield None."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]:>5.0f} x real time"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield _Bar(bar, bar.add_task(what, total=clips, speed=0.0))


class _Bar:
    def __init__(self, bar: Any, task: Any) -> None:
        self.bar, self.task = bar, task
        self.audio_s, self.start = 0.0, time.perf_counter()

    def advance(self, seconds: float) -> None:
        self.audio_s += seconds
        speed = self.audio_s / max(time.perf_counter() - self.start, 1e-9)
        self.bar.update(self.task, advance=1, speed=speed)


@contextlib.contextmanager
def tuning_line(bar: Progress | None) -> Iterator[Observer | None]:
    """Show on a terminal how fine-tuning goes on, in one line in place of ``bar``; else None."""
    if not isinstance(bar, _Bar):
        yield None
        return
    from rich.console import Console
    from rich.live import Live

    live = Live(console=Console(stderr=True), refresh_per_second=4, transient=True)
    try:
        yield _Line(live, bar)
    finally:
        live.stop()


class _Line:
    def __init__(self, live: Any, before: _Bar) -> None:
        self.live, self.before = live, before

    def advance(self, run: str, figures: Mapping[str, float]) -> None:
        from rich.text import Text

        if not self.live.is_started:  # two at a time would write over each other
            self.before.bar.stop()
            self.live.start()
        f = figures
        minutes, seconds = divmod(int(f["left_s"]), 60)
        told = (
            f"{minutes}:{seconds:02} left of {run}: epoch {f['epoch']:.1f}/{f['epochs']:.0f}, loss"
            f" {f['loss']:.2f}, validation {f['validation']:.2f}, {f['clips_per_s']:.0f} clips/s"
        )
        self.live.update(Text(told, no_wrap=True, overflow="ellipsis"))


@contextlib.contextmanager
def byte_bar(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """Show a download on a terminal: yield a function of (bytes here, bytes in all); else None."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=None)
        yield lambda here, total: bar.update(task, completed=here, total=total)


def training_json(training: Training, model: str | None) -> dict[str, Any]:
    """Return the object that ``train --json`` prints."""
    classifier = training.classifier
    return {
        "model": model,
        "backbone": [use.name for use in classifier.backbones],
        "layers": layer_names(classifier.backbones),
        "head": classifier.head.kind,
        "labels": list(classifier.labels),
        "clips": training.clips,
        "skipped": [{"path": f.path, "reason": f.reason} for f in training.skipped],
        "warnings": [
            *training.warnings,
            *(finding.line() for finding in training.findings),
            *training.read_warnings,
        ],
        "estimate": classifier.estimate,
        "seconds": training.seconds,
    }


def layer_names(backbones: Sequence[Any]) -> list[str]:
    """Return the layers in use; with several backbones as 'backbone/layer'."""
    several = len(backbones) > 1
    return [f"{use.name}/{name}" if several else name for use in backbones for name in use.layers]


def _stretch(layers: Sequence[str]) -> str:
    """Return layer names, of many only the first and the last."""
    if len(layers) <= 3:
        return f"layer {', '.join(layers)}" if len(layers) == 1 else f"layers {', '.join(layers)}"
    return f"{len(layers)} layers, {layers[0]} to {layers[-1]}"


def _first(findings: Sequence[Finding]) -> list[str]:
    """Return the findings in at most three lines; the third points to where all of them are."""
    lines = [finding.line() for finding in findings]
    if len(lines) <= 3:
        return lines
    return [*lines[:2], f"and {len(lines) - 2} more; `earmark doctor` has them all."]


def training_text(training: Training, model: str | None) -> str:
    """Return what ``train`` prints: the classifier, its estimate, and what to distrust."""
    classifier = training.classifier
    seconds = training.seconds
    lines = [
        f"{training.clips} clips, {len(classifier.labels)} classes"
        + (f" -> {model}" if model else ""),
        *(
            f"  {'and' if n else 'backbone':<9} {use.name}, {_stretch(use.layers)}"
            for n, use in enumerate(classifier.backbones)
        ),
        f"  head      {classifier.head.kind}",
        *estimate_lines(classifier.estimate),
        *transfer_line(classifier.estimate),
        *growth_line(classifier.estimate),
        *unknown_line(classifier.estimate),
        *fine_tuning_line(classifier.estimate),
        f"  seconds   embed {seconds['embed']:.1f}, select {seconds['select']:.1f},"
        f" fit {seconds['fit']:.1f}, total {seconds['total']:.1f}",
        *(f"  warning   {warning}" for warning in training.warnings),
        *(f"  finding   {finding}" for finding in _first(training.findings)),
    ]
    return "\n".join(lines)


def transfer_line(estimate: Mapping[str, Any]) -> list[str]:
    """Say in one line what the pretrained network gave, where there is something to compare."""
    baselines = estimate.get("baselines")
    if not baselines:
        return []
    best = max(baselines, key=lambda baseline: baseline["accuracy"])
    shown = " and ".join(f"{b['accuracy']:.3f} with {b['name']}" for b in baselines)
    frozen = estimate.get("fine_tuning", {}).get("frozen", estimate["accuracy"])
    gain = 100 * (frozen - best["accuracy"])
    return [f"  transfer  {gain:+.1f} points from the pretrained network: {shown}"]


def growth_line(estimate: Mapping[str, Any]) -> list[str]:
    """Say what more recordings would bring, where the learning curve says it."""
    from earmark.training.learning_curve import gain_of_doubling

    gain = gain_of_doubling(estimate.get("learning_curve", []))
    if gain is None:
        return []
    of = " to the frozen one" if "fine_tuning" in estimate else ""
    return [f"  more      twice the recordings would bring about {100 * gain:.1f} points{of}"]


def unknown_line(estimate: Mapping[str, Any]) -> list[str]:
    """Say whom the border of 'unknown' lets in, where one was asked for."""
    border = estimate.get("unknown")
    if border is None:
        return []
    return [
        f"  unknown   lets in {100 * border['accepted']:.0f} % of strangers (classes left out in"
        f" turn) and answers {100 * border['answered']:.0f} % of known clips"
    ]


def answered_unknown_line(figures: Mapping[str, Any]) -> list[str]:
    """Say of an evaluation how many clips would be answered 'unknown', where any could be."""
    if "answered_unknown" not in figures:
        return []
    return [
        f"  unknown   {figures['answered_unknown']} of {figures['clips']} clips would be answered"
        " unknown; accuracy counts the best class of every clip"
    ]


def fine_tuning_line(estimate: Mapping[str, Any]) -> list[str]:
    """Say in one line what fine-tuning gave, and which of the two the classifier is."""
    verdict = estimate.get("fine_tuning")
    if verdict is None:
        return []
    folds = len(verdict["folds"])
    tuned = sum(fold["use"] != "frozen" for fold in verdict["folds"])
    found = f"frozen {verdict['frozen']:.3f}"
    if tuned:
        low, high = (100 * x for x in verdict["ci95"])
        found += (
            f", fine-tuned {verdict['fine_tuned']:.3f} (in {tuned} of {folds} folds),"
            f" {100 * verdict['difference']:+.1f} points (95 % interval {low:+.1f} to {high:+.1f})"
        )
    else:
        found += f", fine-tuned in none of {folds} folds, as rehearsals gained nothing"
    return [f"  finetune  {verdict['how']}: {found}; saved: the {verdict['use']} one"]


def estimate_lines(estimate: Mapping[str, Any]) -> list[str]:
    """Return the estimate as aligned lines: the figure, how it was made, its spread over folds."""
    low, high = estimate["ci95"]
    accuracies = [fold["accuracy"] for fold in estimate["folds"]]
    is_single = "map" not in estimate
    what = "accuracy" if is_single else "ranking "
    always = "one class" if is_single else "the commonest first"
    others = (
        f"macro F1 {estimate['macro_f1']:.3f}"
        if is_single
        else f"mAP {estimate['map']:.3f}, macro F1 {estimate['macro_f1']:.3f}"
    )
    lines = [
        f"  {what}  {estimate['accuracy']:.3f} (95 % interval {low:.3f} to {high:.3f};"
        f" always guessing {always} gives {estimate['chance']:.3f})",
        f"  measured  {estimate['scheme']}; {others}, calibration error {estimate['ece']:.3f}",
    ]
    if len(accuracies) > 1:
        shown = ", ".join(f"{fold['fold']}: {fold['accuracy']:.3f}" for fold in estimate["folds"])
        lines.append(f"  folds     {shown}")
    return lines


def report_skipped(skipped: Sequence[Failure]) -> None:
    """List on standard error what could not be read, with the reasons."""
    if not skipped:
        return
    say(f"{len(skipped)} recordings could not be read and were left out:")
    _say_some([f"{failure.path}: {failure.reason}" for failure in skipped])


def report_read_warnings(warnings: Sequence[str]) -> None:
    """List on standard error the recordings of which something is missing or was changed."""
    if warnings:
        say(f"{len(warnings)} recordings were not read whole, or not as they are:")
        _say_some(warnings)


def _say_some(lines: Sequence[str]) -> None:
    for line in lines[:MOST_LISTED]:
        say(f"  {line}")
    if len(lines) > MOST_LISTED:
        say(f"  and {len(lines) - MOST_LISTED} more; --json lists all.")


def prediction_text(prediction: Prediction, top: int, width: int, name: str = "") -> str:
    """Return one line: the path (or ``name``), then the ``top`` labels with their scores."""
    ranked = list(prediction.scores.items())[:top]
    shown = "  ".join(f"{label} {score:.3f}" for label, score in ranked)
    known = "unknown, nearest " if prediction.is_unknown else ""
    sets = prediction.plausible
    plausible = "" if sets is None else f"  plausible: {', '.join(sets) or 'none'}"
    return f"{name or prediction.path:<{width}}  {known}{shown}{plausible}"


def prediction_json(prediction: Prediction, top: int) -> dict[str, Any]:
    """Return the object that ``predict --json`` prints for one recording."""
    if prediction.error is not None:
        return {"path": prediction.path, "error": prediction.error}
    ranked = list(prediction.scores.items())[:top]
    told: dict[str, Any] = {}
    if prediction.is_unknown:
        told["nearest"] = prediction.nearest
    if prediction.warnings:
        told["warnings"] = list(prediction.warnings)
    if prediction.plausible is not None:
        told["plausible"] = list(prediction.plausible)
    return {
        "path": prediction.path,
        "label": prediction.label,
        "labels": list(prediction.labels),
        "score": prediction.score,
        "scores": dict(ranked),
        "seconds": prediction.seconds,
        "is_unknown": prediction.is_unknown,
        **told,
    }
