"""Read the tables of stretches that Raven, BirdNET and Kaleidoscope write."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from earmark.data.columns import plain
from earmark.data.located import Locator
from earmark.data.seconds import Seconds
from earmark.data.tables import Row, Table
from earmark.errors import DataError

BEGIN, END, OFFSET = "Begin Time (s)", "End Time (s)", "File Offset (s)"
# Usual names of the column of annotations: Raven's own proposal first, BirdNET's after it.
ANNOTATIONS = (
    *("annotation", "annotations", "label", "species", "class", "tag", "call type"),
    *("manual id", "common name", "common_name", "scientific name", "scientific_name"),
    *("species code", "auto id", "auto id*", "top1match", "top1match*"),
)
_STARTS = ("begin time (s)", "start (s)")
_ENDS = ("end time (s)", "end (s)")
_FILES = ("begin path", "begin file", "begin.file", "file", "filepath")
_KALEIDOSCOPE = ("in file", "offset", "duration")

Numbered = Iterator[tuple[int, Row]]


def is_selections(columns: Sequence[str]) -> bool:
    """Return whether these are the columns of a selection table, or of detections without paths."""
    names = {plain(column) for column in columns}
    if "path" in names or not names:
        return False
    if set(_KALEIDOSCOPE) <= names or {"begin time (s)", "end time (s)"} <= names:
        return True
    has_times = {"start (s)", "end (s)"} <= names
    return has_times and "confidence" in names and not names.isdisjoint(ANNOTATIONS)


def as_manifest(
    table: Table,
    label: str,
    recording: Path | None,
    own: Callable[[], Path],
    need_labels: bool,
) -> Table:
    """Return a selection table with ``path``, ``start``, ``end`` and ``label``.

    The recording of each row is ``recording``, else the file that the row names, else ``own()``,
    the recording of the table. Equal rows, which Raven writes once per view, count once.
    """
    by_plain = {plain(column): column for column in table.columns}
    column = _annotations(table, by_plain, label, need_labels)
    notes = list(table.notes)
    if column is not None and column != label and plain(column) not in ANNOTATIONS[:3]:
        notes.append(f"labels are read from the column {column!r}; --label chooses another")
    if "confidence" in by_plain:
        notes.append(
            "the rows have a confidence, so a model detected them; check them before training"
        )
    if not set(_KALEIDOSCOPE) <= by_plain.keys():
        rows = _selections(table, by_plain, column, label, recording, own)
    else:
        rows = _kaleidoscope(table, by_plain, column, label)
    columns = [*table.columns, "path", "start", "end", *([label] if column else [])]
    columns = list(dict.fromkeys(columns))
    return replace(table, columns=columns, rows=once(rows, label), notes=tuple(notes))


def once(rows: Numbered, label: str) -> Numbered:
    """Yield each combination of stretch and label once."""
    keys = set()
    for number, row in rows:
        key = tuple(str(row.get(name)) for name in ("path", "start", "end", label))
        if key not in keys:
            keys.add(key)
            yield number, row


def _selections(
    table: Table,
    by_plain: dict[str, str],
    column: str | None,
    label: str,
    recording: Path | None,
    own: Callable[[], Path],
) -> Numbered:
    begin = next(by_plain[name] for name in _STARTS if name in by_plain)
    end = next(by_plain[name] for name in _ENDS if name in by_plain)
    offset = by_plain.get(plain(OFFSET))
    files = [by_plain[name] for name in _FILES if name in by_plain]
    last = by_plain.get("end file")
    rows = list(table.rows)
    names = {_name(row, files[-1:]) for _, row in rows} if recording is None else set()
    is_cumulative = len(names) > 1 and plain(begin) == plain(BEGIN)
    if is_cumulative and offset is None:
        raise DataError(
            f"{table.name} covers {len(names)} recordings but has no column {OFFSET!r}, the time"
            " in each recording. Add that measurement in Raven, and save the table again."
        )
    locator, seconds = Locator(table.folder), Seconds(table.name, is_decimal=True)
    for number, row in rows:
        name = _name(row, files)
        path = recording or (_located(locator, row, files) if name else own())
        if last and row.get(last) and name and _last(str(row[last])) != _last(name):
            raise DataError(
                f"{table.name}, row {number}: the selection begins in {_last(name)!r} and ends in"
                f" {_last(str(row[last]))!r}. Draw it within one recording, or remove the row."
            )
        try:
            times = [seconds.read(number, c, str(row.get(c) or "")) for c in (begin, end)]
            at = seconds.read(number, OFFSET, str(row.get(offset) or "")) if offset else None
            if times[0] is None or times[1] is None or (is_cumulative and at is None):
                raise ValueError("one is empty")
        except ValueError as error:
            raise DataError(
                f"{table.name}, row {number}: {begin!r} and {end!r} must be seconds ({error}). Save"
                " the table again."
            ) from error
        start = times[0] if at is None else at
        stretch = {"path": str(path), "start": start, "end": start + times[1] - times[0]}
        yield number, {**row, **stretch, label: row.get(column) if column else None}


def _kaleidoscope(
    table: Table, by_plain: dict[str, str], column: str | None, label: str
) -> Numbered:
    file, offset, duration = (by_plain[name] for name in _KALEIDOSCOPE)
    folders = [by_plain[name] for name in ("indir", "folder") if name in by_plain]
    locator, seconds = Locator(table.folder), Seconds(table.name, is_decimal=True)
    for number, row in table.rows:
        name = "/".join(part for c in (*folders, file) if (part := str(row.get(c) or "").strip()))
        try:
            start = seconds.read(number, offset, str(row.get(offset) or ""))
            length = seconds.read(number, duration, str(row.get(duration) or ""))
        except ValueError as error:
            raise DataError(f"{table.name}, row {number}: {error}.") from error
        end = None if length is None else (start or 0.0) + length
        stretch = {"path": str(locator.find_elsewhere(name)), "start": start, "end": end}
        yield number, {**row, **stretch, label: row.get(column) if column else None}


def _annotations(
    table: Table, by_plain: dict[str, str], label: str, need_labels: bool
) -> str | None:
    if plain(label) in by_plain:
        return by_plain[plain(label)]
    usual = next((by_plain[name] for name in ANNOTATIONS if name in by_plain), None)
    if label == "label" and (usual is not None or not need_labels):
        return usual
    raise DataError(
        f"{table.name} has no column {label!r} of annotations. Choose one of its columns with"
        f" --label: {', '.join(map(repr, table.columns))}."
    )


def _name(row: Row, files: Sequence[str]) -> str:
    """Return the recording in the first of the columns ``files`` that is not empty, or ''."""
    return next((str(row[c]).strip() for c in files if row.get(c) and str(row[c]).strip()), "")


def _located(locator: Locator, row: Row, files: Sequence[str]) -> Path:
    """Return the first file of a row's columns that exists, else the path in the first column."""
    names = [str(row[c]).strip() for c in files if row.get(c)]
    paths = [locator.find_elsewhere(name) for name in names]
    return next((path for path in paths if path.is_file()), paths[0])


def _last(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]
