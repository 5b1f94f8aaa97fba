"""The versions of recordings that lie elsewhere, kept in the store so that no body is read again.

A table of the store maps a URI to the size and version of its object, and to the hash of the
recording. As long as the first two stay the same, the third does.
"""

from __future__ import annotations

import collections
import sqlite3
import threading
import zlib
from pathlib import Path
from typing import NamedTuple

from earmark.audio.uri import UriSource
from earmark.system.objects import ObjectStatus

TABLE = (
    "CREATE TABLE IF NOT EXISTS object (uri TEXT PRIMARY KEY, size INTEGER NOT NULL, version TEXT"
    " NOT NULL, content BLOB NOT NULL, decoder INTEGER NOT NULL, digest INTEGER NOT NULL)"
    " WITHOUT ROWID"
)
INSERT = "INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?, ?, ?)"
STRIPES = 4_096  # locks for recordings; two recordings may share one
REMEMBERED = 4_096  # recordings whose status is not asked for again in one run

Row = tuple[str, int, str, bytes, int, int]


class RecordingVersion(NamedTuple):
    """The hash of a recording's bytes, and the version of the decoder that reads them."""

    content: bytes
    decoder: int


class KnownObjects:
    """The versions of objects: of this run, and of earlier runs in the database at ``path``.

    Several threads may use this. New versions wait in :meth:`take`, because only the thread that
    opened a store writes to it.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock, self._archive_lock = threading.Lock(), threading.Lock()
        self._asking = [threading.Lock() for _ in range(STRIPES)]
        self._recent: collections.OrderedDict[str, tuple[ObjectStatus, RecordingVersion]] = (
            collections.OrderedDict()
        )
        self._archives: dict[str, ObjectStatus] = {}
        self._new: list[Row] = []
        self._db: sqlite3.Connection | None = None

    def asking(self, uri: str) -> threading.Lock:
        """Return a lock for one recording, so that its stretches do not all ask at once."""
        return self._asking[hash(uri) % len(self._asking)]

    def get(self, source: UriSource) -> RecordingVersion | None:
        """Return the version of an object that has not changed, or None. Raises Refusal."""
        with self._lock:
            if source.uri in self._recent:
                return self._recent[source.uri][1]
            row = self._stored(source.uri)
        if row is None:
            return None
        status = self._status(source)
        if status != row[0] or not status.version:
            return None
        self._remember(source.uri, *row)
        return row[1]

    def _status(self, source: UriSource) -> ObjectStatus:
        """Return the status of an object; that of an archive is asked for once in a run."""
        if source.member is None:
            return source.status
        with self._archive_lock:
            if (status := self._archives.get(source.archive)) is None:
                status = self._archives[source.archive] = source.status
        return status

    def status(self, uri: str) -> ObjectStatus | None:
        """Return the status that an object had in this run, if it is remembered."""
        with self._lock:
            return self._recent[uri][0] if uri in self._recent else None

    def add(self, uri: str, status: ObjectStatus, version: RecordingVersion) -> None:
        """Remember the version of an object that was read."""
        self._remember(uri, status, version)
        if status.version:
            row = (uri, *status, *version)
            with self._lock:
                self._new.append((*row, _digest(row)))

    def __len__(self) -> int:
        """The number of rows that wait to be written."""
        return len(self._new)

    def take(self) -> list[Row]:
        """Return the rows to insert into the database, once."""
        with self._lock:
            rows, self._new = self._new, []
        return rows

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            if self._db is not None:
                self._db.close()
            self._db = self._path = None

    def _remember(self, uri: str, status: ObjectStatus, version: RecordingVersion) -> None:
        with self._lock:
            self._recent[uri] = status, version
            if len(self._recent) > REMEMBERED:
                self._recent.popitem(last=False)

    def _stored(self, uri: str) -> tuple[ObjectStatus, RecordingVersion] | None:
        """Return the row of the database; None if there is none, or it is damaged."""
        if self._path is None:
            return None
        try:
            if self._db is None:
                self._db = sqlite3.connect(
                    self._path, isolation_level=None, check_same_thread=False
                )
            found = self._db.execute("SELECT * FROM object WHERE uri = ?", (uri,)).fetchone()
        except (sqlite3.Error, UnicodeDecodeError):
            return None  # the store tells of the damage, and the recording is read once more
        if found is None or found[-1] != _digest(found[:-1]):
            return None
        _, size, version, content, decoder, _ = found
        return ObjectStatus(size, version), RecordingVersion(content, decoder)


def _digest(row: tuple[object, ...]) -> int:
    """Return a CRC-32 over a row, which detects damage."""
    return zlib.crc32(repr(row).encode("utf-8", "surrogateescape"))
