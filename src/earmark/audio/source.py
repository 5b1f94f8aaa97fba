"""Sources of recordings: files, bytes and samples.

A source has a ``name`` for errors, a ``size`` in bytes and a ``version`` (a hash of its content).
A source that must be decoded also has ``open``, which returns a file that can seek. A recording
that lies elsewhere is fetched before (see ``fetching``).
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

from earmark.audio.decoded import DecodedSource
from earmark.audio.decoder import BLOCK_SAMPLES, Refusal, Samples, reason
from earmark.audio.uri import Ranged, UriSource
from earmark.errors import EarmarkError
from earmark.system.files import file_sha256, not_a_file, open_file

INTEGERS = {"int16": 2.0**15, "int32": 2.0**31}  # full scale, the same as in soundfile
MOST_CHANNELS = 64  # of samples; a longer second axis must be time


@dataclass(frozen=True)
class FileSource:
    """A recording in a file; its format does not depend on its name."""

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
        """Open the file without a name, because soundfile and FFmpeg would look at its suffix."""
        try:
            if not self.size:
                raise _empty()
            return open_file(self.path)  # unbuffered: libsndfile reads from the descriptor
        except (OSError, ValueError) as error:
            raise Refusal(
                f"cannot be opened: {reason(error)}; check the path and its permissions", "missing"
            ) from error

    def loaded(self) -> BytesSource:
        """Return the same recording with its bytes in memory."""
        with open_file(self.path) as file:
            return BytesSource(file.read(), self.name)

    def _regular(self) -> os.stat_result:
        """Return the file's status; refuse a pipe or a device, which may have no end."""
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
    """Seeks to the beginning instead of before it; soundfile would print an exception."""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = (0, self.tell(), len(self.getbuffer()))[whence]
        return super().seek(max(0, origin + offset))


@dataclass(frozen=True, eq=False)
class SampleSource:
    """A recording that is already decoded: ``samples`` (n, channels) float32, full scale 1."""

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
        """Return a source of ``samples`` (n,) or (n, channels), as in soundfile, at ``rate_hz``.

        int16 and int32 are scaled to -1..1; float32 and float64 are not scaled. Raises EarmarkError
        for other types and shapes, and if ``rate_hz`` is missing.
        """
        x = np.asarray(samples)
        if rate_hz is None:
            raise EarmarkError(f"{name} need a rate. Give rate_hz, such as rate_hz=16_000.")
        if isinstance(rate_hz, bool) or int(rate_hz) != rate_hz or rate_hz < 1:
            raise EarmarkError(
                f"rate_hz is {rate_hz!r}. Give a whole number of samples per second."
            )
        if x.dtype.name not in ("float32", "float64", *INTEGERS):
            raise EarmarkError(
                f"{name} have the type {x.dtype}. Give float32 or float64 with full scale 1, or"
                " int16 or int32."
            )
        if x.ndim not in (1, 2) or 0 in x.shape:
            raise EarmarkError(
                f"{name} have the shape {x.shape}. Give (n,) or (n, channels) with n >= 1."
            )
        if x.ndim == 2 and x.shape[1] > max(MOST_CHANNELS, x.shape[0]):
            raise EarmarkError(
                f"{name} have the shape {x.shape}, which looks like (channels, n). Give the"
                " transpose, (n, channels)."
            )
        columns = x if x.ndim == 2 else x[:, None]
        values = columns.astype(np.float32, copy=False)
        if x.dtype.name in INTEGERS:
            values /= np.float32(INTEGERS[x.dtype.name])
        return cls(values, int(rate_hz), name)


@dataclass(frozen=True)
class AbsentSource:
    """A source that has no recording, such as a missing path or an empty folder."""

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


Source = FileSource | BytesSource | SampleSource | DecodedSource | AbsentSource | UriSource | Ranged
Recording = str | Path | bytes | Source


def as_source(recording: Recording, name: str | None = None) -> Source:
    """Return a path or bytes as a source; ``name`` is the name of bytes in errors."""
    if isinstance(recording, (str, Path)):
        return FileSource(Path(recording))
    if isinstance(recording, (bytes, bytearray, memoryview)):
        return BytesSource(bytes(recording), name or "<bytes>")
    return recording


def _empty() -> Refusal:
    return Refusal("the file is empty (0 bytes); copy it again or remove it", "empty")
