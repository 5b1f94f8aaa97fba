"""The recordings of a folder or manifest, with the columns that a table has about them."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path

from earmark.audio.source import AbsentSource
from earmark.data.clip import Clip
from earmark.data.columns import match
from earmark.data.dataset import answerable, own_manifest
from earmark.data.folders import find_clips
from earmark.data.other_columns import cell_text
from earmark.data.remote import local_path, place_of
from earmark.data.tables import AUDIO_COLUMN, Table, read_table
from earmark.embeddings.archive_file import is_archive
from earmark.embeddings.archive_recordings import Listed
from earmark.errors import DataError, amount
from earmark.system.files import relative_path
from earmark.system.objects import is_uri


@dataclass(frozen=True)
class Listing:
    """The recordings of a data set; ``notes`` say what is not obvious.

    ``key`` tells the data set from others: its folder, or its manifest.
    """

    key: str
    folder: str
    name: str
    recordings: tuple[Listed, ...]
    notes: tuple[str, ...] = ()


def list_recordings(
    source: str | Path,
    table: str | Path | None = None,
    *,
    path: str = "path",
    root: str | Path | None = None,
    allow_remote: bool = False,
) -> Listing:
    """List the recordings of a folder or manifest, each once, in the order of their paths.

    The columns of a manifest are kept, those of a folder come from its ``table``, by default its
    ``earmark.csv``. ``path`` and ``root`` are the column of paths and the folder that they start
    from. What lies in an archive is left out. Raises DataError.
    """
    key = Path(os.path.abspath(source))
    if key.is_dir():
        folder = key
        has_archive = functools.cache(is_archive)
        clips = [
            clip
            for clip in find_clips([key])
            if not any(has_archive(p) for p in _folders(clip, key))
        ]
        table = table or own_manifest(key)
        notes: list[str] = []
    else:
        columns = {"path": path, "root": None if root is None else str(root)}
        clips, found = answerable([key], allow_remote, **columns)
        if any((clip.start, clip.end) != (None, None) for clip in clips):
            found["the manifest names stretches; the whole recordings are indexed"] = None
        folder, notes = Path(os.path.abspath(root or key.parent)), list(found)
        table = table or key
    if not clips:
        raise DataError(f"{key} has no recordings. Give a folder or a manifest.")
    if len(clips) == 1 and isinstance(clips[0].recording, AbsentSource):
        raise DataError(f"{key} {clips[0].recording.why}.")
    about: dict[str, dict[str, str]] = {}
    if table is not None:
        about, note = _columns(Path(table), path, [Path(root or Path(table).parent), folder])
        notes += note
    by_path: dict[str, Listed] = {}
    is_known = False  # whether the table has any of the recordings
    for clip in clips:
        place = clip.place if clip.is_remote else os.path.abspath(clip.place)
        is_known |= place in about
        name = place if clip.is_remote else relative_path(Path(place), folder)
        whole = Clip(clip.path if not clip.is_remote else place)  # type: ignore[arg-type]
        by_path.setdefault(name, Listed(name, whole, about.get(place, {})))
    if about and not is_known:
        raise DataError(f"no path of {table} is a recording of {key}. Check its paths.")
    listed = tuple(by_path[name] for name in sorted(by_path))
    return Listing(str(key), str(folder), key.name, listed, tuple(notes))


def _folders(clip: Clip, above: Path) -> list[Path]:
    """Return the folders of a recording that lie below ``above``."""
    parents = Path(os.path.abspath(clip.place)).parents
    return [folder for folder in parents if above in folder.parents]


def _columns(
    path: Path, column: str, roots: list[Path]
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return the other columns of a table by the places of its recordings, and notes."""
    if not path.is_file():
        raise DataError(f"{path} does not exist. Give a table with a row for each recording.")
    names = [name for name in read_table(path, set()).columns if name and name != AUDIO_COLUMN]
    own = match(column, names)
    if own is None:
        raise DataError(
            f"{path} has no column {column!r}. Its columns are {', '.join(map(repr, names))}. Name"
            " the column of paths with --path."
        )
    table: Table = read_table(path, set(names))
    about: dict[str, dict[str, str]] = {}
    repeated = 0
    for _, row in table.rows:
        cells = {name: cell_text(row.get(name)) for name in names if name != own}
        cells = {name: text for name, text in cells.items() if text}
        for place in _places(cell_text(row.get(own)), roots):
            repeated += place in about and about[place] != cells
            about.setdefault(place, cells)
    notes = list(table.notes)
    if repeated:
        notes.append(
            f"{amount(repeated, 'row')} of {path} repeat a recording; the first row counts"
        )
    return about, notes


def _places(cell: str, roots: list[Path]) -> list[str]:
    uri = place_of(cell) if is_uri(cell) else None
    if uri is not None:
        return [uri]
    return list(dict.fromkeys(os.path.abspath(root / local_path(cell)) for root in roots))
