"""evaluate(): how a finished classifier does on labelled clips that it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from earmark.classifier.classifier import Classifier
from earmark.classifier.estimate import Estimate
from earmark.classifier.prediction import UNKNOWN
from earmark.data.dataset import DataLike, as_dataset
from earmark.embeddings.stages import Failure
from earmark.embeddings.store import Store
from earmark.errors import DataError, did_you_mean
from earmark.training import estimation
from earmark.training.estimation import OutOfFold


@dataclass(frozen=True)
class Evaluation:
    """The ``estimate``; what the clips that were read were answered; and what was ``skipped``.

    ``thresholds`` (K,) are the classifier's, for clips with several classes. The estimate counts
    the best class of every clip, also of those that would be answered ``unknown`` (N,).
    ``warnings`` begin with the path and say what is missing of a recording, or was changed.
    """

    estimate: Estimate
    tested: OutOfFold
    thresholds: np.ndarray
    skipped: tuple[Failure, ...]
    unknown: np.ndarray
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Evaluation({self.estimate!r}, {len(self.skipped)} skipped)"

    @property
    def figures(self) -> dict[str, Any]:
        """What ``evaluate --json`` prints of the estimate."""
        return self.estimate.to_dict()

    def answers(self, labels: Sequence[str]) -> list[tuple[str, str, str]]:
        """Return (path, label, answer) of each clip, as ``predict`` answers it."""
        rows = zip(self.tested.answers(labels, self.thresholds), self.unknown, strict=True)
        return [(p, label, UNKNOWN if is_it else answer) for (p, label, answer), is_it in rows]


def evaluate(
    classifier: Classifier | str | Path, data: DataLike, store: Store | None = None
) -> Evaluation:
    """Score a classifier on labelled clips that it was not trained on.

    Parameters
    ----------
    classifier : Classifier, str or Path
        A classifier, or its file.
    data : str, Path, Dataset or frame
        Labelled clips. A path is read with the separator that the classifier was trained with.
    store : Store, optional
        Embeddings are taken from it and added to it.

    Returns
    -------
    Evaluation
        Its ``estimate`` has the accuracy, the 95 % interval and more. The interval resamples groups
        where the data has them, else recordings.

    Raises
    ------
    DataError
        A label that the classifier does not know; several classes a clip for a classifier of one;
        no clip that can be read.

    Examples
    --------
    >>> import earmark
    >>> earmark.evaluate("mine.earmark", "recordings").estimate.accuracy
    1.0
    """
    if not isinstance(classifier, Classifier):
        classifier = Classifier.load(classifier)
    dataset = as_dataset(data, separator=classifier.separator, least_classes=1)
    if classifier.calibration.is_single and not dataset.is_single:
        raise DataError(
            f"{dataset.source} has clips with several classes, and the classifier answers one; give"
            " each clip one, or a classifier that was trained on clips with several."
        )
    strange = sorted(set(dataset.labels) - set(classifier.labels))
    if strange:
        raise DataError(
            f"the classifier does not know the label {strange[0]!r} of {dataset.source};"
            f"{did_you_mean(strange[0], classifier.labels)} known: {', '.join(classifier.labels)}."
        )
    answers, failures = [], []
    predictions = classifier.session(store).predict_iter(dataset)
    for clip, prediction in zip(dataset.clips, predictions, strict=True):
        if prediction.error is None:
            answers.append((clip, prediction))
        else:
            failures.append(Failure(clip, prediction.error))
    if not answers:
        raise DataError(
            f"none of the {len(dataset)} clips could be read; the first, {failures[0].path},"
            f" because: {failures[0].reason}"
        )
    clips = tuple(clip for clip, _ in answers)
    number = {label: k for k, label in enumerate(classifier.labels)}
    onehot = np.zeros((len(answers), len(number)))
    for row, clip in zip(onehot, clips, strict=True):
        row[[number[name] for name in dataset.classes(clip)]] = 1
    scores = np.array([[p.scores[label] for label in classifier.labels] for _, p in answers])
    tested = OutOfFold.of_scores(clips, onehot, scores, classifier.calibration.is_single)
    thresholds = np.array(classifier.decision_rule.thresholds)
    scheme = f"{len(answers)} given clips"
    figures = estimation.estimate(
        tested, classifier.labels, 0, scheme, folds=(), thresholds=thresholds
    )
    unknown = np.array([p.is_unknown for _, p in answers])
    if classifier.decision_rule.unknown_threshold is not None:
        figures = replace(figures, answered_unknown=int(unknown.sum()))
    warnings = tuple(f"{p.path}: {text}" for _, p in answers for text in p.warnings)
    return Evaluation(figures, tested, thresholds, tuple(failures), unknown, warnings)
