"""Run a studio until a signal asks it to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from asyncio import constants
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from earmark.apps.service.logs import Log
from earmark.apps.service.server import Server, address_of, bound, configure
from earmark.apps.service.settings import is_loopback
from earmark.apps.studio import entry, running
from earmark.apps.studio.app import make_app
from earmark.apps.studio.entry import Entry
from earmark.apps.studio.guard import Guard
from earmark.apps.studio.places import PRIVATE
from earmark.apps.studio.settings import StudioSettings
from earmark.apps.studio.studio import Studio
from earmark.errors import EarmarkError

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def run(folder: Path, settings: StudioSettings, announce: Callable[[str, Entry], None]) -> int:
    """Serve until the first signal to stop; return how many jobs go on.

    ``announce`` is called with the address and the entry once the studio listens. Raises
    EarmarkError if the address is taken or the certificate is wrong.
    """
    constants.SSL_HANDSHAKE_TIMEOUT = settings.limits.header_s  # uvicorn cannot set it
    log = Log(settings.log)
    with bound_again(folder, settings) as listener, log.capturing(), contextlib.closing(log):
        return asyncio.run(_serve(Studio(folder, settings, log), listener, announce))


def bound_again(folder: Path, settings: StudioSettings) -> socket.socket:
    """Return a bound socket, at the port of last time if no other was asked for and it is free."""
    if settings.port == 0 and (port := running.last_port(folder)):
        with contextlib.suppress(EarmarkError):
            return bound(replace(settings, port=port))
    return bound(settings)


async def _serve(
    studio: Studio, listener: socket.socket, announce: Callable[[str, Entry], None]
) -> int:
    address = address_of(studio.settings, listener)
    way_in = make_entry(studio, listener)

    def started() -> None:
        running.say_address(studio.path, address)
        announce(address, way_in)

    server = make_server(studio, way_in, started)
    with server.capture_signals(), _heeding_hup(server):
        await studio.start()
        try:
            await server.serve(sockets=[listener])
        finally:
            await studio.close()
    return sum(job["state"] == "running" for job in studio.jobs.list())


def make_entry(studio: Studio, listener: socket.socket) -> Entry:
    """Return the tokens and the cookie of a server."""
    place = studio.path / PRIVATE / entry.FOLDER
    is_secure = studio.settings.certificate is not None
    return Entry(listener.getsockname()[1], place, studio.settings.token, is_secure)


def make_server(studio: Studio, way_in: Entry, announce: Callable[[], None]) -> StudioServer:
    """Return a server that calls ``announce`` once it listens."""
    settings = studio.settings
    hosts = {settings.host.lower().strip("[]"), *(name.lower() for name in settings.hosts)}
    if is_loopback(settings.host):
        hosts |= set(LOOPBACK)
    guard = Guard(make_app(studio), way_in, hosts, settings.limits.body_bytes)
    return StudioServer(studio, configure(guard, studio), announce)


class StudioServer(Server):
    """Lets the pages go when it stops: they listen to events without end."""

    def __init__(self, studio: Studio, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._studio = studio

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._studio.notices.close()
        await super().shutdown(sockets)


@contextlib.contextmanager
def _heeding_hup(server: Server) -> Iterator[None]:
    """Stop when the terminal is closed, unless that is ignored (as under ``nohup``)."""
    if not hasattr(signal, "SIGHUP") or signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        yield
        return
    before = signal.signal(signal.SIGHUP, server.handle_exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
