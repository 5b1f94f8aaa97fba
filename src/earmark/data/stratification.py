"""Make stratified folds of clips, or of whole clusters of clips.

The folds equal those of scikit-learn, whose import takes longer than that of PyTorch. Clips are
distributed as in ``StratifiedKFold``. Clusters are distributed as in ``StratifiedGroupKFold``:
those whose clips are mostly of one class come first, and each goes to the fold that makes the
shares of the classes most even. There, the time grows with clusters times folds times classes;
here, only what a cluster changes is computed again, with the same result to the last bit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

MANY = 20_000  # with more clusters, those with equal counts of each class are dealt out evenly
BLOCK = 2**20  # numbers of the table of clusters and classes that are in memory at a time


def folds_of_clips(truth: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Return the fold (N,) of clips whose classes are ``truth`` (N,), each distributed alone.

    There may be fewer clips of no class than folds.
    """
    _, first, kind = np.unique(truth, return_index=True, return_inverse=True)
    kind = np.argsort(np.argsort(first))[kind]  # numbered as they appear
    fold, rng = np.empty(len(kind), np.int64), np.random.RandomState(seed)
    deck = np.sort(kind)  # dealt out in turns, so folds have equal sizes, also in each class
    shares = [np.bincount(deck[number::folds], minlength=len(first)) for number in range(folds)]
    for number, counts in enumerate(np.transpose(shares)):
        own = np.repeat(np.arange(folds), counts)
        rng.shuffle(own)
        fold[kind == number] = own
    return fold


def folds_of_clusters(truth: np.ndarray, cluster: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Return the fold (N,) of clips of classes ``truth`` (N,); a ``cluster`` (N,) stays whole."""
    classes, truth = np.unique(truth, return_inverse=True)
    names, cluster = np.unique(cluster, return_inverse=True)
    order = np.arange(len(names))
    np.random.RandomState(seed).shuffle(order)  # the same generator as in scikit-learn
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    table = _Table.of(place[cluster], truth, len(names), len(classes))
    sizes, fold = np.bincount(truth), np.full(len(names), -1)
    if len(names) > MANY:
        _deal_evenly(table, fold, folds, seed)
    counts = np.zeros((folds, len(classes)))
    of_table = fold[table.cluster]
    np.add.at(
        counts, (of_table[of_table >= 0], table.kind[of_table >= 0]), table.clips[of_table >= 0]
    )
    _deal_by_shares(table, fold, counts, sizes)
    return np.asarray(fold[place[cluster]])


class _Table(NamedTuple):
    """The number of clips by cluster and class: the cells (E,) that are not 0, in order."""

    starts: np.ndarray  # (C + 1,), the first cell of each cluster
    cluster: np.ndarray
    kind: np.ndarray  # the class
    clips: np.ndarray  # the number of clips
    classes: int

    @classmethod
    def of(cls, cluster: np.ndarray, truth: np.ndarray, clusters: int, classes: int) -> _Table:
        cells, clips = np.unique(cluster * classes + truth, return_counts=True)
        cluster, kind = np.divmod(cells, classes)
        starts = np.searchsorted(cluster, np.arange(clusters + 1))
        return cls(starts, cluster, kind, clips.astype(np.float64), classes)

    def deviations(self) -> np.ndarray:
        """Return the standard deviation (C,) over the classes of each cluster's counts."""
        clusters = len(self.starts) - 1
        deviations = np.empty(clusters)
        step = max(1, BLOCK // self.classes)
        for first in range(0, clusters, step):
            last = min(first + step, clusters)
            cells = slice(self.starts[first], self.starts[last])
            dense = np.zeros((last - first, self.classes))
            dense[self.cluster[cells] - first, self.kind[cells]] = self.clips[cells]
            deviations[first:last] = dense.std(1)
        return deviations


def _deal_evenly(table: _Table, fold: np.ndarray, folds: int, seed: int) -> None:
    """Deal out clusters with equal counts, the same number to each fold; a remainder is left."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(0, 2**63, table.classes, np.uint64)  # equal sums mean equal counts
    terms = table.clips.astype(np.uint64) * weights[table.kind]
    sums = np.add.reduceat(terms, table.starts[:-1])
    _, kind, size = np.unique(sums, return_inverse=True, return_counts=True)
    order = np.argsort(kind, kind="stable")  # clusters were shuffled before
    rank = np.arange(len(order)) - np.repeat(np.cumsum(size) - size, size)
    is_even = rank < np.repeat(size - size % folds, size)  # the others do not fill all folds
    fold[order[is_even]] = rank[is_even] % folds


def _deal_by_shares(table: _Table, fold: np.ndarray, counts: np.ndarray, sizes: np.ndarray) -> None:
    """Deal out the clusters whose ``fold`` is -1, given the ``counts`` (F, K) of the folds."""
    folds = len(counts)
    own = np.arange(folds)
    deviation = (counts / sizes).std(0)  # (K,), of the folds' shares of each class
    trials = np.repeat(deviation[None], folds, 0)
    totals = counts.sum(1).tolist()
    for cluster in np.argsort(-table.deviations(), kind="stable").tolist():
        if fold[cluster] >= 0:
            continue
        cells = slice(table.starts[cluster], table.starts[cluster + 1])
        kinds, more = table.kind[cells], table.clips[cells]
        trial = np.repeat(counts[:, None, kinds], folds, 1)  # (F, the fold that gets it, kinds)
        trial[own, own] += more
        shares = (trial / sizes[kinds]).std(0)
        trials[:, kinds] = shares
        best = _best(trials.mean(1).tolist(), totals)
        trials[:, kinds] = shares[best]
        counts[best, kinds] += more
        totals[best] += float(more.sum())
        fold[cluster] = best


def _best(spreads: list[float], totals: list[float]) -> int:
    """Return the fold with the least spread; among nearly equal ones, that with fewest clips."""
    best, least = 0, float("inf")
    for number, spread in enumerate(spreads):
        is_close = abs(spread - least) <= 1e-8 + 1e-5 * abs(least)
        if spread < least or (is_close and totals[number] < totals[best]):
            best, least = number, spread
    return best
