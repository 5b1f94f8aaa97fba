"""What a head is to learn: the classes of each clip, and how much it counts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Targets:
    """What is to be learned of N clips and ``n_classes`` K.

    ``classes`` has the class number (N,) of clips with one class each; of clips with several it is
    bool (N, K). ``weights`` (N,) say how much a clip counts, about 1 on average.
    """

    classes: np.ndarray
    n_classes: int
    weights: np.ndarray

    @classmethod
    def single(cls, truth: np.ndarray, classes: int, balanced: bool = False) -> Targets:
        """Make targets of class numbers (N,); ``balanced`` lets each class count the same."""
        targets = cls(np.asarray(truth, np.int64), classes, np.ones(len(truth)))
        return targets.balanced() if balanced else targets

    @classmethod
    def several(cls, onehot: np.ndarray) -> Targets:
        """Make targets of a matrix (N, K) that is not 0 where a clip has a class."""
        return cls(np.asarray(onehot) > 0, onehot.shape[1], np.ones(len(onehot)))

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def is_single(self) -> bool:
        """Whether each clip has one class."""
        return self.classes.ndim == 1

    @property
    def onehot(self) -> np.ndarray:
        """(N, K) float32, 1 where a clip has a class and 0 elsewhere; made anew at each call."""
        if not self.is_single:
            return self.classes.astype(np.float32)
        onehot = np.zeros((len(self), self.n_classes), np.float32)
        onehot[np.arange(len(self)), self.classes] = 1
        return onehot

    @property
    def first(self) -> np.ndarray:
        """The number (N,) of the first class of each clip; -1 for a clip of none."""
        return self.classes if self.is_single else first_class(self.classes)

    @property
    def counts(self) -> np.ndarray:
        """How many clips (K,) have each class."""
        if self.is_single:
            return np.bincount(self.classes, minlength=self.n_classes).astype(np.float64)
        return np.asarray(self.classes.sum(0, dtype=np.float64))

    @property
    def prior(self) -> np.ndarray:
        """The weighted share (K,) of each class."""
        if self.is_single:
            sums = np.bincount(self.classes, self.weights, self.n_classes)
        else:
            sums = self.weights @ self.classes
        return np.asarray(sums / self.weights.sum())

    def rows(self, rows: np.ndarray | slice) -> Targets:
        """Return the targets of some clips; ``rows`` as an array is indexed with."""
        return Targets(self.classes[rows], self.n_classes, self.weights[rows])

    def balanced(self) -> Targets:
        """Return the targets with weights of mean 1 with which each class counts the same."""
        if not self.is_single:
            return replace(self, weights=balanced_weights(self.onehot))
        weights = 1 / self.counts[self.classes]  # a class of no clips is in none of them
        return replace(self, weights=weights / weights.mean())


def balanced_weights(onehot: np.ndarray) -> np.ndarray:
    """Return (N,) of mean 1: the mean over a clip's classes of 1 / (clips of the class)."""
    share = onehot / np.maximum(onehot.sum(0), 1)
    weights = share.sum(1) / np.maximum(onehot.sum(1), 1)
    weights[weights == 0] = 1 / len(onehot)  # a clip without any class
    return np.asarray(weights / weights.mean())


def first_class(onehot: np.ndarray) -> np.ndarray:
    """Return the number (N,) of the first class of each clip; -1 for a clip of none."""
    return np.where(onehot.any(1), onehot.argmax(1), -1)
