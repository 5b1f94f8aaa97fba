"""What a clip is at each stage of its way through a network; all are frozen and can be pickled.

    Request -> CutClip -> WindowStats -> Embedded | Failure

A long clip is cut in sections, one after the other.
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
    """Consecutive windows of a long clip: their ``number`` in it, and whether more follow."""

    number: int
    is_last: bool


@dataclass(frozen=True)
class Request:
    """A clip to embed, once its recording was read and hashed.

    ``key`` (16 bytes) stands for all that decides the embedding, ``content`` for the recording.
    ``source`` holds the bytes of the recording where it is small and the clip is all of it.
    ``is_known``: the recording was not read now, but earlier.
    """

    clip: Clip
    source: Source
    key: bytes
    content: bytes = b""
    is_known: bool = False

    def without_bytes(self) -> Request:
        """Let go of the bytes of a recording that is decoded."""
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
    """The network's answer for a clip or section: for each layer the statistics of W windows."""

    request: Request
    stats: Mapping[str, LayerStats]
    seconds: float
    warnings: tuple[str, ...] = ()
    section: Section | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LongClip:
    """A clip that is to be cut in sections."""

    request: Request


@dataclass(frozen=True)
class Embedded:
    """A clip's embedding: ``vector`` (E,) float16 or float32; ``is_computed``: not from a store.

    With ``warnings``, which are told every time, the vector is not stored; ``is_stored`` says that
    it is. ``notes``, of less weight, are told when it is computed. ``content`` is a hash of the
    whole recording.
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
    """A clip whose recording could not be used, and why: a sentence without the path."""

    clip: Clip
    reason: str
    kind: str = "unreadable"
    key: bytes = b""  # empty where the recording could not even be hashed

    @property
    def path(self) -> str:
        return str(self.clip.path)

    @property
    def error(self) -> AudioError:
        """The error that reading the clip alone raises."""
        return AudioError(self.path, self.reason.removesuffix("."), self.kind)

    @classmethod
    def of(cls, request: Request, error: AudioError) -> Failure:
        return cls(request.clip, f"{error.reason}.", error.kind, request.key)


@dataclass(frozen=True)
class Repeat:
    """A clip with the ``key`` of an earlier one that is on its way already."""

    clip: Clip
    key: bytes


Piece = CutClip | Embedded | Failure | Repeat  # what reaches the network
Result = Embedded | Failure
