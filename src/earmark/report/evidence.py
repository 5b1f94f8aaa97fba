"""What a report shows beside the summary, and where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from earmark.audio.options import AS_IT_IS, AudioOptions
from earmark.classifier.classifier import Classifier
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.data.doctor.findings import Finding
from earmark.embeddings.store import Store
from earmark.report import map as maps
from earmark.training.evaluation import Evaluation
from earmark.training.training import Training


@dataclass(frozen=True)
class Evidence:
    """What ``report.html`` shows of N clips that were answered; a part that is None is left out.

    ``scores`` (N, K) are calibrated and of a model that had not seen the clip, ``truth`` (N,) and
    ``fold`` (N,) are numbers. ``map_xy`` (N, 2) lays the embeddings out. The dictionaries have:
    candidates (best first) 'head', 'layers' (the name of a layer set), 'penalty', 'accuracy'
    inside the training folds, and 'chosen'; baselines 'name', 'accuracy', 'ci95' or None; the
    learning curve 'clips_per_class', 'accuracy', 'low', 'high'; findings what
    ``doctor.Finding.as_dict`` gives, or 'kind' and 'text'. Fine-tuning is the verdict of
    :func:`earmark.finetune`, and a row an epoch in 'course': 'epoch', 'loss', 'validation'.
    """

    command: str
    labels: tuple[str, ...]
    clips: tuple[Clip, ...]
    truth: np.ndarray
    fold: np.ndarray
    scores: np.ndarray
    map_xy: np.ndarray | None = None
    candidates: Sequence[dict[str, Any]] | None = None
    baselines: Sequence[dict[str, Any]] | None = None
    learning_curve: Sequence[dict[str, Any]] | None = None
    findings: Sequence[dict[str, Any]] | None = None
    fine_tuning: dict[str, Any] | None = None
    source: str = ""  # where the clips came from, for people to read
    audio: AudioOptions = AS_IT_IS


def evidence_of(
    training: Training, dataset: Dataset, command: str, store: Store | None = None
) -> Evidence | None:
    """Gather what a training leaves behind; with the ``store`` it filled, a map as well.

    None for clips with several classes, which the page cannot show.
    """
    classifier, tested = training.classifier, training.out_of_fold
    if not tested.is_single:
        return None
    made = classifier.provenance
    chosen = (classifier.head.kind, made["layers"], made["penalty"])
    candidates = [
        {**c, "chosen": (c["head"], c["layers"], c["penalty"]) == chosen}
        for c in made["candidates"]
    ]
    return Evidence(
        command,
        classifier.labels,
        tested.clips,
        tested.truth,
        tested.fold,
        tested.scores,
        _map(classifier, tested.clips, store),
        candidates,
        classifier.estimate.get("baselines"),
        classifier.estimate.get("learning_curve"),
        findings=[_finding(finding) for finding in training.findings],
        fine_tuning=classifier.estimate.get("fine_tuning"),
        source=dataset.source,
        audio=dataset.audio,
    )


def evidence_of_evaluation(
    evaluation: Evaluation,
    classifier: Classifier,
    dataset: Dataset,
    command: str,
    store: Store | None = None,
) -> Evidence | None:
    """Gather what an evaluation leaves behind; see :func:`evidence_of`."""
    tested = evaluation.tested
    if not tested.is_single:
        return None
    return Evidence(
        command,
        classifier.labels,
        tested.clips,
        tested.truth,
        tested.fold,
        tested.scores,
        _map(classifier, tested.clips, store),
        source=dataset.source,
        audio=classifier.audio,
    )


def _map(classifier: Classifier, clips: Sequence[Clip], store: Store | None) -> np.ndarray | None:
    features = None if store is None else maps.features(classifier, clips, store)
    return None if features is None else maps.project(features, classifier.provenance["seed"])


def _finding(finding: Finding) -> dict[str, str]:
    """Return what the page shows of a finding; its line is among the warnings of the summary."""
    return {"kind": finding.kind, "text": finding.summary()}
