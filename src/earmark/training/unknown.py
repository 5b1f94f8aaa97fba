"""The threshold of 'unknown', set by clips of classes that were left out of training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from earmark.errors import EarmarkError
from earmark.system.progress import Stages
from earmark.training import parallel
from earmark.training.inner import Average
from earmark.training.screening import thinned
from earmark.training.selection import Search

MOST_FOLDS = 5  # and further ones for classes that are in none of them
MOST_TRAINED, MOST_TESTED = 600, 2_000  # clips for each fold; more do not improve the threshold
MOST_LEFT_OUT = 20  # of more classes, this many, evenly spaced, are left out in turn


class UnknownThreshold(NamedTuple):
    """A threshold: clips with a known-score ``below`` it are unknown.

    ``accepted`` and ``answered`` are the shares of clips of unknown and of known classes that
    reach it, 0 to 1.
    """

    below: float
    accepted: float
    answered: float


def find_threshold(
    search: Search, chosen: Average, rate: float, stages: Stages | None = None
) -> UnknownThreshold:
    """Return the threshold that at most a share ``rate`` of clips of unknown classes reaches.

    Each class is left out in turn. The chosen head is fitted to the other classes without the
    tested fold, so the clips of that class are of an unknown class. Classes differ much in how
    often their clips reach a threshold, and future sounds are of yet other classes. So the mean
    over classes must stay one standard error below ``rate``. Raises EarmarkError for fewer than 3
    classes, for clips with several classes, and for a rate outside 0 to 1.
    """
    classes = search.targets.n_classes
    if not search.targets.is_single or classes < 3:
        raise EarmarkError(
            "'unknown' needs at least 3 classes, because each is left out in turn, and clips with"
            f" one class each. The data has {classes} classes"
            f"{'' if search.targets.is_single else ', several for a clip'}."
        )
    if not 0 < rate < 1:
        raise EarmarkError(f"the rate of 'unknown' is {rate:g}. Give one above 0 and below 1.")
    outside_of: dict[int, list[np.ndarray]] = {}
    known = []
    folds = _tested_folds(search)
    with (stages or Stages()).stage("unknown", len(folds), "unknown threshold") as step:
        for tested in folds:
            for left, (outside, inside) in _left_out(search, chosen, tested).items():
                outside_of.setdefault(left, []).append(outside)
                known.append(inside)
            step()
    outside_scores = [np.concatenate(scores) for scores in outside_of.values()]
    outside_scores = [scores for scores in outside_scores if len(scores)]
    below = _threshold(outside_scores, rate)
    answered = float((np.concatenate(known) >= below).mean())
    return UnknownThreshold(
        below, float(np.mean([(a >= below).mean() for a in outside_scores])), answered
    )


def _threshold(outside_scores: Sequence[np.ndarray], rate: float) -> float:
    """Return the lowest threshold that keeps to ``rate``.

    ``outside_scores`` has the known-scores of clips of each class that was left out.
    """
    thresholds = np.sort(np.concatenate(outside_scores)) + 1e-6
    share = np.stack(
        [(a[:, None] >= thresholds).mean(0) for a in outside_scores]
    )  # (classes, thresholds)
    most = share.mean(0)
    if len(share) > 1:
        most = most + share.std(0, ddof=1) / np.sqrt(len(share))
    return float(thresholds[int(np.argmax(most <= rate))])  # no clip reaches the last


def _tested_folds(search: Search) -> list[int]:
    """Return the first few folds, and one more for each class that is in none of them.

    Where folds are groups, a class may be in few of them.
    """
    classes = search.targets.classes
    folds = list(range(min(int(search.fold.max()) + 1, MOST_FOLDS)))
    for left in _lefts(search):
        of_class = search.fold[classes == left]
        if len(of_class) and not np.isin(of_class, folds).any():
            folds.append(int(np.bincount(of_class).argmax()))
    return folds


def _lefts(search: Search) -> list[int]:
    """Return the classes that are left out in turn."""
    count = search.targets.n_classes
    spread = np.linspace(0, count - 1, min(count, MOST_LEFT_OUT)).astype(int)
    return [int(k) for k in np.unique(spread)]


def _left_out(
    search: Search, chosen: Average, tested: int
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Return known-scores of the clips of a fold, for each class that was left out of training.

    The first array has the clips of that class, the second those of all others.
    """
    train = search.rows_without(tested, MOST_TRAINED)
    inside = np.flatnonzero(search.fold == tested)
    test = thinned(inside, search.targets, MOST_TESTED, search.seed)
    truth, answer = search.targets.classes[train], search.targets.classes[test]
    specs = chosen.specs(search.table)
    features, others = (search.table.features(specs, rows) for rows in (train, test))
    scores: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def leave_out(left: int) -> None:
        rest = truth != left
        head = search.fit_features(chosen, train[rest], features[rest])
        best = head.known_score(others)
        is_left_out = answer == left
        scores[left] = best[is_left_out], best[~is_left_out]

    parallel.side_by_side(leave_out, _lefts(search))
    return {left: scores[left] for left in sorted(scores)}
