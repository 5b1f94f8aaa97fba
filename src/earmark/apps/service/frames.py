"""Messages between the service and its processes: a value of JSON, and bytes.

Not pickle: one of the processes decodes recordings of strangers, and no other must run what it
says.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

Message = tuple[dict[str, Any], bytes]
_SIZES = struct.Struct(">IQ")
MOST_TEXT = 2**26  # bytes of the JSON; that of a long recording has one entry for each block
MOST_BYTES = 2**32


def pack(value: dict[str, Any], body: bytes = b"") -> bytes:
    """Return a message: the sizes, ``value`` as JSON, ``body``."""
    text = json.dumps(value).encode()
    return b"".join((_SIZES.pack(len(text), len(body)), text, body))


def unpack_text(message: bytes) -> tuple[bytes, memoryview]:
    """Return the JSON and the body of a whole message; ValueError if it is none."""
    text_bytes, body_bytes = _sizes(message[: _SIZES.size])
    if len(message) != _SIZES.size + text_bytes + body_bytes:
        raise ValueError("the message has another length than it says")
    at = _SIZES.size + text_bytes
    return message[_SIZES.size : at], memoryview(message)[at:]


def read(file: BinaryIO) -> Message | None:
    """Read a message from a file; None at its end."""
    begin = _exactly(file, _SIZES.size)
    if begin is None:
        return None
    text_bytes, body_bytes = _sizes(begin)
    text, body = _exactly(file, text_bytes), _exactly(file, body_bytes)
    return None if text is None or body is None else (json.loads(text), body)


class Unpacker:
    """Takes bytes in parts and returns the messages that are whole."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, part: bytes) -> Iterator[Message]:
        """Add bytes; yield each message that is whole now. ValueError if they are none."""
        self._bytes += part
        while len(self._bytes) >= _SIZES.size:
            text_bytes, body_bytes = _sizes(self._bytes[: _SIZES.size])
            at = _SIZES.size + text_bytes
            end = at + body_bytes
            if len(self._bytes) < end:
                return
            with memoryview(self._bytes) as view:
                value, body = json.loads(bytes(view[_SIZES.size : at])), bytes(view[at:end])
            del self._bytes[:end]
            yield value, body


def _sizes(begin: bytes | bytearray) -> tuple[int, int]:
    text_bytes, body_bytes = _SIZES.unpack(begin)
    if text_bytes > MOST_TEXT or body_bytes > MOST_BYTES:
        raise ValueError("the message is too long")
    return text_bytes, body_bytes


def _exactly(file: BinaryIO, size: int) -> bytes | None:
    parts, left = [], size
    while left:
        part = file.read(left)
        if not part:
            return None
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
