"""What is printed besides a training's own text: messages, answers, JSON and CSV."""

from __future__ import annotations

import csv
import json
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from earmark.errors import amount

if TYPE_CHECKING:
    from earmark.classifier.prediction import Prediction
    from earmark.embeddings.stages import Failure

MOST_LISTED = 20  # skipped recordings printed one by one; --json has them all


def say(text: str) -> None:
    """Print to standard error; only the result goes to standard output."""
    print(text, file=sys.stderr)


def print_json(value: dict[str, Any]) -> None:
    """Print one object on one line."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def print_csv(rows: Sequence[Sequence[str]]) -> None:
    """Print rows."""
    csv.writer(sys.stdout, lineterminator="\n").writerows(rows)
    sys.stdout.flush()


def this_command() -> str:
    """Return the command as it was typed, for a report that says how to repeat it."""
    return shlex.join(["earmark", *sys.argv[1:]])


def skipped_json(skipped: Sequence[Failure]) -> list[dict[str, str]]:
    """Return what could not be read, and why."""
    return [{"path": failure.path, "reason": failure.reason} for failure in skipped]


def report_skipped(skipped: Sequence[Failure]) -> None:
    """List on standard error what could not be read, with the reasons."""
    if skipped:
        say(f"left out {amount(len(skipped), 'recording')} that could not be read:")
        _say_some([f"{failure.path}: {failure.reason}" for failure in skipped])


def report_read_warnings(warnings: Sequence[str]) -> None:
    """List on standard error the recordings that were read in part or changed."""
    if warnings:
        say(f"{amount(len(warnings), 'recording')} could be read only in part, or with changes:")
        _say_some(warnings)


def _say_some(lines: Sequence[str]) -> None:
    for line in lines[:MOST_LISTED]:
        say(f"  {line}")
    if len(lines) > MOST_LISTED:
        say(f"  and {len(lines) - MOST_LISTED} more; --json lists all.")


def prediction_text(prediction: Prediction, top: int, width: int, name: str = "") -> str:
    """Return one line: the path (or ``name``), then the ``top`` labels with their scores."""
    scores = "  ".join(f"{label} {p:.3f}" for label, p in list(prediction.scores.items())[:top])
    nearest = "unknown, nearest " if prediction.is_unknown else ""
    classes = prediction.plausible
    plausible = "" if classes is None else f"  plausible: {', '.join(classes) or 'none'}"
    return f"{name or prediction.name:<{width}}  {nearest}{scores}{plausible}"


def prediction_json(prediction: Prediction, top: int) -> dict[str, Any]:
    """Return the object that ``predict --json`` prints for one recording."""
    stretch = {"start": prediction.start, "end": prediction.end}
    if stretch == {"start": None, "end": None}:
        stretch = {}
    if prediction.error is not None:
        return {"path": prediction.path, **stretch, "error": prediction.error}
    classes = prediction.plausible
    details = {
        "nearest": prediction.nearest if prediction.is_unknown else None,
        "warnings": list(prediction.warnings) or None,
        "plausible": None if classes is None else list(classes),
    }
    return {
        "path": prediction.path,
        **stretch,
        "label": prediction.label,
        "labels": list(prediction.labels),
        "score": prediction.score,
        "scores": dict(list(prediction.scores.items())[:top]),
        "seconds": prediction.seconds,
        "is_unknown": prediction.is_unknown,
        **{name: value for name, value in details.items() if value is not None},
    }
