"""Sums over clips, fold by fold, from which linear heads are solved without those folds.

One pass over the clips sums the products of their features; every head that leaves some folds out
is then solved from sums of sums. So memory does not grow with the clips, and a head for one more
penalty, or for one more pair of folds left out, costs no further pass (Rifkin and Klautau 2004).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from earmark.classifier.targets import Targets

if TYPE_CHECKING:
    from torch import Tensor

NEVER = -1e4  # the logit of a class that was not in training
LEAST_DEVIATION = 1e-6  # a unit that moves less says nothing
REFINEMENTS = 3  # of a float32 factor: each brings about two digits
STRIP = 512  # rows of a large matrix that are worked on at a time


def standard_scale(deviation: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the scale (D,) with which features of this ``deviation`` (D,) have rows of length 1.

    A unit that never moves in training says nothing, and must not explode when it does. Features
    may have ``weights`` (D,), which are those of their products; 0 leaves one out.
    """
    moving = np.where(deviation > LEAST_DEVIATION, deviation, np.inf)
    if weights is None:
        return np.asarray(moving * np.sqrt(len(deviation)))
    with np.errstate(divide="ignore"):
        return np.asarray(moving * np.sqrt(weights.sum() / weights))


def moments_bytes(n_features: int, n_classes: int, n_folds: int) -> int:
    """Return what the sums over ``n_folds`` and solving one head from them take of memory.

    A system, its part with weights and its factor are as large as the sums of a fold; strips are
    worked on in float64.
    """
    square = 4 * (n_features + 1) ** 2
    strips = 8 * STRIP * (n_features + 1) * 4
    return (n_folds + 4) * square + strips + n_folds * 8 * n_classes * n_features


class FoldMoments:
    """Sums over the clips of each of ``n_folds`` folds, of features (n, D) less a rough mean.

    Products of features, weighted, are float32, and so the sums of D x D a fold are the only ones
    that need much memory; all others are float64. The rough mean ``shift`` (D,), that of some
    clips, keeps float32 exact enough.
    """

    def __init__(self, shift: np.ndarray, n_folds: int, n_classes: int) -> None:
        size = len(shift)
        self.shift = shift.astype(np.float32)
        self.count = np.zeros(n_folds)
        self.first = np.zeros((n_folds, size))  # sums of the features,
        self.second = np.zeros((n_folds, size))  # and of their squares
        self.mass = np.zeros(n_folds)  # sums of weights,
        self.weighted = np.zeros((n_folds, size))  # of weighted features,
        self.products = np.zeros((n_folds, size, size), np.float32)  # of weighted products,
        self.class_mass = np.zeros((n_folds, n_classes))  # of the weights of each class,
        self.class_sums = np.zeros((n_folds, n_classes, size))  # of its weighted features,
        self.class_count = np.zeros((n_folds, n_classes))  # and its clips

    def add(self, fold: int, features: np.ndarray, targets: Targets) -> None:
        """Add clips of ``fold`` with ``features`` (n, D); about a thousand at a time are quick."""
        x = features - self.shift
        onehot, weights = targets.onehot, targets.weights.astype(np.float32)
        self.count[fold] += len(x)
        self.first[fold] += x.sum(0, dtype=np.float64)
        self.second[fold] += np.square(x).sum(0, dtype=np.float64)
        self.class_count[fold] += targets.counts
        onehot *= weights[:, None]
        self.mass[fold] += weights.sum(dtype=np.float64)
        self.class_mass[fold] += onehot.sum(0, dtype=np.float64)
        self.class_sums[fold] += onehot.T @ x
        if (weights == 1).all():
            self.weighted[fold] += x.sum(0, dtype=np.float64)
        else:
            self.weighted[fold] += weights @ x
            x *= np.sqrt(weights)[:, None]
        self.products[fold] += x.T @ x

    def system_without(self, *folds: int) -> System:
        """Return the equations of the clips outside of ``folds``."""
        return self.system([fold for fold in range(len(self.count)) if fold not in folds])

    def system(self, folds: Sequence[int]) -> System:
        """Return the equations of the clips of ``folds``, which are trained on."""
        folds = list(folds)
        count, mass = self.count[folds].sum(), self.mass[folds].sum()
        mean = self.first[folds].sum(0) / count
        variance = self.second[folds].sum(0) / count - mean**2
        scale = standard_scale(np.sqrt(variance.clip(0)))
        size = len(mean)
        weighted = self.weighted[folds].sum(0)
        beside = (weighted - mass * mean) / scale  # the sum of standardised features
        matrix = np.empty((size + 1, size + 1), np.float32)
        matrix[-1, :-1] = matrix[:-1, -1] = beside
        matrix[-1, -1] = mass
        for start in range(0, size, STRIP):
            rows = slice(start, min(size, start + STRIP))
            strip = self.products[folds, rows].sum(0, dtype=np.float64)
            strip -= np.outer(mean[rows], weighted)
            strip -= np.outer(weighted[rows] - mass * mean[rows], mean)
            matrix[rows, :-1] = strip / scale[rows, None] / scale
        class_mass = self.class_mass[folds].sum(0)
        prior = class_mass / mass
        sums = self.class_sums[folds].sum(0)
        sums -= np.outer(class_mass, mean)
        sums /= scale
        return System(
            count,
            self.shift + mean,
            scale,
            matrix,
            sums,
            class_mass,
            self.class_count[folds].sum(0),
            prior,
        )


