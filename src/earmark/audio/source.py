"""Where the bytes or samples of a recording come from: it need not be a file.

A source has a ``name`` for errors, a ``size`` in bytes, a ``version`` (a hash of its content) and,
where it has to be decoded, an ``open`` file that is read in ranges.
"""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import ArrayLike

from earmark.audio.decoder import BLOCK_SAMPLES, Refusal, Samples, reason
from earmark.errors import EarmarkError
from earmark.system.files import file_sha256, not_a_file, open_file

INTEGERS = {"int16": 2.0**15, "int32": 2.0**31}  # full scale, as soundfile has it
MOST_CHANNELS = 64  # of samples; a longer second axis is time


@dataclass(frozen=True)
class FileSource:
    """A recording in a file, whatever its name says."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def size(self) -> int:
        return self._regular().st_size

    @property
    def version(self) -> bytes:
        self._regular()
        return file_sha256(self.path)

    def open(self) -> BinaryIO:
        """Open the file without a name: soundfile and FFmpeg would look at its suffix."""
        try:
            if not self.size:
                raise _empty()
            return open_file(self.path)  # unbuffered: libsndfile reads by the handle, too
        except (OSError, ValueError) as error:
            raise Refusal(
                f"cannot be opened: {reason(error)}; check the path and its permissions", "missing"
            ) from error

    def loaded(self) -> BytesSource:
        """Return the same recording with its bytes in memory."""
        with open_file(self.path) as file:
            return BytesSource(file.read(), self.name)

    def _regular(self) -> os.stat_result:
        """Refuse a pipe or a device: to read one can take forever."""
        if problem := not_a_file(self.path):
            raise Refusal(f"{problem}; give the path of a recording", "missing")
        return os.stat(self.path)


@dataclass(frozen=True)
class BytesSource:
    """A recording as the bytes of a file, such as an upload."""

    content: bytes = field(repr=False)
    name: str = "<bytes>"

    @property
    def size(self) -> int:
        return len(self.content)

    @property
    def version(self) -> bytes:
        return hashlib.sha256(self.content).digest()

    def open(self) -> BinaryIO:
        if not self.content:
            raise _empty()
        return _Content(self.content)


class _Content(io.BytesIO):
    """Goes to the beginning where it should go before it; soundfile prints what is raised."""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = (0, self.tell(), len(self.getbuffer()))[whence]
        return super().seek(max(0, origin + offset))


@dataclass(frozen=True, eq=False)
class SampleSource:
    """A recording that is decoded already: ``samples`` (n, channels) float32, full scale 1."""

    samples: Samples = field(repr=False)
    rate_hz: int
    name: str = "<samples>"

    @property
    def size(self) -> int:
        return self.samples.nbytes

    @property
    def version(self) -> bytes:
        digest = hashlib.sha256(f"{self.samples.shape} {self.rate_hz} ".encode())
        size = max(1, BLOCK_SAMPLES // self.samples.shape[1])
        for at in range(0, len(self.samples), size):
            digest.update(np.ascontiguousarray(self.samples[at : at + size]).data)
        return digest.digest()

    @classmethod
    def of(cls, samples: ArrayLike, rate_hz: int | None, name: str = "<samples>") -> SampleSource:
        """Take ``samples`` (n,) or (n, channels), as soundfile gives them, at ``rate_hz``.

        float32 and float64 are taken as they are, int16 and int32 are scaled to -1..1. Raises
        EarmarkError for other types and shapes, and where ``rate_hz`` is missing.
        """
        x = np.asarray(samples)
        if rate_hz is None:
            raise EarmarkError(f"{name} need a rate; give rate_hz=, such as rate_hz=16_000.")
        if isinstance(rate_hz, bool) or int(rate_hz) != rate_hz or rate_hz < 1:
            raise EarmarkError(f"rate_hz is {rate_hz!r}; give a whole number of samples a second.")
        if x.dtype.name not in ("float32", "float64", *INTEGERS):
            raise EarmarkError(
                f"{name} are of type {x.dtype}; give float32 or float64 with full scale 1, int16 or"
                " int32."
            )
        if x.ndim not in (1, 2) or 0 in x.shape:
            raise EarmarkError(
                f"{name} have the shape {x.shape}; give (n,) or (n, channels) with n >= 1."
            )
        if x.ndim == 2 and x.shape[1] > max(MOST_CHANNELS, x.shape[0]):
            raise EarmarkError(
                f"{name} have the shape {x.shape}, which looks like (channels, n); give (n,"
                " channels), the transpose."
            )
        columns = x if x.ndim == 2 else x[:, None]
        values = columns.astype(np.float32, copy=False)
        if x.dtype.name in INTEGERS:
            values /= np.float32(INTEGERS[x.dtype.name])
        return cls(values, int(rate_hz), name)


@dataclass(frozen=True)
class AbsentSource:
    """What was given as a recording and is none: a path that is not there, an empty folder."""

    name: str
    why: str

    @property
    def size(self) -> int:
        raise Refusal(self.why, "missing")

    @property
    def version(self) -> bytes:
        raise Refusal(self.why, "missing")

    def open(self) -> BinaryIO:
        raise Refusal(self.why, "missing")


Source = FileSource | BytesSource | SampleSource | AbsentSource
Recording = str | Path | bytes | Source


def as_source(recording: Recording, name: str | None = None) -> Source:
    """Return a path or bytes as a source; ``name`` stands for bytes in errors."""
    if isinstance(recording, (str, Path)):
        return FileSource(Path(recording))
    if isinstance(recording, (bytes, bytearray, memoryview)):
        return BytesSource(bytes(recording), name or "<bytes>")
    return recording


def _empty() -> Refusal:
    return Refusal("the file is empty (0 bytes); fetch it again or leave it out", "empty")
