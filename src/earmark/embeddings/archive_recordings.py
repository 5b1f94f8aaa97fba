"""The recordings of an archive: which are new, changed, renamed or gone, and what to compute."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from earmark.audio.decoder import Refusal
from earmark.audio.source import FileSource
from earmark.audio.uri import UriSource
from earmark.data.clip import Clip
from earmark.embeddings.archive_file import ArchiveFile
from earmark.embeddings.hashes import SETTLED_NS
from earmark.errors import AudioError
from earmark.system.jsons import json_text
from earmark.system.text import to_bytes

if TYPE_CHECKING:
    from earmark.embeddings.archive import ArchiveNetwork

HASHED_AT_ONCE = 64  # recordings in one transaction


@dataclass(frozen=True)
class Listed:
    """A recording of a data set: its path in the archive, its clip, and the columns of its row."""

    path: str
    clip: Clip
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Changes:
    """How many recordings were new, changed, renamed, gone or as before."""

    new: int = 0
    changed: int = 0
    renamed: int = 0
    gone: int = 0
    same: int = 0


@dataclass(frozen=True)
class Task:
    """A content to compute, and how many of its first windows are there already."""

    content: int
    hash: bytes
    path: str
    clip: Clip
    windows: int


class RecordingList:
    """The recordings of all data sets of an archive that is being written."""

    def __init__(self, file: ArchiveFile) -> None:
        self.file = file

    def dataset(self, source: str, folder: str, name: str) -> int:
        """Return the number of the data set of a folder or manifest, which is added if necessary.

        Its paths start from ``folder``.
        """
        with self.file.changing() as db:
            db.execute(
                "INSERT INTO dataset (source, folder, name)"
                " VALUES (CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT))"
                " ON CONFLICT (source) DO UPDATE SET folder = excluded.folder",
                [to_bytes(source), to_bytes(folder), to_bytes(name)],
            )
            (number,) = db.execute(
                "SELECT id FROM dataset WHERE source = CAST(? AS TEXT)", [to_bytes(source)]
            ).fetchone()
        return int(number)

    def note(self, dataset: int, listed: Sequence[Listed]) -> Changes:
        """Note which recordings a data set has now; only new and changed ones are hashed."""
        changes, hashes = Changes(), set[bytes]()
        every = self._known(dataset)
        known = {path: row for path, row in every.items() if not row.is_former}
        for first in range(0, len(listed), HASHED_AT_ONCE):
            rows = [
                _row(item, known.get(item.path), changes)
                for item in listed[first : first + HASHED_AT_ONCE]
            ]
            hashes |= {row.hash for row in rows if row.hash and row.item.path not in known}
            with self.file.changing() as db:
                for row in rows:
                    _put(db, dataset, row)
        self._note_gone(dataset, every, {item.path for item in listed}, hashes, changes)
        changes.new -= changes.renamed
        return changes

    def _note_gone(
        self,
        dataset: int,
        known: Mapping[str, _Known],
        paths: Set[str],
        new_hashes: Set[bytes],
        changes: Changes,
    ) -> None:
        """Note recordings that are not among ``paths``, and whether their content is elsewhere."""
        with self.file.changing() as db:
            for path, row in known.items():
                if path in paths:
                    continue
                is_renamed, name = row.hash in new_hashes, to_bytes(path)
                changes.renamed += is_renamed and not row.is_gone
                changes.gone += not is_renamed and not row.is_gone
                copy = db.execute(
                    "SELECT 1 FROM recording WHERE content = ? AND NOT is_gone"
                    " AND NOT (dataset = ? AND path = CAST(? AS TEXT))",
                    [row.content, dataset, name],
                ).fetchone()
                change = "UPDATE recording SET is_gone = 1"
                if row.content is None:
                    change = "DELETE FROM recording"
                elif copy or row.is_former:  # answers may have this name
                    change = "UPDATE recording SET is_gone = 2"
                db.execute(
                    f"{change} WHERE dataset = ? AND path = CAST(? AS TEXT)", [dataset, name]
                )

    def _known(self, dataset: int) -> dict[str, _Known]:
        with self.file.reading():
            rows = self.file.db.execute(
                "SELECT path, recording.content, content.hash, size, mtime_ns, version, is_gone,"
                " error FROM recording LEFT JOIN content ON content.id = recording.content"
                " WHERE dataset = ?",
                [dataset],
            ).fetchall()
        return {row[0]: _Known(*row[1:]) for row in rows}

    def tasks(self, dataset: int, network: ArchiveNetwork, listed: Sequence[Listed]) -> list[Task]:
        """Return the contents of a data set whose windows are missing, in the order listed."""
        clips = {item.path: item.clip for item in reversed(listed)}
        order = {item.path: number for number, item in reversed(list(enumerate(listed)))}
        with self.file.reading():
            rows = self.file.db.execute(
                "SELECT recording.path, content.id, content.hash FROM recording"
                " JOIN content ON content.id = recording.content"
                " WHERE dataset = ? AND NOT is_gone AND error IS NULL"
                " AND NOT EXISTS (SELECT 1 FROM finished"
                " WHERE finished.content = content.id AND network = ?)",
                [dataset, network.number],
            ).fetchall()
            tasks: dict[int, Task] = {}
            for path, content, digest in sorted(rows, key=lambda row: order.get(row[0], 0)):
                if content not in tasks and path in clips:
                    done = self._first_missing(content, network.number)
                    tasks[content] = Task(content, digest, path, clips[path], done)
        return list(tasks.values())

    def _first_missing(self, content: int, network: int) -> int:
        """Return how many windows from the first one on are there; drop what follows a gap."""
        runs = self.file.db.execute(
            "SELECT first_window, run.windows, part, first_row FROM run JOIN part ON part.id = part"
            " WHERE content = ? AND network = ? ORDER BY first_window",
            [content, network],
        ).fetchall()
        done = 0
        for first, windows, part, row in runs:
            if first == done:
                done += windows
            else:
                self.file.db.execute(
                    "DELETE FROM run WHERE part = ? AND first_row = ?", [part, row]
                )
        return done

    def problems(self, dataset: int, network: ArchiveNetwork) -> list[tuple[str, str, bool]]:
        """Return (path, reason, whether it is an error) of recordings that are there."""
        with self.file.reading():
            rows = self.file.db.execute(
                "SELECT path, COALESCE(recording.error, finished.error), warning FROM recording"
                " LEFT JOIN finished ON finished.content = recording.content AND network = ?"
                " WHERE dataset = ? AND NOT is_gone ORDER BY path",
                [network.number, dataset],
            ).fetchall()
        return [(path, error or warning, bool(error)) for path, error, warning in rows
                if error or warning]  # fmt: skip


@dataclass(frozen=True)
class _Known:
    """What an archive knows of a recording."""

    content: int | None
    hash: bytes | None
    size: int | None
    mtime_ns: int | None
    version: str | None
    is_gone: int
    error: str | None

    @property
    def is_former(self) -> bool:
        """Whether the recording has another name now."""
        return self.is_gone == 2


@dataclass(frozen=True)
class _Row:
    """What is written about a recording; ``hash`` is None if it could not be read."""

    item: Listed
    hash: bytes | None
    size: int | None = None
    mtime_ns: int | None = None
    version: str | None = None
    error: str | None = None


def _row(item: Listed, known: _Known | None, changes: Changes) -> _Row:
    """Return the row of a recording; it is hashed only if its size or time is another one."""
    try:
        size, mtime_ns, version = _status(item.clip)
        status = (size, mtime_ns, version)
        is_settled = mtime_ns is not None or version is not None
        before = known and (known.size, known.mtime_ns, known.version)
        if known and known.hash and is_settled and status == before and not known.error:
            digest = known.hash
        else:
            digest = item.clip.source.version
    except (Refusal, AudioError, OSError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        return _Row(item, None, error=f"{reason}.")
    if known is None or known.hash is None:
        changes.new += 1
    elif known.hash != digest:
        changes.changed += 1
    else:
        changes.same += 1
    return _Row(item, digest, *status)


def _status(clip: Clip) -> tuple[int, int | None, str | None]:
    """Return size, time and version; the time of a file that has just changed says nothing."""
    source = clip.source
    if isinstance(source, UriSource):
        remote = source.status
        return remote.size, None, str(remote.version) if remote.version else None
    if not isinstance(source, FileSource):
        return source.size, None, None
    source.size  # refuses what is not a file  # noqa: B018
    status = os.stat(source.path)
    is_settled = time.time_ns() - status.st_mtime_ns >= SETTLED_NS
    return status.st_size, status.st_mtime_ns if is_settled else None, None


def _put(db: sqlite3.Connection, dataset: int, row: _Row) -> None:
    """Write a row; a recording that cannot be read now keeps the content that it had."""
    content = None
    if row.hash is not None:
        db.execute("INSERT OR IGNORE INTO content (hash) VALUES (?)", [row.hash])
        (content,) = db.execute("SELECT id FROM content WHERE hash = ?", [row.hash]).fetchone()
    db.execute(
        "INSERT INTO recording (dataset, path, content, size, mtime_ns, version, error, columns)"
        " VALUES (?, CAST(? AS TEXT), ?, ?, ?, ?, ?, ?) ON CONFLICT (dataset, path) DO UPDATE SET"
        " content = COALESCE(excluded.content, content), size = excluded.size,"
        " mtime_ns = excluded.mtime_ns,"
        " version = excluded.version, error = excluded.error, columns = excluded.columns,"
        " is_gone = 0",
        [dataset, to_bytes(row.item.path), content, row.size, row.mtime_ns, row.version, row.error,
         json_text(dict(row.item.columns), ascii_only=True)],
    )  # fmt: skip
