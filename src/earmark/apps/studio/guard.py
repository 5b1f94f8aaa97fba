"""Who may ask: the names of this machine, the studio's own page, and the cookie of this run.

One middleware stands before all else, for HTTP and for the WebSocket. It also bounds bodies and
sets the headers that keep a browser from using an answer in another way than it is meant.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Collection, Mapping

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from earmark.apps.service.guard import refuse_doubles
from earmark.apps.service.identity import CURRENT, HEADER, Request
from earmark.apps.service.listening import as_request, instead
from earmark.apps.service.problems import ProblemError, send_problem, send_response
from earmark.apps.studio.entry import Entry
from earmark.apps.studio.welcome import ENTERED, REFUSED, STRANGE

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")
SAFE = ("GET", "HEAD")
OWN_SITES = ("same-origin", "none")  # of Sec-Fetch-Site: the page itself, and the address bar
PAGE_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob: data:; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {  # of every response that does not set them itself
    "content-security-policy": PAGE_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "microphone=(self), camera=(), geolocation=(), display-capture=()",
}
HTML = "text/html; charset=utf-8"
ICON = "/favicon.ico"  # browsers ask for it beside pages that name none


class Guard:
    """Refuses a request before anything of the studio sees it.

    Parameters
    ----------
    app : ASGI application
        What answers the others.
    entry : Entry
        The tokens and the cookie.
    hosts : collection of str
        Names that requests may use for this machine, in small letters. The address to which a
        connection was made is always one.
    most_bytes : int
        The largest body.
    """

    def __init__(self, app: ASGIApp, entry: Entry, hosts: Collection[str], most_bytes: int) -> None:
        self._app, self._entry, self._most_bytes = app, entry, most_bytes
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            return
        is_stream = scope["type"] == "websocket"
        asked = as_request(scope) if is_stream else scope
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in asked["headers"]}
        CURRENT.set(Request(headers.get("x-request-id")))
        answer = _with_headers(instead(send) if is_stream else send)
        try:
            self._check(asked, headers)
            is_known = self._entry.knows(headers.get("cookie", ""))
            if not is_stream and await self._enter(asked, headers, is_known, answer):
                return
            if not is_known:
                text = "This browser has not entered the studio, or the studio was started again."
                raise ProblemError(401, f"{text} Open the address that `earmark studio` prints.")
            self._check_body(asked, headers)
        except ProblemError as problem:
            await send_problem(answer, problem)
            return
        if is_stream:
            await self._app(scope, receive, send)
            return
        method = "GET" if scope["method"] == "HEAD" else scope["method"]  # no body is sent
        await self._app({**scope, "method": method}, self._bounded(receive), answer)

    def _check(self, scope: Scope, headers: Mapping[str, str]) -> None:
        """Raise a problem for a request that does not come from the studio's own page."""
        if len(headers) < len(scope["headers"]):
            refuse_doubles([name for name, _ in scope["headers"]], b"cookie", b"sec-fetch-site")
        if scope["method"] not in METHODS:
            raise ProblemError(405, f"The studio does not take {scope['method'][:20]}.")
        host = headers.get("host", "")
        if not self._is_own(host, scope):
            raise ProblemError(
                403,
                f"The studio does not know the host {host[:80]!r}. Use the address that it"
                " prints, or start it with --allow-host NAME.",
            )
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin is not None and origin != f"{scope['scheme']}://{host}":
            raise ProblemError(403, f"Pages of {origin[:80]!r} may not use the studio.")
        is_opened = scope["path"] == "/" and headers.get("sec-fetch-mode") == "navigate"
        if site is not None and site not in OWN_SITES and not is_opened:
            raise ProblemError(403, "Other pages may not use the studio. Open its own.")
        if scope["method"] not in SAFE and site is not None and origin is None:
            raise ProblemError(403, "The request has no Origin. Use a current browser.")

    def _is_own(self, host: str, scope: Scope) -> bool:
        """Say whether a Host is this machine; a page with a name of its own is not (rebinding)."""
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        name = name.lower().removeprefix("[").removesuffix("]")
        server = scope.get("server")
        return name in self._hosts or (server is not None and name == server[0])

    async def _enter(
        self, scope: Scope, headers: Mapping[str, str], is_known: bool, send: Send
    ) -> bool:
        """Answer what needs no cookie: a token, a page that is opened without it, the icon."""
        if scope["path"] == ICON and scope["method"] in SAFE:  # the page names its own
            await send_response(send, 204, HTML, b"", {})
            return True
        if scope["path"] != "/" or scope["method"] != "GET":
            return False
        query = urllib.parse.parse_qs(scope["query_string"].decode("latin-1"))
        token = query.get("token", [None])[0]
        if token is None and (is_known or "text/html" not in headers.get("accept", "")):
            return False
        if token is None:
            await send_response(send, 401, HTML, STRANGE, {})
        elif is_known:
            await send_response(send, 200, HTML, ENTERED, {})
        elif self._entry.admit(token):
            cookie = {"set-cookie": self._entry.set_cookie()}
            await send_response(send, 200, HTML, ENTERED, cookie)
        else:
            await send_response(send, 403, HTML, REFUSED, {})
        return True

    def _check_body(self, scope: Scope, headers: Mapping[str, str]) -> None:
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self._most_bytes:
            raise self._too_large()
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        has_body = length != "0" or "transfer-encoding" in headers
        if scope["method"] == "POST" and has_body and kind != "application/json":
            raise ProblemError(415, f"The content type is {kind[:80]!r}. Send application/json.")

    def _bounded(self, receive: Receive) -> Receive:
        """Return what receives a body; one that is too large ends the request."""
        size = 0

        async def receive_some() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._most_bytes:
                problem = self._too_large()
                raise HTTPException(problem.status, problem.detail)  # the application shows it
            return message

        return receive_some

    def _too_large(self) -> ProblemError:
        text = f"The body is larger than {self._most_bytes:,} bytes, the most that is allowed."
        return ProblemError(413, f"{text} Send it in smaller pieces.")


def _with_headers(send: Send) -> Send:
    """Return what sends a response with the headers that keep it safe."""

    async def send_with_headers(message: Message) -> None:
        if message["type"].endswith("response.start"):
            own = list(message.get("headers", ()))
            names = {name.lower() for name, _ in own}
            pairs = ((name.encode(), value.encode()) for name, value in HEADERS.items())
            own += [pair for pair in pairs if pair[0] not in names]
            if (request := CURRENT.get()) is not None:
                own.append((HEADER, request.id.encode()))
                request.status = message["status"]
            message["headers"] = own
        await send(message)

    return send_with_headers
