"""Scenes: stretches of sound with exactly known events, which train and test detectors.

A scene has sounds and background of one fold only. So scenes of the other folds train a detector,
and the scenes of its own fold test it on clips, groups and background that were not in training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from earmark.audio.decoder import Samples
from earmark.data.event import Event

SCENE_S = 60.0
SNR_DB = (0.0, 25.0)  # level of a sound above the background of its scene, evenly spread
GAIN_DB = (-15.0, 5.0)  # of a whole scene
GAP_S = (0.25, 2.0)  # background between two sounds
FADE_S = 0.005
CROSS_FADE_S = 0.05
PIECE_S = 10.0  # most of one recording of background in a row
MOST_BOOST = 10.0  # of a piece of background, to the level of the first piece
MADE_S = 4.0  # of each made background


@dataclass(frozen=True)
class Sound:
    """What sounds of a clip: samples (n,), and the clip's classes."""

    samples: Samples
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Scene:
    """Samples (n,) at ``rate_hz`` and the ``events`` in them.

    ``regions`` are the annotated stretches in seconds; None means all. ``is_made`` marks silence,
    hum and noise: they train, and do not count in the estimate.
    """

    name: str
    fold: int
    samples: Samples
    rate_hz: int
    events: tuple[Event, ...] = ()
    regions: tuple[tuple[float, float], ...] | None = None
    is_made: bool = False


def mix(
    sounds: Sequence[Sound],
    backgrounds: Sequence[Samples],
    fold: int,
    rate_hz: int,
    copies: int,
    rng: np.random.Generator,
) -> Iterator[Scene]:
    """Yield scenes with every sound ``copies`` times, in random order, at random levels."""
    order = np.concatenate([rng.permutation(len(sounds)) for _ in range(copies)])
    places: list[tuple[Sound, int]] = []
    at, number = 0, 0
    for count, index in enumerate(order.tolist(), 1):
        at += _gap(rate_hz, rng)
        places.append((sounds[index], at))
        at += len(sounds[index].samples)
        if at >= SCENE_S * rate_hz or count == len(order):
            n = at + _gap(rate_hz, rng)
            x, events = _laid(places, join_background(backgrounds, n, rate_hz, rng), rate_hz, rng)
            yield Scene(f"scene {fold}.{number}", fold, x, rate_hz, events)
            places, at, number = [], 0, number + 1


def _gap(rate_hz: int, rng: np.random.Generator) -> int:
    return round(float(rng.uniform(*GAP_S)) * rate_hz)


def _laid(
    places: Sequence[tuple[Sound, int]], x: Samples, rate_hz: int, rng: np.random.Generator
) -> tuple[Samples, tuple[Event, ...]]:
    """Return background ``x`` with sounds laid on it, and the events."""
    noise, events = level_of(x), []
    for sound, at in places:
        own = _faded(sound.samples, rate_hz)
        level, factor = level_of(own), 1.0
        if noise > 0 and level > 0:
            factor = noise / level * 10 ** (float(rng.uniform(*SNR_DB)) / 20)
        x[at : at + len(own)] += np.float32(factor) * own
        span = at / rate_hz, (at + len(own)) / rate_hz
        events += [Event(*span, label) for label in sound.labels]
    gain = 10 ** (float(rng.uniform(*GAIN_DB)) / 20)
    x *= np.float32(min(gain, 1 / max(1e-9, float(np.abs(x).max()))))
    return x, tuple(events)


def join_background(
    pieces: Sequence[Samples], n: int, rate_hz: int, rng: np.random.Generator
) -> Samples:
    """Return ``n`` samples of random stretches of ``pieces``, joined by cross-fades.

    All are brought to the level of the first, so a ratio to the background means the same
    everywhere.
    """
    fade, most = round(CROSS_FADE_S * rate_hz), round(PIECE_S * rate_hz)
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    x = np.zeros(n + most, np.float32)
    at, level = 0, 0.0
    while at < n:
        piece = pieces[int(rng.integers(len(pieces)))]
        start = int(rng.integers(max(1, len(piece) - most)))
        part = piece[start : start + most].copy()
        own = level_of(part)
        if level and own:
            part *= np.float32(min(level / own, MOST_BOOST))
        level = level or own
        if len(part) > 2 * fade:
            part[-fade:] *= ramp[::-1]
            part[:fade] *= ramp if at else 1
        x[at : at + len(part)] += part
        at += max(1, len(part) - fade)
    return np.asarray(x[:n])


def level_of(x: Samples) -> float:
    """Return the root mean square of samples (n,)."""
    return float(np.sqrt(np.square(x, dtype=np.float64).mean())) if len(x) else 0.0


def _faded(x: Samples, rate_hz: int) -> Samples:
    fade = min(round(FADE_S * rate_hz), len(x) // 2)
    y = x.copy()
    if fade:
        ramp = np.linspace(0, 1, fade, dtype=np.float32)
        y[:fade] *= ramp
        y[-fade:] *= ramp[::-1]
    return np.asarray(y, np.float32)


def made_scene(fold: int, rate_hz: int, rng: np.random.Generator) -> Scene:
    """Return digital silence, hum and noise at several levels, without an event."""
    n = round(MADE_S * rate_hz)
    t = np.arange(n) / rate_hz
    mains_hz = 50.0 if fold % 2 else 60.0
    hum = np.sum([np.sin(2 * np.pi * mains_hz * k * t) / k for k in range(1, 8)], 0)
    parts = [np.zeros(n)]
    for level in (1e-4, 3e-3, 0.1):
        white = rng.standard_normal(n)
        parts += [level * white, level * pink(white), level * hum]
    samples = np.concatenate(parts).astype(np.float32)
    return Scene(f"made {fold}", fold, samples, rate_hz, is_made=True)


def pink(white: np.ndarray) -> np.ndarray:
    """Return white noise (n,) with 3 dB less in every higher octave, and a level of 1."""
    n = len(white)
    x = np.fft.irfft(np.fft.rfft(white) / np.sqrt(np.arange(1, n // 2 + 2)), n)
    return np.asarray(x / x.std())
