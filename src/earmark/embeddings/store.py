"""The content-addressed store of embeddings: one SQLite file, safe to kill at any moment.

A key is a hash of the recording's bytes, the clip's stretch of it, and all that decides its
embedding (decoder version, options, backbone fingerprint). So nothing stale is ever used: changed
audio, weights or code have another key.

Every row has a digest. A row that does not match its digest, or has an impossible length, type or
value, counts as missing: one warning counts these rows, and they are computed again. Rows of
earmark 0.1 have no digest; they get one when they are first read. A second table has the results
of comparisons of two clips, and a third the versions of recordings elsewhere; a damaged row in
these is ignored without a warning.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
import time
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from earmark.embeddings import objects
from earmark.embeddings.hashes import KnownVersions
from earmark.errors import EarmarkWarning, StoreDamageError, StoreError, amount
from earmark.system.cache import cache_folder, deleting
from earmark.system.files import not_a_file

SCHEMA = 2  # since 2, each row has a digest
BUSY_S = 120.0  # seconds to wait for another process that is writing
SWITCH_S = 0.01  # seconds between two tries while another process opens the same new store
AT_ONCE = 128  # rows per SELECT: 1 MB, which stays in the processor's caches
UNSIGNED = 500  # rows of earmark 0.1, or about recordings elsewhere, that are written together

FLOAT16, FLOAT32 = np.dtype(np.float16), np.dtype(np.float32)


@dataclass(frozen=True)
class Record:
    """One stored clip: ``vector`` (E,) float16 or float32, and the clip's length in seconds."""

    vector: np.ndarray
    seconds: float


def as_stored(vector: np.ndarray) -> np.ndarray:
    """Round ``vector`` to float16, as in the store; to float32 if float16 would overflow."""
    with np.errstate(over="ignore"):
        half = vector.astype(np.float16)
    return half if np.isfinite(half).all() else vector.astype(np.float32)


def delete_store() -> Path:
    """Delete the store's files and return the store's path."""
    path = cache_folder() / "embeddings.sqlite"
    for suffix in ("", "-wal", "-shm"):
        with deleting(path):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    return path


def digest_of(key: bytes, fingerprint: str, seconds: float, wide: bool, vector: bytes) -> int:
    """Return a CRC-32 over a whole row: it detects every flipped bit, at 4 GB per second."""
    head = f"{key.hex()} {fingerprint} {seconds.hex()} {'float32' if wide else 'float16'} "
    return zlib.crc32(vector, zlib.crc32(head.encode()))


def _digest_compared(pair: bytes, shared_s: float) -> int:
    return zlib.crc32(pair + float(shared_s).hex().encode())


def is_finite(vector: np.ndarray) -> bool:
    """Say whether all numbers of a float16 or float32 vector are finite."""
    if vector.dtype == np.float16:  # ten times as fast as isfinite
        return bool(((vector.view(np.uint16) & 0x7C00) != 0x7C00).all())
    return bool(np.isfinite(vector).all())


