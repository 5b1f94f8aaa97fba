"""The page and its files, reports, and the events that keep it up to date."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping

from fastapi import APIRouter, Request, Response
from starlette.responses import StreamingResponse

from earmark.apps.studio.answers import found
from earmark.apps.studio.assets import PAGE, Asset, read_assets
from earmark.apps.studio.guard import HTML, PAGE_POLICY
from earmark.apps.studio.learned.shelves import PAGE as REPORT
from earmark.apps.studio.learned.shelves import open_found, report_files
from earmark.apps.studio.routes.given import TheStudio

MOST_REPORT_BYTES = 2**28
NONCE = b"{{nonce}}"  # in the page: what lets a library add a style of its own
REPORT_POLICY = (
    "sandbox allow-popups; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "media-src data:; frame-ancestors 'self'"
)
router = APIRouter()
_assets: Mapping[str, Asset] = read_assets()


@router.get("/")
async def page() -> Response:
    """Return the page."""
    with found():
        content = _assets[PAGE].content
    nonce = secrets.token_urlsafe(16)
    policy = f"{PAGE_POLICY}; style-src 'self' 'nonce-{nonce}'"
    headers = {"content-security-policy": policy, "cache-control": "no-store"}
    return Response(content.replace(NONCE, nonce.encode()), 200, headers, HTML)


@router.get("/static/{name:path}")
async def static(name: str, request: Request) -> Response:
    """Return a file of the page."""
    with found():
        return _assets[name].response(request.headers)


@router.get("/reports/{name}/report.html")
async def report(name: str, studio: TheStudio) -> Response:
    """Return a report: a page that may run nothing and load nothing."""
    with found():
        content = await asyncio.to_thread(_read_report, studio, name)
    return Response(content, 200, {"content-security-policy": REPORT_POLICY}, HTML)


@router.get("/api/events")
async def events(request: Request, studio: TheStudio, after: str | None = None) -> Response:
    """Return a stream of events: it tells the page what changes until the page is closed.

    ``after`` is the id of the last event that the page has seen, unless the browser says it.
    """
    stream = studio.notices.listen(request.headers.get("last-event-id", after))
    return StreamingResponse(stream, media_type="text/event-stream")


def _read_report(studio: TheStudio, name: str) -> bytes:
    with open_found(report_files(studio.path, REPORT)[name]) as file:
        return file.read(MOST_REPORT_BYTES)
