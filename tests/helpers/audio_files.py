"""Recordings that tests make: noise in formats of libsndfile and FFmpeg, whole or damaged."""

import contextlib
import io
import random
import struct
import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from earmark import audio
from earmark.errors import AudioError

RATE = 16_000


def noise(n: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Return (n, channels) of float32 noise."""
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (n, channels)).astype(np.float32)


def encode(x: np.ndarray, kind: str, subtype: str = "PCM_16", rate_hz: int = RATE) -> bytes:
    """Return ``x`` (n, channels) as a file of a libsndfile format."""
    file = io.BytesIO()
    soundfile.write(file, x, rate_hz, format=kind, subtype=subtype)
    return file.getvalue()


def encode_ffmpeg(
    x: np.ndarray,
    kind: str = "mp4",
    codec: str = "aac",
    rate_hz: int = RATE,
    *,
    options: dict[str, str] | None = None,
    codec_options: dict[str, str] | None = None,
) -> bytes:
    """Return ``x`` (n, channels) in a container that libsndfile does not know, such as MP4."""
    file = io.BytesIO()
    layout = "mono" if x.shape[1] == 1 else "stereo"
    with av.open(file, "w", format=kind, options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate_hz, layout=layout, options=codec_options)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(x.T), "fltp", layout)
        frame.sample_rate = rate_hz
        to_codec = av.AudioResampler(
            stream.codec_context.format.name, layout, rate_hz, stream.codec_context.frame_size
        )
        for part in [*to_codec.resample(frame), *to_codec.resample(None), None]:
            for packet in stream.encode(part):
                container.mux(packet)
    return file.getvalue()


def flac_that_says(frames: int, x: np.ndarray) -> bytes:
    """Return ``x`` as FLAC with another number of frames in its header (36 bits at byte 21.5)."""
    content = bytearray(encode(x, "FLAC"))
    content[21] = (content[21] & 0xF0) | frames >> 32
    content[22:26] = struct.pack(">I", frames & 0xFFFFFFFF)
    return bytes(content)


def wav_that_says(data_bytes: int, x: np.ndarray) -> bytes:
    """Return ``x`` as 16-bit WAV whose header gives another number of bytes of sound."""
    content = bytearray(encode(x, "WAV"))
    at = content.index(b"data") + 4
    content[at : at + 4] = struct.pack("<I", data_bytes)
    return bytes(content)


def mutated(content: bytes, dice: random.Random) -> bytes:
    """Change some bits, bytes or numbers, cut out, repeat, or cut off; mostly in the header."""
    changed = bytearray(content)
    kind = dice.randrange(7)
    for _ in range(dice.choice([1, 1, 2, 4, 16])):
        at = dice.randrange(min(len(changed), dice.choice([64, 512, 4_096, len(changed)])))
        if kind == 0:
            changed[at] ^= 1 << dice.randrange(8)
        elif kind == 1:
            changed[at] = dice.choice([0, 1, 0x7F, 0x80, 0xFF])
        elif kind == 2:
            number = dice.choice([0, 1, 0x7FFF_FFFF, 0xFFFF_FFFF, 1 << 16, dice.getrandbits(32)])
            changed[at : at + 4] = struct.pack(dice.choice("<>") + "I", number)
        elif kind == 3:
            del changed[at : at + dice.choice([1, 2, 4, 100])]
        elif kind == 4:
            changed[at:at] = dice.randbytes(dice.choice([1, 2, 4, 100]))
        elif kind == 5:
            start = dice.randrange(len(changed))
            changed[at : at + 500] = changed[start : start + dice.randrange(500)]
        else:
            del changed[dice.randrange(1, len(changed) + 1) :]
        if not changed:
            break
    return bytes(changed)


def refusal(source: Path | bytes, *stretch: float | None) -> str:
    """Return the text with which ``decode`` refuses; ``load`` must say the same."""
    with pytest.raises(AudioError) as one:
        audio.decode(source, *stretch)
    with pytest.raises(AudioError) as two:
        audio.load(source, RATE, *stretch)
    assert str(one.value) == str(two.value)
    return str(one.value)


def peak_bytes(source: Path | bytes, *stretch: float) -> int:
    """Return the most memory that decoding, successful or not, held at once."""
    tracemalloc.start()
    with contextlib.suppress(AudioError):
        audio.read_channels(source, *stretch)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak
