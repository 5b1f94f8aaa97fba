"""Read sections of recordings: only what is needed, block by block."""

from __future__ import annotations

import functools
import math
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from earmark.audio.decoder import Samples
from earmark.audio.mixing import mean_of
from earmark.audio.options import AudioOptions
from earmark.audio.reading import header_of, open_channels, open_stream
from earmark.audio.stretch import END_SLACK_S, check_rate
from earmark.errors import AudioError

LEAST_PLAYED_HZ, MOST_PLAYED_HZ = 3_000, 96_000  # browsers play WAV of these rates
SLOW_HZ, FAST_HZ = 8_000, 48_000  # what slower and faster recordings are played at
AROUND_S = 0.05  # read before and after a part that is resampled
MOST_WAV_BYTES = 2**32 - 1
WAV_HEAD = 44  # bytes before the samples


class About(NamedTuple):
    """What is known of a recording without reading all of it."""

    seconds: float
    rate_hz: int
    channels: int
    bytes: int


class Section(NamedTuple):
    """A stretch of a recording in seconds, inside it."""

    start: float
    end: float


def about(path: str) -> About:
    """Return the length, rate, channels and bytes of a recording.

    A recording whose header has no length is decoded once. Raises AudioError.
    """
    try:
        status = os.stat(path)
    except OSError:
        header_of(path)  # raises with the reason
        raise
    return _about(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _about(path: str, size: int, _mtime_ns: int) -> About:
    header = header_of(Path(path))
    try:
        check_rate(header.rate_hz)
    except Exception as error:
        raise AudioError(path, str(error), "rate") from None
    frames = header.frames
    if not frames:
        options = AudioOptions(non_finite="zero")
        with open_stream(Path(path), options=options, is_endless=True) as stream:
            frames = sum(map(len, stream.blocks))
    return About(frames / header.rate_hz, header.rate_hz, header.channels, size)


def section_of(path: str, known: About, start: float | None, end: float | None) -> Section:
    """Return a stretch of a recording; AudioError if it is not inside the recording."""
    first = 0.0 if start is None else start
    last = known.seconds if end is None else end
    if not 0 <= first < min(last, known.seconds) or last > known.seconds + END_SLACK_S:
        raise AudioError(
            path,
            f"the stretch from {first:g} s to {last:g} s is not inside the recording, which has"
            f" {known.seconds:.3f} s; correct start and end",
            "stretch",
        )
    return Section(first, min(last, known.seconds))


@contextmanager
def mono(
    path: str, known: About, section: Section, around: int = 0, options: AudioOptions | None = None
) -> Iterator[tuple[Iterator[Samples], int]]:
    """Yield blocks (n,) of a section, with ``around`` samples on both sides, and the first's index.

    Reading may raise AudioError. There may be less sound than the header says.
    """
    rate_hz = known.rate_hz
    first = max(0, int(section.start * rate_hz) - around)
    last = int(np.ceil(section.end * rate_hz)) + around
    end = last / rate_hz if last < known.seconds * rate_hz else None
    options = options or AudioOptions()
    begin = first / rate_hz
    with open_stream(Path(path), None, begin, end, options, is_endless=True) as stream:
        yield iter(stream.blocks), first


class Wav:
    """A section as a WAV file, of which any part can be read.

    It has 16 bits and one or two channels; recordings with more become the mean of all. Rates that
    browsers do not play are changed to one that they do.

    Attributes
    ----------
    size : int
        Bytes of the whole file.
    """

    def __init__(self, path: str, known: About, section: Section) -> None:
        self._path, self._known = path, known
        self.rate_hz = known.rate_hz
        if self.rate_hz < LEAST_PLAYED_HZ:
            self.rate_hz = SLOW_HZ
        elif self.rate_hz > MOST_PLAYED_HZ:
            self.rate_hz = FAST_HZ
        is_stereo = known.channels == 2 and self.rate_hz == known.rate_hz
        self.channels = 2 if is_stereo else 1
        self._first = round(section.start * self.rate_hz)
        self._frames = max(1, round(section.end * self.rate_hz) - self._first)
        self.size = WAV_HEAD + 2 * self.channels * self._frames
        if self.size > MOST_WAV_BYTES:
            raise AudioError(
                path, "it is too long to be played in one piece; play stretches of it", "length"
            )

    def read(self, first: int = 0, last: int | None = None) -> bytes:
        """Return the bytes ``first..last``, both included, by default all."""
        last = self.size - 1 if last is None else min(last, self.size - 1)
        width = 2 * self.channels
        begin = max(0, first - WAV_HEAD) // width
        end = max(0, last + 1 - WAV_HEAD + width - 1) // width
        frames = self._read(begin, end) if end > begin else b""
        skipped = max(0, first - WAV_HEAD) - begin * width
        head = self._head()[first : last + 1]
        return (head + frames[skipped:])[: last + 1 - first]

    def _head(self) -> bytes:
        width = 2 * self.channels
        rate = self.rate_hz
        form = struct.pack("<HHIIHH", 1, self.channels, rate, rate * width, width, 16)
        sizes = struct.pack("<I", self.size - 8), struct.pack("<I", self.size - WAV_HEAD)
        return b"RIFF" + sizes[0] + b"WAVEfmt \x10\0\0\0" + form + b"data" + sizes[1]

    def _read(self, begin: int, end: int) -> bytes:
        """Return the frames ``begin..end``, with silence where there is less sound."""
        parts = [
            np.rint(32768 * part.clip(-1, 1)).clip(-32768, 32767).astype("<i2").tobytes()
            for part in self._parts(self._first + begin, self._first + end)
        ]
        return b"".join(parts).ljust((end - begin) * 2 * self.channels, b"\0")

    def _parts(self, first: int, last: int) -> Iterator[Samples]:
        if self.rate_hz != self._known.rate_hz:
            yield self._resampled(first, last)
            return
        end = last / self.rate_hz if last < self._known.seconds * self.rate_hz else None
        with open_channels(Path(self._path), first / self.rate_hz, end) as stream:
            for block in stream.blocks:
                yield block if self.channels == 2 else mean_of(block)

    def _resampled(self, first: int, last: int) -> Samples:
        """Return the frames ``first..last``, read from where frames of both rates coincide."""
        known, common = self._known, math.gcd(self.rate_hz, self._known.rate_hz)
        around, step = round(AROUND_S * self.rate_hz), self.rate_hz // common
        begin = max(0, first - around) // step * step
        start_s, end_s = begin / self.rate_hz, (last + around) / self.rate_hz
        end = end_s if end_s < known.seconds else None
        with open_stream(Path(self._path), self.rate_hz, start_s, end, is_endless=True) as stream:
            samples = np.concatenate([*stream.blocks])
        return samples[first - begin : last - begin]
