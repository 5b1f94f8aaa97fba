"""What a head finds, estimated from windows that were drawn at random, with intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta, chi2

LEVEL = 0.95
LEAST_DRAWS, LEAST_FOR_TOTAL = 3, 28  # fewer say nothing; a dozen has seven
RECENT = 35  # draws that count: older ones were drawn by worse heads
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
        """Return the interval of the sum with a known number; it is 0 at least."""
        low, value, high = (max(0.0, x + known) for x in (self.low, self.value, self.high))
        return Interval(value, low, high)


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


@dataclass(frozen=True)
class Draws:
    """Windows that were drawn at random and answered: n of them.

    Attributes
    ----------
    is_class : array, (n,) bool
    chances : array, (n,)
        The chance of each in one draw, among the windows that were not answered then.
    scores : array, (n,)
        0 to 1, of heads that did not learn from it and what is near to it.
    known : array, (n,)
        How many windows of the class were known when it was drawn.
    """

    is_class: np.ndarray
    chances: np.ndarray
    scores: np.ndarray
    known: np.ndarray

    def precision(self, threshold: float) -> Interval | None:
        """Return the share of the class among windows from the threshold on; None: unknown.

        Only the last RECENT draws count.
        """
        own = np.flatnonzero(self.scores >= threshold)
        own = own[own >= len(self.scores) - RECENT]
        if len(own) < LEAST_DRAWS:
            return None
        return share(self.is_class[own], 1 / self.chances[own])

    def total(self) -> Interval | None:
        """Return how many windows have the class; None: unknown.

        Each of the last RECENT draws estimates it: what was known, and one over its chance if it is
        a hit.
        """
        if len(self.chances) < LEAST_FOR_TOTAL:
            return None
        chances, scores = self.chances[-RECENT:], self.scores[-RECENT:]
        weights = 1 / chances / len(chances)
        # of one more hit, if hits are as likely as the scores say: the root mean square
        next_weight = math.sqrt(float(weights**2 @ scores / scores.sum()))
        hits = weights[self.is_class[-RECENT:]]
        return weighted_count(hits, next_weight).plus(float(self.known[-RECENT:].mean()))
