"""Make the small data set that earmark ships for its demo: spoken words and everyday sounds.

    python examples/make_example.py [FOLDER]

Words come from espeak-ng, one voice per group. Sounds are synthesised with NumPy, with one family
of random parameters per group. Each group also has its own room, microphone and background noise.
So a classifier is correct on a new group only if it recognises the sound itself. The same espeak-ng
gives the same samples on every run (the Ogg serial numbers differ).
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile as sf
import soxr
from numpy.random import Generator
from numpy.typing import NDArray

Wave = NDArray[np.floating[Any]]

RATE_HZ = 16_000
SEED = 20
SNR_DB = (2.0, 16.0)  # drawn anew for every clip
LEVEL_DB = (-32.0, -16.0)  # RMS of the finished clip, relative to full scale
OUT = Path(__file__).resolve().parent.parent / "src" / "earmark" / "example"


class Voice(NamedTuple):
    """One espeak-ng speaker: accent and variant, words per minute, pitch 0..99."""

    name: str
    speed: int
    pitch: int


VOICES = {
    "g01": Voice("en-gb", 150, 45),
    "g02": Voice("en-us+f3", 160, 60),
    "g03": Voice("en-gb-scotland+m3", 140, 40),
    "g04": Voice("en-us+whisper", 145, 50),
    "g05": Voice("en-gb-x-rp+f2", 170, 55),
    "g06": Voice("en-029+m7", 150, 35),
    "g07": Voice("en-gb-x-gbclan+croak", 135, 30),
    "g08": Voice("en-us+klatt4", 155, 50),
    "g09": Voice("en-us-nyc+f5", 180, 70),
    "g10": Voice("en-gb-x-gbcwmd+m1", 165, 65),
    "g11": Voice("en-gb+whisperf", 140, 60),
    "g12": Voice("en-029+f4", 130, 50),
}
WORDS = ("yes", "no", "go", "stop", "left", "right")
UNHEARD = {  # clips to predict, with other voices and places; a bell does not use its voice
    "stop": Voice("en-gb-scotland+f1", 150, 50),
    "right": Voice("en-us+m5", 155, 45),
    "bell": Voice("en-gb", 150, 50),
}


def speak(word: str, voice: Voice) -> Wave:
    """The word in that voice, without the silence around it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "word.wav"
        options = ["-v", voice.name, "-s", str(voice.speed), "-p", str(voice.pitch)]
        subprocess.run(["espeak-ng", *options, "-w", str(path), word], check=True)
        spoken, rate_hz = sf.read(path)
    wave: Wave = soxr.resample(spoken, rate_hz, RATE_HZ)
    loud = np.flatnonzero(np.abs(wave) > 0.02 * np.abs(wave).max())
    return wave[loud[0] : loud[-1] + 1]


def seconds(length_s: float) -> Wave:
    """The time axis of a sound of this length."""
    return np.arange(int(length_s * RATE_HZ)) / RATE_HZ


def shape(wave: Wave, gain: Callable[[Wave], Wave]) -> Wave:
    """The wave with each frequency (Hz) multiplied by its gain."""
    spectrum = np.fft.rfft(wave)
    hz = np.fft.rfftfreq(len(wave), 1 / RATE_HZ)
    return np.fft.irfft(spectrum * gain(hz), len(wave))


def band(low_hz: float, high_hz: float) -> Callable[[Wave], Wave]:
    """The gain of a gentle band-pass filter."""
    return lambda hz: 1 / np.sqrt((1 + (low_hz / (hz + 1)) ** 4) * (1 + (hz / high_hz) ** 4))


def bell(rng: Generator) -> Wave:
    """A struck bell: inharmonic partials; the higher ones decay faster."""
    t = seconds(rng.uniform(0.6, 1.0))
    strike_hz = np.exp(rng.uniform(np.log(250), np.log(1400)))
    ratios = np.array([0.5, 1, 1.2, 1.5, 2, 2.6, 3.0, 4.1]) * rng.normal(1, 0.02, 8)
    decay_s = rng.uniform(0.1, 0.5) / np.sqrt(ratios)
    partials = np.sin(2 * np.pi * strike_hz * ratios * t[:, None] + rng.uniform(0, 6, 8))
    wave: Wave = (partials * np.exp(-t[:, None] / decay_s)) @ rng.uniform(0.2, 1, 8)
    return wave


