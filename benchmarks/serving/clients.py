"""Clients of a load: they send requests that are ready as bytes, or dawdle over them."""

from __future__ import annotations

import errno
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from .loop import IN, OUT, Loop, clock
from .tally import Tally

CONNECTING = (0, errno.EINPROGRESS)
AGAIN_S = 0.05  # before a client whose connection failed is free again


@dataclass(frozen=True)
class Ask:
    """A request as bytes; ``expected`` is the body of its answer, if that is known.

    After one that ``is_cut``, because its body is not sent, the connection cannot be used again.
    """

    content: bytes
    expected: bytes | None = None
    name: str = ""
    is_cut: bool = False


def request(
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    method: str | None = None,
) -> bytes:
    """Return a request as bytes."""
    lines = {"Host": "127.0.0.1", **(headers or {})}
    if body is not None:
        lines = {**lines, "Content-Length": str(len(body))}
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    verb = method or ("GET" if body is None else "POST")
    return f"{verb} {path} HTTP/1.1\r\n{text}\r\n".encode() + (body or b"")


def connect(port: int) -> tuple[socket.socket, int]:
    """Begin a connection; return its socket and the error number, 0 if there is none."""
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock, sock.connect_ex(("127.0.0.1", port))


class Client:
    """Sends one request after the other; ``keeps`` its connection, or opens one for each.

    ``done`` is called when it is free again; ``is_refused`` says that its last answer was no 200.
    """

    def __init__(
        self, loop: Loop, port: int, tally: Tally, done: Callable[[Client], None], keeps: bool
    ) -> None:
        self._loop, self._port, self._tally, self._done = loop, port, tally, done
        self._keeps, self._mask = keeps, 0
        self._sock: socket.socket | None = None
        self._buffer, self._answered = bytearray(), 0
        self.is_busy, self.due, self.is_refused = False, 0.0, False
        self.statuses: Counter[str] = Counter()

    def send(self, ask: Ask, due: float) -> None:
        """Send a request that was due at a time; latency counts from there."""
        self._ask, self.due, self.is_busy, self._has_answer = ask, due, True, False
        self._left = memoryview(ask.content)
        self._tally.sent += 1
        if self._sock is None and not self._connect():
            return
        self._write()

    def close(self) -> None:
        """Close the connection; what was asked is forgotten."""
        if self._sock is not None:
            self._loop.remove(self._sock.fileno())
            self._sock.close()
        self._sock, self._answered = None, 0
        self._buffer.clear()

    def ready(self, mask: int) -> None:
        if self._sock is not None and mask & ~OUT:
            self._read()
        if self._sock is not None and mask & OUT and self.is_busy:
            self._write()

    def give_up(self) -> None:
        """Count the request as late and close the connection."""
        self._tally.late += 1
        self._free(closes=True)

    def _connect(self) -> bool:
        sock, error = connect(self._port)
        if error not in CONNECTING:
            sock.close()
            self._fail("unconnected")
            return False
        self._sock, self._mask = sock, IN if error == 0 else IN | OUT
        self._loop.add(sock.fileno(), self, self._mask)
        return True

    def _write(self) -> None:
        assert self._sock is not None
        try:
            n_sent = self._sock.send(self._left)
        except BlockingIOError:
            n_sent = 0
        except OSError as error:
            self._fail("unconnected" if error.errno == errno.ECONNREFUSED else "broken")
            return
        self._left = self._left[n_sent:]
        mask = IN | OUT if self._left else IN
        if mask != self._mask:
            self._mask = mask
            self._loop.change(self._sock.fileno(), mask)
        if self._has_answer and not self._left:
            self._free(closes=False)

    def _read(self) -> None:
        assert self._sock is not None
        try:
            data = self._sock.recv(65536)
        except BlockingIOError:
            return
        except ConnectionRefusedError:
            self._fail("unconnected")
            return
        except OSError:
            data = b""
        if not data:
            self._ended()
            return
        self._buffer += data
        at = self._buffer.find(b"\r\n\r\n")
        if at < 0:
            return
        head = bytes(self._buffer[:at]).lower()
        _, _, after = head.partition(b"content-length:")
        end = at + 4 + int(after.partition(b"\r\n")[0] or 0)
        if len(self._buffer) >= end:
            self._answer(head, bytes(self._buffer[at + 4 : end]))
            del self._buffer[:end]

    def _answer(self, head: bytes, body: bytes) -> None:
        tally, now, status = self._tally, clock(), int(head[9:12])
        self._answered += 1
        if self.is_busy:
            tally.record(status, self.due, now)
            self.is_refused = status != 200
            self.statuses[f"{self._ask.name} {status}"] += 1
            if status == 200 and self._ask.expected is not None:
                tally.checked += 1
                tally.wrong += body != self._ask.expected
            self._has_answer = True
        if b"connection: close" in head or not self._keeps or self._ask.is_cut:
            self._free(closes=True)
        elif not self._left:
            self._free(closes=False)

    def _ended(self) -> None:
        if not self.is_busy or self._has_answer:
            self._free(closes=True)
        elif self._left:
            self._fail("broken")
        else:
            self._fail("lost_kept" if self._answered else "lost_new")

    def _fail(self, what: str) -> None:
        setattr(self._tally, what, getattr(self._tally, what) + 1)
        self.statuses[f"{self._ask.name} {what}"] += 1
        self.close()
        self._loop.at(clock() + AGAIN_S, lambda: self._free(closes=False))

    def _free(self, closes: bool) -> None:
        if closes:
            self.close()
        if self.is_busy:
            self.is_busy = False
            self._done(self)


class Slow:
    """A socket that sends a request at one byte a second, and begins again when it is closed.

    ``swift`` bytes are sent at once: 0 makes a slow header, the length of the header a slow body.
    """

    def __init__(self, loop: Loop, port: int, content: bytes, swift: int) -> None:
        self._loop, self._port, self._content, self._swift = loop, port, content, swift
        self._sock: socket.socket | None = None
        self._at, self._buffer = 0, b""
        self.ends: Counter[str] = Counter()

    def step(self) -> None:
        """Send the next byte; open a connection if there is none."""
        if self._sock is None:
            sock, error = connect(self._port)
            if error not in CONNECTING:
                sock.close()
                self.ends["unconnected"] += 1
                return
            self._sock, self._at, self._buffer = sock, 0, b""
            self._loop.add(sock.fileno(), self, IN)
        until = max(self._swift, self._at + 1)
        try:
            self._at += self._sock.send(self._content[self._at : until])
        except BlockingIOError:
            pass
        except OSError:
            self._end()

    def ready(self, mask: int) -> None:
        try:
            data = self._sock.recv(65536) if self._sock is not None else b""
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._buffer += data
        if not data:
            self._end()

    def _end(self) -> None:
        self.ends[self._buffer[9:12].decode() or "closed"] += 1
        self.close()

    def close(self) -> None:
        if self._sock is not None:
            self._loop.remove(self._sock.fileno())
            self._sock.close()
            self._sock = None
