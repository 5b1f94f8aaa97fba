"""What is wrong with a dataset, found before any training."""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from earmark import audio
from earmark.dataset import Clip, Dataset
from earmark.embed import Progress
from earmark.errors import AudioError

SILENT_PEAK = 1e-4  # -80 dB of full scale
MOST_NAMED = 3


@dataclass(frozen=True)
class Finding:
    """One kind of trouble: how bad ('error' or 'warning'), which clips, and what to do."""

    kind: str
    severity: str
    clips: tuple[str, ...]
    advice: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def text(self) -> str:
        """Return one line; of many clips the first three are named."""
        named = ", ".join(self.clips[:MOST_NAMED])
        rest = f" and {len(self.clips) - MOST_NAMED} more" if len(self.clips) > MOST_NAMED else ""
        return f"{self.severity:<8} {self.kind}: {named}{rest}; {self.advice}"


@dataclass(frozen=True)
class _Heard:
    """What is kept of a decoded clip: its content's hash and peak, or why it failed."""

    clip: Clip
    content: bytes = b""
    peak: float = 0.0
    error: str = ""


def examine(dataset: Dataset, progress: Progress | None = None) -> list[Finding]:
    """Decode every clip and return the findings, errors first; none for a clean dataset."""
    heard = []
    with ThreadPoolExecutor() as pool:
        for result in pool.map(_listen, dataset.clips):
            heard.append(result)
            if progress is not None:
                progress.advance(0.0)
    findings = [*_unreadable(heard), *_silent(heard), *_copies(heard), *_confounded(dataset)]
    return sorted(findings, key=lambda finding: finding.severity)


def _listen(clip: Clip) -> _Heard:
    try:
        x, rate_hz = audio.decode(clip.path, clip.start, clip.end)
    except AudioError as error:
        return _Heard(clip, error=str(error))
    content = hashlib.sha256(x.tobytes() + str(rate_hz).encode()).digest()
    return _Heard(clip, content, float(np.abs(x).max()))


def _unreadable(heard: list[_Heard]) -> Iterator[Finding]:
    failed = tuple(h.error for h in heard if h.error)
    if failed:
        yield Finding("unreadable", "error", failed, "replace or remove them.")


def _silent(heard: list[_Heard]) -> Iterator[Finding]:
    silent = tuple(str(h.clip.path) for h in heard if not h.error and h.peak < SILENT_PEAK)
    if silent:
        yield Finding("silent", "warning", silent, "below -80 dB of full scale: remove them.")


def _copies(heard: list[_Heard]) -> Iterator[Finding]:
    """Find clips of equal samples: a conflict where their labels differ."""
    same: dict[bytes, list[Clip]] = collections.defaultdict(list)
    for h in heard:
        if not h.error and h.peak >= SILENT_PEAK:
            same[h.content].append(h.clip)
    copies: list[str] = []
    conflicts: list[str] = []
    for clips in same.values():
        if len(clips) > 1:
            named = " = ".join(f"{clip.path} ({clip.label})" for clip in clips)
            (conflicts if len({clip.label for clip in clips}) > 1 else copies).append(named)
    if conflicts:
        yield Finding("label conflict", "error", tuple(conflicts), "give equal sounds one label.")
    if copies:
        yield Finding("copies", "warning", tuple(copies), "keep one of each.")


def _confounded(dataset: Dataset) -> Iterator[Finding]:
    """Find classes that are in one group only: sound and group cannot be told apart."""
    groups: dict[str, set[str]] = collections.defaultdict(set)
    for clip in dataset.clips:
        if clip.group is not None:
            groups[str(clip.label)].add(clip.group)
    alone = tuple(f"{label} (only {min(g)})" for label, g in sorted(groups.items()) if len(g) == 1)
    if alone:
        yield Finding("class equals group", "error", alone, "record the class in other groups too.")
