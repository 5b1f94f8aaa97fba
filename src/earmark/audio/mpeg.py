"""Count the frames of MPEG audio (MP3, MP2, MP1), whatever a header says of them."""

from __future__ import annotations

import functools
import mmap
import re
from typing import NamedTuple

Content = bytes | mmap.mmap

# ISO 11172-3 and 13818-3: kbit/s by version (1, or 2 and 2.5) and layer, from index 1 on
_KBPS = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES_HZ = (44_100, 48_000, 32_000)
_TAGS = (b"Xing", b"Info", b"VBRI")
_TAG_AT = (13, 15, 21, 23, 36, 38)  # where a tag begins in its frame, by version, mode and checksum


class Frame(NamedTuple):
    """What the header of a frame says; frames with the same ``kind`` belong together."""

    length: int  # bytes
    samples: int
    rate_hz: int
    kind: int


class Stream(NamedTuple):
    """Frames that belong together, ``start..end`` in bytes, and how many samples they decode to.

    ``promised`` is how many they should be by the table (Xing, Info or VBRI) in the first frame,
    which is no sound; 0 without one. ``is_xing``: it is of the kind by which decoders drop what
    the encoder added at both ends. ``is_cut``: the content ends inside a frame.
    """

    start: int
    end: int
    samples: int
    promised: int = 0
    is_xing: bool = False
    is_cut: bool = False

    @property
    def is_whole_by_xing(self) -> bool:
        """Say whether a table of Xing's counts just the frames that are there."""
        return self.is_xing and self.promised == self.samples


def streams(
    content: Content, start: int = 0, ends: re.Pattern[bytes] | None = None
) -> list[Stream]:
    """Return the streams of MPEG audio in ``content``, joined end to end; none where it has none.

    A stream ends where rate, layer or number of channels change, and where another table begins.
    All end where, between two frames or behind the last, what ``ends`` matches begins.
    """
    result: list[Stream] = []
    at, size, tags = start, len(content), _tags(content)
    stream_at, end, samples, promised, is_xing, is_cut = 0, 0, 0, 0, False, False
    kind: int | None = None
    while True:
        at = _next_frame(content, at, kind)
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
        result.append(Stream(stream_at, size, samples, promised, is_xing, is_cut))
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
    """Return where the tag of ID3v2 ends that begins at ``at``, or ``at`` if none does."""
    if content[at : at + 3] != b"ID3" or at + 10 > len(content):
        return at
    size = functools.reduce(lambda n, byte: n << 7 | byte & 127, content[at + 6 : at + 10], 0)
    return at + 10 + size + 10 * (content[at + 5] >> 4 & 1)  # a footer, perhaps


def begins(content: Content, at: int) -> bool:
    """Say whether three frames that belong together begin at ``at``, perhaps behind a tag."""
    kinds, at = list[int](), after_id3(content, at)
    while len(kinds) < 3 and (frame := frame_at(content, at)):
        kinds.append(frame.kind)
        at += frame.length
    return len(kinds) == 3 and len(set(kinds)) == 1


def _next_frame(content: Content, at: int, kind: int | None) -> int:
    """Return where the next frame begins, at ``at`` or later; the content's size if none does.

    One of another ``kind`` than the last is believed only if one of its own kind follows it.
    """
    frame = frame_at(content, at)
    if frame is not None and frame.kind == kind:
        return at
    size, id3 = len(content), -1
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
        if id3 <= at:
            id3 = content.find(b"ID3", at + 1) % (size + 1)  # -1 becomes the size
        sync = content.find(b"\xff", at + 1, id3)
        at = sync if sync >= 0 else id3
    return size


def _tags(content: Content) -> dict[int, tuple[int, bool]]:
    """Return where frames may begin that hold a table: the frames it states, and if it is Xing's.

    Xing's has 4 flags before that number, the lowest of which says that it is there.
    """
    result: dict[int, tuple[int, bool]] = {}
    for tag in _TAGS:
        at = content.find(tag)
        while at >= 0:
            count_at = at + (14 if tag == b"VBRI" else 8)
            has_count = tag == b"VBRI" or (content[at + 7 : at + 8] and content[at + 7] & 1)
            count = int.from_bytes(content[count_at : count_at + 4], "big") if has_count else 0
            for lead in _TAG_AT:
                if at >= lead and content[at - lead] == 0xFF:
                    result[at - lead] = count, tag != b"VBRI"
            at = content.find(tag, at + 4)
    return result
