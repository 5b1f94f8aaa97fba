"""What a head finds, estimated from windows that were drawn at random, with intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta, chi2, t

LEVEL = 0.95
OF_A_DOZEN = 7  # windows that are drawn; the others are chosen
LEAST_DRAWS, LEAST_FOR_TOTAL = 3, 4 * OF_A_DOZEN  # fewer say nothing
RECENT = 5 * OF_A_DOZEN  # draws that count: older ones were drawn by worse heads
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


def share(is_class: np.ndarray, rounds: float) -> Interval:
    """Return the share of the class among windows (n,), n >= 2, with its interval.

    The interval is that of Clopper and Pearson for fewer windows, because those of one round were
    drawn by one head: Korn & Graubard, Survey Methodology 24 (1998), 193-201. ``rounds`` is their
    number. Wilson's interval is too short near 1, where precisions are.
    """
    value, tail = float(is_class.mean()), (1 - LEVEL) / 2
    freedom = (max(1.0, x - 1) for x in (len(is_class), min(rounds, len(is_class))))
    alone, together = (float(t.ppf(1 - tail, x)) for x in freedom)
    n = len(is_class) * (alone / together) ** 2
    hits = value * n
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
    """Windows that were drawn at random and answered, the last ones: n of them.

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

        All of them count alike: one over their chances would give some windows the weight of all
        others.
        """
        own = self.scores >= threshold
        if own.sum() < LEAST_DRAWS:
            return None
        return share(self.is_class[own], len(own) / OF_A_DOZEN)

    def total(self) -> Interval | None:
        """Return how many windows have the class; None: unknown.

        Each draw estimates it: what was known, and one over its chance if it is a hit.
        """
        if len(self.chances) < LEAST_FOR_TOTAL:
            return None
        weights = 1 / self.chances / len(self.chances)
        # of one more hit, if hits are as likely as the scores say: the root mean square
        next_weight = math.sqrt(float(weights**2 @ self.scores / self.scores.sum()))
        hits = weights[self.is_class]
        return weighted_count(hits, next_weight).plus(float(self.known.mean()))
