"""Clips of like length, varied and mixed: what a part of a batch is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from earmark.training.finetuning import augment
from earmark.training.finetuning.recipe import Recipe
from earmark.training.finetuning.waveforms import Waveforms


class Minibatch(NamedTuple):
    """Clips of like length, varied: ``waves`` (B, n) of each network, ``targets`` (B, K).

    ``masks`` (B, ...) are random numbers and ``factors`` (B, D) those of features, drawn for all
    clips at once: so it makes no difference who computes which.
    """

    waves: tuple[np.ndarray, ...]
    targets: np.ndarray
    masks: np.ndarray
    factors: np.ndarray | None

    def every(self, first: int, step: int) -> Minibatch:
        """Return every ``step``-th clip from ``first`` on."""
        own = slice(first, None, step)
        factors = None if self.factors is None else self.factors[own]
        waves = tuple(x[own] for x in self.waves)
        return Minibatch(waves, self.targets[own], self.masks[own], factors)


def varied(
    sounds: Waveforms,
    rows: np.ndarray,
    of: np.ndarray,
    others: np.ndarray,
    features: int,
    recipe: Recipe,
    rng: np.random.Generator,
) -> Minibatch | None:
    """Read the clips ``rows``, vary each and mix them; None if none of them can be read.

    They are cut to the length of the shortest. ``of`` (N, K) are the targets of all clips,
    ``others`` the rows whose sound may lie below, ``features`` is how many the head reads.
    """
    read = []
    found: list[list[np.ndarray]] = []
    for row in rows:
        longest = (recipe.crop_s or np.inf) * np.exp(recipe.speed)
        start, under, again = rng.uniform(), rng.choice(others), int(rng.integers(2**63))
        heard = sounds.of(int(row), start, longest)
        below = sounds.of(int(under), start, longest) if recipe.noise_db else None
        if heard is None:
            continue
        found.append([])
        for k, x in enumerate(heard):
            alike = np.random.default_rng(again)  # for each network the same
            x = augment.vary(x, recipe, alike)
            if below is not None:
                x = augment.lay_below(x, below[k], recipe, alike)
            found[-1].append(x)
        read.append(row)
    if not read:
        return None
    mix, at = augment.mixing(len(read), recipe, rng), rng.uniform(size=len(read))
    waves = tuple(
        _of_one_length(xs, at, recipe, rate)
        for xs, rate in zip(zip(*found, strict=True), sounds.rates, strict=True)
    )
    targets = augment.mixed(of[read].astype(np.float32), mix)
    masks = rng.uniform(size=(len(read), 2, augment.MASKS, 2)).astype(np.float32)
    kept = rng.random((len(read), features), np.float32) >= recipe.dropout
    factors = kept.astype(np.float32) / (1 - recipe.dropout) if recipe.dropout else None
    return Minibatch(tuple(augment.mixed(x, mix) for x in waves), targets, masks, factors)


def _of_one_length(
    xs: Sequence[np.ndarray], at: np.ndarray, recipe: Recipe, rate_hz: int
) -> np.ndarray:
    """Cut clips to the length of the shortest; ``at`` (B,) is the share of the rest cut before."""
    n = min(map(len, xs))
    n = min(n, int(recipe.crop_s * rate_hz)) if recipe.crop_s else n
    starts = [int(a * (len(x) - n)) for a, x in zip(at, xs, strict=True)]
    return np.stack([x[start : start + n] for start, x in zip(starts, xs, strict=True)])
