"""Live sound and trying: a classifier of the folder answers, as the command line does."""

import asyncio
import base64
import contextlib
import json
import socket

import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

import studios
from command_line import earmark as run_earmark
from studios import write_sounds

NAMES = [f"{label}/{number}.wav" for label in ("low", "high") for number in range(4)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A studio whose folder has a classifier."""
    import earmark

    folder = write_sounds(tmp_path_factory.mktemp("trained") / "sounds", NAMES)
    options = {"backbone": "logmel", "head": "prototype", "folds": 2, "compare": False}
    result = earmark.train(folder, **options)
    (folder / "models").mkdir()
    result.classifier.save(folder / "models" / "tones.earmark")
    with studios.running(folder) as client:
        yield client


def stream(client, query="model=tones&rate=16000&channels=1&format=s16le", **headers):
    own = {"Cookie": client.cookie, "Origin": f"http://127.0.0.1:{client.port}", **headers}
    given = {name: value for name, value in own.items() if value is not None}
    url = f"ws://127.0.0.1:{client.port}/api/live?{query}"
    return connect(url, additional_headers=given, ping_interval=None, proxy=None, origin=None)


def heard(client, messages, query="model=tones&rate=16000&channels=1&format=s16le"):
    """Send messages to a stream; return its texts, and the code and reason of its close."""

    async def run():
        texts = []
        async with stream(client, query) as own:
            with contextlib.suppress(ConnectionClosed):
                for message in messages:
                    await own.send(message)
            with contextlib.suppress(ConnectionClosed):
                while True:
                    texts.append(json.loads(await asyncio.wait_for(own.recv(), 60)))
        return texts, own.close_code, own.close_reason

    return asyncio.run(run())


END = json.dumps({"type": "end"})


def pcm(hertz, seconds=1.0):
    t = np.arange(int(16_000 * seconds)) / 16_000
    return (9_000 * np.sin(2 * np.pi * hertz * t)).astype("<i2").tobytes()


def test_live_sound_gets_scores(trained):
    texts, code, _ = heard(trained, [pcm(2_000), END])
    assert code == 1000 and texts[0]["type"] == "ready" and texts[-1]["type"] == "end"
    assert {text["label"] for text in texts if text["type"] == "scores"} >= {"high"}


@pytest.mark.parametrize(
    ("query", "messages", "word"),
    [
        ("model=none&rate=16000", [], "no model"),
        ("model=../tones&rate=16000", [], "no model"),
        ("model=tones", [], "sample rate is missing"),
        ("model=tones&rate=1", [], "is not allowed"),
        ("model=tones&rate=16000&path=/etc", [], "not an option"),
        ("model=tones&rate=16000", [b"odd"], "whole samples"),
        ("model=tones&rate=16000", ["hello"], "is not known"),
        ("model=tones&rate=16000&format=f32le", [np.full(4_000, np.nan, "<f4").tobytes()], "NaN"),
    ],
)
def test_wrong_sound_is_refused_with_a_sentence_that_the_page_can_read(
    trained, query, messages, word
):
    texts, code, reason = heard(trained, messages, query)
    assert texts[-1]["type"] == "error" and code in (1007, 1008)
    assert word in texts[-1]["detail"] and texts[-1]["detail"].endswith(".")
    assert texts[-1]["detail"].startswith(reason[:80])


@pytest.mark.parametrize(
    "headers",
    [
        {"Cookie": None},
        {"Cookie": "earmark-1=x"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_stream_of_others_is_refused_before_it_opens(trained, headers):
    async def run():
        with pytest.raises(InvalidStatus) as caught:
            async with stream(trained, **headers):
                pass
        return caught.value.response

    if "Host" in headers:  # the library sets its own
        assert handshake(trained, headers["Host"]).split()[1] == b"403"
        return
    response = asyncio.run(run())
    assert response.status_code in (401, 403)
    assert json.loads(response.body)["detail"].endswith(".")
    assert trained.studio.hearers.streams == 0


def handshake(client, host):
    key = base64.b64encode(bytes(16)).decode()
    lines = ("GET /api/live?model=tones&rate=16000 HTTP/1.1", f"Host: {host}", "Upgrade: websocket",
             "Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}",
             f"Cookie: {client.cookie}")  # fmt: skip
    with socket.create_connection(("127.0.0.1", client.port), timeout=30) as own:
        own.sendall("\r\n".join([*lines, "", ""]).encode())
        return own.recv(200)


def test_another_address_has_no_stream(trained):
    async def run():
        own = {"Cookie": trained.cookie}
        async with connect(f"ws://127.0.0.1:{trained.port}/api/state", additional_headers=own,
                           proxy=None) as other:  # fmt: skip
            return json.loads(await other.recv())

    assert "no WebSocket here" in asyncio.run(run())["detail"]


def test_trying_a_clip_gives_what_the_command_prints(trained):
    folder = trained.studio.path
    clip = trained.get("/api/clips?label=low").json["clips"][0]
    reply = trained.post(f"/api/try/tones?id={clip['id']}")
    assert reply.status == 200, reply.body
    path = folder / "low" / clip["name"]
    words = ("predict", folder / "models" / "tones.earmark", path, "--json", "--top", "9")
    printed = json.loads(run_earmark(*words).stdout)
    assert dict(zip(reply.json["labels"], reply.json["scores"], strict=True)) == printed["scores"]
    assert reply.json["answer"] == printed["label"] and reply.json["seconds"] == 0.25
    assert "path" not in reply.json


def test_trying_an_upload_leaves_no_recording(trained):
    before = trained.get("/api/state").json["counts"]
    content = (trained.studio.path / "high" / "3.wav").read_bytes()
    asked = {"kind": "file", "name": "x.wav", "purpose": "try"}
    id = trained.post("/api/uploads", asked).json["upload"]
    trained.put(f"/api/uploads/{id}?offset=0", content)
    assert trained.post(f"/api/uploads/{id}/done").status == 200
    reply = trained.post(f"/api/try/tones?upload={id}")
    assert reply.status == 200 and reply.json["answer"] == "high"
    assert trained.get("/api/state").json["counts"] == before


def test_what_cannot_be_tried_gets_a_sentence(trained):
    clip = trained.get("/api/clips").json["clips"][0]["id"]
    assert trained.post("/api/try/tones").status == 422
    assert trained.post(f"/api/try/none?id={clip}").status == 404
    assert trained.post("/api/try/tones?id=0123456789abcdef").status == 404
    assert trained.post("/api/try/tones?upload=x").status == 404
    asked = {"kind": "file", "name": "x.wav", "purpose": "try"}
    id = trained.post("/api/uploads", asked).json["upload"]
    trained.put(f"/api/uploads/{id}?offset=0", b"no sound" * 100)
    trained.post(f"/api/uploads/{id}/done")
    reply = trained.post(f"/api/try/tones?upload={id}")
    assert reply.status == 422 and reply.problem
