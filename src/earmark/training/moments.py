"""Sums over the clips of each fold, from which linear heads are solved that leave folds out.

One pass over the clips sums the products of their features. A head that leaves some folds out is
then solved from the sums of the other folds. So memory does not grow with the number of clips, and
another penalty or another pair of folds needs no further pass (Rifkin and Klautau 2004).
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
LEAST_DEVIATION = 1e-6  # features with a smaller standard deviation are ignored
REFINEMENTS = 3  # steps after a float32 solution; each adds about two digits
STRIP = 512  # rows of a large matrix that are processed at a time


def standard_scale(deviation: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the scale (D,) that gives features of this ``deviation`` (D,) rows of length about 1.

    A feature that is constant in training gets an infinite scale, so that it cannot explode if it
    changes later. Features may have ``weights`` (D,), which apply to their products; a weight of 0
    leaves a feature out.
    """
    moving = np.where(deviation > LEAST_DEVIATION, deviation, np.inf)
    if weights is None:
        return np.asarray(moving * np.sqrt(len(deviation)))
    with np.errstate(divide="ignore"):
        return np.asarray(moving * np.sqrt(weights.sum() / weights))


def moments_bytes(n_features: int, n_classes: int, n_folds: int) -> int:
    """Return the bytes that the sums over ``n_folds`` folds, and solving a head from them, take.

    A system, its weighted part and its factor are each as large as the sums of a fold. Strips are
    processed in float64.
    """
    square = 4 * (n_features + 1) ** 2
    strips = 8 * STRIP * (n_features + 1) * 4
    return (n_folds + 4) * square + strips + n_folds * 8 * n_classes * n_features


class FoldMoments:
    """Sums over the clips of each of ``n_folds`` folds, of features (n, D) minus a rough mean.

    The weighted products (D, D) of each fold take most of the memory and are float32; all other
    sums are float64. Subtracting a rough mean ``shift`` (D,), that of some clips, makes float32
    exact enough.
    """

    def __init__(self, shift: np.ndarray, n_folds: int, n_classes: int) -> None:
        size = len(shift)
        self.shift = shift.astype(np.float32)
        self.count = np.zeros(n_folds)
        self.first = np.zeros((n_folds, size))  # sums of features
        self.second = np.zeros((n_folds, size))  # sums of squared features
        self.mass = np.zeros(n_folds)  # sums of clip weights
        self.weighted = np.zeros((n_folds, size))  # sums of weighted features
        self.products = np.zeros((n_folds, size, size), np.float32)  # sums of weighted products
        self.class_mass = np.zeros((n_folds, n_classes))  # sums of clip weights of each class
        self.class_sums = np.zeros((n_folds, n_classes, size))  # weighted features of each class
        self.class_count = np.zeros((n_folds, n_classes))  # clips of each class

    def add(self, fold: int, features: np.ndarray, targets: Targets) -> None:
        """Add clips of ``fold`` with ``features`` (n, D); about 1,000 clips at a time are fast."""
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

    def merge(self, folds: Sequence[int], other: FoldMoments) -> None:
        """Add the sums of ``other``, which has the same shift and whose folds are these ``folds``.

        Sums over runs of clips, merged in one order, have the same bits wherever each run was
        summed.
        """
        for name, sums in vars(self).items():
            if name != "shift":
                for fold, own in zip(folds, getattr(other, name), strict=True):
                    sums[fold] += own

    def system_without(self, *folds: int) -> System:
        """Return the system of the clips outside ``folds``."""
        return self.system([fold for fold in range(len(self.count)) if fold not in folds])

    def system(self, folds: Sequence[int]) -> System:
        """Return the system of the clips of ``folds``, the training clips."""
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
    """The equations of linear heads: sums over ``count`` clips of standardised features.

    ``mean`` and ``scale`` (D,) are those of the features. ``matrix`` (D + 1, D + 1) float32 has
    the weighted products of features, with an extra feature that is always 1 at the end. For each
    class there are the weighted sums of features ``class_sums`` (K, D), the sum of clip weights
    ``class_mass`` (K,), the number of clips ``class_count`` (K,) and the weighted share ``prior``
    (K,).
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
        """Return the system of the features ``columns`` (d,), which may have ``weights`` (d,)."""
        is_moving = np.isfinite(self.scale[columns])
        deviation = np.where(is_moving, self.scale[columns] / np.sqrt(len(self.scale)), 0)
        scale = standard_scale(deviation, weights)
        ratio = np.where(is_moving, self.scale[columns], 0) / scale
        every = np.append(columns, len(self.scale))  # with the extra feature that is always 1
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
        """Return weight (K, D) and bias (K,) float64 of regularised least squares.

        For ``exact`` see :func:`solve_loaded`.
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
        """Return weight (K, D) and bias (K,) of the nearest class mean."""
        means = self.class_sums / np.maximum(self.class_mass, 1e-12)[:, None]
        square = np.square(means).sum(1)
        length = self.count * np.isfinite(self.scale).sum() / len(self.scale)
        factor = shrinkage(square, self.class_count, length, self.count)
        bias = -0.5 * square * factor**2
        bias[self.class_count == 0] = NEVER
        return means * factor[:, None], bias


def solve_loaded(loaded: Tensor, right: Tensor, *, exact: bool) -> Tensor:
    """Return X (D, K) that solves ``loaded`` (D, D) @ X = ``right`` (D, K).

    ``loaded`` is float32 and positive definite. ``exact`` refines the solution in float64. Without
    it, the solution is float32, which is exact enough to judge a candidate.
    """
    import torch

    factor, failed = torch.linalg.cholesky_ex(loaded)
    if failed:  # a rounding error; in double precision the matrix is positive definite
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
    """Return the factor (K,) that shrinks each class mean by what chance adds to it.

    ``square`` (K,) is the squared length of the mean, and ``length`` the sum of the squared lengths
    of all clips. The factor is that of James and Stein (1961): 1 - (variance of the mean) /
    (squared length).
    """
    present = np.count_nonzero(counts)
    within = length - (counts * square).sum()
    variance = max(within, 0.0) / (n_clips - present) if n_clips > present else 0.0
    return np.asarray(np.clip(1 - variance / np.maximum(counts * square, 1e-9), 0, 1))
