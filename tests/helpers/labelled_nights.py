"""A small archive: noise with tones at known places, in six recordings of three sites."""

from pathlib import Path

import numpy as np
import soundfile

from command_line import earmark
from earmark.embeddings import Archive
from earmark.labelling.decisions import Decision
from earmark.labelling.labels import LabelFile, labels_of

RATE_HZ = 16_000
SECONDS = 20.0
HZ = {"owl": 800.0, "tit": 2_500.0}
NIGHTS = ("a/1.wav", "a/2.wav", "b/1.wav", "b/2.wav", "c/1.wav", "c/2.wav")
STARTS = {"owl": (3.0, 11.0), "tit": (6.0, 16.0)}  # seconds, of tones of 1 s, in each recording


def make_nights(root: Path) -> Path:
    """Write recordings below ``root`` and index them with windows of 1 s every 0.5 s."""
    rng = np.random.default_rng(0)
    for name in NIGHTS:
        x = 0.02 * rng.normal(size=int(SECONDS * RATE_HZ))
        for label, starts in STARTS.items():
            t = np.arange(RATE_HZ) / RATE_HZ
            for start in starts:
                tone = 0.3 * np.sin(2 * np.pi * HZ[label] * rng.uniform(0.97, 1.03) * t)
                x[int(start * RATE_HZ) :][: len(t)] += tone
        path = root / "nights" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, x, RATE_HZ)
    rows = "".join(f"{name},{name[0]}\n" for name in NIGHTS)
    (root / "sites.csv").write_text(f"path,site\n{rows}")
    index(root)
    return root / "archive"


def index(root: Path) -> None:
    """Index the recordings, or what has changed."""
    options = ("--backbone", "logmel", "--table", root / "sites.csv")
    earmark("index", root / "nights", "-o", root / "archive", *options)


def classes_at(start: float, end: float) -> set[str]:
    """Return the classes that sound for more than 0.4 s of a stretch, in every recording."""
    return {
        label
        for label, starts in STARTS.items()
        if any(min(end, at + 1.0) - max(start, at) > 0.4 for at in starts)
    }


def answer(
    archive: Path, name: str, start: float, suggested: str, word: str, who: str = "ann"
) -> None:
    """Add an answer on a window of 1 s."""
    place = str(archive.parent / "nights" / name)
    with Archive(archive) as opened:
        content = next((r.digest for r in opened.recordings() if r.place == place), "")
    decision = Decision(
        place=place, start=start, end=start + 1.0, suggested=suggested, word=word, content=content
    )
    LabelFile(labels_of(archive), who).add(decision)


def label_windows(
    archive: Path, *labels: str, starts: tuple[float, ...] = (3.0, 8.0, 16.0)
) -> None:
    """Answer windows of all recordings truly, each for every one of ``labels``."""
    for name in NIGHTS:
        for start in starts:
            for label in labels:
                word = "yes" if label in classes_at(start, start + 1.0) else "no"
                answer(archive, name, start, label, word)
