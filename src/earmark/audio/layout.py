"""Read the headers of a recording: how many streams it has, and where each should end.

Streams may be joined end to end (``cat a.flac b.flac``), and players stop after the first. A file
may also be cut short. Nothing is decoded here.
"""

from __future__ import annotations

import itertools
import re
from typing import NamedTuple

from earmark.audio import flac, mapped, mpeg
from earmark.audio.headers import number, stated
from earmark.audio.mapped import Content
from earmark.errors import amount

MOST_LINKS = 10_000
MOST_KINDS, MOST_COPIED = 8, 2**26  # containers of other kinds that may follow; their bytes
FEW_CHUNKS, CHUNK_BYTES = 10_000, 48  # a silent frame in a fragment of MP4 takes 58
CRUMBS = f"it has more than {FEW_CHUNKS:,} chunks with hardly any bytes; export it again"
OPEN_ENDED = 0x7FFF_0000  # programs that write into a pipe state this length or more


class Link(NamedTuple):
    """The bytes ``start..end`` of one stream.

    The samples begin at byte ``sound`` and should end at byte ``promised``, which is after ``end``
    if the file was cut short; both are 0 if unknown. ``stream`` describes MPEG audio. ``flaw`` says
    why no decoder can read it correctly. ``rest`` is the number of bytes at the end that no header
    counts. ``samples`` is the number of samples in the frames of FLAC if its header states fewer,
    else 0. ``tracks`` is the number of parallel tracks of sound in Ogg.
    """

    start: int
    end: int
    sound: int = 0
    promised: int = 0
    stream: mpeg.Stream | None = None
    flaw: str = ""
    rest: int = 0
    samples: int = 0
    tracks: int = 1

    @property
    def share(self) -> float:
        """The stated number of bytes of sound, divided by the actual one; 1 if not cut short."""
        actual = self.end - self.sound
        return (self.promised - self.sound) / actual if self.promised > self.end > self.sound else 1


WHOLE = Link(0, 0)  # if nothing is known of the bytes


def links_of(content: Content, depth: int = 0) -> list[Link]:
    """Return the streams of a recording in their order, at least one.

    If there are more than MOST_LINKS, only the first is read.
    """
    links = _links_of(content)
    if links[-1].end < len(content):  # another kind of container follows
        links += _links_behind(content, links[-1].end, depth)
    if len(links) <= MOST_LINKS:
        return links
    flaw = CRUMBS if _are_crumbs(len(links), links[-1].start) else links[0].flaw
    rest = len(content) - links[0].end
    return [links[0]._replace(end=len(content), rest=rest, flaw=flaw)]


def _links_behind(content: Content, at: int, depth: int) -> list[Link]:
    """Return the streams after byte ``at``; a single one if they are many or need much memory."""
    if depth == MOST_KINDS or len(content) - at > MOST_COPIED:
        return [Link(at, len(content))]
    return [
        link._replace(
            start=link.start + at,
            end=link.end + at,
            sound=link.sound + at if link.sound else 0,
            promised=link.promised + at if link.promised else 0,
        )
        for link in links_of(content[at:], depth + 1)
    ]


def _links_of(content: Content) -> list[Link]:
    for family in _FAMILIES:
        if content[: len(family.magic)] == family.magic:
            links = _chunked(content, family)
            return _mpeg_in_wav(content, links[0]) if len(links) == 1 else links
    if content[4:8] == b"ftyp":
        return _mp4(content)
    if content[:4] == b"OggS":
        return _ogg(content)
    body = mpeg.after_id3(content, 0)
    for magic in _MAGICS:
        if match := re.compile(magic, re.DOTALL).match(content, body):
            starts = list(mapped.starts_of(re.compile(magic, re.DOTALL), content))
            links = _parts(content, [0, *starts[1:]])
            if match.group().startswith(b"fLaC") and len(links) <= MOST_LINKS:
                return _flacs(content, links)
            return _or_other(content, _stated(content, links, match.group()))
    is_adts = content[body : body + 1] == b"\xff" and content[body + 1 : body + 2] in _ADTS
    if (body or mpeg.frame_at(content, 0)) and not is_adts:
        return _mpeg(content) or [Link(0, len(content))]
    return _or_other(content, _stated(content, [Link(0, len(content))], content[:4]))


def _or_other(content: Content, links: list[Link]) -> list[Link]:
    """End the last stream where another container begins, if nothing else says where it ends."""
    *before, last = links
    is_box = content[last.start : last.start + 4] in _BOXES
    if last.promised or last.rest or is_box or last.end < len(content):
        return links
    found = [_first(content, sign, offset, last.start) for sign, offset in _SIGNS]
    others = [at for at in found if at > 0]
    return [*before, last._replace(end=min(others))] if others else links


