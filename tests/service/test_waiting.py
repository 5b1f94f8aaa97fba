"""Requests that find no place: they wait for a moment, and the newest gets the next place."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from earmark.apps.service import protocol
from earmark.apps.service.admission import WaitingRoom
from earmark.apps.service.settings import Limits, Settings
from served import Client, Stub, ask, computers, decoders, head, running

MODELS = {"m": Path("m.earmark")}
WAV = {"content-type": "audio/wav"}
REQUEST = head(headers=WAV, length=5) + b"sound"


def full(test, **limits: float) -> None:
    """Run a test with a service that has one place, which is taken until the gate is open."""

    async def run() -> None:
        stub = computers()
        stub.gate.clear()
        settings = Settings(MODELS, limits=Limits(requests=1, **limits))
        async with running(settings, decoders(), stub) as port:
            first = asyncio.ensure_future(ask(port, body=b"sound", headers=WAV))
            while not stub.asked:
                await asyncio.sleep(0.01)
            await test(port, stub)
            stub.gate.set()
            assert (await first).status == 200

    asyncio.run(asyncio.wait_for(run(), 120))


async def waiting(port: int, requests: Sequence[bytes]) -> list[Client]:
    """Clients whose requests wait, the newest last."""
    clients = []
    for number, request in enumerate(requests):
        clients.append(await Client.connect(port))
        await clients[-1].send(request)
        while f"earmark_waiting {number + 1}\n".encode() not in (await ask(port, "/metrics")).body:
            await asyncio.sleep(0.01)
    return clients


def test_a_request_gets_a_place_that_becomes_free(monkeypatch):
    monkeypatch.setattr(protocol, "HOLD_S", 60.0)

    async def test(port: int, stub: Stub) -> None:
        clients = await waiting(port, 3 * [REQUEST])
        assert stub.asked == 1
        stub.gate.set()
        for client in reversed(clients):
            assert (await client.reply()).status == 200
            client.close()

    full(test)


def test_a_request_that_gets_no_place_is_refused_and_its_connection_goes_on(monkeypatch):
    monkeypatch.setattr(protocol, "HOLD_S", 0.05)
    monkeypatch.setattr(protocol, "LINGER_S", 0.05)

    async def test(port: int, stub: Stub) -> None:
        client = await Client.connect(port)
        for _ in range(3):
            await client.send(REQUEST)
            reply = await client.reply()
            assert reply.status == 503 and "queue is full" in reply.problem
        await client.send(head(headers={**WAV, "connection": "close"}, length=5) + b"sound")
        assert (await client.reply()).headers["connection"] == "close"
        assert await client.is_closed()
        slow = await Client.connect(port)
        await slow.send(REQUEST[:-2])
        assert (await slow.reply()).status == 503
        await slow.send(REQUEST[-2:])
        await slow.send(head("/healthz", "GET"))
        assert (await slow.reply()).status == 200
        slow.close()

    full(test)


def test_a_client_that_has_gone_does_not_stop_the_others(monkeypatch):
    monkeypatch.setattr(protocol, "HOLD_S", 60.0)

    async def test(port: int, stub: Stub) -> None:
        first, gone = await waiting(port, 2 * [REQUEST])
        gone.close()
        stub.gate.set()
        assert (await first.reply()).status == 200
        first.close()

    full(test)


@pytest.mark.parametrize(
    ("refused", "status"),
    [
        (head(headers={**WAV, "host": "evil"}, length=5) + b"sound", 403),
        (head(headers={"content-type": "text/plain"}, length=5) + b"sound", 415),
        (head("/v1/predict?top=0", headers=WAV, length=5) + b"sound", 422),
        (head("/v1/predict?model=none", headers=WAV, length=5) + b"sound", 422),
    ],
)
def test_a_request_that_is_refused_passes_the_place_on(monkeypatch, refused, status):
    monkeypatch.setattr(protocol, "HOLD_S", 60.0)

    async def test(port: int, stub: Stub) -> None:
        first, other = await waiting(port, [REQUEST, refused])
        stub.gate.set()
        assert (await other.reply()).status == status
        assert (await first.reply()).status == 200
        for client in (first, other):
            client.close()

    full(test)


def test_an_upgrade_that_finds_no_place_is_refused_like_others(monkeypatch):
    monkeypatch.setattr(protocol, "HOLD_S", 0.05)

    async def test(port: int, stub: Stub) -> None:
        client = await Client.connect(port)
        upgrade = {**WAV, "connection": "upgrade", "upgrade": "websocket"}
        await client.send(head(headers=upgrade, length=5) + b"sound")
        assert (await client.reply()).status in (400, 503)
        client.close()

    full(test, body_s=0.2)


def test_a_long_recording_leaves_room_for_several(monkeypatch):
    monkeypatch.setattr(protocol, "HOLD_S", 60.0)

    async def test() -> None:
        stub = computers()
        stub.gate.clear()
        limits = Limits(seconds=100, queue_s=100)
        async with running(Settings(MODELS, limits=limits), decoders(99.0), stub) as port:
            first = asyncio.ensure_future(ask(port, body=b"sound", headers=WAV))
            while not stub.asked:
                await asyncio.sleep(0.01)
            clients = await waiting(port, 3 * [REQUEST])
            assert stub.asked == 1
            stub.gate.set()
            for client in clients:
                assert (await client.reply()).status == 200
                client.close()
            assert (await first).status == 200

    asyncio.run(asyncio.wait_for(test(), 120))


def test_requests_that_wait_when_the_service_stops_get_a_sentence(monkeypatch):
    monkeypatch.setattr(protocol, "HOLD_S", 60.0)
    monkeypatch.setattr(protocol, "LINGER_S", 0.1)

    async def test() -> None:
        stub = computers()
        stub.gate.clear()
        async with running(Settings(MODELS, limits=Limits(requests=1)), decoders(), stub) as port:
            first = asyncio.ensure_future(ask(port, body=b"sound", headers=WAV))
            while not stub.asked:
                await asyncio.sleep(0.01)
            (client,) = await waiting(port, [REQUEST])
            asyncio.get_running_loop().call_later(0.5, stub.gate.set)
        reply = await client.reply()
        assert reply.status == 503 and "service stops" in reply.problem
        assert (await first).status == 200

    asyncio.run(asyncio.wait_for(test(), 120))


def test_no_more_wait_than_the_room_holds(monkeypatch):
    monkeypatch.setattr(protocol, "HOLD_S", 60.0)
    monkeypatch.setattr(protocol, "MOST_HELD", 2)

    async def test(port: int, stub: Stub) -> None:
        clients = await waiting(port, 2 * [REQUEST])
        assert (await ask(port, body=b"sound", headers=WAV)).status == 503
        stub.gate.set()
        for client in reversed(clients):
            assert (await client.reply()).status == 200
            client.close()

    full(test)


def test_the_newest_is_called_first():
    room, called = WaitingRoom(), []
    for who in "abcd":
        room.enter(who, lambda who=who: called.append(who))
    room.leave("c")
    room.leave("none")
    for _ in range(5):
        room.call_newest()
    assert called == ["d", "b", "a"] and not len(room)
