"""Heads of one class that are fitted to the answers on windows of an archive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from earmark.embeddings.archive import Windows
from earmark.labelling.active import Head, fit_head, margins_without, probability
from earmark.labelling.answered import Answered
from earmark.labelling.decisions import Decision

WEAK, WEAK_WEIGHT = 200, 0.1  # windows that nobody has answered, which are mostly not of the class
NEAR_S = 10.0  # seconds


@dataclass(frozen=True)
class Taught:
    """What a head learns from: m vectors.

    Attributes
    ----------
    vectors : array, (m, D)
    is_class : array, (m,) bool
    weights : array, (m,)
    contents : array, (m,) int64
        The content of each vector's recording; -1 for one that is not in the archive.
    order : array, (m,) int64
        The number of the answer of each, in time; -1 for windows that nobody has answered.
    """

    vectors: np.ndarray
    is_class: np.ndarray
    weights: np.ndarray
    contents: np.ndarray
    order: np.ndarray

    def head(self, keep: np.ndarray) -> Head:
        """Return the head that learned from some of the vectors, a mask (m,)."""
        return fit_head(self.vectors[keep], self.is_class[keep], self.weights[keep])


@dataclass(frozen=True)
class Fitted:
    """A head, what it learned from, and the margins (N,) of all windows."""

    head: Head
    taught: Taught
    margins: np.ndarray


class Learner:
    """Fits heads to answers; ``outside`` returns the vector (D,) of a stretch elsewhere."""

    def __init__(self, windows: Windows, outside: Callable[[Decision], np.ndarray]) -> None:
        self.windows, self._outside = windows, outside

    def fit(self, known: Answered, rows: np.ndarray, rng: np.random.Generator) -> Fitted:
        """Fit the head; weak negatives come from ``rows`` (n,), which nobody has answered."""
        taught = self._taught(known, rows, rng)
        head = taught.head(np.ones(len(taught.weights), bool))
        margins = self.windows.similarities(head.weights) + np.float32(head.bias)
        return Fitted(head, taught, margins)

    def _taught(self, known: Answered, rows: np.ndarray, rng: np.random.Generator) -> Taught:
        weak = rng.choice(rows, min(WEAK, len(rows)), replace=False)
        inside = self.windows.vectors_of(np.concatenate([known.rows, weak]))
        outside = [self._outside(decision) for decision, _ in known.outside]
        n, m = len(weak), len(outside)
        shape = (0, inside.shape[1])
        return Taught(
            vectors=np.concatenate([np.array(outside, np.float32).reshape(m, shape[1]), inside]),
            is_class=np.concatenate(
                [[is_class for _, is_class in known.outside], known.is_class, np.zeros(n)]
            ).astype(bool),
            weights=np.concatenate([np.ones(m), known.weights, np.full(n, WEAK_WEIGHT)]),
            contents=np.concatenate(
                [np.full(m, -1), self.windows.contents[np.concatenate([known.rows, weak])]]
            ),
            order=np.concatenate([np.zeros(m), np.arange(len(known.rows)), np.full(n, -1)]),
        )

    def scores_without(self, fitted: Fitted, known: Answered, own: np.ndarray) -> np.ndarray:
        """Return scores (n,) of answered windows, of heads that did not learn from them.

        ``own`` (n,) are their numbers among the answered ones. What lies within NEAR_S of a window
        in its recording is left out with it.
        """
        taught, first = fitted.taught, len(known.outside)
        answered = range(first, first + len(known.rows))
        numbers = self.windows.numbers[known.rows]
        contents = self.windows.contents[known.rows]
        near = NEAR_S / self.windows.network.hop_s
        blocks = []
        for k in own.tolist():
            is_near = (contents == contents[k]) & (np.abs(numbers - numbers[k]) <= near)
            is_near[k] = False
            blocks.append(np.array([answered[k], *(np.flatnonzero(is_near) + first)]))
        margins = margins_without(taught.vectors, taught.is_class, taught.weights, blocks)
        return probability(margins)
