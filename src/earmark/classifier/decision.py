"""Where scores become decisions: thresholds, sets of plausible classes, and "unknown"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from earmark.errors import EarmarkError

LEVELS = 1_000  # quantiles kept of how little the true class was believed


@dataclass(frozen=True)
class DecisionRule:
    """What a classifier needs to decide, all of it from out-of-fold scores.

    ``thresholds`` (K,) are those with the best F1, for clips with several classes; else empty.
    ``disbelief`` are quantiles, at even ranks, of 1 - (score of the true class).
    ``unknown_below`` is the familiarity under which a clip is of no known class; None: never asked.
    """

    thresholds: tuple[float, ...] = ()
    disbelief: tuple[float, ...] = ()
    unknown_below: float | None = None

    @classmethod
    def from_json(cls, held: dict[str, Any]) -> DecisionRule:
        """Make limits of what JSON kept of them."""
        return cls(tuple(held["thresholds"]), tuple(held["disbelief"]), held["unknown_below"])

    @classmethod
    def fit(cls, scores: np.ndarray, of: np.ndarray, is_single: bool) -> DecisionRule:
        """Fit to out-of-fold ``scores`` (N, K) of clips whose classes ``of`` (N, K) says."""
        if not is_single:
            return cls(thresholds=tuple(best_thresholds(scores, of).tolist()))
        found = np.sort(disbelief(scores, of))
        ranks = np.linspace(0, len(found) - 1, min(len(found), LEVELS))
        return cls(disbelief=tuple(np.interp(ranks, np.arange(len(found)), found).tolist()))

    def most_disbelief(self, coverage: float) -> float:
        """Return up to which 1 - score a class belongs to the set that covers so much.

        A set holds the true class of a clip like those trained on with at least the probability
        ``coverage`` (split conformal sets: Vovk et al. 2005; LAC: Sadinle et al. 2019). Raises
        EarmarkError for a coverage that is not between 0 and 1, and for several classes a clip.
        """
        if not 0 < coverage < 1:
            raise EarmarkError(f"no coverage {coverage:g}; give one between 0 and 1, such as 0.9.")
        if not self.disbelief:
            raise EarmarkError("clips with several classes have no sets of plausible ones.")
        return conformal_quantile(np.array(self.disbelief), coverage)


def disbelief(scores: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Return 1 - score of the true class (N,)."""
    return np.asarray(1 - (scores * of).sum(1))


def conformal_quantile(found: np.ndarray, coverage: float) -> float:
    """Return the quantile of ``found`` (N,), sorted, that a new value stays below so often."""
    rank = int(np.ceil((len(found) + 1) * coverage)) - 1
    return float(found[rank]) if rank < len(found) else 1.0


def best_thresholds(scores: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Return for each class (K,) the threshold on ``scores`` (N, K) with the best F1."""
    return np.array([_best_threshold(s, o) for s, o in zip(scores.T, of.T, strict=True)])


def _best_threshold(scores: np.ndarray, of: np.ndarray) -> float:
    """Half-way between the two scores where F1 is highest; 0.5 for a class that never occurs."""
    if not of.any():
        return 0.5
    order = np.argsort(-scores, kind="stable")
    ranked, taken = scores[order], np.arange(1, len(of) + 1)
    f1 = 2 * np.cumsum(of[order]) / (taken + of.sum())
    f1[:-1][ranked[:-1] == ranked[1:]] = 0  # equal scores cannot be parted
    last = int(np.argmax(f1))
    following = ranked[last + 1] if last + 1 < len(ranked) else 0.0
    return float((ranked[last] + following) / 2)
