"""The load that services are measured with: it knows what was answered, refused and lost."""

import contextlib
import importlib
import socket
import sys
import threading
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("the load needs epoll", allow_module_level=True)

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SECONDS = 0.3
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ALWAYS = 100_000 * [OK]
BUSY = b"HTTP/1.1 503 Busy\r\nconnection: close\r\ncontent-length: 4\r\n\r\nbusy"
LARGE = 8_000_000  # more than sockets hold


@pytest.fixture
def serving(monkeypatch):
    """The modules of the load."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return {name: importlib.import_module(f"serving.{name}") for name in ("clients", "load")}


class Answering:
    """A server: ``answers`` says what it does with each request of a connection.

    It sends the bytes. None closes the connection, "reset" does so without reading, and "hang"
    answers nothing.
    """

    def __init__(self, answers):
        self.answers, self.listener = answers, socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.connections, self.end = 0, threading.Event()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, contextlib.suppress(ConnectionError):
            for answer in self.answers:
                if answer == "reset" or not self.read(connection) or answer is None:
                    return
                if answer == "hang":
                    self.end.wait()
                    return
                connection.sendall(answer)

    def read(self, connection):
        file = connection.makefile("rb")
        length = 0
        while (line := file.readline().strip().lower()) != b"":
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return not length or len(file.read(length)) == length

    def close(self):
        self.end.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def loaded(serving, answers, body=b"sound", keeps=True, expected=b"ok", rate=0.0, clients=1):
    """The tally of a short load on a server."""
    server = Answering(answers)
    content = serving["clients"].request("/", body)
    load = serving["load"].Load(server.port, [serving["clients"].Ask(content, expected)])
    if rate:
        load.open(rate, clients, keeps)
    else:
        load.closed(clients, keeps)
    tally = load.run(SECONDS)
    server.close()
    assert tally.unaccounted == 0
    return tally, server


def test_answers_are_counted_and_compared(serving):
    tally, server = loaded(serving, ALWAYS, clients=3)
    assert tally.answers > 10 and tally.goodput == tally.answers / tally.seconds
    assert tally.wrong == tally.lost == 0 and tally.checked >= tally.answers
    assert server.connections == 3
    wrong, _ = loaded(serving, ALWAYS, expected=b"no")
    assert wrong.wrong == wrong.checked > 0


def test_a_client_that_keeps_nothing_opens_a_connection_for_each_request(serving):
    tally, server = loaded(serving, ALWAYS, keeps=False)
    assert server.connections >= tally.sent > 3


def test_refusals_are_counted_by_status(serving):
    tally, _ = loaded(serving, [OK, BUSY])
    assert list(tally.refused) == [503]
    assert tally.answers >= tally.refused[503] > 0
    assert tally.lost == 0


@pytest.mark.parametrize(("answers", "name"), [([None], "lost_new"), ([OK, None], "lost_kept")])
def test_a_request_that_was_sent_and_gets_no_answer_is_lost(serving, answers, name):
    tally, _ = loaded(serving, answers)
    assert getattr(tally, name) > 0
    assert tally.lost == getattr(tally, name)
    assert tally.answers == (tally.lost if len(answers) == 2 else 0)


def test_a_request_that_could_not_be_sent_completely_is_broken(serving):
    tally, _ = loaded(serving, ["reset"], body=bytes(LARGE))
    assert tally.broken > 0 and tally.lost == 0


def test_a_large_request_is_sent_in_parts(serving):
    tally, _ = loaded(serving, ALWAYS, body=bytes(LARGE))
    assert tally.answers + tally.after > 0 and tally.broken == tally.lost == 0


def test_nobody_listens(serving):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    ask = serving["clients"].Ask(serving["clients"].request("/"))
    load = serving["load"].Load(port, [ask])
    load.closed(2)
    tally = load.run(SECONDS)
    assert tally.unconnected == tally.sent > 0 and tally.lost == 0


def test_arrivals_without_a_free_client_are_counted(serving):
    tally, _ = loaded(serving, ALWAYS, rate=200.0, clients=50)
    assert tally.unsent == 0 and 20 < tally.sent < 120


def test_requests_that_are_never_answered_are_late(serving, monkeypatch):
    monkeypatch.setattr(serving["load"], "AFTER_S", 0.05)
    tally, _ = loaded(serving, ["hang"], rate=200.0, clients=2)
    assert tally.sent == tally.late == 2
    assert tally.unsent > 10
