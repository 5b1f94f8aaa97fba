"""The honest estimate: what clips were answered by models that had not seen their fold."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from earmark.classifier.calibration import as_scores
from earmark.classifier.decision import best_thresholds
from earmark.classifier.targets import Targets
from earmark.data.clip import Clip
from earmark.data.splits import Scheme
from earmark.training import metrics
from earmark.training.selection import Solution


@dataclass(frozen=True)
class OutOfFold:
    """What each tested clip was answered by models that had not seen its fold.

    ``logits`` and ``scores`` are (N, K), calibrated by other folds as well; ``of`` (N, K) is 1
    where a clip has a class, and ``truth`` (N,) is the first of them. ``cluster`` (N,) numbers
    what is not independent. ``rows`` (N,) are the clips' places in the whole data.
    """

    clips: tuple[Clip, ...]
    truth: np.ndarray
    fold: np.ndarray
    logits: np.ndarray
    scores: np.ndarray
    cluster: np.ndarray
    of: np.ndarray
    rows: np.ndarray
    is_single: bool = True

    @classmethod
    def gather(
        cls, solution: Solution, clips: Sequence[Clip], targets: Targets, scheme: Scheme
    ) -> OutOfFold:
        """Keep the clips that were tested."""
        rows = solution.tested
        logits, of = solution.logits[rows], targets.of[rows]
        return cls(
            tuple(itertools.compress(clips, rows)),
            of.argmax(1),
            scheme.fold[rows],
            logits,
            as_scores(logits, targets.is_single),
            scheme.cluster[rows],
            of,
            np.flatnonzero(rows),
            targets.is_single,
        )

    @classmethod
    def of_scores(
        cls, clips: tuple[Clip, ...], of: np.ndarray, scores: np.ndarray, is_single: bool
    ) -> OutOfFold:
        """Make one of the scores (N, K) that a finished classifier gave to new clips."""
        fold = np.zeros(len(clips), np.int64)
        names = [clip.group or str(clip.path) for clip in clips]
        cluster = np.unique(names, return_inverse=True)[1]
        rows = np.arange(len(clips))
        return cls(clips, of.argmax(1), fold, np.log(scores), scores, cluster, of, rows, is_single)

    @property
    def quality(self) -> np.ndarray:
        """How well each clip (N,) is answered, 0 to 1: see :func:`metrics.quality`."""
        return metrics.quality(self.logits, self.of, self.is_single)

    def thresholds(self) -> np.ndarray:
        """Return the thresholds for each clip and class (N, K), chosen on other folds."""
        found = np.zeros_like(self.scores)
        for fold in np.unique(self.fold):
            inside = self.fold == fold
            found[inside] = best_thresholds(self.scores[~inside], self.of[~inside])
        return found

    def answers(
        self, labels: Sequence[str], limits: np.ndarray | None = None
    ) -> list[tuple[str, str, str]]:
        """Return (path, label, answer) of each clip; several classes have ';' between them."""
        limits = self.thresholds() if limits is None else limits
        chosen = answered(self.scores, self.is_single, limits)
        return [
            (
                str(clip.path),
                str(clip.label),
                ";".join(label for label, is_one in zip(labels, row, strict=True) if is_one),
            )
            for clip, row in zip(self.clips, chosen, strict=True)
        ]


def answered(scores: np.ndarray, is_single: bool, thresholds: np.ndarray) -> np.ndarray:
    """Return (N, K) bool: the best class of each clip, or all that reach their thresholds (K,)."""
    if not is_single:
        return np.asarray(scores >= thresholds)
    return np.asarray(np.arange(scores.shape[1]) == scores.argmax(1)[:, None])


def figures(
    tested: OutOfFold,
    labels: Sequence[str],
    seed: int,
    scheme: str,
    folds: Sequence[str],
    limits: np.ndarray,
) -> dict[str, Any]:
    """Return the figures of an estimate as they are printed, saved and put into JSON.

    For clips with several classes 'accuracy' is the label-ranking average precision, and macro F1
    is at the thresholds ``limits``, (K,) or (N, K).
    """
    quality = tested.quality
    chosen = answered(tested.scores, tested.is_single, limits)
    found: dict[str, Any] = {
        "scheme": scheme,
        "accuracy": float(quality.mean()),
        "ci95": list(metrics.accuracy_interval(quality, tested.cluster, seed)),
        "macro_f1": metrics.macro_f1(tested.of, chosen),
        "ece": metrics.calibration_error(tested.scores, tested.of, tested.is_single),
        "chance": metrics.chance(tested.of, tested.is_single),
        "clips": len(tested.clips),
        "folds": [
            {
                "fold": name,
                "accuracy": float(quality[tested.fold == number].mean()),
                "n": int((tested.fold == number).sum()),
            }
            for number, name in enumerate(folds)
            if (tested.fold == number).any()
        ],
        "classes": metrics.per_class(tested.of, chosen, labels),
    }
    if tested.is_single:
        found["balanced_accuracy"] = metrics.balanced_accuracy(tested.of, chosen)
    else:
        found["map"] = metrics.mean_average_precision(tested.scores, tested.of)
    return found
