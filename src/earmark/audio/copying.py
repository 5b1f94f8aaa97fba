"""Fetch objects that are recordings: into memory, into a temporary file, or in blocks.

A short recording comes whole, into memory. Of a long one in WAV or FLAC, a stretch is read in
blocks where it lies. Every other long recording is copied into a temporary file.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from earmark.audio.decoder import Refusal
from earmark.audio.source import BytesSource, FileSource
from earmark.audio.uri import Ranged, UriSource, refusing
from earmark.system.files import create, deleted_after, new_name
from earmark.system.objects import ObjectStatus, Part, read_part
from earmark.system.recent import Recent

SHORT_BYTES = 2 * 2**20  # a recording of this size is kept in memory while it waits
HEAD_BYTES = 2**16  # read first of a stretch, to see the format
COPIED_BYTES = 8 * 2**20  # read at a time while a recording is copied
MOST_BYTES = 64 * 2**30  # of one recording: three days of stereo at 48 kHz
SPARE_BYTES = 2**30  # that must stay free on the disk
KEPT = 4  # long recordings that are kept, because their stretches follow each other
UNKNOWN = ObjectStatus(0, "")
_IN_BLOCKS = (b"RIFF", b"RF64", b"fLaC")  # formats whose stretches are found without the rest


@dataclass(frozen=True)
class Fetched(BytesSource):
    """A short recording that was fetched, with the status of its object."""

    status: ObjectStatus = UNKNOWN


@dataclass(frozen=True)
class Copied(FileSource):
    """A copy of a long recording in a temporary file, which is deleted when nothing uses it."""

    title: str = ""
    status: ObjectStatus = UNKNOWN

    def __post_init__(self) -> None:
        deleted_after(self, self.path)

    @property
    def name(self) -> str:
        return self.title


def fetch_object(
    source: UriSource, is_stretch: bool = False, known: ObjectStatus | None = None
) -> Fetched | Copied | Ranged:
    """Return an object so that it can be decoded here; see :func:`fetching.fetch`."""
    kept = None if known is None else _kept_of(source.uri, known)
    if kept is not None and (is_stretch or isinstance(kept, Copied)):
        return kept
    with refusing():
        part = read_part(source.uri, 0, HEAD_BYTES if is_stretch else SHORT_BYTES, known)
        if part.status.size > SHORT_BYTES:
            return _long(source, part, is_stretch)
        content, status = part.content, part.status
        if len(content) < status.size:
            content += read_part(source.uri, len(content), status.size, status).content
    return Fetched(content, source.name, status)


def _long(source: UriSource, part: Part, is_stretch: bool) -> Copied | Ranged:
    size = part.status.size
    if size > MOST_BYTES:
        raise Refusal(
            f"it has {size:,} bytes, and at most {MOST_BYTES:,} are read; divide it", "length"
        )
    if not part.is_ranged:
        raise Refusal(
            f"it has {size:,} bytes, and its server sends no parts of files; copy it to this"
            " machine",
            "length",
        )
    in_blocks = is_stretch and part.status.version and part.content.startswith(_IN_BLOCKS)
    with _kept.making(source.uri):
        kept = _kept_of(source.uri, part.status)
        if kept is None or not (in_blocks or isinstance(kept, Copied)):
            kept = (
                Ranged(source.uri, part.status, part.content)
                if in_blocks
                else _copied(source, part)
            )
            _kept.add((source.uri, part.status), kept)
        return kept


_kept: Recent[tuple[str, ObjectStatus], Copied | Ranged] = Recent(KEPT)


def _kept_of(uri: str, status: ObjectStatus) -> Copied | Ranged | None:
    """Return a recording that was copied, or will be read in blocks, if it is one of the last."""
    source = _kept.get((uri, status))
    return source.alone() if isinstance(source, Ranged) else source


def _copied(source: UriSource, part: Part) -> Copied:
    """Copy a recording into a temporary file, part by part."""
    status, folder = part.status, tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if free < status.size + SPARE_BYTES:
        raise Refusal(
            f"it has {status.size:,} bytes, and {folder} has room for {free - SPARE_BYTES:,}; free"
            " some space, or name another folder in TMPDIR",
            "length",
        )
    copy = Copied(new_name(Path(folder), "earmark-"), source.name, status)
    create(copy.path)
    with copy.path.open("wb") as file:
        file.write(part.content)
        for at in range(len(part.content), status.size, COPIED_BYTES):
            file.write(read_part(source.uri, at, at + COPIED_BYTES, status).content)
    return copy
