"""Servers that do what none should: each ends in a bounded time and in one sentence."""

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from earmark.system import download, http
from earmark.system.download import DownloadError

CONTENT = bytes(range(256)) * 400  # 102,400 bytes
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "SILENCE_S", 0.1)
    monkeypatch.setattr(download, "BACK_OFF_S", 0.001)
    monkeypatch.setenv("NO_PROXY", "*")


Answer = Callable[[socket.socket, bytes], None]


class Server:
    """A port of the loopback that gives each connection to ``answer``, with what it asked for."""

    def __init__(self) -> None:
        self.answer: Answer = lambda *_: None
        self.asked: list[bytes] = []
        self.over = threading.Event()
        self.port = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.port.getsockname()[1]}/net.pth"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while not self.over.is_set():
            try:
                line, _ = self.port.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(line,), daemon=True).start()

    def serve(self, line: socket.socket) -> None:
        with line:
            try:
                asked = line.recv(65_536)
                self.asked.append(asked)
                self.answer(line, asked)
            except OSError:
                pass  # the client has heard enough


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.over.set()
    server.port.close()


def sends(*pieces: bytes) -> Answer:
    return lambda line, _: [line.sendall(piece) for piece in pieces] and None


def drips(first: bytes) -> Answer:
    """Send a few bytes a moment, for ever, so that no single wait is long."""

    def answer(line: socket.socket, _: bytes) -> None:
        line.sendall(first)
        while True:
            line.sendall(b"x" * 3)
            time.sleep(0.02)

    return answer


def endless(first: bytes, again: bytes) -> Answer:
    def answer(line: socket.socket, _: bytes) -> None:
        line.sendall(first)
        while True:
            line.sendall(again * 1_000)

    return answer


def moved(code: int, target: str) -> Answer:
    return sends(f"HTTP/1.1 {code} Moved\r\nLocation: {target}\r\n\r\n".encode())


