"""Compare logits, to choose the best epoch of a run and to decide if a rehearsal helped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from earmark.classifier.calibration import Calibration, log_loss
from earmark.classifier.targets import Targets
from earmark.training import metrics

SURE = 2  # standard errors by which a rehearsal must be better; 1 happens by chance in 1 of 6


def better(first: np.ndarray, best: np.ndarray, targets: Targets) -> bool:
    """Return whether the logits ``best`` (M, K) are better than ``first``.

    Their loss must be lower by SURE standard errors, and they must not classify fewer clips
    correctly. Both are calibrated on the clips themselves.
    """
    right = [metrics.quality(logits, targets.onehot, targets.is_single) for logits in (first, best)]
    loss = [losses(logits, targets) for logits in (first, best)]
    gain = loss[0] - loss[1]
    error = gain.std() / np.sqrt(len(gain))
    return bool(gain.mean() > SURE * error and right[1].mean() >= right[0].mean())


def validation_loss(logits: np.ndarray, targets: Targets) -> float:
    """Return the mean of :func:`losses`, in which every clip counts the same."""
    return float(losses(logits, replace(targets, weights=np.ones(len(logits)))).mean())


def losses(logits: np.ndarray, targets: Targets) -> np.ndarray:
    """Return the loss (M,) of each clip, calibrated on all of them.

    It is the log loss or, for clips with several classes, the squared error of the scores.
    """
    if targets.is_single:
        return np.asarray(log_loss(logits[None], targets.classes, targets.weights)[0])
    scores = Calibration.fit(logits, targets).scores(logits)
    return np.asarray(np.square(scores - targets.onehot).mean(1))
