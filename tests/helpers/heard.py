"""Clients of live sound, and what stands for the process that scores it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from earmark.apps.service.hearers import Hearer, Hearers, WrongError
from earmark.apps.service.pool import EndedError
from earmark.apps.service.settings import Limits, Settings
from served import PATIENCE_S, Client, Reply, computers, decoders, running

MODELS = {"m": Path("m.earmark"), "n": Path("n.earmark")}
TOKEN = "0123456789abcdef"
SECOND = bytes(32_000)  # at 16 kHz

END = json.dumps({"type": "end"})
READY = json.dumps({"type": "ready"})


def open_stream(port: int, query: str = "rate=16000", **options: Any) -> connect:
    """Open a stream; pings of the client would wait behind its sound."""
    url = f"ws://127.0.0.1:{port}/v1/listen?{query}"
    options = {"ping_interval": None, "proxy": None, "open_timeout": PATIENCE_S, **options}
    return connect(url, **options)


async def answers(stream: ClientConnection) -> list[str]:
    """Return all texts until the service closes the stream."""
    texts = []
    try:
        while True:
            texts.append(await asyncio.wait_for(stream.recv(decode=True), PATIENCE_S))
    except ConnectionClosed:
        return texts


async def ending(stream: ClientConnection) -> tuple[int, str]:
    """Return the code of the close and the sentence of the error before it."""
    texts = await answers(stream)
    last = json.loads(texts[-1])
    assert last["type"] == "error" and last["detail"].endswith((".", "messages.")), texts
    assert stream.close_code is not None
    assert last["detail"].startswith((stream.close_reason or "")[:100])
    return stream.close_code, last["detail"]


async def refusal(
    port: int, query: str = "rate=16000", headers: Mapping[str, str] | None = None, **options: Any
) -> Reply:
    """Return the response of HTTP to a handshake that is refused."""
    try:
        async with open_stream(port, query, additional_headers=headers, **options):
            raise AssertionError("the stream was opened")
    except InvalidStatus as error:
        response = error.response
        own = {name.lower(): value for name, value in response.headers.raw_items()}
        return Reply(response.status_code, own, bytes(response.body or b""))


class StubHearer(Hearer):
    """Answers each piece of sound with its size, once ``gate`` is open."""

    def __init__(self, answer: Callable[[bytes], list[str]]) -> None:
        self.streams, self.has_ended = 0, False
        self.asked: list[tuple[int, str, int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._answer = answer

    async def ask(self, value: dict[str, Any], body: bytes = b"") -> list[str]:
        self.asked.append((value["stream"], value["do"], len(body)))
        await self.gate.wait()
        if self.has_ended:
            raise EndedError
        if value["do"] == "open" and value["model"] == "n":
            raise WrongError("The model cannot be loaded.")
        if body == b"WRONG!":
            raise WrongError("The samples are wrong. Correct them.")
        return {"open": [READY], "feed": self._answer(body), "finish": ["{}"], "drop": []}[
            value["do"]
        ]

    async def close(self) -> None:
        pass


def sizes(body: bytes) -> list[str]:
    return [json.dumps({"bytes": len(body)})]


class StubHearers(Hearers):
    """Processes that are stubs; ``made`` has them."""

    def __init__(self, settings: Any, answer: Callable[[bytes], list[str]] = sizes) -> None:
        super().__init__(settings)
        self.made: list[StubHearer] = []
        self._answer = answer

    async def _start(self) -> Hearer:
        self.made.append(StubHearer(self._answer))
        return self.made[-1]


def handshake(*lines: str, path: str = "/v1/listen?rate=16000", host: str = "localhost") -> bytes:
    own = (
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}",
    )
    return "\r\n".join([*own, *lines, "", ""]).encode()


@contextlib.asynccontextmanager
async def service(answer=None, **settings):
    """Run a service whose process is a stub; yield its port and the stubs."""
    limits = {name: settings.pop(name) for name in list(settings) if hasattr(Limits, name)}
    own = Settings(MODELS, limits=Limits(**limits), **settings)
    hearers = StubHearers(own, *([answer] if answer else []))
    async with running(own, decoders(), computers(), hearers) as port:
        yield port, hearers


async def until(condition) -> None:
    async def wait() -> None:
        while not condition():
            await asyncio.sleep(0.01)

    await asyncio.wait_for(wait(), PATIENCE_S)


async def send_without_end(client: Client, content: bytes) -> None:
    """Send, much more than the systems of both sides hold, until the connection is lost."""
    for _ in range(2_000):
        await asyncio.wait_for(client.send(content), PATIENCE_S)
    raise AssertionError("all of it was taken")
