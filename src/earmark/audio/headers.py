"""Read the byte where the samples begin, and how many bytes follow, from headers that state it."""

from __future__ import annotations

import re
import struct

from earmark.audio.mapped import Content

MOST_BLOCKS = 10_000  # of a VOC file; programs write a few


def number(head: bytes, at: int, size: int, order: str) -> int:
    if at + size > len(head):
        raise IndexError
    return int.from_bytes(head[at : at + size], order)  # type: ignore[arg-type]


def _nist(head: bytes, _content: Content, _start: int) -> tuple[int, int]:
    count, width, channels = (
        int(match.group(1)) if (match := re.search(name + rb" -i (\d+)", head)) else 1
        for name in (b"sample_count", b"sample_n_bytes", b"channel_count")
    )
    is_packed = b"shorten" in head or b"sample_count" not in head
    return int(head[8:16]), 0 if is_packed else count * width * channels


def _ebml(head: bytes, _content: Content, _start: int) -> tuple[int, int]:
    """Read the length of Matroska's segment; leading zero bits give the number of its bytes."""
    at = head.index(b"\x18\x53\x80\x67") + 4
    n = 9 - head[at].bit_length()
    length = number(head, at, n, "big") & (1 << 7 * n) - 1
    return at + n, 0 if length + 1 == 1 << 7 * n else length


def _au(head: bytes, _content: Content, _start: int) -> tuple[int, int]:
    return number(head, 4, 4, "big"), number(head, 8, 4, "big")


def _avr(head: bytes, _content: Content, _start: int) -> tuple[int, int]:
    channels = 2 if number(head, 12, 2, "big") else 1
    return 128, number(head, 26, 4, "big") * channels * (number(head, 14, 2, "big") // 8)


def _mpc2k(head: bytes, _content: Content, _start: int) -> tuple[int, int]:
    return 42, number(head, 30, 4, "little") * 2 * (1 + head[21])


def _wve(head: bytes, _content: Content, _start: int) -> tuple[int, int]:
    return 32, number(head, 18, 4, "big")


def _sox(head: bytes, _content: Content, _start: int) -> tuple[int, int]:
    order = "little" if head[:1] == b"." else "big"
    return number(head, 4, 4, order) + 4, number(head, 8, 8, order) * 4


def _xi(head: bytes, _content: Content, _start: int) -> tuple[int, int]:
    return 338, number(head, 298, 4, "little") if number(head, 296, 2, "little") == 1 else 0


def _voc(head: bytes, content: Content, start: int) -> tuple[int, int]:
    """Add up the blocks; each has a byte for its kind (0 at the end) and three for its size."""
    at = first = start + number(head, 20, 2, "little")
    for _ in range(MOST_BLOCKS):
        if at + 4 > len(content) or not content[at]:
            break
        at += 4 + int.from_bytes(content[at + 1 : at + 4], "little")
    return first - start, at - first


def _mat5(_head: bytes, content: Content, start: int) -> tuple[int, int]:
    """Go to the last matrix, which has the samples after a header of about 64 bytes.

    Some programs count 8 bytes more than they write.
    """
    order = "little" if content[start + 126 : start + 128] == b"IM" else "big"
    at = last = start + 128
    while at + 8 <= len(content) and int.from_bytes(content[at : at + 4], order) == 14:  # type: ignore[arg-type]
        last, at = at, at + 8 + int.from_bytes(content[at + 4 : at + 8], order)  # type: ignore[arg-type]
    return last + 64 - start, at - last - 64 - 8


def _mat4(head: bytes, _content: Content, _start: int) -> tuple[int, int]:
    """Read the header of the second matrix, which has the samples; the first is the rate."""
    order = "little" if head[0] == 0 and head[1:2] != b"\3" else "big"
    at = 20 + number(head, 16, 4, order) + 8
    kind, rows, columns, _, name = (number(head, at + 4 * k, 4, order) for k in range(5))
    return at + 20 + name, rows * columns * (8, 4, 4, 2, 2, 1)[kind // 10 % 10]


def _flv(head: bytes, content: Content, _start: int) -> tuple[int, int]:
    """Read the size of the file that some programs write: a float64 after its name."""
    at = head.index(b"filesize\0") + 9
    length = int(struct.unpack(">d", head[at : at + 8])[0]) - 9
    return 9, length if length + 9 > len(content) else 0


def _mmf(head: bytes, _content: Content, _start: int) -> tuple[int, int]:
    return 8, number(head, 4, 4, "big")


STATED = {
    b"FLV\1": _flv,
    b"MMMD": _mmf,
    b"\x1a\x45\xdf\xa3": _ebml,
    b"NIST": _nist,
    b".snd": _au,
    b"2BIT": _avr,
    b"\x01\x04": _mpc2k,
    b"ALaw": _wve,
    b".SoX": _sox,
    b"XoS.": _sox,
    b"Exte": _xi,
    b"Crea": _voc,
    b"MATL": _mat5,
    b"\0\0\0\0": _mat4,
    b"\0\0\3\xe8": _mat4,
}


def stated(content: Content, start: int, magic: bytes) -> tuple[int, int]:
    """Return the byte where the samples begin and how many follow, by the header at ``start``.

    Both are 0 if the format, which ``magic`` begins, states neither.
    """
    head = content[start : start + 1024]
    for sign, read in STATED.items():
        if magic.startswith(sign):
            try:
                sound, length = read(head, content, start)
            except (IndexError, ValueError):
                return 0, 0
            return start + sound, length
    return 0, 0
