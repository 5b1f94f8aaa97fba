"""Objects that lie elsewhere, named by URI: their status and parts of their bytes, with retries.

Access is through fsspec, which is loaded at the first use. What a server sends is limited, so that
no answer takes more time or memory than was asked for.
"""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

from earmark.system.http import shown_url

MEMBER = "::"  # between an archive and what is in it: a file of a tar, or a row of a Parquet file
ATTEMPT_S = 60.0  # for one request; a part has at most some megabytes
LEAST_BYTES_S = 1_000_000  # bytes that are sent in a second, or the server is too slow
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0  # before a request is repeated; doubled after each
DEADLINE_S = 120.0  # after which a request that failed is not repeated

SCHEMES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "http", "https", "memory")
NAMED = "s3, gs, az, https and http"  # those for people; the others are other names for these

_ROW = re.compile(r"(.+\.parquet)::([0-9]{1,12})", re.IGNORECASE | re.DOTALL)
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")

T = TypeVar("T")


class ObjectStatus(NamedTuple):
    """The size in bytes, and a version that differs after a change; '' if there is none."""

    size: int
    version: str


class Part(NamedTuple):
    """The bytes of an object from one on, and the object's status.

    ``is_ranged`` says that the server can send any part.
    """

    content: bytes
    status: ObjectStatus
    is_ranged: bool = True


class ObjectError(Exception):
    """The reason why an object cannot be read; ``is_passing`` if it may be there later."""

    def __init__(self, reason: str, *, is_passing: bool = False, kind: str = "missing") -> None:
        super().__init__(reason)
        self.is_passing, self.kind = is_passing, kind


class ChangedError(ObjectError):
    """An object that is not the one of which the status is known."""

    def __init__(self) -> None:
        super().__init__("changed while it was read; run the same command again")


def scheme_of(text: str) -> str | None:
    """Return the scheme of a URI in lower case; None for a path, also with a Windows drive."""
    match = _URI.match(text)
    return match.group(1).lower() if match else None


def is_uri(text: str) -> bool:
    """Return whether ``text`` names something that lies elsewhere; a ``file:`` URI does not."""
    return scheme_of(text) not in (None, "file")


def row_of(text: str) -> tuple[str, int] | None:
    """Return the Parquet file and the row, from 0, that a path or URI names; None if it does not.

    ``a.parquet::3`` is the fourth row.
    """
    match = _ROW.fullmatch(text)
    return (match[1], int(match[2])) if match else None


def shown(uri: str) -> str:
    """Return a URI to print; what may be a secret in a web address is left out."""
    return shown_url(uri) if scheme_of(uri) in ("http", "https") else uri


def read_status(uri: str) -> ObjectStatus:
    """Return the status of an object, without its bytes. Raises ObjectError."""
    from earmark.system.object_access import access_to

    return _repeated(uri, lambda: access_to(uri).status(uri, ATTEMPT_S))


def read_part(uri: str, first: int, last: int, known: ObjectStatus | None = None) -> Part:
    """Return the bytes ``first..last`` of an object, or those up to its end.

    Raises ChangedError if the status is not the one that is ``known``, and ObjectError.
    """
    from earmark.system.object_access import access_to

    def attempt() -> Part:
        part = access_to(uri).part(uri, first, last, known, ATTEMPT_S)
        if known is not None and part.status != known:
            raise ChangedError
        expected = max(0, min(last, part.status.size) - first)
        if len(part.content) != expected:
            raise ObjectError(
                f"only {len(part.content):,} of {expected:,} bytes came", is_passing=True
            )
        return part

    return _repeated(uri, attempt)


def write_object(uri: str, path: Path) -> None:
    """Write the content of a file to an object; others see all of it or none. Raises ObjectError.

    Whatever the object had is replaced.
    """
    from earmark.system.object_access import writable_access_to

    limit_s = ATTEMPT_S + path.stat().st_size / LEAST_BYTES_S
    _repeated(uri, lambda: writable_access_to(uri).put(uri, path, limit_s))


def delete_object(uri: str) -> None:
    """Delete an object. Raises ObjectError."""
    from earmark.system.object_access import writable_access_to

    _repeated(uri, lambda: writable_access_to(uri).delete(uri, ATTEMPT_S))


def names_below(uri: str) -> list[str]:
    """Return the names of the objects directly below a URI. Raises ObjectError."""
    from earmark.system.object_access import writable_access_to

    folder = uri.rstrip("/") + "/"
    return _repeated(folder, lambda: writable_access_to(folder).names(folder, ATTEMPT_S))


class _Failing:
    """The servers that failed for a whole deadline, and have not answered since."""

    def __init__(self) -> None:
        self._lock, self._servers = threading.Lock(), set[str]()

    def __contains__(self, server: str) -> bool:
        with self._lock:
            return server in self._servers

    def mark(self, server: str, is_failing: bool) -> None:
        with self._lock:
            (self._servers.add if is_failing else self._servers.discard)(server)


_failing = _Failing()


def _repeated(uri: str, attempt: Callable[[], T]) -> T:
    """Return what ``attempt`` does; repeat it after errors that may pass, with growing pauses.

    Once a server has failed for a whole deadline, requests to it are made once, until it answers.
    """
    server = "/".join(urlsplit(uri)[:2])
    begin_s, pause_s, count = monotonic(), FIRST_PAUSE_S, 0
    while True:
        count += 1
        try:
            result = attempt()
        except ObjectError as error:
            if not error.is_passing:
                raise
            is_over = monotonic() - begin_s + pause_s > DEADLINE_S
            if is_over or server in _failing:
                _failing.mark(server, True)
                times = f", {count} times in a row" if count > 1 else ""
                raise ObjectError(
                    f"{error}{times}; check the server, or try again later"
                ) from error
        else:
            _failing.mark(server, False)
            return result
        pause(pause_s * random.uniform(0.5, 1.0))
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def pause(seconds: float) -> None:
    """Wait between two requests; several threads must not come back at the same moment."""
    sleep(seconds)
