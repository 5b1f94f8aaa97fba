"""Networks with random weights, sounds for them, and what they make of one, in full precision."""

import numpy as np
import pytest
import torch

from earmark import audio, backbones
from earmark.backbones import registry
from earmark.backbones.base import Backbone
from earmark.errors import BackboneError


def with_random_weights(name: str, precision: str = "float32") -> Backbone:
    cls = registry.entry(name)[1]
    try:
        made = cls.random(backbones.info(name))
    except BackboneError as error:
        pytest.skip(f"weights are not at hand: {error}")
    return made.cast(precision).eval().requires_grad_(False)


def sound(samples: int, seed: int = 0) -> np.ndarray:
    """A chirp in noise that swells: no two stretches of it are alike."""
    t = np.arange(samples) / 16_000
    noise = np.random.default_rng(seed).normal(0, 0.02, samples)
    swell = 0.2 + 0.1 * np.sin(t + seed)
    return (swell * np.sin(2 * np.pi * (300 + 40 * seed + 500 * t) * t) + noise).astype(np.float32)


def cut(backbone, x):
    info = backbone.info
    return audio.window(backbone.prepare(x), info.window, info.hop, info.context, info.step)


def embedding(backbone, stats) -> np.ndarray:
    parts = []
    for layer in backbone.info.layers:
        frames, mean, var = (s.double() for s in stats[layer.name])
        share = (frames / frames.sum())[:, None]
        total = (share * mean).sum(0)
        parts += [total, (share * (var + (mean - total) ** 2)).sum(0)]
    return torch.cat(parts).numpy()


def seconds(backbone, s: float) -> int:
    return int(s * backbone.info.rate_hz)
