"""What a client of live sound may not send: before the handshake, and after it."""

import asyncio
import contextlib

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from earmark.apps.service import sound
from earmark.audio.stretch import MAX_RATE_HZ, MIN_RATE_HZ
from earmark.detection.streams import STEP_S
from heard import (
    END,
    TOKEN,
    ending,
    handshake,
    open_stream,
    refusal,
    send_without_end,
    service,
    until,
)
from served import PATIENCE_S, Client, ask, head, run

pytestmark = pytest.mark.usefixtures("soon_closed")


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

    run(test())


def test_who_may_listen():
    async def test() -> None:
        async with service(token=TOKEN, origins=("https://good.example",)) as (port, _):
            right = {"authorization": f"Bearer {TOKEN}"}
            assert (await refusal(port)).status == 401
            assert (await refusal(port, f"rate=16000&token={TOKEN}")).status == 401
            wrong = ["earmark-v1", f"bearer.{TOKEN[1:]}"]
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
            offered = ["earmark-v1", f"bearer.{TOKEN}"]
            async with open_stream(port, subprotocols=offered) as stream:
                assert stream.subprotocol == "earmark-v1"

    run(test())


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

    run(test())


def test_an_upgrade_with_a_body_harms_nothing():
    async def test() -> None:
        async with service() as (port, _):
            client = await Client.connect(port)
            await client.send(handshake("Content-Length: 5") + b"sound")
            await client.reader.read(100)
            client.close()
            assert (await ask(port, "/healthz")).status == 200

    run(test())


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

    run(test())


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

    run(test())
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("frame", [Frame(Opcode.BINARY, b""), Frame(Opcode.PING, b"")])
def test_a_flood_of_small_frames_is_refused(frame):
    async def test() -> None:
        async with service() as (port, hearers):
            client = await Client.connect(port)
            await client.send(handshake())
            await client.reader.readuntil(b"\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                for _ in range(40):
                    await client.send(1_000 * frame.serialize(mask=True))
            left = await asyncio.wait_for(client.reader.read(), PATIENCE_S)
            assert b"too many for their size" in left
            await until(lambda: hearers.streams == 0)
            client.close()

    run(test())


def test_a_flood_of_pings_without_reading_is_cut_off():
    async def test() -> None:
        async with service() as (port, hearers):
            client = await Client.connect(port)
            client.writer.transport.pause_reading()
            await client.send(handshake())
            with pytest.raises(ConnectionError):
                await send_without_end(
                    client, 100 * Frame(Opcode.PING, bytes(125)).serialize(mask=True)
                )
            await until(lambda: hearers.streams == 0)
            client.close()

    run(test())
