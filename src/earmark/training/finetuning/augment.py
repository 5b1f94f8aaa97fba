"""Variation of clips before the network hears them: so a few clips teach as much as many."""

from __future__ import annotations

import threading

import numpy as np
import torch
from torch import Tensor

from earmark.training.finetuning.recipe import Recipe

MASKS = 2  # stretches of time, and of frequency, that are masked in each clip
NOISE_RANGE_DB = 15.0  # by how much the noise may be weaker than the strongest allowed
SILENCE = 1e-9

here = threading.local()  # ``masks`` (B, 2, MASKS, 2) of the clips that this thread computes


def vary(x: np.ndarray, recipe: Recipe, rng: np.random.Generator) -> np.ndarray:
    """Return a clip (n,) played faster or slower, rolled around its end, louder or softer."""
    if recipe.speed:
        n = max(1, round(len(x) * np.exp(rng.uniform(-recipe.speed, recipe.speed))))
        at = np.linspace(0, len(x) - 1, n)
        x = np.interp(at, np.arange(len(x)), x).astype(np.float32)
    if recipe.roll:
        x = np.roll(x, int(len(x) * rng.uniform(-recipe.roll, recipe.roll)))
    if recipe.gain_db:
        x = x * np.float32(10 ** (rng.uniform(-recipe.gain_db, recipe.gain_db) / 20))
    return x


def lay_below(
    x: np.ndarray, noise: np.ndarray, recipe: Recipe, rng: np.random.Generator
) -> np.ndarray:
    """Add ``noise``, another clip of any length, to a clip (n,), and much weaker.

    A stretch of the noise that is quieter than the rest of it stays quieter.
    """
    down = recipe.noise_db + rng.uniform(0, NOISE_RANGE_DB)
    if len(noise) < len(x):
        noise = np.resize(noise, len(x))
    start = rng.integers(0, len(noise) - len(x) + 1)
    stretch = noise[start : start + len(x)]
    other = max(_level(noise), _level(stretch))
    return np.asarray(x + stretch * np.float32(_level(x) / other * 10 ** (-down / 20)))


def _level(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x)))) + SILENCE


def mask(x: Tensor, time: int | None, band: int | None, recipe: Recipe) -> Tensor:
    """Return a network's input (B, ...) with stretches of time and of frequency masked.

    SpecAugment (Park et al. 2019, arXiv:1904.08779). The random numbers of this thread's clips say
    where the stretches lie; all windows of a clip have the same ones. They take the row's mean.
    ``time`` and ``band`` are axes of ``x``.
    """
    masks: np.ndarray = here.masks
    numbers = torch.from_numpy(masks[np.arange(len(x)) % len(masks)]).to(x)
    mean = x.mean(tuple(range(1, x.dim())), keepdim=True)
    for number, (axis, most) in enumerate([(time, recipe.time_mask), (band, recipe.band_mask)]):
        if axis is None or not most:
            continue
        size = x.shape[axis]
        place = torch.arange(size, device=x.device).view(
            [-1 if k == axis else 1 for k in range(x.dim())]
        )
        for k in range(MASKS):
            length = numbers[:, number, k, 0] * most * size
            first = numbers[:, number, k, 1] * (size - length)
            first, last = (e.view(-1, *[1] * (x.dim() - 1)) for e in (first, first + length))
            x = torch.where((place >= first) & (place < last), mean, x)
    return x
