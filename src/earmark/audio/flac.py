"""Find the last frame of FLAC (RFC 9639), because the length in its header may be wrong."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

from earmark.audio import mapped
from earmark.audio.mapped import Content

LEAST_TAIL = 1 << 14  # bytes at the end that are searched first for the last two frames
_BLOCKS = (0, 192, 576, 1152, 2304, 4608, 0, 0, *(256 << k for k in range(8)))


class Stream(NamedTuple):
    """A FLAC stream: the samples its header states (``promised``, 0 if unknown) and really has.

    The last frame begins at byte ``last`` and has at most ``longest`` bytes.
    """

    promised: int
    samples: int
    last: int
    longest: int


class _Frame(NamedTuple):
    at: int
    first: int
    end: int  # the sample after its last


def stream_in(content: Content, start: int, end: int) -> Stream | None:
    """Return the stream whose metadata begins at byte ``start``; None if it has no frames."""
    sound = _after_metadata(content, start, end)
    longest = int.from_bytes(content[start + 15 : start + 18], "big")
    promised = int.from_bytes(content[start + 18 : start + 26], "big") & (1 << 36) - 1
    size = max(LEAST_TAIL, 3 * longest)
    while sound < end:
        begin = max(sound, end - size)
        if frame := _last_frame(content, start, sound, begin, end):
            return Stream(promised, frame.end, frame.at, longest or frame.at - begin + size)
        if begin == sound:
            return None
        size *= 8
    return None


def _after_metadata(content: Content, start: int, end: int) -> int:
    """Return the byte where the frames begin, after the blocks of metadata.

    A block has one byte for its kind and three for its size. The highest bit of the kind marks the
    last block.
    """
    at, is_last = start + 4, False
    while at + 4 <= end and not is_last:
        is_last = content[at] > 127
        at += 4 + int.from_bytes(content[at + 1 : at + 4], "big")
    return at


def _last_frame(content: Content, start: int, sound: int, begin: int, end: int) -> _Frame | None:
    """Return the last frame that begins in ``begin..end`` and directly follows another one."""
    last, ends = None, {0}
    for frame in _frames(content, content[sound : sound + 4], start, begin, end):
        if frame.first in ends:
            last = frame
        ends.add(frame.end)
    return last


def _frames(content: Content, model: bytes, start: int, begin: int, end: int) -> Iterator[_Frame]:
    """Yield candidates for frames, with the same rate and bits as ``model``, the first frame."""
    size = int.from_bytes(content[start + 10 : start + 12], "big")  # of all blocks except the last
    at = mapped.find(content, model[:2], begin, end)
    while at >= 0:
        head = content[at : min(at + 16, end)]
        if len(head) > 6 and (head[2] ^ model[2]) & 15 == 0 == (head[3] ^ model[3]) & 15:
            number, n = _number(head)
            block, code = _BLOCKS[head[2] >> 4], head[2] >> 4
            if code in (6, 7):
                block = int.from_bytes(head[n : n + code - 5], "big") + 1
                n += code - 5
            n += {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)
            if block and n < len(head) and _crc8(head[:n]) == head[n]:
                first = number if head[1] & 1 else number * size
                yield _Frame(at, first, first + block)
        at = mapped.find(content, model[:2], at + 1, end)


def _number(head: bytes) -> tuple[int, int]:
    """Return the number of a frame or sample, coded like a UTF-8 character, and its end."""
    ones = 8 - (~head[4] & 255).bit_length()
    number = head[4] & (127 >> ones)
    for byte in head[5 : 4 + max(1, ones)]:
        number = number << 6 | byte & 63
    return number, 4 + max(1, ones)


def _crc8(content: bytes) -> int:
    return functools.reduce(lambda crc, byte: _CRC8[crc ^ byte], content, 0)


def _crc8_of(byte: int) -> int:
    for _ in range(8):
        byte = byte << 1 ^ (0x107 if byte & 128 else 0)
    return byte


_CRC8 = tuple(_crc8_of(byte) for byte in range(256))
