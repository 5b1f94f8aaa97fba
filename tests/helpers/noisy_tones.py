"""Tones in noise: clips to train a detector on, and recordings with label tracks to test it on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

RATE_HZ = 16_000
TONES_HZ = {"high": 2_400.0, "low": 500.0}
OTHER_HZ = {"other": 1_100.0}  # a sound that is never trained
TONE_S = 0.5
NOISE, LEVEL = 0.01, 0.2


def tone(hz: float, rng: np.random.Generator) -> np.ndarray:
    """Return a tone of half a second, slightly out of tune."""
    t = np.arange(round(TONE_S * RATE_HZ)) / RATE_HZ
    return LEVEL * np.sin(2 * np.pi * hz * rng.uniform(0.97, 1.03) * t)


def noise(seconds: float, rng: np.random.Generator) -> np.ndarray:
    return NOISE * rng.normal(size=round(seconds * RATE_HZ))


def write_clips(folder: Path, count: int = 10) -> Path:
    """Write ``count`` clips of each class into class folders."""
    rng = np.random.default_rng(0)
    for label, hz in TONES_HZ.items():
        (folder / label).mkdir(parents=True)
        for k in range(count):
            x = noise(TONE_S + 0.4, rng)
            x[round(0.2 * RATE_HZ) :][: round(TONE_S * RATE_HZ)] += tone(hz, rng)
            soundfile.write(folder / label / f"{label}{k}.wav", x, RATE_HZ)
    return folder


def write_background(folder: Path, count: int = 5) -> Path:
    """Write recordings of noise."""
    rng = np.random.default_rng(1)
    folder.mkdir(parents=True)
    for k in range(count):
        soundfile.write(folder / f"noise{k}.wav", noise(8.0, rng), RATE_HZ)
    return folder


def write_annotated(
    folder: Path, count: int = 3, seconds: float = 12.0, others: bool = False
) -> Path:
    """Write recordings with a tone every 2 s, and a label track of Audacity beside each."""
    rng = np.random.default_rng(2)
    folder.mkdir(parents=True)
    tones = {**TONES_HZ, **(OTHER_HZ if others else {})}
    for k in range(count):
        x, lines = noise(seconds, rng), list[str]()
        for n, start in enumerate(np.arange(1.0, seconds - 1, 2.0).tolist()):
            label = list(tones)[n % len(tones)]
            first = round(start * RATE_HZ)
            x[first : first + round(TONE_S * RATE_HZ)] += tone(tones[label], rng)
            lines.append(f"{start}\t{start + TONE_S}\t{label}\n")
        soundfile.write(folder / f"night{k}.wav", x, RATE_HZ)
        (folder / f"night{k}.txt").write_text("".join(lines))
    return folder
