"""Files that appear whole or not at all, their hashes, and the paths between them."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from earmark.errors import EarmarkError

BLOCK_BYTES = 1 << 20  # read, hashed or copied at a time


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield an empty file beside ``path`` that takes its place at the end, or else is deleted.

    An old file stays until then. Raises OSError where the folder cannot be written or is full.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:32]}.", suffix=".part")
    os.close(handle)
    part = Path(name)
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.chmod(0o644)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` completely or not at all; EarmarkError where it cannot be."""
    try:
        with whole_file(path) as part:
            part.write_bytes(content)
    except OSError as error:
        raise EarmarkError(
            f"cannot write {path}: {error.strerror}; free some space, or name another place."
        ) from error


def file_sha256(path: Path) -> bytes:
    """Return the SHA-256 of a file, computed once a process unless the file changes.

    Nothing is remembered between processes: hashing the largest file of weights, 289 MB, takes 0.2
    to 1 s, and a record of earlier hashes could go stale. Raises OSError.
    """
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=1024)
def _sha256(path: Path, _size: int, _mtime_ns: int) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.digest()


def relative_path(path: Path, folder: Path) -> str:
    """Return ``path`` from ``folder``, with slashes; absolute if on another drive."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:
        return str(path)