def _first(content: Content, sign: bytes, offset: int, start: int) -> int:
    """Return the first byte after ``start`` where a container with this sign begins, or -1."""
    at = start + offset
    while (at := mapped.find(content, sign, at + 1)) >= 0:
        if OTHERS.match(content, at - offset):
            return at - offset
    return -1


def _parts(content: Content, starts: list[int]) -> list[Link]:
    return [Link(a, b) for a, b in zip(starts, [*starts[1:], len(content)], strict=True)]


def _mpeg(content: Content) -> list[Link]:
    streams = mpeg.streams(content, ends=OTHERS)
    return [
        Link(stream.start if k else 0, stream.end, stream=stream, rest=_behind(content, stream))
        for k, stream in enumerate(streams)
    ]


def _behind(content: Content, stream: mpeg.Stream) -> int:
    """Return the number of bytes after the last frame of MPEG audio that are no tag."""
    is_last = stream.end == len(content) and not stream.is_cut
    return _unread(content, stream.last) if is_last and stream.last < stream.end else 0


def _mpeg_in_wav(content: Content, link: Link) -> list[Link]:
    """Add the frames of MPEG audio in a WAV file, whose header states only a rough length."""
    at = content[:4096].find(b"fmt ")
    if content[:4] == b"RIFF" and content[at + 8 : at + 10] in (b"\x50\0", b"\x55\0"):
        streams = mpeg.streams(content, link.sound)
        return [link._replace(stream=streams[0])] if len(streams) == 1 else [link]
    return [link]


def _flacs(content: Content, links: list[Link]) -> list[Link]:
    """Return the streams of FLAC up to the first that is followed by something else."""
    result = []
    for k, link in enumerate(links):
        result.append(_flac(content, link, link.start if k else mpeg.after_id3(content, 0)))
        if result[-1].end < link.end:
            break
    return result


def _flac(content: Content, link: Link, start: int) -> Link:
    """Return ``link``, whose FLAC begins at ``start``, with end and samples of its last frame."""
    if (stream := flac.stream_in(content, start, link.end)) is None:
        return link
    samples = stream.samples if stream.samples > stream.promised > 0 else 0
    link, behind = link._replace(samples=samples), stream.last + stream.longest
    if behind >= link.end:
        return link
    signs = [match.start() for match in (OTHERS.search(content, stream.last),) if match]
    starts = [*signs, *(s.start for s in mpeg.streams(content, stream.last))]
    if starts and min(starts) < link.end:
        return link._replace(end=min(starts))
    return link._replace(rest=_unread(content, behind))


# Containers of chunks that state their size


class _Family(NamedTuple):
    magic: bytes
    head: int  # bytes before the first chunk
    name: int  # bytes of a chunk's name
    size: int  # bytes of its size
    order: str
    pad: int  # chunks begin at multiples of this
    is_inclusive: bool = False  # the size includes the name and the size itself
    is_size_first: bool = False


_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_W64 = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")
_FAMILIES = (
    _Family(b"RIFF", 12, 4, 4, "little", 2),
    _Family(b"RF64", 12, 4, 4, "little", 2),
    _Family(b"RIFX", 12, 4, 4, "big", 2),
    _Family(b"FORM", 12, 4, 4, "big", 2),
    _Family(b"caff\0\1", 8, 4, 8, "big", 1),
    _Family(_W64, 40, 16, 8, "little", 8, is_inclusive=True),
    _Family(_ASF, 0, 16, 8, "little", 1, is_inclusive=True),
    _Family(b".RMF", 0, 4, 4, "big", 1, is_inclusive=True),
)
_CHUNK_NAME = re.compile(  # but not the first bytes of other containers
    rb"(?!fLaC|OggS|caff|NIST|\.snd|RIFF|RF64|FORM|riff|Crea|MATL|PVF1|ALaw|Exte|TTA[12]|wvpk|#!AM"
    rb"|\.RMF|MMMD|nut/|2BIT|SIMP)[ -~\xa9]{4}"
)
_SOUND = (b"data", b"SSND", b"BODY", b"DATA", bytes.fromhex("3626b275"))


def _chunked(content: Content, family: _Family) -> list[Link]:
    links, start = [], 0
    while True:
        link = _walk(content, family, start)
        links.append(link)
        if not _begins(content, link.end, family) or len(links) > MOST_LINKS:
            return links
        start = link.end


