"""The SQLite file of an archive: its tables, and how it is opened, read and changed.

A *content* is what a recording holds, known by its hash, so recordings that were renamed or copied
share their windows. A *run* is consecutive windows of a content in consecutive rows of a part.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from earmark.errors import EarmarkError
from earmark.system.files import not_a_file

FILE, LOCK = "archive.sqlite", ".lock"  # ``data.dataset`` knows the first name, too
APPLICATION = 0x6561726D  # of an SQLite file that is an archive: "earm"
SCHEMA = 1
BUSY_S = 60.0  # seconds to wait for another process
SWITCH_S = 0.01  # between two tries to switch to a write-ahead log, for which SQLite does not wait
# recording.is_gone: 1 means that the content is nowhere now, 2 that another recording has it
TABLES = """
CREATE TABLE dataset (
    id INTEGER PRIMARY KEY, source TEXT NOT NULL UNIQUE, folder TEXT NOT NULL, name TEXT NOT NULL
);
CREATE TABLE content (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, seconds REAL);
CREATE TABLE recording (
    id INTEGER PRIMARY KEY,
    dataset INTEGER NOT NULL REFERENCES dataset,
    path TEXT NOT NULL,
    content INTEGER REFERENCES content,
    size INTEGER, mtime_ns INTEGER, version TEXT,
    is_gone INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    columns TEXT NOT NULL DEFAULT '{}',
    UNIQUE (dataset, path)
);
CREATE INDEX recording_content ON recording (content);
CREATE TABLE network (
    id INTEGER PRIMARY KEY,
    settings TEXT NOT NULL UNIQUE,
    centre BLOB, centre_windows INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE finished (
    content INTEGER NOT NULL REFERENCES content,
    network INTEGER NOT NULL REFERENCES network,
    windows INTEGER NOT NULL, error TEXT, warning TEXT,
    PRIMARY KEY (content, network)
) WITHOUT ROWID;
CREATE TABLE part (
    id INTEGER PRIMARY KEY,
    network INTEGER NOT NULL REFERENCES network,
    number INTEGER NOT NULL,
    file TEXT NOT NULL, sha256 TEXT NOT NULL, bytes INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    rows INTEGER NOT NULL, is_wide INTEGER NOT NULL, machine TEXT NOT NULL,
    UNIQUE (network, number)
);
CREATE TABLE run (
    part INTEGER NOT NULL REFERENCES part,
    first_row INTEGER NOT NULL,
    content INTEGER NOT NULL REFERENCES content,
    first_window INTEGER NOT NULL,
    windows INTEGER NOT NULL,
    PRIMARY KEY (part, first_row)
) WITHOUT ROWID;
CREATE INDEX run_content ON run (content);
"""


class ArchiveError(EarmarkError):
    """An archive that cannot be opened, read or written."""


def is_archive(folder: str | Path) -> bool:
    """Return whether a folder is an archive."""
    return (Path(folder) / FILE).is_file()


def check_archive(folder: Path) -> None:
    """Refuse a folder that is no archive."""
    if not is_archive(folder):
        raise ArchiveError(f"{folder} is not an archive. Give a folder that `earmark index` wrote.")


def open_to_read(folder: Path) -> sqlite3.Connection:
    """Open the file of an archive for reading, also on a read-only place. Raises ArchiveError."""
    path = _checked(folder)
    check_archive(folder)
    with explained(folder, "read"):
        try:
            return _connected(path, "mode=ro")
        except sqlite3.OperationalError as error:
            # Reading beside a writer needs a small file for both, which this place refuses.
            if not any(word in str(error) for word in ("unable to open", "readonly", "read-only")):
                raise
            return _connected(path, "mode=ro&immutable=1")


def open_to_write(folder: Path) -> sqlite3.Connection:
    """Open or create the file of an archive for changes. Raises ArchiveError."""
    path = _checked(folder)
    with explained(folder, "written"):
        db = _connected(path, "mode=rwc")
        try:
            _use_log(db)
            db.execute("PRAGMA synchronous=FULL")
            if not db.execute("PRAGMA application_id").fetchone()[0]:
                with transaction(db):
                    db.execute(f"PRAGMA application_id={APPLICATION}")
                    db.execute(f"PRAGMA user_version={SCHEMA}")
                    for statement in filter(str.strip, TABLES.split(";")):
                        db.execute(statement)
        except BaseException:
            db.close()
            raise
    return db


def _checked(folder: Path) -> Path:
    path = folder / FILE
    for suffix in ("", "-wal", "-shm"):
        file = path.with_name(path.name + suffix)
        if problem := not_a_file(file):
            raise ArchiveError(f"{file} {problem}. Remove it, or name another archive.")
    return path


def _connected(path: Path, how: str) -> sqlite3.Connection:
    uri = f"file:{urllib.parse.quote(str(path.absolute()))}?{how}"
    db = sqlite3.connect(uri, timeout=BUSY_S, isolation_level=None, uri=True)
    try:
        db.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
        (kind,), (version,) = (
            db.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version")
        )
        is_new = not kind and not db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
        if kind != APPLICATION and not (is_new and "rwc" in how):
            raise ArchiveError(
                f"{path} was not written by earmark. Name another archive, or remove it."
            )
        if version > SCHEMA:
            raise ArchiveError(
                f"the archive {path.parent} was made by a newer earmark (schema {version}; this"
                f" earmark reads {SCHEMA}). Update earmark."
            )
    except BaseException:
        db.close()
        raise
    return db


def _use_log(db: sqlite3.Connection) -> None:
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            db.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(SWITCH_S)


@dataclass(frozen=True)
class ArchiveFile:
    """The open file of the archive in ``folder``, for the process that writes it."""

    folder: Path
    db: sqlite3.Connection

    @contextlib.contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """Make all changes of a block, or none. Raises ArchiveError."""
        with explained(self.folder, "written"), transaction(self.db):
            yield self.db

    def reading(self) -> contextlib.AbstractContextManager[None]:
        """Explain errors of a block that reads."""
        return explained(self.folder, "read")


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Make all changes of a block, or none."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def snapshot(db: sqlite3.Connection) -> Iterator[None]:
    """Read one state of the archive in a block, whatever is written meanwhile."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        db.execute("ROLLBACK")


@contextlib.contextmanager
def explained(folder: Path, verb: str) -> Iterator[None]:
    """Turn errors of SQLite and the file system into a sentence that says what to do."""
    try:
        yield
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        text = str(error)
        if "full" in text:
            way_out = "Free some space and run the same command again, which continues from here"
        elif isinstance(error, sqlite3.OperationalError) and "no such" not in text:
            way_out = "Check the folder and its permissions, or name another archive"
        else:
            way_out = f"{FILE} is damaged. Restore it, or index into another folder"
        raise ArchiveError(f"the archive {folder} cannot be {verb}: {text}. {way_out}.") from error
    except OSError as error:
        raise ArchiveError(
            f"the archive {folder} cannot be {verb}: {error.strerror}. Check the folder and its"
            " permissions, or name another archive."
        ) from error
