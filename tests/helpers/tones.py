"""A small detector of tones, and recordings with tones at known times."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

import earmark
from earmark.classifier.detector import Detector
from earmark.data.event import Event
from earmark.detection.rules import EventRules

RATE_HZ = 16_000
TONES = {"high": 1_800.0, "low": 240.0}
WINDOW_S, HOP_S = 0.32, 0.08


def noise(seconds: float, seed: int) -> np.ndarray:
    return 0.003 * np.random.default_rng(seed).normal(size=round(seconds * RATE_HZ))


def tone(label: str, seconds: float) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * TONES[label] * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)


def tone_detector(folder: Path) -> Path:
    """Train a classifier of tones and noise, and save it as a detector that answers only tones."""
    for label in ("high", "low", "quiet"):
        (folder / label).mkdir(parents=True)
        for k in range(6):
            x = noise(0.5, k)
            if label != "quiet":
                x = x * (1 + k) + tone(label, 0.5) * 0.5**k
            soundfile.write(folder / label / f"{k}.wav", x, RATE_HZ)
    training = earmark.train(folder, backbone="logmel", head="linear")
    rules = EventRules(
        (0.6, 0.6, np.inf), before_s=0.08, after_s=0.08, min_gap_s=0.2, min_duration_s=0.2
    )
    detector = Detector(WINDOW_S, HOP_S, False, rules.to_json(), {})
    path = folder.parent / "tones.earmark"
    replace(training.classifier, detector=detector).save(path)
    return path


def write_tones(
    path: Path, seconds: float = 20.0, seed: int = 0, **settings: object
) -> list[Event]:
    """Write noise with a tone every 4 s; return the tones."""
    rng, x, events = np.random.default_rng(seed), noise(seconds, seed), []
    for at in np.arange(1.0, seconds - 2, 4.0):
        start, label = float(at + rng.uniform(0, 1.5)), str(rng.choice(list(TONES)))
        own = tone(label, 0.8)
        first = round(start * RATE_HZ)
        x[first : first + len(own)] += own
        events.append(Event(first / RATE_HZ, first / RATE_HZ + 0.8, label))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, x, RATE_HZ, **settings)
    return events
