"""What a decoder gives: a header, and blocks of samples."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from earmark.audio.layout import Link

Samples = NDArray[np.float32]  # (n,) mono or (n, channels)
BLOCK_SAMPLES = 1 << 18  # decoded at a time, all channels together: 1 MiB, 5 s at 48 kHz
CODEC_SLACK_S = 0.25  # a header's length counts what codecs drop at both ends: AAC up to 0.11 s
OGG_PAGE_BYTES = 27 + 255 + 255 * 255  # the longest page there is (RFC 3533, section 6)


class Header(NamedTuple):
    """What is known of a recording before it is decoded.

    ``frames`` is the length of what can be decoded: exact, but for up to ``slack`` frames that
    codecs drop. ``promised`` is the length in the recording's own header: more if it was cut short.
    Both are 0 where they are unknown. ``is_cut``: it lacks the end mark that its format demands, or
    ends inside a frame. ``is_float``: samples are stored as floats, of whatever scale. ``unread``
    bytes lie behind the end by its header. Of ``tracks`` side by side the first is decoded.
    """

    rate_hz: int
    channels: int
    frames: int
    promised: int
    slack: int = 0
    is_cut: bool = False
    is_float: bool = False
    unread: int = 0
    tracks: int = 1


class Block(NamedTuple):
    """Some consecutive frames, (n, channels), and the index of the first; n may be 0 at the end."""

    position: int
    samples: Samples


class Refusal(Exception):  # noqa: N818  # it becomes an AudioError where the name is known
    """Why a recording is not read, and the kind of that reason: see :class:`AudioError`."""

    def __init__(self, reason: str, kind: str) -> None:
        super().__init__(reason)
        self.kind = kind


Opened = tuple[Header, Iterator[Block]]
Decoder = Callable[[BinaryIO, float, float | None, Link], AbstractContextManager[Opened]]


def reason(error: Exception) -> str:
    """Say in a few words why a decoder or the system refused."""
    text = getattr(error, "error_string", "") or getattr(error, "strerror", "") or str(error)
    return str(text).removeprefix("Error : ").rstrip(". ") or type(error).__name__


def is_cut_ogg(file: BinaryIO) -> bool:
    """Say if an Ogg file lacks its last page, or some of it (RFC 3533, section 6).

    Byte 5 of a page has bit 4 set in the last; from byte 26 on stand the sizes of its segments.
    """
    if file.read(4) != b"OggS":
        file.seek(0)
        return False
    size, page = file.seek(0, os.SEEK_END), b""
    for length in (OGG_PAGE_BYTES // 8, OGG_PAGE_BYTES):  # most pages are of 4 KiB
        file.seek(max(0, size - length))
        tail = file.read(length)
        if (at := tail.rfind(b"OggS")) >= 0:
            page = tail[at:]
            break
    file.seek(0)
    if len(page) < 27 or not page[5] & 4:
        return True
    sizes = page[27 : 27 + page[26]]
    return len(page) < 27 + page[26] + sum(sizes)
