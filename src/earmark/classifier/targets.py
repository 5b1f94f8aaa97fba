"""What a head is to learn: the classes of each clip, and how much it counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Targets:
    """What is to be learned: ``onehot`` (N, K), 1 where a clip has a class and 0 elsewhere.

    ``weights`` (N,) say how much a clip counts, 1 on average. ``is_single``: one class a clip.
    """

    onehot: np.ndarray
    weights: np.ndarray
    is_single: bool = True

    @classmethod
    def single(cls, truth: np.ndarray, classes: int, balanced: bool = False) -> Targets:
        """Make targets of class numbers (N,); ``balanced`` lets each class count the same."""
        onehot = np.eye(classes)[truth]
        return cls(onehot, balanced_weights(onehot) if balanced else np.ones(len(onehot)))

    def rows(self, rows: np.ndarray) -> Targets:
        """Return the targets of some clips; ``rows`` as an array is indexed with."""
        return Targets(self.onehot[rows], self.weights[rows], self.is_single)


def balanced_weights(onehot: np.ndarray) -> np.ndarray:
    """Return (N,) of mean 1: the mean over a clip's classes of 1 / (clips of the class)."""
    share = onehot / np.maximum(onehot.sum(0), 1)
    weights = share.sum(1) / np.maximum(onehot.sum(1), 1)
    weights[weights == 0] = 1 / len(onehot)  # a clip without any class
    return np.asarray(weights / weights.mean())


def first_class(onehot: np.ndarray) -> np.ndarray:
    """Return the number (N,) of the first class of each clip; -1 for a clip of none."""
    return np.where(onehot.any(1), onehot.argmax(1), -1)
