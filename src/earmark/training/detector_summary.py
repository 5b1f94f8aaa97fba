"""The text and the JSON object about a detector: of its training, and of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from earmark.errors import amount
from earmark.system.text import one_line
from earmark.training.event_intervals import most_per_hour
from earmark.training.summary import layer_names, some_layers, verdict_line

if TYPE_CHECKING:
    from earmark.training.detector import DetectorTraining

MOST_CLASSES = 30  # rows of the table of classes; --json has all
MOST_CONFUSED = 3


def detector_json(training: DetectorTraining, model: str | None = None) -> dict[str, Any]:
    """Return the object that ``train --detector --json`` prints; ``model`` is the saved file."""
    classifier = training.classifier
    detector, estimate = classifier.detector, classifier.estimate
    assert detector is not None
    thresholds = zip(classifier.labels, detector.rules["thresholds"], strict=True)
    return {
        "model": model,
        "backbone": [use.name for use in classifier.backbones],
        "layers": layer_names(classifier.backbones),
        "head": classifier.head.kind,
        "labels": list(classifier.labels),
        "clips": training.n_clips,
        "window_s": detector.window_s,
        "hop_s": detector.hop_s,
        "thresholds": dict(thresholds),
        "false_per_hour": classifier.provenance["arguments"].get("false_per_hour"),
        "unknown_threshold": dict(detector.estimate.get("unknown") or {}) or None,
        "events": {
            "verdict": dict(estimate.verdict or {}),
            "scheme": estimate.scheme,
            **training.evaluation.to_json(),
        },
        "skipped": [{"path": f.path, "reason": f.reason} for f in training.skipped],
        "warnings": list(training.warnings),
        "seconds": training.seconds,
    }


def detector_text(training: DetectorTraining, model: str | None = None) -> str:
    """Return :func:`detector_lines` as one text; line breaks inside names are escaped."""
    return "\n".join(map(one_line, detector_lines(training, model)))


def detector_lines(training: DetectorTraining, model: str | None = None) -> list[str]:
    """Return lines about the detector, the events it finds, and warnings; ``model`` is its file."""
    figures, classifier = detector_json(training, model), training.classifier
    saved = f" -> {model}" if model else ""
    events, seconds = figures["events"], figures["seconds"]
    return [
        f"{amount(training.n_clips, 'clip')}, {amount(len(classifier.labels), 'class')}{saved}",
        *(f"  backbone  {use.name}, {some_layers(use.layers)}" for use in classifier.backbones),
        f"  windows   {figures['window_s']:g} s, one every {figures['hop_s']:g} s",
        f"  head      {figures['head']}",
        *event_lines(events),
        *asked_lines(events, figures["false_per_hour"]),
        *_left_out_line(figures["unknown_threshold"], classifier.provenance["arguments"]),
        f"  tested    {events['scheme']}; {_scenes_text(events)}",
        *confusion_lines(events),
        "  seconds   " + ", ".join(f"{stage} {seconds[stage]:.1f}" for stage in seconds),
        *(f"  warning   {warning}" for warning in training.warnings),
    ]


def evaluation_text(figures: Mapping[str, Any]) -> str:
    """Return :func:`evaluation_lines` as one text; line breaks inside names are escaped."""
    return "\n".join(map(one_line, evaluation_lines(figures)))


def evaluation_lines(figures: Mapping[str, Any]) -> list[str]:
    """Return lines about an evaluation of events, and a table of its classes."""
    events = figures["events"]
    return [
        *event_lines(events),
        f"  tested    {events['scheme']}; {_hours_text(events['hours'])}",
        *unknown_lines(figures["unknown"]),
        *confusion_lines(events),
        *class_lines(events["classes"]),
    ]


def event_lines(events: Mapping[str, Any]) -> list[str]:
    """Return aligned lines: verdict, F1, recall and precision, false events, boundaries."""
    overall = events["overall"]
    intervals = overall["ci95"]

    def figure(name: str) -> str:
        return f"{share(overall[name])}{_interval(intervals.get(name))}"

    return [
        *verdict_line(events),
        f"  events    F1 {figure('f1_iou30')} at IoU 0.3; {figure('f1_iou50')} at IoU 0.5;"
        f" {figure('f1_collar')} with a collar of {events['collar_s']:g} s",
        f"  found     recall {figure('recall')}; precision {figure('precision')}",
        f"  false     {false_text(overall, events['hours'])}",
        *_boundary_line("onset", overall["onset_error_s"]),
        *_boundary_line("offset", overall["offset_error_s"]),
    ]


def share(value: float | None) -> str:
    """Return a figure between 0 and 1 with three digits; '-' for None."""
    return "-" if value is None else f"{value:.3f}"


def _interval(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f" ({interval[0]:.3f} to {interval[1]:.3f})"


def false_text(overall: Mapping[str, Any], hours: float | None) -> str:
    """Return the false events an hour with the interval, or what the hours can exclude."""
    false = overall["counts"]["iou30"]["false"]
    if not hours:
        return f"{amount(false, 'event')}; the length of the recordings is unknown"
    if not false:
        return (
            f"no false event in {_hours(hours)}; this excludes more than"
            f" {rate(overall['false_per_hour_upper'])} an hour"
        )
    low, high = overall["ci95"].get("false_per_hour", (None, overall["false_per_hour_upper"]))
    span = f"up to {rate(high)}" if low is None else f"{rate(low)} to {rate(high)}"
    return (
        f"{rate(overall['false_per_hour'])} events an hour ({span}): {amount(false, 'event')}"
        f" in {_hours(hours)}"
    )


def rate(value: float) -> str:
    """Return events an hour: two digits below 10, else a whole number."""
    return f"{value:.2g}" if value < 10 else f"{value:,.0f}"


def _hours(hours: float) -> str:
    if hours < 0.01:
        return f"{3600 * hours:.0f} s"
    return f"{hours:.2f} hours" if hours < 10 else f"{hours:,.0f} hours"


def _hours_text(hours: float | None) -> str:
    return f"{_hours(hours)} annotated" if hours else "of unknown length"


def _boundary_line(name: str, errors: Mapping[str, float] | None) -> list[str]:
    if errors is None:
        return []
    early = errors["median"]
    median, most = map(seconds_text, (errors["median_absolute"], errors["p90_absolute"]))
    direction = f"; usually {seconds_text(abs(early))} {'early' if early < 0 else 'late'}"
    return [
        f"  {name:<9} wrong by {median} in the median, by at most {most} for 90 %"
        f"{direction if abs(early) >= 5e-4 else ''}"
    ]


def seconds_text(seconds: float) -> str:
    """Return '35 ms' or '1.20 s'."""
    return f"{1000 * seconds:.0f} ms" if seconds < 0.9995 else f"{seconds:.2f} s"


def asked_lines(events: Mapping[str, Any], asked: float | None) -> list[str]:
    """Return what to expect at the rate of false events that was asked for."""
    if asked is None:
        return []
    overall, hours = events["overall"], events["hours"]
    found = (
        f"expect a recall of {share(overall['recall'])}{_interval(overall['ci95'].get('recall'))}"
    )
    lines = [f"  asked     at most {asked:g} false events an hour: {found}"]
    least = most_per_hour(0, hours) if hours else float("inf")
    if least > asked:
        lines.append(
            f"  hours     {_hours(hours or 0)} of scenes are too few to confirm {asked:g} an hour:"
            f" without any false event they would exclude more than {rate(least)}. Confirm it with"
            " `earmark evaluate --events` on longer recordings."
        )
    return lines


def _scenes_text(events: Mapping[str, Any]) -> str:
    counts = events["overall"]["counts"]["iou30"]
    n_events = amount(counts["right"] + counts["missed"], "event")
    return (
        f"{amount(events['recordings'], 'scene')} ({_hours(events['hours'] or 0)}) with {n_events},"
        " each by a model that was trained without the recordings in it"
    )


def _left_out_line(threshold: Mapping[str, Any] | None, arguments: Mapping[str, Any]) -> list[str]:
    """Return how many events of unknown classes are answered, or why that is not known."""
    if threshold is None or threshold["answered"] is None:
        if arguments.get("unknown") is None:
            return []
        return [
            "  unknown   --unknown could not be met or tested: that leaves out each class in turn,"
            " and needs at least 3 classes and clips with one class each"
        ]
    answered, before, lost = (
        f"{100 * threshold[name]:.0f} %" for name in ("answered", "answered_before", "lost")
    )
    return [
        f"  unknown   {answered} of events of unknown classes are answered (each class left out in"
        f" turn); {before} without the unknown threshold, which takes away {lost} of right events"
    ]


def unknown_lines(unknown: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return how many sounds of unknown classes were answered."""
    if not unknown:
        return []
    events = sum(row["events"] for row in unknown)
    answered = sum(row["answered"] for row in unknown)
    return [
        f"  unknown   {answered} of {amount(events, 'event')} of unknown classes answered"
        f" ({100 * answered / events:.1f} %)"
    ]


def confusion_lines(events: Mapping[str, Any]) -> list[str]:
    """Return the most frequent confusions in a line."""
    rows = events["confusions"][:MOST_CONFUSED]
    if not rows:
        return []
    named = [f"{row['label']!r} answered as {row['answered']!r} {row['count']:,} x" for row in rows]
    return [f"  confused  {', '.join(named)}"]


def class_lines(classes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a table of the classes, lowest F1 first."""
    rows = sorted(classes, key=lambda row: (row["f1_iou30"] or 0, row["label"]))
    cells: list[tuple[str, ...]] = [("class", "events", "recall", "precision", "F1", "false/h")]
    for row in rows[:MOST_CLASSES]:
        counts, false = row["counts"]["iou30"], row["false_per_hour"]
        figures = (share(row[name]) for name in ("recall", "precision", "f1_iou30"))
        n_events = f"{counts['right'] + counts['missed']:,}"
        name = one_line(row["label"])
        cells.append((name, n_events, *figures, "-" if false is None else rate(false)))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  "
        + "  ".join(
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    left = len(rows) - MOST_CLASSES
    return [*lines, f"  and {amount(left, 'more class')}; --json has all"] if left > 0 else lines
