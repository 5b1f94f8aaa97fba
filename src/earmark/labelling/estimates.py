"""What a head finds, estimated from windows that were drawn at random, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta, chi2

LEVEL = 0.95
LEAST_DRAWS = 3  # fewer say nothing
TINY = 1e-9


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Interval:
        """Return the interval of a multiple."""
        return Interval(self.value * factor, self.low * factor, self.high * factor)

    def plus(self, known: float) -> Interval:
        """Return the interval of the sum with a known number."""
        return Interval(self.value + known, self.low + known, self.high + known)


def share(is_class: np.ndarray, weights: np.ndarray) -> Interval:
    """Return a weighted share with the exact interval of a smaller sample.

    Parameters
    ----------
    is_class : array, (n,) bool
        What was drawn, n >= 1.
    weights : array, (n,)
        One over the chance of each.

    Notes
    -----
    The sample counts as (sum w)^2 / sum w^2 windows, and the interval is that of Clopper and
    Pearson for so many: Korn & Graubard, Survey Methodology 24 (1998), 193-201. Wilson's is too
    short near 1, where precisions are.
    """
    value = min(1.0, float(weights @ is_class / weights.sum()))
    n = float(weights.sum() ** 2 / (weights @ weights))
    tail, hits = (1 - LEVEL) / 2, value * n
    low = float(beta.ppf(tail, hits, n - hits + 1)) if hits > TINY else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, n - hits)) if n - hits > TINY else 1.0
    return Interval(value, low, high)


def weighted_count(weights: np.ndarray, next_weight: float) -> Interval:
    """Return the sum of the weights (k,) of hits, with the interval of Fay and Feuer.

    ``next_weight`` is the weight that one more hit would have had. The interval is that of a
    weighted sum of Poisson counts: Fay & Feuer, Statistics in Medicine 16 (1997), 791-801.
    """
    tail = (1 - LEVEL) / 2
    value, variance = float(weights.sum()), float(weights @ weights)
    low = 0.0
    if value > 0:
        low = variance / (2 * value) * float(chi2.ppf(tail, 2 * value**2 / variance))
    y, v = value + next_weight, variance + next_weight**2
    return Interval(value, low, v / (2 * y) * float(chi2.ppf(1 - tail, 2 * y**2 / v)))


def total(parts: Sequence[Interval]) -> Interval:
    """Return the sum of independent estimates; their distances add up as squares do.

    Zou & Donner, Statistics in Medicine 27 (2008), 1693-1702.
    """
    value = sum(part.value for part in parts)
    low = math.sqrt(sum((part.value - part.low) ** 2 for part in parts))
    high = math.sqrt(sum((part.high - part.value) ** 2 for part in parts))
    return Interval(value, max(0.0, value - low), value + high)


@dataclass(frozen=True)
class Draws:
    """Windows that were drawn at random and answered: n of them.

    Attributes
    ----------
    is_class : array, (n,) bool
    chances : array, (n,)
    scores : array, (n,)
        0 to 1, of heads that did not learn from their recording.
    """

    is_class: np.ndarray
    chances: np.ndarray
    scores: np.ndarray

    def precision(self, threshold: float) -> Interval | None:
        """Return the share of the class among windows from the threshold on; None: unknown."""
        own = self.scores >= threshold
        if own.sum() < LEAST_DRAWS:
            return None
        return share(self.is_class[own], 1 / self.chances[own])

    def missed(self, threshold: float, expected: float) -> Interval | None:
        """Return how many windows of the class have scores below the threshold; None: unknown.

        ``expected`` is the sum of these scores: the number if each score were a probability. The
        draws say by which factor it is wrong.
        """
        if expected == 0:  # nothing is left
            return Interval(0.0, 0.0, 0.0)
        own = self.scores < threshold
        if own.sum() < LEAST_DRAWS:
            return None
        weights = 1 / self.chances[own]
        unit = expected / float(weights @ self.scores[own])
        hits = weights[self.is_class[own]] * unit
        return weighted_count(hits, float(weights.mean()) * unit)
