"""How accuracy grows with the number of clips, and what more of them would bring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from earmark.classifier.targets import Targets
from earmark.system.progress import Stages
from earmark.training import heads
from earmark.training.inner import Average, Candidate
from earmark.training.selection import Search

DRAWS = 4  # of clips, for each size and fold
MOST_TRAINED, MOST_TESTED = 800, 400  # clips of a fold; more only cost time
MOST_FOLDS = 5


def learning_curve(
    search: Search,
    chosen: Average,
    held_out: int | None = None,
    stages: Stages | None = None,
) -> list[dict[str, Any]]:
    """Return accuracy against clips a class (1, 2, 4, ...), with the spread over draws.

    Each point is a mean over folds and draws of the ``chosen`` head (least squares for a slow one)
    trained on so many clips of each class of the other folds and tested on the fold. 'low' and
    'high' are the 10 % and 90 % quantiles of single draws. Features are standardised on all clips
    of the other folds, which takes no labels. With ``held_out``, only that fold tests. Empty for
    clips with several classes.
    """
    if not search.targets.is_single:
        return []
    points: dict[int, list[float]] = {}
    factors = chosen.factors
    if any(member.head not in heads.SUMMED for member in chosen.members):
        factors = (1.0,) * len(factors)  # least squares stands in, and its logits are smaller
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
            "accuracy": float(np.mean(found)),
            "low": float(np.quantile(found, 0.1)),
            "high": float(np.quantile(found, 0.9)),
        }
        for size, found in sorted(points.items())
    ]


def gain_of_doubling(
    curve: Sequence[dict[str, Any]], accuracy: float | None = None
) -> float | None:
    """Return the accuracy that twice the clips would add, if errors go on falling as they do.

    How fast they fall is read off the last half of the curve, as a power law (Hestness et al.
    2017), which holds for one doubling and not for ten. They fall from those of all clips, whose
    ``accuracy`` is known: a curve ends at some hundred clips. By default they fall from its end.
    None where the curve has fewer than three points.
    """
    if len(curve) < 3:
        return None
    late = curve[-max(3, len(curve) // 2) :]
    errors = [max(1 - point["accuracy"], 1e-4) for point in late]
    slope = np.polyfit(np.log([point["clips_per_class"] for point in late]), np.log(errors), 1)[0]
    error = errors[-1] if accuracy is None else 1 - accuracy
    return float(error * (1 - 2.0 ** min(slope, 0.0)))


def _sizes(targets: Targets) -> list[int]:
    """Return 1, 2, 4, ... up to the size of the smallest class that is there."""
    counts = targets.counts
    least = int(counts[counts > 0].min())
    return [2**k for k in range(least.bit_length())]


def _some(rng: np.random.Generator, rows: np.ndarray, most: int) -> np.ndarray:
    return rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False))


def _draw(rng: np.random.Generator, targets: Targets, size: int) -> np.ndarray:
    members = [np.flatnonzero(targets.classes == k) for k in range(targets.n_classes)]
    return np.concatenate([rng.permutation(m)[:size] for m in members])


def _answer(
    chosen: Candidate, kernel: np.ndarray, targets: Targets, rows: np.ndarray
) -> np.ndarray:
    """Return logits (T, K) of the last clips of ``kernel``; ``rows`` of the first N train."""
    inside, across = kernel[: len(targets)], kernel[len(targets) :]
    kind = "prototype" if chosen.head == "prototype" else "linear"
    penalty = chosen.penalty if chosen.head == "linear" else heads.PENALTIES["linear"][-2]
    duals, bias = heads.solve(kind, inside[np.ix_(rows, rows)], targets.rows(rows), (penalty,))
    return np.asarray(across[:, rows] @ duals[0] + bias[0])
