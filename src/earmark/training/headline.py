"""The one figure that answers are judged by: accuracy, balanced accuracy or macro F1; its tests."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from earmark.training import metrics

UNEQUAL = 1.5  # a class this much larger than another makes classes unequal
MOST_DEALT = 20  # blocks whose labels may be few enough to deal them out in all ways
MOST_EXACT = 11  # clusters that differ, of which all exchanges are tried
DRAWS = 1_999  # of exchanges and permutations beyond; the smallest p is then 1 / 2,000
CHUNK = 100  # draws at a time


def is_unequal(counts: np.ndarray) -> bool:
    """Say whether a class, with ``counts`` (K,) of clips, is 1.5 times as large as another."""
    return bool(counts.max() > UNEQUAL * counts[counts > 0].min(initial=np.inf))


def name_of(onehot: np.ndarray, is_single: bool) -> str:
    """Return which figure clips are judged by.

    Of clips with several classes 'macro_f1'; of unequal classes 'balanced_accuracy'; else
    'accuracy'.
    """
    if not is_single:
        return "macro_f1"
    return "balanced_accuracy" if is_unequal(onehot.sum(0)) else "accuracy"


def counts_of(chosen: np.ndarray, onehot: np.ndarray) -> np.ndarray:
    """Return (N, 3, K) float32 of answers (N, K): found, of the class, and answered so."""
    return np.stack([chosen * onehot, onehot, chosen], 1).astype(np.float32)


def by_cluster(counts: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """Return the sums (C, 3, K) of ``counts`` (N, 3, K) over the clips of each cluster."""
    index = np.unique(cluster, return_inverse=True)[1]
    order = np.argsort(index, kind="stable")
    starts = np.searchsorted(index[order], np.arange(int(index.max()) + 1))
    return np.asarray(np.add.reduceat(counts[order], starts, axis=0))


def value(name: str, counts: np.ndarray) -> np.ndarray:
    """Return the figure (...) of summed counts (..., 3, K)."""
    found, size, answered = np.moveaxis(counts.astype(np.float64), -2, 0)
    if name == "accuracy":
        return np.asarray(found.sum(-1) / np.maximum(size.sum(-1), 1))
    whole = size if name == "balanced_accuracy" else (size + answered) / 2
    shares = np.divide(found, whole, out=np.zeros_like(found), where=whole > 0)
    return np.asarray(shares.sum(-1) / np.maximum((whole > 0).sum(-1), 1))


def chance(name: str, onehot: np.ndarray) -> float:
    """Return the figure of the best answer that is the same for every clip.

    Always the largest class, always any class, or always all classes. Where all clips are of one
    class, that class was no guess: then it is one in all K classes.
    """
    shares = onehot.mean(0)
    present = shares[shares > 0]
    if name == "macro_f1":
        return float((2 * present / (1 + present)).mean()) if len(present) else 0.0
    if len(present) == 1:
        return 1.0 / int(onehot.shape[1])
    return float(present.max() if name == "accuracy" else 1 / len(present))


def interval(name: str, counts: np.ndarray, seed: int) -> tuple[float, float]:
    """Return the 95 % interval of the figure of ``counts`` (C, 3, K), resampling clusters.

    As :func:`metrics.accuracy_interval`: a percentile bootstrap, or Student's t on the jackknife
    (Efron and Stein 1981) with fewer than 20 clusters. Where all is right, or all wrong, it is the
    exact limit as if each class had as many clusters as the smallest.
    """
    n, total = len(counts), counts.sum(0)
    point = float(value(name, total))
    if point in (0.0, 1.0):
        sizes = (counts[:, 1] > 0).sum(0)
        least = sizes[sizes > 0]
        limit = float(0.025 ** (1 / max(1, min(n, len(least) * least.min(initial=n)))))
        return (limit, 1.0) if point else (0.0, 1 - limit)
    if n == 1:
        return 0.0, 1.0  # one speaker says nothing of others
    if n >= metrics.FEW_CLUSTERS:
        rng, flat = np.random.default_rng(seed), counts.reshape(n, -1)
        draws = (
            np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float32) @ flat
            for _ in range(metrics.BOOTSTRAPS)
        )
        values = value(name, np.stack(list(draws)).reshape(-1, *counts.shape[1:]))
        low, high = np.quantile(values, (0.025, 0.975))
        return float(low), float(high)
    from scipy.stats import t

    left_out = value(name, total - counts)
    half = t.ppf(0.975, n - 1) * np.sqrt((n - 1) / n * np.square(left_out - left_out.mean()).sum())
    return max(0.0, point - float(half)), min(1.0, point + float(half))


def figures(
    name: str, chosen: np.ndarray, onehot: np.ndarray, cluster: np.ndarray, seed: int
) -> dict[str, Any]:
    """Return name, value, interval and chance of the figure of answers (N, K)."""
    counts = by_cluster(counts_of(chosen, onehot), cluster)
    if name == "accuracy":
        ends = metrics.accuracy_interval((chosen * onehot).sum(1), cluster, seed)
    else:
        ends = interval(name, counts, seed)
    return {
        "name": name,
        "value": float(value(name, counts.sum(0))),
        "ci95": list(ends),
        "chance": chance(name, onehot),
    }


def permutation_p(
    name: str, chosen: np.ndarray, onehot: np.ndarray, cluster: np.ndarray, seed: int
) -> float:
    """Return how often labels dealt out anew fit the answers (N, K) as well: a one-sided p-value.

    What is dealt out are the labels of blocks, the clips of one cluster with the same label, so
    that clips that are not independent count once (Fisher 1935; Good 2005, chapter 3). All ways to
    deal are tried where there are fewer than 2,000.
    """
    kinds, kind = np.unique(onehot, axis=0, return_inverse=True)
    _, first, block = np.unique(
        np.stack([np.unique(cluster, return_inverse=True)[1], kind.ravel()], 1),
        axis=0,
        return_index=True,
        return_inverse=True,
    )
    dealt = kind.ravel()[first]
    answers = by_cluster(counts_of(chosen, onehot), block.ravel())[:, 2]
    sizes = np.bincount(block.ravel())
    rows, classes = np.nonzero(kinds[dealt])
    answered, width = answers.sum(0), onehot.shape[1]

    def figure(order: np.ndarray) -> float:
        found = np.bincount(classes, answers[order[rows], classes], width)
        size = np.bincount(classes, sizes[order[rows]], width)
        return float(value(name, np.stack([found, size, answered])))

    rng, observed = np.random.default_rng(seed), figure(np.arange(len(first))) - 1e-9
    counts = np.bincount(dealt).tolist()
    if len(first) <= MOST_DEALT and _ways(counts) <= DRAWS:
        order, extreme = np.zeros(len(first), np.int64), 0
        for blocks in _deals(counts, range(len(first))):
            order[np.argsort(dealt, kind="stable")] = blocks
            extreme += figure(order) >= observed
        return extreme / _ways(counts)
    extreme = sum(figure(rng.permutation(len(first))) >= observed for _ in range(DRAWS))
    return (extreme + 1) / (DRAWS + 1)


def _ways(counts: Sequence[int]) -> int:
    """Return in how many ways so many labels of each kind can be dealt out."""
    return math.factorial(sum(counts)) // math.prod(map(math.factorial, counts))


def _deals(counts: Sequence[int], places: Sequence[int]) -> Iterator[list[int]]:
    """Yield the places of all labels, kind after kind, for each way to deal them out."""
    if not counts:
        yield []
        return
    for chosen in itertools.combinations(places, counts[0]):
        left = [place for place in places if place not in chosen]
        for others in _deals(counts[1:], left):
            yield [*chosen, *others]


def exchange_p(name: str, ours: np.ndarray, theirs: np.ndarray, seed: int) -> float:
    """Return a one-sided p-value of the figure of ``ours`` being above that of ``theirs``.

    Both are counts (C, 3, K) of the same clusters. If neither is better, the answers to a cluster
    could as well be exchanged; for accuracy that is the sign-flip test of
    :func:`metrics.paired_p`. All exchanges are tried for up to 11 clusters that differ.
    """
    total, delta = ours.sum(0) + theirs.sum(0), ours - theirs
    delta = delta[np.abs(delta).sum((1, 2)) > 0]
    if not len(delta):
        return 1.0

    def gains(signs: np.ndarray) -> np.ndarray:
        swing = (signs @ delta.reshape(len(delta), -1)).reshape(-1, *delta.shape[1:])
        better, worse = value(name, (total + swing) / 2), value(name, (total - swing) / 2)
        return np.asarray(better - worse)

    observed = gains(np.ones((1, len(delta)), np.float32))[0] - 1e-9
    if len(delta) <= MOST_EXACT:
        signs = np.array(list(itertools.product((1, -1), repeat=len(delta))), np.float32)
        return float((gains(signs) >= observed).mean())
    extreme = sum(int((gains(signs) >= observed).sum()) for signs in _signs(len(delta), seed))
    return (extreme + 1) / (DRAWS + 1)


def _signs(n: int, seed: int) -> Iterator[np.ndarray]:
    """Yield DRAWS rows of n random signs, some at a time."""
    rng = np.random.default_rng(seed)
    for start in range(0, DRAWS, CHUNK):
        rows = min(CHUNK, DRAWS - start)
        yield rng.integers(0, 2, (rows, n)).astype(np.float32) * 2 - 1
