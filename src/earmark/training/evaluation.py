"""evaluate(): test a saved classifier on labelled clips that it was not trained on."""

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

MAY_BE_KNOWN = (
    "the file of the classifier does not say which clips it was trained on, so these may be among"
    " them"
)


@dataclass(frozen=True)
class Evaluation:
    """The result of :func:`evaluate`.

    Attributes
    ----------
    estimate : Estimate
        The accuracy, its interval and more. It counts the best class of every clip, also of clips
        that would be predicted 'unknown'.
    tested : OutOfFold
        The scores of each clip.
    thresholds : (K,) float
        The thresholds of the classifier, for clips with several classes.
    skipped : tuple of Failure
        The clips that could not be read, with the reason.
    unknown : (N,) bool
        Which clips would be predicted 'unknown'.
    warnings, read_notes : tuple of str
        Warnings about recordings that are incomplete, changed or unlike the training clips, and
        notes on recordings of which very little is missing. Each begins with the path.
    n_known, n_related : int
        How many clips the classifier was trained on, and how many others come from a recording of
        which it was trained on another stretch. None if its file does not say what it was trained
        on.
    includes_known : bool
        Whether the clips that it was trained on are counted.
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
        """What ``evaluate --json`` prints: the estimate and the counts of known clips."""
        counts = {"known": self.n_known, "known_recordings": self.n_related}
        return {**self.estimate.to_dict(), **counts, "includes_known": self.includes_known}

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about clips that the classifier was trained on."""
        return known_notes(self.n_known, self.n_related, self.includes_known)

    def answers(self, labels: Sequence[str]) -> list[tuple[str, str, str]]:
        """Return (path, label, predicted class) of each clip, as ``predict`` gives it."""
        rows = zip(self.tested.answers(labels, self.thresholds), self.unknown, strict=True)
        return [
            (path, label, UNKNOWN if is_unknown else answer)
            for (path, label, answer), is_unknown in rows
        ]


def known_notes(n_known: int | None, n_related: int | None, is_included: bool) -> tuple[str, ...]:
    """Return sentences on how many clips were trained on, and whether they are counted."""
    if n_known is None or n_related is None:
        return (f"{MAY_BE_KNOWN}. The accuracy holds only if they are not.",)
    notes = []
    if n_known:
        verb = "is" if n_known == 1 else "are"
        done = "counted, so the accuracy is too high" if is_included else "left out"
        clips = amount(n_known, "clip")
        notes.append(f"{clips} that the classifier was trained on {verb} {done}.")
    if n_related:
        verb = "comes" if n_related == 1 else "come"
        notes.append(
            f"{amount(n_related, 'clip')} {verb} from recordings of which the classifier was"
            " trained on another stretch, so the accuracy may be too high."
        )
    return tuple(notes)


def evaluate(
    classifier: Classifier | str | Path,
    data: DataLike,
    store: Store | None = None,
    *,
    include_known: bool = False,
) -> Evaluation:
    """Test a classifier on labelled clips that it was not trained on.

    Parameters
    ----------
    classifier : Classifier, str or Path
        A classifier, or its file.
    data : str, Path, Dataset or frame
        Labelled clips. A path is read with the separator that the classifier was trained with.
    store : Store, optional
        Embeddings are read from it and added to it.
    include_known : bool
        Whether to count clips that the classifier was trained on. Otherwise they are left out, if
        the classifier's file says which they are.

    Returns
    -------
    Evaluation
        Its ``estimate`` has the accuracy, the 95 % interval and more. The interval resamples groups
        if the data has them, else recordings.

    Raises
    ------
    DataError
        A label is unknown to the classifier; clips have several classes, but the classifier gives
        one; no clip can be read; or the classifier was trained on all of them.

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
            f"none of the {len(dataset)} clips could be read. The first is"
            f" {answers.failures[0].path}: {answers.failures[0].reason}"
        )
    if not answers.clips:
        raise DataError(
            f"the classifier was trained on all {amount(answers.kinds[CLIP], 'clip')} of"
            f" {dataset.source}, so they say nothing about new ones. Give other recordings, or"
            " count these anyway with --include-known (include_known=True)."
        )
    n_known, n_related = answers.kinds[CLIP], answers.kinds[RECORDING]
    leaks = known_notes(n_known if include_known else 0, n_related, include_known)
    has_hashes = classifier.known is not None
    evaluation = _scored(classifier, dataset, answers, leaks if has_hashes else (MAY_BE_KNOWN,))
    return replace(
        evaluation,
        n_known=n_known if has_hashes else None,
        n_related=n_related if has_hashes else None,
        includes_known=include_known,
    )


class _Answers:
    """Collects predictions as arrays, which take far less memory than one object a clip.

    ``kinds`` counts the clips that were read, by how they relate to the training clips.
    """

    def __init__(self, classifier: Classifier, dataset: Dataset) -> None:
        self.labels, self.clips = classifier.labels, list[Clip]()
        self.scores = np.zeros((len(dataset), len(self.labels)), np.float32)
        self.unknown = np.zeros(len(dataset), bool)
        self.kinds: Counter[str | None] = Counter()
        self.failures, self.warnings, self.notes = list[Failure](), list[str](), list[str]()

    def add(self, clip: Clip, prediction: Prediction, include_known: bool) -> None:
        """Add the prediction for a clip; a known clip only if ``include_known``."""
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
    """Raise DataError for clips or labels that the classifier cannot predict."""
    if classifier.calibration.is_single and not dataset.is_single:
        many = "several" if any(len(dataset.classes(clip)) > 1 for clip in dataset) else "no"
        raise DataError(
            f"{dataset.source} has clips with {many} classes, but the classifier predicts exactly"
            " one. Give each clip one class, or use a classifier trained on clips with several."
        )
    others = sorted(set(dataset.labels) - set(classifier.labels))
    if others:
        raise DataError(
            f"the classifier does not know the label {others[0]!r} of {dataset.source}."
            f"{did_you_mean(others[0], classifier.labels)} Known: {listed(classifier.labels)}."
        )


def _scored(
    classifier: Classifier, dataset: Dataset, answers: _Answers, leaks: Sequence[str]
) -> Evaluation:
    """Return the evaluation of predictions for labelled clips, with a verdict."""
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
