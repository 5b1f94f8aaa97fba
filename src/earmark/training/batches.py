"""Fit a logistic or mlp head to more clips than memory holds.

A block of clips is read and shuffled. Each batch of the block is one step of gradient descent. The
order of blocks changes in each epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from earmark.classifier.head import Head
from earmark.classifier.targets import Targets
from earmark.training.gradients import Descent
from earmark.training.heads import new_head
from earmark.training.moments import NEVER, standard_scale

BLOCK = 4_096  # clips in memory at a time
EPOCHS, BATCH = 8, 256
RATES = {"logistic": 1e-2, "mlp": 3e-3}  # learning rates

Read = Callable[[np.ndarray], np.ndarray]  # rows (n,) -> features (n, D)


def fit(kind: str, read: Read, targets: Targets, penalty: float, seed: int) -> Head:
    """Fit a head to all clips of ``targets``, whose features ``read`` returns.

    Equal seeds give equal heads. Only a logistic head uses ``penalty``, as in :func:`heads.fit`.
    """
    n_clips = len(targets)
    mean, scale = _standard(read, n_clips)
    descent = Descent(
        kind,
        len(mean),
        targets.n_classes,
        steps=EPOCHS * -(-n_clips // BATCH),
        rate=RATES[kind],
        seed=seed,
        penalty=penalty / n_clips if kind == "logistic" else 0.0,
    )
    for rows, features in _batches(read, n_clips, seed):
        descent.step((features - mean) / scale, targets.rows(rows))
    weights = descent.tensors()
    if kind == "logistic":
        weights["bias"][targets.counts == 0] = NEVER
    return new_head(kind, mean, scale, weights)


def _standard(read: Read, n_clips: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and scale (D,) float32 of the features, from one pass over the clips."""
    shift = read(np.arange(min(n_clips, BLOCK))).mean(0)
    first, second = np.zeros(len(shift)), np.zeros(len(shift))
    for start in range(0, n_clips, BLOCK):
        x = read(np.arange(start, min(n_clips, start + BLOCK))) - shift
        first += x.sum(0, dtype=np.float64)
        second += np.square(x).sum(0, dtype=np.float64)
    mean = first / n_clips
    scale = standard_scale(np.sqrt((second / n_clips - mean**2).clip(0)))
    return (shift + mean).astype(np.float32), scale.astype(np.float32)


def _batches(read: Read, n_clips: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rows (n,) and features (n, D) of each batch of all epochs."""
    rng = np.random.default_rng(seed)
    for _ in range(EPOCHS):
        for start in rng.permutation(range(0, n_clips, BLOCK)):
            rows = np.arange(start, min(n_clips, start + BLOCK))
            features = read(rows)
            order = rng.permutation(len(rows))
            for first in range(0, len(rows), BATCH):
                batch = order[first : first + BATCH]
                yield rows[batch], features[batch]
