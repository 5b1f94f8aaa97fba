"""Sounds of three classes, endlessly many and all different."""

import numpy as np

RATE_HZ = 16_000
CLASSES = ("hiss", "chirp", "knock")


def sound(label: str, seed: int, seconds: float = 2.0, rate_hz: int = RATE_HZ) -> np.ndarray:
    """Make one of endlessly many different sounds of a class, (n,), peak about 0.5."""
    rng = np.random.default_rng([CLASSES.index(label), seed])
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    noise = rng.normal(size=len(t))
    if label == "hiss":
        x = noise * (1 + 0.5 * np.sin(2 * np.pi * rng.uniform(1, 4) * t + rng.uniform(0, 6)))
    elif label == "chirp":
        hz = 800 + 400 * np.sin(2 * np.pi * rng.uniform(0.3, 1) * t + rng.uniform(0, 6))
        x = np.sin(2 * np.pi * np.cumsum(hz) / rate_hz) + 0.05 * noise
    else:
        x = (
            noise * np.exp(-30 * np.mod(t + rng.uniform(0, 1), rng.uniform(0.2, 0.5)))
            + 0.01 * noise
        )
    return 0.5 * x / np.abs(x).max()