def _walk(content: Content, family: _Family, start: int) -> Link:
    """Return the stream at ``start``: go from chunk to chunk to its end or to another stream."""
    size, head = len(content), family.name + family.size
    at, sound, promised, flaw, rest = start + family.head, 0, 0, "", 0
    open_ended = 1 << 62 if content[start : start + 4] == b"RF64" or family.size > 4 else OPEN_ENDED
    for n in itertools.count():
        if at + head > size:
            break
        if _are_crumbs(n, at - start):
            return Link(start, size, flaw=CRUMBS)
        name = content[at : at + family.name]
        if at > start and _begins(content, at, family):
            return Link(start, at, sound, promised, flaw=flaw)
        length = int.from_bytes(content[at + family.name : at + head], family.order)  # type: ignore[arg-type]
        begin, end = at + head, at + length + (0 if family.is_inclusive else head)
        if name[:4] == b"fmt " and length >= 16:
            flaw = _flaw(content[begin : begin + 16].ljust(16, b"\0"), family.order)
        is_sound = name.startswith(_SOUND) or content[begin : begin + 4] == b"movi"
        if content[start : start + 4] == b"RF64" and name == b"data":
            length = int.from_bytes(content[start + 28 : start + 36], "little")
            end = begin + length
        if promised and (other := _other(content, at)):
            return Link(start, other, sound, promised, flaw=flaw)
        if end <= at or (at > start and family.name == 4 and not _CHUNK_NAME.match(name)):
            rest = _unread(content, at) if promised else 0
            break
        if is_sound:
            is_open = end == begin or (end > size and length >= open_ended)
            sound, promised = begin, 0 if is_open else end
            if is_open or end > size:
                break
        if _begins(content, end, family):
            return Link(start, end, sound, promised, flaw=flaw)
        at = end + (start - end) % family.pad
    return Link(start, size, sound, promised, flaw=flaw, rest=rest)


def _are_crumbs(n: int, n_bytes: int) -> bool:
    """Return whether so many chunks are so small that nobody recorded them, but time would pass."""
    return n > FEW_CHUNKS and n * CHUNK_BYTES > n_bytes


def _other(content: Content, at: int) -> int:
    """Return the byte where another container begins, ``at`` or one before (no padding); else 0."""
    for begin in (at, at - 1):
        if OTHERS.match(content, begin) or mpeg.begins(content, begin):
            return begin
    return 0


def _unread(content: Content, at: int) -> int:
    """Return the number of bytes from ``at`` on that no header counts; 0 for padding and tags."""
    sample = content[at - 1 : at + 4096]  # a chunk may begin one byte early, without padding
    is_tag = sample.startswith((b"TAG", b"ID3", b"APETAG", b"LYRICSBEGIN"), 1)
    if _CHUNK_NAME.match(sample):
        lengths = (int.from_bytes(sample[4:8], "little"), int.from_bytes(sample[4:8], "big"))
        is_tag |= min(lengths) <= len(content) - at
    return 0 if is_tag or not any(sample[1:]) else len(content) - at


def _flaw(form: bytes, order: str) -> str:
    """Return how the format of a WAV file contradicts itself (bits against bytes), or ''.

    If the bytes per second fit the bits, only the bytes per block are wrong, and decoders ignore
    that.
    """
    kind, channels = number(form, 0, 2, order), number(form, 2, 2, order)
    rate_hz, bytes_a_s = number(form, 4, 4, order), number(form, 8, 4, order)
    block, bits = number(form, 12, 2, order), number(form, 14, 2, order)
    width = (bits + 7) // 8
    is_slip = bytes_a_s != rate_hz * block
    if kind not in (1, 3, 0xFFFE) or block in (0, channels * width) or is_slip:
        return ""
    return (
        f"its header contradicts itself: {bits} bits per sample, but {amount(block, 'byte')} for"
        f" {amount(channels, 'channel')}; export it again from the program that made it"
    )


def _begins(content: Content, at: int, family: _Family) -> bool:
    """Return whether another file of a family begins at ``at``; "AVIX" continues the same AVI."""
    if content[at : at + len(family.magic)] != family.magic:
        return False
    return content[at + 8 : at + 12] != b"AVIX" and at + family.head < len(content)


# Pages of Ogg, boxes of MP4, and magic numbers


def _mp4(content: Content) -> list[Link]:
    """Return the MP4 files: each begins with a box "ftyp"; the samples ("mdat") may be cut."""
    links, at, start, sound, promised, rest = list[Link](), 0, 0, 0, 0, 0
    for n in itertools.count():
        if at + 16 > len(content):
            break
        if _are_crumbs(n, at):
            return [Link(0, len(content), flaw=CRUMBS)]
        if at and content[at + 4 : at + 8] != b"ftyp" and (other := _other(content, at)):
            return [*links, Link(start, other, sound, promised)]
        length, head = int.from_bytes(content[at : at + 4], "big"), 8
        if length == 1:
            length, head = int.from_bytes(content[at + 8 : at + 16], "big"), 16
        name = content[at + 4 : at + 8]
        if at and name == b"ftyp":
            links.append(Link(start, at, sound, promised))
            start, sound, promised = at, 0, 0
        is_box = bool(_CHUNK_NAME.match(name))
        if length < head or not is_box:  # a length of 0 is up to the end
            rest = 0 if is_box and not length else _unread(content, at)
            break
        if name == b"mdat":
            sound, promised = at + head, at + length
        at += length
    return [*links, Link(start, len(content), sound, promised, rest=rest)]


