"""Make scenes: what sounds of labelled clips, laid on background at several levels.

A scene has sounds and background of one fold only. So scenes of the other folds train a detector,
and the scenes of its own fold test it, on clips, groups and background that it has not heard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from earmark.audio.decoder import Samples
from earmark.data.event import Event
from earmark.training.sounds import quiet, sounding

SCENE_S = 60.0
SNR_DB = (0.0, 25.0)  # level of a sound above the background, evenly spread
GAIN_DB = (-15.0, 5.0)  # of a whole scene
GAP_S = (0.25, 2.0)  # background between two sounds
FADE_S = 0.005
CROSS_FADE_S = 0.05
LEAST_S, MOST_S = 15 * 60.0, 60 * 60.0  # of all scenes; few clips are used several times
MOST_COPIES = 8
MADE_S = 4.0  # of each made background per fold


@dataclass(frozen=True)
class Sound:
    """What sounds of a clip: samples (n,), its label, and its fold."""

    samples: Samples
    label: str
    fold: int


@dataclass(frozen=True)
class Scene:
    """Samples with exactly known events; every stretch was annotated unless ``regions`` says less.

    ``is_made`` marks silence, hum and noise without events: they train, and are not counted.
    """

    name: str
    samples: Samples
    rate_hz: int
    events: tuple[Event, ...]
    fold: int
    regions: tuple[tuple[float, float], ...] | None = None
    is_made: bool = False

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate_hz


def sounds_of(x: Samples, rate_hz: int, label: str, fold: int) -> list[Sound]:
    """Return the stretches of a clip ``x`` (n,) that sound."""
    return [Sound(x[a:b], label, fold) for a, b in sounding(x, rate_hz)]


def quiet_of(x: Samples, rate_hz: int) -> list[Samples]:
    """Return the stretches of a clip in which little sounds."""
    return [x[a:b] for a, b in quiet(x, rate_hz)]


def mix(
    sounds: Sequence[Sound],
    backgrounds: Sequence[Samples],
    fold: int,
    rate_hz: int,
    copies: int,
    rng: np.random.Generator,
) -> Iterator[Scene]:
    """Yield scenes of a fold: every sound ``copies`` times, in random order."""
    order = np.concatenate([rng.permutation(len(sounds)) for _ in range(copies)])
    waiting: list[tuple[int, int]] = []  # (sound, start sample)
    at = 0
    number = 0
    for index in order.tolist():
        at += round(float(rng.uniform(*GAP_S)) * rate_hz)
        waiting.append((index, at))
        at += len(sounds[index].samples)
        if at >= SCENE_S * rate_hz or index == order[-1] and len(waiting) == 0:
            yield _render(sounds, waiting, at, backgrounds, f"{fold}.{number}", fold, rate_hz, rng)
            waiting, at, number = [], 0, number + 1
    if waiting:
        yield _render(sounds, waiting, at, backgrounds, f"{fold}.{number}", fold, rate_hz, rng)


def _render(
    sounds: Sequence[Sound],
    places: Sequence[tuple[int, int]],
    end: int,
    backgrounds: Sequence[Samples],
    name: str,
    fold: int,
    rate_hz: int,
    rng: np.random.Generator,
) -> Scene:
    n = end + round(float(rng.uniform(*GAP_S)) * rate_hz)
    x = background(backgrounds, n, rate_hz, rng)
    noise = float(np.sqrt(np.square(x, dtype=np.float64).mean()))
    events = []
    for index, at in places:
        sound = sounds[index]
        own = faded(sound.samples, rate_hz)
        level = float(np.sqrt(np.square(own, dtype=np.float64).mean()))
        factor = 1.0
        if noise > 1e-7 and level > 0:
            factor = noise / level * 10 ** (float(rng.uniform(*SNR_DB)) / 20)
        x[at : at + len(own)] += np.float32(factor) * own
        events.append(Event(at / rate_hz, (at + len(own)) / rate_hz, sound.label))
    gain = 10 ** (float(rng.uniform(*GAIN_DB)) / 20)
    x *= np.float32(min(gain, 1 / max(1e-9, float(np.abs(x).max()))))
    return Scene(name, x, rate_hz, tuple(events), fold)


def background(
    pieces: Sequence[Samples], n: int, rate_hz: int, rng: np.random.Generator
) -> Samples:
    """Return ``n`` samples of random stretches of ``pieces``, joined by cross-fades.

    Every piece is brought to the level of the first, so that a signal-to-noise ratio means the same
    everywhere.
    """
    fade = round(CROSS_FADE_S * rate_hz)
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    x = np.zeros(n + fade, np.float32)
    at, level = 0, 0.0
    while at < n:
        piece = pieces[int(rng.integers(len(pieces)))]
        start = int(rng.integers(max(1, len(piece) - 10 * rate_hz)))
        part = piece[start : start + 10 * rate_hz][: n + fade - at].copy()
        own = float(np.sqrt(np.square(part, dtype=np.float64).mean()))
        if level and own:
            part *= np.float32(min(level / own, 10.0))
        level = level or own
        if len(part) > 2 * fade and at:
            part[:fade] *= ramp
            x[at : at + fade] *= ramp[::-1]
        x[at : at + len(part)] += part
        at += max(1, len(part) - fade)
    return x[:n]


def faded(x: Samples, rate_hz: int) -> Samples:
    """Return ``x`` with short fades at both ends."""
    fade = min(round(FADE_S * rate_hz), len(x) // 2)
    y = x.copy()
    if fade:
        ramp = np.linspace(0, 1, fade, dtype=np.float32)
        y[:fade] *= ramp
        y[-fade:] *= ramp[::-1]
    return y


def made(fold: int, rate_hz: int, rng: np.random.Generator) -> Scene:
    """Return a scene of digital silence, hum and noise at several levels, without events."""
    n = round(MADE_S * rate_hz)
    t = np.arange(n) / rate_hz
    mains = 50.0 if fold % 2 else 60.0
    hum = sum(np.sin(2 * np.pi * mains * k * t) / k for k in range(1, 8))
    parts = [np.zeros(n)]
    for level in (1e-4, 3e-3, 0.1):
        white = rng.standard_normal(n)
        brown = np.cumsum(rng.standard_normal(n))
        brown -= np.convolve(brown, np.ones(801) / 801, "same")
        pink = white + brown / brown.std()
        parts += [level * white, level * pink / pink.std(), level * np.asarray(hum)]
    return Scene(
        f"made {fold}", np.concatenate(parts).astype(np.float32), rate_hz, (), fold, is_made=True
    )
