"""Turn scores into decisions: thresholds, sets of plausible classes, and "unknown"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from earmark.errors import EarmarkError

LEVELS = 1_000  # quantiles of the nonconformity that are saved


@dataclass(frozen=True)
class DecisionRule:
    """The rule by which a classifier decides, fitted to out-of-fold scores.

    Attributes
    ----------
    thresholds : tuple of float, (K,)
        The threshold with the best F1 for each class; empty for clips with one class.
    nonconformity : tuple of float
        Quantiles, at even ranks, of 1 - score of the true class; empty for clips with several
        classes.
    unknown_threshold : float or None
        Clips with a lower known-score are predicted 'unknown'. None without ``--unknown``.
    """

    thresholds: tuple[float, ...] = ()
    nonconformity: tuple[float, ...] = ()
    unknown_threshold: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the rule as JSON, under the names that files have had since earmark 0.1."""
        return {
            "thresholds": self.thresholds,
            "disbelief": self.nonconformity,
            "unknown_below": self.unknown_threshold,
        }

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> DecisionRule:
        """Return the rule that :meth:`to_json` wrote."""
        return cls(tuple(saved["thresholds"]), tuple(saved["disbelief"]), saved["unknown_below"])

    @classmethod
    def fit(cls, scores: np.ndarray, onehot: np.ndarray, is_single: bool) -> DecisionRule:
        """Fit a rule to out-of-fold ``scores`` (N, K) and the true classes ``onehot`` (N, K)."""
        if not is_single:
            return cls(thresholds=tuple(best_thresholds(scores, onehot).tolist()))
        values = np.sort(nonconformity(scores, onehot))
        ranks = np.linspace(0, len(values) - 1, min(len(values), LEVELS))
        return cls(nonconformity=tuple(np.interp(ranks, np.arange(len(values)), values).tolist()))

    def most_nonconformity(self, coverage: float) -> float:
        """Return the largest 1 - score a class may have and still be in the prediction set.

        For clips like the training clips, a set contains the true class with a probability of at
        least ``coverage`` (split conformal sets: Vovk et al. 2005; LAC: Sadinle et al. 2019).
        Raises EarmarkError for a coverage that is not between 0 and 1, and for a classifier of
        clips with several classes.
        """
        if not 0 < coverage < 1:
            raise EarmarkError(
                f"coverage is {coverage:g}. Give a number between 0 and 1, such as 0.9."
            )
        if not self.nonconformity:
            raise EarmarkError(
                "this classifier predicts several classes per clip, so it has no sets of plausible"
                " classes. Leave out the coverage."
            )
        return conformal_quantile(np.array(self.nonconformity), coverage)


def nonconformity(scores: np.ndarray, onehot: np.ndarray) -> np.ndarray:
    """Return 1 - score of the true class, (N,)."""
    return np.asarray(1 - scores[np.arange(len(onehot)), onehot.argmax(1)].astype(np.float64))


def conformal_quantile(values: np.ndarray, coverage: float) -> float:
    """Return the bound on a new value with probability ``coverage``; ``values`` (N,) are sorted."""
    rank = int(np.ceil((len(values) + 1) * coverage)) - 1
    return float(values[rank]) if rank < len(values) else 1.0


def best_thresholds(scores: np.ndarray, onehot: np.ndarray) -> np.ndarray:
    """Return for each class (K,) the threshold on ``scores`` (N, K) with the best F1."""
    columns = (_rank(scores, onehot, k) for k in range(scores.shape[1]))
    return np.array([_best_threshold(ranked, has) for _, ranked, has in columns])


def fold_thresholds(scores: np.ndarray, onehot: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Return (F, K): for each fold, the :func:`best_thresholds` on the clips of the other folds.

    ``fold`` (N,) is the number of each clip's fold, from 0.
    """
    thresholds = np.zeros((int(fold.max()) + 1, scores.shape[1]), scores.dtype)
    for k in range(scores.shape[1]):
        order, ranked, has = _rank(scores, onehot, k)
        for number in range(len(thresholds)):
            others = fold[order] != number
            thresholds[number, k] = _best_threshold(ranked[others], has[others])
    return thresholds


def _rank(
    scores: np.ndarray, onehot: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return clips by falling score of class ``k``, these scores, and whether they have it."""
    order = np.argsort(-scores[:, k], kind="stable")
    return order, scores[order, k], onehot[order, k] > 0


def _best_threshold(ranked: np.ndarray, has: np.ndarray) -> float:
    """Return the threshold with the highest F1: half-way between two scores, 0.5 without clips.

    The scores ``ranked`` (N,) fall; ``has`` (N,) says which clips have the class.
    """
    if not has.any():
        return 0.5
    positives = np.arange(1, len(has) + 1)
    f1 = 2 * np.cumsum(has) / (positives + has.sum())
    f1[:-1][ranked[:-1] == ranked[1:]] = 0  # no threshold lies between equal scores
    last = int(np.argmax(f1))
    following = ranked[last + 1] if last + 1 < len(ranked) else 0.0
    return float((ranked[last] + following) / 2)
