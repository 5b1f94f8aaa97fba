"""Clients of live sound: they pause, they do not read, there are too many, they go away."""

import asyncio
import contextlib
import os

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from websockets.frames import Frame, Opcode

from earmark.apps.service import server
from earmark.errors import EarmarkError
from heard import (
    END,
    SECOND,
    answers,
    ending,
    handshake,
    open_stream,
    refusal,
    send_without_end,
    service,
    until,
)
from served import Client, ask, head, run

pytestmark = pytest.mark.usefixtures("soon_closed")


def test_a_client_that_pauses_is_not_waited_for():
    async def test() -> None:
        async with service(body_s=1.0) as (port, hearers), open_stream(port) as stream:
            for _ in range(4):
                await stream.send(bytes(640))
                await asyncio.sleep(0.3)
            code, sentence = await ending(stream)
            assert code == 1008 and "1 s" in sentence
            sent = [size for _, do, size in hearers.made[0].asked if do == "feed"]
            assert sum(sent) == 4 * 640

    run(test())


def test_a_stream_may_follow_a_request_on_the_same_connection(monkeypatch):
    """The deadline of an idle connection is not that of the stream."""
    monkeypatch.setattr(server, "KEEP_ALIVE_S", 0.2)

    async def test() -> None:
        async with service() as (port, hearers):
            client = await Client.connect(port)
            await client.send(head("/healthz", "GET"))
            assert (await client.reply()).status == 200
            await client.send(handshake())
            assert b" 101 " in await client.reader.readuntil(b"\r\n\r\n")
            await until(lambda: hearers.made)
            await asyncio.sleep(0.5)
            await client.send(Frame(Opcode.BINARY, bytes(640)).serialize(mask=True))
            await until(lambda: (0, "feed", 640) in hearers.made[0].asked)
            client.close()

    run(test())


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

    run(test())


def test_a_client_that_does_not_read_is_cut_off():
    async def test() -> None:
        async with service(lambda body: ["x" * 100_000], body_s=0.3) as (port, hearers):
            client = await Client.connect(port)
            await client.send(handshake())
            await client.reader.readuntil(b"\r\n\r\n")
            client.writer.transport.pause_reading()
            content = Frame(Opcode.BINARY, SECOND).serialize(mask=True)
            with pytest.raises(ConnectionError):
                await send_without_end(client, content)
            await until(lambda: hearers.streams == 0)
            client.close()

    run(test())


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

    run(test())


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
                assert max(size for _, _, size in hearer.asked) == len(SECOND) // 2

    run(test())


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

    run(test())


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

    run(test())


def test_a_stream_counts_as_a_connection():
    async def test() -> None:
        async with service(connections=1) as (port, _), open_stream(port) as stream:
            await stream.recv()
            client = await Client.connect(port)
            assert (await client.reply()).status == 503
            client.close()

    run(test())


def test_a_client_that_goes_away_leaves_nothing():
    async def test() -> None:
        async with service() as (port, hearers):
            for _ in range(3):
                client = await Client.connect(port)
                await client.send(handshake())
                await client.reader.readuntil(b"\r\n\r\n")
                await client.send(Frame(Opcode.BINARY, SECOND).serialize(mask=True))
                client.writer.transport.abort()
            await until(lambda: len(hearers.made) == 1 and hearers.streams == 0)
            drops = [number for number, do, _ in hearers.made[0].asked if do == "drop"]
            assert sorted(drops) == [0, 1, 2] and hearers.made[0].streams == 0

    run(test())


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

    run(test())


def test_a_stream_whose_process_or_model_fails_is_told_so():
    async def test() -> None:
        async with service() as (port, hearers):
            async with open_stream(port, "rate=16000&model=n") as stream:
                assert await ending(stream) == (1011, "The model cannot be loaded.")

            async def fail():
                raise EarmarkError("it did not start. Look at the lines above.")

            hearers.made[0].has_ended, start, hearers._start = True, hearers._start, fail
            async with open_stream(port) as stream:
                code, sentence = await ending(stream)
                assert code == 1011 and "Try again later." in sentence
            hearers._start = start
            async with open_stream(port) as stream:
                await stream.send(END)
                assert len(await answers(stream)) == 2

    run(test())


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

    run(test())


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

    run(test())
