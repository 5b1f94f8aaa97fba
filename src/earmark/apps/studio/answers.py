"""How the studio answers: JSON, problems with a sentence, files as downloads, parts of sounds."""

from __future__ import annotations

import contextlib
import os
import re
import urllib.parse
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse

from earmark.apps.service.problems import MEDIA_TYPE, ProblemError, problem_body
from earmark.apps.studio.learned.shelves import files_below, open_found
from earmark.apps.studio.mistakes import FULL, GONE
from earmark.errors import EarmarkError
from earmark.system.jsons import json_text

BLOCK_BYTES = 2**18
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})", re.ASCII)
_PLAIN = re.compile(r"[^A-Za-z0-9._ -]")
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest: the archive depends on its files alone


class Json(Response):
    """A response of JSON, in which names keep bytes that are not UTF-8 and NaN is null."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json_text(content).encode()


def add_handlers(app: FastAPI) -> None:
    """Let every error become a problem with a sentence."""
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(EarmarkError, _mistake)
    app.add_exception_handler(OSError, _of_the_disk)
    app.add_exception_handler(HTTPException, _of_starlette)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _fault)


@contextlib.contextmanager
def found() -> Iterator[None]:
    """Answer 404 if a thing that a request names is not there."""
    try:
        yield
    except KeyError as error:
        if isinstance(error, EarmarkError):  # it has a sentence of its own
            raise
        raise ProblemError(404, GONE) from None


def respond(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return a problem."""
    body = problem_body(status, f"{detail[:1].upper()}{detail[1:]}")
    return Response(body, status, dict(headers or {}), MEDIA_TYPE)


def part_of(content: bytes, wanted: str | None, media_type: str) -> Response:
    """Return the whole of a sound, or the one range of its bytes that a player wants."""
    headers = {"accept-ranges": "bytes", "cache-control": "no-store"}
    match = _RANGE.fullmatch(wanted or "")
    if match is None or match[0] == "bytes=-":
        return Response(content, 200, headers, media_type)
    first, last = match[1], match[2]
    start = int(first) if first else max(0, len(content) - int(last))
    end = min(int(last) + 1, len(content)) if first and last else len(content)
    if start >= end:
        headers["content-range"] = f"bytes */{len(content)}"
        return respond(416, "The sound has no such part. Load it again.", headers)
    headers["content-range"] = f"bytes {start}-{end - 1}/{len(content)}"
    return Response(content[start:end], 206, headers, media_type)


def range_of(wanted: str | None) -> tuple[int, int | None] | None:
    """Return the first and the last byte that a player wants; None if it names no first one."""
    match = _RANGE.fullmatch(wanted or "")
    if match is None or not match[1] or (match[2] and int(match[2]) < int(match[1])):
        return None
    return int(match[1]), int(match[2]) if match[2] else None


def part_at(part: bytes, first: int, size: int, media_type: str) -> Response:
    """Return the bytes from ``first`` on of a sound of ``size`` bytes that is not read whole."""
    headers = {"accept-ranges": "bytes", "cache-control": "no-store"}
    headers["content-range"] = f"bytes {first}-{first + len(part) - 1}/{size}"
    return Response(part, 206, headers, media_type)


def download(listed: Mapping[str, Path], key: str, name: str) -> Response:
    """Return a file that was listed as a download of this name; 404 if there is none."""
    with found():
        file = open_found(listed[key])
    headers = {"content-length": str(os.fstat(file.fileno()).st_size), **_as_download(name)}
    return StreamingResponse(_blocks(file), 200, headers, "application/octet-stream")


def download_folder(folder: Path, name: str) -> Response:
    """Return the files of a folder as a ZIP archive, which is made while it is sent."""
    headers = _as_download(f"{name}.zip")
    return StreamingResponse(_zipped(folder, name), 200, headers, "application/zip")


def _as_download(name: str) -> dict[str, str]:
    """Return the header of a download; a name may have any characters, also line ends."""
    quoted = urllib.parse.quote(name, safe="", errors="replace")
    text = f"attachment; filename=\"{_PLAIN.sub('_', name)}\"; filename*=UTF-8''{quoted}"
    return {"content-disposition": text}


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while block := file.read(BLOCK_BYTES):
            yield block


class _Sink:
    """Takes what an archive writes, until it is sent."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, part: bytes) -> int:
        self._parts.append(bytes(part))
        return len(part)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


def _zipped(folder: Path, root: str) -> Iterator[bytes]:
    sink = _Sink()
    with zipfile.ZipFile(sink, "w") as archive:  # type: ignore[call-overload]
        for name, path in files_below(folder):
            about = zipfile.ZipInfo(_sayable(f"{root}/{name}"), _ZIP_TIME)
            source = open_found(path)
            with archive.open(about, "w", force_zip64=True) as target:
                for block in _blocks(source):
                    target.write(block)
                    yield sink.take()
    yield sink.take()


def _sayable(name: str) -> str:
    """Return a name in which bytes that are not UTF-8 are question marks."""
    return name.encode("utf-8", "replace").decode()


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return respond(error.status, error.detail, error.headers)


async def _mistake(_: Request, error: Exception) -> Response:
    cause = error.__cause__
    is_full = isinstance(cause, OSError) and cause.errno in FULL
    return respond(507 if is_full else getattr(error, "status", 422), str(error))


async def _of_the_disk(_: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)
    if error.errno in FULL:
        return respond(507, "The disk is full, and nothing was changed. Free some space.")
    reason = error.strerror or type(error).__name__
    return respond(500, f"A file cannot be used: {reason}. Check the folder and its permissions.")


async def _of_starlette(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = str(error.detail)
    if error.status_code == 404:
        text = GONE
    elif error.status_code == 405:
        text = f"This address does not take {request.method}."
    elif error.status_code == 400:
        text = "The body cannot be read. Send JSON."
    return respond(error.status_code, text, error.headers)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part)[:40] for part in first["loc"][1:]) or "The request"
    return respond(422, f"{where} is not allowed: {first['msg']}. Reload the page.")


async def _fault(_: Request, __: Exception) -> Response:
    return respond(500, "The studio has a fault; its terminal has more. Report it.")
