"""The recording in a request: a raw body, or the file of a form."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from email.message import Message
from typing import Any

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from starlette.types import Receive

from earmark.apps.service.problems import RETRY, RETRY_S, ProblemError
from earmark.apps.service.settings import Limits

FORM = "multipart/form-data"
MOST_PARTS = 8  # of a form
FORM_BYTES = 64 * 1024  # that a form may have beside its file
MOST_BOUNDARY = 70  # characters (RFC 2046)
RAW_TYPES = ("audio/", "video/", "application/octet-stream", "application/ogg")

logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # it prints what strangers send


class DisconnectError(Exception):
    """A connection that ended before the body of its request did."""


def check_head(headers: Mapping[str, str], limits: Limits) -> None:
    """Raise a problem for a body that is too large or of a wrong type, before it is read."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind and kind != FORM and not kind.startswith(RAW_TYPES):
        raise ProblemError(
            415,
            f"The content type is {kind[:80]!r}. Send the bytes of a recording as audio/wav or"
            f" application/octet-stream, or a form of the type {FORM} with one file.",
        )
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise ProblemError(415, "The body is compressed. Send it without a content encoding.")
    length = headers.get("content-length")
    if length is None and "transfer-encoding" not in headers:
        raise ProblemError(422, "The request has no body. Send the bytes of a recording.")
    if length is not None and int(length) > _most_bytes(limits):
        raise _too_large(limits)


class Bodies:
    """Counts the bytes of all bodies that are in memory; ``most`` are allowed."""

    def __init__(self, most: int) -> None:
        self._most, self._used, self._number = most, 0, 0

    @contextlib.contextmanager
    def one(self) -> Iterator[Callable[[int], None]]:
        """Yield what counts the bytes of one body; it raises a problem if they are too many.

        Then bodies that take more than their share are refused, and no others. A body may always
        be the only one.
        """
        own = 0
        self._number += 1

        def count(n_bytes: int) -> None:
            nonlocal own
            own += n_bytes
            self._used += n_bytes
            is_large = own * self._number > self._most
            if own < self._used and self._used > self._most and is_large:
                raise ProblemError(
                    503,
                    f"The bodies of all requests take {self._most:,} bytes, the most that is"
                    f" allowed. Try again in {RETRY_S} s.",
                    RETRY,
                )

        try:
            yield count
        finally:
            self._used -= own
            self._number -= 1


async def read_recording(
    receive: Receive, headers: Mapping[str, str], limits: Limits, count: Callable[[int], None]
) -> bytes:
    """Return the bytes of the recording; ``count`` is called with the number of each part.

    Raises a problem if they are too many, and DisconnectError if they do not come.
    """
    body = await _read(receive, limits, count)
    content_type = headers.get("content-type", "")
    is_form = content_type.lower().startswith(FORM)
    recording = _file_of(content_type, body) if is_form else body
    if len(recording) > limits.body_bytes:
        raise _too_large(limits)
    if not recording:
        raise ProblemError(422, "The body is empty (0 bytes). Send the bytes of a recording.")
    return recording


async def _read(receive: Receive, limits: Limits, count: Callable[[int], None]) -> bytes:
    parts, size, is_whole = [], 0, False
    while not is_whole:
        message = await receive()
        if message["type"] != "http.request":
            raise DisconnectError
        part = message.get("body", b"")
        is_whole = not message.get("more_body", False)
        size += len(part)
        if size > _most_bytes(limits):
            raise _too_large(limits)
        count(len(part))
        parts.append(part)
    return b"".join(parts)


def _most_bytes(limits: Limits) -> int:
    return limits.body_bytes + FORM_BYTES


def _too_large(limits: Limits) -> ProblemError:
    return ProblemError(
        413,
        f"The body is larger than {limits.body_bytes:,} bytes, the most that is allowed. Send a"
        " shorter recording, or one in a compressed format such as FLAC.",
    )


def _file_of(content_type: str, body: bytes) -> bytes:
    """Return the only file of a form."""
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_param("boundary")
    form = _Form()
    try:
        parser = MultipartParser(str(boundary or "").encode("latin-1"), form.callbacks())
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError):
        form.is_whole = False
    if not boundary or len(str(boundary)) > MOST_BOUNDARY or not form.is_whole:
        raise ProblemError(
            422, "The form is damaged: its parts do not match its boundary. Use an HTTP client."
        )
    files = [content for disposition, content in form.parts if b"filename" in disposition]
    if len(files) != 1:
        raise ProblemError(
            422, f"The form has {len(files)} files. Send one form with one file for each recording."
        )
    return bytes(files[0])


class _Form:
    """Collects the parts of a form: the Content-Disposition and the content of each."""

    def __init__(self) -> None:
        self.parts: list[tuple[bytes, bytearray]] = []
        self.is_whole = False
        self._name, self._value, self._disposition = b"", b"", b""

    def callbacks(self) -> Any:
        names = "part_begin header_field header_value header_end headers_finished part_data end"
        return {f"on_{name}": getattr(self, f"_{name}") for name in names.split()}

    def _part_begin(self) -> None:
        if len(self.parts) >= MOST_PARTS:
            raise ValueError(f"more than {MOST_PARTS} parts")
        self._disposition = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name, self._value = b"", b""

    def _headers_finished(self) -> None:
        self.parts.append((self._disposition, bytearray()))

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1][1].extend(data[start:end])

    def _end(self) -> None:
        self.is_whole = True
