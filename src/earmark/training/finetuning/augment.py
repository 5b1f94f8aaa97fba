"""Augmentation: random changes to training clips, so that few clips train as well as many."""

from __future__ import annotations

import numpy as np

from earmark.training.finetuning.recipe import Recipe

NOISE_RANGE_DB = 15.0  # the noise is up to this much weaker than the loudest allowed
SILENCE = 1e-9


def vary(x: np.ndarray, recipe: Recipe, rng: np.random.Generator) -> np.ndarray:
    """Return a clip (n,) at a random speed, with a random circular shift and a random gain."""
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
    """Return a clip (n,) with a random stretch of ``noise``, another clip, added at a low level.

    The level is relative to the whole noise, so a quiet stretch of it stays quiet.
    """
    down = recipe.noise_db + rng.uniform(0, NOISE_RANGE_DB)
    if len(noise) < len(x):
        noise = np.resize(noise, len(x))
    start = rng.integers(0, len(noise) - len(x) + 1)
    stretch = noise[start : start + len(x)]
    other = max(_level(noise), _level(stretch))
    return np.asarray(x + stretch * np.float32(_level(x) / other * 10 ** (-down / 20)))


def _level(x: np.ndarray) -> float:
    """Return the root mean square of a waveform, never 0."""
    return float(np.sqrt(np.mean(np.square(x)))) + SILENCE
