"""Run the service until a signal asks it to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from asyncio import constants
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from earmark.apps.service.answering import Service
from earmark.apps.service.guard import Guard
from earmark.apps.service.logs import Log
from earmark.apps.service.protocol import Served, protocol_class
from earmark.apps.service.routes import make_app
from earmark.apps.service.settings import Settings
from earmark.apps.service.websocket import MESSAGE_BYTES, websocket_class
from earmark.errors import EarmarkError
from earmark.system.threads import give_way
from earmark.version import __version__

KEEP_ALIVE_S = 75  # longer than proxies keep theirs, so that they do not ask on one that ends
BACKLOG = 512


def run(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve until the first signal to stop; then answer what was accepted, and return.

    ``announce`` is called with the address once the service is ready. Raises EarmarkError if the
    address is taken, a classifier cannot be loaded, or the certificate is wrong.
    """
    give_way()
    constants.SSL_HANDSHAKE_TIMEOUT = settings.limits.header_s  # uvicorn cannot set it
    log = Log(settings.log)
    with bound(settings) as listener, log.capturing(), contextlib.closing(log):
        asyncio.run(_serve(settings, listener, announce, log))


async def _serve(
    settings: Settings, listener: socket.socket, announce: Callable[[str], None], log: Log
) -> None:
    service = Service(settings, log=log)

    def started() -> None:
        address = address_of(settings, listener)
        log.event("started", version=__version__, address=address, models=service.digests)
        announce(address)

    server = make_server(service, started)
    with server.capture_signals(), _heeding_hup(server, service):
        starting = asyncio.ensure_future(service.start())
        while not starting.done() and not server.should_exit:
            await asyncio.wait([starting], timeout=0.1)
        if not starting.done():
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            return
        starting.result()
        try:
            await server.serve(sockets=[listener])
        finally:
            await service.close()
        log.event("stopped")


@contextlib.contextmanager
def _heeding_hup(server: Server, service: Service) -> Iterator[None]:
    """Reload on HUP; stop if it came because the terminal was closed."""
    if not hasattr(signal, "SIGHUP"):
        yield
        return
    had_terminal = _has_terminal()

    def hang_up() -> None:
        if had_terminal and not _has_terminal():
            server.should_exit = True
        else:
            service.reloader.ask()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, hang_up)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)


def _has_terminal() -> bool:
    """Return whether this process has a terminal that is not closed."""
    if sys.platform == "win32":
        return False
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def make_server(service: Service, announce: Callable[[], None]) -> Server:
    """Return a server that calls ``announce`` once it listens."""
    config = configure(Guard(make_app(service), service), service)
    service.reloader.context = config.ssl
    return Server(config, announce)


def configure(app: ASGIApp, served: Served) -> uvicorn.Config:
    """Return how ``app`` is served; EarmarkError if the certificate cannot be used."""
    settings = served.settings
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    config = uvicorn.Config(
        app,
        http=protocol_class(served),
        ws=websocket_class(served),
        ws_max_size=MESSAGE_BYTES,
        ws_ping_interval=None,  # a pong would wait behind the sound that a client sent before it
        ws_per_message_deflate=False,
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=round(settings.limits.drain_s) or 1,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
    )
    try:
        config.load()
    except OSError as error:
        reason = error.strerror or str(error)
        raise EarmarkError(
            f"cannot use the certificate {settings.certificate}: {reason}. Give --tls-cert and"
            " --tls-key in PEM format."
        ) from error
    return config


class Server(uvicorn.Server):
    """Ends normally after a signal; uvicorn would raise the signal again."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce, self._is_captured = announce, False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if self._is_captured or threading.current_thread() is not threading.main_thread():
            yield
            return
        self._is_captured = True
        numbers = [signal.SIGINT, signal.SIGTERM]
        before = [signal.signal(number, self.handle_exit) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)


def bound(settings: Settings) -> socket.socket:
    """Return a socket that is bound to the address and does not listen yet."""
    host, port = settings.host.strip("[]"), settings.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise EarmarkError(
            f"--host {host} is not an address of this machine. Correct it."
        ) from error
    try:
        if hasattr(socket, "SO_REUSEADDR") and not hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise EarmarkError(
            f"cannot listen on port {port} of {host}: {reason}. Give another --port."
        ) from error
    return listener


def address_of(settings: Settings, listener: socket.socket) -> str:
    """Return the address of a page: the scheme, the host and the port that was bound."""
    host, port = listener.getsockname()[:2]
    scheme = "http" if settings.certificate is None else "https"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
