"""Several linear heads whose logits are averaged are one linear head.

What differs between the classes of a clip in the mean of calibrated log-scores is the mean of the
calibrated logits: what each head takes away from all of them cancels. So the file, the session and
all that is exported have one head, however many were averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from earmark.classifier.head import Head
from earmark.classifier.targets import Targets
from earmark.training import heads
from earmark.training.inner import Average
from earmark.training.kernels import FeatureTable
from earmark.training.moments import NEVER


def collapse(
    members: Sequence[Head], columns: Sequence[np.ndarray], factors: Sequence[float], size: int
) -> Head:
    """Return the head on ``size`` D features whose logits are the sum of ``factors`` times those
    of ``members``, each of which reads its ``columns`` (d,).

    Features are scaled by the mean of the scalings, so that a clip's row again has a length of
    about 1.
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


def fit(
    average: Average,
    table: FeatureTable,
    features: np.ndarray,
    targets_of: Callable[[bool], Targets],
    seed: int,
) -> Head:
    """Fit all members to ``features`` (N, D), those that their specs read together.

    ``targets_of`` returns the targets; if it is given true, with weights with which each class
    counts the same.
    """
    members = []
    columns = [table.columns(average.names, member.features) for member in average.members]
    for member, own in zip(average.members, columns, strict=True):
        weights = table.feature_weights(member.features, member.weights)
        x = features if average.is_single else features[:, own]
        targets = targets_of(member.balanced)
        members.append(heads.fit(member.head, x, targets, member.penalty, seed, weights))
    if average.is_single:
        return members[0]
    return collapse(members, columns, average.factors, features.shape[1])
