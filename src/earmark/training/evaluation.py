"""evaluate(): how a finished classifier does on labelled clips that it has not seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from earmark.classifier.classifier import Classifier
from earmark.classifier.estimate import Estimate
from earmark.classifier.known import CLIP, RECORDING
from earmark.classifier.prediction import UNKNOWN, Prediction
from earmark.data.clip import Clip
from earmark.data.dataset import DataLike, Dataset, as_dataset
from earmark.embeddings.stages import Failure
from earmark.embeddings.store import Store
from earmark.errors import DataError, amount, did_you_mean, listed
from earmark.training import estimation
from earmark.training.estimation import OutOfFold
from earmark.training.verdict import verdict_of


@dataclass(frozen=True)
class Evaluation:
    """The ``estimate``; what the clips that were read were answered; and what was ``skipped``.

    ``thresholds`` (K,) are the classifier's, for clips with several classes. The estimate counts
    the best class of every clip, also of those that would be answered ``unknown`` (N,).
    ``warnings`` begin with the path and say what is missing of a recording, was changed, or is
    unlike the training clips; ``read_notes`` say where very little is missing.
    ``n_known`` clips were trained on, and left out unless that was asked for; of ``n_related``
    others their recording was. Both are None where the classifier does not say what it was trained
    on.
    """

    estimate: Estimate
    tested: OutOfFold
    thresholds: np.ndarray
    skipped: tuple[Failure, ...]
    unknown: np.ndarray
    warnings: tuple[str, ...] = ()
    n_known: int | None = None
    n_related: int | None = None
    includes_known: bool = False
    read_notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Evaluation({self.estimate!r}, {len(self.skipped)} skipped)"

    @property
    def figures(self) -> dict[str, Any]:
        """What ``evaluate --json`` prints of the estimate and of known clips."""
        counts = {"known": self.n_known, "known_recordings": self.n_related}
        return {**self.estimate.to_dict(), **counts, "includes_known": self.includes_known}

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about clips that the classifier was trained on."""
        return known_notes(self.n_known, self.n_related, self.includes_known)

    def answers(self, labels: Sequence[str]) -> list[tuple[str, str, str]]:
        """Return (path, label, answer) of each clip, as ``predict`` answers it."""
        rows = zip(self.tested.answers(labels, self.thresholds), self.unknown, strict=True)
        return [(p, label, UNKNOWN if is_it else answer) for (p, label, answer), is_it in rows]


def known_notes(n_known: int | None, n_related: int | None, is_included: bool) -> tuple[str, ...]:
    """Say how many clips were trained on, and what was done with them."""
    if n_known is None or n_related is None:
        return (
            "the classifier does not say what it was trained on, so that it cannot be known whether"
            " these clips were; the accuracy holds only if they were not.",
        )
    notes = []
    if n_known:
        verb = "is" if n_known == 1 else "are"
        done = "counted, so that the accuracy is too high" if is_included else "left out"
        clips = amount(n_known, "clip")
        notes.append(f"{clips} that the classifier was trained on {verb} {done}.")
    if n_related:
        notes.append(
            f"{amount(n_related, 'clip')} {'is' if n_related == 1 else 'are'} of recordings of"
            " which another stretch was trained on, so that the accuracy may be too high."
        )
    return tuple(notes)


