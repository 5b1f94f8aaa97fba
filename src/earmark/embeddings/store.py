"""The content-addressed store of embeddings: one SQLite file, safe to kill at any moment.

A key is a hash of what the clip's bytes on disk are, which stretch of them, and what decides the
numbers made from them (decoder version, backbone fingerprint). So nothing stale is ever found:
changed audio, weights or code simply miss.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earmark.errors import StoreError
from earmark.system.cache import cache_folder, deleting
from earmark.system.files import not_a_file

SCHEMA = 1
BUSY_S = 120.0  # how long to wait for another process that is writing


@dataclass(frozen=True)
class Record:
    """One stored clip: ``vector`` (E,) float16 or float32, and the clip's length."""

    vector: np.ndarray
    seconds: float


def as_stored(vector: np.ndarray) -> np.ndarray:
    """Round ``vector`` to float16, as the store keeps it; float32 where that would overflow."""
    with np.errstate(over="ignore"):
        half = vector.astype(np.float16)
    return half if np.isfinite(half).all() else vector.astype(np.float32)


def delete_store() -> Path:
    """Delete the store's files and return where it was."""
    path = cache_folder() / "embeddings.sqlite"
    for suffix in ("", "-wal", "-shm"):
        with deleting(path):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    return path


class Store:
    """Embeddings by key. Use as a context manager, from one thread; many processes may share it."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or cache_folder() / "embeddings.sqlite"
        for suffix in ("", "-wal", "-shm", "-journal"):
            file = self.path.with_name(self.path.name + suffix)
            if problem := not_a_file(file):
                raise StoreError(
                    f"the store {file} {problem}; remove it, or name another folder in"
                    " EARMARK_CACHE."
                )
        with self._explained("opened"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)
            self._prepare()

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA:
            raise StoreError(
                f"the store {self.path} was made by a newer earmark (schema {version}, this one"
                f" knows {SCHEMA}); update earmark, or name another folder in EARMARK_CACHE."
            )
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS embedding ("
            " id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, fingerprint TEXT NOT NULL,"
            " seconds REAL NOT NULL, wide INTEGER NOT NULL, vector BLOB NOT NULL)"
        )
        self._db.execute(f"PRAGMA user_version={SCHEMA}")

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Record]:
        """Return the records of those ``keys`` that are stored."""
        records = {}
        with self._explained("read"):
            for key in keys:
                row = self._db.execute(
                    "SELECT seconds, wide, vector FROM embedding WHERE key = ?", (key,)
                ).fetchone()
                if row is not None:
                    seconds, wide, blob = row
                    dtype = np.float32 if wide else np.float16
                    records[key] = Record(np.frombuffer(blob, dtype), seconds)
        return records

    def put(self, fingerprint: str, records: Iterable[tuple[bytes, Record]]) -> None:
        """Add all ``records`` or, if the disk is full or the process dies, none of them."""
        rows = [
            (key, fingerprint, r.seconds, r.vector.dtype == np.float32, r.vector.tobytes())
            for key, r in records
        ]
        with self._explained("written"), self._transaction():
            self._db.executemany(
                "INSERT OR IGNORE INTO embedding (key, fingerprint, seconds, wide, vector)"
                " VALUES (?, ?, ?, ?, ?)",
                rows,
            )

    def summary(self) -> list[tuple[str, int, int]]:
        """Return (fingerprint, number of clips, bytes) for each backbone in the store."""
        with self._explained("read"):
            return self._db.execute(
                "SELECT fingerprint, COUNT(*), SUM(LENGTH(vector)) FROM embedding"
                " GROUP BY fingerprint ORDER BY fingerprint"
            ).fetchall()

    def prune(self, max_bytes: int) -> int:
        """Delete the oldest records until ``max_bytes`` of vectors are left; return how many."""
        with self._explained("written"):
            with self._transaction():
                deleted = self._db.execute(
                    "DELETE FROM embedding WHERE id IN (SELECT id FROM (SELECT id,"
                    " SUM(LENGTH(vector)) OVER (ORDER BY id DESC) AS bytes FROM embedding)"
                    " WHERE bytes > ?)",
                    (max_bytes,),
                ).rowcount
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
        """Turn what SQLite and the file system say into one sentence with the way out."""
        try:
            yield
        except sqlite3.OperationalError as error:
            way_out = (
                "free some space and run the same command again: it goes on from here"
                if "full" in str(error)
                else "check the folder and its permissions, or name another in EARMARK_CACHE"
            )
            raise StoreError(
                f"the store {self.path} cannot be {verb}: {error}; {way_out}."
            ) from error
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"the store {self.path} is damaged: {error}; delete it with"
                " `earmark cache clear`, and embeddings are computed anew."
            ) from error
        except OSError as error:
            raise StoreError(
                f"the store {self.path} cannot be {verb}: {error.strerror}; name another folder"
                " in EARMARK_CACHE."
            ) from error
