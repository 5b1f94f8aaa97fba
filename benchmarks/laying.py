"""Lay sounds on a background at a known signal-to-noise ratio, with exact truth.

What sounds of a clip: frames of 10 ms whose RMS is at most 30 dB below that of the clip's loudest
frame. Stretches closer together than ``join_s`` are one sound, of which the first 5 s are used.

Signal-to-noise ratio: RMS of the sound, pauses inside it included, over the RMS of the background
of the whole soundscape. The background varies inside a soundscape, so the ratio around one sound
may be several dB higher or lower. If the mixture would clip, all of it is made quieter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

FRAME_S = 0.01
FLOOR_DB = 30  # below the loudest frame
LONGEST_S = 5
FADE_S = 0.005  # at both ends of a sound
CROSS_FADE_S = 0.5  # between pieces of background
END_S = 0.5  # of background after the last sound of a soundscape
PEAK = 0.95

Samples = np.ndarray


@dataclass(frozen=True)
class Sound:
    """What sounds of a clip, at the rate of the soundscape."""

    x: Samples
    label: str
    clip: str


@dataclass(frozen=True)
class Laid:
    """A sound in a soundscape, from its first to after its last sample."""

    start: int
    sound: Sound

    @property
    def end(self) -> int:
        """The sample after its last one."""
        return self.start + len(self.sound.x)


def rms(x: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))


def sounding(x: Samples, rate_hz: int, join_s: float) -> list[tuple[int, int]]:
    """Return the stretches of ``x`` (n,) that sound, first and after last sample; see above."""
    n = round(rate_hz * FRAME_S)
    frames = np.pad(x, (0, -len(x) % n)).reshape(-1, n)
    power = np.mean(np.square(frames, dtype=np.float64), axis=1)
    sounds = (power > 0) & (power >= power.max() * 10 ** (-FLOOR_DB / 10))
    edges = np.flatnonzero(np.diff(sounds, prepend=False, append=False)) * n
    joined: list[tuple[int, int]] = []
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if joined and start - joined[-1][1] < join_s * rate_hz:
            start = joined.pop()[0]
        joined.append((start, min(end, len(x))))
    return joined


def faded(x: Samples, rate_hz: int) -> Samples:
    """Return ``x`` with a short fade at both ends."""
    n = min(round(rate_hz * FADE_S), len(x) // 2)
    ramp = np.sin(np.linspace(0, np.pi / 2, n, endpoint=False)) ** 2
    return np.concatenate([x[:n] * ramp, x[n : len(x) - n], x[len(x) - n :] * ramp[::-1]])


def sounds_of(x: Samples, rate_hz: int, join_s: float, label: str, clip: str) -> list[Sound]:
    """Return the sounds of a clip."""
    most = LONGEST_S * rate_hz
    cuts = [(start, min(end, start + most)) for start, end in sounding(x, rate_hz, join_s)]
    return [Sound(faded(x[start:end], rate_hz), label, clip) for start, end in cuts]


def in_turns(sounds: Sequence[Sound], rng: np.random.Generator) -> list[Sound]:
    """Return the sounds in random order, in rounds that have at most one of each label."""
    labels = sorted({sound.label for sound in sounds})
    left = {label: [s for s in sounds if s.label == label] for label in labels}
    for group in left.values():
        rng.shuffle(group)
    order: list[Sound] = []
    while any(left.values()):
        for k in rng.permutation(len(labels)):
            if left[labels[k]]:
                order.append(left[labels[k]].pop())
    return order


def places(
    sounds: Sequence[Sound],
    rate_hz: int,
    seconds: float,
    gaps_s: tuple[float, float],
    overlap: float,
    rng: np.random.Generator,
) -> Iterator[list[Laid]]:
    """Yield for each soundscape where its sounds are, until all sounds are laid.

    ``overlap`` is the share of sounds that get company: the next sound of another label starts
    inside them. Company and its host are alone otherwise, so no more than two sound at once.
    """
    waiting = list(sounds)
    longest = (seconds - END_S) * rate_hz
    laid: list[Laid] = []
    time = 0
    while waiting:
        start = time + round(rng.uniform(*gaps_s) * rate_hz)
        group = [Laid(start, waiting[0])]
        guest = next((s for s in waiting if s.label != waiting[0].label), None)
        share, where = rng.uniform(size=2)
        if guest is not None and share < overlap:
            group.append(Laid(start + round((0.1 + 0.8 * where) * len(waiting[0].x)), guest))
        end = max(one.end for one in group)
        if end > longest:
            if not laid:
                raise ValueError(f"{waiting[0].clip} is longer than a soundscape of {seconds} s")
            yield laid
            laid, time = [], 0
            continue
        laid += group
        time = end
        waiting = [s for s in waiting if all(s is not one.sound for one in group)]
    if laid:
        yield laid


def joined(pieces: Iterator[Samples], rate_hz: int, n: int) -> Samples:
    """Return ``n`` samples of background: pieces one after the other, cross-faded."""
    fade = round(rate_hz * CROSS_FADE_S)
    rise = np.sin(np.linspace(0, np.pi / 2, fade))  # equal power, as the pieces do not correlate
    x = next(pieces).astype(np.float64)
    while len(x) < n:
        after = next(pieces)
        x[-fade:] = x[-fade:] * rise[::-1] + after[:fade] * rise
        x = np.concatenate([x, after[fade:]])
    return x[:n]


def mixed(background: Samples, laid: Sequence[Laid], snr_db: float) -> Samples:
    """Return the background with the sounds on it, quieter throughout if it would clip."""
    level = rms(background) * 10 ** (snr_db / 20)
    x = background.copy()
    for one in laid:
        x[one.start : one.end] += one.sound.x * (level / rms(one.sound.x))
    return x * min(1.0, PEAK / float(np.abs(x).max()))


def snr_at(background: Samples, one: Laid, snr_db: float) -> float:
    """Return the ratio in dB of a sound to the background under it alone."""
    under = rms(background[one.start : one.end])
    return snr_db + 20 * float(np.log10(rms(background) / under))


def write_flac(path: Path, x: Samples, rate_hz: int) -> None:
    """Write 16-bit FLAC."""
    soundfile.write(path, np.round(x * 32767).astype(np.int16), rate_hz, subtype="PCM_16")


def write_track(path: Path, rows: Sequence[tuple[float, float, str]]) -> None:
    """Write a label track of Audacity."""
    lines = [f"{start:.6f}\t{end:.6f}\t{label}\n" for start, end, label in sorted(rows)]
    path.write_text("".join(lines), encoding="utf-8", newline="\n")
