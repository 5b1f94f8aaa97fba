"""A detector of spoken digits, made by hand from a few real recordings: it trains in seconds."""

from dataclasses import replace
from pathlib import Path

import numpy as np

import earmark
from earmark import audio
from earmark.classifier.detector import Detector
from earmark.detection.detecting import EventDetector
from earmark.detection.rules import EventRules
from shared_data import shared_data

DIGITS = "027"


def digit_files(digit: str, takes: range) -> list[Path]:
    """Return recordings of a digit by two speakers."""
    folder = shared_data("fsdd") / "recordings"
    return [
        folder / f"{digit}_{name}_{take}.wav" for name in ("george", "jackson") for take in takes
    ]


def digit_classifier(folder: Path, **rules: object) -> earmark.Classifier:
    """Train a classifier of three digits, and give it windows of 0.48 s and rules.

    ``folder`` takes the manifest of the recordings.
    """
    files = [file for digit in DIGITS for file in digit_files(digit, range(4))]
    manifest = folder / "digits.csv"
    lines = [f"{file},{file.name[0]}" for file in files]
    manifest.write_text("\n".join(["path,label", *lines]) + "\n")
    training = earmark.train(
        manifest,
        backbone="speech-embedding",
        head="prototype",
        layers="conv7",
        folds=2,
        compare=False,
    )
    own = EventRules((0.9,) * 3, before_s=0.12, after_s=0.12, min_gap_s=0.08, **rules)
    detector = Detector(0.48, 0.08, False, own.to_json(), {})
    return replace(training.classifier, detector=detector)


def digit_detector(folder: Path, **rules: object) -> EventDetector:
    """Return the detector of :func:`digit_classifier`."""
    return EventDetector.load(digit_classifier(folder, **rules))


def spoken_digits(rate_hz: int, gap_s: float = 0.3, count: int = 5) -> np.ndarray:
    """Return digits with soft noise between them; one begins at 0 s, one ends at the very end."""
    rng, parts = np.random.default_rng(0), []
    for number in range(count):
        file = digit_files(DIGITS[number % 3], range(5, 9))[number % 8]
        x = audio.load(file, rate_hz)
        parts += [x, np.zeros(round(gap_s * rate_hz), np.float32)]
    x = np.concatenate(parts[:-1])
    return x + rng.normal(0, 1e-3, len(x)).astype(np.float32)
