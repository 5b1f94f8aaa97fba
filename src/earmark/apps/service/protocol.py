"""HTTP on a connection, with what uvicorn leaves out: deadlines, and limits of what a client sends.

The parser is llhttp (httptools). A POST that finds no place in the queue waits and is refused here,
before anything is made for it: under overload most requests are.
"""

from __future__ import annotations

import asyncio
import enum
import functools
from typing import Any, ClassVar, Protocol

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from earmark.apps.service.admission import Admission
from earmark.apps.service.bodies import FORM_BYTES
from earmark.apps.service.hearers import Hearers
from earmark.apps.service.identity import HEADER, Request
from earmark.apps.service.lingering import Lingering
from earmark.apps.service.logs import Log
from earmark.apps.service.metrics import Metrics
from earmark.apps.service.problems import ALWAYS, RETRY, ProblemError, raw_response
from earmark.apps.service.settings import DETECT, PREDICT, Settings

HEADER_BYTES = 16 * 1024
HEADER_TOO_LONG = 431, f"The header has more than {HEADER_BYTES:,} bytes. Send a shorter one."
NOT_HTTP = 400, "The request is not valid HTTP/1.1. Use an HTTP client."
LINGER_S = 2.0  # for a client to see a response before its connection is closed
FRESH_S = 1.0  # a connection that waits shorter for its client is never closed for another one
HOLD_S, MOST_HOLD_S = 1.0, 5.0  # that a request waits for a place before it is refused
REFUSALS_A_SECOND = 150  # about so many; for more, requests wait longer
MOST_HELD = 1_000  # requests that wait for a place
READ_BYTES = 64 * 1024  # that are read at once; more would be mapped and unmapped each time
FIRST_BYTES = 2 * 1024  # that are read of a request that will wait
POSTED = {path.encode(): path for path in (PREDICT, DETECT)}
NO_ID = "0" * 16  # stands for the id of a request in a response that is made once
BEGINS = tuple(b"POST " + path for path in POSTED)


class Served(Protocol):
    """What the connections of a server need to know of what it serves."""

    admission: Admission
    metrics: Metrics
    log: Log

    @property
    def settings(self) -> Settings:
        """Return the limits, the address and the certificate."""

    @property
    def hearers(self) -> Hearers:
        """Return the processes for live sound."""

    def check_place(self) -> None:
        """Raise a problem if there is no place for another request."""


class Stage(enum.Enum):
    """What a client still has to send."""

    HEADER = enum.auto()
    BODY = enum.auto()
    NOTHING = enum.auto()


