"""What the page is told of a folder: JSON of clips, recordings and the whole."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from earmark.apps.studio.folder.changes import CLIPS, LEFT_OUT, TRAY
from earmark.apps.studio.folder.ledger import Ledger
from earmark.apps.studio.folder.sheets import REASON, TAKE, Row, Sheet, clip_id
from earmark.apps.studio.places import RECORDINGS
from earmark.audio.reading import header_of
from earmark.audio.source import FileSource
from earmark.errors import AudioError, EarmarkError, amount
from earmark.system.text import to_utf8

LONG_S, LONG_BYTES = 60.0, 1 << 20  # of a recording for the editor; bytes if not known
LIGHT_BYTES = 32 << 20  # the length of a larger recording is found out only if it is asked for
_QUICK = (".wav", ".flac", ".aif", ".aiff", ".ogg", ".opus", ".mp3")  # to open
_STATED = (".wav", ".flac", ".aif", ".aiff")  # with a length in the header
_LEAST_BYTES, _LEAST_WAV = 60_000, 480_000  # of a minute: 8 kbit/s, and 8 bits at 8 kHz
_OURS = ("path", "label", "start", "end", "fold", "split", REASON)
TRACKS = clip_id("\0", None, None)  # of no table: all label tracks that are new
Found = tuple[Sheet, Row]


def shown(text: str) -> str:
    """Return a text of the disk as JSON and browsers take it."""
    return to_utf8(text) or ""


def tray(ledger: Ledger) -> list[Found]:
    """Return the recordings and stretches that have no label and were not left out."""
    clips, own = ledger.sheets[CLIPS], ledger.sheets[TRAY]
    named = {**clips.places, **ledger.sheets[LEFT_OUT].places}
    bare = [(clips, row) for row in clips.rows if row.label is None]
    for id, place in ledger.ids.items():
        if place not in named:
            known = own.places.get(place)
            row = known[0] if known else Row(place, None, None, None, {}, id)
            bare.append((own, row))
    return bare


def classes(ledger: Ledger) -> dict[str, list[Row]]:
    """Return the rows of each class, in the order of first appearance."""
    rows: dict[str, list[Row]] = {}
    for row in ledger.sheets[CLIPS].rows:
        if row.label is not None:
            rows.setdefault(row.label, []).append(row)
    return rows


def find(ledger: Ledger, id: str) -> tuple[str, Sheet, Row] | None:
    """Return the sheet of a clip or recording, by name and itself, and its row there."""
    for name in (CLIPS, LEFT_OUT, TRAY):
        if row := ledger.sheets[name].find(id):
            return name, ledger.sheets[name], row
    if place := ledger.ids.get(id):
        return TRAY, ledger.sheets[TRAY], Row(place, None, None, None, {}, id)
    return None


def place_of(ledger: Ledger, id: str) -> str | None:
    """Return the path of the recording with this id; it may have rows of stretches only."""
    if place := ledger.ids.get(id):
        return place
    found = find(ledger, id)
    if found is not None and found[2].is_whole:
        return found[2].place
    places = {row.place for sheet in ledger.sheets.values() for row in sheet.rows}
    return next((place for place in places if clip_id(place, None, None) == id), None)


def clip_json(ledger: Ledger, sheet: Sheet, row: Row) -> dict[str, Any]:
    """Return a clip as the page takes it."""
    about = about_recording(ledger, row.place)
    last = about["seconds"] if row.end is None else row.end
    take = sheet.cell(row, TAKE) or None
    value = {
        "id": row.id,
        "recording": clip_id(row.place, None, None),
        "name": shown(row.place.rpartition("/")[2]),
        "place": shown(row.place),
        "start": row.start,
        "end": row.end,
        "seconds": None if last is None else max(0.0, last - (row.start or 0.0)),
        "label": None if row.label is None else shown(row.label),
        "group": shown(sheet.cell(row, "group")) or None,
        "take": shown(take) if take else None,
        "error": about["error"],
        "is_recorded": row.place.startswith(f"{RECORDINGS}/") and take not in (None, row.place),
    }
    return value | ({"reason": shown(sheet.cell(row, REASON))} if REASON in sheet.columns else {})


def clips_json(ledger: Ledger, found: Iterable[Found]) -> list[dict[str, Any]]:
    """Return clips as the page takes them; reads the headers of their recordings."""
    return [clip_json(ledger, sheet, row) for sheet, row in found]


def recording_json(ledger: Ledger, place: str, *, is_alone: bool = False) -> dict[str, Any]:
    """Return a recording as the page takes it, without its regions."""
    id, name = clip_id(place, None, None), shown(place.rpartition("/")[2])
    about = about_recording(ledger, place, is_alone=is_alone)
    regions = [row for row in ledger.sheets[CLIPS].places.get(place, ()) if not row.is_whole]
    return {"id": id, "name": name, "place": shown(place), "n_regions": len(regions), **about}


def about_recording(ledger: Ledger, place: str, *, is_alone: bool = False) -> dict[str, Any]:
    """Return the length, rate, channels, bytes and error of a recording; None if not known.

    If it ``is_alone``, its length is found out even if that takes long.
    """
    nothing = dict.fromkeys(("seconds", "rate_hz", "channels", "bytes", "error"))
    try:
        path = ledger.absolute(place)
        status = os.stat(path)
    except EarmarkError as error:
        return nothing | {"error": str(error)}
    except (OSError, ValueError):
        return nothing | {"error": "The recording is not there any more."}
    quick = _QUICK if status.st_size <= LIGHT_BYTES else _STATED
    if path.suffix.lower() not in quick and not is_alone:
        return nothing | {"bytes": status.st_size}
    return dict(_header(str(path), status.st_mtime_ns, status.st_size))


@functools.lru_cache(50_000)
def _header(path: str, _mtime_ns: int, size: int) -> dict[str, Any]:
    about: dict[str, Any] = dict.fromkeys(("seconds", "rate_hz", "channels", "error"))
    about["bytes"] = size
    try:
        header = header_of(FileSource(Path(path)))
    except AudioError as error:
        return about | {"error": f"{error.reason[:1].upper()}{error.reason[1:]}."}
    seconds = header.frames / header.rate_hz if header.frames else None
    return about | {
        "seconds": seconds,
        "rate_hz": header.rate_hz,
        "channels": header.channels,
    }


def is_long(ledger: Ledger, place: str) -> bool:
    """Return whether a recording is for the editor: it is long, or has stretches already."""
    if any(not row.is_whole for row in ledger.sheets[CLIPS].places.get(place, ())):
        return True
    try:
        n_bytes = os.stat(ledger.path / place).st_size
    except OSError:
        return False
    if n_bytes < (_LEAST_WAV if place.lower().endswith(".wav") else _LEAST_BYTES):
        return False
    about = about_recording(ledger, place)
    if about["seconds"] is None:
        return about["error"] is None and (about["bytes"] or 0) > LONG_BYTES
    return bool(about["seconds"] >= LONG_S)


def groups(sheet: Sheet) -> list[str]:
    """Return the columns that can be groups: filled everywhere, with a value that repeats."""
    names = {column: ours for ours, column in sheet.names.items()}
    found = []
    for column in sheet.columns:
        if names.get(column, column) in _OURS:
            continue
        words = {row.cells.get(column, "").strip() for row in sheet.rows}
        if "" not in words and 1 < len(words) < len(sheet.rows):
            found.append(column)
    return found


def class_counts(ledger: Ledger, of_class: dict[str, list[Row]]) -> list[dict[str, Any]]:
    """Return each class with the numbers of its clips and of its presses of record."""
    sheet = ledger.sheets[CLIPS]
    return [
        {
            "name": shown(name),
            "n_clips": len(rows),
            "n_takes": len({sheet.cell(row, TAKE) or row.place for row in rows}),
        }
        for name, rows in of_class.items()
    ]


def tables(ledger: Ledger) -> list[dict[str, str]]:
    """Return what has labels that can be taken over: tables, and label tracks all at once."""
    found = [{"id": clip_id(t, None, None), "name": shown(t)} for t in ledger.found.tables]
    n_tracks = len(ledger.new_tracks())
    tracks = [{"id": TRACKS, "name": amount(n_tracks, "label track")}] if n_tracks else []
    return tracks + found


def page_of(rows: Sequence[Any], first: int, count: int) -> Sequence[Any]:
    """Return some of many rows."""
    return rows[max(0, first) : max(0, first) + max(0, count)]
