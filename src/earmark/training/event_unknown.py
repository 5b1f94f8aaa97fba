"""The unknown threshold of a detector: below it, an event is like nothing in training.

It is set on events, because windows at the edges of a sound are like nothing in training either.
Each class is left out in turn, and its events in held-out scenes are the unknown ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from earmark.data.event import RecordingEvents
from earmark.training.event_matching import IouCriterion

MOST_LEFT_OUT = 10  # of more classes, this many, evenly spaced, are left out in turn
LOST = 0.005  # of the right events, if no rate is given: a new voice is less like the known ones
RIGHT = IouCriterion(0.3)


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


Detected = Sequence[tuple[float, float, float]]  # start, end and known-score of events


def on_events(
    detected: Detected, truth: RecordingEvents, is_meant: Callable[[str], bool]
) -> tuple[list[float], int]:
    """Return the known-scores of detected events on true events of some labels, and their number.

    A detected event is on a true one if its middle is inside, or the true one's middle in it.
    """
    meant = [e for e in truth.events if is_meant(e.label)]
    scores = []
    for start, end, known in detected:
        middle = (start + end) / 2
        for event in meant:
            if event.start <= middle <= event.end or start <= (event.start + event.end) / 2 <= end:
                scores.append(known)
                break
    return scores, len(meant)


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
