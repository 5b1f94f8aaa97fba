"""Decode all streams of a recording, even if several were joined end to end."""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from mmap import ACCESS_READ
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np

from earmark.audio import ffmpeg, layout, libsndfile
from earmark.audio.decoder import Block, Decoder, Header, Opened, Refusal
from earmark.audio.layout import Link
from earmark.audio.mapped import Mapped
from earmark.audio.source import AbsentSource, BytesSource, FileSource
from earmark.audio.uri import Ranged
from earmark.errors import amount

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

DECODERS: dict[str, Decoder] = {
    "libsndfile": libsndfile.open_recording,
    "FFmpeg": ffmpeg.open_recording,
}
File = FileSource | BytesSource | AbsentSource | Ranged
UNREAD_SHARE = 0.01  # of the bytes; if fewer follow the end, there is no warning


@contextmanager
def open_recording(
    decoder: Decoder, source: File, start_s: float, end_s: float | None
) -> Iterator[Opened]:
    """Open all streams of ``source``, the first with ``decoder``; the header covers all of them.

    A stream whose rate or number of channels differs from the first counts as damage.
    """
    with source.open() as file:
        first, *others = links_of(source)
        if first.flaw:
            raise Refusal(first.flaw, "unreadable")
        if not others:
            with decoder(file, start_s, end_s, first) as (header, blocks):
                tracks = max(header.tracks, first.tracks)
                yield header._replace(unread=_unread(first), tracks=tracks), blocks
            return
    with ExitStack() as stack:
        header, _ = stack.enter_context(_open(source, first, 0.0, (decoder,)))
        headers = [header]
        with suppress(ValueError):
            for link in others:
                with _open(source, link, 0.0) as (more, _):
                    headers.append(more)
        whole = header._replace(
            frames=_total([(h.frames, h.rate_hz) for h in headers]),
            promised=_total([(h.promised, h.rate_hz) for h in headers]),
            slack=sum(h.slack for h in headers),
            is_cut=headers[-1].is_cut,
            unread=_unread(others[-1]),
        )
        blocks = _blocks(source, [first, *others], header, start_s)
        yield whole, stack.enter_context(closing(blocks))


def is_read_as_before(source: File) -> bool:
    """Return whether version 3 of the decoder gave the same samples and warnings.

    That version read only the first of several streams, trusted the length in MP3 headers, and
    noticed in only a few formats that a recording was cut short.
    """
    link, *others = links_of(source)
    is_counted = link.stream is None or link.stream.is_whole_by_xing
    return (
        not others
        and is_counted
        and link.share == 1
        and not (link.rest or link.samples)
        and link.tracks == 1
    )


def _unread(link: Link) -> int:
    """Return the number of bytes after the end of a stream; 0 if they are few."""
    return link.rest if link.rest > UNREAD_SHARE * (link.end - link.start) else 0


def _total(lengths: list[tuple[int, int]]) -> int:
    """Return the total length in frames at the first rate; 0 if one length is unknown."""
    rate_hz = lengths[0][1]
    return round(sum(n * rate_hz / r for n, r in lengths)) if all(n for n, _ in lengths) else 0


def _blocks(
    source: File, links: list[Link], first: Header, start_s: float
) -> Generator[Block, None, None]:
    """Yield the blocks of one stream after another; skip streams that end before ``start_s``."""
    position = 0
    for link in links:
        begin_s = start_s - position / first.rate_hz
        with _open(source, link, max(0.0, begin_s)) as (header, blocks):
            if (header.rate_hz, header.channels) != (first.rate_hz, first.channels):
                what = f"{header.rate_hz} Hz and {amount(header.channels, 'channel')}"
                raise ValueError(f"the next stream in the file has {what}; split the file")
            offset = position
            if 0 < header.frames <= begin_s * header.rate_hz and not header.slack:
                position += header.frames
                continue
            for block in blocks:
                yield block._replace(position=offset + block.position)
                position = offset + block.position + len(block.samples)
    yield Block(position, np.zeros((0, first.channels), np.float32))


@contextmanager
def _open(
    source: File, link: Link, start_s: float, decoders: tuple[Decoder, ...] = ()
) -> Iterator[Opened]:
    """Open one of several streams with the first decoder that recognises it."""
    with source.open() as file, ExitStack() as stack:
        part = cast(BinaryIO, io.BufferedReader(_Part(file, link)))
        for decoder in decoders or DECODERS.values():
            try:
                opened = stack.enter_context(decoder(part, start_s, None, link))
            except Exception:  # decoders raise errors of many types
                if decoders:
                    raise
                continue
            yield opened
            return
        raise ValueError("no decoder recognises the next stream in the file; split the file")


class _Part(io.RawIOBase):
    """The bytes of one stream, as a file of its own."""

    def __init__(self, file: BinaryIO, link: Link) -> None:
        self._file, self._start, self._size, self._at = file, link.start, link.end - link.start, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        self._file.seek(self._start + self._at)
        content = self._file.read(max(0, min(len(view), self._size - self._at)))
        view[: len(content)] = content
        self._at += len(content)
        return len(content)


def links_of(source: File) -> list[Link]:
    """Return the streams of ``source``; the result for a file is cached until the file changes.

    Raises Refusal if the file cannot be read.
    """
    if isinstance(source, BytesSource):
        return layout.links_of(source.content)
    if isinstance(source, AbsentSource):
        raise Refusal(source.why, "missing")
    if isinstance(source, Ranged):
        return [Link(0, source.size)]  # what follows is not searched for: that would read it all
    status = os.stat(source.path)
    return _links_of_file(source.path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _links_of_file(path: Path, _size: int, _mtime_ns: int) -> list[Link]:
    with FileSource(path).open() as file, Mapped(file.fileno(), 0, access=ACCESS_READ) as content:
        return layout.links_of(content)
