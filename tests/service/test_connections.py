"""Clients that are slow, that are many, and that do not listen."""

import asyncio
import urllib.error
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from earmark.apps.service import protocol
from earmark.apps.service.settings import Limits, Settings
from served import Client, ask, computers, decoders, head, run, running

MODELS = {"m": Path("m.earmark")}
WAV = {"content-type": "audio/wav"}


def service(**limits: float):
    return running(Settings(MODELS, limits=Limits(**limits)), decoders(), computers())


async def trickle(client: Client) -> None:
    while True:
        await client.send(b"n")
        await asyncio.sleep(0.02)


async def ask_without_reading(client: Client) -> None:
    for _ in range(2_000):
        await client.send(head("/openapi.json", "GET"))
        await asyncio.sleep(0.001)


async def send_without_end(client: Client) -> None:
    for _ in range(10_000):
        await client.send(bytes(10_000))


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: local"])
def test_a_header_that_does_not_come_is_not_waited_for(sent):
    async def test() -> None:
        async with service(header_s=0.2) as port:
            client = await Client.connect(port)
            await client.send(sent)
            reply = await client.reply()
            assert reply.status == 408 and "0.2 s" in reply.problem
            assert await client.is_closed()

    run(test())


def test_a_second_header_that_comes_slowly_is_not_waited_for():
    async def test() -> None:
        async with service(header_s=0.2) as port:
            client = await Client.connect(port)
            await client.send(head("/healthz", "GET"))
            assert (await client.reply()).status == 200
            await client.send(b"GET /he")
            assert (await client.reply()).status == 408
            assert await client.is_closed()

    run(test())


def test_a_connection_may_be_used_again():
    async def test() -> None:
        async with service() as port:
            client = await Client.connect(port)
            for _ in range(3):
                await client.send(head(headers=WAV, length=5) + b"sound")
                assert (await client.reply()).status == 200
            client.close()

    run(test())


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(protocol, "LINGER_S", 0.1)

    async def test() -> None:
        async with service(body_s=0.2) as port:
            client = await Client.connect(port)
            await client.send(head(headers=WAV, length=100) + b"sou")
            reply = await client.reply()
            assert reply.status == 408 and "0.2 s" in reply.problem
            assert await client.is_closed()
            assert "earmark_requests 0\n" in (await ask(port, "/metrics")).body.decode()

    run(test())


def test_the_body_of_a_refused_request_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(protocol, "LINGER_S", 0.1)

    async def test() -> None:
        async with service(body_s=0.1) as port:
            client = await Client.connect(port)
            text = {"content-type": "text/plain"}
            await client.send(head(headers=text, length=1_000_000) + b"sou")
            assert (await client.reply()).status == 415
            with pytest.raises(ConnectionError):
                await trickle(client)

    run(test())


def test_the_body_of_a_refused_request_may_be_sent_but_not_without_end():
    async def test() -> None:
        async with service(body_bytes=100_000) as port:
            client = await Client.connect(port)
            text = {"content-type": "text/plain"}
            await client.send(head(headers=text, length=50_000) + bytes(50_000))
            assert (await client.reply()).status == 415
            await client.send(head(headers=text, length=10_000_000))
            assert (await client.reply()).status == 415
            with pytest.raises(ConnectionError):
                await send_without_end(client)
            client.close()

    run(test())


def test_a_client_that_sends_all_before_it_reads_gets_the_refusal():
    """Closing the connection at once would reset it."""

    async def test() -> None:
        async with service() as port:
            url = f"http://127.0.0.1:{port}/v1/predict"
            headers = {"content-type": "text/plain"}
            request = urllib.request.Request(url, bytes(20_000_000), headers)
            with pytest.raises(urllib.error.HTTPError) as error:  # it asks to close the connection
                await asyncio.to_thread(urllib.request.urlopen, request, None, 60)
            assert error.value.code == 415 and error.value.read().endswith(b"}")
            error.value.close()

    run(test())


def test_a_client_that_never_reads_is_cut_off():
    async def test() -> None:
        async with service(body_s=0.3) as port:
            client = await Client.connect(port)
            client.writer.transport.pause_reading()
            with pytest.raises(ConnectionError):
                await ask_without_reading(client)
            assert (await ask(port, "/healthz")).status == 200

    run(test())


