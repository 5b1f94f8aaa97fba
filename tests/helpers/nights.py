"""Long recordings with tones at known places, for archives: what is where is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from command_line import earmark

RATE_HZ = 16_000
SECONDS = 20
TONES = {"owl": 800, "fox": 2_500}  # Hz of each class
PLANTED = {
    ("north/1.wav", 5.0): "owl", ("north/2.wav", 12.0): "owl", ("south/1.wav", 3.0): "owl",
    ("north/1.wav", 14.0): "fox", ("south/1.wav", 10.0): "fox",
}  # fmt: skip
SITES = "path,site\nnorth/1.wav,north\nnorth/2.wav,north\nsouth/1.wav,south\n"


def tone(label: str, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Return the sound of a class, in a little noise."""
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return 0.3 * np.sin(2 * np.pi * TONES[label] * t) + 0.02 * rng.normal(size=len(t))


def write_nights(folder: Path) -> Path:
    """Write three recordings of two sites, with a table of the sites."""
    rng = np.random.default_rng(0)
    for name in sorted({path for path, _ in PLANTED}):
        sound = 0.02 * rng.normal(size=SECONDS * RATE_HZ)
        for (path, start), label in PLANTED.items():
            if path == name:
                more = tone(label, 1.5, rng)
                sound[int(start * RATE_HZ) :][: len(more)] += more
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, sound, RATE_HZ)
    (folder / "sites.csv").write_text(SITES)
    return folder


def write_examples(folder: Path, count: int = 2) -> Path:
    """Write clips of each class into folders of their names."""
    rng = np.random.default_rng(1)
    for label in TONES:
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            soundfile.write(folder / label / f"{number}.wav", tone(label, 1.0, rng), RATE_HZ)
    return folder


def index(nights: Path, archive: Path) -> Path:
    """Make an archive of the recordings, with the network that the package ships."""
    table = ("--table", nights / "sites.csv")
    earmark("index", nights, "-o", archive, *table)
    return archive


def class_at(path: str, start: float, end: float) -> str | None:
    """Return the class whose tone fills half of a stretch, or is half in it."""
    for (name, at), label in PLANTED.items():
        overlap = min(end, at + 1.5) - max(start, at)
        if path == name and overlap > min(end - start, 1.5) / 2:
            return label
    return None