def evaluate(
    classifier: Classifier | str | Path,
    data: DataLike,
    store: Store | None = None,
    *,
    include_known: bool = False,
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
    include_known : bool
        Whether to count clips that the classifier was trained on. They are left out otherwise, as
        far as its file says which they are.

    Returns
    -------
    Evaluation
        Its ``estimate`` has the accuracy, the 95 % interval and more. The interval resamples groups
        where the data has them, else recordings.

    Raises
    ------
    DataError
        A label that the classifier does not know; several classes a clip for a classifier of one;
        no clip that can be read; all clips were trained on.

    Examples
    --------
    >>> import earmark
    >>> earmark.evaluate("mine.earmark", "recordings", include_known=True).estimate.accuracy
    1.0
    """
    if not isinstance(classifier, Classifier):
        classifier = Classifier.load(classifier)
    dataset = as_dataset(data, separator=classifier.separator, least_classes=1)
    _check(classifier, dataset)
    answers = _Answers(classifier, dataset)
    predictions = classifier.session(store).predict_iter(dataset)
    for clip, prediction in zip(dataset.clips, predictions, strict=True):
        answers.add(clip, prediction, include_known)
    if not answers.kinds:
        raise DataError(
            f"none of the {len(dataset)} clips could be read; the first,"
            f" {answers.failures[0].path}, because: {answers.failures[0].reason}"
        )
    if not answers.clips:
        raise DataError(
            f"the classifier was trained on all {amount(answers.kinds[CLIP], 'clip')} of"
            f" {dataset.source}, which says nothing of new ones; give other recordings, or"
            " count these all the same with --include-known (include_known=True)."
        )
    n_known, n_related = answers.kinds[CLIP], answers.kinds[RECORDING]
    leaks = known_notes(n_known if include_known else 0, n_related, include_known)
    has_hashes = classifier.known is not None
    evaluation = _scored(classifier, dataset, answers, leaks if has_hashes else ())
    return replace(
        evaluation,
        n_known=n_known if has_hashes else None,
        n_related=n_related if has_hashes else None,
        includes_known=include_known,
    )


class _Answers:
    """What is kept of predictions: of a clip the scores (K,), not one object for each of them.

    ``kinds`` counts all clips that were read, by whether they are known.
    """

    def __init__(self, classifier: Classifier, dataset: Dataset) -> None:
        self.labels, self.clips = classifier.labels, list[Clip]()
        self.scores = np.zeros((len(dataset), len(self.labels)), np.float32)
        self.unknown = np.zeros(len(dataset), bool)
        self.kinds: Counter[str | None] = Counter()
        self.failures, self.warnings, self.notes = list[Failure](), list[str](), list[str]()

    def add(self, clip: Clip, prediction: Prediction, include_known: bool) -> None:
        """Keep what was answered to a clip, unless it was trained on and such are left out."""
        if prediction.error is not None:
            self.failures.append(Failure(clip, prediction.error))
            return
        self.kinds[prediction.known] += 1
        if prediction.known == CLIP and not include_known:
            return
        row = len(self.clips)
        self.clips.append(clip)
        self.scores[row] = [prediction.scores[label] for label in self.labels]
        self.unknown[row] = prediction.is_unknown
        self.warnings += [f"{prediction.path}: {text}" for text in prediction.warnings]
        self.notes += [f"{prediction.path}: {text}" for text in prediction.notes]


def _check(classifier: Classifier, dataset: Dataset) -> None:
    """Refuse several classes a clip for a classifier of one, and labels that it does not know."""
    if classifier.calibration.is_single and not dataset.is_single:
        many = "several" if any(len(dataset.classes(clip)) > 1 for clip in dataset) else "no"
        raise DataError(
            f"{dataset.source} has clips with {many} classes, and the classifier answers one; give"
            " each clip one, or a classifier that was trained on clips with several."
        )
    strange = sorted(set(dataset.labels) - set(classifier.labels))
    if strange:
        raise DataError(
            f"the classifier does not know the label {strange[0]!r} of {dataset.source};"
            f"{did_you_mean(strange[0], classifier.labels)} known: {listed(classifier.labels)}."
        )


def _scored(
    classifier: Classifier, dataset: Dataset, answers: _Answers, leaks: Sequence[str]
) -> Evaluation:
    """Return the estimate that the answers to labelled clips give, with a verdict."""
    clips, count = tuple(answers.clips), len(answers.clips)
    number = {label: k for k, label in enumerate(classifier.labels)}
    onehot = np.zeros((count, len(number)), bool)
    for row, clip in enumerate(clips):
        onehot[row, [number[name] for name in dataset.classes(clip)]] = True
    scores, unknown = answers.scores[:count], answers.unknown[:count]
    tested = OutOfFold.of_scores(clips, onehot, scores, classifier.calibration.is_single)
    thresholds = np.array(classifier.decision_rule.thresholds)
    chosen = tested.chosen(thresholds)
    scheme = amount(count, "given clip")
    figures = estimation.estimate(tested, classifier.labels, 0, scheme, folds=(), chosen=chosen)
    figures = replace(figures, verdict=verdict_of(figures, tested, chosen, leaks=leaks))
    if classifier.decision_rule.unknown_threshold is not None:
        figures = replace(figures, answered_unknown=int(unknown.sum()))
    return Evaluation(
        figures,
        tested,
        thresholds,
        tuple(answers.failures),
        unknown,
        tuple(answers.warnings),
        read_notes=tuple(answers.notes),
    )
