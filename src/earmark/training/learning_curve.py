"""The learning curve: accuracy against the number of clips, and the gain of twice as many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from earmark.classifier.targets import Targets
from earmark.system.progress import Stages
from earmark.training import heads
from earmark.training.inner import Average, Candidate
from earmark.training.selection import Search

DRAWS = 4  # random choices of clips for each size and fold
MOST_TRAINED, MOST_TESTED = 800, 400  # clips for each fold; more only cost time
MOST_FOLDS = 5


def learning_curve(
    search: Search,
    chosen: Average,
    held_out: int | None = None,
    stages: Stages | None = None,
) -> list[dict[str, Any]]:
    """Return accuracy against clips per class (1, 2, 4, ...), with the spread over draws.

    Each point is a mean over folds and draws. The ``chosen`` head (least squares instead of a slow
    one) is trained on that many clips of each class from the other folds and tested on the fold.
    'low' and 'high' are the 10 % and 90 % quantiles of single draws. Features are standardised on
    all clips of the other folds, which uses no labels. With ``held_out``, only that fold is tested.
    The result is empty for clips with several classes.
    """
    if not search.targets.is_single:
        return []
    points: dict[int, list[float]] = {}
    factors = chosen.factors
    if any(member.head not in heads.SUMMED for member in chosen.members):
        factors = (1.0,) * len(factors)  # the factors of slow heads do not fit least squares
    folds = [held_out] if held_out is not None else range(min(search.fold.max() + 1, MOST_FOLDS))

    def judge(tested: int) -> None:
        rng = np.random.default_rng((search.seed, tested))
        train = search.rows_without(tested, MOST_TRAINED)
        test = _some(rng, np.flatnonzero(search.fold == tested), MOST_TESTED)
        rows, n = np.concatenate([train, test]), len(train)
        kernels = [
            search.table.kernel(member.features, rows, n, member.weights)
            for member in chosen.members
        ]
        targets, truth = search.targets.rows(train), search.targets.classes[test]
        for size in _sizes(targets):
            for _ in range(DRAWS):
                rows = _draw(rng, targets, size)
                logits = sum(
                    factor * _answer(member, kernel, targets, rows)
                    for member, factor, kernel in zip(chosen.members, factors, kernels, strict=True)
                )
                hits = np.argmax(logits, 1) == truth
                points.setdefault(size, []).append(float(hits.mean()))

    with (stages or Stages()).stage("curve", len(folds), "learning curve") as step:
        for tested in folds:
            judge(tested)
            step()
    return [
        {
            "clips_per_class": size,
            "accuracy": float(np.mean(accuracies)),
            "low": float(np.quantile(accuracies, 0.1)),
            "high": float(np.quantile(accuracies, 0.9)),
        }
        for size, accuracies in sorted(points.items())
    ]


def gain_of_doubling(
    curve: Sequence[dict[str, Any]], accuracy: float | None = None
) -> float | None:
    """Return the accuracy that twice the clips should add; None with fewer than three points.

    A power law is fitted to the errors in the last half of the curve (Hestness et al. 2017). It
    holds for one doubling, not for ten. The curve ends at some hundred clips, so the law is applied
    to the ``accuracy`` on all clips if it is given, else to the end of the curve.
    """
    if len(curve) < 3:
        return None
    late = curve[-max(3, len(curve) // 2) :]
    errors = [max(1 - point["accuracy"], 1e-4) for point in late]
    slope = np.polyfit(np.log([point["clips_per_class"] for point in late]), np.log(errors), 1)[0]
    error = errors[-1] if accuracy is None else 1 - accuracy
    return float(error * (1 - 2.0 ** min(slope, 0.0)))


def _sizes(targets: Targets) -> list[int]:
    """Return 1, 2, 4, ... up to the number of clips of the smallest class."""
    counts = targets.counts
    least = int(counts[counts > 0].min())
    return [2**k for k in range(least.bit_length())]


def _some(rng: np.random.Generator, rows: np.ndarray, most: int) -> np.ndarray:
    """Return ``rows``, or ``most`` random ones if there are more."""
    return rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False))


def _draw(rng: np.random.Generator, targets: Targets, size: int) -> np.ndarray:
    """Return ``size`` random rows of each class."""
    members = [np.flatnonzero(targets.classes == k) for k in range(targets.n_classes)]
    return np.concatenate([rng.permutation(m)[:size] for m in members])


def _answer(
    chosen: Candidate, kernel: np.ndarray, targets: Targets, rows: np.ndarray
) -> np.ndarray:
    """Return logits (T, K) of the last T clips of ``kernel``; of the first N, ``rows`` train."""
    inside, across = kernel[: len(targets)], kernel[len(targets) :]
    kind = "prototype" if chosen.head == "prototype" else "linear"
    penalty = chosen.penalty if chosen.head == "linear" else heads.PENALTIES["linear"][-2]
    duals, bias = heads.solve(kind, inside[np.ix_(rows, rows)], targets.rows(rows), (penalty,))
    return np.asarray(across[:, rows] @ duals[0] + bias[0])
