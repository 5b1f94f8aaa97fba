"""Errors as ``application/problem+json`` (RFC 9457), each with a sentence."""

from __future__ import annotations

import http
import json
from collections.abc import Mapping

from starlette.types import Send

from earmark.apps.service.identity import CURRENT

MEDIA_TYPE = "application/problem+json"
RETRY_S = 5  # that a client should wait before it asks again
RETRY = {"retry-after": str(RETRY_S)}
ALWAYS = {  # headers of every response
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
}


class ProblemError(Exception):
    """A request that is not answered: the status, and what is wrong and what to do."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})


def problem_body(status: int, detail: str, request_id: str | None = None) -> bytes:
    """Return the JSON of a problem; the id is that of the request that runs if none is given."""
    title = http.HTTPStatus(status).phrase
    value = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    if request_id is None and (request := CURRENT.get()) is not None:
        request_id = request.id
    if request_id is not None:
        value["request_id"] = request_id
    return json.dumps(value, ensure_ascii=False).encode()


def raw_response(
    status: int,
    detail: str,
    headers: Mapping[str, str] | None = None,
    *,
    is_last: bool,
    request_id: str,
) -> bytes:
    """Return a whole response of HTTP/1.1, the last of its connection if ``is_last``."""
    body = problem_body(status, detail, request_id)
    own = {
        "x-request-id": request_id,
        "content-type": MEDIA_TYPE,
        "content-length": str(len(body)),
        **(headers or {}),
        **({"connection": "close"} if is_last else {}),
    }
    head = [f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}"]
    head += [f"{name}: {value}" for name, value in own.items()]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


async def send_problem(send: Send, problem: ProblemError) -> None:
    """Send a problem as a response of ASGI."""
    body = problem_body(problem.status, problem.detail)
    await send_response(send, problem.status, MEDIA_TYPE, body, problem.headers)


async def send_response(
    send: Send, status: int, media_type: str, body: bytes, headers: Mapping[str, str]
) -> None:
    """Send a whole response of ASGI."""
    pairs = [(k.encode(), v.encode()) for k, v in headers.items()]
    if body:
        pairs.append((b"content-type", media_type.encode()))
        pairs.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
