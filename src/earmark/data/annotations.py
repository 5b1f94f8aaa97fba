"""Labels that were drawn over a recording: Audacity's label tracks, Raven's selection tables.

Both are text with tabs. A label track has no header and three columns: start, end (seconds), label.
A selection table has a header; ``Begin Time (s)``, ``End Time (s)`` and a column of annotations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from earmark.data.folders import is_recording
from earmark.data.tables import Row, Table, read_text
from earmark.errors import DataError, amount
from earmark.system.files import open_file

SUFFIX = ".txt"
BEGIN, END, OFFSET = "Begin Time (s)", "End Time (s)", "File Offset (s)"
# What people name the column of annotations: Raven's own proposal first.
ANNOTATIONS = ("annotation", "annotations", "label", "species", "class", "tag", "call type")
_RAVEN_NAME = re.compile(r"\.Table\.\d+\.selections$|\.selections$", re.IGNORECASE)

Numbered = Iterator[tuple[int, Row]]


def read_track(
    track: Path, label: str = "label", recording: Path | None = None, folder: Path | None = None
) -> Table:
    """Return the stretches of a .txt file as a table with ``path``, ``start``, ``end``, ``label``.

    The recording is the one given, else the one of the same name, with any suffix, in ``folder``
    (that of the file); a selection table may name it itself, in ``Begin File``. ``label`` is the
    column of annotations; 'label' stands for the first of ``ANNOTATIONS`` that is there. Equal
    rows, which Raven writes once for each view, count once.
    """
    lines = _lines(track)
    folder = folder or track.parent
    header = lines[0][1].split("\t") if lines else []
    if BEGIN in header:
        columns, rows = header, _raven(track, lines, label, recording, folder)
    elif is_track(track):
        recording = recording or _recording(track, folder)
        columns, rows = [], _audacity(track, lines, label, recording)
    else:
        raise DataError(
            f"{track} is neither a label track of Audacity (start, end and label with tabs between)"
            f" nor a selection table of Raven (with a column {BEGIN!r}); export it as one of them."
        )
    return Table(str(track), [*columns, "path", "start", "end", label], _once(rows, label), folder)


def read_folder(folder: Path, entries: list[Path], label: str = "label") -> Table | None:
    """Return the label tracks among the ``entries`` of a folder as one table; None without any.

    A text file is a track only beside its recording. A recording without a track is refused: it
    may hold nothing, or have been forgotten.
    """
    files = [path for path in entries if not path.is_dir()]
    recordings = [path for path in files if is_recording(path)]
    beside = {path: _beside(path, recordings) for path in files if is_track(path)}
    tracks = [path for path, neighbours in beside.items() if neighbours]
    if not tracks:
        return None
    inside = next((path for path in entries if path.is_dir()), None)
    if inside is not None:
        raise DataError(
            f"{folder} has label tracks beside recordings and a sub-folder, {inside.name!r}, as"
            " well; move one of them elsewhere."
        )
    complete = {recording for neighbours in beside.values() for recording in neighbours}
    bare = [path for path in recordings if path not in complete]
    if bare:
        raise DataError(
            f"{bare[0]} has no label track beside it, unlike {amount(len(complete), 'recording')}"
            f" in {folder}; label it, or move it elsewhere."
        )

    def rows() -> Numbered:
        number = 0
        for track in tracks:
            for _, row in read_track(track, label).rows:
                number += 1
                yield number, row

    return Table(str(folder), ["path", "start", "end", label], rows(), folder)


def is_track(path: Path) -> bool:
    """Say whether a file is a .txt that begins as a label track or a selection table does."""
    if path.suffix.lower() != SUFFIX:
        return False
    try:
        with open_file(path) as file:
            first = file.readline(4096).decode("utf-8-sig").rstrip("\r\n").split("\t")
    except (OSError, UnicodeDecodeError):
        return False
    return BEGIN in first or (len(first) >= 2 and all(map(_is_number, first[:2])))


def _lines(track: Path) -> list[tuple[int, str]]:
    return [(n, line) for n, line in enumerate(read_text(track).splitlines(), 1) if line.strip()]


def _audacity(track: Path, lines: list[tuple[int, str]], label: str, recording: Path) -> Numbered:
    for number, line in lines:
        cells = line.split("\t", 2)
        if cells[0] == "\\":  # the frequencies of a spectral selection, of the line above
            continue
        if len(cells) < 2:
            raise DataError(
                f"{track}, row {number}: {line[:60]!r} is not start, end and label with tabs"
                " between; export the track again."
            )
        start, end = cells[:2]
        name = cells[2] if len(cells) == 3 else ""
        if start == end:
            raise DataError(
                f"{track}, row {number}: the label {name!r} marks a point, {start} s, and no"
                " stretch; drag it out to what is heard, or remove it."
            )
        yield number, {"path": str(recording), "start": start, "end": end, label: name}


def _raven(
    track: Path, lines: list[tuple[int, str]], label: str, recording: Path | None, folder: Path
) -> Numbered:
    header = lines[0][1].split("\t")
    column = _annotations(track, header, label)
    rows = [(n, dict(zip(header, line.split("\t"), strict=False))) for n, line in lines[1:]]
    files = {row.get("Begin File", "") for _, row in rows}
    if len(files) > 1 and OFFSET not in header and recording is None:
        raise DataError(
            f"{track} is of {len(files)} recordings and has no column {OFFSET!r}, which says where"
            " in each of them; add that measurement in Raven and save the table again."
        )
    for number, row in rows:
        path = recording or (
            folder / row["Begin File"] if row.get("Begin File") else _recording(track, folder)
        )
        start, end = _span(track, number, row)
        yield number, {**row, "path": str(path), "start": start, "end": end, label: row.get(column)}


def _span(track: Path, number: int, row: Row) -> tuple[float, float]:
    """Return start and end in the recording; Raven counts from the first of several recordings."""
    try:
        begin, end = float(row[BEGIN]), float(row[END])
        start = float(row.get(OFFSET) or begin)
    except (KeyError, ValueError) as error:
        raise DataError(
            f"{track}, row {number}: {BEGIN!r} and {END!r} must be seconds ({error}); save the"
            " table again."
        ) from error
    return start, start + end - begin


def _annotations(track: Path, header: list[str], label: str) -> str:
    if label in header:
        return label
    columns = {name.casefold(): name for name in header}
    usual = next((columns[name] for name in ANNOTATIONS if name in columns), None)
    if label != "label" or usual is None:
        raise DataError(
            f"{track} has no column {label!r} of annotations; name the one that is meant with"
            f" --label: it has {', '.join(map(repr, header))}."
        )
    return usual


def _recording(track: Path, folder: Path) -> Path:
    recordings = _beside(track, [path for path in folder.iterdir() if is_recording(path)])
    if len(recordings) != 1:
        count = amount(len(recordings), "recording") if recordings else "no recording"
        raise DataError(
            f"{track} has {count} of its name in {folder}; there must be exactly one. Rename the"
            " track or the recordings."
        )
    return recordings[0]


def _beside(track: Path, recordings: list[Path]) -> list[Path]:
    """Return the recordings that a track's name fits: a.txt fits a.wav, and so does a.wav.txt."""
    stem = _RAVEN_NAME.sub("", track.stem)
    return [path for path in recordings if stem in (path.stem, path.name)]


def _once(rows: Numbered, label: str) -> Numbered:
    keys = set()
    for number, row in rows:
        key = tuple(str(row[name]) for name in ("path", "start", "end", label))
        if key not in keys:
            keys.add(key)
            yield number, row


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
