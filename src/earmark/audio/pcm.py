"""Raw PCM from a pipe, such as standard input: samples without a header."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from earmark.audio.decoder import Refusal, Samples
from earmark.audio.live import Clock, LiveBlock, LiveItems
from earmark.audio.mixing import Mixer
from earmark.audio.source import MOST_CHANNELS
from earmark.audio.stretch import MAX_RATE_HZ, MIN_RATE_HZ
from earmark.errors import EarmarkError, amount, did_you_mean

# Names as in FFmpeg: signed, unsigned or float; bits; little or big endian.
FORMATS = (
    *("s16le", "u8", "s8", "s24le", "s32le", "f32le", "f64le"),
    *("s16be", "s24be", "s32be", "f32be", "f64be"),
)
READ_BYTES = 1 << 16  # at most; a pipe gives what it has
_MAGIC_BYTES = 12
_CONTAINERS = {
    b"RIFF": "WAV",
    b"RIFX": "WAV",
    b"RF64": "WAV",
    b"fLaC": "FLAC",
    b"OggS": "Ogg",
    b"ID3": "MP3",
    b"FORM": "AIFF",
    b"caff": "CAF",
    b"\x1a\x45\xdf\xa3": "Matroska or WebM",
}


@dataclass(frozen=True)
class Pcm:
    """How raw PCM is stored: the rate, interleaved channels, and the format of a sample.

    Raises EarmarkError if a value is not allowed.
    """

    rate_hz: int
    channels: int = 1
    format: str = "s16le"

    def __post_init__(self) -> None:
        if not MIN_RATE_HZ <= self.rate_hz <= MAX_RATE_HZ:
            raise EarmarkError(
                f"The rate of the raw PCM is {self.rate_hz} Hz. Give {MIN_RATE_HZ} to"
                f" {MAX_RATE_HZ:,} Hz."
            )
        if not 1 <= self.channels <= MOST_CHANNELS:
            raise EarmarkError(
                f"The raw PCM has {amount(self.channels, 'channel')}. Give 1 to {MOST_CHANNELS}."
            )
        if self.format not in FORMATS:
            raise EarmarkError(
                f"The format of the raw PCM is {self.format!r}. Give one of {', '.join(FORMATS)}."
                f"{did_you_mean(self.format, FORMATS)}"
            )

    @property
    def is_float(self) -> bool:
        """Whether samples are stored as floats, whose scale may differ."""
        return self.format.startswith("f")

    @property
    def frame_bytes(self) -> int:
        """The bytes of one sample of every channel."""
        bits = int("".join(c for c in self.format if c.isdigit()))
        return self.channels * bits // 8

    def decode(self, content: bytes) -> Samples:
        """Return whole frames as (n, channels), integers scaled to -1..1."""
        kind, order = self.format[0], ">" if self.format.endswith("be") else "<"
        size = self.frame_bytes // self.channels
        if size == 3:
            x = _from_24_bits(content, order)
        else:
            x = np.frombuffer(content, f"{order}{kind.replace('s', 'i')}{size}")
        with np.errstate(over="ignore"):  # what does not fit is infinite, and refused later
            samples = x.astype(np.float32)
        if kind == "u":
            samples -= np.float32(128)
        if not self.is_float:
            samples /= np.float32(2.0 ** (8 * x.dtype.itemsize - 1))
        return samples.reshape(-1, self.channels)


def _from_24_bits(content: bytes, order: str) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    """Return 24-bit integers as the upper bits of 32-bit integers."""
    triples = np.frombuffer(content, np.uint8).reshape(-1, 3)
    wide = np.zeros((len(triples), 4), np.uint8)
    if order == "<":
        wide[:, 1:] = triples
    else:
        wide[:, :3] = triples
    return wide.view(f"{order}i4").ravel()


def pcm_items(file: BinaryIO, pcm: Pcm, mixer: Mixer, clock: Clock) -> LiveItems:
    """Yield what ``file`` brings, as soon as it brings it; reading waits, so nothing is dropped.

    Raises Refusal if it begins like a recording with a header, or has no sound.
    """
    rest, is_new = b"", True
    for content in _contents(file):
        if is_new:
            _refuse_containers(content, pcm)
        rest += content
        if whole := len(rest) - len(rest) % pcm.frame_bytes:
            samples = mixer.mono(pcm.decode(rest[:whole]), pcm.is_float)
            yield LiveBlock(samples, pcm.rate_hz, clock())
            rest, is_new = rest[whole:], False
    if is_new:
        raise Refusal(
            f"brought {amount(len(rest), 'byte')}, and one frame has {pcm.frame_bytes}; check the"
            " command that writes to the pipe",
            "empty",
        )
    if rest:
        mixer.warnings.append(
            f"the stream ends in the middle of a frame: {amount(len(rest), 'byte')} of"
            f" {pcm.frame_bytes}, not read. Check the format and the channels."
        )


def _contents(file: BinaryIO) -> Iterator[bytes]:
    """Yield bytes as they come; the first are at least enough to recognise a header."""
    _make_wait(file)
    read = getattr(file, "read1", file.read)  # read waits until all bytes have come
    beginning = b""
    while len(beginning) < _MAGIC_BYTES and (content := read(READ_BYTES)):
        beginning += content
    yield beginning
    while content := read(READ_BYTES):
        yield content


def _make_wait(file: BinaryIO) -> None:
    """Make reading wait for bytes; some programs pass on a pipe that returns nothing instead."""
    try:
        descriptor = file.fileno()
    except (AttributeError, OSError):  # a file in memory
        return
    if sys.platform != "win32" and not os.get_blocking(descriptor):
        os.set_blocking(descriptor, True)


def _refuse_containers(beginning: bytes, pcm: Pcm) -> None:
    name = next((name for magic, name in _CONTAINERS.items() if beginning.startswith(magic)), "")
    if beginning[4:8] == b"ftyp":
        name = "MP4"
    if name:
        raise Refusal(
            f"has {name} and not raw PCM; give the path of the file, or pipe it through: ffmpeg"
            f" -i - -f {pcm.format} -ar {pcm.rate_hz} -ac {pcm.channels} -",
            "unreadable",
        )
