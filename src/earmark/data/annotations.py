"""Read labels that were drawn over recordings: label tracks of Audacity, and files beside audio.

A label track is text with tabs, without a header, and has three columns: start, end (seconds),
label. The tables of Raven, BirdNET and Kaleidoscope are read in ``selections``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from earmark.data import selections
from earmark.data.encodings import decode
from earmark.data.folders import is_recording
from earmark.data.selections import BEGIN
from earmark.data.tables import Row, Table, decoded_text
from earmark.errors import DataError, amount
from earmark.system.files import open_file

SUFFIX = ".txt"
_PROBE = 1 << 16  # bytes at the beginning, which contain the first line
_RAVEN_NAME = re.compile(
    r"(\.BirdNET)?(\.Table\.\d+)?\.(selections|selection\.table|results)$|\.BirdNET$",
    re.IGNORECASE,
)

Numbered = Iterator[tuple[int, Row]]


def read_track(
    track: Path,
    label: str = "label",
    recording: Path | None = None,
    folder: Path | None = None,
    need_labels: bool = True,
) -> Table:
    """Return the stretches of a .txt file as a table with ``path``, ``start``, ``end``, ``label``.

    The recording is the ``recording`` given, else the one that a selection table names, else the
    one in ``folder`` (by default that of the file) with the same name and any suffix. ``label`` is
    the column of annotations; 'label' means the first of the usual names. Equal rows, which Raven
    writes once per view, count once. A file without rows is a track of a recording without labels.
    """
    text, note = decoded_text(track)
    lines = [(n, line) for n, line in enumerate(_split(text), 1) if line.strip()]
    folder = folder or track.parent
    header = [name.strip() for name in lines[0][1].split("\t")] if lines else []
    notes = (note,) if note else ()
    if not lines[1:] and (not lines or selections.is_selections(header)):
        unlabelled = (recording or recording_of(track, folder),)
        return replace(_unlabelled(track, unlabelled, label), notes=notes)
    if selections.is_selections(header):
        cells = ((n, dict(zip(header, line.split("\t"), strict=False))) for n, line in lines[1:])
        table = Table(str(track), header, cells, folder, notes, has_decimal_commas=True)
        return as_table(track, table, label, recording, need_labels)
    if not is_track(track):
        raise DataError(
            f"{track} is neither a label track of Audacity (start, end and label, separated by"
            f" tabs) nor a selection table of Raven (with a column {BEGIN!r}). Export it as one of"
            " them."
        )
    recording = recording or recording_of(track, folder)
    columns = ["path", "start", "end", label]
    rows = selections.once(_audacity(track, lines, label, recording), label)
    return Table(str(track), columns, rows, folder, notes, has_decimal_commas=True)


def as_detections(file: Path, table: Table, label: str, path: str) -> Table | None:
    """Return the stretches of a manifest that Raven, BirdNET or Kaleidoscope wrote, or None."""
    if path != "path" or not selections.is_selections(table.columns):
        return None
    return as_table(file, table, label, None, need_labels=False)


def as_table(
    file: Path, table: Table, label: str, recording: Path | None, need_labels: bool
) -> Table:
    """Return a table of selections with the columns of a manifest."""

    def own() -> Path:
        return recording or recording_of(file, table.folder)

    return selections.as_manifest(table, label, recording, own, need_labels)


def read_folder(folder: Path, entries: list[Path], label: str = "label") -> Table | None:
    """Return the label tracks among the ``entries`` of a folder as one table, or None.

    A text file counts as a track only if its recording is beside it; an empty one says that the
    recording has no sound to label. A recording without a track is refused: either it has no sound
    to label, or somebody forgot to label it.
    """
    files = [path for path in entries if not path.is_dir()]
    recordings = [path for path in files if is_recording(path)]
    beside = tracks_beside(files)
    tracks = list(beside)
    if not tracks:
        return None
    inside = next((path for path in entries if path.is_dir()), None)
    if inside is not None:
        raise DataError(
            f"{folder} has both label tracks beside recordings and a sub-folder, {inside.name!r}."
            " Move one of them elsewhere."
        )
    complete = {recording for neighbours in beside.values() for recording in neighbours}
    bare = [path for path in recordings if path not in complete]
    if bare:
        raise DataError(
            f"{bare[0]} has no label track beside it, unlike {amount(len(complete), 'recording')}"
            f" in {folder}. Label it, with an empty track if it has no sound to label, or move it"
            " elsewhere."
        )

    tables = [read_track(track, label) for track in tracks]

    def rows() -> Numbered:
        number = 0
        for table in tables:
            for _, row in table.rows:
                number += 1
                yield number, row

    notes = tuple(dict.fromkeys(note for table in tables for note in table.notes))
    bare_tracks = dict.fromkeys(path for table in tables for path in table.unlabelled)
    table = _unlabelled(folder, tuple(bare_tracks), label)
    return replace(table, rows=rows(), notes=(*notes, *table.notes))


def _unlabelled(name: Path, recordings: tuple[Path, ...], label: str) -> Table:
    """Return a table without rows, of recordings whose tracks have no label."""
    folder = name if name.is_dir() else name.parent
    verb = "has an empty label track" if len(recordings) == 1 else "have empty label tracks"
    note = f"{amount(len(recordings), 'recording')} {verb}: no clip is read from there"
    columns = ["path", "start", "end", label]
    notes = (note,) if recordings else ()
    return Table(str(name), columns, (), folder, notes, True, recordings)


def tracks_beside(files: Sequence[Path]) -> dict[Path, list[Path]]:
    """Return the label tracks among the ``files`` of a folder, each with its recordings there.

    An empty text file beside a recording is the track of one without a sound to label.
    """
    recordings = [path for path in files if is_recording(path)]
    tracks = (path for path in files if is_track(path) or _is_empty(path))
    return {path: beside for path in tracks if (beside := _beside(path, recordings))}


def is_track(path: Path) -> bool:
    """Return whether a file is a .txt with the first line of a label track or selection table."""
    content = _beginning(path)
    if content is None:
        return False
    for cut in range(4):  # the probe may end inside a character
        try:
            text, _ = decode(content[: len(content) - cut])
            break
        except ValueError:
            continue
    else:
        return False
    first = next((line for line in _split(text) if line.strip()), "").split("\t")
    return selections.is_selections(first) or (len(first) >= 2 and all(map(_is_number, first[:2])))


def _is_empty(path: Path) -> bool:
    """Return whether a file is a .txt with nothing but blanks."""
    content = _beginning(path)
    return content is not None and len(content) < _PROBE and not content.strip()


def _beginning(path: Path) -> bytes | None:
    """Return the first bytes of a .txt; None for another file, or one that cannot be read."""
    if path.suffix.lower() != SUFFIX:
        return None
    try:
        with open_file(path) as file:
            return file.read(_PROBE)
    except OSError:
        return None


def _split(text: str) -> list[str]:
    return re.split(r"\r\n|\n|\r", text)


def _audacity(track: Path, lines: list[tuple[int, str]], label: str, recording: Path) -> Numbered:
    for number, line in lines:
        cells = line.split("\t")
        if cells[0].strip() == "\\":  # the frequencies of the selection in the line above
            continue
        if len(cells) == 4 and _is_number(cells[3]) and not _is_number(cells[2]):  # BirdNET's score
            cells.pop()
        if not 2 <= len(cells) <= 3:
            raise DataError(
                f"{track}, row {number}: {line[:60]!r} is not start, end and label, separated by"
                " tabs. Export the track again."
            )
        start, end = cells[:2]
        name = cells[2] if len(cells) == 3 else ""
        if start == end:
            raise DataError(
                f"{track}, row {number}: the label {name!r} marks a point ({start} s), not a"
                " stretch. Extend it over the sound, or remove it."
            )
        yield number, {"path": str(recording), "start": start, "end": end, label: name}


def recording_of(track: Path, folder: Path) -> Path:
    recordings = _beside(track, [path for path in folder.iterdir() if is_recording(path)])
    if len(recordings) != 1:
        count = amount(len(recordings), "recording") if recordings else "no recording"
        raise DataError(
            f"{track} has {count} with its name in {folder}. There must be exactly one: rename the"
            " track or the recordings."
        )
    return recordings[0]


def _beside(track: Path, recordings: list[Path]) -> list[Path]:
    """Return the recordings that match the name of a track: a.txt and a.wav.txt match a.wav."""
    name = name_beside(track)
    return [path for path in recordings if name in (path.stem, path.name)]


def name_beside(track: Path) -> str:
    """Return the name of a track's recording, which may have a suffix as well."""
    return _RAVEN_NAME.sub("", track.stem)


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True