CASES = {
    "a drip of the body": (drips(OK + b"Content-Length: 102400\r\n\r\n"), "bytes came in 0 sec"),
    "a drip of the headers": (drips(OK + b"X: "), "bytes came in 0 seconds"),
    "a drip of the status": (drips(b"HTTP/1.1 2"), "bytes came in 0 seconds"),
    "no answer": (lambda line, _: time.sleep(5), "timed out"),
    "a closed line": (lambda line, _: None, "closed connection"),
    "no HTTP": (sends(b"\x1b[31mSSH-2.0-OpenSSH\r\n\r\n"), "is not valid HTTP: BadStatus"),
    "endless headers": (endless(OK, b"a: b\r\n"), "is not valid HTTP: HTTPExc"),
    "one endless header": (endless(OK, b"a" * 100), "is not valid HTTP: LineTooLong"),
    "endless continue": (
        endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        "far longer than expected",
    ),
    "a redirect in a circle": (moved(302, "/net.pth"), "more than 5 redirects, the last to http:"),
    "a redirect to a file": (moved(301, "file:///etc/passwd"), "redirects to file:///etc/passwd,"),
    "a redirect to FTP": (moved(308, "ftp://x/net.pth"), "redirects to ftp://x/net.pth, which is"),
    "a redirect to nowhere": (
        moved(307, "http://[x/"),
        "redirects to http://[x/, which is not a",
    ),
    "a redirect to no host's name": (moved(302, f"http://{'a' * 70}.org/"), "is not a web"),
    "a redirect to an empty name": (moved(302, "http://a..org/"), "http://a..org/ is not a web"),
    "a redirect in Latin-1": (moved(302, "/\xe9 x"), "more than 5 redirects"),
    "a redirect with a long page": (
        endless(b"HTTP/1.1 302 F\r\nLocation: file:///x\r\n\r\n", b"x" * 9),
        "redirects to file:///x, which is not safe",
    ),
    "a coloured reason": (sends(b"HTTP/1.1 404 \x1b[31mGone\r\n\r\n"), "HTTP 404  [31mGone"),
    "too long a length": (
        sends(OK + b"Content-Length: 9999999\r\n\r\n" + CONTENT[:500]),
        "the connection broke after 500 of 9,999,999 bytes",
    ),
    "garbage chunks": (
        sends(OK + b"Transfer-Encoding: chunked\r\n\r\nzzz\r\nhello\r\n"),
        "is not valid HTTP: IncompleteRead",
    ),
    "endless trailers": (
        endless(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n"),
        "",
    ),
    "a web page": (
        sends(OK + b"Content-Type: text/html\r\n\r\n\n<!DOCTYPE html><p>Log in"),
        "the server sent a web page instead of the file",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_server_that_misbehaves_is_given_up_in_a_sentence(server, name, tmp_path):
    server.answer, said = CASES[name]
    begin = time.monotonic()
    with pytest.raises(DownloadError) as raised:
        download.download(server.url, tmp_path / "part", len(CONTENT))
    assert said in raised.value.reason and raised.value.reason.isprintable()
    assert time.monotonic() - begin < 5
    assert len(raised.value.reason) < 160 and len(server.asked) <= 24


def test_https_is_not_left_for_http():
    for target in ("http://x/net.pth", "file:///net.pth", "//["):
        with pytest.raises(http.RefusedError, match="redirects to"):
            http._redirected("https://x/net.pth", target)
    assert http._redirected("https://x/a", "/b?c") == "https://x/b?c"
    assert http._redirected("http://x/a", "https://y/b") == "https://y/b"


def test_one_byte_a_connection_is_given_up(server, tmp_path):
    """Each brings something new, but so little that the file would never be whole."""
    numbers = itertools.count()
    head = b"HTTP/1.1 206 P\r\nContent-Length: 99\r\n\r\n"
    server.answer = lambda line, _: line.sendall(head + b"%d" % next(numbers))
    with pytest.raises(DownloadError, match="the connection broke after 4 of 102 bytes"):
        download.download(server.url, tmp_path / "part", len(CONTENT))
    assert len(server.asked) == download.TRIES


@pytest.mark.parametrize("length", [b"Content-Length: 1x\r\n", b"Content-Length: -5\r\n", b""])
def test_a_length_that_is_no_number_counts_as_none(server, length, tmp_path):
    server.answer = sends(OK + length + b"\r\n" + CONTENT)
    download.download(server.url, tmp_path / "part", len(CONTENT))
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_a_range_that_was_not_asked_for_begins_again(server, tmp_path):
    (tmp_path / "part").write_bytes(CONTENT[:5_000])
    head = f"HTTP/1.1 206 P\r\nContent-Range: bytes 0-{len(CONTENT) - 1}/*\r\n\r\n".encode()
    server.answer = sends(head + CONTENT)
    download.download(server.url, tmp_path / "part", len(CONTENT))
    assert b"Range: bytes=5000-" in server.asked[0]
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_a_web_page_does_not_cost_what_came_before(server, tmp_path):
    (tmp_path / "part").write_bytes(CONTENT[:5_000])
    server.answer = sends(OK + b"\r\n<html>Log in")
    with pytest.raises(DownloadError, match="a web page"):
        download.download(server.url, tmp_path / "part", len(CONTENT))
    assert (tmp_path / "part").read_bytes() == CONTENT[:5_000]


def test_a_good_redirect_is_followed(server, tmp_path):
    def answer(line: socket.socket, asked: bytes) -> None:
        if b"/net.pth" in asked:
            line.sendall(b"HTTP/1.1 302 F\r\nLocation: ../elsewhere\r\n\r\n")
        else:
            line.sendall(OK + b"\r\n" + CONTENT)

    server.answer = answer
    download.download(server.url, tmp_path / "part", len(CONTENT))
    assert (tmp_path / "part").read_bytes() == CONTENT
