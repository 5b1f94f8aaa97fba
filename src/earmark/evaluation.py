"""evaluate(): how a finished classifier does on labelled clips that it has not seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from earmark import metrics
from earmark.classifier import Classifier
from earmark.dataset import Dataset
from earmark.embed import Failure
from earmark.errors import DataError, did_you_mean
from earmark.store import Store


def evaluate(
    classifier: Classifier, data: str | Path | Dataset, store: Store | None = None
) -> tuple[dict[str, Any], list[tuple[str, str, str]], tuple[Failure, ...]]:
    """Return the figures, (path, truth, answer) of each clip, and the clips that were not read.

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
    rows = [(p.path, str(clip.label), str(p.label)) for clip, p in answers]
    return figures, rows, tuple(failures)
