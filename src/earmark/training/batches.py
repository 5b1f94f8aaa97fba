"""Fit a logistic or mlp head to more clips than memory holds: in small batches, block after block.

A block of clips is read, its clips are shuffled, and each batch is a step of AdamW. Blocks come in
a new order in each epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from earmark.classifier.head import Head
from earmark.classifier.targets import Targets
from earmark.training import heads
from earmark.training.moments import NEVER, standard_scale

BLOCK = 4_096  # clips in memory at a time
EPOCHS, BATCH = 8, 256
RATES = {"logistic": 1e-2, "mlp": 3e-3}  # of learning; they fall to nothing along a cosine

Read = Callable[[np.ndarray], np.ndarray]  # rows (n,) -> features (n, D)


def fit(kind: str, read: Read, targets: Targets, penalty: float, seed: int) -> Head:
    """Fit to all clips of ``targets``, whose features ``read`` gives; equal seeds, equal heads.

    ``penalty`` is that of a logistic head, as in :func:`heads.fit`.
    """
    mean, scale = _standard(read, len(targets))
    weights = _train(kind, lambda rows: (read(rows) - mean) / scale, targets, penalty, seed)
    if kind == "logistic":
        weights["bias"][targets.counts == 0] = NEVER
    tensors = {"mean": mean, "scale": scale, **weights}
    return Head(kind, {name: np.asarray(value, np.float32) for name, value in tensors.items()})


def _standard(read: Read, n_clips: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and scale (D,), float32, from one pass over the clips."""
    shift = read(np.arange(min(n_clips, BLOCK))).mean(0)
    first = second = np.zeros(len(shift))
    for start in range(0, n_clips, BLOCK):
        x = read(np.arange(start, min(n_clips, start + BLOCK))) - shift
        first = first + x.sum(0, dtype=np.float64)
        second = second + np.square(x).sum(0, dtype=np.float64)
    mean = first / n_clips
    scale = standard_scale(np.sqrt((second / n_clips - mean**2).clip(0)))
    return (shift + mean).astype(np.float32), scale.astype(np.float32)


def _batches(read: Read, n_clips: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rows (n,) and features (n, D) of batches, through all epochs."""
    rng = np.random.default_rng(seed)
    for _ in range(EPOCHS):
        for start in rng.permutation(range(0, n_clips, BLOCK)):
            rows = np.arange(start, min(n_clips, start + BLOCK))
            features = read(rows)
            order = rng.permutation(len(rows))
            for first in range(0, len(rows), BATCH):
                batch = order[first : first + BATCH]
                yield rows[batch], features[batch]


def _train(
    kind: str, read: Read, targets: Targets, penalty: float, seed: int
) -> dict[str, np.ndarray]:
    import torch

    n_clips, size = len(targets), len(read(np.arange(1))[0])
    gain = float(np.sqrt(size))  # rows of length 1 -> units of size 1
    draw = torch.Generator().manual_seed(seed)
    parameters = heads.new_parameters(kind, size, targets.n_classes, draw)
    optimiser = torch.optim.AdamW(
        parameters, RATES[kind], weight_decay=heads.decay_of(kind), fused=True
    )
    steps = EPOCHS * -(-n_clips // BATCH)
    for step, (rows, features) in enumerate(_batches(read, n_clips, seed)):
        for settings in optimiser.param_groups:
            settings["lr"] = RATES[kind] * 0.5 * (1 + np.cos(np.pi * min(1.0, step / steps)))
        own = targets.rows(rows)
        x = torch.from_numpy(features * np.float32(gain))
        with torch.enable_grad():
            logits = heads.forward(kind, parameters, x, draw)
            loss = heads.loss_of(logits, torch.from_numpy(own.onehot), targets.is_single)
            loss = (loss * torch.from_numpy(own.weights).float()).mean()
            if kind == "logistic":  # 1 / C of scikit-learn's, for rows of length 1
                loss = loss + 0.5 * penalty * gain**2 / n_clips * parameters[0].square().sum()
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
    return heads.tensors_of(kind, parameters, gain)
