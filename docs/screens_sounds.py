"""The sounds that are seen in the pictures of the studio: the example that earmark ships."""

from __future__ import annotations

import csv
import shutil
import sys
from pathlib import Path

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))
from fake_microphone import EXAMPLE

RATE_HZ, HEARD_HZ = 16_000, 48_000  # of the example, and of the microphone
LONG_S = 900


def clip_of(label: str, number: int) -> np.ndarray:
    """Return a clip of the example."""
    return soundfile.read(EXAMPLE / label / f"g{number:02}.ogg", dtype="float32")[0]


def fill(folder: Path) -> None:
    """Copy the example, with its labels; plant faults that the doctor and the review find."""
    with open(EXAMPLE / "manifest.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        place = folder / row["path"]
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(EXAMPLE / row["path"], place)
        if row["path"] in ("left/g04.ogg", "knock/g09.ogg", "go/g02.ogg"):
            row["label"] = {"left": "right", "knock": "bell", "go": "no"}[row["label"]]
    for name, source, label, group in (
        ("rain/g05 copy.ogg", "rain/g05.ogg", "rain", "g05"),
        ("go/g07 again.ogg", "stop/g07.ogg", "go", "g07"),
    ):
        shutil.copy(EXAMPLE / source, folder / name)
        rows.append({"path": name, "label": label, "group": group})
    soundfile.write(folder / "bell" / "muted.ogg", np.zeros(RATE_HZ, np.float32), RATE_HZ)
    rows.append({"path": "bell/muted.ogg", "label": "bell", "group": "g13"})
    with open(folder / "earmark.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ("path", "label", "group"), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for path in sorted((EXAMPLE / "unheard").iterdir()):
        place = folder / "recordings" / path.name
        place.parent.mkdir(exist_ok=True)
        shutil.copy(path, place)


def write_night(
    path: Path, seconds: int = LONG_S, seed: int = 20
) -> list[tuple[float, float, str]]:
    """Write a long recording of clips on noise; return what is where."""
    rng = np.random.default_rng(seed)
    noise = np.cumsum(rng.normal(size=seconds * RATE_HZ)).astype(np.float32)
    noise -= np.convolve(noise, np.ones(64, np.float32) / 64, "same")
    sound = 0.0012 * noise / noise.std() + 0.0003 * rng.normal(size=len(noise)).astype(np.float32)
    regions, at = [], 4.0
    labels = ("bell", "knock", "rain", "engine", "knock", "bell", "go", "stop")
    while at < seconds - 4:
        label = labels[rng.integers(len(labels))]
        clip = clip_of(label, int(rng.integers(1, 13)))
        start = int(at * RATE_HZ)
        sound[start : start + len(clip)] += 0.7 * clip * rng.uniform(0.4, 1.0)
        regions.append((at, at + len(clip) / RATE_HZ, label))
        at += float(rng.exponential(4)) + 1.5
    soundfile.write(path, np.clip(sound, -1, 1), RATE_HZ)
    return regions


def write_heard(path: Path) -> None:
    """Write what the microphone hears: clips with pauses."""
    rng = np.random.default_rng(7)
    parts = [0.0003 * rng.normal(size=2 * RATE_HZ)]
    for label, number in (("bell", 3), ("stop", 8), ("knock", 5), ("go", 9), ("bell", 7)):
        parts += [0.8 * clip_of(label, number), 0.0003 * rng.normal(size=2 * RATE_HZ)]
    sound = np.repeat(np.concatenate(parts), HEARD_HZ // RATE_HZ)
    smooth = np.convolve(sound, np.ones(3) / 3, "same")
    soundfile.write(path, smooth, HEARD_HZ, subtype="PCM_16")
