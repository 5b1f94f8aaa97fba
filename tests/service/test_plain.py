"""WAV files that need no decoder: which they are, and that nothing else is taken for one."""

import io
import struct

import numpy as np
import pytest
import soundfile

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from hypothesis import given
from hypothesis import strategies as st

from earmark.apps.service.plain import HEADER, plain_wav_s
from earmark.apps.service.settings import Limits

LIMITS = Limits(seconds=10, decoded_bytes=2**20)


def wav(seconds: float = 1.0, rate_hz: int = 8_000, channels: int = 1, subtype: str = "PCM_16"):
    file = io.BytesIO()
    x = np.zeros((round(seconds * rate_hz), channels))
    soundfile.write(file, x, rate_hz, subtype=subtype, format="WAV")
    return file.getvalue()


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32"])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_what_soundfile_writes_is_plain(subtype, channels):
    content = wav(0.5, 16_000, channels, subtype)
    plain = plain_wav_s(content, LIMITS)
    # more than two channels have a longer header
    assert plain == (0.5 if content[16:20] == struct.pack("<I", 16) else None)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        wav()[:44],
        wav()[:-1],
        wav() + b"\0\0",
        wav(11),
        wav(9, 48_000),
        wav(subtype="FLOAT"),
        wav(subtype="ULAW"),
        b"RIFX" + wav()[4:],
        b"fLaC" + bytes(100),
    ],
)
def test_other_recordings_need_a_decoder(content):
    assert plain_wav_s(content, LIMITS) is None


@given(st.integers(0, HEADER.size - 1), st.integers(0, 255))
def test_a_wrong_header_is_not_plain_or_is_read_alike(at, value):
    content = bytearray(wav())
    content[at] = value
    seconds = plain_wav_s(bytes(content), LIMITS)
    if seconds is not None:
        with soundfile.SoundFile(io.BytesIO(bytes(content))) as file:
            assert file.frames / file.samplerate == seconds
            assert file.frames * file.channels * 2 == len(content) - HEADER.size
