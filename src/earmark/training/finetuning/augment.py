"""Variation of clips before the network hears them: so a few clips teach as much as many."""

from __future__ import annotations

import numpy as np

from earmark.training.finetuning.recipe import Recipe

NOISE_RANGE_DB = 15.0  # by how much the noise may be weaker than the strongest allowed
SILENCE = 1e-9


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
