"""Hash recordings and embeddings: each recording once, and all hashes in little memory."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np

from earmark.audio.source import FileSource, Source
from earmark.audio.uri import UriSource
from earmark.embeddings.objects import KnownObjects, RecordingVersion
from earmark.system.objects import ObjectStatus

STATUS_BYTES, SOUND_BYTES, KEY_BYTES, CONTENT_BYTES = 16, 16, 16, 32
NEGATIVE_ZERO = 0x8000  # of float16
SETTLED_NS = 2_000_000_000  # a change within one clock step keeps a file's time; FAT's step is 2 s


class KnownVersions:
    """The versions of recordings, remembered as long as the recordings do not change.

    Path, device, inode, size and times of the last changes show a change of a file. A file that
    changed within the last two seconds is not remembered. Each takes 140 bytes. ``objects`` has
    the versions of recordings that lie elsewhere. Several threads may use this.
    """

    def __init__(self, objects: KnownObjects | None = None) -> None:
        self._known: dict[str, bytes] = {}
        self.objects = KnownObjects() if objects is None else objects

    def get(self, source: Source) -> RecordingVersion | None:
        """Return the remembered version of a recording that has not changed. Raises Refusal."""
        if isinstance(source, UriSource):
            return self.objects.get(source)
        known = self._known.get(str(source.path)) if isinstance(source, FileSource) else None
        if known is None or known[:STATUS_BYTES] != status_of(source):
            return None
        return RecordingVersion(known[STATUS_BYTES + 1 :], known[STATUS_BYTES])

    def add(self, source: Source, status: bytes | ObjectStatus, version: RecordingVersion) -> None:
        """Remember a recording; ``status`` must be from before its bytes were read."""
        if isinstance(status, ObjectStatus):
            assert isinstance(source, UriSource)
            self.objects.add(source.uri, status, version)
        elif status and isinstance(source, FileSource):
            known = status + bytes([version.decoder]) + version.content
            self._known[str(source.path)] = known


def status_of(source: Source) -> bytes:
    """Return 16 bytes that differ after a file has changed; empty if that cannot be known."""
    if not isinstance(source, FileSource):
        return b""
    try:
        s = os.stat(source.path)
    except (OSError, ValueError):
        return b""
    if time.time_ns() - s.st_mtime_ns < SETTLED_NS:
        return b""
    text = f"{s.st_dev} {s.st_ino} {s.st_size} {s.st_mtime_ns} {s.st_ctime_ns}"
    return hashlib.blake2b(text.encode(), digest_size=STATUS_BYTES).digest()


def sound_of(row: np.ndarray) -> bytes:
    """Return a hash of a row (E,) that equal float16 and float32 rows share; -0.0 equals 0.0."""
    if row.dtype != np.float16:
        with np.errstate(over="ignore"):
            half = row.astype(np.float16)
        row = half if np.array_equal(half, row) else row + np.float32(0)
    if row.dtype == np.float16 and (row.view(np.uint16) == NEGATIVE_ZERO).any():
        row = row + np.float16(0)
    return hashlib.sha256(row.tobytes()).digest()[:SOUND_BYTES]


def number_equal(values: np.ndarray) -> np.ndarray:
    """Return (N,) int64: a number for each distinct value, in order of appearance."""
    _, first, group = np.unique(values, return_index=True, return_inverse=True)
    number = np.empty(len(first), np.int64)
    number[np.argsort(first)] = np.arange(len(first))
    return number[group]


class Hashes(Sequence[bytes]):
    """Hashes of equal length that take no more memory than their bytes."""

    def __init__(self, hashes: bytes | bytearray, length: int) -> None:
        """Take N hashes of ``length`` bytes each, concatenated."""
        self._hashes = np.frombuffer(hashes, f"V{length}")

    def only(self, rows: slice | np.ndarray) -> Hashes:
        """Return the hashes at ``rows``: a slice, numbers or a mask."""
        length = self._hashes.itemsize
        return Hashes(self._hashes[rows].tobytes(), length)

    def __len__(self) -> int:
        return len(self._hashes)

    @overload
    def __getitem__(self, row: int) -> bytes: ...
    @overload
    def __getitem__(self, row: slice) -> Hashes: ...
    def __getitem__(self, row: int | slice) -> bytes | Hashes:
        return self.only(row) if isinstance(row, slice) else bytes(self._hashes[row])

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._hashes.tolist())
