"""Folders of recordings: which files count, in what order, and which class they have."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from earmark.audio.source import AbsentSource
from earmark.data.clip import Clip, bare
from earmark.data.layout import arranged
from earmark.data.split_words import TRAIN, SplitMap, likely_role
from earmark.data.tables import MANIFEST_SUFFIXES
from earmark.errors import DataError, did_you_mean
from earmark.system.files import not_a_file

# In a folder, a file is passed over only if its name cannot be meant as a recording. Any other is
# taken, and its content decides: an odd suffix is read or refused, never silently dropped. Archives
# are not listed: their owner may think that the recordings in them are in the data.
_TEXT = ".txt .md .rst .csv .tsv .json .jsonl .ndjson .xml .yaml .yml .toml .ini .cfg .log .bib"
_DOCUMENTS = ".html .htm .css .js .pdf .doc .docx .xls .xlsx .parquet .db .sqlite .lnk .url"
_PICTURES = ".jpg .jpeg .png .gif .bmp .svg .webp .tif .tiff .ico"
_CODE = ".py .pyc .ipynb .r .m .sh .bat .npy .npz .pt .pth .pkl .h5 .hdf5 .onnx .safetensors"
_NOTES = ".textgrid .lab .phn .wrd .srt .vtt .cue .eaf .jams .m3u .m3u8 .pls"  # on recordings
_EDITORS = ".asd .reapeaks .sfk .pkf .md5 .sha1 .sha256"  # made beside recordings
NOT_AUDIO_SUFFIXES = frozenset(
    " ".join((_TEXT, _DOCUMENTS, _PICTURES, _CODE, _NOTES, _EDITORS)).split()
)
NOT_AUDIO_NAMES = frozenset({"readme", "license", "licence", "copying", "authors", "makefile"})


def is_recording(path: Path) -> bool:
    """Say whether a file in a folder counts as a recording, by its name alone.

    Hidden files (``.DS_Store``, ``._clip.wav``), ``NOT_AUDIO_SUFFIXES`` and ``NOT_AUDIO_NAMES``
    do not; everything else does, with any suffix or none.
    """
    name = path.name.lower()
    is_other = path.suffix.lower() in NOT_AUDIO_SUFFIXES or name in NOT_AUDIO_NAMES
    return not (name.startswith(".") or is_other)


def paths(inputs: Iterable[str | Path]) -> list[Path]:
    """Expand files and folders into recordings, in the order given; all levels are searched.

    A file is taken whatever its name. Raises DataError for a path that is not there and for a
    folder without recordings.
    """
    return [_raised(found) for path in inputs for found in _expand(path)]


def find_clips(inputs: Iterable[str | Path]) -> Iterator[Clip]:
    """Expand files and folders as :func:`paths` does, but let nothing stop the others.

    What is not there, a folder without recordings and one that cannot be listed are clips that
    cannot be read, in their places.
    """
    for path in inputs:
        for found in _expand(path):
            yield absent(path, found) if isinstance(found, DataError) else Clip(found)


def absent(path: str | Path, error: DataError) -> Clip:
    """Return a clip that cannot be read, in the place of an input that is none."""
    why = str(error).removeprefix(str(path)).lstrip(" ,:").rstrip(".")
    return Clip(Path(path), recording=AbsentSource(str(path), why))


def _expand(given: str | Path) -> Iterator[Path | DataError]:
    """Yield the recordings at a path, with an error in the place of what is none."""
    path = Path(given)
    if not str(given).strip():
        yield DataError("an empty name is no path; give recordings or folders.")
    elif not os.path.exists(path):
        problem = (
            f"{broken};" if (broken := not_a_file(path)) else f"is not there;{near_path(path)}"
        )
        yield DataError(f"{path} {problem} give recordings or folders.")
    elif not os.path.isdir(path):
        yield path
    else:
        is_empty = True
        for found in _search(path):
            is_empty = False
            yield found
        if is_empty:
            yield DataError(f"{path} holds no recordings; give recordings or folders.")


# Folders


def folder_clips(
    folder: Path, need_labels: bool, split_map: SplitMap | None = None
) -> tuple[list[Clip], list[str]]:
    """Make a clip of every recording below ``folder``; the first sub-folder is its label.

    Sub-folders that are splits or folds are taken as such (see ``layout``); the second list says
    so.
    """
    clips = []
    for entry in entries(folder):
        if entry.is_dir():
            name = bare(entry.name)
            if not name:
                raise DataError(f"{entry!s:.200}/ has no name but blanks; name it after its class.")
            of_class = [Clip(path, name) for path in _walk(entry)]
            if not of_class:
                raise DataError(
                    f"{entry} holds no recordings; fill this class or remove it."
                    f"{manifest_hint(folder)}"
                )
            clips += of_class
        elif need_labels and is_recording(entry):
            raise DataError(
                f"{entry} lies outside the class folders; put each recording into a sub-folder "
                f"with the name of its class, or give a manifest.{manifest_hint(folder)}"
            )
        elif is_recording(entry):
            clips.append(Clip(entry))
    if not clips:
        raise DataError(
            f"{folder} holds no recordings; give a folder with one sub-folder of recordings "
            f"per class, or a manifest.{manifest_hint(folder)}"
        )
    return arranged(folder, clips, need_labels, split_map or SplitMap(), manifest_hint)


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the recordings below ``folder`` in natural order; follow links, but not in circles."""
    return map(_raised, _search(folder))


def _search(folder: Path, parents: tuple[Path, ...] = ()) -> Iterator[Path | DataError]:
    """Yield what :func:`_walk` does, with an error in the place of what cannot be searched."""
    here = folder.resolve()
    if here in parents:
        yield DataError(f"{folder} is a link back to {here}; remove the link.")
        return
    try:
        inside = entries(folder)
    except DataError as error:
        yield error
        return
    for entry in inside:
        if os.path.isdir(entry):
            yield from _search(entry, (*parents, here))
        elif is_recording(entry):
            yield entry


def _raised(found: Path | DataError) -> Path:
    if isinstance(found, DataError):
        raise found
    return found


def entries(folder: Path) -> list[Path]:
    """List what is in ``folder``, without hidden names, in natural order (2 before 10)."""
    try:
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(
            f"{folder} cannot be listed: {error.strerror}; check its permissions."
        ) from error
    return sorted(entries, key=lambda entry: _natural(entry.name))


def _natural(name: str) -> tuple[list[str | int], str]:
    """Order names as people do: numbers by value, letters without case."""
    pieces = re.split("([0-9]+)", name)  # text, digits, text, digits, ... text
    return [int(p) if i % 2 else p.casefold() for i, p in enumerate(pieces)], name


def manifest_hint(data: Path) -> str:
    """Ask about a manifest in a folder that cannot be read as a dataset itself."""
    if not data.is_dir():
        return ""
    inside = entries(data)
    deeper = (entry for top in inside if top.is_dir() for entry in entries(top))
    for found in (inside, deeper):
        tables = [entry for entry in found if entry.suffix.lower() in MANIFEST_SUFFIXES]
        if tables:
            to_train = (t for t in tables if likely_role(t.parent.name, t.stem) == TRAIN)
            return f" Is {next(to_train, tables[0])} the manifest?"
    return ""


# Paths


def near_path(path: Path) -> str:
    """Return `` did you mean 'x'?`` for a path that is not there, or an empty string."""
    try:
        return did_you_mean(path.name, (entry.name for entry in path.parent.iterdir()))
    except OSError:
        return ""
