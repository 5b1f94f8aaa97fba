"""What each layer contributes to the predictions of a linear head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from earmark.classifier.calibration import some_rows
from earmark.classifier.features import FeatureSpec, list_statistics, statistic_size
from earmark.classifier.head import Head
from earmark.training.kernels import FeatureTable

MOST_CLIPS = 500  # more clips do not change the shares


def contributions(
    head: Head, table: FeatureTable, specs: Sequence[FeatureSpec], *, is_single: bool
) -> list[dict[str, Any]]:
    """Return the share of each layer in the variance of the logits; nothing for an mlp.

    The logits of a clip are a sum over layers. The share of a layer is the covariance of its part
    with the sum, divided by the variance of the sum. Shares sum to 1. A layer that works against
    the others has a negative share. If clips have one class each, the mean over classes is left
    out, because it does not change the prediction. At most MOST_CLIPS clips of the ``table``
    are used.
    """
    if head.kind == "mlp":
        return []
    t, infos = head.tensors, table.infos
    features = table.features(specs, some_rows(len(table), MOST_CLIPS))
    z = (features - t["mean"]) / t["scale"]
    parts: dict[tuple[int, str], np.ndarray] = {}
    start = 0
    for part in list_statistics(infos, specs):
        name = part.layers[0] if len(part.layers) == 1 else f"mean of {len(part.layers)} layers"
        columns = slice(start, start + statistic_size(infos, part))
        logits = _centred(z[:, columns] @ t["weight"][:, columns].T, is_single)
        key = part.backbone, name
        parts[key] = parts.get(key, 0) + logits
        start = columns.stop
    whole = np.sum(list(parts.values()), axis=0)
    variance = float(np.vdot(whole, whole)) or 1.0
    return [
        {
            "backbone": infos[k].name,
            "layer": name,
            "share": round(float(np.vdot(logits, whole)) / variance, 4),
        }
        for (k, name), logits in parts.items()
    ]


def _centred(logits: np.ndarray, is_single: bool) -> np.ndarray:
    """Return logits (N, K) minus their mean over clips and, for single classes, over classes."""
    logits = logits - logits.mean(0)
    return logits - logits.mean(1, keepdims=True) if is_single else logits
