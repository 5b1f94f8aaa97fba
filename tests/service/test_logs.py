"""The log: one line for each response, which says nothing of the sound and never stops anything."""

import asyncio
import json
import os
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from earmark.apps.service import logs, protocol
from earmark.apps.service.answering import Service
from earmark.apps.service.identity import Request
from earmark.apps.service.logs import Log
from earmark.apps.service.settings import Limits, Settings
from served import Client, ask, computers, decoders, head, run, running

MODELS = {"m": Path("m.earmark")}
TOKEN = "0123456789abcdef"
WAV = {"content-type": "audio/wav"}
ALLOWED = WAV | {"authorization": f"Bearer {TOKEN}"}


class Kept:
    """A log that keeps its lines."""

    def __init__(self, form: str = "json") -> None:
        self.content = b""
        self.log = Log(form, self._write)

    def _write(self, content: bytes) -> None:
        self.content += content

    def lines(self) -> list[dict[str, object]]:
        self.log.close()
        return [json.loads(line) for line in self.content.decode("ascii").splitlines()]


def answered(status: int = 200, given: str | None = None) -> Request:
    request = Request(given)
    request.status = status
    return request


def test_each_response_has_one_line_and_its_id():
    kept, replies = Kept(), []

    async def test() -> None:
        settings = Settings(MODELS, token=TOKEN)
        async with running(settings, decoders(2.5), computers(), log=kept.log) as port:
            for request in (
                {"body": b"sound", "headers": ALLOWED | {"x-request-id": "my.id-1"}},
                {"body": b"sound", "headers": WAV},
                {"path": "/v1/predict?model=other", "body": b"sound", "headers": ALLOWED},
                {"path": "/v1/models", "headers": ALLOWED},
                {"path": "/healthz"},
                {"path": "/healthz", "headers": {"host": "evil.example"}},
                {"path": "/secret/path?of=stranger", "headers": ALLOWED},
                {"path": "/healthz", "method": "DELETE"},
            ):
                replies.append(await ask(port, **request))

    run(test())
    lines = kept.lines()
    assert [line["event"] for line in lines] == ["response"] * len(replies)
    for line, reply in zip(lines, replies, strict=True):
        assert line["request_id"] == reply.headers["x-request-id"]
        assert line["status"] == reply.status and line["ms"] >= 0
        assert line["time"].endswith("Z") and len(line["time"]) == 24
        if reply.status >= 400:
            assert reply.json["request_id"] == line["request_id"] and reply.problem
    assert lines[0]["request_id"] == "my.id-1"
    assert (lines[0]["model"], lines[0]["audio_s"]) == ("m", 2.5)
    assert len({line["request_id"] for line in lines}) == len(lines)
    paths = ["/v1/predict"] * 3 + ["/v1/models", "/healthz", "/healthz", "other", "/healthz"]
    assert [line["path"] for line in lines] == paths
    assert [line["status"] for line in lines] == [200, 401, 422, 200, 200, 403, 404, 405]
    assert "model" not in lines[1] and "model" not in lines[2]


def test_a_response_that_the_protocol_writes_has_an_id_and_a_line(monkeypatch):
    monkeypatch.setattr(protocol, "HOLD_S", 0.05)
    kept, replies, slow = Kept(), [], decoders()
    slow.gate.clear()

    async def test() -> None:
        limits = Limits(requests=1, header_s=0.2)
        async with running(
            Settings(MODELS, limits=limits), slow, computers(), log=kept.log
        ) as port:
            late = await Client.connect(port)
            replies.append(await late.reply())
            wrong = await Client.connect(port)
            await wrong.send(b"\x16\x03\x01\r\n\r\n")
            replies.append(await wrong.reply())
            first = await Client.connect(port)
            await first.send(head(headers=WAV, length=5) + b"sound")
            while not slow.asked:
                await asyncio.sleep(0.01)
            for given in ("mine", "0123456789abcdef", "not\tplain"):
                headers = WAV | {"x-request-id": given}
                replies.append(await ask(port, body=b"sound", headers=headers))
            slow.gate.set()
            assert (await first.reply()).status == 200

    run(test())
    assert [reply.status for reply in replies] == [408, 400, 503, 503, 503]
    ids = [reply.headers["x-request-id"] for reply in replies]
    assert [reply.json["request_id"] for reply in replies] == ids
    assert ids[2:4] == ["mine", "0123456789abcdef"] and len(ids[4]) == 16
    lines = kept.lines()
    assert [line["request_id"] for line in lines[:5]] == ids
    assert [line["path"] for line in lines] == ["other"] * 2 + ["/v1/predict"] * 4
    assert lines[2]["level"] == "warning"


