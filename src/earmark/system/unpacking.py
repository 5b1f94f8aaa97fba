"""Unpack a zip or tar archive safely: selected names, below one folder, up to a limit of bytes."""

from __future__ import annotations

import functools
import re
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

from earmark.errors import DataError, first_line
from earmark.system.files import BLOCK_BYTES

MOST_MEMBERS = 1_000_000  # a list of this many names takes some hundred megabytes of memory

LONGEST_NAME = 1 << 20  # bytes of a header that tarfile reads whole, such as a long name

_LEADS_OUT = re.compile(r"[/\\]|[A-Za-z]:|.*\\|.*\0|(?:.*/)?\.\.(?:/|$)", re.DOTALL)


class NoRoomError(DataError):
    """The files of an archive cannot be written; the archive itself may be good."""


def unpack(archive: Path, to: Path, names: re.Pattern[str], most_bytes: int) -> int:
    """Unpack the files whose full names match ``names`` into a new folder; return their number.

    The first group of the match is the path below ``to``, so no file is written outside. Files
    that do not match are skipped, and so are links, devices and names that are absolute or have
    '..', a backslash or a drive. Raises DataError for a file that is not a complete zip or tar
    archive, for two files with the same name (ignoring case), and for more than ``most_bytes`` or a
    million names. Raises NoRoomError if the files cannot be written.
    """
    to.mkdir(parents=True)
    unpacked: set[str] = set()
    room = _Room(archive, most_bytes)
    try:
        for name, size, content in _members(archive, room):
            match = None if _LEADS_OUT.match(name) else names.fullmatch(name)
            if match is None:
                continue
            if match[1].casefold() in unpacked:
                raise DataError(
                    f"{archive} has {match[1]} twice, so it is damaged. Download it again."
                )
            unpacked.add(match[1].casefold())
            room.check(size)
            target = to / match[1]
            target.parent.mkdir(parents=True, exist_ok=True)
            with content() as source, target.open("xb") as out:
                while block := source.read(BLOCK_BYTES):
                    room.take(len(block))
                    out.write(block)
    except DataError:
        raise
    except OSError as error:
        if error.errno is None:
            raise _broken(archive, error) from error
        raise NoRoomError(
            f"{archive} cannot be unpacked into {to}: {error.strerror}. Free some space there, or"
            " name another folder."
        ) from error
    except Exception as error:  # zipfile and tarfile raise many types for a damaged archive
        raise _broken(archive, error) from error
    return len(unpacked)


def _broken(archive: Path, error: Exception) -> DataError:
    return DataError(
        f"{archive} is not a complete zip or tar archive ({first_line(error)}). Download it again."
    )


class _Room:
    """The number of bytes of an archive that may still be unpacked."""

    def __init__(self, archive: Path, most_bytes: int) -> None:
        self.archive, self.most, self.left = archive, most_bytes, most_bytes

    def check(self, size: int) -> None:
        if size > self.left:
            raise DataError(
                f"{self.archive} unpacks to more than {self.most:,} bytes, the most expected."
                " Download it again from its publisher."
            )

    def take(self, size: int) -> None:
        self.check(size)
        self.left -= size


def _members(
    archive: Path, room: _Room
) -> Iterator[tuple[str, int, Callable[[], AbstractContextManager[IO[bytes]]]]]:
    """Yield the name, stated size and opener of every regular file, in the order of the archive."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            for number, info in enumerate(opened.infolist()):
                _bound(archive, number)
                kind = info.external_attr >> 28  # from the Unix mode: 8 is a file, 0 is not given
                if not info.is_dir() and kind in (0, 8):
                    yield info.orig_filename, info.file_size, functools.partial(opened.open, info)
        return
    passed = _Room(archive, room.most)  # tarfile also reads what is not unpacked
    with tarfile.open(archive, tarinfo=ShortHeader) as stream:
        for number, member in enumerate(stream):
            _bound(archive, number)
            if member.isreg():
                passed.take(member.size)
                yield member.name, member.size, functools.partial(_opened, stream, member)
            elif member.size:
                passed.take(member.size)
            stream.members = []  # type: ignore[attr-defined]  # else it keeps all in memory
        while stream.fileobj is not None and (block := stream.fileobj.read(BLOCK_BYTES)):
            passed.take(len(block))  # read to the end, where gzip has its checksum


def _opened(stream: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = stream.extractfile(member)
    assert file is not None  # true for every regular file
    return file


class ShortHeader(tarfile.TarInfo):
    """A member of a tar archive whose own header cannot fill the memory."""

    def _proc_member(self, tar: tarfile.TarFile) -> Any:
        if not self.isreg() and self.type in _READ_WHOLE and self.size > LONGEST_NAME:
            raise tarfile.ReadError("its header does not end")
        return super()._proc_member(tar)  # type: ignore[misc]


_READ_WHOLE = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)


def _bound(archive: Path, number: int) -> None:
    if number >= MOST_MEMBERS:
        raise DataError(
            f"{archive} has more than {MOST_MEMBERS:,} names, the most expected. Download it again"
            " from its publisher."
        )


def remove(folder: Path) -> None:
    """Delete a folder with its contents, if it exists; for a link, delete only the link."""
    if folder.is_symlink():
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)
