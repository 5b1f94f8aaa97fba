"""Read events as truth: from manifests, label tracks, and the files of ``event_files``."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from earmark.audio.reading import header_of
from earmark.audio.stretch import END_SLACK_S
from earmark.data import dataframes
from earmark.data.annotations import read_folder
from earmark.data.clip import COLUMNS, Clip, split_label
from earmark.data.clock import begins_at
from earmark.data.columns import plain, resolve
from earmark.data.dataset import table_at
from earmark.data.event import Event, RecordingEvents
from earmark.data.event_formats import KALEIDOSCOPE
from earmark.data.folders import entries, is_recording, natural_key
from earmark.data.rows import RowReader, check_present
from earmark.data.tables import Row, Table
from earmark.errors import AudioError, DataError

_OURS = ("path", "label", "start", "end")
_SCORES = ("score", "confidence")
# TOP1DIST is a score in what other programs write for Kaleidoscope; in its own tables, which have
# more columns, it is a distance.
_KALEIDOSCOPE = {*map(plain, KALEIDOSCOPE), "scientific_name", *_OURS}
_ABOUT = ("seconds", "begins_at", "regions")  # of a recording, in JSON of ``event_files``
_DIGITS = 6  # of the seconds that were read: their sums err in the 16th digit

Regions = tuple[tuple[float, float], ...]


def read_events(
    source: object,
    *,
    annotated: float | None = None,
    timezone: str | None = None,
    label: str = "label",
    separator: str | None = None,
    path: str = "path",
    start: str | None = None,
    end: str | None = None,
    root: str | Path | None = None,
) -> list[RecordingEvents]:
    """Read the events of recordings, as annotated by a person or written by ``event_files``.

    Unlike ``Dataset.read``, this keeps recordings without events (an empty label track, or a row
    with only a path), and events may overlap. Rows with equal times and labels count once.

    Parameters
    ----------
    source : str, Path or frame
        A manifest, a label track, a folder of recordings with one beside each (also in its
        sub-folders), a file that ``event_files`` wrote, or a frame: see ``Dataset.read``. A row
        without times is an event from the beginning to the end of its recording.
    annotated : float, optional
        Only stretches up to so many seconds from an event were annotated. By default, recordings
        were annotated from the beginning to the end.
    timezone : str, optional
        Where the clocks of the recorders were set: see :func:`~earmark.data.clock.begins_at`.
    label, path, start, end : str, optional
        Names of columns to use instead of these.
    separator : str, optional
        The text between the classes in a label; each becomes an event of its own.
    root : str or Path, optional
        The folder that relative paths start from; by default that of the file.

    Returns
    -------
    list of RecordingEvents
        In the order of their first rows, or of the paths in a folder. The length is that of the
        file, if its header tells; the clock time is that of its name.

    Raises
    ------
    DataError
        If something is missing or contradictory, or if an event ends after its recording.

    Examples
    --------
    >>> from earmark.data import example
    >>> from earmark.data.event_reading import read_events
    >>> recordings = read_events(example())
    >>> len(recordings), recordings[0].events[0].label
    (120, 'yes')
    """
    if annotated is not None and not (math.isfinite(annotated) and annotated >= 0):
        raise DataError(
            f"the margin of annotated stretches, {annotated}, is not a number of seconds. Give 0 or"
            " more."
        )
    options = {"path": None if path == "path" else path, "start": start, "end": end}
    options["label"] = None if label == "label" else label
    table = _table(source, options, label, path, root)
    tracks = _tracks(table, options, separator)
    is_folder = isinstance(source, (str, Path)) and os.path.isdir(source)
    paths = sorted(tracks, key=natural_key) if is_folder else list(tracks)
    return [_recording(table.name, path, tracks[path], annotated, timezone) for path in paths]


class _Span(NamedTuple):
    start: float | None
    end: float | None
    labels: tuple[str, ...]
    score: float


@dataclass
class _Track:
    """What the rows of a recording say."""

    rows: dict[_Span, int] = field(default_factory=dict)  # and the number of the first such row
    seconds: float = 0.0
    regions: Regions | None = None
    begins_at: datetime | None = None


def _table(
    source: object,
    options: Mapping[str, str | None],
    label: str,
    path: str,
    root: str | Path | None,
) -> Table:
    names = {*COLUMNS, *_SCORES, *(name for name in options.values() if name)}
    if not isinstance(source, (str, Path)):
        return dataframes.read_object(source, names, root, path)
    if not str(source).strip():
        raise DataError("the name of the events is empty. Give a file or a folder.")
    place = Path(os.path.abspath(source))
    table = _folders(place, label) if place.is_dir() else None
    table = table or table_at(place, names, label, root, True, path)
    if table is None:
        raise DataError(
            f"{source} is a folder without label tracks. Give a folder of recordings with a label"
            " track beside each, or a table of events."
        )
    return table


def _folders(folder: Path, label: str) -> Table | None:
    """Return the label tracks beside recordings in a folder and below, or None without any."""
    tables, bare = list[Table](), list[Path]()
    for here, inside, _ in os.walk(folder):
        inside[:] = sorted((name for name in inside if not name.startswith(".")), key=natural_key)
        files = [entry for entry in entries(Path(here)) if not entry.is_dir()]
        table = read_folder(Path(here), files, label)
        tables += [table] if table else []
        bare += [] if table else [path for path in files if is_recording(path)]
    if tables and bare:
        raise DataError(
            f"{bare[0]} has no label track beside it, unlike the recordings in {tables[0].name}."
            " Label it, with an empty track if it has no sound to label, or move it elsewhere."
        )
    rows = enumerate((row for table in tables for _, row in table.rows), 1)
    unlabelled = tuple(path for table in tables for path in table.unlabelled)
    return (
        replace(tables[0], name=str(folder), rows=rows, unlabelled=unlabelled) if tables else None
    )


def _tracks(
    table: Table, options: Mapping[str, str | None], separator: str | None
) -> dict[str, _Track]:
    """Return what the rows say of each recording, in the order of its first row."""
    columns, _ = resolve(table.name, table.columns, options, need_labels=True)
    columns = {ours: columns[ours] for ours in _OURS if ours in columns}
    reader, score_of = RowReader(table, columns, separator), _score_reader(table.columns)
    has_about = set(_ABOUT) <= set(table.columns)
    tracks: dict[str, _Track] = {}
    numbers, clips = list[int](), list[Clip]()  # the first of each recording
    for number, row in table.rows:
        try:
            clip = reader.clip(number, row)
            if clip.place not in tracks:
                tracks[clip.place] = _about(row) if has_about else _Track()
                numbers.append(number)
                clips.append(clip)
            span = _span(clip, reader.separator, score_of(row))
        except ValueError as error:
            raise DataError(f"{table.name}, row {number}: {error}.") from error
        if span.labels:
            tracks[clip.place].rows.setdefault(span, number)
    reader.seconds.check()
    check_present(table, numbers, clips, reader.locator.missing)
    for path in table.unlabelled:
        tracks.setdefault(str(path), _Track())
    if not tracks:
        raise DataError(f"{table.name} has no rows. Write one row per event.")
    return tracks


def _span(clip: Clip, separator: str | None, score: float) -> _Span:
    """Return the stretch and the classes of a row; ValueError if a stretch has no label."""
    labels = split_label(clip.label or "", separator)
    if not labels and separator is None and (clip.start, clip.end) != (None, None):
        raise ValueError(f"{clip.path.name!r} has an empty label. Label it, or remove the row")
    return _Span(_rounded(clip.start), _rounded(clip.end), labels, score)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, _DIGITS)


def _score_reader(columns: Sequence[str]) -> Callable[[Row], float]:
    """Return a function that gives the score of a row: 1 without a column of scores, or a cell."""
    names = {plain(name) for name in columns}
    known = _SCORES if names - _KALEIDOSCOPE else (*_SCORES, "top1dist")
    column = next((c for name in known for c in columns if plain(c) == name), None)

    def score_of(row: Row) -> float:
        cell = None if column is None else row.get(column)
        if cell is None or cell == "" or cell != cell:  # NaN, in a frame
            return 1.0
        try:
            score = float(cell)
        except (TypeError, ValueError):
            score = -1.0
        if not 0 <= score <= 1:
            raise ValueError(
                f"the {column} {cell!r} is not a number from 0 to 1. Correct it, or rename the"
                " column"
            )
        return score

    return score_of


def _about(row: Row) -> _Track:
    """Return what JSON of ``event_files`` says of a recording."""
    seconds, begins, regions = (row.get(name) for name in _ABOUT)
    try:
        return _Track(
            seconds=float(seconds or 0),
            regions=None if regions is None else tuple((float(a), float(b)) for a, b in regions),
            begins_at=None if begins is None else datetime.fromisoformat(begins),
        )
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"the length, the clock time or the regions are not what earmark writes ({error})."
            " Write the file again"
        ) from error


def _recording(
    table: str, path: str, track: _Track, annotated: float | None, timezone: str | None
) -> RecordingEvents:
    seconds, limit = _length(path)
    seconds = seconds or track.seconds
    events: dict[tuple[float, float, str], Event] = {}
    for span, number in track.rows.items():
        start, end = span.start or 0.0, seconds if span.end is None else span.end
        if not end or (limit and (end > limit + END_SLACK_S or start >= limit)):
            has = f"has {seconds:.3f} s" if seconds else "has an unknown length"
            stop = "the end" if span.end is None else f"{end:g} s"
            raise DataError(
                f"{table}, row {number}: the event from {start:g} s to {stop} is not inside the"
                f" recording {path!r}, which {has}. Correct start and end."
            )
        for label in span.labels:
            events.setdefault((start, end, label), Event(start, end, label, span.score))
    several = tuple(sorted(events.values()))
    regions = track.regions if annotated is None else around_events(several, annotated, seconds)
    begins = track.begins_at or begins_at(path, timezone)
    return RecordingEvents(path, seconds, several, regions, begins)


def _length(path: str) -> tuple[float, float]:
    """Return the seconds that can be decoded, and those that the header promises; 0 if unknown."""
    try:
        header = header_of(path)
    except AudioError:  # told when the recording is read
        return 0.0, 0.0
    frames = (header.frames, max(header.frames, header.promised) if header.frames else 0)
    return frames[0] / header.rate_hz, frames[1] / header.rate_hz


def around_events(events: Iterable[Event], margin: float, seconds: float) -> Regions:
    """Return the stretches up to ``margin`` from an event, merged and cut to the recording."""
    merged: list[tuple[float, float]] = []
    for event in sorted(events):
        start, end = max(0.0, event.start - margin), event.end + margin
        end = min(end, seconds) if seconds else end
        if merged and start <= merged[-1][1]:
            start, before = merged.pop()
            end = max(end, before)
        merged.append((start, end))
    return tuple(merged)
