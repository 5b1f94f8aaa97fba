"""The estimate: figures of out-of-fold predictions."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from earmark.classifier.calibration import as_scores
from earmark.classifier.decision import fold_thresholds
from earmark.classifier.estimate import Estimate
from earmark.classifier.targets import Targets, first_class
from earmark.data.clip import LIST_SEPARATOR, Clip
from earmark.data.splits import Scheme, numbered
from earmark.training import headline, metrics
from earmark.training.solution import Solution


@dataclass(frozen=True)
class OutOfFold:
    """Out-of-fold predictions: each clip is scored by models not trained on its fold.

    Attributes
    ----------
    clips : tuple of Clip
        The N tested clips.
    truth : (N,) int
        The class of each clip; the first of several, -1 for none.
    fold : (N,) int
        The fold of each clip.
    logits, scores : (N, K) float
        For each clip and class. They are calibrated on other folds, too.
    cluster : (N,) int
        Clips with the same number are not independent, such as clips of one group.
    onehot : (N, K)
        1 or true where a clip has a class.
    rows : (N,) int
        The place of each clip in the whole data.
    is_single : bool
        Whether each clip has exactly one class.
    """

    clips: tuple[Clip, ...]
    truth: np.ndarray
    fold: np.ndarray
    logits: np.ndarray
    scores: np.ndarray
    cluster: np.ndarray
    onehot: np.ndarray
    rows: np.ndarray
    is_single: bool = True

    def __repr__(self) -> str:
        return f"OutOfFold({len(self.clips)} clips)"

    @classmethod
    def gather(
        cls, solution: Solution, clips: Sequence[Clip], targets: Targets, scheme: Scheme
    ) -> OutOfFold:
        """Return the predictions of a solution for its tested clips."""
        rows = solution.tested
        logits, onehot = solution.logits[rows], targets.rows(rows).onehot > 0
        return cls(
            tuple(itertools.compress(clips, rows)),
            first_class(onehot),
            scheme.fold[rows],
            logits,
            as_scores(logits, targets.is_single),
            scheme.cluster[rows],
            onehot,
            np.flatnonzero(rows),
            targets.is_single,
        )

    @classmethod
    def of_scores(
        cls, clips: tuple[Clip, ...], onehot: np.ndarray, scores: np.ndarray, is_single: bool
    ) -> OutOfFold:
        """Return predictions made of the ``scores`` (N, K) that a classifier gave to new clips."""
        fold = np.zeros(len(clips), np.int64)
        cluster = numbered(clip.group or clip.place for clip in clips)
        rows = np.arange(len(clips))
        truth = first_class(onehot)
        with np.errstate(divide="ignore"):  # a score may be too small for its type
            logits = np.log(scores)
        return cls(clips, truth, fold, logits, scores, cluster, onehot, rows, is_single)

    @property
    def quality(self) -> np.ndarray:
        """How well each clip (N,) is classified, 0 to 1: see :func:`metrics.quality`."""
        return metrics.quality(self.logits, self.onehot, self.is_single)

    def thresholds(self) -> np.ndarray:
        """Return the thresholds for each clip and class (N, K), chosen on other folds."""
        return np.asarray(self._thresholds[self.fold])

    @functools.cached_property
    def _thresholds(self) -> np.ndarray:
        """The thresholds for each fold and class (F, K), chosen on other folds."""
        return fold_thresholds(self.scores, self.onehot, self.fold)

    def chosen(self, thresholds: np.ndarray | None = None) -> np.ndarray:
        """Return the predicted classes (N, K) bool; by default at :meth:`thresholds`."""
        if thresholds is None and not self.is_single:
            thresholds = self.thresholds()
        return answered(self.scores, self.is_single, thresholds)

    def answers(
        self, labels: Sequence[str], thresholds: np.ndarray | None = None
    ) -> list[tuple[str, str, str]]:
        """Return (path, label, predicted class) of each clip; ';' separates several classes."""
        if self.is_single:
            best = self.scores.argmax(1).tolist()
            pairs = zip(self.clips, best, strict=True)
            return [(clip.place, str(clip.label), labels[k]) for clip, k in pairs]
        names: list[list[str]] = [[] for _ in self.clips]
        for row, k in zip(*(x.tolist() for x in np.nonzero(self.chosen(thresholds))), strict=True):
            names[row].append(labels[k])
        return [
            (clip.place, str(clip.label), LIST_SEPARATOR.join(own))
            for clip, own in zip(self.clips, names, strict=True)
        ]

    def answer_details(self) -> dict[str, list[str]]:
        """Return further columns for :meth:`answers`: the score of the best class, and the stretch.

        Start and end, in seconds, are left out where all clips are whole recordings.
        """
        details = {"answer_score": [f"{score:.4f}" for score in self.scores.max(1).tolist()]}
        stretches = [(clip.start, clip.end) for clip in self.clips]
        if set(stretches) <= {(None, None)}:
            return details
        texts = [["" if at is None else repr(float(at)) for at in ends] for ends in stretches]
        return {**details, "start": [a for a, _ in texts], "end": [b for _, b in texts]}


def answered(scores: np.ndarray, is_single: bool, thresholds: np.ndarray | None) -> np.ndarray:
    """Return the predicted classes (N, K) bool.

    A clip with one class gets its best class, other clips all that reach their thresholds (K,).
    """
    if not is_single and thresholds is not None:
        return np.asarray(scores >= thresholds)
    return np.asarray(np.arange(scores.shape[1]) == scores.argmax(1)[:, None])


def estimate(
    tested: OutOfFold,
    labels: Sequence[str],
    seed: int,
    scheme: str,
    *,
    folds: Sequence[str],
    chosen: np.ndarray,
) -> Estimate:
    """Return the figures of out-of-fold predictions.

    For clips with several classes 'accuracy' is the label-ranking average precision. Macro F1 is
    computed from the predicted classes ``chosen`` (N, K).
    """
    quality = tested.quality
    onehot, is_single = tested.onehot, tested.is_single
    name = headline.name_of(onehot, is_single)
    counts = headline.counts_of(chosen, onehot, tested.fold)
    expected, debiased = metrics.debiased_calibration(tested.scores, onehot, is_single, seed)

    def of_fold(number: int) -> dict[str, float]:
        inside = tested.fold == number
        return {
            "accuracy": float(quality[inside].mean()),
            name: float(headline.value(name, counts[number])),
            "n": int(inside.sum()),
        }

    return Estimate(
        scheme=scheme,
        accuracy=float(quality.mean()),
        interval=metrics.accuracy_interval(quality, tested.cluster, seed),
        macro_f1=metrics.macro_f1(onehot, chosen),
        calibration_error=metrics.calibration_error(tested.scores, onehot, is_single),
        calibration_error_expected=expected,
        calibration_error_debiased=debiased,
        chance=metrics.chance(onehot, is_single),
        n_clips=len(tested.clips),
        folds=tuple(
            {"fold": fold, **of_fold(number)}
            for number, fold in enumerate(folds)
            if (tested.fold == number).any()
        ),
        headline=headline.figures(name, chosen, onehot, tested.cluster, seed),
        classes=tuple(metrics.per_class(onehot, chosen, labels)),
        balanced_accuracy=metrics.balanced_accuracy(onehot, chosen) if is_single else None,
        mean_average_precision=None
        if is_single
        else metrics.mean_average_precision(tested.scores, onehot),
    )
