"""Average several linear heads into one linear head.

A mean of logits of linear heads is linear, too. So the file and the session have one head, however
many were averaged. Averaging logits or log-scores gives the same scores: the two differ for each
clip by a number that is the same for all classes, and scores do not depend on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from earmark.classifier.head import Head
from earmark.classifier.targets import Targets
from earmark.training import heads
from earmark.training.inner import Average
from earmark.training.judging import KERNELS_BYTES
from earmark.training.kernels import FeatureTable, add_times
from earmark.training.moments import NEVER


def collapse(
    members: Sequence[Head], columns: Sequence[np.ndarray], factors: Sequence[float], size: int
) -> Head:
    """Return one head on ``size`` features with the weighted sum of the logits of ``members``.

    Each member reads its ``columns`` (d,) and counts with its factor. Features are scaled by the
    mean of the scalings, so that the row of a clip keeps a length of about 1.
    """
    n_classes = len(members[0].tensors["bias"])
    mean, squares = np.zeros(size), np.zeros(size)
    for head, own in zip(members, columns, strict=True):
        mean[own] = head.tensors["mean"]
        squares[own] += 1 / np.square(head.tensors["scale"], dtype=np.float64) / len(members)
    weight, bias = np.zeros((n_classes, size)), np.zeros(n_classes)
    for head, own, factor in zip(members, columns, factors, strict=True):
        t = head.tensors
        slope = factor * t["weight"] / t["scale"].astype(np.float64)
        weight[:, own] += slope
        bias += factor * t["bias"] + slope @ (mean[own] - t["mean"])
        bias[t["bias"] <= NEVER] = NEVER
    with np.errstate(divide="ignore"):
        scale = 1 / np.sqrt(squares)
    weight *= np.where(np.isfinite(scale), scale, 0)
    return heads.new_head("linear", mean, scale, {"weight": weight, "bias": bias})


def joined(average: Average, table: FeatureTable, members: Sequence[Head]) -> Head:
    """Return the head that the fitted ``members`` of an average make together."""
    if average.is_single:
        return members[0]
    size = table.size(average.specs(table))
    return collapse(members, _columns(average, table), average.factors, size)


def _columns(average: Average, table: FeatureTable) -> list[np.ndarray]:
    """Return, for each member, the columns of its features among the features of all members."""
    specs = average.specs(table)
    return [table.columns(specs, table.spec(m.features, m.weights)) for m in average.members]


def fit(
    average: Average,
    table: FeatureTable,
    features: np.ndarray,
    targets_of: Callable[[bool], Targets],
    seed: int,
) -> Head:
    """Fit all members to ``features`` (N, D), which are those of :meth:`Average.specs`.

    ``targets_of(balanced)`` returns the targets; balanced ones have weights with which each class
    counts the same.
    """
    columns = _columns(average, table)
    weights = [table.spec_weights(m.features, m.weights) for m in average.members]
    targets = [targets_of(member.balanced) for member in average.members]
    n_clips, size = features.shape
    is_solved = all(member.head in heads.SUMMED for member in average.members)
    if average.is_single or n_clips > size or not is_solved:
        fitted = [
            heads.fit(
                m.head, features if average.is_single else features[:, own], of, m.penalty, seed, w
            )
            for m, own, of, w in zip(average.members, columns, targets, weights, strict=True)
        ]
        return joined(average, table, fitted)
    whole = np.zeros((len(columns), size))  # the weight of each feature for each member
    for row, own, w in zip(whole, columns, weights, strict=True):
        row[own] = 1 / len(own) if w is None else w / w.sum()
    return _fit_together(average, features, whole, targets)


def _fit_together(
    average: Average, features: np.ndarray, weights: np.ndarray, targets: Sequence[Targets]
) -> Head:
    """Fit M members, which weigh features by ``weights`` (M, D). Each row of weights sums to 1."""
    n_clips, size = features.shape
    mean, scale = heads.standard(features)
    z = features - mean
    z /= scale  # rows have length 1, so the weights are multiplied by the number of features
    bias = np.zeros(targets[0].n_classes)
    slope, metric = np.zeros((len(bias), size)), np.sqrt(weights.mean(0) * size)
    at_once = max(1, KERNELS_BYTES // (4 * n_clips**2))
    for start in range(0, len(weights), at_once):
        some = slice(start, start + at_once)
        kernels = _kernels(z, weights[some] * size)
        for member, kernel, own, of, factor in zip(
            average.members[some],
            kernels,
            weights[some],
            targets[some],
            average.factors[some],
            strict=True,
        ):
            duals, offset = heads.solve(member.head, kernel, of, (member.penalty,), exact=True)
            bias += factor * offset[0]
            slope += heads.spread(factor * duals[0], z) * (own * size)
    bias[targets[0].counts == 0] = NEVER
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.where(metric > 0, slope / metric, 0)
        tensors = {"weight": weight, "bias": bias}
        return heads.new_head("linear", mean, scale / metric, tensors)


def _kernels(z: np.ndarray, weights: np.ndarray) -> list[np.ndarray]:
    """Return the kernel (N, N) of ``z`` (N, D) under each row of ``weights`` (M, D).

    Products of neighbouring features with equal weights are computed once for all rows.
    """
    totals = [np.zeros((len(z), len(z)), np.float32) for _ in weights]
    borders = np.flatnonzero((np.diff(weights, axis=1) != 0).any(0)) + 1
    for start, end in zip([0, *borders], [*borders, z.shape[1]], strict=True):
        if not weights[:, start].any():
            continue
        x = z[:, start:end]
        products = x @ x.T
        for total, weight in zip(totals, weights[:, start].tolist(), strict=True):
            if weight:
                add_times(total, products, weight)
    return totals
