"""Download a file over HTTP; after a broken connection, go on where it stopped."""

from __future__ import annotations

import http.client
import socket
import time
import urllib.request
from pathlib import Path
from ssl import SSLError
from urllib.error import HTTPError, URLError

from earmark.errors import EarmarkError
from earmark.system.files import BLOCK_BYTES
from earmark.system.progress import ByteProgress

SILENCE_S = 30.0  # a server that says nothing for so long is taken for dead
TRIES = 4  # connections in a row that brought nothing new, before a download is given up
BACK_OFF_S = 1.0  # waited after the first of them; doubled after each

# Errors of the connection; other OSErrors are of the disk.
_BROKEN = (URLError, http.client.HTTPException, SSLError, ConnectionError, TimeoutError)
_PASSING = {408, 425, 429, 500, 502, 503, 504}  # HTTP: what may be over in a moment
_NOTHING_LEFT = 416  # HTTP: the range asked for begins at the file's end


class DownloadError(EarmarkError):
    """A download that failed: the ``reason`` in a few words, and the bytes ``received``."""

    def __init__(self, reason: str, received: int) -> None:
        super().__init__(reason)
        self.reason, self.received = reason, received


def download(
    url: str, part: Path, expected_bytes: int, progress: ByteProgress | None = None
) -> None:
    """Download ``url`` to ``part``; connect again as long as each connection brings new bytes.

    A file of more than twice ``expected_bytes`` is cut off: its hash cannot match. Raises
    DownloadError, whose sentence the caller writes, and OSError for a full disk.
    """
    failures, before = 0, -1
    while True:
        try:
            return _receive(url, part, 2 * expected_bytes, progress)
        except _BROKEN as error:
            received = part.stat().st_size if part.exists() else 0
            failures = failures + 1 if received <= before else 1
            before = received
            code = error.code if isinstance(error, HTTPError) else 503
            offline = isinstance(getattr(error, "reason", None), socket.gaierror)
            if code not in _PASSING or failures == TRIES or offline:
                raise DownloadError(_reason(error), received) from error
        time.sleep(BACK_OFF_S * 2 ** (failures - 1))


def _receive(url: str, part: Path, most_bytes: int, progress: ByteProgress | None) -> None:
    """Append the rest of the file to ``part``; start again if the server sends the whole file."""
    received = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "earmark"} | ({"Range": f"bytes={received}-"} if received else {})
    request = urllib.request.Request(url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=SILENCE_S)
    except HTTPError as error:
        if error.code == _NOTHING_LEFT and received:
            return  # complete, or not what it should be: its hash will tell
        raise
    with response:
        received = received if response.status == http.client.PARTIAL_CONTENT else 0
        total = received + int(response.headers.get("Content-Length") or 0)
        with part.open("ab" if received else "wb") as out:
            while block := response.read1(BLOCK_BYTES):
                out.write(block)
                received += len(block)
                if received > most_bytes:
                    break  # whatever this is, it is not the file: its hash will tell
                if progress is not None:
                    progress(received, max(total, received))
            else:
                if received < total:
                    raise ConnectionError(
                        f"the connection broke after {received:,} of {total:,} bytes"
                    )


def _reason(error: Exception) -> str:
    """Say in a few words why a server could not be reached, or what it answered."""
    if isinstance(error, HTTPError):
        return f"HTTP {error.code} {error.reason}"
    cause = error.reason if isinstance(error, URLError) else error
    return getattr(cause, "strerror", None) or str(cause) or type(error).__name__
