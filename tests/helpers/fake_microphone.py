"""Sound for the fake microphone of Chromium: recordings of the shipped example, one a second."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import soundfile

import earmark
from earmark.audio.resampling import resample

EXAMPLE = Path(earmark.__file__).parent / "example"
RATE_HZ = 48_000


def clips_of(label: str) -> list[Path]:
    """Return the recordings of a class of the example."""
    with open(EXAMPLE / "manifest.csv", newline="") as file:
        return [EXAMPLE / row["path"] for row in csv.DictReader(file) if row["label"] == label]


def write_sound(path: Path, labels: list[str], each: int) -> None:
    """Write ``each`` seconds for each class, every second with another recording; it may loop."""
    seconds = [second(clip) for label in labels for clip in clips_of(label)[:each]]
    soundfile.write(path, np.concatenate(seconds), RATE_HZ, subtype="PCM_16")


def write_silence(path: Path, seconds: float) -> None:
    """Write silence."""
    soundfile.write(path, np.zeros(round(seconds * RATE_HZ), np.float32), RATE_HZ, "PCM_16")


def second(clip: Path) -> np.ndarray:
    """Return one second of a recording at RATE_HZ, cut or padded."""
    samples, rate_hz = soundfile.read(clip, dtype="float32", always_2d=True)
    samples = resample(samples.mean(axis=1), rate_hz, RATE_HZ)[:RATE_HZ]
    return np.pad(samples, (0, RATE_HZ - len(samples)))


def write_noise(path: Path, seconds: float) -> None:
    """Write the quiet noise of a room."""
    noise = np.random.default_rng(0).normal(0, 0.004, round(seconds * RATE_HZ))
    soundfile.write(path, noise.astype(np.float32), RATE_HZ, "PCM_16")
