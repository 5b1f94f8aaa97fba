"""The text and the Parquet table of events in each format; ``event_files`` writes them to disk."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from earmark.audio.reading import header_of
from earmark.data.clock import time_at
from earmark.data.event import Event, RecordingEvents
from earmark.errors import AudioError, DataError
from earmark.system import extras
from earmark.system.files import relative_path
from earmark.system.jsons import json_text
from earmark.system.objects import is_uri
from earmark.system.text import to_csv

JSON_SCHEMA = 1  # raised when a key goes or changes its meaning
PARQUET_ROWS = 65_536  # in memory at a time

_RAVEN = (
    *("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)"),
    *("Low Freq (Hz)", "High Freq (Hz)", "Begin Path", "Begin File", "File Offset (s)"),
    *("Annotation", "Confidence"),
)
_USUAL_TOP_HZ = 12_000.0  # of a selection in a recording that cannot be opened

# Kaleidoscope hides columns beside one that it does not know, so there are no others. It has no
# column of scores; other programs write theirs into TOP1DIST, too.
KALEIDOSCOPE = ("INDIR", "FOLDER", "IN FILE", "OFFSET", "DURATION", "TOP1MATCH", "TOP1DIST")

Recordings = Iterable[RecordingEvents]


class EventRow(NamedTuple):
    """A row of a table; only the path of a recording without events."""

    path: str
    start: float | None = None
    end: float | None = None
    label: str | None = None
    score: float | None = None
    time: str | None = None


def rows_of(recordings: Recordings, folder: Path) -> Iterator[EventRow]:
    """Yield a row for each event and each recording without events; paths start from ``folder``."""
    for recording in recordings:
        path = _place(recording, folder)
        if not recording.events:
            yield EventRow(path)
        for event in recording.events:
            start, end = _span(event)
            time = _clock(recording, start)
            yield EventRow(path, start, end, event.label, round(event.score, 4), time)


def csv_text(recordings: Recordings, folder: Path) -> Iterator[str]:
    """Yield the rows of CSV; there is a column of clock times if any recording has one."""
    columns = len(EventRow._fields) - (not _has_clock(recordings))
    yield to_csv([EventRow._fields[:columns]])
    for row in rows_of(recordings, folder):
        yield to_csv([cells_of(row)[:columns]])


def cells_of(row: EventRow) -> list[str]:
    """Return the cells of a row of CSV; times have three decimals and scores four."""
    if row.start is None:
        return [row.path, *[""] * (len(EventRow._fields) - 1)]
    numbers = _3(row.start), _3(row.end), row.label or "", _4(row.score)
    return [row.path, *numbers, row.time or ""]


def json_lines(recordings: Recordings, folder: Path) -> Iterator[str]:
    """Yield one JSON object with the recordings and their events, each on a line."""
    yield f'{{"schema": {JSON_SCHEMA}, "recordings": ['
    between = "\n"
    for recording in recordings:
        begins, regions = recording.begins_at, recording.regions
        heads = {
            "path": json_text(_place(recording, folder)),
            "seconds": _3(recording.seconds),
            "begins_at": json_text(begins and begins.isoformat(timespec="milliseconds")),
            "regions": "null"
            if regions is None
            else _array(_array([_3(a), _3(b)]) for a, b in regions),
        }
        yield between + _object(heads)[:-1] + ', "events": ['
        inner = "\n"
        for event in recording.events:
            start, end = _span(event)
            cells = {"start": _3(start), "end": _3(end), "label": json_text(event.label)}
            cells["score"] = _4(event.score)
            if time := _clock(recording, start):
                cells["time"] = json_text(time)
            yield f"{inner}  {_object(cells)}"
            inner = ",\n"
        yield "]}"
        between = ",\n"
    yield "\n]}\n"


def audacity_text(recordings: Recordings, _folder: Path) -> Iterator[str]:
    """Yield the lines of a label track."""
    for event in itertools.chain.from_iterable(recording.events for recording in recordings):
        start, end = _span(event)
        yield f"{_3(start)}\t{_3(end)}\t{event.label}\n"


def raven_text(recordings: Recordings, _folder: Path) -> Iterator[str]:
    """Yield the lines of a selection table.

    Begin times run on over the recordings, as in Raven when several are opened at once; ``File
    Offset (s)`` is the time in the recording itself.
    """
    yield "\t".join(_RAVEN) + "\n"
    number, before, last = 0, 0.0, None
    for recording in recordings:
        if last is not None:
            if not last.seconds:
                raise DataError(
                    f"{last.path} has an unknown length, but Raven's times run on over the"
                    " recordings. Write one file for each recording, or choose another format."
                )
            before += last.seconds
        last, path = recording, _absolute(recording)
        place = recording.path if is_uri(recording.path) else path
        shift, top_hz = round(before, 3), _top_hz(path)
        for event in recording.events:
            number += 1
            start, end = _span(event)
            yield (
                f"{number}\tSpectrogram 1\t1\t{_3(shift + start)}\t{_3(shift + end)}\t0.0"
                f"\t{top_hz:.1f}\t{place}\t{path.name}\t{_3(start)}\t{event.label}"
                f"\t{_4(event.score)}\n"
            )


def kaleidoscope_text(recordings: Recordings, _folder: Path) -> Iterator[str]:
    """Yield the rows of a table of Kaleidoscope."""
    yield to_csv([KALEIDOSCOPE])
    for recording in recordings:
        path = _absolute(recording)
        place = (str(path.parent.parent), path.parent.name, path.name)
        for event in recording.events:
            start, end = _span(event)
            yield to_csv([(*place, _3(start), _3(end - start), event.label, _4(event.score))])


def write_parquet(recordings: Recordings, folder: Path, file: Path) -> None:
    """Write the rows to a Parquet file, with a column of clock times if any recording has one."""
    pyarrow = extras.load("pyarrow", "parquet", "writing Parquet", DataError)
    pq = extras.load("pyarrow.parquet", "parquet", "writing Parquet", DataError)
    text, number = pyarrow.string(), pyarrow.float64()
    types = dict(zip(EventRow._fields, (text, number, number, text, number, text), strict=True))
    if not _has_clock(recordings):
        types.pop("time")
    schema = pyarrow.schema(list(types.items()))
    rows = rows_of(recordings, folder)
    with pq.ParquetWriter(file, schema) as out:
        while block := list(itertools.islice(rows, PARQUET_ROWS)):
            columns = dict(zip(EventRow._fields, zip(*block, strict=True), strict=True))
            arrays = [pyarrow.array(columns[name], kind) for name, kind in types.items()]
            out.write_table(pyarrow.table(arrays, schema=schema))


TEXTS: dict[str, Callable[[Recordings, Path], Iterator[str]]] = {
    "csv": csv_text,
    "raven": raven_text,
    "audacity": audacity_text,
    "json": json_lines,
    "kaleidoscope": kaleidoscope_text,
}


def _has_clock(recordings: Recordings) -> bool:
    return any(recording.begins_at is not None for recording in recordings)


def _absolute(recording: RecordingEvents) -> Path:
    return Path(os.path.abspath(recording.path))


def _place(recording: RecordingEvents, folder: Path) -> str:
    """Return the path of a recording relative to a folder, or its URI."""
    is_remote = is_uri(recording.path)
    return recording.path if is_remote else relative_path(_absolute(recording), folder)


def _span(event: Event) -> tuple[float, float]:
    """Return start and end, rounded to milliseconds and at least one apart."""
    start = round(event.start, 3)
    return start, max(round(event.end, 3), round(start + 0.001, 3))


def _clock(recording: RecordingEvents, start: float) -> str | None:
    """Return the clock time of an event by ISO 8601."""
    if recording.begins_at is None:
        return None
    return time_at(recording.begins_at, start).isoformat(timespec="milliseconds")


def _top_hz(path: Path) -> float:
    """Return the highest frequency in a recording."""
    try:
        return header_of(path).rate_hz / 2
    except AudioError:
        return _USUAL_TOP_HZ


def _object(members: dict[str, str]) -> str:
    """Return a JSON object of members that are JSON already: numbers keep their digits."""
    return "{" + ", ".join(f'"{key}": {value}' for key, value in members.items()) + "}"


def _array(items: Iterable[str]) -> str:
    return f"[{', '.join(items)}]"


def _3(seconds: float | None) -> str:
    return f"{seconds:.3f}"


def _4(score: float | None) -> str:
    return f"{score:.4f}"
