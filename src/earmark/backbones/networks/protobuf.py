"""Read Protocol Buffers messages without their schema; TensorFlow and ONNX store weights in them.

A field is a number and a value: an integer for the wire types 0, 1 and 5, bytes for 2. Nothing is
copied, so a message needs no more memory than its bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

VARINT_BYTES = 10  # the longest: 64 bits, 7 per byte
_FIXED = {1: 8, 5: 4}  # wire type: bytes


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return the integer that begins at ``at``, and its end; ValueError if there is none."""
    value = 0
    for n in range(VARINT_BYTES):
        if at + n >= len(data):
            break
        byte = data[at + n]
        value |= (byte & 127) << (7 * n)
        if byte < 128:
            return value, at + n + 1
    raise ValueError("an integer does not end")


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of each field, in order; ValueError if ``data`` is cut short."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = varint(data, at)
            yield number, value
            continue
        size = _FIXED.get(wire)
        if size is None:
            if wire != 2:
                raise ValueError(f"a field of the unknown type {wire}")
            size, at = varint(data, at)
        if size > len(data) - at:
            raise ValueError("a field longer than its message")
        piece = data[at : at + size]
        at += size
        yield number, piece if wire == 2 else int.from_bytes(piece, "little")


def integer(value: int | memoryview) -> int:
    """Return a field's integer; ValueError if the field is bytes."""
    if not isinstance(value, int):
        raise ValueError("a field has bytes instead of an integer")
    return value


def message(value: int | memoryview) -> memoryview:
    """Return a field's bytes; ValueError if the field is an integer."""
    if isinstance(value, int):
        raise ValueError("a field has an integer instead of bytes")
    return value


def text(value: int | memoryview) -> str:
    """Return a field's text; ValueError if the field is not UTF-8 text."""
    return bytes(message(value)).decode()