class Store:
    """Embeddings on disk, by key, so that no clip is computed twice.

    Use it as a context manager, from one thread. Several processes may share one file.

    Parameters
    ----------
    path : str or Path, optional
        The SQLite file, created if necessary; by default ``embeddings.sqlite`` in the cache folder.

    Attributes
    ----------
    path : Path
        The SQLite file.
    damaged : set of bytes
        Keys of requested rows that do not match their digests. Closing the store warns about them,
        and :meth:`put` replaces them.
    is_damaged : bool
        Whether the file as a whole is damaged.
    recordings : KnownVersions
        Versions of the recordings whose rows were requested.

    Raises
    ------
    StoreError
        The file cannot be opened or is from a newer earmark; StoreDamageError if it is damaged.

    Examples
    --------
    >>> import earmark
    >>> with earmark.Store() as store:
    ...     first = earmark.embed("recordings", "logmel", store)
    ...     again = earmark.embed("recordings", "logmel", store)
    >>> again.computed
    0
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = Path(path) if path else cache_folder() / "embeddings.sqlite"
        for suffix in ("", "-wal", "-shm", "-journal"):
            file = self.path.with_name(self.path.name + suffix)
            if problem := not_a_file(file):
                raise StoreError(
                    f"the store {file} {problem}. Remove it, or name another folder in"
                    " EARMARK_CACHE."
                )
        self.damaged: set[bytes] = set()
        self.is_damaged = False
        self.recordings = KnownVersions(objects.KnownObjects(self.path))
        self._unsigned: list[tuple[int, bytes]] = []  # digests of rows of 0.1, by key
        with self._explained("opened"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)
            self._db.text_factory = lambda text: text.decode("utf-8", "replace")
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def _prepare(self) -> None:
        self._use_log()
        self._db.execute("PRAGMA synchronous=NORMAL")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA:
            raise StoreError(
                f"the store {self.path} was made by a newer earmark (schema {version}; this"
                f" earmark reads {SCHEMA}). Update earmark, or name another folder in"
                " EARMARK_CACHE."
            )
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS embedding ("
            " id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, fingerprint TEXT NOT NULL,"
            " seconds REAL NOT NULL, wide INTEGER NOT NULL, vector BLOB NOT NULL, digest INTEGER)"
        )
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS compared (pair BLOB PRIMARY KEY, shared_s REAL NOT NULL,"
            " digest INTEGER NOT NULL) WITHOUT ROWID"
        )
        self._db.execute(objects.TABLE)
        if version != SCHEMA:
            self._migrate()

    def _use_log(self) -> None:
        """Switch to a write-ahead log; for this alone SQLite does not wait for other processes."""
        deadline = time.monotonic() + BUSY_S
        while True:
            try:
                self._db.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(SWITCH_S)

    def _migrate(self) -> None:
        """Add the column of digests to a store of earmark 0.1, without copying rows."""
        with self._transaction():  # another process may have done it already
            columns = [row[1] for row in self._db.execute("PRAGMA table_info(embedding)")]
            if "digest" not in columns:
                self._db.execute("ALTER TABLE embedding ADD COLUMN digest INTEGER")
            self._db.execute(f"PRAGMA user_version={SCHEMA}")

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the store and warn about damaged rows."""
        with contextlib.suppress(StoreError):  # these rows can be written another time
            self._sign()
            self._keep_objects()
        self.recordings.objects.close()
        self._db.close()
        if self.damaged:
            rows = amount(len(self.damaged), "embedding")
            them = "it was" if len(self.damaged) == 1 else "they were"
            warnings.warn(
                f"{rows} in the store {self.path} had changed since it was written; {them} not"
                " used. Check the disk if this happens again.",
                EarmarkWarning,
                stacklevel=2,
            )
            self.damaged = set()

    def get(self, keys: Sequence[bytes], width: int | None = None) -> dict[bytes, Record]:
        """Return the records of those ``keys`` that are stored, intact and ``width`` numbers long.

        ``width`` None accepts any length. Raises StoreError if the file cannot be read, and
        StoreDamageError if it is damaged.
        """
        records = {}
        with self._explained("read"):
            select = "SELECT key, fingerprint, seconds, wide, vector, digest FROM embedding"
            for row in self._rows(f"{select} WHERE key", keys):
                record = self._checked(width, *row)
                if record is None:
                    self.damaged.add(row[0])
                else:
                    records[row[0]] = record
        if len(self._unsigned) >= UNSIGNED:
            self._sign()
        if len(self.recordings.objects) >= UNSIGNED:
            self._keep_objects()
        return records

    def _rows(self, select: str, keys: Sequence[bytes]) -> Iterator[tuple[Any, ...]]:
        """Yield the selected rows with one of ``keys`` in the column that ends the statement."""
        for first in range(0, len(keys), AT_ONCE):
            several = keys[first : first + AT_ONCE]
            yield from self._db.execute(f"{select} IN ({','.join('?' * len(several))})", several)

    def _checked(self, width: int | None, *row: Any) -> Record | None:
        """Return a row as a record, or None if it differs from the row that was written.

        A row that matches its digest is finite, because :meth:`put` writes only finite rows.
        """
        key, fingerprint, seconds, wide, blob, digest = row
        types = (type(fingerprint), type(seconds), type(blob))
        if types != (str, float, bytes) or wide not in (0, 1) or not 0 <= seconds < math.inf:
            return None
        dtype = FLOAT32 if wide else FLOAT16
        numbers, rest = divmod(len(blob), dtype.itemsize)
        if rest or width not in (None, numbers):
            return None
        expected = digest_of(key, fingerprint, seconds, wide, blob)
        record = Record(np.frombuffer(blob, dtype), seconds)
        if digest == expected:
            return record
        if digest is not None or not is_finite(record.vector):
            return None
        self._unsigned.append((expected, key))
        return record

    def _sign(self) -> None:
        """Write the digests of the rows of earmark 0.1 that were read."""
        rows, self._unsigned = self._unsigned, []
        if rows:
            with self._explained("written"), self._transaction():
                self._db.executemany(
                    "UPDATE embedding SET digest = ? WHERE key = ? AND digest IS NULL", rows
                )

    def _keep_objects(self) -> None:
        """Write the versions of recordings elsewhere that were read."""
        if rows := self.recordings.objects.take():
            with self._explained("written"), self._transaction():
                self._db.executemany(objects.INSERT, rows)

    def put(self, fingerprint: str, records: Iterable[tuple[bytes, Record]]) -> None:
        """Add all ``records`` or, if the disk is full or the process dies, none of them.

        A record with NaN or infinity is left out.
        """
        rows: dict[bool, list[tuple[Any, ...]]] = {False: [], True: []}
        for key, r in records:
            if is_finite(r.vector):
                wide, vector = r.vector.dtype == np.float32, r.vector.tobytes()
                seconds = float(r.seconds)
                digest = digest_of(key, fingerprint, seconds, wide, vector)
                row = (key, fingerprint, seconds, wide, vector, digest)
                rows[key in self.damaged].append(row)
        with self._explained("written"), self._transaction():
            for is_damaged, several in rows.items():
                self._db.executemany(
                    f"INSERT OR {'REPLACE' if is_damaged else 'IGNORE'} INTO embedding"
                    " (key, fingerprint, seconds, wide, vector, digest) VALUES (?, ?, ?, ?, ?, ?)",
                    several,
                )

    def get_compared(self, pairs: Sequence[bytes]) -> dict[bytes, float]:
        """Return the seconds of audio that the clips of each pair share, where it is stored."""
        select = "SELECT pair, shared_s, digest FROM compared WHERE pair"
        with self._explained("read"):
            return {
                pair: shared_s
                for pair, shared_s, digest in self._rows(select, pairs)
                if type(shared_s) is float and digest == _digest_compared(pair, shared_s)
            }

    def put_compared(self, shared_s: Mapping[bytes, float]) -> None:
        """Save the seconds of audio that the clips of each pair share."""
        rows = [(pair, float(s), _digest_compared(pair, s)) for pair, s in shared_s.items()]
        with self._explained("written"), self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO compared VALUES (?, ?, ?)", rows)

    def summary(self) -> list[tuple[str, int, int]]:
        """Return (fingerprint, number of clips, bytes) for each backbone in the store."""
        with self._explained("read"):
            return self._db.execute(
                "SELECT fingerprint, COUNT(*), SUM(LENGTH(vector)) FROM embedding"
                " GROUP BY fingerprint ORDER BY fingerprint"
            ).fetchall()

    def prune(self, max_bytes: int) -> int:
        """Delete the oldest records until ``max_bytes`` of vectors are left; return their number.

        All comparisons of clips and the versions of recordings elsewhere are deleted too.
        """
        with self._explained("written"):
            with self._transaction():
                deleted = self._db.execute(
                    "DELETE FROM embedding WHERE id IN (SELECT id FROM (SELECT id,"
                    " SUM(LENGTH(vector)) OVER (ORDER BY id DESC) AS bytes FROM embedding)"
                    " WHERE bytes > ?)",
                    (max_bytes,),
                ).rowcount
                self._db.execute("DELETE FROM compared")
                self._db.execute("DELETE FROM object")
            self._db.execute("VACUUM")
        return deleted

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _explained(self, verb: str) -> Iterator[None]:
        """Turn errors of SQLite and the file system into a sentence that says what to do."""
        try:
            yield
        except sqlite3.ProgrammingError as error:  # it is closed, or used by another thread
            raise StoreError(
                f"the store {self.path} cannot be {verb}: {error} Use it while it is open, in the"
                " thread that opened it."
            ) from error
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # Unicode: of a message
            if not isinstance(error, sqlite3.OperationalError) or _is_damage(error):
                self.is_damaged = True
                raise StoreDamageError(
                    f"the store {self.path} is damaged: {error}. Delete it with"
                    " `earmark cache clear`, and embeddings are computed again."
                ) from error
            way_out = (
                "Free some space and run the same command again, which continues from here"
                if "full" in str(error)
                else "Check the folder and its permissions, or name another folder in EARMARK_CACHE"
            )
            raise StoreError(
                f"the store {self.path} cannot be {verb}: {error}. {way_out}."
            ) from error
        except OSError as error:
            raise StoreError(
                f"the store {self.path} cannot be {verb}: {error.strerror}. Name another folder"
                " in EARMARK_CACHE."
            ) from error


def _is_damage(error: sqlite3.OperationalError) -> bool:
    """Say whether the schema is damaged, such as by a missing table or column."""
    signs = ("malformed", "no such", "has no column", "syntax", "unsupported")
    return any(sign in str(error) for sign in signs)
