"""What a report shows beside the summary, and where it comes from."""

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
    """What clips have, and were answered, that may have several classes or none.

    ``onehot`` (N, K) is 1 where a clip has a class, ``chosen`` (N, K) true where it was answered;
    ``thresholds`` (K,) are those that the classifier keeps.
    """

    onehot: np.ndarray
    chosen: np.ndarray
    thresholds: np.ndarray


@dataclass(frozen=True)
class ReportContents:
    """What ``report.html`` shows of N clips that were answered; a part that is None is left out.

    ``scores`` (N, K) are calibrated, each row by a model that had not seen the clip. ``truth`` (N,)
    are numbers of ``labels`` (K), -1 for a clip of no class. ``several`` is there for clips with
    several classes; ``unknown`` (N,) says which were answered 'unknown', where any could be.
    ``map_xy`` (M, 2) are the places on the map of the clips ``map_rows`` (M,), or of all where that
    is None. The dictionaries have these keys:

    - candidates (best first): 'head', 'layers' (the name of a layer set), 'penalty', 'accuracy'
      inside the training folds, and 'chosen'
    - contributions: 'backbone', 'layer', and the 'share' in what tells clips apart
    - baselines: 'name', 'accuracy', 'ci95' or None
    - the learning curve: 'clips_per_class', 'accuracy', 'low', 'high'
    - findings: those of ``doctor.Finding.as_dict``, or 'kind' and 'text'
    - fine-tuning: the verdict of :func:`earmark.finetune`, with a row an epoch in 'course':
      'epoch', 'loss', 'validation'
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
    source: str = ""  # where the clips came from, for people to read
    audio: AudioOptions = AS_IT_IS

    @property
    def answers(self) -> np.ndarray:
        """The number (N,) of each clip's best class."""
        return np.asarray(self.scores.argmax(1))


def contents_of_training(
    training: Training, dataset: Dataset, command: str, store: Store | None = None
) -> ReportContents:
    """Gather what a training leaves behind; with the ``store`` it filled, a map as well.

    Clips with several classes have no map.
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
    """Gather what an evaluation leaves behind; see :func:`contents_of_training`."""
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
    """Gather what both have; ``thresholds`` (K,) or (N, K) decide where clips have many classes."""
    features = several = rows = None
    seed = classifier.provenance["seed"]
    if not tested.is_single:
        kept = np.array(classifier.decision_rule.thresholds)
        several = SeveralClasses(tested.onehot, tested.scores >= thresholds, kept)
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
