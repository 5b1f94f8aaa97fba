"""Files that appear whole or not at all, their hashes, and the paths between them."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from earmark.errors import EarmarkError

BLOCK_BYTES = 1 << 20  # read, hashed or copied at a time

_parts: set[Path] = set()  # files that are being written

_KINDS = {
    stat.S_IFDIR: "folder",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


def not_a_file(path: str | Path) -> str | None:
    """Say what ``path`` is where it cannot be a file: 'is not a file but a pipe', a broken link.

    None for a regular file, and where nothing is there. Ask before opening: a pipe lets its reader
    wait forever, and a device need not end. Links are followed.
    """
    try:
        kind = _KINDS.get(stat.S_IFMT(os.stat(path).st_mode))
    except ValueError as error:
        return f"has a name that no file can have ({error})"
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "is a link that leads back to itself"
        if os.path.islink(path):
            return f"is a link to {os.readlink(path)}, which is not there"
        return None
    return f"is not a file but a {kind}" if kind else None


def open_file(path: Path) -> BinaryIO:
    """Open a regular file to read, unbuffered and without a name; OSError for anything else."""
    # What takes the place of the file in this very moment is not waited for, either.
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    problem = not_a_file(path)
    handle = -1 if problem else os.open(path, flags)
    if problem or not stat.S_ISREG(os.fstat(handle).st_mode):
        if handle >= 0:
            os.close(handle)
        raise OSError(errno.EINVAL, problem or "is not a file")
    return open(handle, "rb", 0)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield an empty file beside ``path`` that takes its place at the end, or else is deleted.

    An old file stays until then. Raises OSError where the folder cannot be written or is full, and
    where a pipe or a device is at ``path``: a file would take its place.
    """
    if not path.is_symlink() and (problem := not_a_file(path)):
        raise OSError(errno.EINVAL, f"it {problem}")
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:32]}.", suffix=".part")
    os.close(handle)
    part = Path(name)
    _parts.add(part)
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.chmod(0o644)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    finally:
        _parts.discard(part)


def delete_parts() -> None:
    """Delete what :func:`whole_file` has begun, before a process ends at once."""
    for part in list(_parts):
        with contextlib.suppress(OSError):
            part.unlink()


def write_whole(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write ``content`` to ``path`` completely or not at all; EarmarkError where it cannot be.

    It may come in pieces, of which one is in memory at a time.
    """
    try:
        with whole_file(path) as part, part.open("wb") as file:
            file.writelines([content] if isinstance(content, bytes) else content)
    except OSError as error:
        raise EarmarkError(
            f"cannot write {path}: {error.strerror}; free some space, or name another place."
        ) from error


def file_sha256(path: Path) -> bytes:
    """Return the SHA-256 of a file, computed once a process unless the file changes.

    Nothing is remembered between processes: hashing the largest file of weights, 289 MB, takes 0.2
    to 1 s, and a record of earlier hashes could go stale. Raises OSError.
    """
    s = path.stat()
    return _sha256(path, (s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns))


@functools.lru_cache(maxsize=1024)
def _sha256(path: Path, _status: tuple[int, ...]) -> bytes:
    digest = hashlib.sha256()
    with open_file(path) as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.digest()


def relative_path(path: Path, folder: Path) -> str:
    """Return ``path`` from ``folder``, with slashes; absolute if on another drive."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:
        return str(path)
