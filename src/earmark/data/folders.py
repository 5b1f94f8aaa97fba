"""Find the recordings in folders, in a fixed order, and their classes."""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterable, Iterator
from pathlib import Path

from earmark.audio.source import AbsentSource
from earmark.data.clip import Clip, bare
from earmark.data.layout import arranged
from earmark.data.split_words import TRAIN, SplitMap, likely_role
from earmark.data.tables import MANIFEST_SUFFIXES
from earmark.errors import DataError, did_you_mean
from earmark.system.files import not_a_file

# A file in a folder is skipped only if its name cannot be that of a recording. For any other file,
# even with an odd suffix, the content decides: it is read or refused, never silently skipped.
# Archives are not in these lists, because their owner may expect the recordings in them to be read.
_TEXT = ".txt .md .rst .csv .tsv .json .jsonl .ndjson .xml .yaml .yml .toml .ini .cfg .log .bib"
_DOCUMENTS = ".html .htm .css .js .pdf .doc .docx .xls .xlsx .parquet .db .sqlite .lnk .url"
_PICTURES = ".jpg .jpeg .png .gif .bmp .svg .webp .tif .tiff .ico"
_CODE = (
    ".py .pyc .ipynb .r .m .sh .bat .npy .npz .pt .pth .pkl .h5 .hdf5 .onnx .safetensors .earmark"
)
_NOTES = ".textgrid .lab .phn .wrd .srt .vtt .cue .eaf .jams .m3u .m3u8 .pls"  # about recordings
_EDITORS = ".asd .reapeaks .sfk .pkf .md5 .sha1 .sha256"  # written beside recordings
NOT_AUDIO_SUFFIXES = frozenset(
    " ".join((_TEXT, _DOCUMENTS, _PICTURES, _CODE, _NOTES, _EDITORS)).split()
)
NOT_AUDIO_NAMES = frozenset({"readme", "license", "licence", "copying", "authors", "makefile"})


def is_recording(path: Path) -> bool:
    """Return whether a file in a folder counts as a recording, by its name alone.

    Hidden files (``.DS_Store``, ``._clip.wav``), ``NOT_AUDIO_SUFFIXES`` and ``NOT_AUDIO_NAMES`` do
    not count. Every other file does, with any suffix or none.
    """
    name = path.name.lower()
    is_other = path.suffix.lower() in NOT_AUDIO_SUFFIXES or name in NOT_AUDIO_NAMES
    return not (name.startswith(".") or is_other)


def paths(inputs: Iterable[str | Path]) -> list[Path]:
    """Return the recordings of files and folders, in the order given; all levels are searched.

    A file may have any name. Raises DataError for a path that does not exist and for a folder
    without recordings.
    """
    return [_raised(result) for path in inputs for result in _expand(path)]


def find_clips(inputs: Iterable[str | Path]) -> Iterator[Clip]:
    """Yield a clip per recording, as :func:`paths` returns them, without raising errors.

    For a path that does not exist, a folder without recordings and a folder that cannot be listed,
    it yields a clip that cannot be read.
    """
    for path in inputs:
        for result in _expand(path):
            yield absent(path, result) if isinstance(result, DataError) else Clip(result)


def absent(path: str | Path, error: DataError) -> Clip:
    """Return a clip that cannot be read, for an input with an ``error``."""
    why = str(error).removeprefix(str(path)).lstrip(" ,:").rstrip(".")
    return Clip(Path(path), recording=AbsentSource(str(path), why))


def _expand(name: str | Path) -> Iterator[Path | DataError]:
    """Yield the recordings at a path, and errors for what cannot be read."""
    path = Path(name)
    if not str(name).strip():
        yield DataError("an empty name is not a path. Give recordings or folders.")
    elif not os.path.exists(path):
        problem = (
            f"{broken}." if (broken := not_a_file(path)) else f"does not exist.{near_path(path)}"
        )
        yield DataError(f"{path} {problem} Give recordings or folders.")
    elif not os.path.isdir(path):
        yield path
    else:
        is_empty = True
        for result in _search(path):
            is_empty = False
            yield result
        if is_empty:
            yield DataError(f"{path} has no recordings. Give recordings or folders.")


# Folders


def folder_clips(
    folder: Path,
    need_labels: bool,
    split_map: SplitMap | None = None,
    skip: Container[str] = (),
) -> tuple[list[Clip], list[str]]:
    """Return a clip of every recording below ``folder``, and notes; a sub-folder is a class.

    Sub-folders that are splits or folds are read as these (see ``layout``), and a note says so.
    What has a name in ``skip`` is left out.
    """
    clips = []
    for entry in entries(folder):
        if entry.name in skip:
            continue
        if entry.is_dir():
            name = bare(entry.name)
            if not name:
                raise DataError(f"the name of {entry!s:.200}/ is blank. Name it after its class.")
            of_class = [Clip(path, name) for path in _walk(entry)]
            if not of_class:
                raise DataError(
                    f"{entry} has no recordings. Add some to this class, or remove it."
                    f"{manifest_hint(folder)}"
                )
            clips += of_class
        elif need_labels and is_recording(entry):
            raise DataError(
                f"{entry} is outside the class folders. Put each recording into a sub-folder "
                f"with the name of its class, or give a manifest.{manifest_hint(folder)}"
            )
        elif is_recording(entry):
            clips.append(Clip(entry))
    if not clips:
        raise DataError(
            f"{folder} has no recordings. Give a folder with one sub-folder of recordings "
            f"per class, or a manifest.{manifest_hint(folder)}"
        )
    return arranged(folder, clips, need_labels, split_map or SplitMap(), manifest_hint)


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the recordings below ``folder`` in natural order; links are followed once."""
    return map(_raised, _search(folder))


def _search(folder: Path, parents: tuple[Path, ...] = ()) -> Iterator[Path | DataError]:
    """Yield what :func:`_walk` does, and an error for each folder that cannot be searched."""
    here = folder.resolve()
    if here in parents:
        yield DataError(f"{folder} is a link back to {here}. Remove the link.")
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


def _raised(result: Path | DataError) -> Path:
    if isinstance(result, DataError):
        raise result
    return result


def entries(folder: Path) -> list[Path]:
    """Return the entries of ``folder`` in natural order (2 before 10), without hidden names."""
    try:
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(
            f"cannot list {folder}: {error.strerror}. Check its permissions."
        ) from error
    return sorted(entries, key=lambda entry: natural_key(entry.name))


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Return a key that sorts names as people do: numbers by value, letters without case."""
    pieces = re.split("([0-9]+)", name)  # text, digits, text, digits, ... text
    return [int(p) if i % 2 else p.casefold() for i, p in enumerate(pieces)], name


def manifest_hint(data: Path) -> str:
    """Return a question about a manifest in a folder that cannot be read as a dataset, or ''."""
    if not data.is_dir():
        return ""
    inside = entries(data)
    deeper = (entry for top in inside if top.is_dir() for entry in entries(top))
    for level in (inside, deeper):
        tables = [entry for entry in level if entry.suffix.lower() in MANIFEST_SUFFIXES]
        if tables:
            to_train = (t for t in tables if likely_role(t.parent.name, t.stem) == TRAIN)
            return f" Is {next(to_train, tables[0])} the manifest?"
    return ""


# Paths


def near_path(path: Path) -> str:
    """Return `` Did you mean 'x'?`` for a path that does not exist, or an empty string."""
    try:
        return did_you_mean(path.name, (entry.name for entry in path.parent.iterdir()))
    except OSError:
        return ""
