"""Minibatches: augmented clips of similar length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from earmark.training.finetuning import augment
from earmark.training.finetuning.recipe import Recipe
from earmark.training.finetuning.waveforms import Waveforms


class Minibatch(NamedTuple):
    """Augmented clips of similar length: ``waves`` (B, n) for each network, ``targets`` (B, K).

    ``factors`` (B, D) multiply the features. They are drawn for all clips at once, so that the
    result does not depend on which process computes which clip.
    """

    waves: tuple[np.ndarray, ...]
    targets: np.ndarray
    factors: np.ndarray | None

    def every(self, first: int, step: int) -> Minibatch:
        """Return a minibatch of every ``step``-th clip from ``first`` on."""
        own = slice(first, None, step)
        factors = None if self.factors is None else self.factors[own]
        waves = tuple(x[own] for x in self.waves)
        return Minibatch(waves, self.targets[own], factors)


def varied(
    sounds: Waveforms,
    rows: np.ndarray,
    onehot: np.ndarray,
    *,
    others: np.ndarray,
    n_features: int,
    recipe: Recipe,
    rng: np.random.Generator,
) -> Minibatch | None:
    """Read and augment the clips ``rows``; None if none of them can be read.

    They are cut to the length of the shortest. A random clip of the rows ``others`` is added to
    each as noise. ``onehot`` (N, K) are the targets of all clips. The head reads ``n_features``.
    """
    clips = [(row, _varied_clip(sounds, int(row), others, recipe, rng)) for row in rows]
    readable = [row for row, waves in clips if waves is not None]
    if not readable:
        return None
    starts = rng.uniform(size=len(readable))
    by_network = zip(*(waves for _, waves in clips if waves is not None), strict=True)
    waves = tuple(
        _of_one_length(xs, starts, recipe, rate_hz)
        for xs, rate_hz in zip(by_network, sounds.rates, strict=True)
    )
    is_kept = rng.random((len(readable), n_features), np.float32) >= recipe.dropout
    factors = is_kept.astype(np.float32) / (1 - recipe.dropout) if recipe.dropout else None
    return Minibatch(waves, onehot[readable].astype(np.float32), factors)


def _varied_clip(
    sounds: Waveforms, row: int, others: np.ndarray, recipe: Recipe, rng: np.random.Generator
) -> list[np.ndarray] | None:
    """Read a clip and augment it in the same way for each network; None if it cannot be read."""
    longest = (recipe.crop_s or np.inf) * np.exp(recipe.speed)
    start, other, seed = rng.uniform(), rng.choice(others), int(rng.integers(2**63))
    waves = sounds.of(row, start, longest)
    below = sounds.of(int(other), start, longest) if recipe.noise_db else None
    if waves is None:
        return None
    clip = []
    for k, x in enumerate(waves):
        own = np.random.default_rng(seed)  # the same numbers for each network
        x = augment.vary(x, recipe, own)
        clip.append(x if below is None else augment.lay_below(x, below[k], recipe, own))
    return clip


def _of_one_length(
    xs: Sequence[np.ndarray], at: np.ndarray, recipe: Recipe, rate_hz: int
) -> np.ndarray:
    """Cut clips to the length of the shortest; ``at`` (B,) is the place, 0 (start) to 1 (end)."""
    n = min(map(len, xs))
    n = min(n, int(recipe.crop_s * rate_hz)) if recipe.crop_s else n
    starts = [int(a * (len(x) - n)) for a, x in zip(at, xs, strict=True)]
    return np.stack([x[start : start + n] for start, x in zip(starts, xs, strict=True)])