class GuardedProtocol(HttpToolsProtocol):
    """Closes connections whose header or body comes too slowly, and those that are too many.

    A body that nobody reads, because its request was refused, is dropped until ``body_s`` have
    passed or it has more than ``body_bytes``. So a client that sends all before it reads still
    gets the refusal. If there are too many connections, a new one replaces the one that has waited
    longest for its client.

    A POST that finds the queue full waits for a place, and is refused after ``HOLD_S``, or later if
    many wait. Refusals at once would be asked for again at once, and each costs time.
    """

    service: Served
    waiting: ClassVar[dict[GuardedProtocol, float]]  # since when connections wait for a header

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._real: Any = transport
        self._is_lingering = False
        self._read_little()
        self._limits = self.service.settings.limits
        self._timer: asyncio.TimerHandle | None = None
        self._stage, self._problem = Stage.HEADER, NOT_HTTP
        self._received, self._header_bytes, self._dropped_bytes = 0, 0, 0
        self._most_bytes = 2 * self._limits.body_bytes + FORM_BYTES  # with the frames of chunks
        self._is_refused = self._is_upgraded = False
        self._held: bytes | None = None
        self._held_until = 0.0
        self._unread: asyncio.TimerHandle | None = None
        super().connection_made(Lingering(self, transport))  # type: ignore[arg-type]
        if len(self.connections) > self._limits.connections and not self._replaces_another():
            text = f"{self._limits.connections} connections are open already. Try again later."
            self._refuse(503, text, {"retry-after": "1"})
        else:
            self._await_header()

    def _read_little(self) -> None:
        """Read a request that will wait only as far as its header; the system keeps the rest.

        With TLS, the layer below reads more.
        """
        self._real.max_size = FIRST_BYTES if self.service.admission.is_full else READ_BYTES

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        self._is_read()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Wait for a client that does not read, as long as for one that does not send."""
        super().pause_writing()
        self._unread = self.loop.call_later(self._limits.body_s, self._real.abort)

    def resume_writing(self) -> None:
        self._is_read()
        super().resume_writing()

    def _is_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()

    def close_soon(self) -> None:
        """Close the connection; a client that does not read the rest in time is cut off."""
        self._real.close()
        if self._real.get_write_buffer_size():
            self.loop.call_later(self._limits.body_s, self._real.abort)

    def data_received(self, data: bytes) -> None:
        if self._is_lingering:
            self._drop(len(data))
        elif self._finds_no_place(data):
            self._hold(data)
        else:
            self._take(data)

    def _take(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self._received += len(data)  # and 0 again if a header or a body begins in it
            super().data_received(data)
            if self._stage is Stage.HEADER and self._received > HEADER_BYTES:
                self._refuse(*HEADER_TOO_LONG)
            elif self._stage is Stage.BODY and self._received > self._most_bytes:
                self._refuse(413, "The body has too many small chunks. Send larger ones.")
            self._watch()

    def _finds_no_place(self, data: bytes) -> bool:
        """Return whether ``data`` begins a request that should wait for a place."""
        admission = self.service.admission
        return (
            self._received == 0
            and self._stage is not Stage.BODY
            and admission.is_full
            and len(admission.room) < MOST_HELD
            and len(data) <= READ_BYTES
            and data.startswith(BEGINS)
            and (self.cycle is None or self.cycle.response_complete)
        )

    def _hold(self, data: bytes) -> None:
        """Read no more, and take ``data`` when a place is free or the time is over."""
        self._unset_keepalive_if_required()
        self._stop()
        self.flow.pause_reading()
        room = self.service.admission.room
        seconds = min(max(HOLD_S, len(room) / REFUSALS_A_SECOND), MOST_HOLD_S)
        self._held, self._held_until = data, self.loop.time() + seconds
        self._timer = self.loop.call_later(seconds, self._release)
        room.enter(self, self._call)

    def _call(self) -> None:
        self.loop.call_soon(self._try_again)  # another request calls, and must not wait for this

    def _try_again(self) -> None:
        """Go on if there is still a place, else wait on."""
        admission = self.service.admission
        if self._held is None or self._real.is_closing():
            return
        if admission.is_full and self.loop.time() < self._held_until:
            admission.room.enter(self, self._call)
        else:
            self._release()

    def _release(self) -> None:
        self._stop()
        self.flow.resume_reading()
        data, self._held = self._held, None
        if data is not None:
            self._take(data)

    def on_message_begin(self) -> None:
        if self._stage is Stage.NOTHING:
            self._stop()
        self._stage, self._received, self._header_bytes = Stage.HEADER, 0, 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count_header(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_header(len(name) + len(value))
        if self._stage is Stage.HEADER:  # else a trailer, which nobody reads
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._stop()
        self._stage, self._received, self._dropped_bytes = Stage.BODY, 0, 0
        self._real.max_size = READ_BYTES
        self._is_refused = self._refuses_for_lack_of_place()
        if not self._is_refused:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._is_answered():
            self._drop(len(body))
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._stage, self._received = Stage.NOTHING, 0
        if not self._is_refused:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def handle_websocket_upgrade(self) -> None:
        self._stop()
        if self.cycle is not None and not self.cycle.response_complete:
            self._end()  # an answer before it is still to come
            return
        self._is_upgraded = True
        super().handle_websocket_upgrade()

    def shutdown(self) -> None:
        if self._held is not None:
            self._stop()
            self._held = None
            text = "The service stops. Ask again when it runs."
            self._write_refusal(503, text, RETRY)
            self._stage = Stage.BODY  # what still comes is dropped
            self.transport.close()
        elif self._is_answered():
            self.transport.close()
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        self._refuse(*self._problem)

    def linger(self) -> bool:
        """Return whether the connection stays open for a moment, because a body still comes.

        Closing it at once would reset it, and the client might never see the response.
        """
        is_open = not self._is_lingering and not self._real.is_closing()
        if is_open and self._stage is Stage.BODY:
            self._stop()
            self._is_lingering = True
            self._timer = self.loop.call_later(LINGER_S, self.close_soon)
            self.flow.resume_reading()
        return self._is_lingering

    def _refuses_for_lack_of_place(self) -> bool:
        """Refuse a POST if the queue is full; the rest goes through the guard as ever."""
        path = POSTED.get(self.url.partition(b"?")[0])
        is_plain = (
            not self.expect_100_continue
            and not self.parser.should_upgrade()
            and self.parser.get_http_version() == "1.1"
        )
        is_next = self.cycle is None or self.cycle.response_complete
        if path is None or not is_plain or not is_next or self.parser.get_method() != b"POST":
            return False
        try:
            self.service.check_place()
        except ProblemError as problem:
            is_last = not self.parser.should_keep_alive()
            given = next((value for name, value in self.headers if name == HEADER), None)
            request = self._refused(path, "POST", problem.status, given)
            again = problem.headers["retry-after"]
            self.transport.write(_refusal(problem.detail, again, is_last, request.id))
            if is_last:
                self.transport.close()
            return True
        return False

    def _watch(self) -> None:
        """Start, keep or stop the timer by what the client still has to send."""
        if self._is_lingering or self._is_upgraded:
            return
        if self._real.is_closing():
            self._stop()
        elif self._stage is Stage.HEADER:
            if self._timer is None and self.timeout_keep_alive_task is None:
                self._await_header()
        elif self._stage is Stage.BODY:
            if self._timer is None:
                self._timer = self.loop.call_later(self._limits.body_s, self._body_is_late)
        elif not self._is_answered():
            self._stop()
        elif self not in self.waiting:  # it is kept alive
            self._stop()
            self._read_little()
            self.waiting[self] = self.loop.time()
            if self.timeout_keep_alive_task is None:
                self._timer = self.loop.call_later(self.timeout_keep_alive, self.close_soon)
        elif self._timer is None and self.timeout_keep_alive_task is None:  # it sent a blank line
            self._timer = self.loop.call_later(self._limits.header_s, self.close_soon)

    def _is_answered(self) -> bool:
        return self._is_refused or (self.cycle is not None and self.cycle.response_complete)

    def _await_header(self) -> None:
        self.waiting[self] = self.loop.time()
        self._timer = self.loop.call_later(self._limits.header_s, self._header_is_late)

    def _header_is_late(self) -> None:
        text = f"The header did not come within {self._limits.header_s:g} s. Send it faster."
        self._refuse(408, text)

    def _body_is_late(self) -> None:
        late = f"The body did not come within {self._limits.body_s:g} s."
        self._refuse(408, f"{late} Send it faster, or a shorter one.")

    def _refuse(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        """Answer unless that was done, and close the connection."""
        if self._may_answer() and not self.transport.is_closing():
            self._write_refusal(status, text, headers)
        self._end()

    def _write_refusal(self, status: int, text: str, headers: dict[str, str] | None) -> None:
        request = self._refused("other", "other", status)
        self.transport.write(
            raw_response(status, text, headers, is_last=True, request_id=request.id)
        )

    def _end(self) -> None:
        """Close the connection now, even if a body still comes."""
        self.transport.flush()  # type: ignore[attr-defined]
        self.close_soon()

    def _refused(self, path: str, method: str, status: int, given: bytes | None = None) -> Request:
        """Count and log a refusal; return the request, which has the id ``given`` or a new one."""
        request = Request(None if given is None else given.decode("latin-1"))
        request.status = status
        self.service.metrics.answered(path, status)
        self.service.log.response(request, method, path)
        return request

    def _may_answer(self) -> bool:
        """Return whether no response to the message that comes has begun."""
        if self._stage is Stage.HEADER:
            return self.cycle is None or self.cycle.response_complete
        return not self._is_refused and (self.cycle is None or not self.cycle.response_started)

    def _replaces_another(self) -> bool:
        """Close the connection that has waited longest for its client, if that is long enough."""
        oldest = next(iter(self.waiting), None)
        if oldest is None or self.loop.time() - self.waiting[oldest] < FRESH_S:
            return False
        oldest._stop()
        if oldest._real.get_write_buffer_size():  # it does not read: closing would wait for it
            oldest._real.abort()
        else:
            oldest.transport.close()
        return True

    def _count_header(self, n_bytes: int) -> None:
        self._header_bytes += n_bytes
        if self._header_bytes > HEADER_BYTES:
            self._problem = HEADER_TOO_LONG
            raise ValueError  # the parser reports it, and send_400_response is called

    def _drop(self, n_bytes: int) -> None:
        self._dropped_bytes += n_bytes
        if self._dropped_bytes > self._limits.body_bytes + HEADER_BYTES:
            self._end()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self.waiting.pop(self, None)
        self.service.admission.room.leave(self)


def _refusal(detail: str, retry_after: str, is_last: bool, request_id: str) -> bytes:
    """Return the response to a POST that finds no place; under overload there are many."""
    if len(request_id) != len(NO_ID):
        return _make_refusal(detail, retry_after, is_last, request_id)
    response = _known_refusal(detail, retry_after, is_last, NO_ID)
    return response.replace(NO_ID.encode(), request_id.encode())


def _make_refusal(detail: str, retry_after: str, is_last: bool, request_id: str) -> bytes:
    headers = {**ALWAYS, "retry-after": retry_after}
    return raw_response(503, detail, headers, is_last=is_last, request_id=request_id)


_known_refusal = functools.lru_cache(_make_refusal)


def protocol_class(service: Served) -> type[Any]:
    """Return the class of connections to a service, as uvicorn wants it."""
    return type("ServiceProtocol", (GuardedProtocol,), {"service": service, "waiting": {}})
