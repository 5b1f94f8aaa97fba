"""Errors as ``application/problem+json`` (RFC 9457), each with a sentence."""

from __future__ import annotations

import http
import json
from collections.abc import Mapping

MEDIA_TYPE = "application/problem+json"


class ProblemError(Exception):
    """A request that is not answered: the status, and what is wrong and what to do."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})


def problem_body(status: int, detail: str) -> bytes:
    """Return the JSON of a problem."""
    title = http.HTTPStatus(status).phrase
    value = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return json.dumps(value, ensure_ascii=False).encode()


def raw_response(status: int, detail: str, headers: Mapping[str, str] | None = None) -> bytes:
    """Return a whole response of HTTP/1.1 that closes the connection."""
    body = problem_body(status, detail)
    lines = [
        f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}",
        f"content-type: {MEDIA_TYPE}",
        f"content-length: {len(body)}",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
        "connection: close",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
