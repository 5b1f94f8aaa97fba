"""HTTP on a connection, with what uvicorn leaves out: deadlines, and a limit of connections."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from earmark.apps.service.problems import raw_response
from earmark.apps.service.settings import Limits

HEADER_BYTES = 16 * 1024
AFTER_S = 2.0  # for the service to refuse a slow body itself, before the connection is closed


class GuardedProtocol(H11Protocol):
    """Closes connections whose header or body comes too slowly, and those that are too many.

    A body that nobody reads, because its request was refused, is dropped until ``body_s`` have
    passed or it has more than ``body_bytes``. So a client that sends all before it reads still
    gets the refusal.
    """

    limits: Limits

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
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
        if self.transport.is_closing():
            return
        self._received += len(data)
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing():
            self._watch()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "The request is not valid HTTP/1.1. Use an HTTP client.")

    def _watch(self) -> None:
        """Start, keep or stop the timer by what the client still has to send."""
        if self.transport.is_closing():
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
                self._timer = self.loop.call_later(after_s, self.transport.close)
            elif self._received > self.limits.body_bytes + HEADER_BYTES and self._is_answered():
                self.transport.close()
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
            self.transport.close()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._is_in_body = None, False


def protocol_class(limits: Limits) -> type[Any]:
    """Return the class of connections with these limits, as uvicorn wants it."""
    return type("LimitedProtocol", (GuardedProtocol,), {"limits": limits})
