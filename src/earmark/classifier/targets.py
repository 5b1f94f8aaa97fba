"""What a head is to learn: the classes of each clip, and how much it counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Targets:
    """What is to be learned: ``of`` (N, K), 1 where a clip has a class and 0 elsewhere.

    ``weights`` (N,) say how much a clip counts, 1 on average. ``is_single``: one class a clip.
    """

    of: np.ndarray
    weights: np.ndarray
    is_single: bool = True

    @classmethod
    def single(cls, truth: np.ndarray, classes: int, balanced: bool = False) -> Targets:
        """Make targets of class numbers (N,); ``balanced`` lets each class count the same."""
        of = np.eye(classes)[truth]
        return cls(of, balanced_weights(of) if balanced else np.ones(len(of)))

    def rows(self, rows: np.ndarray) -> Targets:
        """Return the targets of some clips; ``rows`` as an array is indexed with."""
        return Targets(self.of[rows], self.weights[rows], self.is_single)


def balanced_weights(of: np.ndarray) -> np.ndarray:
    """Return (N,) of mean 1: the mean over a clip's classes of 1 / (clips of the class)."""
    share = of / np.maximum(of.sum(0), 1)
    weights = share.sum(1) / np.maximum(of.sum(1), 1)
    weights[weights == 0] = 1 / len(of)  # a clip without any class
    return np.asarray(weights / weights.mean())
