"""Figures of the page that are not in the summary, computed from out-of-fold scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from earmark.training.metrics import ECE_BINS


def confusion(truth: np.ndarray, answers: np.ndarray, classes: int) -> np.ndarray:
    """Return counts (K, K) of clips: a row for each label, a column for each predicted class."""
    counts = np.bincount(truth * classes + answers, minlength=classes * classes)
    return counts.reshape(classes, classes)


def most_confused(counts: np.ndarray) -> list[tuple[int, int] | None]:
    """Return, for each label, the class most often predicted by mistake, and for how many clips."""
    errors = counts - np.diag(counts.diagonal())
    return [(int(row.argmax()), int(row.max())) if row.any() else None for row in errors]


def pairs(counts: np.ndarray, most: int) -> list[tuple[int, int, int]]:
    """Return (label, predicted class, clips) of the ``most`` most frequent confusions."""
    errors = counts - np.diag(counts.diagonal())
    order = np.argsort(-errors, axis=None, kind="stable")[:most]
    return [(*divmod(int(n), len(counts)), int(errors.flat[n])) for n in order if errors.flat[n]]


@dataclass(frozen=True)
class Bin:
    """Clips whose confidence lies in ``low..high``; the means are None without clips."""

    low: float
    high: float
    n_clips: int
    confidence: float | None
    accuracy: float | None


def reliability(scores: np.ndarray, truth: np.ndarray) -> list[Bin]:
    """Return the bins of ``metrics.calibration_error`` for scores (N, K)."""
    return bins(scores.max(1), scores.argmax(1) == truth)


def bins(confidence: np.ndarray, is_correct: np.ndarray) -> list[Bin]:
    """Return the bins of predictions with ``confidence`` (N,), which may be correct or not."""
    index = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    filled = []
    for k in range(ECE_BINS):
        rows, ends = index == k, (k / ECE_BINS, (k + 1) / ECE_BINS)
        means = [float(x[rows].mean()) if rows.any() else None for x in (confidence, is_correct)]
        filled.append(Bin(*ends, int(rows.sum()), *means))
    return filled


def worst(scores: np.ndarray, truth: np.ndarray, most: int) -> np.ndarray:
    """Return the rows of at most ``most`` misclassified clips, the most confident first."""
    errors = np.flatnonzero(scores.argmax(1) != truth)
    return errors[np.argsort(-scores[errors].max(1), kind="stable")][:most]
