"""Stratified samples of windows: strata by score, and counts with intervals that hold for few hits.

The strata are quantiles on a logarithmic scale, so that the rare high scores have their own
(Navine, Denton, Weldy and Hart 2024). The interval joins the exact confidence distributions of the
strata (Fay, Proschan and Brittain 2015): a stratum without a hit still has a width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FACTOR = 4  # each stratum has a fourth of the windows of the one below it
MOST_STRATA = 6
LEAST_WINDOWS = 25  # of the highest stratum
LEAST_DRAWN = 5  # of each stratum
DRAWS = 4_000
COVERAGE = 0.95


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Cell:
    """A stratum, or some strata of a group: what was answered of it, and what was found.

    Attributes
    ----------
    windows : int
        How many windows it has.
    answered : int
        How many of them were answered.
    shares : array, (hits,)
        For each answered window with the class, the share of an event that it is: 1 over the
        windows of its event.
    weights : array, (answered,)
        The weights of the answered windows; those with the class come first.
    """

    windows: int
    answered: int
    shares: np.ndarray
    weights: np.ndarray

    @property
    def hits(self) -> int:
        """How many answered windows have the class."""
        return len(self.shares)

    @property
    def rate(self) -> float:
        """The share of windows with the class; 0 if nothing was answered."""
        total = float(self.weights.sum())
        return float(self.weights[: self.hits].sum()) / total if total else 0.0

    @property
    def effective(self) -> float:
        """The number of equally weighted answers that say as much (Kish 1965)."""
        squares = float(np.square(self.weights).sum())
        return float(self.weights.sum()) ** 2 / squares if squares else 0.0

    @property
    def value(self) -> float:
        """The estimated number of windows with the class."""
        return self.windows * self.rate

    def draws(self, rng: np.random.Generator, is_high: bool) -> np.ndarray:
        """Draw numbers (DRAWS,) of windows with the class from one end of its distribution.

        The windows that were answered are known, and the others are drawn.
        """
        hits, size = self.rate * self.effective, self.effective
        a, b = (hits + 1, size - hits) if is_high else (hits, size - hits + 1)
        rest = self.windows - self.answered
        if self.answered == 0:
            rate = np.full(DRAWS, float(is_high))
        elif a <= 1e-9 or b <= 1e-9:
            rate = np.full(DRAWS, float(b <= 1e-9))
        else:
            rate = rng.beta(a, b, DRAWS)
        drawn: np.ndarray = self.hits + rng.binomial(rest, rate)
        return drawn


def edges_of(scores: np.ndarray) -> list[float]:
    """Return the scores between strata, ascending, for the ``scores`` (N,) of all windows.

    A window is above an edge if its score is larger, so equal scores stay together.
    """
    ordered = np.sort(scores)[::-1]
    edges, size = list[float](), len(ordered) / FACTOR
    while size >= LEAST_WINDOWS and len(edges) < MOST_STRATA - 1:
        edges.append(float(ordered[round(size)]))
        size /= FACTOR
    return sorted(set(edges))


def strata_of(scores: np.ndarray, edges: Sequence[float]) -> np.ndarray:
    """Return the stratum (N,) of each score, from 0, the lowest."""
    strata: np.ndarray = np.searchsorted(np.array(edges, np.float64), scores.astype(np.float64))
    return strata


def allocate(sizes: np.ndarray, size: int) -> np.ndarray:
    """Return how many windows to draw of strata with ``sizes`` (H,), about ``size`` in all.

    They are in proportion to the roots of the sizes: in between the same number of each, which is
    good for the high scores, and the same share of each, which bounds what the low ones may hide.
    """
    shares = np.sqrt(sizes) / max(1e-9, float(np.sqrt(sizes).sum()))
    counts = np.maximum(np.floor(shares * size).astype(np.int64), LEAST_DRAWN)
    counts = np.minimum(counts, sizes)
    while counts.sum() > size and counts.max() > 1:
        counts[int(np.argmax(counts))] -= 1
    for number in np.argsort(-sizes).tolist():  # what rounding has left
        counts[number] += min(int(sizes[number] - counts[number]), max(0, size - counts.sum()))
    total: np.ndarray = counts
    return total


def count_windows(cells: Sequence[Cell], seed: int) -> Interval:
    """Return the number of windows with the class in all cells."""
    rng = np.random.default_rng(seed)
    low = np.sum([cell.draws(rng, False) for cell in cells], 0)
    high = np.sum([cell.draws(rng, True) for cell in cells], 0)
    return _interval(sum(cell.value for cell in cells), low, high)


def count_events(cells: Sequence[Cell], seed: int) -> Interval:
    """Return the number of events in all cells: of each window with the class, its share."""
    rng = np.random.default_rng(seed)
    every = np.concatenate([cell.shares for cell in cells]) if cells else np.zeros(0)
    value, low, high = 0.0, np.zeros(DRAWS), np.zeros(DRAWS)
    for cell in cells:
        own = cell.shares if cell.hits else every
        value += cell.value * (float(own.mean()) if len(own) else 1.0)
        low += cell.draws(rng, False) * _mean_shares(own, rng)
        high += cell.draws(rng, True) * _mean_shares(own, rng)
    return _interval(value, low, high)


def _mean_shares(shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw means (DRAWS,) of the shares of windows in events, by the Bayesian bootstrap."""
    if not len(shares):
        return np.ones(DRAWS)
    weights = rng.standard_exponential((DRAWS, len(shares)))
    means: np.ndarray = weights @ shares / weights.sum(1)
    return means


def _interval(value: float, low: np.ndarray, high: np.ndarray) -> Interval:
    tail = (1 - COVERAGE) / 2
    ends = float(np.quantile(low, tail)), float(np.quantile(high, 1 - tail))
    return Interval(value, min(value, ends[0]), max(value, ends[1]))


def run_lengths(numbers: np.ndarray, contents: np.ndarray, step: int) -> np.ndarray:
    """Return how many windows the run of each window has, (n,); runs are consecutive windows.

    Windows are sorted by content and then by number; consecutive ones are ``step`` apart.
    """
    if not len(numbers):
        return np.zeros(0, np.int64)
    is_next = (np.diff(numbers) == step) & (np.diff(contents) == 0)
    run = np.concatenate([[0], np.cumsum(~is_next)])
    lengths: np.ndarray = np.bincount(run)[run]
    return lengths


def steps_of(window_s: float, hop_s: float) -> int:
    """Return how many hops apart windows begin that do not overlap."""
    return max(1, math.ceil(window_s / hop_s - 1e-6))
