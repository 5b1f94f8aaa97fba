"""Atomic writing of files, their hashes, and relative paths."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import secrets
import stat
import threading
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from earmark.errors import EarmarkError

BLOCK_BYTES = 1 << 20  # read, hashed or copied at a time

_parts: set[Path] = set()  # files that are being written
_creating = threading.Lock()

_KINDS = {
    stat.S_IFDIR: "folder",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


def not_a_file(path: str | Path) -> str | None:
    """Return why ``path`` is not a file, such as 'is not a file but a pipe', or None.

    None means that it is a regular file or that nothing is there. Links are followed. Call this
    before opening a file: reading a pipe may wait forever, and a device may have no end.
    """
    try:
        kind = _KINDS.get(stat.S_IFMT(os.stat(path).st_mode))
    except ValueError as error:
        return f"has a name that is not allowed for files ({error})"
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "is a link that leads back to itself"
        if os.path.islink(path):
            return f"is a link to {os.readlink(path)}, which does not exist"
        return None
    return f"is not a file but a {kind}" if kind else None


def open_file(path: Path) -> BinaryIO:
    """Open a regular file for unbuffered reading; OSError for anything else."""
    # O_NONBLOCK: if a pipe replaces the file at this moment, opening it must not wait.
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
    """Yield an empty file beside ``path`` that replaces it at the end, or is deleted on an error.

    An old file stays until then. Raises OSError if the folder cannot be written or is full, or if
    ``path`` is a pipe or a device, which the file would replace.
    """
    if not path.is_symlink() and (problem := not_a_file(path)):
        raise OSError(errno.EINVAL, f"it {problem}")
    part = new_name(path.parent, f".{path.name[:32]}.", ".part")
    try:
        create(part)
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


def new_name(folder: Path, begin: str, end: str = "") -> Path:
    """Return a name for a file that is deleted if the process is ended at once.

    It is noted before the file is there, because a signal may arrive between two statements.
    """
    path = folder / f"{begin}{secrets.token_hex(8)}{end}"
    _parts.add(path)
    return path


def create(path: Path) -> None:
    """Create an empty file that nobody else can read; OSError if that fails."""
    with _creating:
        path.touch(0o600, exist_ok=False)


def deleted_after(owner: object, path: Path) -> None:
    """Delete a file of a new name when its owner is gone, or if the process is ended at once."""

    def delete() -> None:
        path.unlink(missing_ok=True)
        _parts.discard(path)

    weakref.finalize(owner, delete)


def delete_parts() -> None:
    """Delete unfinished and temporary files, before the process is ended at once.

    No other one is created after that.
    """
    _creating.acquire(timeout=1)
    for part in list(_parts):
        with contextlib.suppress(OSError):
            part.unlink()


def write_whole(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write ``content`` to ``path`` completely or not at all; EarmarkError if that fails.

    The content may be an iterable of pieces; only one piece is in memory at a time.
    """
    try:
        with whole_file(path) as part, part.open("wb") as file:
            file.writelines([content] if isinstance(content, bytes) else content)
    except OSError as error:
        raise EarmarkError(
            f"cannot write {path}: {error.strerror}. Free some space, or name another place."
        ) from error


def file_sha256(path: Path) -> bytes:
    """Return the SHA-256 of a file, computed once per process unless the file changes.

    Hashes are not stored on disk: hashing the largest file of weights (289 MB) takes only 0.2 to
    1 s, and stored hashes could become outdated. Raises OSError.
    """
    s = path.stat()
    return _sha256(path, (s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns))


@functools.lru_cache(maxsize=1 << 16)
def _sha256(path: Path, _status: tuple[int, ...]) -> bytes:
    digest = hashlib.sha256()
    with open_file(path) as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.digest()


def relative_path(path: Path, folder: Path) -> str:
    """Return ``path`` relative to ``folder``, with slashes; absolute if on another drive."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:
        return str(path)
