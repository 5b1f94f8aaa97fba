"""How good a set of out-of-fold answers is: accuracy with its interval, macro F1, ECE."""

from __future__ import annotations

import numpy as np

BOOTSTRAPS = 2_000
FEW_CLUSTERS = 20  # below this the bootstrap is too narrow, and Student's t is used
ECE_BINS = 15  # Guo et al. 2017, section 2


def macro_f1(truth: np.ndarray, answer: np.ndarray, classes: int) -> float:
    """Return the mean F1 over the classes that occur in ``truth`` (N,) or ``answer`` (N,)."""
    scores = []
    for k in range(classes):
        hits = np.sum((truth == k) & (answer == k))
        total = np.sum(truth == k) + np.sum(answer == k)
        if total:
            scores.append(2 * hits / total)
    return float(np.mean(scores))


def calibration_error(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return the expected calibration error of ``scores`` (N, K) in 15 equal bins of confidence."""
    confidence, right = scores.max(1), scores.argmax(1) == truth
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    gap = np.bincount(bins, weights=confidence - right, minlength=ECE_BINS)
    return float(np.abs(gap).sum() / len(truth))


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
