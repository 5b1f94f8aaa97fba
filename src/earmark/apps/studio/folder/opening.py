"""What a folder without a manifest says of its recordings: class folders and label tracks."""

from __future__ import annotations

from pathlib import Path

from earmark.apps.studio.folder.scanning import Scan
from earmark.apps.studio.folder.sheets import Row, Sheet, empty_sheet
from earmark.apps.studio.places import RECORDINGS, WRITTEN
from earmark.data.annotations import read_track, tracks_beside
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
    """
    wrong: list[str] = []
    clips = _from_tracks(folder, found, wrong) or _from_folders(folder, found, wrong)
    more = [name for name in _MORE if any(getattr(clip, name) is not None for clip in clips)]
    sheet = empty_sheet(*more)
    rows: dict[str, Row] = {}
    for clip in clips:
        row = _row(clip, folder, sheet)
        rows.setdefault(row.id, row)
    return Sheet(sheet.columns, sheet.names, tuple(rows.values())), wrong


def _from_tracks(folder: Path, found: Scan, wrong: list[str]) -> list[Clip]:
    """Return the clips of all label tracks. Where there are some, folders are no classes."""
    files: dict[str, list[Path]] = {}
    for place in found.tracks:
        files.setdefault(place.rpartition("/")[0], []).append(folder / place)
    for place in found.recordings:
        if beside := files.get(place.rpartition("/")[0]):
            beside.append(folder / place)
    clips = []
    for track in (track for inside in files.values() for track in tracks_beside(inside)):
        try:
            table = read_track(track)
            if not table.unlabelled:
                clips += clips_of(table, _NO_OPTIONS, need_labels=True)[0]
        except DataError as error:
            wrong.append(str(error))
    return clips


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