def _ogg(content: Content) -> list[Link]:
    """Return chained Ogg streams: each begins with a first page after a page of another kind."""
    starts, at, is_first, end, tracks = [0], 0, True, 0, 0
    while 0 <= at < len(content) - 27:
        mapped.release(content, at)
        was_first, is_first = is_first, bool(content[at + 5] & 2)
        if is_first and not was_first:
            starts.append(at)
        lengths = content[at + 27 : at + 27 + content[at + 26]]
        begin = at + 27 + len(lengths)
        if len(starts) == 1 and is_first and _OGG_SOUND.match(content, begin):
            tracks += 1
        at += 27 + len(lengths) + sum(lengths)
        if content[at : at + 4] != b"OggS":
            end, at = at, mapped.find(content, b"OggS", at)
            if _other(content, end):
                return _parts(content, [*starts, end])
    *links, last = _parts(content, starts)
    return [*links, last._replace(rest=_unread(content, end) if end else 0, tracks=max(1, tracks))]


# Magic numbers of containers that are too long to occur by chance
OTHERS = re.compile(
    rb"RIFF.{4}WAVE|RF64.{4}WAVE|FORM.{4}AIF[FC]|fLaC[\x00\x80]\x00\x00\x22|OggS\x00\x02\x00{8}"
    rb"|caff\x00\x01\x00\x00desc|.{4}ftyp(?:M4A |isom|mp4)",
    re.DOTALL,
)
_SIGNS = (  # parts of OTHERS that are quick to find, and how far after the beginning they are
    (b"WAVEfmt ", 8),
    (b"OggS\x00\x02" + bytes(8), 0),
    (b"fLaC\x00\x00\x00\x22", 0),
    (b"AIFF", 8),
    (b"AIFC", 8),
    (b"ftyp", 4),
)
_BOXES = (b"\x1a\x45\xdf\xa3", b"nut/")  # Matroska and NUT contain headers of others
_OGG_SOUND = re.compile(rb"\x01vorbis|OpusHead|\x7fFLAC|Speex   |fLaC")
_ADTS = (b"\xf0", b"\xf1", b"\xf8", b"\xf9")  # AAC, whose frames look like those of MP3
_MAGICS = (
    rb"fLaC[\x00\x80]\x00\x00\x22",
    rb"NIST_1A\n +\d+\n",
    rb"Creative Voice File\x1a",
    rb"\.snd\x00\x00..(?=....\x00\x00\x00[\x01-\x1d]\x00..."
    rb"\x00\x00\x00[\x01-\x10])",
    rb"#!AMR(-WB)?\n",
    rb"TTA1[\x01\x02]\x00",
    rb"\x1a\x45\xdf\xa3(?=.{1,60}?\x42\x82.{1,2}(?:webm|matroska))",
    rb"MATLAB 5\.0 MAT-file",
    rb"ALawSoundFile\*\*\x00",
    rb"2BIT",
    rb"PVF1\n",
    rb"FLV\x01[\x01\x04\x05]\x00\x00\x00\x09",
    rb"\xf0\x7e.\x01.{16}\xf7",
    rb" paf\x00\x00\x00\x00|fap \x00\x00\x00\x00",
    rb"\x64\xa3[\x01-\x04]\x00(?=.{4}[\x01-\x10]\x00\x00\x00)",
)


def _stated(content: Content, links: list[Link], magic: bytes) -> list[Link]:
    """Add the length that the header of the last stream states, if its format has one."""
    *before, last = links
    while len(before) <= MOST_LINKS:
        sound, length = stated(content, last.start, magic)
        if 0 < length < OPEN_ENDED:
            last = last._replace(sound=sound, promised=sound + length)
        is_end = last.promised <= last.start
        if is_end or content[last.promised : last.promised + 4] != magic[:4]:
            break
        before.append(last._replace(end=last.promised))
        last = Link(last.promised, last.end)
    if last.start < last.promised < last.end:
        if other := _other(content, last.promised):
            return [*before, last._replace(end=other)]
        last = last._replace(rest=_unread(content, last.promised))
    return [*before, last]
