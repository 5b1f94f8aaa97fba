"""Help for tests of live sound: a clock that nobody waits for, and a station on the loopback."""

import contextlib
import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar

import numpy as np
import pytest

from earmark.audio.live import Gap, LiveBlock, LiveInput
from earmark.errors import AudioError

T = TypeVar("T")
PATIENCE_S = 30.0  # a test that takes longer hangs


class Clock:
    """A clock that moves only by ``sleep``, and by ``step_s`` whenever it is read."""

    def __init__(self, now_s: float = 1_000.0, step_s: float = 0.0) -> None:
        self.now_s, self.step_s = now_s, step_s
        self.sleeps: list[float] = []

    def __call__(self) -> float:
        self.now_s += self.step_s
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now_s += seconds


def within_patience(work: Callable[[], T]) -> T:
    """Return what ``work`` returns or raise what it raises; fail if it hangs."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert not thread.is_alive(), "it hangs"
    if errors:
        raise errors[0]
    return results[0]


def items_of(live: LiveInput, most: int | None = None) -> list[LiveBlock | Gap]:
    """Return all items of an input, or the first ``most``, and close it."""

    def read() -> list[LiveBlock | Gap]:
        items = []
        with live:
            for item in live:
                items.append(item)
                if len(items) == most:
                    break
        return items

    return within_patience(read)


def items_and_error(live: LiveInput) -> tuple[list[LiveBlock | Gap], str]:
    """Return the items of an input that fails, and the text of its error."""
    items: list[LiveBlock | Gap] = []

    def read() -> None:
        with live:
            items.extend(live)

    with pytest.raises(AudioError) as error:
        within_patience(read)
    return items, str(error.value)


def samples_of(items: Iterable[LiveBlock | Gap]) -> np.ndarray:
    """Return the samples of all blocks."""
    blocks = [item.samples for item in items if isinstance(item, LiveBlock)]
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def gaps_of(items: Iterable[LiveBlock | Gap]) -> list[Gap]:
    return [item for item in items if isinstance(item, Gap)]


class Station(ThreadingHTTPServer):
    """A station: ``answers`` of a path are used one after the other, the last one for ever.

    An answer is an HTTP status, or a tuple (content, how): "whole" with its length, "cut" in the
    middle of that, "live" without a length (chunks), "stall" to send it and then nothing, or
    "redirect" to go there.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, list[int | tuple[bytes, str]]] = {}
        self.asked: list[str] = []
        self.over = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> "Station":
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Station

    def do_GET(self) -> None:
        self.close_connection = True
        path = self.path.partition("?")[0]
        self.server.asked.append(path)
        answers = self.server.answers.get(path, [404])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, int):
            return self.send_error(answer)
        content, how = answer
        if how == "redirect":
            self.send_response(302)
            self.send_header("Location", content.decode())
        else:
            self.send_response(200)
        if how in ("whole", "cut", "redirect"):
            self.send_header("Content-Length", str(len(content)))
        else:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with contextlib.suppress(OSError):  # the client has heard enough
            self._send(content, how)
        return None

    def _send(self, content: bytes, how: str) -> None:
        if how in ("whole", "cut", "redirect"):
            self.wfile.write(content[: len(content) // 2] if how == "cut" else content)
            return
        for at in range(0, len(content), 1_000):
            chunk = content[at : at + 1_000]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        if how == "stall":
            self.server.over.wait(PATIENCE_S)
        else:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        pass
