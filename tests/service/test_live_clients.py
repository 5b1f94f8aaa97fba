"""Clients of live sound that send what may not come, do not read, are many, or go away."""

import asyncio
import base64
import contextlib
import os
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from earmark.apps.service import listening, sound, websocket
from earmark.apps.service.settings import Limits, Settings
from earmark.audio.stretch import MAX_RATE_HZ, MIN_RATE_HZ
from earmark.detection.streams import STEP_S
from heard import END, StubHearers, answers, ending, open_stream, refusal
from served import PATIENCE_S, Client, ask, computers, decoders, head, running

pytestmark = pytest.mark.usefixtures("soon_closed")
MODELS = {"m": Path("m.earmark"), "n": Path("n.earmark")}
TOKEN = "0123456789abcdef"
SECOND = bytes(32_000)  # at 16 kHz


def run(test) -> None:
    asyncio.run(asyncio.wait_for(test(), 120))


@pytest.fixture
def soon_closed(monkeypatch):
    """Let the service not wait long for clients to read a close."""
    monkeypatch.setattr(listening, "CLOSE_S", 0.2)
    monkeypatch.setattr(websocket, "CLOSE_S", 0.2)


@contextlib.asynccontextmanager
async def service(answer=None, **settings):
    """Run a service whose process is a stub; yield its port and the stubs."""
    limits = {name: settings.pop(name) for name in list(settings) if hasattr(Limits, name)}
    own = Settings(MODELS, limits=Limits(**limits), **settings)
    hearers = StubHearers(own, *([answer] if answer else []))
    async with running(own, decoders(), computers(), hearers) as port:
        yield port, hearers


async def until(condition) -> None:
    async def wait() -> None:
        while not condition():
            await asyncio.sleep(0.01)

    await asyncio.wait_for(wait(), PATIENCE_S)


def test_the_limits_are_those_of_the_library():
    assert sound.RATES_HZ == (MIN_RATE_HZ, MAX_RATE_HZ)
    assert sound.STEP_S == STEP_S


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "Give it, such as ?rate=16000."),
        ("rate=99", "from 100 to 10000000"),
        ("rate=10000001", "from 100"),
        ("rate=16000.5", "a whole number"),
        ("rate=1_6000", "a whole number"),
        ("rate=%D9%A1%D9%A6000", "a whole number"),
        ("rate=16000&channels=0", "from 1 to 8"),
        ("rate=16000&channels=9", "from 1 to 8"),
        ("rate=16000&format=mp3", "s16le or f32le"),
        ("rate=16000&step=0", "from 0.01 to 10"),
        ("rate=16000&step=nan", "from 0.01 to 10"),
        ("rate=16000&model=x", "one of: m, n"),
        ("rate=16000&rate=8000", "twice"),
        ("rate=16000&token=secret", "is not an option"),
    ],
)
def test_a_query_that_is_wrong_is_refused_before_the_handshake(query, words):
    async def test() -> None:
        async with service() as (port, hearers):
            reply = await refusal(port, query)
            assert reply.status == 422 and words in reply.problem, reply.body
            assert not hearers.made and hearers.streams == 0

    run(test)


def test_who_may_listen():
    async def test() -> None:
        async with service(token=TOKEN, origins=("https://good.example",)) as (port, _):
            right = {"authorization": f"Bearer {TOKEN}"}
            assert (await refusal(port)).status == 401
            assert (await refusal(port, f"rate=16000&token={TOKEN}")).status == 401
            wrong = ["earmark.v1", f"bearer.{TOKEN[1:]}"]
            assert (await refusal(port, subprotocols=wrong)).status == 401
            assert (await refusal(port, subprotocols=[f"bearer.{TOKEN}"])).status == 401
            for host in ("evil.example", "127.0.0.1@evil"):
                client = await Client.connect(port)
                await client.send(handshake(f"Authorization: Bearer {TOKEN}", host=host))
                assert (await client.reply()).status == 403
                client.close()
            for origin in ("https://evil.example", "null", f"http://127.0.0.1:{port + 1}"):
                reply = await refusal(port, headers=right, origin=origin)
                assert reply.status == 403 and "--allow-origin" in reply.problem
            for origin in ("https://good.example", f"http://127.0.0.1:{port}", None):
                async with open_stream(port, additional_headers=right, origin=origin) as stream:
                    assert stream.subprotocol is None
            offered = ["earmark.v1", f"bearer.{TOKEN}"]
            async with open_stream(port, subprotocols=offered) as stream:
                assert stream.subprotocol == "earmark.v1"

    run(test)


