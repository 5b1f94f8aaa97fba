"""A running service, in this process or as the command, and clients that can be slow."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from earmark.apps.service import frames
from earmark.apps.service.answering import Service
from earmark.apps.service.logs import Log
from earmark.apps.service.server import make_server
from earmark.apps.service.settings import Settings

PATIENCE_S = 60.0  # for what must come; only a failing test waits so long


@dataclass(frozen=True)
class Reply:
    """A response: its status, its headers with small names, its body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def problem(self) -> str:
        """The sentence of a problem, whose form is checked."""
        assert self.headers["content-type"] == "application/problem+json"
        assert self.json["status"] == self.status and self.json["title"]
        detail = self.json["detail"]
        assert detail.endswith(".")
        return detail


def head(
    path: str = "/v1/predict",
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    length: int | None = None,
) -> bytes:
    """The head of a request, as a client writes it."""
    lines = {"host": "localhost", **(headers or {})}
    if length is not None:
        lines["content-length"] = str(length)
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{text}\r\n".encode()


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, port: int) -> Client:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, content: bytes) -> None:
        self.writer.write(content)
        await self.writer.drain()

    async def reply(self) -> Reply:
        return await asyncio.wait_for(self._reply(), PATIENCE_S)

    async def _reply(self) -> Reply:
        first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Reply(int(first.split()[1]), headers, body)

    async def is_closed(self) -> bool:
        """Wait until the service closes the connection."""
        with contextlib.suppress(ConnectionError):
            return await asyncio.wait_for(self.reader.read(), PATIENCE_S) == b""
        return True

    def close(self) -> None:
        self.writer.close()


async def ask(
    port: int,
    path: str = "/v1/predict",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    method: str | None = None,
) -> Reply:
    """Send one request and return the response."""
    client = await Client.connect(port)
    method = method or ("GET" if body is None else "POST")
    await client.send(head(path, method, headers, None if body is None else len(body)))
    await client.send(body or b"")
    try:
        return await client.reply()
    finally:
        client.close()


@dataclass
class Stub:
    """Stands for the processes of one role: answers at once, or once ``gate`` is open."""

    answer: tuple[dict[str, Any], bytes]
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    asked: int = 0
    is_ready: bool = True
    size: int = 1
    replaced: int = 0

    def __post_init__(self) -> None:
        self.hello = {"models": [{"name": "m", "path": "/v1/predict"}]}
        self.gate.set()

    async def start(self) -> None:
        pass

    close = start

    async def ask(
        self, message: bytes, deadline: float, begins: Callable[[], None] | None = None
    ) -> tuple[dict[str, Any], bytes]:
        self.asked += 1
        if begins is not None:
            begins()
        await self.gate.wait()
        return self.answer

    async def ask_within(self, message: bytes, seconds: float, deadline: float) -> Any:
        return await self.ask(message, deadline)


def decoders(seconds: float = 1.0) -> Stub:
    """Decoders that take every body for a recording of this length."""
    return Stub(({"seconds": seconds}, frames.pack({})))


def computers() -> Stub:
    return Stub(({}, b'{"label": "low"}'))


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test that takes some seconds; only one that fails takes minutes."""
    asyncio.run(asyncio.wait_for(test, 240))


@contextlib.asynccontextmanager
async def running(
    settings: Settings,
    decoders: Any = None,
    computers: Any = None,
    hearers: Any = None,
    log: Log | None = None,
    service: Service | None = None,
) -> AsyncIterator[int]:
    """Run a service in this event loop; yield its port."""
    service = service or Service(settings, decoders, computers, hearers, log)
    await service.start()
    ready = asyncio.Event()
    server = make_server(service, ready.set)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    task = asyncio.ensure_future(server.serve(sockets=[listener]))
    try:
        await asyncio.wait([task, asyncio.ensure_future(ready.wait())],
                           return_when=asyncio.FIRST_COMPLETED)  # fmt: skip
        yield port
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, PATIENCE_S)
        await service.close()
        listener.close()


@dataclass
class Command:
    """A running ``earmark serve``."""

    process: subprocess.Popen[str]
    port: int

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)


@contextlib.contextmanager
def command(*arguments: object, **environment: str) -> Iterator[Command]:
    """Start ``earmark serve ARGUMENTS`` on a free port, and end it."""
    words = [sys.executable, "-m", "earmark", "serve", *map(str, arguments), "--port", "0"]
    src = str(Path(__file__).parents[2] / "src")
    paths = os.pathsep.join([src, os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        words, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": paths, **environment},
    )  # fmt: skip
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        if line.startswith("{"):
            address = json.loads(line)["address"]
        else:
            assert "serving" in line, line
            address = line.strip()
        yield Command(process, int(address.rsplit(":", 1)[1]))
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stderr.close()