def test_a_blank_line_does_not_keep_a_connection():
    async def test() -> None:
        async with service(header_s=0.2) as port:
            client = await Client.connect(port)
            await client.send(head("/healthz", "GET"))
            assert (await client.reply()).status == 200
            await client.send(b"\r\n")
            assert await client.is_closed()

    run(test())


def test_a_new_connection_replaces_the_one_that_has_waited_longest(monkeypatch):
    monkeypatch.setattr(protocol, "FRESH_S", 0.0)

    async def test() -> None:
        async with service(connections=3) as port:
            slow, idle, busy = [await Client.connect(port) for _ in range(3)]
            await busy.send(head(headers=WAV, length=5))  # its body is still to come
            await slow.send(b"GET /hea")
            await idle.send(head("/healthz", "GET"))
            assert (await idle.reply()).status == 200
            new = []
            for replaced in (slow, idle):
                new.append(await Client.connect(port))
                await new[-1].send(head(headers=WAV, length=5) + b"so")
                assert await replaced.is_closed()
            monkeypatch.setattr(protocol, "FRESH_S", 60.0)
            assert (await (await Client.connect(port)).reply()).status == 503
            for client, rest in ((busy, b"sound"), (new[0], b"und"), (new[1], b"und")):
                await client.send(rest)
                assert (await client.reply()).status == 200
                client.close()

    run(test())


def test_one_connection_too_many_is_refused():
    async def test() -> None:
        async with service(connections=2) as port:
            clients = [await Client.connect(port) for _ in range(2)]
            for client in clients:
                await client.send(head("/healthz", "GET"))
                assert (await client.reply()).status == 200
            late = await Client.connect(port)
            reply = await late.reply()
            assert reply.status == 503 and reply.headers["retry-after"] == "1"
            assert "2 connections" in reply.problem
            clients[0].close()
            assert await late.is_closed()
            while (await ask(port, "/healthz")).status != 200:
                await asyncio.sleep(0.01)
            clients[1].close()

    run(test())


def post(*lines: str, body: bytes = b"") -> bytes:
    return "\r\n".join(["POST /v1/predict HTTP/1.1", *lines, "", ""]).encode() + body


def get(target: str, *lines: str, version: str = "1.1") -> bytes:
    return "\r\n".join([f"GET {target} HTTP/{version}", *lines, "", ""]).encode()


HOST, UPGRADE = "Host: localhost", ("Connection: Upgrade", "Upgrade: websocket")
KEY = ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 400_000, 431),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (get("/healthz"), 400),
        (get("/healthz", HOST, "Host: evil"), 400),
        (get("/healthz", version="1.0"), 400),
        (get("/healthz", "Host: localhost@evil"), 403),
        (get("http://evil/healthz", "Host: evil"), 403),
        (get("/../../etc/passwd", HOST), 404),
        (get("/docs/..%2f..%2fetc/passwd", HOST), 404),
        (get("/v1/predict%00", HOST), 404),
        (get("/v1/listen", HOST, *UPGRADE, *KEY, "Origin: http://evil"), 403),
        (get("/v1/listen", HOST, *UPGRADE, *KEY), 422),
        (get("/v1/listen", HOST, *UPGRADE), 400),
        (get("/v1/predict", HOST, *UPGRADE, *KEY), 404),
        (post(HOST), 422),
        (post(HOST, "Content-Length: -1"), 400),
        (post(HOST, "Content-Length: 99999999999999999999"), 400),
        (post(HOST, "Content-Length: 9999999999"), 413),
        (post(HOST, "Content-Length: 5", "Content-Length: 6", body=b"sound"), 400),
        (post(HOST, "Transfer-Encoding: gzip", body=b"sound"), 400),
        (post(HOST, "Transfer-Encoding: chunked", body=b"zz\r\nsound\r\n"), 400),
        (post(HOST, "Origin: null", "Content-Length: 5", body=b"sound"), 403),
    ],
)
def test_an_attack_is_refused_in_a_sentence(sent, status):
    async def test() -> None:
        async with service() as port:
            client = await Client.connect(port)
            await client.send(sent)
            reply = await client.reply()
            assert (reply.status, reply.problem[-1]) == (status, "."), reply.body
            assert (await ask(port, "/healthz")).status == 200
            client.close()

    run(test())
