"""Change an archive: its networks and its parts, one transaction each."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from earmark.data.parts import PartSummary, is_whole
from earmark.embeddings.archive import ArchiveNetwork, network_of, summary_of
from earmark.embeddings.archive_file import (
    FILE,
    LOCK,
    ArchiveError,
    ArchiveFile,
    explained,
    open_to_write,
)
from earmark.embeddings.archive_recordings import RecordingList
from earmark.embeddings.window_settings import WindowSettings
from earmark.embeddings.window_vectors import Centre


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

    ``recordings`` is the list of its recordings.

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
            self._file = ArchiveFile(self.path, open_to_write(self.path))
            stack.callback(self._file.db.close)
            self._stack = stack.pop_all()
        self.recordings = RecordingList(self._file)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def network(self, settings: WindowSettings) -> ArchiveNetwork:
        """Return the network with these settings, which is added if necessary."""
        with self._file.changing() as db:
            db.execute("INSERT OR IGNORE INTO network (settings) VALUES (?)", [settings.text])
            row = db.execute(
                "SELECT id, settings, centre, centre_windows FROM network WHERE settings = ?",
                [settings.text],
            ).fetchone()
        return network_of(self.path, *row)

    def others(self, network: ArchiveNetwork) -> list[ArchiveNetwork]:
        """Return the other networks of the archive."""
        with self._file.reading():
            rows = self._file.db.execute(
                "SELECT id, settings, centre, centre_windows FROM network WHERE id != ?",
                [network.number],
            ).fetchall()
        return [network_of(self.path, *row) for row in rows]

    def next_part(self, network: ArchiveNetwork) -> int:
        """Return the number of the next part."""
        with self._file.reading():
            (last,) = self._file.db.execute(
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
        with self._file.changing() as db:
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
        with self._file.changing() as db:
            _finish(db, network, finished)

    def forget_windows(self, network: ArchiveNetwork, content: int) -> None:
        """Forget the windows of a content, which were computed from something else."""
        with self._file.changing() as db:
            db.execute(
                "DELETE FROM run WHERE content = ? AND part IN"
                " (SELECT id FROM part WHERE network = ?)",
                [content, network.number],
            )

    def part_files(self, network: ArchiveNetwork) -> list[tuple[str, int]]:
        """Return the file and the rows of each part."""
        with self._file.reading():
            return self._file.db.execute(
                "SELECT file, rows FROM part WHERE network = ? ORDER BY number", [network.number]
            ).fetchall()

    def drop_damaged(self, network: ArchiveNetwork, is_thorough: bool) -> list[str]:
        """Forget parts that are missing or changed; their recordings are computed again.

        A file whose size and time are as before is hashed only if the check is thorough. Returns
        the paths of the files.
        """
        folder, dropped = self.path / network.folder, list[str]()
        with self._file.reading():
            parts = self._file.db.execute(
                "SELECT id, number, file, sha256, bytes, rows, machine, mtime_ns FROM part"
                " WHERE network = ?",
                [network.number],
            ).fetchall()
        for number, *columns, mtime_ns in parts:
            part = summary_of(*columns)
            path = folder / part.file
            try:
                status = path.stat()
                is_same = (status.st_size, status.st_mtime_ns) == (part.bytes, mtime_ns)
            except OSError:
                is_same = False
            if (is_same and not is_thorough) or is_whole(folder, part):
                continue
            dropped.append(str(path))
            with self._file.changing() as db:
                db.execute(
                    "DELETE FROM finished WHERE network = ? AND content IN"
                    " (SELECT content FROM run WHERE part = ?)",
                    [network.number, number],
                )
                _delete_part(db, number)
        return dropped

    def tidy(self, network: ArchiveNetwork) -> None:
        """Delete parts of which no window is used, and files that a killed run has left."""
        with self._file.changing() as db:
            unused = db.execute(
                "SELECT id FROM part WHERE network = ? AND NOT EXISTS (SELECT 1 FROM run"
                " JOIN recording ON recording.content = run.content"
                " WHERE run.part = part.id AND is_gone < 2)",
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
        with self._file.changing() as db:
            db.execute(
                "UPDATE network SET centre = ?, centre_windows = ? WHERE id = ?",
                [centre.content, centre.windows, network.number],
            )
        return ArchiveNetwork(network.number, network.settings, network.folder, centre)


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
