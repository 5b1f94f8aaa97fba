"""What a folder without a manifest says of its recordings: class folders and label tracks."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from earmark.apps.studio.folder.scanning import Scan, stamp
from earmark.apps.studio.folder.sheets import Row, Sheet, empty_sheet
from earmark.apps.studio.places import RECORDINGS, WRITTEN
from earmark.data.annotations import is_track, name_beside, read_track, tracks_beside
from earmark.data.clip import COLUMNS, Clip
from earmark.data.folders import entries, folder_clips
from earmark.data.rows import clips_of
from earmark.errors import DataError
from earmark.system.files import relative_path

_MORE = ("group", "fold", "split")
_NO_OPTIONS = dict.fromkeys(COLUMNS)


def opened(folder: Path, found: Scan) -> tuple[Sheet, list[str]]:
    """Return the labels of a folder as a manifest that was not written yet, and what is wrong.

    These are the labels that ``Dataset.read`` reads. It refuses a folder if one recording has no
    label, and reads no tracks in sub-folders; here they are read, and all that have a label.
    Where there are label tracks, folders are no classes.
    """
    sheet, wrong = labels_of(folder, found, found.tracks)
    if sheet.rows:
        return sheet, wrong
    return _sheet_of(_from_folders(folder, found, wrong), folder), wrong


def labels_of(folder: Path, found: Scan, tracks: Sequence[str]) -> tuple[Sheet, list[str]]:
    """Return the stretches of label tracks, and what is wrong with them."""
    files: dict[str, list[Path]] = {}
    for place in tracks:
        files.setdefault(place.rpartition("/")[0], []).append(folder / place)
    for place in found.recordings:
        if beside := files.get(place.rpartition("/")[0]):
            beside.append(folder / place)
    clips, wrong = list[Clip](), list[str]()
    for track in (track for inside in files.values() for track in tracks_beside(inside)):
        try:
            table = read_track(track)
            if not table.unlabelled:
                clips += clips_of(table, _NO_OPTIONS, need_labels=True)[0]
        except DataError as error:
            wrong.append(str(error))
    return _sheet_of(clips, folder), wrong


def new_tracks(folder: Path, found: Scan, manifest: Sheet) -> list[str]:
    """Return the label tracks beside recordings of which the manifest has no stretch."""
    folders = {place.rpartition("/")[0] for place in found.tracks}
    bare = set()
    for place in found.recordings if folders else ():
        at, _, name = place.rpartition("/")
        if at in folders and all(row.is_whole for row in manifest.places.get(place, ())):
            bare |= {(at, name), (at, Path(name).stem)}
    return [
        place
        for place in found.tracks
        if (place.rpartition("/")[0], name_beside(Path(place))) in bare
        and _is_track(str(folder / place), *(stamp(folder / place) or ()))
    ]


@functools.lru_cache(20_000)
def _is_track(path: str, *_stamp: int) -> bool:
    return is_track(Path(path))


def _sheet_of(clips: Sequence[Clip], folder: Path) -> Sheet:
    more = [name for name in _MORE if any(getattr(clip, name) is not None for clip in clips)]
    sheet = empty_sheet(*more)
    rows: dict[str, Row] = {}
    for clip in clips:
        row = _row(clip, folder, sheet)
        rows.setdefault(row.id, row)
    return Sheet(sheet.columns, sheet.names, tuple(rows.values()))


def _from_folders(folder: Path, found: Scan, wrong: list[str]) -> list[Clip]:
    """Return the clips of class folders; those without a recording are no class here."""
    tops = {place.partition("/")[0] for place in found.recordings}
    inside = {entry.name for entry in entries(folder)}
    skip = {RECORDINGS, *WRITTEN, *(inside - tops)}
    if tops <= skip:
        return []
    try:
        clips, _ = folder_clips(folder, need_labels=False, skip=skip)
    except DataError as error:
        wrong.append(str(error))
        return []
    return [clip for clip in clips if clip.label is not None]


def _row(clip: Clip, folder: Path, sheet: Sheet) -> Row:
    place = relative_path(clip.path, folder)
    cells = {name: getattr(clip, name) for name in sheet.columns} | {"path": place}
    text = {name: "" if value is None else str(value) for name, value in cells.items()}
    return Row(place, clip.start, clip.end, clip.label, text)
