"""Open a URL with limits on the server: slowness, redirects and the size of the response."""

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

LEAST_BYTES = 15_000  # in 30 seconds; a server that sends less is given up
MOST_REDIRECTS = 5
HEADER_BYTES = 1 << 20  # of one response, with anything before its headers

_REDIRECTS = {301, 302, 303, 307, 308}


class RefusedError(EarmarkError):
    """A response that is refused, and would be refused again; the text says why in a few words."""


class Response(http.client.HTTPResponse):
    """A response that must be neither too slow nor too long."""

    def __init__(self, sock: socket.socket, *arguments: Any, **named: Any) -> None:
        super().__init__(sock, *arguments, **named)
        raw = self.fp.detach()
        self.paced = _Paced(raw, sock.gettimeout() or 30.0)
        self.fp = io.BufferedReader(self.paced)

    def limit(self, body_bytes: int) -> None:
        """Refuse a body that is far longer than ``body_bytes``; call it after the headers."""
        self.paced.left = body_bytes + 4 * HEADER_BYTES


def open_url(url: str, headers: dict[str, str], silence_s: float) -> Response:
    """Return the response to a GET request; follow at most MOST_REDIRECTS, never HTTPS to HTTP.

    Reading it raises TimeoutError if fewer than LEAST_BYTES come in ``silence_s`` seconds. Raises
    RefusedError, HTTPError, and the errors of the connection and of ``http.client``.
    """
    opener = urllib.request.build_opener(_Http, _Https, _NoRedirects)
    for _ in range(MOST_REDIRECTS + 1):
        try:
            if urlsplit(url).scheme not in ("http", "https"):
                raise ValueError("not a web address")
            request = urllib.request.Request(url, headers=headers)
            response: Response = opener.open(request, timeout=silence_s)
            return response
        except HTTPError as error:
            target = error.headers.get("Location")
            if error.code not in _REDIRECTS or target is None:
                raise
            error.close()
            origin, url = _origin(url), _redirected(url, target)
            if _origin(url) != origin:  # a secret is for the first server only
                headers = {k: v for k, v in headers.items() if k.lower() != "authorization"}
        except ValueError as error:  # brackets, or an empty or too long part of the host name
            raise RefusedError(f"{shown_url(url)} is not a web address") from error
    raise RefusedError(f"more than {MOST_REDIRECTS} redirects, the last to {shown_url(url)}")


def shown_url(url: str) -> str:
    """Return the scheme, host and path of an address, to print; the rest may contain a secret."""
    return printable(re.sub(r"[?#].*|[^/]*@", "", url, flags=re.DOTALL))


def printable(text: str) -> str:
    """Return at most 100 characters of a server's text, without control characters."""
    shown = "".join(c if c.isprintable() else " " for c in text).strip()
    return shown if len(shown) <= 100 else f"{shown[:97]}..."


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _redirected(url: str, target: str) -> str:
    """Return the address of a redirect; refuse one that is not HTTP, or goes from HTTPS to HTTP."""
    try:
        # http.client decodes headers as ISO-8859-1.
        new = quote(urljoin(url, target), string.punctuation, "iso-8859-1")
        scheme = urlsplit(new).scheme
    except ValueError as error:
        raise RefusedError(
            f"the server redirects to {shown_url(target)}, which is not a web address"
        ) from error
    if scheme not in ("http", "https") or (urlsplit(url).scheme == "https" and scheme == "http"):
        raise RefusedError(
            f"the server redirects to {shown_url(target)}, which is not safe to follow"
        )
    return new


class _Paced(io.RawIOBase):
    """A stream of what a server sends; it raises an error if that is too slow or too long."""

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
            raise RefusedError("the response is far longer than expected")
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
    """Leaves redirects to :func:`open_url`: urllib would read the body, which may have no end."""

    def http_error_302(self, *_: Any) -> None:
        return None

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302  # type: ignore[assignment]
