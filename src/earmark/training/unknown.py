"""Where "unknown" begins: as far out as classes are that were left out of training."""

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

MOST_FOLDS = 5
MOST_TRAINED, MOST_TESTED = 600, 2_000  # clips of a fold; more place the threshold no better
MOST_LEFT_OUT = 20  # single classes left out in turn; of more, an even choice


class UnknownThreshold(NamedTuple):
    """The known_score ``below`` which a clip is unknown; whom it lets in, and whom it answers."""

    below: float
    accepted: float
    answered: float


def find_threshold(
    search: Search, chosen: Average, rate: float, stages: Stages | None = None
) -> UnknownThreshold:
    """Return the threshold that lets in at most ``rate`` of the strangers, 0 to 1.

    Each class is left out in turn, and the chosen head fitted to the others without the fold that
    tests: clips of the class are strangers then. Some classes are let in far more often than
    others, and the next stranger is of yet another, so that the mean over classes has to stay
    below ``rate`` by one standard error. ``accepted`` and ``answered`` are the shares of strangers
    and of known clips beyond the threshold. Raises EarmarkError for fewer than 3 classes, for clips
    with several classes and for an impossible rate.
    """
    classes = search.targets.n_classes
    if not search.targets.is_single or classes < 3:
        raise EarmarkError(
            f"'unknown' needs clips with one class each and at least 3 classes, to leave one out;"
            f" here are {classes}{'' if search.targets.is_single else ', several a clip'}."
        )
    if not 0 < rate < 1:
        raise EarmarkError(f"no rate {rate:g} of strangers; give one between 0 and 1, as in 0.05.")
    strangers: dict[int, list[np.ndarray]] = {}
    known = []
    n_folds = min(int(search.fold.max()) + 1, MOST_FOLDS)
    with (stages or Stages()).stage("unknown", n_folds, "unknown threshold") as step:
        for tested in range(n_folds):
            for left, (outside, inside) in _left_out(search, chosen, tested).items():
                strangers.setdefault(left, []).append(outside)
                known.append(inside)
            step()
    away = [np.concatenate(scores) for scores in strangers.values()]
    below = _threshold(away, rate)
    answered = float((np.concatenate(known) >= below).mean())
    return UnknownThreshold(below, float(np.mean([(a >= below).mean() for a in away])), answered)


def _threshold(away: Sequence[np.ndarray], rate: float) -> float:
    """Return the least threshold that keeps strangers of many classes, each an array, out."""
    thresholds = np.sort(np.concatenate(away)) + 1e-6
    share = np.stack([(a[:, None] >= thresholds).mean(0) for a in away])  # (classes, thresholds)
    most = share.mean(0) + share.std(0, ddof=1) / np.sqrt(len(away))
    return float(thresholds[int(np.argmax(most <= rate))])  # at the last, nobody is let in


def _left_out(
    search: Search, chosen: Average, tested: int
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Return how familiar strangers and known clips in a fold are, for each class left out."""
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
        is_stranger = answer == left
        scores[left] = best[is_stranger], best[~is_stranger]

    count = search.targets.n_classes
    lefts = np.unique(np.linspace(0, count - 1, min(count, MOST_LEFT_OUT)).astype(int))
    parallel.side_by_side(leave_out, lefts.tolist())
    return {left: scores[left] for left in sorted(scores)}
