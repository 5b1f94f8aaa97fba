"""The headline figure (accuracy, balanced accuracy or macro F1), its interval and its tests."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from earmark.data.splits import number_of_parts
from earmark.training import metrics

UNEQUAL = 1.5  # classes are unequal if one is more than this many times as large as another
MOST_DEALT = 20  # up to this many blocks, all permutations of their labels may be tried
MOST_EXACT = 11  # up to this many clusters that differ, all exchanges are tried
DRAWS = 1_999  # random exchanges or permutations otherwise; the smallest p is then 1 / 2,000
CHUNK = 100  # draws at a time
SPARSE = 30  # a matrix is made sparse if it has this many times as many zeros as other values
MOST_BLOCKS = 20_000  # of more blocks, this many are drawn at random


def is_unequal(counts: np.ndarray) -> bool:
    """Return whether a class has over 1.5 times as many clips as another; ``counts`` is (K,)."""
    sizes = np.asarray(counts, np.float64)
    return bool(sizes.max() > UNEQUAL * sizes[sizes > 0].min(initial=np.inf))


def name_of(onehot: np.ndarray, is_single: bool) -> str:
    """Return the name of the headline figure.

    It is 'macro_f1' for clips with several classes, 'balanced_accuracy' if class sizes are
    unequal, and otherwise 'accuracy'.
    """
    if not is_single:
        return "macro_f1"
    return "balanced_accuracy" if is_unequal(onehot.sum(0)) else "accuracy"


def counts_of(chosen: np.ndarray, onehot: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Return, for each part and class, how many clips are predicted correctly, labelled, predicted.

    The result is (P, 3, K) float32. Predictions ``chosen`` and labels ``onehot`` are (N, K), and
    ``part`` (N,) numbers the parts from 0.
    """
    labelled, predicted = onehot > 0, chosen > 0
    cells = (labelled & predicted, labelled, predicted)
    counts = [_sums(cell, part) for cell in cells]
    return np.stack(counts, 1)


