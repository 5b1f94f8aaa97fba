"""Well-known data sets: where they are published, and their official folds.

earmark ships none of them. Each has its own licence, which is shown before the download.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earmark.data.clip import Clip
from earmark.errors import DataError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class Archive:
    """The file in which a data set is published; it is unpacked into a folder called ``name``.

    ``digest`` is the published hash, 'sha256:...' or 'md5:...', or '' if none is published.
    ``files`` matches the names to unpack; its first group is the path below the folder.
    """

    name: str
    url: str
    bytes: int
    digest: str
    unpacked_bytes: int  # at most
    files: re.Pattern[str]


@dataclass(frozen=True, kw_only=True)
class KnownData:
    """A data set, or a part or protocol of one; ``clips_in`` lists the clips of its folder."""

    name: str
    title: str
    archive: Archive
    licence: str
    page: str
    clips: int
    classes: int
    protocol: str
    clips_in: Callable[[Path], Iterable[Clip]]

    def described(self) -> dict[str, Any]:
        """Return the description of the data set, for JSON."""
        names = ("name", "title", "licence", "page", "clips", "classes", "protocol")
        archive = {name: getattr(self.archive, name) for name in ("url", "bytes", "digest")}
        return {name: getattr(self, name) for name in names} | archive


def find(name: str) -> KnownData:
    """Return a known data set; DataError for any other name."""
    known = KNOWN.get(name)
    if known is None:
        raise DataError(
            f"no data set is called {name!r}.{did_you_mean(name, KNOWN)} Give one of"
            f" {', '.join(KNOWN)}."
        )
    return known


# Where the clips are, and their official folds


_NAME = r"[A-Za-z0-9_-][A-Za-z0-9_.-]*"


def _table(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def _inside(folder: Path, name: str | None) -> Path:
    """Return the file with a name from a table; ValueError if it is not a plain file name."""
    if name is None or not re.fullmatch(_NAME, name):
        raise ValueError(f"the table has {name!r}, which cannot be a file in {folder.name}")
    return folder / name


def _esc50(folder: Path) -> Iterator[Clip]:
    """Yield the clips, in five folds; those of one recording have its number in ``src_file``."""
    for row in _table(folder / "meta" / "esc50.csv"):
        path = _inside(folder / "audio", row["filename"])
        yield Clip(path, row["category"], group=row["src_file"], fold=row["fold"])


def _esc10(folder: Path) -> Iterator[Clip]:
    """Return the clips of the ten classes that the column ``esc10`` marks."""
    names = {r["filename"] for r in _table(folder / "meta" / "esc50.csv") if r["esc10"] == "True"}
    return (clip for clip in _esc50(folder) if clip.path.name in names)


def _fsdd(folder: Path) -> Iterator[Clip]:
    """Yield the clips, grouped by speaker; files are named {digit}_{speaker}_{take}.wav."""
    for path in sorted((folder / "recordings").glob("*.wav")):
        digit, speaker, _ = path.stem.split("_")
        yield Clip(path, digit, group=speaker)


def _fsdd_official(folder: Path) -> Iterator[Clip]:
    """Yield the clips; takes 0 to 4 are the test set (README, "Usage"), by the same speakers."""
    for clip in _fsdd(folder):
        take = int(clip.path.stem.split("_")[2])
        yield Clip(clip.path, clip.label, split="test" if take < 5 else "train")


def _speech_commands(folder: Path) -> Iterator[Clip]:
    """Yield the clips; two lists state the splits, and file names begin with the speaker."""
    split = {
        line: name
        for name, file in (("test", "testing_list.txt"), ("validation", "validation_list.txt"))
        for line in (folder / file).read_text(encoding="utf-8").split()
    }
    for path in sorted(folder.glob("*/*.wav")):
        part = split.get(f"{path.parent.name}/{path.name}", "train")
        yield Clip(path, path.parent.name, group=path.name.partition("_")[0], split=part)


def _urbansound8k(folder: Path) -> Iterator[Clip]:
    """Yield the clips, in ten folds; those of one recording have its number in ``fsID``."""
    for row in _table(folder / "metadata" / "UrbanSound8K.csv"):
        place = _inside(folder / "audio", f"fold{row['fold']}")
        path = _inside(place, row["slice_file_name"])
        yield Clip(path, row["class"], group=row["fsID"], fold=row["fold"])


_ESC50 = Archive(
    name="ESC-50",
    # A commit of 2025; the author links to the archive of the branch, which may change.
    url="https://github.com/karolpiczak/ESC-50/archive/33c8ce9eb2cf0b1c2f8bcf322eb349b6be34dbb6.zip",
    bytes=645_832_161,
    digest="",
    unpacked_bytes=1_500_000_000,
    files=re.compile(rf"(?:.*/)?(audio/{_NAME}\.wav|meta/esc50\.csv|LICENSE|README\.md)"),
)
_FSDD = Archive(
    name="FSDD",
    url="https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.zip",
    bytes=16_419_872,
    digest="",
    unpacked_bytes=100_000_000,
    files=re.compile(rf"(?:.*/)?(recordings/{_NAME}\.wav|metadata\.py|README\.md)"),
)
_SPEECH_COMMANDS = Archive(
    name="speech_commands_v0.02",
    url="https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
    bytes=2_428_923_189,
    # from tensorflow/datasets, datasets/speech_commands/checksums.tsv; the same in torchaudio
    digest="sha256:af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
    unpacked_bytes=8_000_000_000,
    files=re.compile(
        rf"(?:\./)?([a-z]+/{_NAME}\.wav|(?:testing|validation)_list\.txt|LICENSE|README\.md)"
    ),
)
_URBANSOUND8K = Archive(
    name="UrbanSound8K",
    url="https://zenodo.org/records/1203745/files/UrbanSound8K.tar.gz",
    bytes=6_023_741_708,
    digest="md5:9aa69802bbf37fb986f71ec1483a196e",  # zenodo.org/records/1203745
    unpacked_bytes=16_000_000_000,
    files=re.compile(
        rf"(?:.*/)?(audio/fold[0-9]+/{_NAME}\.wav|metadata/UrbanSound8K\.csv|{_NAME}\.txt)"
    ),
)
KNOWN = {
    known.name: known
    for known in (
        KnownData(
            name="esc50",
            title="ESC-50, environmental sounds (K. J. Piczak, 2015)",
            archive=_ESC50,
            licence="CC BY-NC 3.0",
            page="https://github.com/karolpiczak/ESC-50",
            clips=2_000,
            classes=50,
            protocol="5 folds",
            clips_in=_esc50,
        ),
        KnownData(
            name="esc10",
            title="ESC-10, the subset of ESC-50 (K. J. Piczak, 2015)",
            archive=_ESC50,
            licence="CC BY 3.0",
            page="https://github.com/karolpiczak/ESC-50",
            clips=400,
            classes=10,
            protocol="5 folds",
            clips_in=_esc10,
        ),
        KnownData(
            name="fsdd",
            title="FSDD, spoken digits (Z. Jackson and contributors, v1.0.10)",
            archive=_FSDD,
            licence="CC BY-SA 4.0",
            page="https://github.com/Jakobovski/free-spoken-digit-dataset",
            clips=3_000,
            classes=10,
            protocol="6 speakers as groups; not official",
            clips_in=_fsdd,
        ),
        KnownData(
            name="fsdd-official",
            title="FSDD, spoken digits (Z. Jackson and contributors, v1.0.10)",
            archive=_FSDD,
            licence="CC BY-SA 4.0",
            page="https://github.com/Jakobovski/free-spoken-digit-dataset",
            clips=3_000,
            classes=10,
            protocol="test split of takes 0 to 4, by known speakers",
            clips_in=_fsdd_official,
        ),
        KnownData(
            name="speech-commands",
            title="Speech Commands v0.02 (P. Warden, 2018)",
            archive=_SPEECH_COMMANDS,
            licence="CC BY 4.0",
            page="https://arxiv.org/abs/1804.03209",
            clips=105_829,
            classes=35,
            protocol="train, validation and test split by speaker",
            clips_in=_speech_commands,
        ),
        KnownData(
            name="urbansound8k",
            title="UrbanSound8K (J. Salamon, C. Jacoby, J. P. Bello, 2014)",
            archive=_URBANSOUND8K,
            licence="CC BY-NC 3.0",
            page="https://urbansounddataset.weebly.com/urbansound8k.html",
            clips=8_732,
            classes=10,
            protocol="10 folds",
            clips_in=_urbansound8k,
        ),
    )
}