@pytest.mark.parametrize("given", ["a b", "", "x" * 65, 'a"b', "a\\nb", "\xb5", "a\x1b[31m"])
def test_an_id_that_is_no_plain_word_is_not_taken(given):
    assert len(Request(given).id) == 16 and Request(given).id != given
    assert Request("aZ0._-" * 10).id == "aZ0._-" * 10
    assert Request("id\n").id != "id\n"


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_name_no_token_and_no_query_is_in_the_log(form):
    kept = Kept(form)
    form_body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="private-name.wav"\r\n'
        b"Content-Type: audio/wav\r\n\r\nprivate sound\r\n--b--\r\n"
    )
    headers = ALLOWED | {"content-type": "multipart/form-data; boundary=b"}
    wrong = headers | {"authorization": "Bearer private-token-00", "user-agent": "private-agent"}

    async def test() -> None:
        settings = Settings(MODELS, token=TOKEN)
        async with running(settings, decoders(), computers(), log=kept.log) as port:
            assert (await ask(port, body=form_body, headers=headers)).status == 200
            assert (await ask(port, body=form_body, headers=wrong)).status == 401
            for path in ("/v1/predict?model=private-model", "/private-path?private=query"):
                assert (await ask(port, path, form_body, headers)).status in (404, 422)
            injected = headers | {"x-request-id": "a\tprivate-id"}
            assert (await ask(port, body=form_body, headers=injected)).status == 200

    run(test())
    kept.log.close()
    text = kept.content.decode("ascii")
    assert text.count("\n") == 5
    assert "private" not in text and TOKEN not in text and "127.0.0.1" not in text


def test_a_fault_has_its_lines_of_code_and_no_values():
    kept, broken = Kept(), computers()
    broken.hello = {"models": [{"name": "m", "path": "/v1/predict"}]}

    async def fail(message, deadline, begins=None):
        secret = "private-value"
        raise RuntimeError(secret)

    broken.ask = fail

    async def test() -> str:
        with kept.log.capturing():
            async with running(Settings(MODELS), decoders(), broken, log=kept.log) as port:
                reply = await ask(port, body=b"sound", headers=WAV)
                assert reply.status == 500 and "fault" in reply.problem

    run(test())
    lines = kept.lines()
    assert [line["event"] for line in lines] == ["response", "fault"]
    assert lines[0]["request_id"] == lines[1]["request_id"]
    assert lines[0]["level"] == lines[1]["level"] == "error"
    assert lines[1]["error"] == "RuntimeError"
    assert "test_logs.py" in lines[1]["traceback"][-1] and " fail" in lines[1]["traceback"][-1]
    assert b"private-value" not in kept.content


def test_a_reader_that_stands_still_stops_nothing(monkeypatch):
    monkeypatch.setattr(logs, "MOST_LINES", 10)
    monkeypatch.setattr(logs, "END_S", 0.1)
    gate, begun, written = threading.Event(), threading.Event(), []

    def write(content: bytes) -> None:
        begun.set()
        gate.wait()
        written.append(content)

    log = Log("json", write)
    log.event("first")
    assert begun.wait(60)
    for _ in range(25):
        log.response(answered(), "GET", "/healthz")
    log.close()  # returns, though nothing can be written
    assert not written
    gate.set()
    assert log._thread is not None
    log._thread.join(60)
    lines = [json.loads(line) for line in b"".join(written).splitlines()]
    assert len(lines) == 11 and lines[1]["dropped"] == 15
    assert sum("dropped" in line for line in lines) == 1


@pytest.mark.skipif(os.name != "posix", reason="the size of a pipe is known")
def test_a_service_whose_log_is_not_read_goes_on(monkeypatch):
    monkeypatch.setattr(logs, "MOST_LINES", 5)
    monkeypatch.setattr(logs, "END_S", 0.1)
    reader, writer = os.pipe()
    log = Log("json", lambda content: os.write(writer, content + bytes(2**20)) and None)

    async def test() -> None:
        async with running(Settings(MODELS), decoders(), computers(), log=log) as port:
            for _ in range(30):
                assert (await ask(port, body=b"sound", headers=WAV)).status == 200

    run(test())
    log.close()
    os.close(reader)  # which ends the thread
    assert log._thread is not None
    log._thread.join(60)
    os.close(writer)


def test_lines_that_could_not_be_written_are_counted():
    calls, written = [], []

    def write(content: bytes) -> None:
        calls.append(content)
        if len(calls) == 1:
            raise BrokenPipeError
        written.append(content)

    log = Log("json", write)
    log.event("lost")
    end = time.monotonic() + 60
    while not calls:
        assert time.monotonic() < end
        time.sleep(0.01)
    log.event("written")
    log.close()
    (line,) = [json.loads(content) for content in written]
    assert (line["event"], line["dropped"]) == ("written", 1)


def test_the_text_is_for_people_and_none_is_nothing():
    text, none = Kept("text"), Kept("none")
    for kept in (text, none):
        request = answered(504)
        request.audio_s, request.model = 1.25, "my\nmodel"
        kept.log.response(request, "POST", "/v1/predict")
        kept.log.event("reload", models={"m": {"old": "a", "new": "b"}})
        kept.log.close()
    first, second = text.content.decode().splitlines()
    assert "WARNING 504 POST /v1/predict" in first and "1.25 s of audio" in first
    assert '"my\\nmodel"' in first
    assert second.endswith('reload models={"m": {"old": "a", "new": "b"}}')
    assert none.content == b""


def test_a_process_that_is_replaced_is_told():
    kept = Kept()

    async def test() -> None:
        service = Service(Settings(MODELS), decoders(), computers(), log=kept.log)
        service._decoders.on_replaced("decode", "it has ended")

    run(test())
    (line,) = kept.lines()
    assert line["event"] == "process_replaced" and line["level"] == "warning"
    assert (line["role"], line["why"]) == ("decode", "it has ended")