def knock(rng: Generator) -> Wave:
    """Two to four knocks on wood: short bursts with a few low resonances."""
    wave = np.zeros(len(seconds(rng.uniform(0.6, 1.0))))
    gap_s = rng.uniform(0.13, 0.26)
    modes_hz = rng.uniform((90, 250, 600), (200, 550, 1800))
    for blow in range(rng.integers(2, 5)):
        start = int((0.02 + blow * gap_s * rng.uniform(0.95, 1.05)) * RATE_HZ)
        t = seconds(0.12)[: max(0, len(wave) - start)]
        ring = np.sin(2 * np.pi * modes_hz * t[:, None]) @ rng.uniform(0.3, 1, 3)
        hit = ring * np.exp(-t / 0.018) + rng.normal(0, 0.8, len(t)) * np.exp(-t / 0.004)
        wave[start : start + len(t)] += hit * rng.uniform(0.6, 1)
    return wave


def rain(rng: Generator) -> Wave:
    """A hiss with many small drops in it."""
    t = seconds(rng.uniform(0.6, 1.0))
    hiss = shape(rng.normal(0, 1, len(t)), band(rng.uniform(400, 1500), rng.uniform(3000, 7000)))
    drops = np.where(rng.random(len(t)) < rng.uniform(0.002, 0.02), rng.exponential(8, len(t)), 0)
    return hiss + shape(drops, band(rng.uniform(1000, 2500), 6000))


def engine(rng: Generator) -> Wave:
    """A motor: a low pulse train with a wavering speed, and the noise of its exhaust."""
    t = seconds(rng.uniform(0.6, 1.0))
    firing_hz = rng.uniform(25, 110) * (1 + rng.uniform(-0.3, 0.3) * t)
    phase = 2 * np.pi * np.cumsum(firing_hz) / RATE_HZ + 0.2 * np.sin(2 * np.pi * 7 * t)
    pulse = np.exp(rng.uniform(2, 8) * (np.cos(phase) - 1))
    exhaust = rng.normal(0, rng.uniform(0.3, 1), len(t)) * pulse
    return shape(pulse - pulse.mean() + exhaust, band(60, rng.uniform(600, 2500)))


SOUNDS: dict[str, Callable[[Generator], Wave]] = {
    "bell": bell,
    "knock": knock,
    "rain": rain,
    "engine": engine,
}
LABELS = (*WORDS, *SOUNDS)


def rms(wave: Wave) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(wave**2)))


def record(dry: Wave, place: Generator, rng: Generator) -> Wave:
    """The sound in a place, with its echo, noise and microphone, at a random level.

    ``place`` draws the numbers that all clips of a group share, ``rng`` those of this clip.
    """
    echo_s, echo_gain = place.uniform(0.03, 0.15), place.uniform(0.02, 0.12)
    slope, low_hz, high_hz = place.uniform((0, 60, 2500), (1.2, 300, 7500))
    tail = place.normal(0, echo_gain, int(0.2 * RATE_HZ)) * np.exp(-seconds(0.2) / echo_s)
    tail[0] = 1  # the direct sound

    lead = np.zeros(int(rng.uniform(0.03, 0.12) * RATE_HZ))
    wet = np.concatenate([lead, dry, np.zeros(int(0.08 * RATE_HZ))])
    wet = np.convolve(wet, tail)[: len(wet)]
    noise = shape(rng.normal(0, 1, len(wet)), lambda hz: (hz + 50) ** -slope)
    noise *= rms(wet) / rms(noise) * 10 ** (-rng.uniform(*SNR_DB) / 20)
    heard = shape(wet + noise, band(low_hz, high_hz))
    heard *= 10 ** (rng.uniform(*LEVEL_DB) / 20) / rms(heard)
    return heard / max(1.0, float(np.abs(heard).max()) / 0.98)


def clip(label: str, voice: Voice, place_seed: int) -> Wave:
    """One finished clip of the label, from the place with this seed; the voice is for words."""
    rng = np.random.default_rng([SEED, place_seed, 1 + LABELS.index(label)])
    dry = speak(label, voice) if label in WORDS else SOUNDS[label](rng)
    return record(dry, np.random.default_rng([SEED, place_seed, 0]), rng)


def write(path: Path, wave: Wave) -> None:
    """The wave as Ogg Vorbis."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, wave, RATE_HZ, format="OGG", subtype="VORBIS")


def main(out: Path) -> None:
    """Write all clips and the manifest into the folder out."""
    if shutil.which("espeak-ng") is None:
        sys.exit("make_example.py needs the program espeak-ng on PATH to speak the words.")
    rows = []
    for label in LABELS:
        for number, (group, voice) in enumerate(VOICES.items(), start=1):
            path = f"{label}/{group}.ogg"
            write(out / path, clip(label, voice, number))
            rows.append((path, label, group))
    for number, (label, voice) in enumerate(UNHEARD.items(), start=101):
        write(out / "unheard" / f"{label}.ogg", clip(label, voice, number))
    with open(out / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("path", "label", "group"))
        writer.writerows(rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else OUT)
