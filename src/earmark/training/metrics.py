"""Figures of predictions: accuracy and its interval, macro F1, calibration error, paired tests."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

BOOTSTRAPS = 2_000
FEW_CLUSTERS = 20  # with fewer, the bootstrap is too narrow and Student's t is used
MOST_CLUSTERS = 10_000  # of more, random sets are resampled; their spread is exact to 0.7 %
MOST_SIGNS, DRAWN_SIGNS = 14, 20_000  # a paired test tries all signs of 14 clusters, or draws
ECE_BINS = 15  # Guo et al. 2017, section 2
ECE_CELLS = 64  # in each bin; scores of one cell differ by 0.001 and are treated as equal
ECE_DRAWS = 1_000  # simulated outcomes; the error of their mean is 3 % of the spread of one
CELLS = 2**22  # numbers of a matrix that are in memory at a time


def macro_f1(onehot: np.ndarray, chosen: np.ndarray) -> float:
    """Return the mean F1 over the classes in ``onehot`` (N, K) or ``chosen`` (N, K)."""
    hits, size, predicted = counts(onehot, chosen)
    return _mean(_share(2 * hits, size + predicted))


def balanced_accuracy(onehot: np.ndarray, chosen: np.ndarray) -> float:
    """Return the mean recall over the classes that occur in ``onehot`` (N, K)."""
    hits, size, _ = counts(onehot, chosen)
    return _mean(_share(hits, size))


def per_class(
    onehot: np.ndarray, chosen: np.ndarray, labels: Sequence[str]
) -> list[dict[str, Any]]:
    """Return clips, recall, precision and F1 of each class; None where a figure is undefined."""
    hits, size, predicted = counts(onehot, chosen)
    shares = (_share(hits, size), _share(hits, predicted), _share(2 * hits, size + predicted))
    columns = [[None if np.isnan(x) else x for x in share.tolist()] for share in shares]
    return [
        {"label": label, "n": n, "recall": recall, "precision": precision, "f1": f1}
        for label, n, recall, precision, f1 in zip(labels, size.tolist(), *columns, strict=True)
    ]


def counts(onehot: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return (3, K) counts of clips of each class: predicted correctly, labelled, and predicted."""
    labelled, predicted = onehot > 0, chosen > 0
    hits = labelled & predicted
    return np.stack([hits.sum(0), labelled.sum(0), predicted.sum(0)])


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return ``part`` / ``whole`` (K,); NaN where ``whole`` is 0."""
    return np.asarray(np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0))


def _mean(shares: np.ndarray) -> float:
    """Return the mean of the shares that are not NaN; NaN if all are."""
    present = shares[~np.isnan(shares)]
    return float(present.mean()) if len(present) else float("nan")


def mean_average_precision(scores: np.ndarray, onehot: np.ndarray) -> float:
    """Return mAP: the mean over the classes that occur of the average precision over clips."""
    from sklearn.metrics import average_precision_score

    present = np.flatnonzero((onehot > 0).any(0))
    return float(np.mean([average_precision_score(onehot[:, k], scores[:, k]) for k in present]))


def chance(onehot: np.ndarray, is_single: bool) -> float:
    """Return the quality of always ranking the classes by how common they are."""
    sizes = np.broadcast_to((onehot > 0).sum(0), onehot.shape)
    return float(quality(sizes, onehot, is_single).mean())


def quality(logits: np.ndarray, onehot: np.ndarray, is_single: bool) -> np.ndarray:
    """Return how well ``logits`` (N, K) classify each clip (N,) of ``onehot`` (N, K), 0 to 1.

    For clips with one class: 1 if its logit is the highest, else 0. For clips with several:
    label-ranking average precision, which is the mean, over the classes of a clip, of the share of
    its own classes among those ranked at least as high. It is 1 for a clip without any class.
    """
    if is_single:
        return np.asarray(onehot[np.arange(len(onehot)), logits.argmax(1)], np.float64)
    # scikit-learn returns only the mean over clips; intervals and tests need each clip
    values = np.ones(len(onehot))
    for rows in blocks(len(onehot), onehot.shape[1] * int((onehot > 0).sum(1).max(initial=1))):
        values[rows] = _ranking(logits[rows], onehot[rows] > 0)
    return values


def _ranking(logits: np.ndarray, has: np.ndarray) -> np.ndarray:
    """Return the label-ranking average precision (N,) of some clips; ``has`` (N, K) is bool."""
    rows, columns = np.nonzero(has)
    # (classes of clips, K): which classes are ranked at least as high
    above = logits[rows] >= logits[rows, columns][:, None]
    precision = np.zeros(has.shape)
    precision[rows, columns] = (above & has[rows]).sum(1) / above.sum(1)
    count = has.sum(1)
    return np.where(count > 0, precision.sum(1) / np.maximum(count, 1), 1.0)


def blocks(n: int, width: int) -> Iterator[slice]:
    """Yield slices of ``n`` rows of ``width`` numbers, of at most CELLS numbers or one row each."""
    size = max(1, CELLS // max(1, width))
    for first in range(0, n, size):
        yield slice(first, min(first + size, n))


def calibration_error(scores: np.ndarray, onehot: np.ndarray, is_single: bool = True) -> float:
    """Return the expected calibration error of ``scores`` (N, K) in 15 equal bins of confidence.

    For clips with one class, the confidence is the score of the predicted class. For clips with
    several, every score is a confidence.
    """
    gap, count = np.zeros(ECE_BINS), 0
    for confidence, right in _confidences(scores, onehot, is_single):
        bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
        gap += np.bincount(bins, weights=confidence - right, minlength=ECE_BINS)
        count += len(right)
    return float(np.abs(gap).sum() / count)


def debiased_calibration(
    scores: np.ndarray, onehot: np.ndarray, is_single: bool = True, seed: int = 0
) -> tuple[float, float]:
    """Return the calibration error that perfect scores would show, and the debiased error.

    On few clips, perfectly calibrated scores show an error, too. The first figure is its mean over
    1,000 simulations, which draw whether each prediction is correct with the probability that the
    ``scores`` (N, K) give. The second figure corrects the observed error for this bias. The gaps of
    all bins are shrunk by one factor until simulations with the shrunk gaps show the observed error
    on average. It is 0 if perfectly calibrated scores show as much.

    The code of Kumar, Liang and Ma 2019 (Verified uncertainty calibration) instead subtracts the
    bias of a bootstrap around the observed gaps, which leaves more than half of the bias. Here the
    bias is taken around debiased gaps (MacKinnon and Smith 1998, Approximate bias correction in
    econometrics).
    """
    count, total, right = _cells(scores, onehot, is_single)
    filled = np.flatnonzero(count)
    first = np.flatnonzero(np.diff(filled // ECE_CELLS, prepend=-1))  # filled cell of each bin
    count, total, right = count[filled], total[filled], right[filled]
    n, rates = count.sum(), np.minimum(total / count, 1)
    draws = np.random.default_rng(seed).binomial(
        count.astype(np.int64), rates, (ECE_DRAWS, len(filled))
    )
    noise = np.add.reduceat(total - draws, first, axis=1) / n
    gaps = np.add.reduceat(total - right, first) / n

    def shown(share: float) -> float:
        return float(np.abs(share * gaps + noise).sum(1).mean())

    error, expected = float(np.abs(gaps).sum()), shown(0)
    if error <= expected:
        return expected, 0.0
    low, high = 0.0, 1.0
    for _ in range(30):  # shown() is convex and below the error at 0: it crosses it once
        share = (low + high) / 2
        low, high = (share, high) if shown(share) < error else (low, share)
    return expected, low * error


def _cells(scores: np.ndarray, onehot: np.ndarray, is_single: bool) -> np.ndarray:
    """Return (3, 960): the number of confidences in each cell, their sum, and how many are correct.

    Each of the 15 bins has 64 cells.
    """
    size = ECE_BINS * ECE_CELLS
    cells = np.zeros((3, size))
    for confidence, right in _confidences(scores, onehot, is_single):
        index = np.minimum((confidence * size).astype(int), size - 1)
        for row, weights in zip(cells, (None, confidence, right), strict=True):
            row += np.bincount(index, weights, size)
    return cells


def _confidences(
    scores: np.ndarray, onehot: np.ndarray, is_single: bool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield confidences and whether each is correct, 0 or 1, in blocks."""
    for rows in blocks(*scores.shape):
        confidence, right = scores[rows], onehot[rows]
        if is_single:
            best = (np.arange(len(right)), confidence.argmax(1))
            confidence, right = confidence[best], right[best]
        yield confidence.ravel(), right.ravel().astype(np.float64)


