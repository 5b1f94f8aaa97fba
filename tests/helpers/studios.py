"""A running studio, in a thread or as the command, and a client that has entered."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from earmark.apps.studio.entry import Entry
from earmark.apps.studio.server import make_entry, make_server
from earmark.apps.studio.settings import StudioSettings
from earmark.apps.studio.studio import Studio
from served import PATIENCE_S, Reply

WORD = "earmark studio"
SCREENS = ("data", "doctor", "train", "report", "review", "try", "find", "export")
NAMES = ("low/a.wav", "low/b.wav", "high/c.wav", "high/d.wav")


def write_sounds(folder: Path, names: Sequence[str] = NAMES) -> Path:
    """Write a tone for each name; the class folder says how high it is. No two are equal."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        hertz = (300 if name.startswith("low") else 2_000) + 7 * number
        t = np.arange(4_000) / 16_000
        soundfile.write(path, 0.3 * np.sin(2 * np.pi * hertz * t), 16_000)
    return folder


class Client:
    """A browser, as far as a test needs one: it keeps the cookie. ``cookie`` may be another."""

    def __init__(self, port: int, cookie: str = "") -> None:
        self.port, self.cookie = port, cookie

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Reply:
        """Send a request; a header that is None is left out."""
        own: dict[str, str | None] = {"Cookie": self.cookie or None, **(headers or {})}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            given = {name: value for name, value in own.items() if value is not None}
            connection.request(method, path, body, given)
            response = connection.getresponse()
            own_headers = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, own_headers, response.read())
        finally:
            connection.close()

    def enter(self, token: str) -> Reply:
        """Open the address with a token, and keep the cookie."""
        reply = self.ask("GET", f"/?token={token}", headers={"Accept": "text/html"})
        if "set-cookie" in reply.headers:
            self.cookie = reply.headers["set-cookie"].partition(";")[0]
        return reply

    def get(self, path: str, **headers: str) -> Reply:
        return self.ask("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def post(self, path: str, body: Any = None) -> Reply:
        content = json.dumps({} if body is None else body).encode()
        return self.ask("POST", path, content, {"Content-Type": "application/json"})

    def put(self, path: str, body: bytes) -> Reply:
        return self.ask("PUT", path, body, {"Content-Type": "application/octet-stream"})

    def delete(self, path: str) -> Reply:
        return self.ask("DELETE", path)

    def upload(self, name: str, content: bytes, **about: Any) -> Reply:
        """Upload a file; return the reply to its end."""
        begun = self.post("/api/uploads", {"kind": "file", "name": name, **about})
        assert begun.status == 200, begun.body
        id = begun.json["upload"]
        size = 2**20
        for at in range(0, len(content), size):
            sent = self.put(f"/api/uploads/{id}?offset={at}", content[at : at + size])
            assert sent.status == 200, sent.body
        return self.post(f"/api/uploads/{id}/done")


class Running(Client):
    """A studio in a thread, and a client that has entered.

    ``address`` lets one browser in each time that it is read.
    """

    def __init__(self, port: int, studio: Studio, entry: Entry, loop: Any) -> None:
        super().__init__(port)
        self.studio, self.entry, self.loop = studio, entry, loop
        assert self.enter(entry.invite()).status == 200

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/?token={self.entry.invite()}"

    def call(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call a function in the thread of the studio."""
        self.loop.call_soon_threadsafe(function, *arguments)

    def wait(self, future: Any) -> Any:
        """Return what a coroutine returns in the thread of the studio."""
        return asyncio.run_coroutine_threadsafe(future, self.loop).result(PATIENCE_S)


@contextlib.contextmanager
def running(folder: Path, **settings: Any) -> Iterator[Running]:
    """Run a studio for a folder in a thread; yield a client that has entered."""
    started, box = threading.Event(), list[Any]()
    own = StudioSettings(**{"log": "none", **settings})
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))

    async def serve() -> None:
        studio = Studio(folder, own)
        entry = make_entry(studio, listener)
        server = make_server(studio, entry, started.set)
        box.extend([studio, entry, asyncio.get_running_loop(), server])
        await studio.start()
        try:
            await server.serve(sockets=[listener])
        finally:
            await studio.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="studio", daemon=True)
    thread.start()
    try:
        assert started.wait(PATIENCE_S)
        yield Running(listener.getsockname()[1], *box[:3])
    finally:
        if len(box) == 4:
            box[3].should_exit = True
        thread.join(PATIENCE_S)
        listener.close()
        assert not thread.is_alive()


class Command(Client):
    """A running ``earmark studio``: its ``address``, which lets one browser in, and its process."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        super().__init__(int(re.search(r":(\d+)/", address)[1]))  # type: ignore[index]
        self.process, self.address = process, address

    def stop(self) -> str:
        """Ask it to stop; return what it printed on standard error."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=PATIENCE_S)[1]


@contextlib.contextmanager
def command(folder: Path, *arguments: object, **environment: str) -> Iterator[Command]:
    """Start ``earmark studio FOLDER ARGUMENTS --no-browser``, and end it."""
    words = [sys.executable, "-m", *WORD.split(), str(folder), *map(str, arguments)]
    src = str(Path(__file__).parents[2] / "src")
    paths = os.pathsep.join([src, os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [*words, "--no-browser"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": paths, **environment},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("http"), process.communicate(timeout=PATIENCE_S)
        yield Command(process, line.strip())
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