def handshake(*lines: str, path: str = "/v1/listen?rate=16000", host: str = "localhost") -> bytes:
    own = (
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}",
    )
    return "\r\n".join([*own, *lines, "", ""]).encode()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (handshake(path="/v1/predict"), 404),
        (handshake().replace(b"Sec-WebSocket-Key", b"X"), 400),
        (handshake().replace(b"13", b"7"), 400),
        (handshake().replace(b"GET", b"POST"), 405),
        (handshake("X: " + "a" * 9_000), 400),
        (handshake(*(f"X{k}: a" for k in range(200))), 400),
        (handshake("Sec-WebSocket-Protocol: ,;="), 400),
        (head("/v1/listen?rate=16000", "GET"), 426),
    ],
)
def test_a_handshake_that_is_none_is_answered(sent, status):
    async def test() -> None:
        async with service() as (port, hearers):
            client = await Client.connect(port)
            await client.send(sent)
            reply = await client.reply()
            assert reply.status == status and reply.problem, reply.body
            client.close()
            assert not hearers.made

    run(test)


def test_an_upgrade_with_a_body_harms_nothing():
    async def test() -> None:
        async with service() as (port, _):
            client = await Client.connect(port)
            await client.send(handshake("Content-Length: 5") + b"sound")
            await client.reader.read(100)
            client.close()
            assert (await ask(port, "/healthz")).status == 200

    run(test)


@pytest.mark.parametrize(
    ("messages", "code", "words"),
    [
        ([b"abc"], 1007, "3 bytes"),
        ([b"ab", "end"], 1007, '{"type": "end"}'),
        (['{"type": "stop"}'], 1007, '{"type": "end"}'),
        (["[" * 900], 1007, '{"type": "end"}'),
        (["x" * 2_000], 1007, '{"type": "end"}'),
        ([END, END], 1007, "Open another stream"),
        ([END, bytes(2)], 1007, "Open another stream"),
        ([bytes(2**20 + 2)], 1009, "1,048,576 bytes"),
        ([[bytes(2**19), bytes(2**19), bytes(2)]], 1009, "1,048,576 bytes"),
        ([b"WRONG!"], 1007, "Correct them"),
    ],
)
def test_a_message_that_is_wrong_ends_the_stream_in_a_sentence(messages, code, words):
    async def test() -> None:
        async with service() as (port, hearers):
            async with open_stream(port) as stream:
                await stream.recv()
                hearers.made[0].gate.clear()
                with contextlib.suppress(ConnectionClosed):
                    for message in messages:
                        await stream.send(message)
                    await (await stream.ping())
                    for _ in range(100):  # of the loop that the service runs in, to read them
                        await asyncio.sleep(0)
                hearers.made[0].gate.set()
                found, sentence = await ending(stream)
            assert found == code and words in sentence
            await until(lambda: hearers.streams == 0)
            assert hearers.made[0].asked[-1][1] == "drop"

    run(test)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (Frame(Opcode.BINARY, bytes(8), rsv1=True), 1002),
        (Frame(Opcode.TEXT, b"\xff\xfe"), 1007),
        (Frame(Opcode.CONT, bytes(8)), 1002),
    ],
)
def test_frames_that_break_the_protocol_are_refused_in_a_sentence(frame, code, capfd):
    async def test() -> None:
        async with service() as (port, hearers):
            client = await Client.connect(port)
            await client.send(handshake("Sec-WebSocket-Extensions: permessage-deflate"))
            answer = await client.reader.readuntil(b"\r\n\r\n")
            assert b" 101 " in answer and b"deflate" not in answer
            frame.check = lambda: None
            await client.send(frame.serialize(mask=True))
            left = await asyncio.wait_for(client.reader.read(), PATIENCE_S)
            assert b'"type": "error"' in left and code.to_bytes(2, "big") in left
            await until(lambda: hearers.streams == 0)
            client.close()

    run(test)
    assert capfd.readouterr().err == ""


