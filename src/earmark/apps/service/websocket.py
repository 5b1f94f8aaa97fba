"""WebSockets on a connection, with what uvicorn leaves out: sentences, and an orderly stop."""

from __future__ import annotations

import asyncio
import http
import json
import socket
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.datastructures import Headers
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Response

from earmark.apps.service.identity import new_id
from earmark.apps.service.problems import ALWAYS, MEDIA_TYPE, problem_body
from earmark.apps.service.protocol import Served

MESSAGE_BYTES = 2**20  # the most of one message
BUFFER_BYTES = 2**16  # of the system, for each direction of a connection
UNREAD_BYTES = 2**20  # that may wait for a client that does not read, such as answers to pings
FRAMES, FRAMES_A_SECOND, FRAME_BYTES = 10_000, 1_000, 16  # a client may send more of larger ones
CLOSE_S = 2.0  # for a client to answer a close, and to read what was sent
SENTENCES = {
    1007: "A message of text is not UTF-8. Send JSON.",
    1008: "The messages are too many for their size. Send larger ones.",
    1009: f"A message may have {MESSAGE_BYTES:,} bytes. Send smaller ones.",
}
BROKEN = 1002


class StreamProtocol(WebSocketsSansIOProtocol):
    """Says in a sentence why it closes, and lets the streams finish when the service stops."""

    service: Served

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.close_timeout = CLOSE_S
        self._is_broken = False
        self._abort: asyncio.TimerHandle | None = None
        self._begins, self._frames, self._received = self.loop.time(), 0, 0
        self.conn.reject = _rejection  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        own = transport.get_extra_info("socket")
        if own is not None and own.family != getattr(socket, "AF_UNIX", None):
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                own.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._abort is not None:
            self._abort.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._is_broken:
            self._received += len(data)
            super().data_received(data)
            if self.transport.get_write_buffer_size() > UNREAD_BYTES:
                self.transport.abort()
            if not self.handshake_initiated:  # the header was whole
                self._break(BROKEN, "the header is not one of a handshake")

    def shutdown(self) -> None:
        if self.handshake_complete and not self.close_sent:
            self.service.hearers.stop()
        else:
            super().shutdown()

    def handle_events(self) -> None:
        self._frames += len(self.conn.events)
        seconds = self.loop.time() - self._begins
        if self._frames > FRAMES + FRAMES_A_SECOND * seconds + self._received / FRAME_BYTES:
            self._break(1008)
        else:
            super().handle_events()

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text":
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self._break(1007)
                return
        super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        code = self.conn.close_sent.code if self.conn.close_sent else BROKEN
        self._break(code, str(self.conn.parser_exc))

    async def run_asgi(self) -> None:
        await super().run_asgi()
        if not self.disconnected:  # closing the transport waits for a client that does not read
            self._abort = self.loop.call_later(2 * CLOSE_S, self.transport.abort)

    async def send(self, message: Any) -> None:
        if self._is_broken:
            raise ClientDisconnected
        await super().send(message)

    def _break(self, code: int, reason: str = "") -> None:
        """Close the connection of a client that breaks the protocol; what it sends is dropped.

        Closing it at once would reset it, and the client might never see why.
        """
        self._is_broken = True
        self.conn.data_to_send()
        detail = SENTENCES.get(
            code, f"The client breaks the WebSocket protocol: {reason}. Use a library."
        )
        if not self.handshake_complete:
            self.transport.write(_rejection(400, f"The handshake is wrong: {reason}").serialize())
        elif not self.close_sent:
            self.transport.write(_last_frames(code, detail))
        self.close_sent = True
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code})
        self.close_timer = self.loop.call_later(CLOSE_S, self.transport.close)
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()


def _last_frames(code: int, detail: str) -> bytes:
    error = json.dumps({"type": "error", "detail": detail}).encode()
    close = Close(code, detail.encode()[:120].decode("utf-8", "ignore")).serialize()
    frames = (Frame(Opcode.TEXT, error), Frame(Opcode.CLOSE, close))
    return b"".join(frame.serialize(mask=False) for frame in frames)


def _rejection(status: int, text: str) -> Response:
    """Return the response to a handshake that is refused; ``text`` says why."""
    first = text.strip().partition("\n")[0].removesuffix(".")
    request_id = new_id()
    body = problem_body(status, f"{first}. Use a library for WebSockets.", request_id)
    own = {
        "x-request-id": request_id,
        "content-type": MEDIA_TYPE,
        "content-length": str(len(body)),
        "connection": "close",
    }
    phrase = http.HTTPStatus(status).phrase
    return Response(status, phrase, Headers({**own, **ALWAYS}), body)


def websocket_class(service: Served) -> type[Any]:
    """Return the class of WebSockets of a service, as uvicorn wants it."""
    return type("ServiceStreamProtocol", (StreamProtocol,), {"service": service})
