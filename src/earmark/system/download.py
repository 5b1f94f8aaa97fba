"""Download a file over HTTP; resume after a broken connection."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from ssl import SSLError
from urllib.error import HTTPError, URLError

from earmark.errors import EarmarkError
from earmark.system.files import BLOCK_BYTES
from earmark.system.http import LEAST_BYTES, RefusedError, open_url, printable
from earmark.system.progress import ByteProgress

SILENCE_S = 30.0  # a connection that brings (almost) nothing for this long is given up
TRIES = 4  # connections in a row that may bring too little before a download is given up
BACK_OFF_S = 1.0  # pause after the first of them; doubled after each

# Errors of the connection; other OSErrors come from the disk.
BROKEN = (URLError, http.client.HTTPException, SSLError, ConnectionError, TimeoutError)
_TEMPORARY = {408, 425, 429, 500, 502, 503, 504}  # HTTP codes after which a retry may succeed
_NOTHING_LEFT = 416  # HTTP code: the requested range begins at the end of the file


class DownloadError(EarmarkError):
    """A download that failed: the ``reason`` in a few words, and the bytes ``received``."""

    def __init__(self, reason: str, received: int) -> None:
        super().__init__(reason)
        self.reason, self.received = reason, received


def download(
    url: str,
    part: Path,
    expected_bytes: int,
    progress: ByteProgress | None = None,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Download ``url`` to ``part``; reconnect as long as each connection brings enough bytes.

    The download ends at twice ``expected_bytes``, because the hash of a longer file cannot match.
    It is given up after TRIES connections in a row (2 to 5 minutes) that each bring fewer than
    LEAST_BYTES, or fewer than that in SILENCE_S. ``headers`` are sent, too; a redirect to another
    server loses their ``Authorization``. Raises DownloadError, from which the caller makes
    a full sentence, and OSError for a full disk.
    """
    failures, before = 0, -LEAST_BYTES
    while True:
        try:
            return _receive(url, part, 2 * expected_bytes, progress, headers or {})
        except RefusedError as error:
            raise DownloadError(str(error), _size(part)) from error
        except BROKEN as error:
            received = _size(part)
            failures = failures + 1 if received < before + LEAST_BYTES else 1
            before = received
            code = error.code if isinstance(error, HTTPError) else 503
            offline = isinstance(getattr(error, "reason", None), socket.gaierror)
            if code not in _TEMPORARY or failures == TRIES or offline:
                raise DownloadError(broken_reason(error), received) from error
        time.sleep(BACK_OFF_S * 2 ** (failures - 1))


def _receive(
    url: str,
    part: Path,
    most_bytes: int,
    progress: ByteProgress | None,
    more_headers: Mapping[str, str],
) -> None:
    """Append the rest of the file to ``part``; overwrite it if the server sends the whole file."""
    received = _size(part)
    headers = {"User-Agent": "earmark", **more_headers} | (
        {"Range": f"bytes={received}-"} if received else {}
    )
    try:
        response = open_url(url, headers, SILENCE_S)
    except HTTPError as error:
        if error.code == _NOTHING_LEFT and received:
            return  # either complete or a wrong file; the caller checks the hash
        raise
    with response:
        received = received if _continues(response, received) else 0
        total = received + _content_length(response)
        response.limit(most_bytes)
        block = response.read1(BLOCK_BYTES)
        if not received and block.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
            raise RefusedError(
                "the server sent a web page instead of the file, perhaps a login page"
            )
        with part.open("ab" if received else "wb") as out:
            while block:
                out.write(block)
                received += len(block)
                if received > most_bytes:
                    return  # a wrong file; the caller checks the hash
                if progress is not None:
                    progress(received, max(total, received))
                block = response.read1(BLOCK_BYTES)
        if received < total:
            raise ConnectionError(f"the connection broke after {received:,} of {total:,} bytes")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _continues(response: http.client.HTTPResponse, received: int) -> bool:
    """Return whether a response continues after the bytes received so far."""
    content_range = response.headers.get("Content-Range", "")
    is_other = content_range and not content_range.startswith(f"bytes {received}-")
    return response.status == http.client.PARTIAL_CONTENT and not is_other


def _content_length(response: http.client.HTTPResponse) -> int:
    """Return the number of bytes that the headers announce; 0 if they have no number."""
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isascii() and length.isdigit() and len(length) < 20 else 0


def broken_reason(error: Exception) -> str:
    """Say in a few words why a server could not be reached, or what it answered."""
    if isinstance(error, HTTPError):
        return printable(f"HTTP {error.code} {error.reason}")
    if isinstance(error, http.client.HTTPException) and not isinstance(error, ConnectionError):
        return f"the response of the server is not valid HTTP: {type(error).__name__}"
    cause = error.reason if isinstance(error, URLError) else error
    return printable(getattr(cause, "strerror", None) or str(cause) or type(error).__name__)