def test_a_client_that_pauses_is_not_waited_for():
    async def test() -> None:
        async with service(body_s=0.2) as (port, hearers), open_stream(port) as stream:
            for _ in range(4):
                await stream.send(bytes(640))
                await asyncio.sleep(0.1)
            code, sentence = await ending(stream)
            assert code == 1008 and "0.2 s" in sentence
            sent = [size for _, do, size in hearers.made[0].asked if do == "feed"]
            assert sum(sent) == 4 * 640

    run(test)


def test_a_stream_is_not_late_while_its_process_starts():
    async def test() -> None:
        async with service(body_s=0.05) as (port, hearers):
            start, gate = hearers._start, asyncio.Event()

            async def slow_start():
                await gate.wait()
                return await start()

            hearers._start = slow_start
            async with open_stream(port) as stream:
                await asyncio.sleep(0.2)
                gate.set()
                await stream.send(END)
                assert len(await answers(stream)) == 2
                assert stream.close_code == 1000

    run(test)


async def send_without_end(client: Client, content: bytes) -> None:
    while True:
        await asyncio.wait_for(client.send(content), PATIENCE_S)


def test_a_client_that_does_not_read_is_cut_off():
    async def test() -> None:
        async with service(lambda body: ["x" * 100_000], body_s=0.3) as (port, hearers):
            client = await Client.connect(port)
            client.writer.transport.pause_reading()
            await client.send(handshake())
            content = Frame(Opcode.BINARY, SECOND).serialize(mask=True)
            with pytest.raises(ConnectionError):
                await send_without_end(client, content)
            await until(lambda: hearers.streams == 0)
            client.close()

    run(test)


def test_what_is_sent_ahead_waits_with_the_client():
    """The service holds ten seconds of sound, a message and what the system holds."""

    async def test() -> None:
        async with service() as (port, hearers):
            async with open_stream(port, write_limit=2**16) as stream:
                await stream.recv()
                gate = hearers.made[0].gate
                gate.clear()
                sent = 0

                async def send() -> None:
                    nonlocal sent
                    for _ in range(400):
                        await stream.send(SECOND)
                        sent += 1
                    await stream.send(END)

                sending = asyncio.ensure_future(send())
                before = -1
                while sent != before:
                    before = sent
                    await asyncio.sleep(0.3)
                assert sent < 300
                gate.set()
                await answers(stream)
                await sending
                assert stream.close_code == 1000
            sizes = [size for _, do, size in hearers.made[0].asked if do == "feed"]
            assert sum(sizes) == 400 * len(SECOND) and max(sizes) == len(SECOND) // 2

    run(test)


def test_streams_take_turns():
    async def test() -> None:
        async with service() as (port, hearers), open_stream(port) as fast:
            await fast.recv()
            hearer = hearers.made[0]
            hearer.gate.clear()
            for _ in range(8):
                await fast.send(SECOND)
            async with open_stream(port) as slow:
                await slow.send(bytes(640))
                await until(lambda: (1, "open", 0) in hearer.asked)
                hearer.gate.set()
                await until(lambda: (1, "feed", 640) in hearer.asked)
                assert hearer.asked.index((1, "feed", 640)) < 8

    run(test)