@dataclass(frozen=True)
class System:
    """What linear heads are solved from: sums over ``count`` clips, of standardised features.

    ``mean`` and ``scale`` (D,) are those of the features. ``matrix`` (D + 1, D + 1) float32 has
    the weighted products of features, the last of which is always 1. ``class_sums`` (K, D) are
    weighted sums over the clips of each class, whose weights are ``class_mass`` (K,) and number
    ``class_count`` (K,). ``prior`` (K,) is the weighted share of each class.
    """

    count: float
    mean: np.ndarray
    scale: np.ndarray
    matrix: np.ndarray
    class_sums: np.ndarray
    class_mass: np.ndarray
    class_count: np.ndarray
    prior: np.ndarray

    def part(self, columns: np.ndarray, weights: np.ndarray | None = None) -> System:
        """Return the equations of some features (d,), which may have ``weights`` (d,)."""
        is_moving = np.isfinite(self.scale[columns])
        deviation = np.where(is_moving, self.scale[columns] / np.sqrt(len(self.scale)), 0)
        scale = standard_scale(deviation, weights)
        ratio = np.where(is_moving, self.scale[columns], 0) / scale
        every = np.append(columns, len(self.scale))  # and the feature that is always 1
        factor = np.append(ratio, 1).astype(np.float32)
        matrix = self.matrix[every[:, None], every]
        matrix *= factor
        matrix *= factor[:, None]
        sums = self.class_sums[:, columns] * ratio
        return replace(self, mean=self.mean[columns], scale=scale, matrix=matrix, class_sums=sums)

    def solve(
        self, kind: str, penalty: float, *, exact: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return weight (K, D) and bias (K,) of a 'linear' or 'prototype' head."""
        return self._prototypes() if kind == "prototype" else self._ridge(penalty, exact)

    def _ridge(self, penalty: float, exact: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return weight (K, D) and bias (K,) of regularised least squares, float64.

        ``exact`` refines the solution of the float32 factor against the float32 sums in float64;
        without it, it is as exact as judging a candidate needs.
        """
        import torch

        right = np.concatenate([self.class_sums.T, np.zeros((1, len(self.prior)))])
        right[:-1] -= np.outer(self.matrix[:-1, -1], self.prior)
        loaded = torch.from_numpy(self.matrix).clone()
        loaded.diagonal().add_(penalty * self.count)
        solution = solve_loaded(loaded, torch.from_numpy(right), exact=exact).double()
        weight, bias = solution[:-1].T.numpy(), solution[-1].numpy() + self.prior
        bias[self.class_count == 0] = NEVER
        return weight, bias

    def _prototypes(self) -> tuple[np.ndarray, np.ndarray]:
        """Return weight (K, D) and bias (K,) of the nearest class mean, as for a kernel."""
        means = self.class_sums / np.maximum(self.class_mass, 1e-12)[:, None]
        square = np.square(means).sum(1)
        length = self.count * np.isfinite(self.scale).sum() / len(self.scale)
        kept = shrinkage(square, self.class_count, length, self.count)
        bias = -0.5 * square * kept**2
        bias[self.class_count == 0] = NEVER
        return means * kept[:, None], bias


def solve_loaded(loaded: Tensor, right: Tensor, *, exact: bool) -> Tensor:
    """Return the solution (D, K) of ``loaded`` (D, D) times it = ``right`` (D, K).

    ``loaded`` is float32 and positive. ``exact`` refines the solution of the float32 factor in
    float64; without it, it is as exact as judging a candidate needs, and float32.
    """
    import torch

    factor, failed = torch.linalg.cholesky_ex(loaded)
    if failed:  # rounding; in double precision it is positive
        factor = torch.linalg.cholesky(loaded.double())
        solution = torch.cholesky_solve(right.double(), factor)
        return solution if exact else solution.float()
    solution = torch.cholesky_solve(right.float(), factor)
    if not exact:
        return solution
    solution, right = solution.double(), right.double()
    for _ in range(REFINEMENTS):
        product = torch.cat([s.double() @ solution for s in torch.split(loaded, STRIP)])
        solution += torch.cholesky_solve((right - product).float(), factor).double()
    return solution


def shrinkage(square: np.ndarray, counts: np.ndarray, length: float, n_clips: float) -> np.ndarray:
    """Return how much (K,) of each class mean is kept, the rest being what chance puts into it.

    ``square`` (K,) is its squared length, and ``length`` the sum of those of all clips. The factor
    is that of James and Stein (1961): 1 - (variance of the mean) / (its square).
    """
    present = np.count_nonzero(counts)
    within = length - (counts * square).sum()
    variance = max(within, 0.0) / (n_clips - present) if n_clips > present else 0.0
    return np.asarray(np.clip(1 - variance / np.maximum(counts * square, 1e-9), 0, 1))
