"""Figures of events over all thresholds, and how reliable the scores of events are."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from earmark.data.event import RecordingEvents
from earmark.training.event_matching import Criterion, EventTable, IouCriterion, pairs
from earmark.training.event_tables import EventTables, tabulate

BINS = 10  # of scores


@dataclass(frozen=True)
class EventCurve:
    """The figures of answers with a score of at least each threshold.

    Every threshold is exact: there are as many right answers as in a new matching. The answers
    themselves stay as they are; another threshold of a detector also moves their onsets and
    offsets.

    Attributes
    ----------
    label : str or None
        The class; None for all classes together, with one threshold.
    thresholds : numpy.ndarray, (T,)
        The scores that occur, falling.
    right, false : numpy.ndarray, (T,)
        Answers that are right and false.
    n_true : int
        True events.
    hours : float or None
        Annotated time; None if unknown.
    """

    label: str | None
    thresholds: np.ndarray
    right: np.ndarray
    false: np.ndarray
    n_true: int
    hours: float | None

    @property
    def precision(self) -> np.ndarray:
        """The share of answers that are right, (T,)."""
        return np.asarray(self.right / (self.right + self.false))

    @property
    def recall(self) -> np.ndarray:
        """The share of true events that were answered, (T,); NaN without true events."""
        return self.right / self.n_true if self.n_true else np.full(len(self.right), np.nan)

    @property
    def f1(self) -> np.ndarray:
        """F1 at each threshold, (T,)."""
        return np.asarray(2 * self.right / (self.right + self.false + self.n_true))

    @property
    def false_per_hour(self) -> np.ndarray:
        """False answers per hour of annotated time, (T,); NaN if that time is unknown."""
        return self.false / self.hours if self.hours else np.full(len(self.false), np.nan)

    def best_threshold(self) -> float | None:
        """Return the threshold with the highest F1, half-way to the next score; None if F1 is 0."""
        if not self.right.any():
            return None
        return self._below(int(np.argmax(self.f1)))

    def threshold_for(self, false_per_hour: float) -> float | None:
        """Return the lowest threshold with at most so many false answers an hour.

        It is half-way to the next lower score. None if no threshold has so few, or if the annotated
        time is unknown.
        """
        if not self.hours:
            return None
        allowed = np.flatnonzero(self.false <= false_per_hour * self.hours * (1 + 1e-9))
        return self._below(int(allowed[-1])) if len(allowed) else None

    def _below(self, place: int) -> float:
        """Return the middle between a score and the next lower one, or 0."""
        following = self.thresholds[place + 1] if place + 1 < len(self.thresholds) else 0.0
        return float((self.thresholds[place] + following) / 2)


@dataclass(frozen=True)
class ReliabilityBin:
    """Answers of similar scores: if scores are probabilities, ``right`` is about ``mean_score``.

    Attributes
    ----------
    n : int
        The number of answers.
    mean_score : float
    right : float
        The share of them that is right.
    """

    n: int
    mean_score: float
    right: float


def event_curves(
    truth: Sequence[RecordingEvents],
    answers: Sequence[RecordingEvents],
    criterion: Criterion | None = None,
) -> list[EventCurve]:
    """Return a curve for each class, by name, and last the curve of all classes together.

    Recordings and regions are treated as in :func:`event_metrics.evaluate_events`. Without a
    ``criterion`` an answer is right at an IoU of 0.3.
    """
    tables = tabulate(truth, answers)
    is_right = match_by_score(tables.truth, tables.answers, criterion or IouCriterion(0.3))
    curves = [_curve(tables, is_right, k) for k in range(len(tables.labels))]
    return [*curves, _curve(tables, is_right, None)]


def event_reliability(
    truth: Sequence[RecordingEvents],
    answers: Sequence[RecordingEvents],
    criterion: Criterion | None = None,
    n_bins: int = BINS,
) -> list[ReliabilityBin]:
    """Return the share of right answers in bins of scores, lowest first; empty bins are left out.

    The bins have equal widths from 0 to 1. If two answers lie on one true event, the one with the
    higher score is right.
    """
    tables = tabulate(truth, answers)
    is_right = match_by_score(tables.truth, tables.answers, criterion or IouCriterion(0.3))
    score = tables.answers.score
    place = np.clip((score * n_bins).astype(int), 0, n_bins - 1)
    count = np.bincount(place, minlength=n_bins)
    total, right = (np.bincount(place, values, n_bins) for values in (score, is_right))
    return [
        ReliabilityBin(int(count[i]), float(total[i] / count[i]), float(right[i] / count[i]))
        for i in np.flatnonzero(count)
    ]


def _curve(tables: EventTables, is_right: np.ndarray, k: int | None) -> EventCurve:
    truth, answers = tables.truth, tables.answers
    rows = np.flatnonzero(np.full(len(answers), True) if k is None else answers.label == k)
    rows = rows[np.argsort(-answers.score[rows], kind="stable")]
    score = answers.score[rows]
    last = np.flatnonzero(np.append(score[1:] != score[:-1], True)) if len(score) else rows
    right = np.cumsum(is_right[rows])[last]
    return EventCurve(
        label=None if k is None else tables.labels[k],
        thresholds=score[last],
        right=right,
        false=last + 1 - right,
        n_true=len(truth) if k is None else int((truth.label == k).sum()),
        hours=tables.hours,
    )


def match_by_score(truth: EventTable, answers: EventTable, criterion: Criterion) -> np.ndarray:
    """Return which answers (N,) are right if answers with higher scores are matched first.

    Answers are added by falling score. Each is matched if exchanges can free a true event for it
    (Kuhn 1955), and an answer that is matched stays matched. So for every threshold, as many
    answers as possible are matched, and one pass counts them all.
    """
    true, answer = pairs(truth, answers, criterion)
    order = np.lexsort((np.abs(truth.start[true] - answers.start[answer]), answer))
    bounds = np.searchsorted(answer[order], np.arange(len(answers) + 1)).tolist()
    edges = true[order].tolist()
    neighbours = [edges[low:high] for low, high in itertools.pairwise(bounds)]
    search = _Augmenting(neighbours, len(truth))
    for row in np.argsort(-answers.score, kind="stable").tolist():
        search.add(row)
    return np.array(search.partner, np.int64) >= 0


class _Augmenting:
    """A matching that grows by one answer at a time and is the largest after each."""

    def __init__(self, neighbours: Sequence[Sequence[int]], n_true: int) -> None:
        self.neighbours = neighbours  # of each answer: the true events for which it is right
        self.partner = [-1] * len(neighbours)  # of each answer: its true event
        self.holder = [-1] * n_true  # of each true event: its answer
        self.is_closed = bytearray(n_true)  # no exchange can free it or any event beyond it

    def add(self, added: int) -> None:
        """Match the answer ``added``, if need be by exchanges along the shortest path."""
        reached_from: dict[int, int] = {}
        queue = [added]
        for answer in queue:
            for true in self.neighbours[answer]:
                if true in reached_from or self.is_closed[true]:
                    continue
                reached_from[true] = answer
                if self.holder[true] < 0:
                    self._exchange(true, reached_from)
                    return
                queue.append(self.holder[true])
        for true in reached_from:
            self.is_closed[true] = 1

    def _exchange(self, true: int, reached_from: dict[int, int]) -> None:
        """Give each true event on the path to the answer from which it was reached."""
        while true >= 0:
            answer = reached_from[true]
            self.holder[true], self.partner[answer], true = answer, true, self.partner[answer]
