"""Recordings inside tar archives that lie elsewhere, such as the shards of WebDataset.

An archive comes whole, once for all its members that follow each other in a table.
"""

from __future__ import annotations

import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from earmark.audio.copying import COPIED_BYTES, SHORT_BYTES, Copied, Fetched, fetch_object
from earmark.audio.decoder import Refusal, reason
from earmark.audio.uri import Ranged, UriSource
from earmark.system.files import create, new_name
from earmark.system.objects import ObjectStatus
from earmark.system.recent import Recent
from earmark.system.unpacking import ShortHeader

MOST_MEMBERS = 1_000_000  # of an archive
KEPT = 4  # archives whose members follow each other in a table


@dataclass(frozen=True)
class Shard:
    """An archive that was fetched, and where its members begin: ``{name: (byte, size)}``."""

    source: Fetched | Copied
    members: dict[str, tuple[int, int]] = field(repr=False)


_shards: Recent[tuple[str, ObjectStatus], Shard] = Recent(KEPT)


def fetch_member(source: UriSource, known: ObjectStatus | None = None) -> Fetched | Copied:
    """Return a recording of an archive; its status is that of the archive. Raises Refusal."""
    archive, member = UriSource(source.archive), source.member
    status = archive.status if known is None else known
    shard = _shard(archive, status)
    if member not in shard.members:
        raise Refusal(f"is not in the archive, which has {len(shard.members):,} files", "missing")
    first, size = shard.members[member]
    with shard.source.open() as file:
        file.seek(first)
        if size <= SHORT_BYTES:
            return Fetched(file.read(size), source.name, status)
        return copied_out(file, size, source.name, status)


def _shard(archive: UriSource, status: ObjectStatus) -> Shard:
    """Return an archive; one thread fetches it, and the others wait for it."""
    key = archive.uri, status
    with _shards.making(key):
        if (shard := _shards.get(key)) is None:
            _shards.add(key, shard := _opened(archive, status))
        return shard


def _opened(archive: UriSource, status: ObjectStatus) -> Shard:
    source = fetch_object(archive, known=status)
    assert not isinstance(source, Ranged)
    members: dict[str, tuple[int, int]] = {}
    try:
        with (
            source.open() as file,
            tarfile.open(fileobj=file, mode="r:", tarinfo=ShortHeader) as tar,
        ):
            for count, entry in enumerate(tar):
                if count >= MOST_MEMBERS:
                    raise Refusal(f"its archive has more than {MOST_MEMBERS:,} files", "length")
                if entry.isreg() and not entry.issparse():
                    members[entry.name] = entry.offset_data, entry.size
                tar.members = []  # type: ignore[attr-defined]  # else each takes a kilobyte
    except (tarfile.TarError, ValueError, OSError) as error:
        raise Refusal(
            f"its archive is no tar file ({reason(error)}); name one that is not compressed",
            "unreadable",
        ) from error
    return Shard(source, members)


def copied_out(file: BinaryIO, size: int, name: str, status: ObjectStatus) -> Copied:
    """Copy a long recording out of an archive, so that it is a file of its own."""
    copy = Copied(new_name(Path(tempfile.gettempdir()), "earmark-"), name, status)
    create(copy.path)
    with copy.path.open("wb") as out:
        while size > 0 and (block := file.read(min(size, COPIED_BYTES))):
            out.write(block)
            size -= len(block)
    return copy