def units(cluster: np.ndarray, seed: int) -> np.ndarray:
    """Return the resampling unit (N,) of each clip: its cluster, or a set of clusters.

    More than 10,000 clusters are parted at random into 10,000 sets. Sets are as independent as
    their clusters, so the spread of a sum stays the same, and tests that exchange sets stay exact.
    """
    index = np.unique(cluster, return_inverse=True)[1]
    count = int(index.max()) + 1
    if count <= MOST_CLUSTERS:
        return np.asarray(index)
    return np.asarray(np.random.default_rng(seed).permutation(count)[index] % MOST_CLUSTERS)


def accuracy_interval(right: np.ndarray, cluster: np.ndarray, seed: int) -> tuple[float, float]:
    """Return the 95 % interval of the mean of ``right`` (N,), resampling whole clusters.

    Clips of one ``cluster`` (N,), such as a speaker or a recording, are not independent. With 20
    clusters or more the interval is a percentile bootstrap over :func:`units`, with fewer it is
    Student's t over the shares of the clusters. If all or none are right, it is the exact binomial
    limit over clusters (Clopper and Pearson 1934): 9 of 9 prove no more than 0.66.
    """
    n = len(np.unique(cluster))
    if right.min() == right.max():  # as SciPy's binomtest, which takes 0.6 s to import
        limit = float(0.025 ** (1 / n))
        return (limit, 1.0) if right.all() else (0.0, 1.0 - limit)
    low, high = _interval(right, cluster, seed, (0.0, 1.0))
    return max(0.0, low), min(1.0, high)


