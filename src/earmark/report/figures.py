"""The figures on the page that are not in the summary; all from the out-of-fold scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from earmark.training.metrics import ECE_BINS


@dataclass(frozen=True)
class ClassFigures:
    """How one class fares; ``precision`` is None where it was never answered, ``recall`` and
    ``f1`` where it was never asked; ``confused`` are (class, clips) that it was taken for, or
    None."""

    number: int
    clips: int
    recall: float | None
    precision: float | None
    f1: float | None
    confused: tuple[int, int] | None


def confusion(truth: np.ndarray, answer: np.ndarray, classes: int) -> np.ndarray:
    """Return counts (K, K): a row for each label, a column for each answer."""
    counts = np.bincount(truth * classes + answer, minlength=classes * classes)
    return counts.reshape(classes, classes)


def by_class(counts: np.ndarray) -> list[ClassFigures]:
    """Return the figures of each class, the lowest F1 first; classes without clips last."""
    figures = []
    for k, row in enumerate(counts):
        hits, clips, answered = int(row[k]), int(row.sum()), int(counts[:, k].sum())
        wrong = row.copy()
        wrong[k] = 0
        other = int(wrong.argmax())
        figures.append(
            ClassFigures(
                k,
                clips,
                hits / clips if clips else None,
                hits / answered if answered else None,
                2 * hits / (clips + answered) if clips else None,
                (other, int(wrong[other])) if wrong.any() else None,
            )
        )
    return sorted(figures, key=lambda f: (f.f1 is None, f.f1))


def pairs(counts: np.ndarray, most: int) -> list[tuple[int, int, int]]:
    """Return (label, answer, clips) of the most frequent confusions, at most ``most``."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    found = [(*divmod(int(at), len(counts)), int(wrong.flat[at])) for at in order]
    return [pair for pair in found if pair[2]]


@dataclass(frozen=True)
class Bin:
    """Clips whose confidence lies in ``low..high``; the means are None where there are none."""

    low: float
    high: float
    clips: int
    confidence: float | None
    accuracy: float | None


def reliability(scores: np.ndarray, truth: np.ndarray) -> list[Bin]:
    """Return the bins of ``metrics.calibration_error`` for scores (N, K)."""
    confidence, right = scores.max(1), scores.argmax(1) == truth
    index = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    bins = []
    for k in range(ECE_BINS):
        rows = index == k
        means = (float(confidence[rows].mean()), float(right[rows].mean())) if rows.any() else None
        bins.append(
            Bin(k / ECE_BINS, (k + 1) / ECE_BINS, int(rows.sum()), *(means or (None, None)))
        )
    return bins


def worst(scores: np.ndarray, truth: np.ndarray, most: int) -> np.ndarray:
    """Return the rows of the wrong answers, the most confident first, at most ``most``."""
    wrong = np.flatnonzero(scores.argmax(1) != truth)
    return wrong[np.argsort(-scores[wrong].max(1), kind="stable")][:most]
