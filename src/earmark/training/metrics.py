"""How good a set of out-of-fold answers is: accuracy with its interval, macro F1, ECE."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

BOOTSTRAPS = 2_000
FEW_CLUSTERS = 20  # below this the bootstrap is too narrow, and Student's t is used
MOST_CLUSTERS = 10_000  # of more, random sets are resampled: their spread is known to 0.7 %
MOST_SIGNS, DRAWN_SIGNS = 14, 20_000  # of clusters, in a paired test
ECE_BINS = 15  # Guo et al. 2017, section 2
ECE_CELLS = 64  # of a bin: scores in one differ by 0.001 and are drawn as if they were equal
ECE_DRAWS = 1_000  # of what is right; their mean is known to 3 % of the spread of one
CELLS = 2**22  # numbers of a matrix that are in memory at a time


def macro_f1(onehot: np.ndarray, chosen: np.ndarray) -> float:
    """Return the mean F1 over the classes in ``onehot`` (N, K) or ``chosen`` (N, K)."""
    found, size, answered = counts(onehot, chosen)
    return _mean(_share(2 * found, size + answered))


def balanced_accuracy(onehot: np.ndarray, chosen: np.ndarray) -> float:
    """Return the mean recall over the classes that occur in ``onehot`` (N, K)."""
    found, size, _ = counts(onehot, chosen)
    return _mean(_share(found, size))


def per_class(
    onehot: np.ndarray, chosen: np.ndarray, labels: Sequence[str]
) -> list[dict[str, Any]]:
    """Return clips, recall, precision and F1 of each class; None where nothing can be said."""
    found, size, answered = counts(onehot, chosen)
    shares = (_share(found, size), _share(found, answered), _share(2 * found, size + answered))
    columns = [[None if np.isnan(x) else x for x in share.tolist()] for share in shares]
    return [
        {"label": label, "n": n, "recall": recall, "precision": precision, "f1": f1}
        for label, n, recall, precision, f1 in zip(labels, size.tolist(), *columns, strict=True)
    ]


def counts(onehot: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return (3, K) counts of answers (N, K): found, of the class, and answered so."""
    has, given = onehot > 0, chosen > 0
    return np.stack([(has & given).sum(0), has.sum(0), given.sum(0)])


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return ``part`` / ``whole`` (K,), NaN where there is nothing."""
    return np.asarray(np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0))


def _mean(shares: np.ndarray) -> float:
    """Return the mean of those that are there; NaN where none is."""
    present = shares[~np.isnan(shares)]
    return float(present.mean()) if len(present) else float("nan")


def mean_average_precision(scores: np.ndarray, onehot: np.ndarray) -> float:
    """Return mAP: the mean over the classes that occur of the average precision over clips."""
    from sklearn.metrics import average_precision_score

    present = np.flatnonzero((onehot > 0).any(0))
    return float(np.mean([average_precision_score(onehot[:, k], scores[:, k]) for k in present]))


def chance(onehot: np.ndarray, is_single: bool) -> float:
    """Return the quality of always giving the same answer: the classes by how common they are."""
    sizes = np.broadcast_to((onehot > 0).sum(0), onehot.shape)
    return float(quality(sizes, onehot, is_single).mean())


def quality(logits: np.ndarray, onehot: np.ndarray, is_single: bool) -> np.ndarray:
    """Return how well ``logits`` (N, K) answer each clip (N,) of ``onehot`` (N, K), 0 to 1.

    Of clips with one class: is it the highest. Of clips with several: label-ranking average
    precision, the mean over a clip's classes of the share of its own among those ranked as high;
    1 for a clip without any class.
    """
    if is_single:
        return np.asarray(onehot[np.arange(len(onehot)), logits.argmax(1)], np.float64)
    # scikit-learn gives only the mean over clips; intervals and tests need each clip
    values = np.ones(len(onehot))
    for rows in blocks(len(onehot), onehot.shape[1] * int((onehot > 0).sum(1).max(initial=1))):
        values[rows] = _ranking(logits[rows], onehot[rows] > 0)
    return values


def _ranking(logits: np.ndarray, has: np.ndarray) -> np.ndarray:
    """Return the label-ranking average precision (N,) of some clips; ``has`` (N, K) is bool."""
    rows, columns = np.nonzero(has)
    above = (
        logits[rows] >= logits[rows, columns][:, None]
    )  # (classes of clips, K): at least as high
    precision = np.zeros(has.shape)
    precision[rows, columns] = (above & has[rows]).sum(1) / above.sum(1)
    count = has.sum(1)
    return np.where(count > 0, precision.sum(1) / np.maximum(count, 1), 1.0)


def blocks(n: int, width: int) -> Iterator[slice]:
    """Yield slices of ``n`` rows of ``width`` numbers, of CELLS numbers at most or one row."""
    size = max(1, CELLS // max(1, width))
    for first in range(0, n, size):
        yield slice(first, min(first + size, n))


def calibration_error(scores: np.ndarray, onehot: np.ndarray, is_single: bool = True) -> float:
    """Return the expected calibration error of ``scores`` (N, K) in 15 equal bins of confidence.

    Of clips with one class, the confidence is that of the answer; else every score is one.
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
    """Return the mean :func:`calibration_error` of exactly right scores, and the debiased error.

    Of few clips, scores that are exactly right show an error too. The first figure is its mean
    over 1,000 draws of what is right from the ``scores`` (N, K) themselves, each score of clips
    with several classes by itself. The second is the error that, together with such draws, shows
    on average what these clips show: each bin's gap is shrunk by the same factor until that holds
    (0 where exactly right scores show as much). Kumar, Liang and Ma 2019 (Verified uncertainty
    calibration; the code of it) subtract the bias that a bootstrap has around the gaps as they are
    seen, and more than half of it stays. Here it is around gaps that are debiased themselves
    (MacKinnon and Smith 1998, Approximate bias correction in econometrics).
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
    """Return (3, 960): how many confidences lie in each cell of a bin, their sum, the right."""
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
    """Yield some confidences and whether each is right, 0 or 1."""
    for rows in blocks(*scores.shape):
        confidence, right = scores[rows], onehot[rows]
        if is_single:
            best = (np.arange(len(right)), confidence.argmax(1))
            confidence, right = confidence[best], right[best]
        yield confidence.ravel(), right.ravel().astype(np.float64)


def units(cluster: np.ndarray, seed: int) -> np.ndarray:
    """Number (N,) the units that are resampled: the clusters, or 10,000 random sets of more.

    Sets are as independent as the clusters in them, and a sum over clusters is one over sets: it
    spreads as much where sets are resampled, and a test that exchanges sets is exact as well.
    """
    index = np.unique(cluster, return_inverse=True)[1]
    count = int(index.max()) + 1
    if count <= MOST_CLUSTERS:
        return np.asarray(index)
    return np.asarray(np.random.default_rng(seed).permutation(count)[index] % MOST_CLUSTERS)


def accuracy_interval(right: np.ndarray, cluster: np.ndarray, seed: int) -> tuple[float, float]:
    """Return the 95 % interval of the mean of ``right`` (N,), resampling whole clusters.

    Clips of one ``cluster`` (N,) (a speaker, a recording) are not independent. With 20 clusters or
    more it is a percentile bootstrap over them (of more than 10,000, over random sets of them:
    :func:`units`), with fewer Student's t over the clusters' shares. Where all is right, or all
    wrong, nothing spreads, and the exact binomial limit over clusters stands in (Clopper and
    Pearson 1934): 9 of 9 are no proof of more than 0.66.
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
        return span  # one speaker says nothing of others
    from scipy.stats import t

    mean = hits.sum() / sizes.sum()
    residual = (hits - mean * sizes) / sizes.mean()  # ratio estimator: Cochran 1977, section 6.4
    half = t.ppf(0.975, n - 1) * np.sqrt((residual**2).sum() / (n * (n - 1)))
    return float(mean - half), float(mean + half)