def difference_interval(
    difference: np.ndarray, cluster: np.ndarray, seed: int
) -> tuple[float, float]:
    """Return the 95 % interval of the mean of paired differences (N,), each -1 to 1.

    As :func:`accuracy_interval`. If no clip differs, the interval is, on both sides, the exact
    binomial limit on the share of clusters that could differ.
    """
    if not difference.any():
        limit = float(1 - 0.025 ** (1 / len(np.unique(cluster))))
        return -limit, limit
    low, high = _interval(difference, cluster, seed, (-1.0, 1.0))
    return max(-1.0, low), min(1.0, high)


def paired_p(difference: np.ndarray, cluster: np.ndarray, seed: int) -> float:
    """Return the two-sided p-value of paired differences (N,) whose mean should be zero.

    Fisher's randomisation test (1935, section 21): if there is no difference, the sum of each
    cluster could as well have the other sign. For up to 14 clusters that differ, all combinations
    of signs are tried; for more, 20,000 random ones. If every clip is its own cluster, it is
    McNemar's exact test (1947).
    """
    sums = np.bincount(units(cluster, seed), weights=difference)
    sums = sums[np.abs(sums) > 1e-9]
    if not len(sums):
        return 1.0
    # scipy.stats.permutation_test gives the same and takes 3 to 9 times as long
    if len(sums) <= MOST_SIGNS:
        signs = np.array(list(itertools.product((1, -1), repeat=len(sums))))
        return float((np.abs(signs @ sums) >= abs(sums.sum()) - 1e-9).mean())
    rng, extreme = np.random.default_rng(seed), 0
    for rows in blocks(DRAWN_SIGNS, len(sums)):
        signs = rng.integers(0, 2, (rows.stop - rows.start, len(sums))) * 2 - 1
        extreme += int((np.abs(signs @ sums) >= abs(sums.sum()) - 1e-9).sum())
    return float((extreme + 1) / (DRAWN_SIGNS + 1))


def _interval(
    values: np.ndarray, cluster: np.ndarray, seed: int, span: tuple[float, float]
) -> tuple[float, float]:
    """Return the 95 % interval of a mean, by bootstrap or Student's t; ``span`` for one cluster."""
    index = units(cluster, seed)
    hits, sizes = np.bincount(index, weights=values), np.bincount(index)
    n = len(sizes)
    if n >= FEW_CLUSTERS:  # scipy.stats.bootstrap gives the same in 2 to 10 times as long
        rng, means = np.random.default_rng(seed), np.zeros(BOOTSTRAPS)
        for rows in blocks(BOOTSTRAPS, n):
            draws = rng.integers(0, n, (rows.stop - rows.start, n))
            means[rows] = hits[draws].sum(1) / sizes[draws].sum(1)
        low, high = np.quantile(means, (0.025, 0.975))
        return float(low), float(high)
    if n == 1:
        return span  # one speaker says nothing about others
    from scipy.stats import t

    mean = hits.sum() / sizes.sum()
    residual = (hits - mean * sizes) / sizes.mean()  # ratio estimator: Cochran 1977, section 6.4
    half = t.ppf(0.975, n - 1) * np.sqrt((residual**2).sum() / (n * (n - 1)))
    return float(mean - half), float(mean + half)
