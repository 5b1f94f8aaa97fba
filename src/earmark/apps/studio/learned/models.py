"""The classifiers of a folder, read from the headers of their files, and their mistakes."""

from __future__ import annotations

import contextlib
import csv
import functools
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from earmark.apps.studio.learned import shelves
from earmark.apps.studio.learned.digest import TrainedRecords, data_digest, has_changed
from earmark.apps.studio.places import MANIFEST
from earmark.classifier.schema import HEADER, check_depth
from earmark.errors import EarmarkError, ModelError
from earmark.system.files import open_file
from earmark.system.jsons import finite, strict_json
from earmark.training.summary import headline_of

MOST_HEADER_BYTES = 100_000_000  # as safetensors allows
MOST_MODELS = 1_000
MOST_SUMMARY_BYTES = 1 << 26
MOST_ANSWERS = 1_000
_EMPTY: dict[str, Any] = dict.fromkeys(
    ("labels", "backbones", "n_clips", "head", "accuracy", "balanced_accuracy", "interval")
)
_EMPTY |= {"headline": None, "verdict": None, "is_detector": False, "has_unknown": False}


class GivesIds(Protocol):
    """What of a folder of the studio is needed here."""

    path: Path

    def ids_of(self, clips: Iterable[dict[str, Any]]) -> None: ...


def models(folder: Path) -> list[dict[str, Any]]:
    """Return what the headers of the classifiers in ``folder/models`` say, the newest first.

    A file that is not a classifier has an ``error``, a sentence, and null for what it does not say.
    ``changed`` says whether the labels have changed since the training; null where that is not
    known. Reads files, so call it in a thread.
    """
    found, now, records = [], data_digest(folder), TrainedRecords(folder)
    reports = shelves.report_files(folder, shelves.PAGE)
    for name, path in shelves.model_files(folder).items():
        try:
            status = os.lstat(path)
        except OSError:  # it was deleted just now
            continue
        row: dict[str, Any] = {"name": name, "bytes": status.st_size}
        row |= {"trained_at": shelves.utc(status.st_mtime), "error": None, **_EMPTY}
        row["has_report"] = name in reports
        try:
            row |= _described(str(path), status.st_size, status.st_mtime_ns)
        except EarmarkError as error:
            row["error"] = str(error)
        row["changed"] = None if row["error"] else _has_changed(folder, path, records, now)
        found.append((status.st_mtime_ns, row))
    found.sort(key=lambda pair: pair[0], reverse=True)
    return [row for _, row in found[:MOST_MODELS]]


def report_file(folder: Path, name: str, file: str) -> Path:
    """Return ``report.html`` or another ``file`` of a report; KeyError if it is not there."""
    return shelves.report_files(folder, file)[name]


def summary(folder: Path, name: str) -> dict[str, Any]:
    """Return ``summary.json`` of a report; KeyError if it is not there."""
    path = report_file(folder, name, "summary.json")
    with open_file(path) as file:
        content = file.read(MOST_SUMMARY_BYTES)
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise EarmarkError(f"{path} is damaged ({error}). Train the classifier again.") from error
    if not isinstance(value, dict):
        raise EarmarkError(f"{path} is damaged. Train the classifier again.")
    return value


def answers(
    folder: GivesIds, name: str, *, first: int = 0, count: int = 50, label: str | None = None
) -> dict[str, Any]:
    """Return the most certain mistakes of a classifier on clips that it was not trained on.

    Parameters
    ----------
    folder : Folder
    name : str
        The name of the classifier; its report has the answers.
    first, count : int
        Which to return; the highest score comes first.
    label : str, optional
        Only clips of this class.

    Returns
    -------
    dict
        ``mistakes`` and ``total``, how many there are. A mistake has ``id`` (null if the clip is
        not in the folder any more), ``name``, ``start``, ``end``, ``label``, ``answer`` and
        ``score`` (null in reports of older versions).

    Raises
    ------
    KeyError
        There is no report with answers.
    """
    wrong = []
    path = report_file(folder.path, name, "answers.csv")
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        for row in csv.DictReader(file):
            if row.get("label") != row.get("answer") and label in (None, row.get("label")):
                wrong.append(_answer(row))
    wrong.sort(key=lambda row: -(row["score"] or 0.0))
    shown = wrong[first : first + min(count, MOST_ANSWERS)]
    folder.ids_of(shown)
    for row in shown:
        row["name"] = Path(row.pop("path")).name
        row.setdefault("id", None)
    return {"mistakes": shown, "total": len(wrong)}


