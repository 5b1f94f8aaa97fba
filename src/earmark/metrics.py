"""How good a set of out-of-fold answers is: accuracy with its interval, macro F1, ECE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

BOOTSTRAPS = 2_000
FEW_CLUSTERS = 20  # below this the bootstrap is too narrow, and Student's t is used
ECE_BINS = 15  # Guo et al. 2017, section 2


def macro_f1(of: np.ndarray, chosen: np.ndarray) -> float:
    """Return the mean F1 over the classes that occur in ``of`` (N, K) or are ``chosen`` (N, K)."""
    hits, total = (of * chosen).sum(0), of.sum(0) + chosen.sum(0)
    return float((2 * hits[total > 0] / total[total > 0]).mean())


def balanced_accuracy(of: np.ndarray, chosen: np.ndarray) -> float:
    """Return the mean recall over the classes that occur in ``of`` (N, K)."""
    counts = of.sum(0)
    return float(((of * chosen).sum(0)[counts > 0] / counts[counts > 0]).mean())


def per_class(of: np.ndarray, chosen: np.ndarray, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Return clips, recall, precision and F1 of each class; None where nothing can be said."""
    hits, counts, taken = (of * chosen).sum(0), of.sum(0), chosen.sum(0)
    return [
        {
            "label": label,
            "n": int(n),
            "recall": float(h / n) if n else None,
            "precision": float(h / m) if m else None,
            "f1": float(2 * h / (n + m)) if n + m else None,
        }
        for label, h, n, m in zip(labels, hits, counts, taken, strict=True)
    ]


def mean_average_precision(scores: np.ndarray, of: np.ndarray) -> float:
    """Return mAP: the mean over the classes that occur of the average precision over clips."""
    from sklearn.metrics import average_precision_score

    present = of.sum(0) > 0
    return float(average_precision_score(of[:, present], scores[:, present], average="macro"))


def chance(of: np.ndarray, is_single: bool) -> float:
    """Return the quality of always giving the same answer: the classes by how common they are."""
    counts = of.sum(0)
    return float(quality(np.tile(counts, (len(of), 1)), of, is_single).mean())


def quality(logits: np.ndarray, of: np.ndarray, is_single: bool) -> np.ndarray:
    """Return how well each clip (N,) is answered, 0 to 1, by ``logits`` (N, K) for ``of`` (N, K).

    Of clips with one class: is it the highest. Of clips with several: label-ranking average
    precision, the mean over a clip's classes of the share of its own among those ranked as high;
    1 for a clip without any class.
    """
    if is_single:
        return np.asarray(of[np.arange(len(of)), logits.argmax(1)])
    above = logits[:, None, :] >= logits[:, :, None]  # (N, class, others at least as high)
    precision = (above * of[:, None, :]).sum(2) / above.sum(2)
    counts = of.sum(1)
    return np.where(counts > 0, (precision * of).sum(1) / np.maximum(counts, 1), 1.0)


def calibration_error(scores: np.ndarray, of: np.ndarray, is_single: bool = True) -> float:
    """Return the expected calibration error of ``scores`` (N, K) in 15 equal bins of confidence.

    Of clips with one class, the confidence is that of the answer; else every score is one.
    """
    if is_single:
        best = (np.arange(len(of)), scores.argmax(1))
        confidence, right = scores[best], of[best]
    else:
        confidence, right = scores.ravel(), of.ravel()
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    gap = np.bincount(bins, weights=confidence - right, minlength=ECE_BINS)
    return float(np.abs(gap).sum() / len(right))


def accuracy_interval(right: np.ndarray, cluster: np.ndarray, seed: int) -> tuple[float, float]:
    """Return the 95 % interval of the mean of ``right`` (N,), resampling whole clusters.

    Clips of one ``cluster`` (N,) (a speaker, a recording) are not independent. With 20 clusters or
    more it is a percentile bootstrap over them, with fewer Student's t over the clusters' shares.
    Where all is right, or all wrong, nothing spreads, and the exact binomial limit over clusters
    stands in (Clopper and Pearson 1934): 9 of 9 are no proof of more than 0.66.
    """
    _, index = np.unique(cluster, return_inverse=True)
    hits, sizes = np.bincount(index, weights=right), np.bincount(index)
    n = len(sizes)
    if right.min() == right.max():
        limit = float(0.025 ** (1 / n))
        return (limit, 1.0) if right.all() else (0.0, 1.0 - limit)
    if n >= FEW_CLUSTERS:
        draws = np.random.default_rng(seed).integers(0, n, (BOOTSTRAPS, n))
        means = hits[draws].sum(1) / sizes[draws].sum(1)
        low, high = np.quantile(means, (0.025, 0.975))
        return float(low), float(high)
    if n == 1:
        return 0.0, 1.0  # one speaker says nothing of others
    from scipy.stats import t

    mean = hits.sum() / sizes.sum()
    residual = (hits - mean * sizes) / sizes.mean()  # ratio estimator: Cochran 1977, section 6.4
    half = t.ppf(0.975, n - 1) * np.sqrt((residual**2).sum() / (n * (n - 1)))
    return float(max(0.0, mean - half)), float(min(1.0, mean + half))