def test_one_stream_too_many_is_refused_and_a_place_is_given_back():
    async def test() -> None:
        async with service(streams=2, workers=2) as (port, hearers):
            async with open_stream(port), open_stream(port):
                reply = await refusal(port)
                assert reply.status == 503 and reply.headers["retry-after"] == "5"
                assert "2 streams" in reply.problem
                text = (await ask(port, "/metrics")).body.decode()
                assert "earmark_streams 2\n" in text
                assert 'earmark_responses_total{path="/v1/listen",status="503"} 1\n' in text
            await until(lambda: hearers.streams == 0)
            async with open_stream(port):
                assert len(hearers.made) == 1

    run(test)


def test_many_streams_share_several_processes():
    async def test() -> None:
        async with (
            service(streams=9, workers=2) as (port, hearers),
            contextlib.AsyncExitStack() as stack,
        ):
            for _ in range(9):
                stream = await stack.enter_async_context(open_stream(port))
                await stream.recv()
            assert sorted(hearer.streams for hearer in hearers.made) == [4, 5]

    run(test)


def test_a_stream_counts_as_a_connection():
    async def test() -> None:
        async with service(connections=1) as (port, _), open_stream(port) as stream:
            await stream.recv()
            client = await Client.connect(port)
            assert (await client.reply()).status == 503
            client.close()

    run(test)


def test_a_client_that_goes_away_leaves_nothing():
    async def test() -> None:
        async with service() as (port, hearers):
            for _ in range(3):
                client = await Client.connect(port)
                await client.send(handshake() + Frame(Opcode.BINARY, SECOND).serialize(mask=True))
                await client.reader.readuntil(b"\r\n\r\n")
                client.writer.transport.abort()
            await until(lambda: len(hearers.made) == 1 and hearers.streams == 0)
            drops = [number for number, do, _ in hearers.made[0].asked if do == "drop"]
            assert sorted(drops) == [0, 1, 2] and hearers.made[0].streams == 0

    run(test)


def test_a_process_that_ends_closes_its_streams_and_the_next_one_starts_another():
    async def test() -> None:
        async with service() as (port, hearers):
            async with open_stream(port) as first, open_stream(port) as second:
                for stream in (first, second):
                    await stream.recv()
                hearers.made[0].has_ended = True
                for stream in (first, second):
                    await stream.send(SECOND)
                    code, sentence = await ending(stream)
                    assert code == 1011 and "Open another stream" in sentence
            async with open_stream(port) as stream:
                await stream.send(END)
                assert len(await answers(stream)) == 2
            assert len(hearers.made) == 2
            assert (
                "earmark_hearers_replaced_total 1\n" in (await ask(port, "/metrics")).body.decode()
            )

    run(test)


def test_new_classifiers_are_for_new_streams():
    async def test() -> None:
        async with service() as (port, hearers), open_stream(port) as old:
            await old.recv()
            await hearers.renew()
            async with open_stream(port) as new:
                await new.recv()
                assert [hearer.streams for hearer in hearers.made] == [1, 1]
            await old.send(END)
            assert len(await answers(old)) == 1 and old.close_code == 1000

    run(test)


@pytest.mark.skipif(os.name != "posix", reason="the limits of buffers are those of POSIX")
def test_a_stop_lets_streams_finish():
    async def test() -> None:
        async with contextlib.AsyncExitStack() as stack:
            async with service() as (port, hearers):
                speaking = await stack.enter_async_context(open_stream(port))
                ended = await stack.enter_async_context(open_stream(port))
                for stream in (speaking, ended):
                    await stream.recv()
                hearers.made[0].gate.clear()
                await speaking.send(SECOND)
                await ended.send(SECOND)
                await ended.send(END)
                await until(lambda: [do for _, do, _ in hearers.made[0].asked].count("feed") == 2)
                asyncio.get_running_loop().call_later(0.3, hearers.made[0].gate.set)
            assert (await answers(speaking))[-1] == "{}" and speaking.close_code == 1001
            assert (await answers(ended))[-1] == "{}" and ended.close_code == 1000

    run(test)
