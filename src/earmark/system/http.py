"""Open a URL, and leave nothing to the server: pace, redirects and headers are bounded."""

from __future__ import annotations

import http.client
import io
import re
import socket
import string
import time
import urllib.request
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urljoin, urlsplit

from earmark.errors import EarmarkError

LEAST_BYTES = 15_000  # in 30 seconds; a server that sends less is as good as dead
MOST_REDIRECTS = 5
HEADER_BYTES = 1 << 20  # of one answer, with all that comes before it

_REDIRECTS = {301, 302, 303, 307, 308}


class RefusedError(EarmarkError):
    """An answer that is not taken, and will be no better the next time: why, in a few words."""


class Response(http.client.HTTPResponse):
    """An answer that is read at a pace, and to an end."""

    def __init__(self, sock: socket.socket, *arguments: Any, **named: Any) -> None:
        super().__init__(sock, *arguments, **named)
        raw = self.fp.detach()
        self.paced = _Paced(raw, sock.gettimeout() or 30.0)
        self.fp = io.BufferedReader(self.paced)

    def limit(self, body_bytes: int) -> None:
        """Refuse, once the headers are read, what is far longer than ``body_bytes``."""
        self.paced.left = body_bytes + 4 * HEADER_BYTES


def open_url(url: str, headers: dict[str, str], silence_s: float) -> Response:
    """Return the answer to a GET; follow at most MOST_REDIRECTS, and only to as safe a protocol.

    Reading it raises TimeoutError where nothing comes for ``silence_s``, or less than LEAST_BYTES.
    Raises RefusedError, HTTPError, and what the connection and ``http.client`` raise.
    """
    opener = urllib.request.build_opener(_Http, _Https, _NoRedirects)
    for _ in range(MOST_REDIRECTS + 1):
        try:
            if urlsplit(url).scheme not in ("http", "https"):
                raise ValueError("no address of the web")
            request = urllib.request.Request(url, headers=headers)
            response: Response = opener.open(request, timeout=silence_s)
            return response
        except HTTPError as error:
            target = error.headers.get("Location")
            if error.code not in _REDIRECTS or target is None:
                raise
            error.close()
            url = _redirected(url, target)
        except ValueError as error:  # brackets; a part of the host's name is empty, or too long
            raise RefusedError(f"{shown_url(url)} is no address of the web") from error
    raise RefusedError(f"more than {MOST_REDIRECTS} redirects, the last to {shown_url(url)}")


def shown_url(url: str) -> str:
    """Return scheme, host and path of an address to print: the rest may hold a secret."""
    return printable(re.sub(r"[?#].*|[^/]*@", "", url, flags=re.DOTALL))


def printable(text: str) -> str:
    """Return at most 100 characters of what a server said, none of which moves a cursor."""
    shown = "".join(c if c.isprintable() else " " for c in text).strip()
    return shown if len(shown) <= 100 else f"{shown[:97]}..."


def _redirected(url: str, target: str) -> str:
    """Return where an answer leads; refuse what is no HTTP, and to leave HTTPS for HTTP."""
    try:
        new = quote(urljoin(url, target), string.punctuation, "iso-8859-1")  # as it was read
        scheme = urlsplit(new).scheme
    except ValueError as error:
        raise RefusedError(f"a redirect to {shown_url(target)}, which is no address") from error
    if scheme not in ("http", "https") or (urlsplit(url).scheme == "https" and scheme == "http"):
        raise RefusedError(f"a redirect to {shown_url(target)}, which is not followed")
    return new


class _Paced(io.RawIOBase):
    """What a server sends, as long as it is neither too slow nor too long."""

    def __init__(self, raw: Any, silence_s: float) -> None:
        self.raw, self.silence_s, self.left = raw, silence_s, HEADER_BYTES
        self.count, self.since = 0, time.monotonic()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count: int = self.raw.readinto(buffer)
        now = time.monotonic()
        self.count += count
        self.left -= count
        if self.left < 0:
            raise RefusedError("an answer without an end")
        if now - self.since > self.silence_s:
            if self.count < LEAST_BYTES and count:
                raise TimeoutError(
                    f"only {self.count:,} bytes came in {now - self.since:.0f} seconds"
                )
            self.count, self.since = 0, now
        return count

    def close(self) -> None:
        self.raw.close()
        super().close()


class _Connection(http.client.HTTPConnection):
    response_class = Response


class _SafeConnection(http.client.HTTPSConnection):
    response_class = Response


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, req)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        context = self._context  # type: ignore[attr-defined]
        return self.do_open(_SafeConnection, req, context=context)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Leaves redirects to :func:`open_url`: the answer in between may have no end."""

    def http_error_302(self, *_: Any) -> None:
        return None

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302  # type: ignore[assignment]
