"""Unpack a zip or tar archive: only some names, only below one folder, only so many bytes."""

from __future__ import annotations

import re
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from earmark.errors import DataError, first_line
from earmark.system.files import BLOCK_BYTES

MOST_MEMBERS = 1_000_000  # a directory of as many names takes some hundred megabytes

_DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, struct.error,
    EOFError, OSError, RuntimeError, ValueError, LookupError, OverflowError,
)  # fmt: skip


def unpack(archive: Path, to: Path, names: re.Pattern[str], most_bytes: int) -> int:
    """Unpack the files whose full names match ``names`` into ``to``; return how many.

    The first group of the match is the file's path below ``to``: the pattern decides it, not the
    archive, so no name leads outside. Links and devices are skipped. Raises DataError for a file
    that is not a whole zip or tar archive, and for more than ``most_bytes`` or a million names.
    """
    count, size = 0, 0
    try:
        for name, content in _members(archive):
            match = names.fullmatch(name)
            if match is None:
                continue
            target = to / match[1]
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as out:
                while block := content.read(BLOCK_BYTES):
                    size += len(block)
                    if size > most_bytes:
                        raise DataError(
                            f"{archive} unpacks to more than {most_bytes:,} bytes and should not;"
                            " fetch it again from where it is published."
                        )
                    out.write(block)
            count += 1
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise DataError(
                f"{archive} cannot be unpacked into {to}: {error.strerror}; make room there or name"
                " another folder."
            ) from error
        raise DataError(
            f"{archive} is no whole zip or tar archive ({first_line(error)}); fetch it again."
        ) from error
    return count


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield name and content of every regular file, in the archive's order."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            for number, info in enumerate(opened.infolist()):
                _bound(archive, number)
                kind = info.external_attr >> 28  # of Unix's mode: 8 is a file, 0 was not given
                if not info.is_dir() and kind in (0, 8):
                    with opened.open(info) as content:
                        yield info.filename, content
        return
    with tarfile.open(archive) as stream:
        for number, member in enumerate(stream):
            _bound(archive, number)
            file = stream.extractfile(member) if member.isreg() else None
            if file is not None:
                yield member.name, file
            stream.members = []  # type: ignore[attr-defined]  # it would remember them all
        while stream.fileobj is not None and stream.fileobj.read(BLOCK_BYTES):
            pass  # to the end, where gzip has its checksum


def _bound(archive: Path, number: int) -> None:
    if number >= MOST_MEMBERS:
        raise DataError(f"{archive} holds more than {MOST_MEMBERS:,} names and should not.")


def remove(folder: Path) -> None:
    """Delete a folder and what is in it, if it is there."""
    shutil.rmtree(folder, ignore_errors=True)
