"""Turn logits into calibrated scores.

Clips with one class use a temperature (Guo et al. 2017). Clips with several classes use one
logistic curve for all classes (Platt 1999).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from earmark.classifier.targets import Targets

if TYPE_CHECKING:
    import torch

_RANGE = (1 / 20.0, 1 / 0.005)  # of 1 / temperature
_STEPS, _CLOSE = 10, 1e-3  # Newton's method: most steps, and the relative step at which it stops
MOST_FITTED = 400  # clips to which the temperature of each candidate is fitted
MOST_LOSS = 20.0
FARTHEST = 1e3  # logits this far below the best belong to classes that were not in training
CELLS = 2**20  # logits that are processed at a time


@dataclass(frozen=True)
class Calibration:
    """Calibrated logits are ``(logits - offset) / temperature``.

    If ``is_single``, the scores of a clip are a softmax and sum to one; else each is a sigmoid.
    """

    temperature: float
    offset: float = 0.0
    is_single: bool = True

    @classmethod
    def fit(cls, logits: np.ndarray, targets: Targets, n_clips: int | None = None) -> Calibration:
        """Return the calibration that makes ``targets`` most likely for out-of-fold ``logits``.

        ``logits`` are (N, K). If a clip has several rows, ``n_clips`` is the number of clips.
        """
        if targets.is_single:
            return cls(fit_temperature(logits, targets.classes, targets.weights, n_clips))
        return cls(*_fit_sigmoid(logits, targets.classes), is_single=False)

    def logits(self, logits: np.ndarray) -> np.ndarray:
        """Return the calibrated logits (N, K) for a head's logits."""
        return (logits - self.offset) / self.temperature

    def scores(self, logits: np.ndarray) -> np.ndarray:
        """Return the calibrated scores (N, K) for a head's logits."""
        return as_scores(self.logits(logits), self.is_single)


def as_scores(logits: np.ndarray, is_single: bool = True) -> np.ndarray:
    """Return scores (N, K) for calibrated logits."""
    return softmax(logits) if is_single else sigmoid(logits)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return scores (N, K) that sum to one in each row."""
    powers = np.asarray(logits - logits.max(1, keepdims=True))
    np.exp(powers, out=powers)
    powers /= powers.sum(1, keepdims=True)
    return powers


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return the sigmoid of each logit (N, K)."""
    scores = np.asarray(0.5 * logits)
    np.tanh(scores, out=scores)
    scores += 1
    scores *= 0.5
    return scores


def fit_temperature(
    logits: np.ndarray, truth: np.ndarray, weights: np.ndarray, n_clips: int | None = None
) -> float:
    """Return the temperature that makes ``softmax(logits / t)`` (N, K) most likely.

    ``logits`` must be out-of-fold; ``truth`` (N,) are the class numbers. The fit adds one clip for
    which all classes are equally true, so that a few clips without an error do not make scores
    infinitely confident. The temperature stays within 0.005 to 20. If clips have several rows,
    ``n_clips`` is the number of clips.
    """
    n_clips = n_clips or len(truth)
    return float(1 / _sharpness(_below_best(logits[None]), truth, weights, n_clips)[0])


def log_loss(
    logits: np.ndarray, truth: np.ndarray, weights: np.ndarray, n_clips: int | None = None
) -> np.ndarray:
    """Calibrate C sets of ``logits`` (C, N, K) and return the log loss (C, N) of each clip.

    ``truth`` (N,) are the class numbers and ``weights`` (N,) the weights of clips. The loss of a
    clip is at most ``MOST_LOSS``, so that a clip whose class was not in training does not outweigh
    the others. Clips are processed in blocks.
    """
    few = some_rows(len(truth), MOST_FITTED)  # a temperature is one number, so few clips suffice
    z, n_clips = _below_best(logits[:, few]), n_clips or len(truth)
    sharpness = _sharpness(z, truth[few], weights[few], n_clips).float().numpy()
    loss = np.empty(logits.shape[:2], np.float32)
    step = max(1, CELLS // logits.shape[2])
    for candidate, own, factor in zip(logits, loss, sharpness, strict=True):
        for start in range(0, len(truth), step):
            rows = slice(start, start + step)
            scaled = candidate[rows] * factor
            own[rows] = logsumexp(scaled) - scaled[np.arange(len(scaled)), truth[rows]]
    return loss.clip(max=MOST_LOSS)


def some_rows(count: int, most: int) -> np.ndarray:
    """Return at most ``most`` of ``count`` row numbers, the same random ones each time.

    Regular steps would be wrong: if classes alternate, every fourth clip may have the same class.
    """
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).permutation(count)[:most])


