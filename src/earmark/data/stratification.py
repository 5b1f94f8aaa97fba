"""Folds in which classes have equal shares, of clips or of whole clusters of them.

Clips are dealt out as scikit-learn's ``StratifiedKFold`` deals them, to the same fold; importing
scikit-learn takes longer than importing PyTorch. Whole clusters are dealt out as its
``StratifiedGroupKFold`` deals them: those whose clips are most of one class first, each to the fold
that makes the shares of the classes most alike. Its time grows with clusters times folds times
classes; here only what a cluster changes is computed anew, to the same last bit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

MANY = 20_000  # clusters: of more, those with the same clips of each class are dealt out evenly
BLOCK = 2**20  # numbers of a table of clusters and classes in memory at a time


def folds_of_clips(truth: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Return the fold (N,) of clips whose classes are ``truth`` (N,), each dealt out alone.

    Clips of no class may be fewer than the folds.
    """
    _, first, kind = np.unique(truth, return_index=True, return_inverse=True)
    kind = np.argsort(np.argsort(first))[kind]  # numbered as they appear
    fold, rng = np.empty(len(kind), np.int64), np.random.RandomState(seed)
    deck = np.sort(kind)  # dealt out in turns: folds are of one size, in clips and in each class
    shares = [np.bincount(deck[number::folds], minlength=len(first)) for number in range(folds)]
    for number, counts in enumerate(np.transpose(shares)):
        own = np.repeat(np.arange(folds), counts)
        rng.shuffle(own)
        fold[kind == number] = own
    return fold


def folds_of_clusters(truth: np.ndarray, cluster: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Return the fold (N,) of clips of classes ``truth`` (N,), whole ``cluster`` (N,) in each."""
    classes, truth = np.unique(truth, return_inverse=True)
    names, cluster = np.unique(cluster, return_inverse=True)
    order = np.arange(len(names))
    np.random.RandomState(seed).shuffle(order)  # the generator that scikit-learn uses
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
    """How many clips of each class each cluster has: the cells (E,) that are not 0, in order."""

    starts: np.ndarray  # (C + 1,), where the cells of each cluster begin
    cluster: np.ndarray
    kind: np.ndarray  # the class
    clips: np.ndarray  # how many
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
    """Deal out clusters with the same counts, as many to each fold; a rest of each kind is left."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(0, 2**63, table.classes, np.uint64)  # by sums of which kinds are told
    terms = table.clips.astype(np.uint64) * weights[table.kind]
    sums = np.add.reduceat(terms, table.starts[:-1])
    _, kind, size = np.unique(sums, return_inverse=True, return_counts=True)
    order = np.argsort(kind, kind="stable")  # clusters were shuffled before
    rank = np.arange(len(order)) - np.repeat(np.cumsum(size) - size, size)
    is_even = rank < np.repeat(size - size % folds, size)  # the others fill no round of folds
    fold[order[is_even]] = rank[is_even] % folds


def _deal_by_shares(table: _Table, fold: np.ndarray, counts: np.ndarray, sizes: np.ndarray) -> None:
    """Deal out the clusters whose ``fold`` is -1, beside the ``counts`` (F, K) that folds have."""
    folds = len(counts)
    own = np.arange(folds)
    deviation = (counts / sizes).std(0)  # of the folds' shares of each class (K,)
    trials = np.repeat(deviation[None], folds, 0)
    totals = counts.sum(1).tolist()
    for cluster in np.argsort(-table.deviations(), kind="stable").tolist():
        if fold[cluster] >= 0:
            continue
        cells = slice(table.starts[cluster], table.starts[cluster + 1])
        kinds, more = table.kind[cells], table.clips[cells]
        tried = np.repeat(counts[:, None, kinds], folds, 1)  # (F, the fold that takes it, kinds)
        tried[own, own] += more
        shares = (tried / sizes[kinds]).std(0)
        trials[:, kinds] = shares
        best = _best(trials.mean(1).tolist(), totals)
        trials[:, kinds] = shares[best]
        counts[best, kinds] += more
        totals[best] += float(more.sum())
        fold[cluster] = best


def _best(spreads: list[float], totals: list[float]) -> int:
    """Return the fold with the least spread; of those that are close, the one with fewest clips."""
    best, least = 0, float("inf")
    for number, spread in enumerate(spreads):
        is_close = abs(spread - least) <= 1e-8 + 1e-5 * abs(least)
        if spread < least or (is_close and totals[number] < totals[best]):
            best, least = number, spread
    return best
