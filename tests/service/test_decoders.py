"""Recordings that harm their decoder harm nothing else."""

import asyncio
import io
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from earmark.apps.service import frames
from earmark.apps.service.pool import EndedError, LateError, Pool
from earmark.apps.service.settings import Limits, Settings
from served import ask, computers, running

MODELS = {"m": Path("m.earmark")}
LIMITS = Limits(seconds=10, decoded_bytes=2**22, decode_s=0.5, deadline_s=30)
DECODING = {"seconds": 10, "decoded_bytes": 2**22, "body_bytes": 2**22, "decode_s": 0.5}
WAV = {"content-type": "audio/wav"}


def wav(seconds: float, rate_hz: int = 8_000, channels: int = 1) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.zeros((round(seconds * rate_hz), channels)), rate_hz, format="WAV")
    return file.getvalue()


def test_a_decoder_that_hangs_or_fails_is_ended_and_replaced():
    cases = [
        (b"hang", 504, "decoded within 0.5 s"),
        (b"end", 422, "decoder failed"),
        (wav(1), 200, ""),
        (b"no sound", 422, "not audio in a known format"),
        (wav(11), 413, "longer than 10 s"),
        (wav(9, 48_000, 8), 413, "longer than 2.731 s"),
    ]
    if sys.platform == "linux":
        cases.append((b"memory", 413, "more memory"))

    async def test() -> None:
        pool = Pool("decode", 1, DECODING, "decoder_victim")
        async with running(Settings(MODELS, limits=LIMITS), pool, computers()) as port:
            for body, status, words in cases:
                reply = await ask(port, body=body, headers=WAV)
                assert reply.status == status, reply.body
                assert status == 200 or words in reply.problem
            gauges = (await ask(port, "/metrics")).body.decode()
            assert "earmark_decoders_replaced_total 2\n" in gauges
            assert "earmark_requests 0\n" in gauges

    asyncio.run(asyncio.wait_for(test(), 120))


def test_a_request_that_waits_for_a_process_can_be_late_or_given_up():
    async def test() -> None:
        pool = Pool("decode", 1, DECODING, "decoder_victim")
        await pool.start()
        loop = asyncio.get_running_loop()
        message = frames.pack({}, b"hang")
        hanging = asyncio.ensure_future(pool.ask(message, loop.time() + 1.0))
        await asyncio.sleep(0)
        with pytest.raises(LateError):
            await pool.ask(message, loop.time() + 0.05)
        given_up = asyncio.ensure_future(pool.ask(message, loop.time() + 60))
        await asyncio.sleep(0)
        given_up.cancel()
        with pytest.raises(LateError):
            await hanging
        value, _ = await pool.ask(frames.pack({}, wav(1)), loop.time() + 60)
        assert value == {"seconds": 1.0}
        with pytest.raises(EndedError):
            await pool.ask(frames.pack({}, b"end"), loop.time() + 60)
        assert pool.replaced == 2 and not pool.is_ready
        await pool.close()

    asyncio.run(asyncio.wait_for(test(), 120))


def test_a_message_is_read_back_or_refused():
    message = frames.pack({"a": 1}, b"body")
    assert frames.read(io.BytesIO(message + message)) == ({"a": 1}, b"body")
    text, body = frames.unpack_text(message)
    assert text == b'{"a": 1}' and bytes(body) == b"body"
    for length in (0, 5, len(message) - 1):
        assert frames.read(io.BytesIO(message[:length])) is None
    with pytest.raises(ValueError, match="another length"):
        frames.unpack_text(message[:-1])
    with pytest.raises(ValueError, match="too long"):
        frames.read(io.BytesIO(b"\xff" * 12))
