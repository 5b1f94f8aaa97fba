"""Match answers to true events, one to one: as many pairs as possible, with the least error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

TOLERANCE_S = 1e-6  # differences of times that are a multiple of 0.01 s have rounding errors
MOST_PAIRS = 2**22  # pairs that are compared at a time
BATCH = 256  # true events that are matched at a time, or one component


@dataclass(frozen=True)
class EventTable:
    """Events of several recordings as columns (N,), sorted by recording, label and start.

    ``recording`` and ``label`` are numbers from 0; times are seconds from the beginning of the
    recording. Events of one ``group`` may be matched with each other.
    """

    recording: np.ndarray
    label: np.ndarray
    start: np.ndarray
    end: np.ndarray
    score: np.ndarray

    def __len__(self) -> int:
        return len(self.start)

    @property
    def middle(self) -> np.ndarray:
        """The middle of each event in seconds, (N,)."""
        return np.asarray((self.start + self.end) / 2)

    def group(self, n_labels: int) -> np.ndarray:
        """Return the number (N,) of each event's pair of recording and label; it never falls."""
        return np.asarray(self.recording * n_labels + self.label)

    def take(self, rows: np.ndarray) -> EventTable:
        """Return some rows: their numbers, or a mask."""
        columns = (self.recording, self.label, self.start, self.end, self.score)
        return EventTable(*(column[rows] for column in columns))

    def sorted(self) -> EventTable:
        """Return the events in the order of a table, which depends on nothing but the events."""
        return self.take(np.lexsort((self.score, self.end, self.start, self.label, self.recording)))


