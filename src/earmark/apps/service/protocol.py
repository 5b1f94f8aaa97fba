"""HTTP on a connection, with what uvicorn leaves out: deadlines, and a limit of connections."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from earmark.apps.service.problems import raw_response
from earmark.apps.service.settings import Limits

HEADER_BYTES = 16 * 1024
LINGER_S = 2.0  # for a client to see a response before its connection is closed
AFTER_S = 2.0  # for the service to refuse a slow body itself, before the connection is closed


class GuardedProtocol(H11Protocol):
    """Closes connections whose header or body comes too slowly, and those that are too many.

    A body that nobody reads, because its request was refused, is dropped until ``body_s`` have
    passed or it has more than ``body_bytes``. So a client that sends all before it reads still
    gets the refusal.
    """

    limits: Limits

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._real, self._is_lingering = transport, False
        super().connection_made(_Lingering(self, transport))  # type: ignore[arg-type]
        self._timer: asyncio.TimerHandle | None = None
        self._is_in_body, self._received = False, 0
        if len(self.connections) > self.limits.connections:
            text = f"{self.limits.connections} connections are open already. Try again later."
            self._refuse(503, text, {"retry-after": "1"})
        else:
            self._await_header()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._is_lingering:
            if self._received > self.limits.body_bytes + HEADER_BYTES:
                self._real.close()
        elif not self.transport.is_closing():
            super().data_received(data)
            self._watch()

    def linger(self) -> bool:
        """Return whether the connection stays open for a moment, because a body still comes.

        Closing it at once would reset it, and the client might never see the response.
        """
        is_open = not self._is_lingering and not self._real.is_closing()
        if is_open and self.conn.their_state is h11.SEND_BODY:
            self._stop()
            self._is_lingering = True
            self._timer = self.loop.call_later(LINGER_S, self._real.close)
            self.flow.resume_reading()
        return self._is_lingering

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing():
            self._watch()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "The request is not valid HTTP/1.1. Use an HTTP client.")

    def _watch(self) -> None:
        """Start, keep or stop the timer by what the client still has to send."""
        if self._is_lingering:
            return
        if self._real.is_closing():
            self._stop()
        elif self.conn.their_state is h11.IDLE:
            if self._is_in_body or self._timer is None:
                self._stop()
                if self.timeout_keep_alive_task is None:  # else uvicorn waits for a request
                    self._await_header()
        elif self.conn.their_state is h11.SEND_BODY:
            if not self._is_in_body:
                self._stop()
                self._is_in_body, self._received = True, 0
                after_s = self.limits.body_s + AFTER_S
                self._timer = self.loop.call_later(after_s, self._real.close)
            elif self._received > self.limits.body_bytes + HEADER_BYTES and self._is_answered():
                self._real.close()
        else:
            self._stop()

    def _is_answered(self) -> bool:
        return self.cycle is not None and self.cycle.response_complete

    def _await_header(self) -> None:
        self._timer = self.loop.call_later(self.limits.header_s, self._header_is_late)

    def _header_is_late(self) -> None:
        text = f"The header did not come within {self.limits.header_s:g} s. Send it faster."
        self._refuse(408, text)

    def _refuse(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        if not self.transport.is_closing():
            self.transport.write(raw_response(status, text, headers))
            self._real.close()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._is_in_body = None, False


class _Lingering:
    """The transport of a connection, whose ``close`` waits while a body still comes."""

    def __init__(self, protocol: GuardedProtocol, transport: asyncio.Transport) -> None:
        self._protocol, self._transport, self._is_closing = protocol, transport, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self._is_closing or self._transport.is_closing()

    def close(self) -> None:
        self._is_closing = True
        if not self._protocol.linger():
            self._transport.close()


def protocol_class(limits: Limits) -> type[Any]:
    """Return the class of connections with these limits, as uvicorn wants it."""
    return type("LimitedProtocol", (GuardedProtocol,), {"limits": limits})
