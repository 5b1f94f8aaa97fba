"""How good logits are: it decides which epoch a run keeps, and whether a rehearsal gained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from earmark.classifier.calibration import Calibration, log_loss
from earmark.classifier.targets import Targets
from earmark.training import metrics

SURE = 2  # standard errors by which a rehearsal must be better; one is chance in one of six


def better(first: np.ndarray, best: np.ndarray, targets: Targets) -> bool:
    """Say whether ``best`` (M, K) has less loss than ``first``, by SURE standard errors.

    Both are calibrated on themselves. Nor may ``best`` have more wrong clips.
    """
    right = [metrics.quality(logits, targets.onehot, targets.is_single) for logits in (first, best)]
    loss = [losses(logits, targets) for logits in (first, best)]
    gain = loss[0] - loss[1]
    error = gain.std() / np.sqrt(len(gain))
    return bool(gain.mean() > SURE * error and right[1].mean() >= right[0].mean())


def validation_loss(logits: np.ndarray, targets: Targets) -> float:
    """Return the mean of :func:`losses`; every clip counts the same."""
    return float(losses(logits, replace(targets, weights=np.ones(len(logits)))).mean())


def losses(logits: np.ndarray, targets: Targets) -> np.ndarray:
    """Return the loss (M,) of each clip, calibrated on all of them.

    It is the log loss, or with several classes a clip the squared error of the scores.
    """
    if targets.is_single:
        return np.asarray(log_loss(logits[None], targets.classes, targets.weights)[0])
    scores = Calibration.fit(logits, targets).scores(logits)
    return np.asarray(np.square(scores - targets.onehot).mean(1))
