"""How good a set of out-of-fold answers is: accuracy with its interval, macro F1, ECE."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

BOOTSTRAPS = 2_000
FEW_CLUSTERS = 20  # below this the bootstrap is too narrow, and Student's t is used
MOST_SIGNS, DRAWN_SIGNS = 14, 20_000  # of clusters, in a paired test
ECE_BINS = 15  # Guo et al. 2017, section 2


def macro_f1(onehot: np.ndarray, chosen: np.ndarray) -> float:
    """Return the mean F1 over the classes in ``onehot`` (N, K) or ``chosen`` (N, K)."""
    from sklearn.metrics import f1_score

    return float(f1_score(onehot, chosen, average="macro", zero_division=np.nan))


def balanced_accuracy(onehot: np.ndarray, chosen: np.ndarray) -> float:
    """Return the mean recall over the classes that occur in ``onehot`` (N, K)."""
    from sklearn.metrics import recall_score

    return float(recall_score(onehot, chosen, average="macro", zero_division=np.nan))


def per_class(
    onehot: np.ndarray, chosen: np.ndarray, labels: Sequence[str]
) -> list[dict[str, Any]]:
    """Return clips, recall, precision and F1 of each class; None where nothing can be said."""
    from sklearn.metrics import precision_recall_fscore_support

    *shares, counts = precision_recall_fscore_support(onehot, chosen, zero_division=np.nan)
    columns = [[None if np.isnan(x) else float(x) for x in column] for column in shares]
    return [
        {"label": label, "n": int(n), "recall": recall, "precision": precision, "f1": f1}
        for label, n, precision, recall, f1 in zip(labels, counts, *columns, strict=True)
    ]


def mean_average_precision(scores: np.ndarray, onehot: np.ndarray) -> float:
    """Return mAP: the mean over the classes that occur of the average precision over clips."""
    from sklearn.metrics import average_precision_score

    present = onehot.sum(0) > 0
    return float(average_precision_score(onehot[:, present], scores[:, present], average="macro"))


def chance(onehot: np.ndarray, is_single: bool) -> float:
    """Return the quality of always giving the same answer: the classes by how common they are."""
    counts = onehot.sum(0)
    return float(quality(np.tile(counts, (len(onehot), 1)), onehot, is_single).mean())


def quality(logits: np.ndarray, onehot: np.ndarray, is_single: bool) -> np.ndarray:
    """Return how well ``logits`` (N, K) answer each clip (N,) of ``onehot`` (N, K), 0 to 1.

    Of clips with one class: is it the highest. Of clips with several: label-ranking average
    precision, the mean over a clip's classes of the share of its own among those ranked as high;
    1 for a clip without any class.
    """
    if is_single:
        return np.asarray(onehot[np.arange(len(onehot)), logits.argmax(1)])
    # scikit-learn gives only the mean over clips; intervals and tests need each clip
    above = logits[:, None, :] >= logits[:, :, None]  # (N, class, others at least as high)
    precision = (above * onehot[:, None, :]).sum(2) / above.sum(2)
    counts = onehot.sum(1)
    return np.where(counts > 0, (precision * onehot).sum(1) / np.maximum(counts, 1), 1.0)


def calibration_error(scores: np.ndarray, onehot: np.ndarray, is_single: bool = True) -> float:
    """Return the expected calibration error of ``scores`` (N, K) in 15 equal bins of confidence.

    Of clips with one class, the confidence is that of the answer; else every score is one.
    """
    if is_single:
        best = (np.arange(len(onehot)), scores.argmax(1))
        confidence, right = scores[best], onehot[best]
    else:
        confidence, right = scores.ravel(), onehot.ravel()
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
    n = len(np.unique(cluster))
    if right.min() == right.max():  # what SciPy's binomtest gives; it takes 0.6 s to import
        limit = float(0.025 ** (1 / n))
        return (limit, 1.0) if right.all() else (0.0, 1.0 - limit)
    low, high = _interval(right, cluster, seed, (0.0, 1.0))
    return max(0.0, low), min(1.0, high)


def difference_interval(
    difference: np.ndarray, cluster: np.ndarray, seed: int
) -> tuple[float, float]:
    """Return the 95 % interval of the mean of paired differences (N,), each -1 to 1.

    As :func:`accuracy_interval`. Where no clip differs, nothing spreads, and the exact binomial
    limit on the share of clusters that could differ stands in, on both sides.
    """
    if not difference.any():
        limit = float(1 - 0.025 ** (1 / len(np.unique(cluster))))
        return -limit, limit
    low, high = _interval(difference, cluster, seed, (-1.0, 1.0))
    return max(-1.0, low), min(1.0, high)


def paired_p(difference: np.ndarray, cluster: np.ndarray, seed: int) -> float:
    """Return the two-sided p-value of paired differences (N,) whose mean should be zero.

    Fisher's randomisation test (1935, section 21): if nothing differs, each cluster's sum could
    as well have the other sign. All signs are tried for up to 14 clusters that differ, else 20,000
    drawn ones. For clips that each are a cluster it is McNemar's exact test (1947).
    """
    sums = np.bincount(np.unique(cluster, return_inverse=True)[1], weights=difference)
    sums = sums[np.abs(sums) > 1e-9]
    if not len(sums):
        return 1.0
    # scipy.stats.permutation_test gives the same and takes 3 to 9 times as long
    if len(sums) <= MOST_SIGNS:
        signs = np.array(list(itertools.product((1, -1), repeat=len(sums))))
        return float((np.abs(signs @ sums) >= abs(sums.sum()) - 1e-9).mean())
    signs = np.random.default_rng(seed).integers(0, 2, (DRAWN_SIGNS, len(sums))) * 2 - 1
    extreme = np.count_nonzero(np.abs(signs @ sums) >= abs(sums.sum()) - 1e-9)
    return float((extreme + 1) / (DRAWN_SIGNS + 1))


def _interval(
    values: np.ndarray, cluster: np.ndarray, seed: int, span: tuple[float, float]
) -> tuple[float, float]:
    """Return the 95 % interval of a mean, by bootstrap or Student's t; ``span`` for one cluster."""
    _, index = np.unique(cluster, return_inverse=True)
    hits, sizes = np.bincount(index, weights=values), np.bincount(index)
    n = len(sizes)
    if n >= FEW_CLUSTERS:  # scipy.stats.bootstrap gives the same in 2 to 10 times as long
        draws = np.random.default_rng(seed).integers(0, n, (BOOTSTRAPS, n))
        means = hits[draws].sum(1) / sizes[draws].sum(1)
        low, high = np.quantile(means, (0.025, 0.975))
        return float(low), float(high)
    if n == 1:
        return span  # one speaker says nothing of others
    from scipy.stats import t

    mean = hits.sum() / sizes.sum()
    residual = (hits - mean * sizes) / sizes.mean()  # ratio estimator: Cochran 1977, section 6.4
    half = t.ppf(0.975, n - 1) * np.sqrt((residual**2).sum() / (n * (n - 1)))
    return float(mean - half), float(mean + half)
