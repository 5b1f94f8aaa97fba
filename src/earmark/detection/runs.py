"""Runs of windows in which a class is active: it reached its threshold and has not left since."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np


class Run(NamedTuple):
    """Windows ``start..stop - 1`` of a block, in which class ``k`` is active."""

    k: int
    start: int
    stop: int


class Runs:
    """Find the runs in blocks of scores.

    If classes ``compete``, the class that reached its threshold last is active, until its score
    falls below ``leave`` times the threshold. Where several classes reach theirs, the one with the
    highest score / threshold is active; of equal ones the class that was active before, else the
    first.
    """

    def __init__(self, thresholds: np.ndarray, leave: float, compete: bool) -> None:
        self.thresholds = thresholds
        self.levels, self.compete = leave * self.thresholds, compete

    def find(self, scores: np.ndarray, active: Sequence[int | None]) -> Iterator[tuple[int, Run]]:
        """Yield each track's runs in order of time, with the number of the track.

        ``active`` are the classes, one a track, that were active in the window before ``scores``
        (n, K). There is one track if classes compete, else one for each class.
        """
        reaches = np.greater_equal(scores, self.thresholds)
        if self.compete:
            rows = np.flatnonzero(reaches.any(1))
            owners = self._owners(scores, rows, active[0])
            yield from ((0, run) for run in self._runs(scores, rows, owners, active[0]))
            return
        busy = reaches.any(0)
        for k, before in enumerate(active):
            if busy[k] or before is not None:
                rows = np.flatnonzero(reaches[:, k])
                owners = np.full(len(rows), k)
                yield from ((k, run) for run in self._runs(scores, rows, owners, before))

    def _owners(self, scores: np.ndarray, rows: np.ndarray, before: int | None) -> np.ndarray:
        """Return the active class of each of ``rows``, in which at least one class reaches."""
        ratios = scores[rows] / self.thresholds
        best = ratios == ratios.max(1, keepdims=True)
        owners = best.argmax(1)
        for place in np.flatnonzero(best.sum(1) > 1):  # equal ratios
            last, owner = (rows[place - 1], owners[place - 1]) if place else (-1, before)
            if owner is not None and best[place, owner]:
                between = scores[last + 1 : rows[place], owner]
                if (between >= self.levels[owner]).all():
                    owners[place] = owner
        return np.asarray(owners)

    def _runs(
        self, scores: np.ndarray, rows: np.ndarray, owners: np.ndarray, before: int | None
    ) -> Iterator[Run]:
        """Yield the runs for windows ``rows`` in which the classes ``owners`` reach."""
        if before is not None:  # as if its class had reached in the window before the block
            rows, owners = np.append(-1, rows), np.append(before, owners)
        if not len(rows):
            return
        leaves = np.empty(len(rows), np.int64)  # the first window in which the owner is inactive
        for k in np.flatnonzero(np.bincount(owners)):
            own = owners == k
            low = np.append(np.flatnonzero(scores[:, k] < self.levels[k]), len(scores))
            leaves[own] = low[np.searchsorted(low, rows[own])]
        begins = np.append(True, (owners[1:] != owners[:-1]) | (leaves[:-1] < rows[1:]))
        ends = np.minimum(leaves, np.append(rows[1:], len(scores)))
        firsts = np.flatnonzero(begins)
        lasts = np.append(firsts[1:], len(rows)) - 1
        starts = np.maximum(rows[firsts], 0)
        for k, start, stop in zip(
            owners[firsts].tolist(), starts.tolist(), ends[lasts].tolist(), strict=True
        ):
            if start < stop:
                yield Run(k, start, stop)
