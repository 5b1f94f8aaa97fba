"""Where scores become decisions: thresholds, sets of plausible classes, and "unknown"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from earmark.errors import EarmarkError

LEVELS = 1_000  # quantiles of the nonconformity that are kept


@dataclass(frozen=True)
class DecisionRule:
    """What a classifier needs to decide, all of it from out-of-fold scores.

    ``thresholds`` (K,) are those with the best F1, for clips with several classes; else empty.
    ``nonconformity`` are quantiles, at even ranks, of 1 - (score of the true class).
    A clip whose known-score is below ``unknown_threshold`` is unknown; None: never asked.
    """

    thresholds: tuple[float, ...] = ()
    nonconformity: tuple[float, ...] = ()
    unknown_threshold: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what a file keeps of it, under the names that files of 0.1 have."""
        return {
            "thresholds": self.thresholds,
            "disbelief": self.nonconformity,
            "unknown_below": self.unknown_threshold,
        }

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> DecisionRule:
        """Make a rule of what a file keeps of one."""
        return cls(tuple(saved["thresholds"]), tuple(saved["disbelief"]), saved["unknown_below"])

    @classmethod
    def fit(cls, scores: np.ndarray, onehot: np.ndarray, is_single: bool) -> DecisionRule:
        """Fit to out-of-fold ``scores`` (N, K) of clips whose classes ``onehot`` (N, K) says."""
        if not is_single:
            return cls(thresholds=tuple(best_thresholds(scores, onehot).tolist()))
        values = np.sort(nonconformity(scores, onehot))
        ranks = np.linspace(0, len(values) - 1, min(len(values), LEVELS))
        return cls(nonconformity=tuple(np.interp(ranks, np.arange(len(values)), values).tolist()))

    def most_nonconformity(self, coverage: float) -> float:
        """Return the largest 1 - score a class may have and still be in the prediction set.

        A set holds the true class of a clip like those trained on with at least the probability
        ``coverage`` (split conformal sets: Vovk et al. 2005; LAC: Sadinle et al. 2019). Raises
        EarmarkError for a coverage that is not between 0 and 1, and for several classes a clip.
        """
        if not 0 < coverage < 1:
            raise EarmarkError(f"no coverage {coverage:g}; give one between 0 and 1, such as 0.9.")
        if not self.nonconformity:
            raise EarmarkError("clips with several classes have no sets of plausible ones.")
        return conformal_quantile(np.array(self.nonconformity), coverage)


def nonconformity(scores: np.ndarray, onehot: np.ndarray) -> np.ndarray:
    """Return 1 - score of the true class (N,)."""
    return np.asarray(1 - scores[np.arange(len(onehot)), onehot.argmax(1)].astype(np.float64))


def conformal_quantile(values: np.ndarray, coverage: float) -> float:
    """Return the quantile of ``values`` (N,), sorted, that a new value stays below so often."""
    rank = int(np.ceil((len(values) + 1) * coverage)) - 1
    return float(values[rank]) if rank < len(values) else 1.0


def best_thresholds(scores: np.ndarray, onehot: np.ndarray) -> np.ndarray:
    """Return for each class (K,) the threshold on ``scores`` (N, K) with the best F1."""
    columns = (_ranked(scores, onehot, k) for k in range(scores.shape[1]))
    return np.array([_best_threshold(ranked, has) for _, ranked, has in columns])


def fold_thresholds(scores: np.ndarray, onehot: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Return (F, K): for each fold the :func:`best_thresholds` on the clips outside of it.

    ``fold`` (N,) has the number of each clip's fold, from 0.
    """
    thresholds = np.zeros((int(fold.max()) + 1, scores.shape[1]), scores.dtype)
    for k in range(scores.shape[1]):
        order, ranked, has = _ranked(scores, onehot, k)
        for number in range(len(thresholds)):
            others = fold[order] != number
            thresholds[number, k] = _best_threshold(ranked[others], has[others])
    return thresholds


def _ranked(
    scores: np.ndarray, onehot: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the order of clips by their score of a class, these scores, and who has the class."""
    order = np.argsort(-scores[:, k], kind="stable")
    return order, scores[order, k], onehot[order, k] > 0


def _best_threshold(ranked: np.ndarray, has: np.ndarray) -> float:
    """Half-way between the two scores where F1 is highest; 0.5 for a class that never occurs.

    Scores (N,) come in falling order; ``has`` (N,) says which clips have the class.
    """
    if not has.any():
        return 0.5
    taken = np.arange(1, len(has) + 1)
    f1 = 2 * np.cumsum(has) / (taken + has.sum())
    f1[:-1][ranked[:-1] == ranked[1:]] = 0  # equal scores cannot be parted
    last = int(np.argmax(f1))
    following = ranked[last + 1] if last + 1 < len(ranked) else 0.0
    return float((ranked[last] + following) / 2)
