"""Folders for the studio: short recordings, uploads, and what a command reads there."""

import csv
import shutil
import struct
from pathlib import Path

import numpy as np
import soundfile

from earmark.apps.studio.folder.folder import Folder
from earmark.data.dataset import Dataset

RATE = 8_000
NAMES = ("bell/1.wav", "bell/2.wav", "dog/1.wav", "dog/2.wav")  # of two_classes


def sound(path: Path, seconds: float = 0.1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(int(RATE * seconds)), RATE)
    return path


def sounds(folder: Path, *names: str) -> Path:
    """Write short recordings; return the folder."""
    for name in names:
        sound(folder / name)
    return folder


def two_classes(folder: Path) -> Path:
    """Write two recordings of each of two classes; return the folder."""
    return sounds(folder, *NAMES)


def tones_folder(path: Path, takes: int = 1) -> Path:
    """Write two classes of six tones and their ``earmark.csv``, with so many takes of each."""
    rng = np.random.default_rng(0)
    rows = [("path", "label", "take", "note")]
    for label, hz in (("high", 1_800), ("low", 240)):
        (path / "recordings" / label).mkdir(parents=True)
        for k in range(6):
            t = np.arange(8_000) / 16_000
            x = 0.3 * np.sin(2 * np.pi * hz * (1 + 0.02 * k) * t) + 0.01 * rng.normal(size=8_000)
            name = f"recordings/{label}/{k}.wav"
            soundfile.write(path / name, x, 16_000)
            rows.append((name, label, f"{label} {k % takes}", f"note {k}"))
    with (path / "earmark.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def ids(folder: Folder, **chosen) -> list[str]:
    """Return the ids of clips; ``chosen`` as for ``Folder.clips``."""
    return [clip["id"] for clip in folder.clips(**chosen, count=10_000)["clips"]]


def id_of(folder: Folder, place: str) -> str:
    """Return the id of a whole recording."""
    clips = [{"path": str(folder.path / place), "start": None, "end": None}]
    folder.ids_of(clips)
    assert clips[0]["id"], f"{place} is not there"
    return clips[0]["id"]


def pcm(seconds: float = 0.3) -> bytes:
    """Return recorded sound as the page sends it."""
    return struct.pack("<h", 5) * int(RATE * seconds)


def begin(folder: Folder, name: str, label: str | None, **about) -> str:
    """Begin to record a piece."""
    given = {"kind": "pcm", "name": name, "label": label, "rate_hz": RATE, "purpose": "keep"}
    return folder.begin_upload({**given, "bytes": None, "folder": None, "take": None, **about})


def record(folder: Folder, name: str, label: str | None, **about) -> dict:
    """Record a piece of 0.3 s."""
    upload = begin(folder, name, label, **about)
    folder.append(upload, 0, pcm())
    return folder.finish_upload(upload)


def drop(to: Folder, name: str, content: bytes, **about) -> dict:
    """Drop a file on the page."""
    given = {"kind": "file", "name": name, "bytes": len(content), "purpose": "keep"}
    upload = to.begin_upload({**given, **about})
    to.append(upload, 0, content)
    return to.finish_upload(upload)


def labels(place: Path) -> dict[tuple[str, float, float | None], str | None]:
    """Return what a command reads: the label of each clip, by path, start and end."""
    clips = Dataset.read(place, least_classes=0).clips
    return {(c.path.relative_to(place).as_posix(), c.start or 0.0, c.end): c.label for c in clips}


def shown(folder: Folder) -> dict[tuple[str, float, float | None], str | None]:
    """Return what the page shows, as :func:`labels` does."""
    clips = folder.clips(count=10_000)["clips"]
    return {(c["place"], c["start"] or 0.0, c["end"]): c["label"] for c in clips}


def picture(folder: Folder) -> object:
    """Return all that a person sees of a folder, without versions and history."""
    state = folder.state()
    lists = [
        folder.clips(count=10_000, **of) for of in ({}, {"unlabelled": True}, {"left_out": True})
    ]
    told = {k: state[k] for k in ("counts", "classes", "columns", "manifests")}
    return told, [each["clips"] for each in lists], files(folder.path)


def files(place: Path) -> dict[str, int]:
    """Return the recordings of a folder, with their sizes."""
    found = (path for path in place.rglob("*.wav") if ".studio" not in path.parts)
    return {path.relative_to(place).as_posix(): path.stat().st_size for path in found}


def copy_of(place: Path, target: Path) -> Path:
    """Return a copy of a folder, as a crash would leave it."""
    return Path(shutil.copytree(place, target, symlinks=True))
