"""The output of a decoder: a header and blocks of samples."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from earmark.audio.layout import Link

Samples = NDArray[np.float32]  # (n,) mono or (n, channels)
BLOCK_SAMPLES = 1 << 18  # decoded at a time, over all channels: 1 MiB, 5 s of mono at 48 kHz
CODEC_SLACK_S = 0.25  # headers also count what codecs drop at both ends: AAC up to 0.11 s
OGG_PAGE_BYTES = 27 + 255 + 255 * 255  # the longest possible page (RFC 3533, section 6)


class Header(NamedTuple):
    """What is known of a recording before it is decoded.

    Attributes
    ----------
    rate_hz, channels : int
        Sample rate and number of channels.
    frames : int
        Length of what can be decoded, exact to the ``slack`` frames that codecs may drop; 0 if
        unknown.
    promised : int
        Length by the recording's own header; more than ``frames`` if it was cut short. 0 if
        unknown.
    is_cut : bool
        Whether the end mark of the format is missing, or the last frame is incomplete.
    is_float : bool
        Whether samples are stored as floats, whose scale may differ.
    unread : int
        Number of bytes after the end that the header states.
    tracks : int
        Number of parallel tracks of sound; only the first is decoded.
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
    """Consecutive frames (n, channels), and the position of the first; n may be 0 at the end."""

    position: int
    samples: Samples


class Refusal(Exception):  # noqa: N818  # becomes an AudioError once the name is known
    """The reason why a recording is not read, and its kind: see :class:`AudioError`."""

    def __init__(self, reason: str, kind: str) -> None:
        super().__init__(reason)
        self.kind = kind


Opened = tuple[Header, Iterator[Block]]
Decoder = Callable[[BinaryIO, float, float | None, Link], AbstractContextManager[Opened]]


def reason(error: Exception) -> str:
    """Return in a few words why a decoder or the system failed."""
    text = getattr(error, "error_string", "") or getattr(error, "strerror", "") or str(error)
    return str(text).removeprefix("Error : ").rstrip(". ") or type(error).__name__


def is_cut_ogg(file: BinaryIO) -> bool:
    """Return whether the last page of an Ogg file is missing or incomplete (RFC 3533, section 6).

    In the last page, byte 5 has bit 4 set. The sizes of the segments follow from byte 26 on.
    """
    if file.read(4) != b"OggS":
        file.seek(0)
        return False
    size, page = file.seek(0, os.SEEK_END), b""
    for length in (OGG_PAGE_BYTES // 8, OGG_PAGE_BYTES):  # most pages have 4 KiB
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
