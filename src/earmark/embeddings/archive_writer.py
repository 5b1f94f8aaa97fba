"""Change an archive: its recordings, its networks and its parts, one transaction each."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from earmark.audio.decoder import Refusal
from earmark.audio.source import FileSource
from earmark.audio.uri import UriSource
from earmark.data.clip import Clip
from earmark.data.parts import PartSummary, is_whole
from earmark.embeddings.archive import ArchiveNetwork, network_of
from earmark.embeddings.archive_file import (
    FILE,
    LOCK,
    ArchiveError,
    explained,
    open_to_write,
    transaction,
)
from earmark.embeddings.hashes import SETTLED_NS
from earmark.embeddings.window_settings import WindowSettings
from earmark.embeddings.window_vectors import Centre
from earmark.errors import AudioError
from earmark.system.jsons import json_text
from earmark.system.text import to_bytes

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


@dataclass(frozen=True)
class Run:
    """Consecutive windows of a content in consecutive rows of a part."""

    first_row: int
    content: int
    first_window: int
    windows: int


@dataclass(frozen=True)
class Finished:
    """A content of which all windows are known, or that could not be read."""

    content: int
    windows: int
    seconds: float | None
    error: str | None = None
    warning: str | None = None


class ArchiveWriter:
    """The one process that changes an archive. Use it as a context manager.

    Raises ArchiveError if another process changes it, or if it cannot be written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(os.path.abspath(folder))

    def __enter__(self) -> ArchiveWriter:
        with contextlib.ExitStack() as stack, explained(self.path, "written"):
            self.path.mkdir(parents=True, exist_ok=True)
            names = [name for name in os.listdir(self.path) if not name.startswith(".")]
            if FILE not in names and names:
                raise ArchiveError(
                    f"{self.path} has files but no {FILE}, so it is no archive. Name an empty"
                    " folder or a new one."
                )
            try:
                stack.enter_context(FileLock(self.path / LOCK).acquire(timeout=0))
            except Timeout:
                raise ArchiveError(
                    f"another `earmark index` is writing the archive {self.path}. Wait for it to"
                    " end."
                ) from None
            self._db = open_to_write(self.path)
            stack.callback(self._db.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with explained(self.path, "written"), transaction(self._db):
            yield self._db

    def network(self, settings: WindowSettings) -> ArchiveNetwork:
        """Return the network with these settings, which is added if necessary."""
        with self._changing() as db:
            db.execute("INSERT OR IGNORE INTO network (settings) VALUES (?)", [settings.text])
            row = db.execute(
                "SELECT id, settings, centre, centre_windows FROM network WHERE settings = ?",
                [settings.text],
            ).fetchone()
        return network_of(self.path, *row)

    def others(self, network: ArchiveNetwork) -> list[ArchiveNetwork]:
        """Return the other networks of the archive."""
        with explained(self.path, "read"):
            rows = self._db.execute(
                "SELECT id, settings, centre, centre_windows FROM network WHERE id != ?",
                [network.number],
            ).fetchall()
        return [network_of(self.path, *row) for row in rows]

    # Recordings

    def dataset(self, source: str, folder: str, name: str) -> int:
        """Return the number of the data set of a folder or manifest, which is added if necessary.

        Its paths start from ``folder``.
        """
        with self._changing() as db:
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

    def list_recordings(self, dataset: int, listed: Sequence[Listed]) -> Changes:
        """Note which recordings a data set has now; only new and changed ones are hashed."""
        changes, hashes = Changes(), set[bytes]()
        known = self._known(dataset)
        for first in range(0, len(listed), HASHED_AT_ONCE):
            rows = [
                _row(item, known.get(item.path), changes)
                for item in listed[first : first + HASHED_AT_ONCE]
            ]
            hashes |= {row.hash for row in rows if row.hash and row.item.path not in known}
            with self._changing() as db:
                for row in rows:
                    _put(db, dataset, row)
        self._note_gone(dataset, known, {item.path for item in listed}, hashes, changes)
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
        """Note recordings that are not among ``paths``; forget those that have another name."""
        with self._changing() as db:
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
                has_windows = copy is None and row.content is not None
                forget = (
                    "UPDATE recording SET is_gone = 1" if has_windows else "DELETE FROM recording"
                )
                db.execute(
                    f"{forget} WHERE dataset = ? AND path = CAST(? AS TEXT)", [dataset, name]
                )

    def _known(self, dataset: int) -> dict[str, _Known]:
        with explained(self.path, "read"):
            rows = self._db.execute(
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
        with explained(self.path, "read"):
            rows = self._db.execute(
                "SELECT recording.path, content.id, content.hash FROM recording"
                " JOIN content ON content.id = recording.content"
                " WHERE dataset = ? AND NOT is_gone AND NOT EXISTS (SELECT 1 FROM finished"
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
        runs = self._db.execute(
            "SELECT first_window, run.windows, part, first_row FROM run JOIN part ON part.id = part"
            " WHERE content = ? AND network = ? ORDER BY first_window",
            [content, network],
        ).fetchall()
        done = 0
        for first, windows, part, row in runs:
            if first == done:
                done += windows
            else:
                self._db.execute("DELETE FROM run WHERE part = ? AND first_row = ?", [part, row])
        return done

    def problems(self, dataset: int, network: ArchiveNetwork) -> list[tuple[str, str, bool]]:
        """Return (path, reason, whether it is an error) of recordings that are there."""
        with explained(self.path, "read"):
            rows = self._db.execute(
                "SELECT path, COALESCE(recording.error, finished.error), warning FROM recording"
                " LEFT JOIN finished ON finished.content = recording.content AND network = ?"
                " WHERE dataset = ? AND NOT is_gone ORDER BY path",
                [network.number, dataset],
            ).fetchall()
        return [(path, error or warning, bool(error)) for path, error, warning in rows
                if error or warning]  # fmt: skip

    # Parts

    def next_part(self, network: ArchiveNetwork) -> int:
        """Return the number of the next part."""
        with explained(self.path, "read"):
            (last,) = self._db.execute(
                "SELECT MAX(number) FROM part WHERE network = ?", [network.number]
            ).fetchone()
        return 0 if last is None else last + 1

    def add_part(
        self,
        network: ArchiveNetwork,
        part: PartSummary,
        is_wide: bool,
        runs: Sequence[Run],
        finished: Sequence[Finished],
    ) -> None:
        """Note a part whose file is in place, and the contents that it finishes."""
        status = (self.path / network.folder / part.file).stat()
        with self._changing() as db:
            row = [network.number, part.part, part.file, part.sha256, part.bytes]
            row += [status.st_mtime_ns, part.clips, is_wide, part.machine]
            number = db.execute(
                "INSERT INTO part (network, number, file, sha256, bytes, mtime_ns, rows, is_wide,"
                " machine) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            ).lastrowid
            db.executemany(
                "INSERT INTO run VALUES (?, ?, ?, ?, ?)",
                [(number, r.first_row, r.content, r.first_window, r.windows) for r in runs],
            )
            _finish(db, network, finished)

    def add_finished(self, network: ArchiveNetwork, finished: Sequence[Finished]) -> None:
        """Note contents that have no window in a new part."""
        with self._changing() as db:
            _finish(db, network, finished)

    def part_files(self, network: ArchiveNetwork) -> list[tuple[str, int]]:
        """Return the file and the rows of each part."""
        with explained(self.path, "read"):
            return self._db.execute(
                "SELECT file, rows FROM part WHERE network = ? ORDER BY number", [network.number]
            ).fetchall()

    def drop_damaged(self, network: ArchiveNetwork, is_thorough: bool) -> list[str]:
        """Forget parts that are missing or changed; their recordings are computed again.

        A file whose size and time are as before is hashed only if the check is thorough. Returns
        the paths of the files.
        """
        folder, dropped = self.path / network.folder, list[str]()
        with explained(self.path, "read"):
            parts = self._db.execute(
                "SELECT id, file, sha256, bytes, mtime_ns FROM part WHERE network = ?",
                [network.number],
            ).fetchall()
        for number, file, sha256, size, mtime_ns in parts:
            path = folder / file
            try:
                status = path.stat()
                is_same = (status.st_size, status.st_mtime_ns) == (size, mtime_ns)
            except OSError:
                is_same = False
            if (is_same and not is_thorough) or is_whole(path, sha256):
                continue
            dropped.append(str(path))
            with self._changing() as db:
                db.execute(
                    "DELETE FROM finished WHERE network = ? AND content IN"
                    " (SELECT content FROM run WHERE part = ?)",
                    [network.number, number],
                )
                _delete_part(db, number)
        return dropped

    def tidy(self, network: ArchiveNetwork) -> None:
        """Delete parts of which no window is used, and files that a killed run has left."""
        with self._changing() as db:
            unused = db.execute(
                "SELECT id FROM part WHERE network = ? AND NOT EXISTS (SELECT 1 FROM run"
                " JOIN recording ON recording.content = run.content WHERE run.part = part.id)",
                [network.number],
            ).fetchall()
            for (number,) in unused:
                db.execute(
                    "DELETE FROM finished WHERE network = ? AND content IN"
                    " (SELECT content FROM run WHERE part = ?)",
                    [network.number, number],
                )
                _delete_part(db, number)
        folder = self.path / network.folder
        own = {file for file, _ in self.part_files(network)}
        for pattern in ("part-*.parquet", ".part-*.part", "vectors/.part-*.part"):
            for path in folder.glob(pattern):
                if path.name not in own:
                    path.unlink(missing_ok=True)

    def set_centre(self, network: ArchiveNetwork, centre: Centre) -> ArchiveNetwork:
        """Keep the centre of a network's vectors."""
        with self._changing() as db:
            db.execute(
                "UPDATE network SET centre = ?, centre_windows = ? WHERE id = ?",
                [centre.content, centre.windows, network.number],
            )
        return ArchiveNetwork(network.number, network.settings, network.folder, centre)


@dataclass(frozen=True)
class _Known:
    """What an archive knows of a recording."""

    content: int | None
    hash: bytes | None
    size: int | None
    mtime_ns: int | None
    version: str | None
    is_gone: bool
    error: str | None


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
    content = None
    if row.hash is not None:
        db.execute("INSERT OR IGNORE INTO content (hash) VALUES (?)", [row.hash])
        (content,) = db.execute("SELECT id FROM content WHERE hash = ?", [row.hash]).fetchone()
    db.execute(
        "INSERT INTO recording (dataset, path, content, size, mtime_ns, version, error, columns)"
        " VALUES (?, CAST(? AS TEXT), ?, ?, ?, ?, ?, ?) ON CONFLICT (dataset, path) DO UPDATE SET"
        " content = excluded.content, size = excluded.size, mtime_ns = excluded.mtime_ns,"
        " version = excluded.version, error = excluded.error, columns = excluded.columns,"
        " is_gone = 0",
        [dataset, to_bytes(row.item.path), content, row.size, row.mtime_ns, row.version, row.error,
         json_text(dict(row.item.columns), ascii_only=True)],
    )  # fmt: skip


def _finish(db: sqlite3.Connection, network: ArchiveNetwork, finished: Sequence[Finished]) -> None:
    db.executemany(
        "INSERT OR REPLACE INTO finished VALUES (?, ?, ?, ?, ?)",
        [(f.content, network.number, f.windows, f.error, f.warning) for f in finished],
    )
    db.executemany(
        "UPDATE content SET seconds = ? WHERE id = ? AND ? IS NOT NULL",
        [(f.seconds, f.content, f.seconds) for f in finished],
    )


def _delete_part(db: sqlite3.Connection, number: int) -> None:
    db.execute("DELETE FROM run WHERE part = ?", [number])
    db.execute("DELETE FROM part WHERE id = ?", [number])
