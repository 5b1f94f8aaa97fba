"""Write events in the formats of people's tools: one table, or a file for each recording.

Times have three decimals and scores four, so that equal events give equal bytes. A label or path
that a format cannot hold is refused: it would be another one when it is read again.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterator
from pathlib import Path

from earmark.data.clip import bare
from earmark.data.event import RecordingEvents
from earmark.data.event_formats import TEXTS, Recordings, write_parquet
from earmark.data.label_cells import text_list
from earmark.errors import DataError
from earmark.system.files import whole_file, write_whole
from earmark.system.text import one_line, to_bytes

SUFFIXES = {
    "csv": ".csv",
    "raven": ".Table.1.selections.txt",
    "audacity": ".txt",
    "json": ".json",
    "kaleidoscope": ".kaleidoscope.csv",
    "parquet": ".parquet",
}
FORMATS = tuple(SUFFIXES)


def write_events(recordings: Recordings, path: str | Path, format: str) -> None:
    """Write the events of all recordings into one table, whole or not at all.

    Parameters
    ----------
    recordings : iterable of RecordingEvents
        Their events are written in this order. A recording without events is written too, except
        to the tables of Raven and Kaleidoscope, which have only events. Only one recording is in
        memory at a time; CSV and Parquet need two passes, so they make a list of a generator.
    path : str or Path
        The file. In CSV, JSON and Parquet, the paths of recordings are relative to its folder.
    format : str
        One of ``FORMATS``, but not 'audacity': a label track belongs to one recording.

    Raises
    ------
    DataError
        If the format cannot hold a label or a path, or if Raven's times need the length of a
        recording and it is unknown.
    EarmarkError
        If the file cannot be written.
    """
    if format == "audacity":
        raise DataError(
            "a label track of Audacity belongs to one recording, so there is no track for all."
            " Write one file for each recording, or choose another format."
        )
    _write(recordings, Path(os.path.abspath(path)), format)


def write_each(
    recording: RecordingEvents, folder: str | Path, format: str, root: str | Path
) -> Path:
    """Write the events of one recording into a file of its own, and return the file's path.

    Parameters
    ----------
    recording : RecordingEvents
        It may have no events.
    folder : str or Path
        Where the file goes; its sub-folders are those of the recording below ``root``.
    format : str
        One of ``FORMATS``.
    root : str or Path
        A folder that has all the recordings.

    Returns
    -------
    Path
        ``a.wav`` gives ``a.wav.txt``, ``a.wav.Table.1.selections.txt`` ..., so that ``a.flac``
        beside it has a file of its own.
    """
    path = events_path(recording.path, folder, format, root)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"cannot make the folder {path.parent}: {error.strerror}. Choose another place."
        ) from error
    _write([recording], path, format)
    return path


def events_path(recording: str | Path, folder: str | Path, format: str, root: str | Path) -> Path:
    """Return the file that :func:`write_each` writes for a recording."""
    _check_format(format)
    above = Path(os.path.abspath(root))
    path = Path(os.path.abspath(recording))
    if above not in path.parents:
        raise DataError(f"{path} is not below {above}. Give a folder that has all the recordings.")
    return Path(os.path.abspath(folder)) / f"{path.relative_to(above)}{SUFFIXES[format]}"


def check_label(label: str, format: str) -> None:
    """Raise DataError if a format cannot hold a label; call it before a long detection."""
    _check_format(format)
    if not label or bare(label) != label:
        reason = "is empty, or begins or ends with a blank"
    elif "\0" in label:
        reason = "has a NUL character"
    elif not _is_utf8(label):
        reason = "has bytes that are not UTF-8"
    elif text_list(label) is not None:
        reason = "would be read as a list of classes"
    elif _has_breaks(label, format):
        reason = "has a tab or a line break"
    else:
        return
    raise _unfit("label", label, format, reason)


def check_path(path: str, format: str) -> None:
    """Raise DataError if a format cannot hold the path of a recording."""
    _check_format(format)
    if format == "audacity":  # has no path
        return
    name = Path(path).name
    if format == "parquet" and not _is_utf8(path):
        reason = "has bytes that are not UTF-8"
    elif _has_breaks(path, format):
        reason = "has a tab or a line break"
    elif format in ("raven", "kaleidoscope") and name != name.strip():
        reason = "begins or ends with a blank"
    else:
        return
    raise _unfit("path", path, format, reason)


def _unfit(kind: str, text: str, format: str, reason: str) -> DataError:
    return DataError(
        f"the {kind} '{one_line(text)}' cannot be written in the format {format}, because it"
        f" {reason}. Rename it, or choose another format."
    )


def _check_format(format: str) -> None:
    if format not in SUFFIXES:
        raise DataError(f"no format {format!r} is known. Choose one of {', '.join(FORMATS)}.")


def _is_utf8(text: str) -> bool:
    return to_bytes(text).decode("utf-8", "replace") == text


def _has_breaks(text: str, format: str) -> bool:
    """Return whether a line of a format without quotes would be broken."""
    return format in ("raven", "audacity") and not {"\t", "\n", "\r"}.isdisjoint(text)


def _write(recordings: Recordings, path: Path, format: str) -> None:
    _check_format(format)
    if format in ("csv", "parquet") and isinstance(recordings, Iterator):
        recordings = list(recordings)  # the first pass finds out whether there are clock times
    checked = _Checked(recordings, format)
    if format != "parquet":
        write_whole(path, map(to_bytes, TEXTS[format](checked, path.parent)))
        return
    try:
        with whole_file(path) as part:
            write_parquet(checked, path.parent, part)
    except OSError as error:
        raise DataError(
            f"cannot write {path}: {error.strerror}. Free some space, or name another place."
        ) from error


class _Checked:
    """Recordings that are checked, when iterated, for what the format cannot hold."""

    def __init__(self, recordings: Recordings, format: str) -> None:
        self._recordings, self._format = recordings, format
        self._check_label = functools.cache(check_label)

    def __iter__(self) -> Iterator[RecordingEvents]:
        for recording in self._recordings:
            check_path(recording.path, self._format)
            for event in recording.events:
                self._check_label(event.label, self._format)
                if not (0 <= event.start < event.end < math.inf and 0 <= event.score <= 1):
                    raise DataError(
                        f"{event} in {one_line(recording.path)} has impossible numbers. Start must"
                        " be before end, and the score between 0 and 1."
                    )
            yield recording
