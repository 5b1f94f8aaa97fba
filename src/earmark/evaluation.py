"""evaluate(): how a finished classifier does on labelled clips that it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from earmark import metrics
from earmark.classifier import Classifier
from earmark.dataset import Clip, Dataset
from earmark.embed import Failure
from earmark.errors import DataError, did_you_mean
from earmark.store import Store


@dataclass(frozen=True)
class Evaluation:
    """The ``figures``; the ``clips`` that were read, with class numbers (N,) and scores (N, K);
    and what was ``skipped``."""

    figures: dict[str, Any]
    clips: tuple[Clip, ...]
    truth: np.ndarray
    scores: np.ndarray
    skipped: tuple[Failure, ...]

    def rows(self, labels: Sequence[str]) -> list[tuple[str, str, str]]:
        """Return (path, label, answer) of each clip."""
        answers = self.scores.argmax(1)
        return [
            (str(clip.path), str(clip.label), labels[k])
            for clip, k in zip(self.clips, answers, strict=True)
        ]


def evaluate(
    classifier: Classifier, data: str | Path | Dataset, store: Store | None = None
) -> Evaluation:
    """Answer every clip of ``data`` and compare with its label.

    A label that the classifier does not know is refused. The interval resamples groups where the
    data has them, else recordings.
    """
    dataset = data if isinstance(data, Dataset) else Dataset.read(data, least_classes=1)
    dataset.refuse_several_labels()
    strange = sorted(set(dataset.labels) - set(classifier.labels))
    if strange:
        raise DataError(
            f"the classifier does not know the label {strange[0]!r} of {dataset.source};"
            f"{did_you_mean(strange[0], classifier.labels)} known: {', '.join(classifier.labels)}."
        )
    answers, failures = [], []
    predictions = classifier.predict_clips(dataset.clips, store)
    for clip, prediction in zip(dataset.clips, predictions, strict=True):
        if prediction.error is None:
            answers.append((clip, prediction))
        else:
            failures.append(Failure(prediction.path, prediction.error))
    if not answers:
        raise DataError(
            f"none of the {len(dataset)} clips could be read; the first, {failures[0].path},"
            f" because: {failures[0].reason}"
        )
    number = {label: k for k, label in enumerate(classifier.labels)}
    truth = np.array([number[str(clip.label)] for clip, _ in answers])
    scores = np.array([[p.scores[label] for label in classifier.labels] for _, p in answers])
    answer = scores.argmax(1)
    right = answer == truth
    cluster = np.array([clip.group or str(clip.path) for clip, _ in answers])
    figures = {
        "scheme": f"{len(answers)} given clips",
        "accuracy": float(right.mean()),
        "ci95": list(metrics.accuracy_interval(right, cluster, seed=0)),
        "macro_f1": metrics.macro_f1(truth, answer, len(number)),
        "ece": metrics.calibration_error(scores, truth),
        "chance": float(np.bincount(truth).max() / len(truth)),
        "clips": len(answers),
        "folds": [],
    }
    clips = tuple(clip for clip, _ in answers)
    return Evaluation(figures, clips, truth, scores, tuple(failures))
