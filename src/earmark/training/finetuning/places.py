"""Where checkpoints lie: a folder, or a store of objects that all machines see."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from earmark.errors import EarmarkError
from earmark.system.cache import is_offline
from earmark.system.files import deleted_after, not_a_file, whole_file
from earmark.system.objects import (
    ObjectError,
    delete_object,
    is_uri,
    names_below,
    read_part,
    scheme_of,
    shown,
    write_object,
)

MAX_BYTES = 1 << 34  # of one checkpoint: five times the weights that are trained
PART_BYTES = 1 << 26  # of an object that are read at a time
WEB = ("http", "https")


class Place(Protocol):
    """Holds files by name. What fails raises OSError with a reason."""

    def put(self, name: str, write: Callable[[Path], object]) -> None:
        """Let ``write`` make a file, and put it in place whole under ``name``."""

    def file(self, name: str) -> contextlib.AbstractContextManager[Path | None]:
        """Yield a file with the content under ``name``; None if there is none."""

    def drop(self, name: str) -> None:
        """Delete what is under ``name``, if anything is."""

    def clear(self) -> None:
        """Delete everything."""


def place_of(where: str | Path, key: str) -> Place:
    """Return the place for the checkpoints ``key`` below a folder or a URI.

    Raises EarmarkError for a URI that cannot be written.
    """
    if not is_uri(str(where)):
        return FolderPlace(Path(where) / key)
    check_uri(str(where))
    return ObjectPlace(f"{str(where).rstrip('/')}/{key}")


def check_uri(where: str) -> None:
    """Refuse a URI for checkpoints that cannot be written, or not without a network."""
    if scheme_of(where) in WEB:
        raise EarmarkError(
            f"checkpoints cannot be written to {shown(where)}, a web server. Name a folder, or an"
            " address in object storage such as s3://BUCKET/FOLDER."
        )
    if is_offline():
        raise EarmarkError(
            f"EARMARK_OFFLINE=1 forbids checkpoints in {where}. Unset it, or name a folder."
        )


class FolderPlace:
    """A folder of this machine, or of a file system that several machines see."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __str__(self) -> str:
        return str(self.folder)

    def put(self, name: str, write: Callable[[Path], object]) -> None:
        """Write beside the file, then put it in place."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with whole_file(self.folder / name) as part:
            write(part)

    @contextlib.contextmanager
    def file(self, name: str) -> Iterator[Path | None]:
        """Yield the file itself, if it is one and not too large."""
        path = self.folder / name
        is_usable = path.is_file() and not not_a_file(path) and path.stat().st_size <= MAX_BYTES
        yield path if is_usable else None

    def drop(self, name: str) -> None:
        """Delete the file."""
        (self.folder / name).unlink(missing_ok=True)

    def clear(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


class ObjectPlace:
    """Objects below a URI; an object appears when all of it is there."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def __str__(self) -> str:
        return self.uri

    def put(self, name: str, write: Callable[[Path], object]) -> None:
        """Write a temporary file, and send it."""
        with _temporary() as path, _told():
            write(path)
            write_object(f"{self.uri}/{name}", path)

    @contextlib.contextmanager
    def file(self, name: str) -> Iterator[Path | None]:
        """Yield a temporary file with the object's content."""
        with _told():
            is_there = name in names_below(self.uri)
        if not is_there:
            yield None
            return
        with _temporary() as path:
            with _told():
                self._fetch(f"{self.uri}/{name}", path)
            yield path

    def _fetch(self, uri: str, path: Path) -> None:
        with path.open("wb") as file:
            known, first = None, 0
            while known is None or first < known.size:
                content, known, _ = read_part(uri, first, first + PART_BYTES, known)
                if known.size > MAX_BYTES:
                    raise ObjectError(f"it has more than {MAX_BYTES:,} bytes")
                file.write(content)
                first += len(content)

    def drop(self, name: str) -> None:
        """Delete the object."""
        with _told():
            delete_object(f"{self.uri}/{name}")

    def clear(self) -> None:
        """Delete all objects below the URI."""
        with _told():
            for name in names_below(self.uri):
                self.drop(name)


class _File:
    """Owns a temporary file."""


@contextlib.contextmanager
def _temporary() -> Iterator[Path]:
    """Yield an empty file that is deleted afterwards, also if the process is told to stop."""
    owner = _File()
    with tempfile.NamedTemporaryFile(
        prefix="earmark-", suffix=".safetensors", delete=False
    ) as file:
        path = Path(file.name)
    deleted_after(owner, path)
    try:
        yield path
    finally:
        del owner  # which deletes the file


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Turn what a store of objects says into an OSError."""
    try:
        yield
    except ObjectError as error:
        raise OSError(None, str(error)) from error
