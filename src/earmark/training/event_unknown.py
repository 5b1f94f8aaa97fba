"""The unknown threshold of a detector: below it, an event is like nothing in training.

It is set on events, because windows at the edges of a sound are like nothing in training either.
Each class is left out in turn, and its events in held-out scenes are the unknown ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from earmark.data.event import Event, RecordingEvents
from earmark.detection.events import Decision

MOST_LEFT_OUT = 10  # of more classes, this many, evenly spaced, are left out in turn
LOST = 0.005  # of the right events, if no rate is given: a new voice is less like the known ones


class KnownEvents(NamedTuple):
    """Known-scores of detected events: of those that are right, and those of unknown classes.

    ``outside`` has one array for each class that was left out; ``n_outside`` the number of its true
    events. ``fold`` (M,) and ``outside_fold`` are the folds of the scenes.
    """

    inside: np.ndarray
    fold: np.ndarray
    outside: Sequence[np.ndarray] = ()
    n_outside: Sequence[int] = ()
    outside_fold: Sequence[int] = ()

    def without(self, fold: int) -> KnownEvents:
        """Return the events in the scenes of the other folds."""
        keep, rows = self.fold != fold, [f != fold for f in self.outside_fold]
        return KnownEvents(
            self.inside[keep],
            self.fold[keep],
            list(itertools.compress(self.outside, rows)),
            list(itertools.compress(self.n_outside, rows)),
            list(itertools.compress(self.outside_fold, rows)),
        )


class UnknownEvents(NamedTuple):
    """An unknown threshold, and the shares that reach it.

    Attributes
    ----------
    below : float
        Events with a lower known-score are not answered.
    answered_before, answered : float
        The share of events of unknown classes that got a class, without and with the threshold.
    lost : float
        The share of right events that the threshold takes away.
    """

    below: float
    answered_before: float
    answered: float
    lost: float

    @property
    def finite(self) -> float | None:
        """The threshold as event rules have it: None if no event is below it."""
        return self.below if np.isfinite(self.below) else None


def known_scores_on(
    decisions: Sequence[Decision], truth: RecordingEvents, label: str
) -> tuple[list[float], int]:
    """Return the known-scores of detected events on true events of a class, and their number.

    A detected event is on a true one if the middle of one lies inside the other.
    """
    meant = [event for event in truth.events if event.label == label]
    scores = [
        float(decision.known_score or 0.0)
        for decision in decisions
        if any(_are_on_each_other(decision.event, event) for event in meant)
    ]
    return scores, len(meant)


def _are_on_each_other(one: Event, other: Event) -> bool:
    middle, other_middle = (one.start + one.end) / 2, (other.start + other.end) / 2
    return other.start <= middle <= other.end or one.start <= other_middle <= one.end


def choose_threshold(known: KnownEvents, rate: float | None) -> UnknownEvents:
    """Return the lowest threshold that at most a share ``rate`` of unknown events reaches.

    The mean over the classes must stay one standard error below it, as future sounds are of other
    classes. Without a rate, the threshold takes away ``LOST`` of the right events.
    """

    def answered(below: float) -> np.ndarray:
        return np.array(
            [
                (scores >= below).sum() / max(1, n)
                for scores, n in zip(known.outside, known.n_outside, strict=True)
            ]
        )

    if rate is None or not len(known.outside):
        below = float(np.quantile(known.inside, LOST)) if len(known.inside) else -np.inf
    else:
        candidates = np.unique(np.concatenate([*known.outside, [-1e6]])) + 1e-6
        below = float(candidates[-1])
        for candidate in candidates.tolist():
            shares = answered(candidate)
            error = shares.std(ddof=1) / np.sqrt(len(shares)) if len(shares) > 1 else 0.0
            if shares.mean() + error <= rate:
                below = float(candidate)
                break
    has = len(known.outside) > 0
    return UnknownEvents(
        below,
        float(answered(-np.inf).mean()) if has else float("nan"),
        float(answered(below).mean()) if has else float("nan"),
        float((known.inside < below).mean()) if len(known.inside) else 0.0,
    )
