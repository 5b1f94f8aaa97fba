"""The contents of a report besides the summary, gathered from a training or an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from earmark.audio.options import AS_IT_IS, AudioOptions
from earmark.classifier.classifier import Classifier
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.embeddings.store import Store
from earmark.report import map as maps
from earmark.training.estimation import OutOfFold
from earmark.training.evaluation import Evaluation
from earmark.training.training import Training


@dataclass(frozen=True)
class SeveralClasses:
    """Labels and predictions of clips that may have several classes or none.

    Attributes
    ----------
    onehot : (N, K)
        1 where a clip has a class.
    chosen : (N, K) bool
        True where a class was predicted.
    thresholds : (K,) float
        The thresholds in the classifier's file.
    """

    onehot: np.ndarray
    chosen: np.ndarray
    thresholds: np.ndarray


@dataclass(frozen=True)
class ReportContents:
    """What ``report.html`` shows of N tested clips. A part that is None is left out.

    Attributes
    ----------
    command : str
        The command or call that repeats the run.
    labels : tuple of str
        The K classes.
    clips : tuple of Clip
        The N tested clips.
    truth : (N,) int
        The number of each clip's class in ``labels``, -1 for none.
    scores : (N, K) float
        Calibrated scores, each row by a model that was not trained on the clip.
    map_xy, map_rows : (M, 2) float, (M,) int
        Places on the map, and the rows of their clips (None: all clips).
    several : SeveralClasses
        Labels and predictions if clips may have several classes.
    unknown : (N,) bool
        Which clips were predicted 'unknown', if the classifier can predict it.
    candidates : sequence of dict
        Best first: 'head', 'layers' (the name of a layer set), 'penalty', 'accuracy' inside the
        training folds, 'chosen'.
    contributions : sequence of dict
        'backbone', 'layer' and its 'share' in the variance of the logits.
    baselines : sequence of dict
        'name', 'accuracy', 'ci95' (or None).
    learning_curve : sequence of dict
        'clips_per_class', 'accuracy', 'low', 'high'.
    findings : sequence of dict
        Those of ``doctor.Finding.as_dict``, or 'kind' and 'text'.
    fine_tuning : dict
        The verdict of :func:`earmark.finetune`; its 'course' has 'epoch', 'loss' and 'validation'
        of each epoch.
    source : str
        Where the clips came from, in words.
    audio : AudioOptions
        How recordings were read.
    """

    command: str
    labels: tuple[str, ...]
    clips: tuple[Clip, ...]
    truth: np.ndarray
    scores: np.ndarray
    map_xy: np.ndarray | None = None
    map_rows: np.ndarray | None = None
    several: SeveralClasses | None = None
    unknown: np.ndarray | None = None
    candidates: Sequence[Mapping[str, Any]] | None = None
    contributions: Sequence[Mapping[str, Any]] | None = None
    baselines: Sequence[Mapping[str, Any]] | None = None
    learning_curve: Sequence[Mapping[str, Any]] | None = None
    findings: Sequence[dict[str, Any]] | None = None
    fine_tuning: Mapping[str, Any] | None = None
    source: str = ""
    audio: AudioOptions = AS_IT_IS

    @property
    def answers(self) -> np.ndarray:
        """The number (N,) of the best class of each clip."""
        return np.asarray(self.scores.argmax(1))


def contents_of_training(
    training: Training, dataset: Dataset, command: str, store: Store | None = None
) -> ReportContents:
    """Return the contents of the report of a training.

    Parameters
    ----------
    training : Training
        The training.
    dataset : Dataset
        The data that it was trained on.
    command : str
        The command or call that repeats it.
    store : Store, optional
        The store that the training filled. The map needs it. Clips with several classes have no
        map.

    Returns
    -------
    ReportContents
    """
    classifier, tested = training.classifier, training.out_of_fold
    thresholds = None if tested.is_single else tested.thresholds()
    contents = _contents(tested, thresholds, classifier, dataset, command, store)
    provenance, estimate = classifier.provenance, training.estimate
    chosen = {(c["head"], c["layers"], c["penalty"]) for c in provenance["averaged"]}
    return replace(
        contents,
        candidates=[
            {**c, "chosen": (c["head"], c["layers"], c["penalty"]) in chosen}
            for c in provenance["candidates"]
        ],
        contributions=provenance["contributions"],
        baselines=estimate.baselines,
        learning_curve=estimate.learning_curve,
        findings=[{"kind": f.kind, "text": f.summary()} for f in training.findings],
        fine_tuning=estimate.fine_tuning,
    )


def contents_of_evaluation(
    evaluation: Evaluation,
    classifier: Classifier,
    dataset: Dataset,
    command: str,
    store: Store | None = None,
) -> ReportContents:
    """Return the contents of the report of an evaluation; see :func:`contents_of_training`."""
    tested, thresholds = evaluation.tested, evaluation.thresholds
    contents = _contents(tested, thresholds, classifier, dataset, command, store)
    asks = classifier.decision_rule.unknown_threshold is not None
    return replace(contents, unknown=evaluation.unknown) if asks else contents


def _contents(
    tested: OutOfFold,
    thresholds: np.ndarray | None,
    classifier: Classifier,
    dataset: Dataset,
    command: str,
    store: Store | None,
) -> ReportContents:
    """Return the contents that both have.

    ``thresholds`` (K,) or (N, K) decide which classes are predicted if clips may have several.
    """
    features = several = rows = None
    seed = classifier.provenance["seed"]
    if not tested.is_single:
        final = np.array(classifier.decision_rule.thresholds)
        several = SeveralClasses(tested.onehot, tested.scores >= thresholds, final)
    elif store is not None:
        rows = maps.sample(len(tested.clips), seed)
        features = maps.features(classifier, [tested.clips[row] for row in rows.tolist()], store)
    return ReportContents(
        command,
        classifier.labels,
        tested.clips,
        tested.truth,
        tested.scores,
        None if features is None else maps.project(features, seed),
        rows,
        several=several,
        source=dataset.source,
        audio=classifier.audio,
    )
