"""The forms of a clip at each stage of embedding; all are frozen and can be pickled.

    Request -> CutClip -> WindowStats -> Embedded | Failure

A long clip is cut into sections.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from earmark.audio.source import Source
from earmark.backbones.base import LayerStats
from earmark.data.clip import Clip
from earmark.errors import AudioError


@dataclass(frozen=True)
class Section:
    """Position of consecutive windows in a long clip: the section's number, and if it is last."""

    number: int
    is_last: bool


@dataclass(frozen=True)
class Request:
    """A clip to embed, after its recording was read and hashed.

    ``key`` (16 bytes) is a hash of all that decides the embedding, ``content`` one of the
    recording. ``source`` has the recording's bytes if it is small and the clip is all of it.
    ``is_known`` says that the recording was not read now but earlier.
    """

    clip: Clip
    source: Source
    key: bytes
    content: bytes = b""
    is_known: bool = False

    def without_bytes(self) -> Request:
        """Return the request without the recording's bytes, once they are decoded."""
        return replace(self, source=self.clip.source)


@dataclass(frozen=True)
class CutClip:
    """Windows (W, n) float32 of a clip or section, and the real samples (W,) in each core."""

    request: Request
    windows: np.ndarray
    valid: np.ndarray
    seconds: float
    warnings: tuple[str, ...] = ()
    section: Section | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class WindowStats:
    """The network's output for a clip or section: the statistics of W windows for each layer."""

    request: Request
    stats: Mapping[str, LayerStats]
    seconds: float
    warnings: tuple[str, ...] = ()
    section: Section | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LongClip:
    """A clip that must be cut into sections."""

    request: Request


@dataclass(frozen=True)
class Embedded:
    """A clip's embedding: ``vector`` (E,) float16 or float32.

    ``is_computed`` says that it did not come from the store, and ``is_stored`` that it is there
    now. A vector with ``warnings`` is never stored, so every run repeats them. ``notes`` matter
    less and are given only when the vector is computed. ``content`` is a hash of the whole
    recording.
    """

    clip: Clip
    key: bytes
    vector: np.ndarray
    seconds: float
    warnings: tuple[str, ...] = ()
    is_computed: bool = False
    content: bytes = b""
    notes: tuple[str, ...] = ()
    is_stored: bool = False


@dataclass(frozen=True)
class Failure:
    """A clip whose recording could not be used; ``reason`` is a sentence without the path."""

    clip: Clip
    reason: str
    kind: str = "unreadable"
    key: bytes = b""  # empty if the recording could not be hashed

    @property
    def path(self) -> str:
        return self.clip.place

    @property
    def error(self) -> AudioError:
        """The error to raise when a caller asked for this clip alone."""
        return AudioError(self.path, self.reason.removesuffix("."), self.kind)

    @classmethod
    def of(cls, request: Request, error: AudioError) -> Failure:
        return cls(request.clip, f"{error.reason}.", error.kind, request.key)


@dataclass(frozen=True)
class Repeat:
    """A clip with the same ``key`` as an earlier clip that is in progress."""

    clip: Clip
    key: bytes


Piece = CutClip | Embedded | Failure | Repeat  # an item before the network
Result = Embedded | Failure
