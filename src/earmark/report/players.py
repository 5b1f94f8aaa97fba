"""Audio players: the start of clips as data URIs, so that the page needs no other file."""

from __future__ import annotations

import base64
import contextlib
import functools
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soundfile

from earmark import audio
from earmark.audio.options import AudioOptions
from earmark.data.clip import Clip
from earmark.errors import AudioError

RATE_HZ = 16_000
MOST_S = 5.0  # seconds of each clip
MOST_BYTES = 1_500_000  # bytes of all players of a page
# libsndfile's compression level is 0 (best) to 1 (smallest). 0.8 is 40 kbit/s at 16 kHz, which is
# 25 kB for 5 s.
COMPRESSION = 0.8
MP3 = {"format": "MP3", "bitrate_mode": "CONSTANT"}
FLAC = {"format": "FLAC", "subtype": "PCM_16"}


@dataclass(frozen=True)
class Player:
    """A data URI of audio, or the reason why there is none."""

    uri: str | None
    reason: str = ""


def players(
    clips: Sequence[Clip],
    options: AudioOptions,
    most_bytes: int = MOST_BYTES,
    most_s: float = MOST_S,
    compression: float = COMPRESSION,
) -> list[Player]:
    """Return a player for each of ``clips``; all URIs together have at most ``most_bytes``.

    Each player has at most ``most_s`` seconds; ``compression`` is libsndfile's level for MP3.
    """
    entries, room = [], most_bytes
    for clip in clips:
        try:
            uri = _uri(_samples(clip, options, most_s), compression)
        except AudioError as error:
            text = f"The recording can no longer be read: {error.reason}."
            entries.append(Player(None, text))
            continue
        if len(uri) > room:
            entries.append(Player(None, "No player, because the page would be too large."))
            continue
        room -= len(uri)
        entries.append(Player(uri))
    return entries


def _samples(clip: Clip, options: AudioOptions, most_s: float) -> np.ndarray:
    """Return the first seconds of ``clip``, mono at 16 kHz."""
    start = clip.start or 0.0
    if clip.end is None or clip.end - start > most_s:
        with contextlib.suppress(AudioError):  # the recording is shorter
            return audio.read(clip.source, RATE_HZ, clip.start, start + most_s, options).samples
    x = audio.read(clip.source, RATE_HZ, clip.start, clip.end, options).samples
    return x[: int(most_s * RATE_HZ)]


def _uri(x: np.ndarray, compression: float) -> str:
    """Return ``x`` (n,) as a data URI of MP3, or of FLAC if libsndfile cannot write MP3."""
    file = io.BytesIO()
    x = np.clip(x, -1, 1)
    mp3 = {**MP3, "compression_level": compression}
    kind, encoding = ("mpeg", mp3) if _has_mp3() else ("flac", FLAC)
    soundfile.write(file, x, RATE_HZ, **encoding)
    return f"data:audio/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


@functools.cache
def _has_mp3() -> bool:
    return "MP3" in soundfile.available_formats()
