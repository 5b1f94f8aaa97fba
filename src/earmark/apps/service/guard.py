"""Who may ask: the names of this host, the origins of pages, the token, and a place.

It stands before the application, because a refusal must cost little when there are many.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from earmark.apps.service.answering import Service
from earmark.apps.service.identity import CURRENT, HEADER, Request
from earmark.apps.service.listening import as_request, instead, listen
from earmark.apps.service.posting import QUERIES, post
from earmark.apps.service.problems import ALWAYS, ProblemError, send_problem, send_response
from earmark.apps.service.settings import LISTEN

OPEN = frozenset({"/healthz", "/readyz", "/docs", "/openapi.json"})  # need no token
PATHS = OPEN | frozenset(QUERIES) | {"/v1/models", "/metrics", LISTEN}
ONCE = (b"host", b"origin", b"authorization", b"content-type", b"content-encoding")
PREFLIGHT = {
    "access-control-allow-methods": "GET, POST",
    "access-control-allow-headers": "authorization, content-type",
    "access-control-max-age": "600",
}
PAIRS = [(name.encode(), value.encode()) for name, value in ALWAYS.items()]


class Guard:
    """Refuses a request before anything of the service sees it."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service, self._settings = app, service, service.settings
        self._names = {"localhost", *(host.lower() for host in self._settings.hosts)}
        self._log = service.log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "websocket":
            await self._open(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        request = Request(headers.get("x-request-id"))
        CURRENT.set(request)
        origin = headers.get("origin")
        is_allowed = origin in self._settings.origins

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [*message.get("headers", ()), *PAIRS, (HEADER, request.id.encode())]
                if is_allowed and origin is not None:
                    own.append((b"access-control-allow-origin", origin.encode("latin-1")))
                    own.append((b"vary", b"Origin"))
                message["headers"] = own
                request.status = message["status"]
                self._service.metrics.answered(_counted_path(scope), request.status)
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                self._log.response(request, scope["method"], _counted_path(scope))

        try:
            self._check(scope, headers, is_allowed)
        except ProblemError as problem:
            self._service.admission.offer()  # the place that it may have been called to
            await send_problem(send_with_headers, problem)
            return
        if is_allowed and scope["method"] == "OPTIONS":
            await send_response(send_with_headers, 204, "", b"", PREFLIGHT)
        elif scope["path"] == LISTEN:
            text = f"{LISTEN} is a WebSocket. Open it as one."
            await send_problem(send_with_headers, ProblemError(426, text, {"upgrade": "websocket"}))
        elif scope["method"] == "POST" and scope["path"] in QUERIES:
            await post(self._service, scope, receive, send_with_headers)
        else:
            method = "GET" if scope["method"] == "HEAD" else scope["method"]  # no body is sent
            await self._app({**scope, "method": method}, receive, send_with_headers)

    async def _open(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a stream of live sound be opened, or refuse it before the handshake."""
        request = as_request(scope)
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in request["headers"]}
        known = Request(headers.get("x-request-id"))
        CURRENT.set(known)
        path, known.status = LISTEN if scope["path"] == LISTEN else "other", 101
        try:
            self._check(request, headers, headers.get("origin") in self._settings.origins)
            await listen(self._service.hearers, self._settings, scope, receive, send)
        except ProblemError as problem:
            known.status = problem.status
            self._service.metrics.answered(path, problem.status)
            problem.headers.update({**ALWAYS, HEADER.decode(): known.id})
            await send_problem(instead(send), problem)
        finally:
            self._log.response(known, "GET", path)

    def _check(self, scope: Scope, headers: Mapping[str, str], is_allowed: bool) -> None:
        if len(headers) < len(scope["headers"]):
            refuse_doubles([name for name, _ in scope["headers"]])
        if "host" not in headers:
            raise ProblemError(400, "The request has 0 Host headers. Send one.")
        host = headers["host"]
        if not self._is_own(host):
            raise ProblemError(
                403,
                f"The service does not know the host {host[:80]!r}. Start it with --allow-host"
                " NAME, or use its address.",
            )
        origin = headers.get("origin")
        if origin is not None and not is_allowed and origin != f"{scope['scheme']}://{host}":
            raise ProblemError(
                403,
                f"Pages of {origin[:80]!r} may not use this service. Start it with --allow-origin"
                " ORIGIN.",
            )
        is_preflight = is_allowed and scope["method"] == "OPTIONS"
        token = self._service.token
        if token is None or scope["path"] in OPEN or is_preflight:
            return
        kind, _, given = headers.get("authorization", "").partition(" ")
        is_right = hmac.compare_digest(given.strip().encode(), token)
        if kind.lower() != "bearer" or not is_right:
            raise ProblemError(
                401,
                "The token is missing or wrong. Send the header Authorization: Bearer TOKEN.",
                {"www-authenticate": "Bearer"},
            )

    def _is_own(self, host: str) -> bool:
        """Say whether a Host is an address or a known name; the name of a stranger is neither.

        A page that has let its own name point to this machine (DNS rebinding) sends that name.
        """
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        if name.lower() in self._names:
            return True
        try:
            ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return False
        return True


def refuse_doubles(names: list[bytes], *others: bytes) -> None:
    """Raise a problem for a header that may be there once, and that is there more often.

    ``others`` are headers for which that counts as well.

    This service would take one of them, and a proxy before it perhaps another.
    """
    for name in (*ONCE, *others):
        if (count := names.count(name)) > 1:
            title = name.decode().title()
            raise ProblemError(400, f"The request has {count} {title} headers. Send one.")


def _counted_path(scope: Scope) -> str:
    """Return the path of a route; of any other path only that it is another."""
    return str(scope["path"]) if scope["path"] in PATHS else "other"