@functools.lru_cache(maxsize=MOST_MODELS)
def _described(path: str, size: int, mtime_ns: int) -> dict[str, Any]:
    """Return what the header of a file says; ModelError if it is not that of a classifier."""
    header = _header(Path(path), size)
    estimate, detector = header["estimate"], header.get("detector")
    headline = headline_of(estimate)
    if detector is not None:
        headline = _detector_headline(detector["estimate"])
    verdict = estimate.get("verdict")
    limit = header["limits"]["unknown_below"]
    if detector is not None:
        limit = detector["rules"]["unknown_threshold"]
    return {
        "labels": header["labels"],
        "backbones": [use["name"] for use in header["backbones"]],
        "n_clips": header["provenance"].get("clips"),
        "head": header["head"],
        "accuracy": estimate["accuracy"],
        "balanced_accuracy": estimate.get("balanced_accuracy"),
        "interval": headline["ci95"],
        "headline": headline,
        "verdict": verdict
        and {"word": verdict["word"], "sentences": verdict_sentences(verdict["why"])},
        "is_detector": detector is not None,
        "has_unknown": limit is not None,
    }


def _header(path: Path, size: int) -> dict[str, Any]:
    """Read and check the header of a classifier's file, and nothing else of it."""
    try:
        with open_file(path) as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(size, MOST_HEADER_BYTES):
                raise ValueError("its first bytes are not those of such a file")
            metadata = strict_json(file.read(length)).get("__metadata__") or {}
        if "earmark" not in metadata:
            raise ModelError(
                f"{path.name} is a file of tensors, but not a classifier of earmark. Move it"
                " elsewhere."
            )
        header = strict_json(metadata["earmark"])
        check_depth(header)
        HEADER(header, "")
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        why = getattr(error, "strerror", None) or error
        raise ModelError(
            f"{path.name} is not a classifier, or the file is incomplete ({why}). Move it"
            " elsewhere, or train it again."
        ) from error
    return dict(finite(header))


def _detector_headline(events: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figure of a detector; its value is null if the rules were written by hand."""
    overall = events.get("overall", {})
    interval = overall.get("ci95", {}).get("f1_iou30")
    value = overall.get("f1_iou30")
    return {"name": "f1_iou30", "value": value, "ci95": interval, "chance": None}


def verdict_sentences(why: str) -> list[str]:
    """Return the reasons of a verdict as sentences: the figure, then each doubt."""
    figure, but, doubts = why.rstrip(".").partition(", but ")
    parts = [figure, *re.split(r"; (?=[a-z0-9])", doubts)] if but else [figure]
    return [f"{part[:1].upper()}{part[1:]}." for part in parts]


def _has_changed(
    folder: Path, model: Path, records: TrainedRecords, now: str | None
) -> bool | None:
    """Return whether the labels have changed; by the times of the files where that is all."""
    before = records.read(model)
    if before is not None:
        return has_changed(folder, before, now)
    with contextlib.suppress(OSError):
        return (folder / MANIFEST).stat().st_mtime_ns > model.stat().st_mtime_ns
    return None


def _answer(row: Mapping[str, str | None]) -> dict[str, Any]:
    return {
        "path": row.get("path") or "",
        "start": _number(row.get("start")),
        "end": _number(row.get("end")),
        "label": row.get("label"),
        "answer": row.get("answer"),
        "score": _number(row.get("answer_score")),
    }


def _number(cell: str | None) -> float | None:
    with contextlib.suppress(ValueError):
        return float(cell) if cell else None
    return None