class Criterion(Protocol):
    """What makes an answer right for a true event of the same label."""

    def reach(self, seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return by how much an answer may start before and after events of such durations."""

    def holds(self, truth: EventTable, answers: EventTable) -> np.ndarray:
        """Return whether each answer (P,) is right for the true event (P,) of the same row."""


@dataclass(frozen=True)
class IouCriterion:
    """Intersection over union of at least ``least``, more than 0 and up to 1."""

    least: float

    def reach(self, seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return by how much an answer may start before and after events of such durations."""
        return (1 / self.least - 1) * seconds, (1 - self.least) * seconds

    def holds(self, truth: EventTable, answers: EventTable) -> np.ndarray:
        """Return whether each answer (P,) is right for the true event (P,) of the same row."""
        both = np.minimum(truth.end, answers.end) - np.maximum(truth.start, answers.start)
        either = (truth.end - truth.start) + (answers.end - answers.start) - both
        return np.asarray((both > 0) & (both >= self.least * either - TOLERANCE_S))


@dataclass(frozen=True)
class CollarCriterion:
    """Onset within ``collar_s``; offset within the longer of that and a share of the true duration.

    With 0.2 s and 20 % it is the criterion of DCASE and of sed_eval.
    """

    collar_s: float = 0.2
    offset_share: float = 0.2

    def reach(self, seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return by how much an answer may start before and after events of such durations."""
        collar = np.full(len(seconds), self.collar_s)
        return collar, collar

    def holds(self, truth: EventTable, answers: EventTable) -> np.ndarray:
        """Return whether each answer (P,) is right for the true event (P,) of the same row."""
        offset = np.maximum(self.collar_s, self.offset_share * (truth.end - truth.start))
        near = np.abs(answers.start - truth.start) <= self.collar_s + TOLERANCE_S
        return np.asarray(near & (np.abs(answers.end - truth.end) <= offset + TOLERANCE_S))


def pairs(
    truth: EventTable, answers: EventTable, criterion: Criterion
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows (P,) of true events and (P,) of answers that may be matched.

    Only answers that start near a true event are compared with it.
    """
    n_labels = 1 + max(truth.label.max(initial=0), answers.label.max(initial=0))
    before, after = criterion.reach(truth.end - truth.start)
    group, answered = truth.group(n_labels), answers.group(n_labels)
    low = np.searchsorted(answered, group, "left")
    high = np.searchsorted(answered, group, "right")
    first = first_at_least(answers.start, truth.start - before - TOLERANCE_S, low, high)
    last = first_at_least(answers.start, truth.start + after + 2 * TOLERANCE_S, low, high)
    right_true, right_answer = [], []
    for true, answer in expand(first, last):
        is_right = criterion.holds(truth.take(true), answers.take(answer))
        right_true.append(true[is_right])
        right_answer.append(answer[is_right])
    return np.concatenate(right_true), np.concatenate(right_answer)


def first_at_least(
    values: np.ndarray, least: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Return for each ``least`` (N,) the first row of ``values`` from ``low`` that is as large.

    It is ``high`` if there is none before it. The values of each stretch low..high are sorted.
    """
    low, high = low.copy(), high.copy()
    while len(rows := np.flatnonzero(low < high)):
        middle = (low[rows] + high[rows]) // 2
        is_less = values[middle] < least[rows]
        low[rows[is_less]] = middle[is_less] + 1
        high[rows[~is_less]] = middle[~is_less]
    return low


def expand(first: np.ndarray, last: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield each row i with each number from ``first[i]`` to before ``last[i]``, in blocks.

    There is at least one block; it may be empty.
    """
    counts = np.maximum(last - first, 0)
    block = np.cumsum(counts) // MOST_PAIRS
    for rows in np.split(np.arange(len(counts)), np.flatnonzero(np.diff(block)) + 1):
        size = counts[rows]
        within = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
        yield np.repeat(rows, size), np.repeat(first[rows], size) + within


def match(
    truth: EventTable, answers: EventTable, criterion: Criterion
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows (P,) of matched true events, rising, and of the answers matched with them.

    There are as many matches as the criterion allows. Among all such matchings, this one has the
    least sum of squared onset and offset errors. Without squares many matchings would be equal:
    two answers that are late could be exchanged.
    """
    true, answer = pairs(truth, answers, criterion)
    error = np.square(truth.start[true] - answers.start[answer])
    error += np.square(truth.end[true] - answers.end[answer])
    chosen = _cheapest(true, answer, error)
    return true[chosen], answer[chosen]


def _cheapest(true: np.ndarray, answer: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return which edges (P,) are the largest matching of least error; ``true`` rises."""
    chosen = np.zeros(len(true), bool)
    if not len(true):
        return chosen
    component = _components(true, answer)
    alone = np.bincount(component)[component] == 1
    chosen[alone] = True
    for edges in _batches(component, true, np.flatnonzero(~alone)):
        chosen[edges] = _assign(true[edges], answer[edges], error[edges])
    return chosen


def _components(true: np.ndarray, answer: np.ndarray) -> np.ndarray:
    """Return the number (P,) of the connected component of each edge."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    size = int(true.max()) + 1
    total = size + int(answer.max()) + 1
    graph = csr_matrix((np.ones(len(true), np.int8), (true, answer + size)), (total, total))
    return np.asarray(connected_components(graph, directed=False)[1][true])


def _batches(component: np.ndarray, true: np.ndarray, edges: np.ndarray) -> Iterator[np.ndarray]:
    """Yield ``edges`` in whole components, of about BATCH true events together."""
    edges = edges[np.lexsort((edges, component[edges]))]
    is_first = np.ones(len(edges), bool)  # of the edges of a true event
    is_first[1:] = true[edges[1:]] != true[edges[:-1]]
    batch = (np.cumsum(is_first) - 1) // BATCH
    starts = np.flatnonzero(np.diff(component[edges], prepend=-1))
    batch = np.repeat(batch[starts], np.diff(np.append(starts, len(edges))))
    for rows in np.split(np.arange(len(edges)), np.flatnonzero(np.diff(batch)) + 1):
        if len(rows):
            yield np.sort(edges[rows])


def _assign(true: np.ndarray, answer: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return which edges (P,) of some components are the largest matching of least error.

    Every true event may also be assigned to an answer of its own that does not exist. That costs
    more than all errors together, so as few as possible are.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    rows, row = np.unique(true, return_inverse=True)
    columns, column = np.unique(answer, return_inverse=True)
    n, m = len(rows), len(columns)
    cost = 1 + error / max(error.max(), TOLERANCE_S**2)  # a weight of 0 would be no edge
    costs = np.concatenate([cost, np.full(n, 2.0 * n + 2)])
    places = np.concatenate([row, np.arange(n)]), np.concatenate([column, m + np.arange(n)])
    assigned = min_weight_full_bipartite_matching(csr_matrix((costs, places), (n, m + n)))[1]
    return np.asarray(assigned[row] == column)
