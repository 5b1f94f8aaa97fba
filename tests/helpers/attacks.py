"""Requests of somebody who wants harm, and what may be answered: never 200, never two answers."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from earmark.apps.service.settings import Limits
from served import PATIENCE_S, Client, Reply

TOKEN = "0123456789abcdef"
LIMITS = Limits(
    seconds=10, body_bytes=200_000, decoded_bytes=2**23, queue_s=20, requests=4, connections=12,
    header_s=0.4, body_s=0.4, decode_s=3, deadline_s=10,
)  # fmt: skip
CLOSED = 0  # the connection was closed without an answer


@dataclass(frozen=True)
class Attack:
    """``run`` attacks the service on a port; it returns all answers to the attack.

    ``statuses`` are those that the first may have; others may only follow if they are as well.
    """

    name: str
    statuses: tuple[int, ...]
    run: Callable[[int], Awaitable[list[Reply]]]


ATTACKS: list[Attack] = []


def attack(
    *statuses: int,
) -> Callable[[Callable[[int], Awaitable[list[Reply]]]], Callable[[int], Awaitable[list[Reply]]]]:
    """Add a function to the attacks; its name says what it does."""

    def add(
        run: Callable[[int], Awaitable[list[Reply]]],
    ) -> Callable[[int], Awaitable[list[Reply]]]:
        ATTACKS.append(Attack(run.__name__.replace("_", " "), statuses, run))
        return run

    return add


def raw(name: str, content: bytes, *statuses: int, is_whole: bool = False) -> None:
    """Add an attack that sends bytes. One that is not ``is_whole`` must end its connection."""

    async def run(port: int) -> list[Reply]:
        client = await Client.connect(port)
        with contextlib.suppress(ConnectionError):
            await client.send(content)
        answers = await replies(client, 1 if is_whole else None)
        client.close()
        return answers

    ATTACKS.append(Attack(name, statuses, run))


async def replies(client: Client, most: int | None = None) -> list[Reply]:
    """Return the answers until the connection ends, or the first ``most``."""
    answers: list[Reply] = []
    while most is None or len(answers) < most:
        try:
            answers.append(await client.reply())
        except (asyncio.IncompleteReadError, ConnectionError):
            break
    return answers


OWN = ("Host: localhost", f"Authorization: Bearer {TOKEN}")
WAV = "Content-Type: audio/wav"


def lines(*text: str, body: bytes = b"") -> bytes:
    return "\r\n".join([*text, "", ""]).encode("latin-1") + body


def get(target: str, *headers: str, own: tuple[str, ...] = OWN) -> bytes:
    return lines(f"GET {target} HTTP/1.1", *own, *headers)


def post(
    *headers: str, target: str = "/v1/predict", body: bytes = b"", own: tuple[str, ...] = OWN
) -> bytes:
    return lines(f"POST {target} HTTP/1.1", *own, *headers, body=body)


def sound(*headers: str, target: str = "/v1/predict", own: tuple[str, ...] = OWN) -> bytes:
    return post(WAV, "Content-Length: 5", *headers, target=target, body=b"sound", own=own)


def with_token(*headers: str) -> tuple[str, ...]:
    return (*headers, OWN[1])


def with_host(*headers: str) -> tuple[str, ...]:
    return (OWN[0], *headers)


def whole(name: str, content: bytes, *statuses: int) -> None:
    """Add an attack in valid HTTP: its connection may stay open."""
    raw(name, content, *statuses, is_whole=True)


# Hosts and origins
whole("no host", sound(own=with_token()), 400, 403)
whole("empty host", sound(own=with_token("Host:")), 400, 403)
whole("host of a stranger", sound(own=with_token("Host: evil.example")), 403)
whole("rebound name", get("/v1/models", own=with_token("Host: rebound.evil:8000")), 403)
whole("host with a user", sound(own=with_token("Host: localhost@evil")), 400, 403)
whole("host with a known end", sound(own=with_token("Host: evil.localhost")), 403)
whole("address as a number", sound(own=with_token("Host: 2130706433")), 403)
whole("two hosts", sound("Host: evil.example"), 400, 403)
whole("two equal hosts", sound("Host: localhost"), 400, 403)
whole("host of the target", get("http://evil.example/v1/models", own=with_token("Host: evil")), 403)
whole("forwarded host", sound("X-Forwarded-Host: localhost", own=with_token("Host: evil")), 403)
whole("post of another page", sound("Origin: https://evil.example"), 403)
whole("post of a hidden page", sound("Origin: null"), 403)
whole("two origins", sound("Origin: http://evil", "Origin: http://localhost"), 400, 403)
whole("post of a page on another port", sound("Origin: http://localhost:1"), 403)
whole("post of a page over https", sound("Origin: https://localhost"), 403)
whole("form of another page", post("Content-Type: application/x-www-form-urlencoded",
      "Origin: http://evil.example", "Content-Length: 3", body=b"a=b"), 403)  # fmt: skip
whole("form without an origin", post("Content-Type: application/x-www-form-urlencoded",
      "Content-Length: 3", body=b"a=b"), 415)  # fmt: skip
whole("text, which needs no preflight", post("Content-Type: text/plain", "Content-Length: 5",
      body=b"sound"), 415)  # fmt: skip
whole("preflight", lines("OPTIONS /v1/predict HTTP/1.1", *OWN, "Origin: http://evil.example",
      "Access-Control-Request-Method: POST"), 403)  # fmt: skip

# WebSockets
UPGRADE = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")  # fmt: skip
whole("listen of another page", get("/v1/listen", *UPGRADE, "Origin: http://evil.example"), 403)
whole("listen of a hidden page", get("/v1/listen", *UPGRADE, "Origin: null"), 403)
whole("listen without a token", get("/v1/listen", *UPGRADE, own=with_host()), 401, 403)
whole("listen with a token in the address",
      get(f"/v1/listen?token={TOKEN}", *UPGRADE, own=with_host()), 401, 403)  # fmt: skip
whole("listen at a strange host", get("/v1/listen", *UPGRADE, own=with_token("Host: evil")), 403)
whole("upgrade of another path", get("/v1/nothing", *UPGRADE), 403, 404)
whole("upgrade to http/2", sound("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c",
      "HTTP2-Settings: AAMAAABk", own=with_host()), 400, 401)  # fmt: skip

# Tokens
for given in ("", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN[:-1]}",
              f"Bearer {TOKEN}x", f"Bearer {TOKEN.upper()}", f"Token {TOKEN}",
              f"Bearer {TOKEN} {TOKEN}", f"Bearer \xff{TOKEN}", f"Bearer\t{TOKEN}"):  # fmt: skip
    whole(f"token {given!r}", sound(own=with_host(f"Authorization: {given}")), 400, 401)
whole("token in the query", sound(target=f"/v1/predict?token={TOKEN}", own=with_host()), 401)
whole("token in a cookie", sound(own=with_host(f"Cookie: token={TOKEN}")), 401)
whole("two tokens", sound("Authorization: Bearer wrong", own=with_host("Authorization: Bearer x")),
      400, 401)  # fmt: skip
whole(
    "a wrong and a right token", sound(own=with_host("Authorization: Bearer x", OWN[1])), 400, 401
)
whole("a right and a wrong token", sound("Authorization: Bearer x"), 400, 401)
whole("figures without a token", get("/metrics", own=with_host()), 401)
whole("open path with a dot", get("/healthz/../v1/models", own=with_host()), 401, 404)

# Paths
PATHS = r"""
/../../etc/passwd /%2e%2e/%2e%2e/etc/passwd /..%2f..%2fetc/passwd /..\..\etc\passwd
/..%5c..%5cetc%5cpasswd //etc/passwd /docs/../../etc/passwd /v1/predict/..;/x
/%c0%ae%c0%ae/etc/passwd /v1/models%00 /v1/models%2f /v1/models/ /.git/config /proc/self/environ
/v1/%70redict/x file:///etc/passwd /openapi.json/..
"""
for target in PATHS.split():
    whole(f"path {target}", get(target), 307, 400, 404)
whole(
    "path with a zero", b"GET /v1/models\0.wav HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, 401, 404
)
whole("model outside", sound(target="/v1/predict?model=../../etc/passwd"), 422)
whole("model that is a file", sound(target="/v1/predict?model=m.earmark"), 422)
whole("model with a zero", sound(target="/v1/predict?model=m%00"), 422)
whole("model in no encoding", sound(target="/v1/predict?model=%ff%fe"), 422)
whole("model of 10 kB", sound(target="/v1/predict?model=" + 10_000 * "m"), 400, 422)
whole("unencoded query", sound(target="/v1/predict?model=\xfc"), 400, 422)
OPTIONS = """
top=1e9 top=1e2 top=-1 top=0x10 top=99999999999999999999 top=%D9%A3x top= coverage=nan coverage=inf
coverage=-0 coverage=1e-400 coverage= coverage=0x1p-1 tpo=5 top=1&top=2 model=m&model=m %00=1
"""
for option in [*OPTIONS.split(), "&".join(f"a{k}=1" for k in range(1_000))]:
    whole(f"option {option[:20]}", sound(target=f"/v1/predict?{option}"), 422)

# Methods
for method in ("CONNECT", "TRACE", "DELETE", "PUT", "PATCH", "HEAD", "QUERY", "get", "SMUGGLE"):
    target = "localhost:22" if method == "CONNECT" else "/v1/models"
    raw(f"method {method}", lines(f"{method} {target} HTTP/1.1", *OWN, "Connection: close"),
        CLOSED, 400, 403, 404, 405, 501)  # fmt: skip
raw("options of all", lines("OPTIONS * HTTP/1.1", *OWN, "Connection: close"), 400, 404, 405)
whole("override of the method", get("/v1/predict", "X-HTTP-Method-Override: POST"), 405)

# Lengths, and where a body ends: the second request must not be answered
INNER = get("/v1/models")
CHUNKED = "Transfer-Encoding: chunked"
LENGTHS = ["-1", "+5", "1e3", "0x5", "5,5", "five", "²", "5;", "1_0", "99999999999999999999999"]
for length in [*LENGTHS, "", " ", "5 5", "5, 6"]:
    raw(f"length {length!r}", post(WAV, f"Content-Length: {length}", "Connection: close",
        body=b"sound"), CLOSED, 400, 408, 413, 422)  # fmt: skip
raw("two lengths", post(WAV, "Content-Length: 5", "Content-Length: 6", body=b"sound!" + INNER),
    CLOSED, 400)  # fmt: skip
raw("length too small", post("Content-Type: text/plain", "Content-Length: 2", "Connection: close",
    body=b"sound" + INNER), CLOSED, 400, 415)  # fmt: skip
raw("length too large", post(WAV, "Content-Length: 5000", body=b"sound"), 408)
raw("cl.te", post(WAV, "Content-Length: 6", CHUNKED, body=b"0\r\n\r\nG" + INNER), CLOSED, 400)
raw("te.cl", post(WAV, CHUNKED, "Content-Length: 4", body=b"5\r\nsound\r\n0\r\n\r\n" + INNER),
    CLOSED, 400)  # fmt: skip
for name in ("Transfer-Encoding: xchunked", "Transfer-Encoding: chunked, identity",
             "Transfer-Encoding: identity", "Transfer-Encoding : chunked",
             "Transfer-Encoding: chunked\r\nTransfer-Encoding: x", "Transfer-Encoding:\x0bchunked",
             "X: x\nTransfer-Encoding: chunked", " Transfer-Encoding: chunked",
             "Transfer-Encoding: \"chunked\"", "Transfer-Encoding: gzip, chunked",
             "Transfer-Encoding: chunked, chunked"):  # fmt: skip
    raw(f"obscure {name!r}", post(WAV, name, "Content-Length: 5",
        body=b"0\r\n\r\n" + INNER), CLOSED, 400, 501)  # fmt: skip
raw("chunked in http/1.0", lines("POST /v1/predict HTTP/1.0", *OWN, WAV, CHUNKED,
    body=b"0\r\n\r\n" + INNER), CLOSED, 400, 422)  # fmt: skip
for size in ("ffffffffffffffff", "ffffffffffffffffff", "-5", "0x5", "5_", "5\n", "g"):
    raw(f"chunk of {size!r}", post(WAV, CHUNKED, body=f"{size}\r\nsound\r\n0\r\n\r\n".encode()),
        CLOSED, 400, 408, 413)  # fmt: skip
raw(
    "chunk with a long remark",
    post(WAV, CHUNKED, body=b"5;" + 300_000 * b"x"),
    CLOSED,
    400,
    408,
    413,
)
raw("trailers without end", post("Content-Type: text/plain", CHUNKED, body=b"1\r\ns\r\n0\r\n"
    + 20_000 * b"Trailer: text\r\n"), CLOSED, 400, 413, 415, 431)  # fmt: skip
raw("many small chunks", post(WAV, CHUNKED, body=250_000 * b"1\r\ns\r\n"), CLOSED, 400, 408, 413)

# What is no HTTP, or too much of it
raw("nonsense", b"\0\xff nonsense\r\n\r\n", CLOSED, 400)
raw("http/0.9", b"GET /v1/models\r\n\r\n", CLOSED, 400, 403)
raw("http/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", CLOSED, 400, 403, 405)
raw("http/9.9", lines("GET /v1/models HTTP/9.9", *OWN), CLOSED, 400, 505)
raw("tls", bytes.fromhex("16030100c8010000c40303") + bytes(194), CLOSED, 400)
raw("ssh", b"SSH-2.0-OpenSSH_9.9\r\n\r\n", CLOSED, 400)
raw("request line of 100 kB", get("/" + 100_000 * "a"), CLOSED, 400, 414, 431)
raw("header of 1 MB", get("/v1/models", "X: " + 1_000_000 * "a"), CLOSED, 400, 431)
raw("10,000 headers", get("/v1/models", *(f"X{k}: x" for k in range(10_000))), CLOSED, 400, 431)
raw("header without a colon", get("/v1/models", "Nonsense"), CLOSED, 400)
raw("header without a name", get("/v1/models", ": x"), CLOSED, 400)
raw("header with a zero", get("/v1/models", "X: a\0b"), CLOSED, 400)
raw("folded header", get("/v1/models", "X: a\r\n b\r\n\tHost: evil"), CLOSED, 400)
raw(
    "bare line feeds",
    b"GET /v1/models HTTP/1.1\nHost: evil\nConnection: close\n\n",
    CLOSED,
    400,
    401,
    403,
)
raw("bare carriage returns", get("/v1/models", "X: a\rHost: evil"), CLOSED, 400)


# Bodies
FORM = "Content-Type: multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="f"; filename="x.wav"\r\n\r\n'


def form(name: str, body: bytes, kind: str = FORM, *statuses: int) -> None:
    """Add an attack with a form."""
    length = f"Content-Length: {len(body)}"
    whole(f"form: {name}", post(kind, length, body=body), *(statuses or (413, 422)))


form("many parts", 1_000 * (PART + b"x\r\n") + b"--b--\r\n")
form("two files", 2 * (PART + b"sound\r\n") + b"--b--\r\n")
form("empty file", PART + b"\r\n--b--\r\n")
form("no file", b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\nsound\r\n--b--\r\n')
form("a header of 100 kB", PART[:-4] + b"\r\nX: " + 100_000 * b"x" + b"\r\n\r\nsound\r\n--b--\r\n")
form("10,000 headers in a part", PART[:-2] + 10_000 * b"X: x\r\n" + b"\r\nsound\r\n--b--\r\n")
form("no end", PART + b"sound")
form("no part", b"--b--\r\n")
form("another boundary", PART.replace(b"--b", b"--c") + b"sound\r\n--c--\r\n")
form("no boundary", PART + b"sound\r\n--b--\r\n", "Content-Type: multipart/form-data")
form("empty boundary", b"--\r\n" + PART[5:] + b"x\r\n----\r\n", FORM[:-1])
LONG = PART.replace(b"b", 10_000 * b"b", 1) + b"x\r\n--" + 10_000 * b"b" + b"--\r\n"
form("boundary of 10 kB", LONG, FORM[:-1] + 10_000 * "b", 400, 422, 431)  # fmt: skip
form("boundary in no encoding", PART + b"x\r\n--b--\r\n", "Content-Type: multipart/form-data; "
     "boundary*=utf-7''%ff%00", 422)  # fmt: skip
form("a form in a form", PART + b"Content-Type: multipart/mixed; boundary=c\r\n\r\n" + PART.replace(
     b"--b", b"--c") + b"x\r\n--c--\r\n" + b"\r\n--b\r\n" + PART, FORM)  # fmt: skip
form("almost boundaries", PART + 40_000 * b"\r\n--" + b"\r\n--bx", FORM)
form("another kind of form", PART + b"x\r\n--b--\r\n", FORM.replace("form-data", "mixed"), 415)
PACKED = gzip.compress(bytes(50_000_000))
for encoding in ("gzip", "GZIP", "identity, gzip", "br", "x"):
    whole(f"body in {encoding}", post(WAV, f"Content-Encoding: {encoding}",
          f"Content-Length: {len(PACKED)}", body=PACKED), 415)  # fmt: skip
whole("two encodings", sound("Content-Encoding: gzip", "Content-Encoding: identity"), 400, 415)
whole("two kinds", post("Content-Type: text/html", WAV, "Content-Length: 1", body=b"x"), 400, 415)
whole("no body", post(WAV), 422)
whole("kind of a stranger", post("Content-Type: text/html", "Content-Length: 1", body=b"x"), 415)
whole("body of 1 TB", post(WAV, "Content-Length: 1000000000000"), 413)


# Slowness and quantity
raw("slow header", b"POST /v1/predict HTTP/1.1\r\nHost: loc", 408)
raw("silent connection", b"", CLOSED, 408)
raw("body that stops", post(WAV, "Content-Length: 100", body=b"sou"), 408)
raw("chunks that stop", post(WAV, CHUNKED, body=b"5\r\nsound\r\n"), 408)
raw(
    "100-continue without a body",
    post(WAV, "Content-Length: 100", "Expect: 100-continue"),
    100,
    408,
)
raw("100-continue that is refused", post("Content-Type: text/html", "Content-Length: 100",
    "Expect: 100-continue", "Connection: close"), 415)  # fmt: skip
raw(
    "other expectation",
    sound("Expect: 200-ok", "Connection: close", own=with_host()),
    400,
    401,
    417,
)


async def _trickle(port: int, first: bytes) -> list[Reply]:
    client = await Client.connect(port)

    async def send() -> None:
        await client.send(first)
        while True:
            await client.send(b"x")
            await asyncio.sleep(0.02)

    sending = asyncio.ensure_future(send())
    answers = await replies(client)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    client.close()
    return answers


@attack(400, 408)
async def header_byte_by_byte(port: int) -> list[Reply]:
    return await _trickle(port, b"GET /v1/models HTTP/1.1\r\nX: ")


@attack(408)
async def body_byte_by_byte(port: int) -> list[Reply]:
    return await _trickle(port, post(WAV, "Content-Length: 100000"))


@attack(415)
async def body_of_a_refused_request_byte_by_byte(port: int) -> list[Reply]:
    return await _trickle(port, post("Content-Type: text/html", "Content-Length: 100000"))


@attack(401)
async def pipeline_of_1000_requests(port: int) -> list[Reply]:
    client = await Client.connect(port)
    with contextlib.suppress(ConnectionError):
        await client.send(1_000 * get("/v1/models", own=with_host()))
    answers = await replies(client, 1_000)
    client.close()
    return answers


@attack(401)
async def client_that_does_not_read(port: int) -> list[Reply]:
    client = await Client.connect(port)
    with contextlib.suppress(ConnectionError, asyncio.TimeoutError):
        await asyncio.wait_for(client.send(20_000 * get("/v1/models", own=with_host())), 1.0)
    answers = await replies(client, 1)
    client.close()
    return answers


@attack(503)
async def more_connections_than_allowed(port: int) -> list[Reply]:
    clients = [await Client.connect(port) for _ in range(LIMITS.connections)]
    for client in clients:
        await client.send(b"GET ")
    last = await Client.connect(port)
    answers = await replies(last)
    for client in [*clients, last]:
        client.close()
    return answers


@attack(408, 503)
async def more_requests_than_allowed(port: int) -> list[Reply]:
    clients = [await Client.connect(port) for _ in range(LIMITS.connections)]
    for client in clients:
        await client.send(post(WAV, "Content-Length: 100", body=b"sou"))
    answers = [answer for client in clients for answer in await replies(client, 1)]
    for client in clients:
        client.close()
    assert len(answers) > LIMITS.requests
    return answers


@attack(CLOSED, 400, 408, 413)
async def connection_that_is_reset(port: int) -> list[Reply]:
    for content in (b"", b"GET", sound()[:-3], post(WAV, CHUNKED, body=b"5\r\nso")):
        client = await Client.connect(port)
        await client.send(content)
        client.writer.transport.abort()
    return []


async def within(seconds: float, port: int, attack: Attack) -> list[Reply]:
    """Run an attack; fail if it keeps the service busy for longer."""
    return await asyncio.wait_for(attack.run(port), min(seconds, PATIENCE_S))
