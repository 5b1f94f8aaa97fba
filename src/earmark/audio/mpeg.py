"""Count the frames of MPEG audio (MP3, MP2, MP1), because the count in a header may be wrong."""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from earmark.audio import mapped
from earmark.audio.mapped import Content

# ISO 11172-3 and 13818-3: kbit/s by version (2 includes 2.5) and layer, from index 1 on
_KBPS = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES_HZ = (44_100, 48_000, 32_000)
_TAGS = (b"Xing", b"Info", b"VBRI")
_TAG_AT = (13, 15, 21, 23, 36, 38)  # byte of a tag in its frame, by version, mode and checksum


class Frame(NamedTuple):
    """The header of a frame; the frames of one stream have the same ``kind``."""

    length: int  # bytes
    samples: int
    rate_hz: int
    kind: int


class Stream(NamedTuple):
    """The bytes ``start..end`` of one stream, and the number of samples in its frames.

    ``promised`` is the number of samples that a table (Xing, Info or VBRI) in the first frame
    states, or 0 without a table; a frame with a table has no sound. ``is_xing`` says whether the
    table is Xing or Info; with these, decoders drop what the encoder added at both ends. ``is_cut``
    says whether the content ends inside a frame. ``last`` is the byte after the last frame.
    """

    start: int
    end: int
    samples: int
    promised: int = 0
    is_xing: bool = False
    is_cut: bool = False
    last: int = 0

    @property
    def is_whole_by_xing(self) -> bool:
        """Whether a Xing or Info table states exactly the number of frames that exist."""
        return self.is_xing and self.promised == self.samples


def streams(
    content: Content, start: int = 0, ends: re.Pattern[bytes] | None = None
) -> list[Stream]:
    """Return the streams of MPEG audio that are joined end to end in ``content``, perhaps none.

    A stream ends where the rate, layer or number of channels changes, or where another table
    begins. The search stops where ``ends`` matches, between two frames or after the last.
    """
    result: list[Stream] = []
    at, size, tags = start, len(content), _tags(content)
    stream_at, end, samples, promised, is_xing, is_cut = 0, 0, 0, 0, False, False
    kind: int | None = None
    id3 = _Id3(content)
    while True:
        at = _next_frame(content, at, kind, id3)
        mapped.release(content, at)
        if ends and kind is not None and at > end and ends.match(content, end):
            size = end
        if at >= size:
            break
        frame = frame_at(content, at)
        assert frame is not None
        if at + frame.length > size:
            is_cut = True
            break
        is_tag = at in tags
        if kind is not None and (is_tag or frame.kind != kind):
            result.append(Stream(stream_at, end, samples, promised, is_xing))
            kind = None
        if kind is None:
            stream_at, samples, kind = at, 0, frame.kind
            promised, is_xing = tags.get(at, (0, False))
            promised *= frame.samples
        samples += 0 if is_tag else frame.samples
        at = end = at + frame.length
    if kind is not None:
        result.append(Stream(stream_at, size, samples, promised, is_xing, is_cut, end))
    return [stream for stream in result if stream.samples]


def frame_at(content: Content, at: int) -> Frame | None:
    """Return the frame whose header is at ``at``, or None if there is none."""
    header = content[at : at + 4]
    if len(header) < 4 or header[0] != 0xFF:
        return None
    return _frame(header[1] | 1, header[2], header[3] >> 6 == 3)


@functools.cache
def _frame(second: int, third: int, is_mono: bool) -> Frame | None:
    version = (2.5, 0, 2, 1)[second >> 3 & 3]
    layer = 4 - (second >> 1 & 3)
    bit_rate, rate = third >> 4, third >> 2 & 3
    if second < 0xE0 or not version or layer == 4 or bit_rate in (0, 15) or rate == 3:
        return None
    rate_hz = _RATES_HZ[rate] // {1: 1, 2: 2, 2.5: 4}[version]
    kbps = _KBPS[1 if version == 1 else 2, layer if version == 1 or layer == 1 else 2]
    samples = {1: 384, 2: 1152, 3: 1152 if version == 1 else 576}[layer]
    slot = 4 if layer == 1 else 1
    length = (samples // 8 * kbps[bit_rate - 1] * 1000 // rate_hz // slot + (third >> 1 & 1)) * slot
    return Frame(length, samples, rate_hz, second << 3 | rate << 1 | is_mono)


def after_id3(content: Content, at: int) -> int:
    """Return the end of the ID3v2 tag that begins at ``at``, or ``at`` if there is none."""
    if content[at : at + 3] != b"ID3" or at + 10 > len(content):
        return at
    size = functools.reduce(lambda n, byte: n << 7 | byte & 127, content[at + 6 : at + 10], 0)
    return at + 10 + size + 10 * (content[at + 5] >> 4 & 1)  # a flag says if there is a footer


def begins(content: Content, at: int) -> bool:
    """Return whether three frames of one kind begin at ``at``, or after a tag there."""
    kinds, at = list[int](), after_id3(content, at)
    while len(kinds) < 3 and (frame := frame_at(content, at)):
        kinds.append(frame.kind)
        at += frame.length
    return len(kinds) == 3 and len(set(kinds)) == 1


class _Id3:
    """Tags inside ``content``; each is searched once, because a search may take all bytes."""

    def __init__(self, content: Content) -> None:
        self._content, self._next = content, -1

    def after(self, at: int) -> int:
        """Return where the next tag begins, from byte ``at`` on; the content's size if none."""
        if self._next < at:
            found = mapped.find(self._content, b"ID3", at)
            self._next = len(self._content) if found < 0 else found
        return self._next


def _next_frame(content: Content, at: int, kind: int | None, id3: _Id3) -> int:
    """Return the byte where the next frame begins, from ``at`` on; the content's size if none does.

    A frame whose kind differs from ``kind`` counts only if another frame of its own kind follows.
    """
    frame = frame_at(content, at)
    if frame is not None and frame.kind == kind:
        return at
    size = len(content)
    while at < size:
        if (end := after_id3(content, at)) > at:
            at = end
            continue
        if (frame := frame_at(content, at)) is not None:
            after = frame_at(content, at + frame.length)
            if after is not None and after.kind == frame.kind:
                return at
            if after is None and at + frame.length == size and kind in (None, frame.kind):
                return at
        tag = id3.after(at + 1)
        sync = mapped.find(content, b"\xff", at + 1, tag)
        at = sync if sync >= 0 else tag
    return size


def _tags(content: Content) -> dict[int, tuple[int, bool]]:
    """Return, by the byte of a frame with a table, its number of frames and whether it is Xing.

    A Xing or Info table has flags before the number; the lowest flag says that the number exists.
    """
    result: dict[int, tuple[int, bool]] = {}
    for tag in _TAGS:
        at = mapped.find(content, tag, 0)
        while at >= 0:
            count_at = at + (14 if tag == b"VBRI" else 8)
            has_count = tag == b"VBRI" or (content[at + 7 : at + 8] and content[at + 7] & 1)
            count = int.from_bytes(content[count_at : count_at + 4], "big") if has_count else 0
            for lead in _TAG_AT:
                if at >= lead and content[at - lead] == 0xFF:
                    result[at - lead] = count, tag != b"VBRI"
            at = mapped.find(content, tag, at + 4)
    return result
