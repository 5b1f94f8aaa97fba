"""What a clip is at each stage of its way through the pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from earmark.backbones.base import LayerStats
from earmark.data.clip import Clip
from earmark.embeddings.store import Record
from earmark.errors import AudioError


@dataclass(frozen=True)
class Failure:
    """A recording that could not be used, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Section:
    """Consecutive windows of a long clip: samples ``first..last`` of their cores, at the rate.

    ``last`` is None for the end of the clip. ``moments`` are mean and variance of the whole clip,
    where the backbone normalises it.
    """

    first: int
    last: int | None
    moments: tuple[float, float] | None = None


@dataclass
class Outcome:
    """One clip on its way through the engine, and at its end a ``record`` or an ``error``."""

    clip: Clip
    key: bytes = b""
    record: Record | None = None
    error: AudioError | None = None
    warnings: tuple[str, ...] = ()  # with any, the clip is not stored: they are given every time
    computed: bool = False
    twin: Outcome | None = None  # an earlier clip of the same content
    source: bytes | Path = b""
    seconds: float = 0.0
    windows: np.ndarray | None = None  # (W, n)
    valid: np.ndarray | None = None  # (W,)
    section: Section | None = None
    whole: Outcome | None = None  # what this is a section of
    stats: list[Mapping[str, LayerStats]] = field(default_factory=list)  # of a section's windows

    @property
    def failure(self) -> Failure:
        path = str(self.clip.path)
        return Failure(path, str(self.error).removeprefix(f"{path}: "))
