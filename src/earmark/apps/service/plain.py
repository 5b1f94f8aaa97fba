"""Recordings that need no decoder: WAV files of whole numbers with the shortest header."""

from __future__ import annotations

import struct

from earmark.apps.service.settings import Limits

HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")  # RIFF, WAVE, fmt, data: 44 bytes
PCM = 1
SAMPLE_BYTES = (1, 2, 3, 4)
DECODED_BYTES = 4  # of a sample in float32
MOST_CHANNELS = 8
MOST_HZ = 384_000


def plain_wav_s(recording: bytes, limits: Limits) -> float | None:
    """Return the seconds of a plain WAV file within the limits; None for any other recording.

    Its bytes are its samples, so reading them can neither fail nor take long. The process that
    computes may do it, and no decoder is needed.
    """
    if len(recording) <= HEADER.size:
        return None
    riff, size, wave, fmt, fmt_size, kind, channels, rate_hz, per_s, step, bits, data, data_size = (
        HEADER.unpack_from(recording)
    )
    is_plain = (
        (riff, wave, fmt, data) == (b"RIFF", b"WAVE", b"fmt ", b"data")
        and (fmt_size, kind) == (16, PCM)
        and 1 <= channels <= MOST_CHANNELS
        and 1 <= rate_hz <= MOST_HZ
        and bits % 8 == 0
        and bits // 8 in SAMPLE_BYTES
        and step == channels * bits // 8
        and per_s == step * rate_hz
        and size + 8 == len(recording)
        and data_size + HEADER.size == len(recording)
        and data_size % step == 0
    )
    if not is_plain:
        return None
    frames = data_size // step
    seconds = frames / rate_hz
    is_within = (
        seconds <= limits.seconds and frames * channels * DECODED_BYTES <= limits.decoded_bytes
    )
    return seconds if is_within else None
