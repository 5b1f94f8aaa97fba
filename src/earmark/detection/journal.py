"""The journal of a long detection: a run that was killed goes on where it was.

It is a folder. ``done.jsonl`` has a line that says what the events depend on, then a line for each
recording that was searched, with its events. ``scores.bin`` has the scores of windows, if they are
to be written. A line is on the disk before the next recording begins, and one that was cut by a
kill or a power failure is dropped. What is written at the end is made from the journal alone, so it
does not depend on how often a run was stopped.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from earmark.audio.decoder import Refusal
from earmark.audio.uri import UriSource
from earmark.data.event import Event, RecordingEvents
from earmark.detection.detecting import Detection
from earmark.detection.jobs import Job
from earmark.detection.scores import WindowScores
from earmark.errors import EarmarkError
from earmark.system.jsons import json_text

VERSION = 1  # raised when the lines or the scores change
DONE, SCORES, LOCK = "done.jsonl", "scores.bin", "lock"


@dataclass(frozen=True)
class ScoreRun:
    """Rows of ``scores.bin``: the windows of a stretch that begins at ``start_s``."""

    start_s: float
    first: int
    rows: int


class Journal:
    """The recordings that are done. Use it as a context manager; one process at a time has it.

    Parameters
    ----------
    folder : Path
        It is created; the folder above must exist.
    key : mapping
        Whatever the events depend on, as JSON. A journal with another key is begun anew.
    columns : int
        The number of scores of a window, the known-score included.

    Attributes
    ----------
    n_before : int
        The recordings that an earlier run has searched.
    was_there, is_other : bool
        Whether there was a journal, and whether it had another key.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any], columns: int) -> None:
        self.folder, self.columns = folder, columns
        self._head = f"{json_text({'version': VERSION, **key}, ascii_only=True)}\n".encode()
        self._places: dict[str, int] = {}  # of lines, by the recording
        self._runs: list[ScoreRun] = []
        self._rows = 0  # of scores.bin
        self.was_there = self.is_other = False

    def __enter__(self) -> Journal:
        with contextlib.ExitStack() as stack, _writing(self.folder):
            self.folder.mkdir(exist_ok=True)
            lock = FileLock(self.folder / LOCK)
            try:
                stack.enter_context(lock.acquire(timeout=0))
            except Timeout:
                raise EarmarkError(
                    f"another run is writing the same output ({self.folder} is locked). Wait for"
                    " it to end, or name another output."
                ) from None
            self._done = stack.enter_context(open(self.folder / DONE, "ab+", buffering=0))
            self._scores = stack.enter_context(open(self.folder / SCORES, "ab", buffering=0))
            self._resume()
            self._stack = stack.pop_all()
        self.n_before = len(self._places)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _resume(self) -> None:
        """Find the recordings that are done, and drop what follows the last whole line."""
        self._done.seek(0)
        with open(self.folder / DONE, "rb") as lines:
            head = lines.readline()
            is_same, end = head == self._head, len(head)
            self.was_there, self.is_other = bool(head), bool(head) and not is_same
            size = os.path.getsize(self.folder / SCORES)
            for line in lines if is_same else ():
                value = _parsed(line)
                rows = sum(run[2] for run in value["scores"]) if value else 0
                if value is None or (self._rows + rows) * 4 * self.columns > size:
                    break
                self._places[value["key"]] = end
                end, self._rows = end + len(line), self._rows + rows
        self._done.truncate(end if is_same else 0)
        self._scores.truncate(self._rows * 4 * self.columns)
        if not is_same:
            self._done.write(self._head)

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def add_scores(self, start_s: float, scores: WindowScores) -> None:
        """Add scores of the recording that is being searched."""
        rows = np.column_stack([scores.scores, scores.known]).astype("<f4", copy=False)
        with _writing(self.folder):
            _write_all(self._scores, rows.tobytes())
        if not self._runs or self._runs[-1].start_s != start_s:
            first = self._rows + sum(run.rows for run in self._runs)
            self._runs.append(ScoreRun(start_s, first, 0))
        last = self._runs.pop()
        self._runs.append(ScoreRun(start_s, last.first, last.rows + len(rows)))

    def drop_scores(self) -> None:
        """Drop the scores of a recording that could not be read to its end."""
        self._scores.truncate(self._rows * 4 * self.columns)
        self._runs = []

    def add(self, key: str, detection: Detection) -> None:
        """Note that the recording of a :func:`version_key` is done, and wait for the disk."""
        recording = detection.recording
        value = {
            "key": key,
            "seconds": recording.seconds,
            "regions": recording.regions,
            "events": [(e.start, e.end, e.label, e.score) for e in recording.events],
            "warnings": detection.warnings,
            "scores": [(run.start_s, run.first, run.rows) for run in self._runs],
        }
        with _writing(self.folder):
            os.fsync(self._scores.fileno())
            place = self._done.seek(0, os.SEEK_END)
            try:
                _write_all(self._done, f"{json_text(value, ascii_only=True)}\n".encode())
                os.fsync(self._done.fileno())
            except OSError:
                self._done.truncate(place)
                raise
        self._places[key] = place
        self._rows += sum(run.rows for run in self._runs)
        self._runs = []

    def detection(self, key: str, path: str) -> Detection:
        """Return what was found in a recording that is done; its path is given anew."""
        value = self._read(key)
        regions = value["regions"]
        recording = RecordingEvents(
            path,
            value["seconds"],
            tuple(Event(*event) for event in value["events"]),
            None if regions is None else tuple((start, end) for start, end in regions),
        )
        return Detection(recording, tuple(value["warnings"]))

    def scores(self, key: str) -> Iterator[tuple[ScoreRun, np.ndarray]]:
        """Yield the runs of scores of a recording that is done, (rows, columns) each."""
        for run in (ScoreRun(*run) for run in self._read(key)["scores"]):
            offset, shape = run.first * 4 * self.columns, (run.rows, self.columns)
            if run.rows:
                yield run, np.memmap(self.folder / SCORES, "<f4", "r", offset, shape)

    def _read(self, key: str) -> Any:
        with open(self.folder / DONE, "rb") as lines:
            lines.seek(self._places[key])
            return json.loads(lines.readline())

    def delete(self) -> None:
        """Delete the journal; the file of recordings goes first, so that no half of it is read."""
        self._stack.close()
        with contextlib.suppress(OSError):
            (self.folder / DONE).unlink()
        shutil.rmtree(self.folder, ignore_errors=True)


def version_key(job: Job) -> str | None:
    """Return what tells a recording from a changed or another one; None if it cannot be known.

    The times are those of the file's content and status, so a recording need not be read again to
    know that it is the same.
    """
    if isinstance(job.source, UriSource):
        return _version_elsewhere(job, job.source)
    path = os.path.abspath(job.path)
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    version = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return json_text([path, *version, job.stretches], ascii_only=True)


def _version_elsewhere(job: Job, source: UriSource) -> str | None:
    try:
        status = source.status
    except Refusal:  # reading it tells why
        return None
    if not status.version:
        return None
    return json_text([source.uri, *status, job.stretches], ascii_only=True)


def _parsed(line: bytes) -> Any:
    """Return the value of a line; None for one that was not written to its end."""
    try:
        value = json.loads(line) if line.endswith(b"\n") else None
        return value if isinstance(value, dict) and {"key", "scores"} <= value.keys() else None
    except ValueError:
        return None


def _write_all(file: Any, content: bytes) -> None:
    """Write bytes to an unbuffered file; a nearly full disk takes only some of them at a time."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EarmarkError(
            f"cannot write the journal {folder}: {error.strerror}. Free some space and run the same"
            " command again; it continues from here."
        ) from error