def logsumexp(logits: np.ndarray) -> np.ndarray:
    """Return log(sum(exp(logits))) (N,) over the classes of ``logits`` (N, K)."""
    best = logits.max(1)
    return np.asarray(np.log(np.exp(logits - best[:, None]).sum(1)) + best)


def _below_best(logits: np.ndarray) -> torch.Tensor:
    """Return (C, N, K): each logit minus the best of its clip, at least -FARTHEST."""
    import torch

    z = torch.from_numpy(np.ascontiguousarray(logits, np.float32))
    return (z - z.amax(2, keepdim=True)).clamp_min(-FARTHEST)


def _sharpness(
    z: torch.Tensor, truth: np.ndarray, weights: np.ndarray, n_clips: int
) -> torch.Tensor:
    """Return the best 1 / temperature (C,) for C sets of logits ``z`` (C, N, K) below the best.

    The loss is convex in it, so a few Newton steps, each limited to a factor of 4, converge.
    """
    import torch

    w = torch.from_numpy(weights / weights.sum()).float()
    own = z[:, torch.arange(len(truth)), torch.from_numpy(truth)]  # (C, N)
    known = z > -FARTHEST  # classes that were in training
    even = (z * known).sum(2) / known.sum(2)
    own = (n_clips * own + even) / (n_clips + 1)
    starts = range(0, len(w), max(1, CELLS // z[:, 0].numel()))
    rows = [slice(start, start + starts.step) for start in starts]
    beta = 1 / z.std((1, 2)).clamp(0.02, 20)
    for _ in range(_STEPS):
        slope = bend = torch.zeros_like(beta)
        for some in rows:
            part = z[:, some]
            p = torch.softmax(part * beta[:, None, None], 2)
            mean = (p * part).sum(2)
            slope = slope + ((mean - own[:, some]) * w[some]).sum(1)
            bend = bend + (((p * part.square()).sum(2) - mean.square()) * w[some]).sum(1)
        step = beta - slope / bend.clamp_min(1e-12)
        step = torch.minimum(torch.maximum(step, beta / 4), beta * 4).clamp(*_RANGE)
        is_there = bool(((step - beta).abs() <= _CLOSE * beta).all())
        beta = step
        if is_there:
            break
    return beta.double()


def _fit_sigmoid(logits: np.ndarray, onehot: np.ndarray) -> tuple[float, float]:
    """Return the temperature t and offset o that make ``sigmoid((logits - o) / t)`` most likely.

    Newton's method fits a slope and an intercept to targets that are softened as by Platt.
    """
    present = np.flatnonzero((onehot > 0).any(0))
    x, has = logits[:, present].ravel(), onehot[:, present].ravel() > 0
    ones, spread = float(has.sum()), float(x.std(dtype=np.float64)) or 1.0
    high, low = (ones + 1) / (ones + 2), 1 / (len(x) - ones + 2)
    weights = np.zeros(2)
    for _ in range(50):
        bend, slope = 1e-6 * np.eye(2), -1e-6 * weights
        for start in range(0, len(x), CELLS):
            rows = slice(start, start + CELLS)
            design = np.stack([x[rows] / spread, np.ones(len(x[rows]))])
            p = sigmoid(weights @ design)
            bend += (design * (p * (1 - p))) @ design.T
            slope += design @ (np.where(has[rows], high, low) - p)
        step = np.linalg.solve(bend, slope)
        weights = weights + step
        if np.abs(step).max() < 1e-9:
            break
    rise = max(float(weights[0]) / spread, 1e-6)
    return 1 / rise, -float(weights[1]) / rise