def _sums(cells: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Return (P, K) float32, how many of the ``cells`` (N, K) are true in each part (N,)."""
    shape = (int(part.max()) + 1, cells.shape[1])
    rows, classes = np.nonzero(cells)
    sums = np.bincount(part[rows] * shape[1] + classes, minlength=shape[0] * shape[1])
    return sums.astype(np.float32).reshape(shape)


def clusters_of_classes(onehot: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """Return the number of clusters (K,) in which each class occurs.

    ``onehot`` is (N, K), and ``cluster`` (N,) numbers the clusters from 0.
    """
    rows, classes = np.nonzero(onehot)
    return number_of_parts(classes, cluster[rows], onehot.shape[1])


def value(name: str, counts: np.ndarray) -> np.ndarray:
    """Return the figure ``name``, of shape (...), of summed counts (..., 3, K)."""
    hits, size, predicted = np.moveaxis(counts.astype(np.float64), -2, 0)
    if name == "accuracy":
        return np.asarray(hits.sum(-1) / np.maximum(size.sum(-1), 1))
    whole = size if name == "balanced_accuracy" else (size + predicted) / 2
    shares = np.divide(hits, whole, out=np.zeros_like(hits), where=whole > 0)
    return np.asarray(shares.sum(-1) / np.maximum((whole > 0).sum(-1), 1))


def chance(name: str, onehot: np.ndarray) -> float:
    """Return the figure of guessing: the best prediction that is the same for every clip.

    It is the largest class for the accuracy, any class for the balanced accuracy, and all classes
    for macro F1. If all clips are of one class, a guess among all K classes counts instead.
    """
    shares = (onehot > 0).mean(0)
    present = shares[shares > 0]
    if name == "macro_f1":
        return float((2 * present / (1 + present)).mean()) if len(present) else 0.0
    if len(present) == 1:
        return 1.0 / int(onehot.shape[1])
    return float(present.max() if name == "accuracy" else 1 / len(present))


def interval(
    name: str, chosen: np.ndarray, onehot: np.ndarray, cluster: np.ndarray, seed: int
) -> tuple[float, float]:
    """Return the 95 % interval of the figure of predictions (N, K), resampling clusters (N,).

    As :func:`metrics.accuracy_interval`: a percentile bootstrap, or Student's t on the jackknife
    (Efron and Stein 1981) with fewer than 20 clusters. If the figure is 0 or 1, it is the exact
    limit, as if each class had as many clusters as the smallest.
    """
    counts = counts_of(chosen, onehot, metrics.units(cluster, seed))
    n, total = len(counts), counts.sum(0)
    point = float(value(name, total))
    if point in (0.0, 1.0):
        sizes, most = clusters_of_classes(onehot, cluster), len(np.unique(cluster))
        least = sizes[sizes > 0]
        limit = float(0.025 ** (1 / max(1, min(most, len(least) * least.min(initial=most)))))
        return (limit, 1.0) if point else (0.0, 1 - limit)
    if n == 1:
        return 0.0, 1.0  # one speaker says nothing about others
    if n >= metrics.FEW_CLUSTERS:
        low, high = np.quantile(_resampled(name, counts, seed), (0.025, 0.975))
        return float(low), float(high)
    from scipy.stats import t

    left_out = value(name, total - counts)
    half = t.ppf(0.975, n - 1) * np.sqrt((n - 1) / n * np.square(left_out - left_out.mean()).sum())
    return max(0.0, point - float(half)), min(1.0, point + float(half))


def _resampled(name: str, counts: np.ndarray, seed: int) -> np.ndarray:
    """Return the figure (2,000,) of bootstrap samples of the parts of ``counts`` (P, 3, K)."""
    rng, n, flat = np.random.default_rng(seed), len(counts), _flat(counts)
    values = np.empty(metrics.BOOTSTRAPS)
    for start in range(0, len(values), CHUNK):
        samples = [np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(CHUNK)]
        sums = np.ascontiguousarray(np.array(samples, np.float32) @ flat)
        values[start : start + CHUNK] = value(name, sums.reshape(-1, *counts.shape[1:]))
    return values


def _flat(counts: np.ndarray) -> Any:
    """Return ``counts`` as (P, 3 K); sparse if it has so many zeros that it multiplies faster."""
    flat = counts.reshape(len(counts), -1)
    if np.count_nonzero(flat) * SPARSE > flat.size:
        return flat
    from scipy.sparse import csr_array

    return csr_array(flat)


def figures(
    name: str, chosen: np.ndarray, onehot: np.ndarray, cluster: np.ndarray, seed: int
) -> dict[str, Any]:
    """Return name, value, interval and chance of the figure of predictions ``chosen`` (N, K)."""
    if name == "accuracy":
        right = ((chosen > 0) & (onehot > 0)).sum(1)
        ends = metrics.accuracy_interval(right, cluster, seed)
    else:
        ends = interval(name, chosen, onehot, cluster, seed)
    return {
        "name": name,
        "value": float(value(name, metrics.counts(onehot, chosen))),
        "ci95": list(ends),
        "chance": chance(name, onehot),
    }


def permutation_p(
    name: str, chosen: np.ndarray, onehot: np.ndarray, cluster: np.ndarray, seed: int
) -> float:
    """Return how often shuffled labels fit the predictions (N, K) as well: a one-sided p-value.

    A permutation test (Fisher 1935; Good 2005, chapter 3). It shuffles the labels of blocks, which
    are the clips of one cluster with the same label, so that clips that are not independent count
    once. If there are fewer than 2,000 permutations, all are tried. Of more than 20,000 blocks,
    20,000 random ones are tested.
    """
    kind = _kinds(onehot)
    place = np.unique(cluster, return_inverse=True)[1] * (int(kind.max()) + 1) + kind
    _, first, block = np.unique(place, return_index=True, return_inverse=True)
    rng = np.random.default_rng(seed)
    if len(first) > MOST_BLOCKS:
        few = np.sort(rng.choice(len(first), MOST_BLOCKS, replace=False))
        inside = np.isin(block, few)
        dealt, labels, block = (
            kind[first[few]],
            onehot[first[few]],
            np.searchsorted(few, block[inside]),
        )
        chosen = chosen[inside]
    else:
        dealt, labels = kind[first], onehot[first]
    answers, sizes = _sums(chosen > 0, block), np.bincount(block)
    rows, classes = np.nonzero(labels)
    predicted, width = answers.sum(0), onehot.shape[1]

    def figure(order: np.ndarray) -> float:
        hits = np.bincount(classes, answers[order[rows], classes], width)
        size = np.bincount(classes, sizes[order[rows]], width)
        return float(value(name, np.stack([hits, size, predicted])))

    observed = figure(np.arange(len(dealt))) - 1e-9
    counts = np.bincount(dealt).tolist()
    if len(dealt) <= MOST_DEALT and _ways(counts) <= DRAWS:
        order, extreme = np.zeros(len(dealt), np.int64), 0
        for blocks in _deals(counts, range(len(dealt))):
            order[np.argsort(dealt, kind="stable")] = blocks
            extreme += figure(order) >= observed
        return extreme / _ways(counts)
    extreme = sum(figure(rng.permutation(len(dealt))) >= observed for _ in range(DRAWS))
    return (extreme + 1) / (DRAWS + 1)


def _kinds(onehot: np.ndarray) -> np.ndarray:
    """Return a number (N,) for each clip; clips with the same classes (N, K) have the same one."""
    packed = np.packbits(onehot > 0, axis=1)
    rows = packed.view(f"S{packed.shape[1]}").ravel()
    return np.asarray(np.unique(rows, return_inverse=True)[1])


def _ways(counts: Sequence[int]) -> int:
    """Return the number of distinct permutations of labels, given the ``counts`` of each kind."""
    return math.factorial(sum(counts)) // math.prod(map(math.factorial, counts))


def _deals(counts: Sequence[int], places: Sequence[int]) -> Iterator[list[int]]:
    """Yield each distinct permutation of labels as the places of all labels, kind after kind."""
    if not counts:
        yield []
        return
    for chosen in itertools.combinations(places, counts[0]):
        left = [place for place in places if place not in chosen]
        for others in _deals(counts[1:], left):
            yield [*chosen, *others]


def exchange_p(name: str, ours: np.ndarray, theirs: np.ndarray, seed: int) -> float:
    """Return the one-sided p-value of ``ours`` having a higher figure than ``theirs``.

    Both are counts (P, 3, K) of the same units. If neither model is better, their predictions for
    a unit could as well be exchanged. For accuracy this is the sign-flip test of
    :func:`metrics.paired_p`. For up to 11 units that differ, all exchanges are tried.
    """
    total, delta = ours.sum(0) + theirs.sum(0), ours - theirs
    delta = delta[np.abs(delta).sum((1, 2)) > 0]
    if not len(delta):
        return 1.0

    flat = _flat(delta)

    def gains(signs: np.ndarray) -> np.ndarray:
        swing = np.ascontiguousarray(signs @ flat).reshape(-1, *delta.shape[1:])
        better, worse = value(name, (total + swing) / 2), value(name, (total - swing) / 2)
        return np.asarray(better - worse)

    observed = gains(np.ones((1, len(delta)), np.float32))[0] - 1e-9
    if len(delta) <= MOST_EXACT:
        signs = np.array(list(itertools.product((1, -1), repeat=len(delta))), np.float32)
        return float((gains(signs) >= observed).mean())
    extreme = sum(int((gains(signs) >= observed).sum()) for signs in _signs(len(delta), seed))
    return (extreme + 1) / (DRAWS + 1)


def _signs(n: int, seed: int) -> Iterator[np.ndarray]:
    """Yield DRAWS rows of n random signs, in blocks."""
    rng = np.random.default_rng(seed)
    for start in range(0, DRAWS, CHUNK):
        rows = min(CHUNK, DRAWS - start)
        yield rng.integers(0, 2, (rows, n)).astype(np.float32) * 2 - 1
