"""Stratified samples of windows: strata by score, and counts with intervals that hold for few hits.

The strata are quantiles on a logarithmic scale, so that the rare high scores have their own
(Navine, Denton, Weldy and Hart 2024). The upper end of an interval assumes one more hit, the lower
end one more miss. Both are put into the stratum whose answers stand for the most windows (Fay and
Feuer 1997). So the interval of a sample without a hit still has a width.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from earmark.labelling.estimates import LEVEL, Interval

FACTOR = 4  # each stratum has a fourth of the windows of the one below it
MOST_STRATA = 6
LEAST_WINDOWS = 25  # of the highest stratum
LEAST_DRAWN = 5  # of each stratum
LEAST_HITS = 8  # with fewer in a stratum, events are like those of all strata
DRAWS = 4_000


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
        How much each answered window counts. Those with the class come first.
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

    @property
    def weight(self) -> float:
        """How many windows an answer stands for; 0 if all windows or none were answered."""
        is_open = 0 < self.answered < self.windows
        return self.windows / self.effective if is_open else 0.0

    def draws(self, rng: np.random.Generator, more_hits: float, more_misses: float) -> np.ndarray:
        """Draw numbers (DRAWS,) of windows with the class.

        The windows that were answered are known, and the others are drawn, as if there had been
        more hits and more misses.
        """
        size = self.effective
        a, b = self.rate * size + more_hits, (1 - self.rate) * size + more_misses
        if self.answered == 0:
            rate = np.full(DRAWS, float(more_hits > 0))
        elif a <= 1e-9 or b <= 1e-9:
            rate = np.full(DRAWS, float(b <= 1e-9))
        else:
            rate = rng.beta(a, b, DRAWS)
        drawn: np.ndarray = self.hits + rng.binomial(self.windows - self.answered, rate)
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
    ends = [sum(draws for draws, _ in _ends(cells, rng, is_high)) for is_high in (False, True)]
    return _interval(sum(cell.value for cell in cells), *ends)


def count_events(cells: Sequence[Cell], seed: int) -> Interval:
    """Return the number of events in all cells: of each window with the class, its share."""
    rng = np.random.default_rng(seed)
    every = np.concatenate([cell.shares for cell in cells]) if cells else np.zeros(0)

    def shares(cell: Cell) -> np.ndarray:
        return cell.shares if cell.hits >= LEAST_HITS or not len(every) else every

    value = sum(c.value * float(shares(c).mean()) for c in cells if len(shares(c)))
    ends = [
        sum(
            cell.shares.sum()
            + (draws - cell.hits) * _mean_shares(shares(cell), rng, float(is_high))
            for draws, cell in _ends(cells, rng, is_high)
        )
        for is_high in (False, True)
    ]
    return _interval(value, *ends)


def _ends(
    cells: Sequence[Cell], rng: np.random.Generator, is_high: bool
) -> Iterator[tuple[np.ndarray, Cell]]:
    """Yield numbers (DRAWS,) of windows with the class for one end of the interval, by cell."""
    heaviest = max(cells, key=lambda cell: cell.weight, default=None)
    for cell in cells:
        more = 1.0 if cell is heaviest or cell.answered == 0 else 0.0
        yield cell.draws(rng, *((more, 0.0) if is_high else (0.0, more))), cell


def _mean_shares(shares: np.ndarray, rng: np.random.Generator, end: float) -> np.ndarray:
    """Draw means (DRAWS,) of the shares of windows in events, by the Bayesian bootstrap.

    One share more, which nobody saw, is 0 or 1, the ``end`` of the interval.
    """
    shares = np.append(shares, end)
    weights = rng.standard_exponential((DRAWS, len(shares)))
    means: np.ndarray = weights @ shares / weights.sum(1)
    return means


def _interval(value: float, low: np.ndarray | int, high: np.ndarray | int) -> Interval:
    tail = (1 - LEVEL) / 2
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
