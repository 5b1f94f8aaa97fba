"""Sounds: their spectrograms, outlines and audio; never more at once than a screen needs."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from earmark.apps.service.problems import ProblemError
from earmark.apps.studio.answers import found, part_at, part_of, range_of
from earmark.apps.studio.bodies import MOST_SECONDS
from earmark.apps.studio.folder.folder import Folder
from earmark.apps.studio.mistakes import GONE
from earmark.apps.studio.routes.given import TheFolder, TheStudio
from earmark.apps.studio.sounds.sounds import Picture
from earmark.apps.studio.studio import Studio
from earmark.errors import AudioError, amount

OCTETS = "application/octet-stream"
MOST_AUDIO_S = 300.0
At = Annotated[float | None, Query(ge=0, le=MOST_SECONDS, allow_inf_nan=False)]
router = APIRouter(prefix="/api/sounds")


class _Stretch:
    """What a request wants of a sound: the file, the seconds, and a tag of both."""

    def __init__(
        self, studio: Studio, folder: Folder, id: str, start: float | None, end: float | None
    ) -> None:
        with found():
            located = studio.locate(folder, id)
        base = located.start or 0.0
        self.path: Path = located.path
        self.start = located.start if start is None else base + start
        self.end = located.end if end is None else base + end
        if self.end is not None and self.end <= (self.start or 0.0):
            raise ProblemError(422, "The end is not after the start. Give another.")
        try:
            status = os.stat(self.path)
        except OSError:
            raise ProblemError(404, GONE) from None
        self._version = (status.st_mtime_ns, status.st_size, status.st_ino)

    def tag(self, *others: object) -> str:
        values = (str(self.path), self.start, self.end, self._version, others)
        return f'"{hashlib.sha256(repr(values).encode()).hexdigest()[:32]}"'


@router.get("/{id}/picture")
async def picture(
    request: Request,
    studio: TheStudio,
    folder: TheFolder,
    id: str,
    columns: Annotated[int, Query(ge=1, le=8_192)] = 320,
    rows: Annotated[int, Query(ge=1, le=512)] = 96,
    start: At = None,
    end: At = None,
) -> Response:
    """Return a spectrogram: a byte for each point, the highest row first."""
    wanted = _Stretch(studio, folder, id, start, end)
    tag = wanted.tag("picture", columns, rows)
    if known := _unchanged(request, tag):
        return known
    drawn = await studio.sounds.picture(
        wanted.path, wanted.start, wanted.end, columns=columns, rows=rows
    )
    return _shown(drawn, tag)


@router.get("/{id}/tile")
async def tile(
    request: Request,
    studio: TheStudio,
    folder: TheFolder,
    id: str,
    level: Annotated[int, Query(ge=0, le=20)],
    index: Annotated[int, Query(ge=0, le=2**40)],
) -> Response:
    """Return 256 columns of a recording's spectrogram; each shows ``2 ** level / 1024`` seconds."""
    wanted = _Stretch(studio, folder, id, None, None)
    tag = wanted.tag("tile", level, index)
    if known := _unchanged(request, tag):
        return known
    return _shown(await studio.sounds.tile(wanted.path, level, index), tag)


@router.get("/{id}/peaks")
async def peaks(
    request: Request,
    studio: TheStudio,
    folder: TheFolder,
    id: str,
    points: Annotated[int, Query(ge=1, le=20_000)] = 1_000,
    start: At = None,
    end: At = None,
) -> Response:
    """Return the outline of a sound: the least and the greatest value at each point."""
    wanted = _Stretch(studio, folder, id, start, end)
    tag = wanted.tag("peaks", points)
    if known := _unchanged(request, tag):
        return known
    outline = await studio.sounds.outline(wanted.path, wanted.start, wanted.end, points=points)
    headers = {"x-seconds": f"{outline.seconds:.6f}", **_final(tag, outline.share)}
    return Response(outline.pairs, 200, headers, OCTETS)


@router.get("/{id}/audio")
async def audio(
    request: Request,
    studio: TheStudio,
    folder: TheFolder,
    id: str,
    start: At = None,
    end: At = None,
) -> Response:
    """Return a stretch of a sound as WAV, or a range of its bytes."""
    wanted = _Stretch(studio, folder, id, start, end)
    length = None if wanted.end is None else wanted.end - (wanted.start or 0.0)
    if length is not None and length > MOST_AUDIO_S + 1e-6:
        most = amount(round(MOST_AUDIO_S), "second")
        raise ProblemError(413, f"At most {most} can be played at once. Ask for fewer.")
    asked = request.headers.get("range")
    try:
        content = await studio.sounds.audio(wanted.path, wanted.start, wanted.end)
    except AudioError as error:
        span = range_of(asked)
        if error.kind != "length" or span is None:
            raise
        part, size = await studio.sounds.audio_part(
            wanted.path, wanted.start, wanted.end, first=span[0], last=span[1]
        )
        return part_at(part, span[0], size, "audio/wav")
    return part_of(content, asked, "audio/wav")


def _shown(drawn: Picture, tag: str) -> Response:
    headers = {
        "x-columns": str(drawn.columns),
        "x-rows": str(drawn.rows),
        "x-seconds": f"{drawn.seconds:.6f}",
        "x-top-hz": f"{drawn.top_hz:.3f}",
        **_final(tag, drawn.share),
    }
    return Response(drawn.levels, 200, headers, OCTETS)


def _final(tag: str, share: float) -> dict[str, str]:
    """Return the share that was scanned; what is still a sketch is not kept."""
    kept = _kept(tag) if share == 1 else {"cache-control": "no-store"}
    return {"x-share": f"{share:.4f}", **kept}


def _kept(tag: str) -> dict[str, str]:
    return {"etag": tag, "cache-control": "private, no-cache"}


def _unchanged(request: Request, tag: str) -> Response | None:
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=_kept(tag))
    return None
