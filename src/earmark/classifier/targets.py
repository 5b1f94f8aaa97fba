"""The training targets of a head: the classes and the weight of each clip."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Targets:
    """The classes of N clips, for K classes.

    Attributes
    ----------
    classes : array
        Class numbers (N,) if each clip has one class; else bool (N, K).
    n_classes : int
        K.
    weights : array, (N,)
        The weight of each clip, about 1 on average.
    """

    classes: np.ndarray
    n_classes: int
    weights: np.ndarray

    @classmethod
    def single(cls, truth: np.ndarray, classes: int, balanced: bool = False) -> Targets:
        """Return the targets for class numbers (N,); ``balanced`` gives classes equal weight."""
        targets = cls(np.asarray(truth, np.int64), classes, np.ones(len(truth)))
        return targets.balanced() if balanced else targets

    @classmethod
    def several(cls, onehot: np.ndarray) -> Targets:
        """Return the targets for a matrix (N, K) that is above 0 where a clip has a class."""
        return cls(np.asarray(onehot) > 0, onehot.shape[1], np.ones(len(onehot)))

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def is_single(self) -> bool:
        """Whether each clip has one class."""
        return self.classes.ndim == 1

    @property
    def onehot(self) -> np.ndarray:
        """(N, K) float32: 1 where a clip has a class, else 0; computed at each call."""
        if not self.is_single:
            return self.classes.astype(np.float32)
        onehot = np.zeros((len(self), self.n_classes), np.float32)
        onehot[np.arange(len(self)), self.classes] = 1
        return onehot

    @property
    def first(self) -> np.ndarray:
        """The number (N,) of the first class of each clip; -1 for a clip without a class."""
        return self.classes if self.is_single else first_class(self.classes)

    @property
    def counts(self) -> np.ndarray:
        """The number of clips (K,) of each class."""
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
        """Return the targets of the clips at ``rows``, an index of arrays."""
        return Targets(self.classes[rows], self.n_classes, self.weights[rows])

    def balanced(self) -> Targets:
        """Return the targets with weights of mean 1 that give all classes equal weight."""
        if not self.is_single:
            return replace(self, weights=balanced_weights(self.onehot))
        weights = 1 / self.counts[self.classes]  # a class without clips does not occur here
        return replace(self, weights=weights / weights.mean())


def balanced_weights(onehot: np.ndarray) -> np.ndarray:
    """Return weights (N,) of mean 1: the mean of 1 / (clips of the class) over a clip's classes."""
    share = onehot / np.maximum(onehot.sum(0), 1)
    weights = share.sum(1) / np.maximum(onehot.sum(1), 1)
    weights[weights == 0] = 1 / len(onehot)  # a clip without any class
    return np.asarray(weights / weights.mean())


def first_class(onehot: np.ndarray) -> np.ndarray:
    """Return the number (N,) of the first class of each clip; -1 for a clip without a class."""
    return np.where(onehot.any(1), onehot.argmax(1), -1)
