"""A clip on its way to windows: read, hash, decode, cut; long ones section by section."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from earmark import audio
from earmark.audio import libsndfile
from earmark.audio.options import AudioOptions
from earmark.audio.source import open_source
from earmark.backbones.base import Backbone, LayerStats
from earmark.backbones.info import BackboneInfo
from earmark.data.clip import Clip
from earmark.errors import AudioError
from earmark.store import Record
from earmark.system.files import file_sha256

WHOLE_FILE_BYTES = 32 * 2**20  # larger recordings are not held in memory while they wait
LONG_S = 120.0  # longer clips are computed in sections, and never held as a whole
SECTION_S = 60.0
LONG_BYTES = 2**20  # smaller files are not looked at: 120 s at 70 kbit/s
MARGIN_S = 1  # read and resampled beyond a section: a resampler's filter is far shorter


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


def read(backbone: Backbone, options: AudioOptions, clip: Clip) -> Outcome:
    """Read and hash the recording; keep its bytes only where all of it is wanted and not large."""
    outcome = Outcome(clip)
    try:
        stat = clip.path.stat()
        if stat.st_size > WHOLE_FILE_BYTES or clip.start is not None or clip.end is not None:
            outcome.source = clip.path
            content = file_sha256(clip.path)
        else:
            outcome.source = clip.path.read_bytes()
            content = hashlib.sha256(outcome.source).digest()
    except OSError as error:
        outcome.error = AudioError(f"{clip.path}: cannot be opened: {error.strerror}")
        return outcome
    what = f"{clip.start} {clip.end} {options} {audio.DECODER_VERSION} {backbone.fingerprint}"
    outcome.key = hashlib.sha256(content + what.encode()).digest()[:16]
    return outcome


def decode(backbone: Backbone, options: AudioOptions, outcome: Outcome) -> Outcome:
    """Fill in the windows of a clip that is not known yet, or its error."""
    if outcome.error is not None or outcome.record is not None or outcome.twin is not None:
        outcome.source = b""
        return outcome
    try:
        if outcome.section is None:
            _cut_whole(backbone, options, outcome)
        else:
            _cut_section(backbone, options, outcome, outcome.section)
    except AudioError as error:
        outcome.error = error
    outcome.source = b""
    return outcome


def _cut_whole(backbone: Backbone, options: AudioOptions, outcome: Outcome) -> None:
    info, clip = backbone.info, outcome.clip
    sound = audio.read(
        outcome.source, info.rate_hz, clip.start, clip.end, options, name=str(clip.path)
    )
    x, outcome.warnings = sound.samples, sound.warnings
    outcome.seconds = len(x) / info.rate_hz
    outcome.windows, outcome.valid = audio.window(
        backbone.prepare(x), info.window, info.hop, info.context, info.step
    )


def _cut_section(
    backbone: Backbone, options: AudioOptions, outcome: Outcome, section: Section
) -> None:
    """Fill in the windows of a section: those that the whole clip has there.

    It is read from one full second of the clip to another. There the samples of both rates
    coincide, so that a resampler gives those of the whole clip.
    """
    info = backbone.info
    first, context = section.first, info.context
    from_s = max(0, (first - context) // info.rate_hz - MARGIN_S)
    end = None if section.last is None else section.last + info.window - info.hop
    x, outcome.warnings = _stretch(outcome, options, info, from_s, end)
    if section.moments is not None:
        x = backbone.prepare(x, section.moments)
    core = slice(
        first - from_s * info.rate_hz, None if end is None else end - from_s * info.rate_hz
    )
    before = x[max(0, core.start - context) : core.start]
    after = x[:0] if core.stop is None else x[core.stop : core.stop + context]
    if len(x[core]) == 0 or (core.stop is not None and len(x) < core.stop + context):
        raise AudioError(f"{outcome.clip.path}: is shorter than it says.")
    last = first + len(x[core]) if section.last is None else section.last
    outcome.seconds = (last - first) / info.rate_hz
    outcome.windows, outcome.valid = audio.window(
        x[core], info.window, info.hop, context, info.step, around=(before, after)
    )


def _stretch(
    outcome: Outcome, options: AudioOptions, info: BackboneInfo, from_s: int, end: int | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read from second ``from_s`` of a clip to its sample ``end`` and a margin, or to its end."""
    clip, start = outcome.clip, outcome.clip.start or 0.0
    to_s = clip.end
    if end is not None:
        to_s = start + math.ceil((end + info.context) / info.rate_hz) + MARGIN_S
    sound = audio.read(
        outcome.source, info.rate_hz, start + from_s, to_s, options, name=str(clip.path)
    )
    return sound.samples, sound.warnings


def sections(backbone: Backbone, options: AudioOptions, whole: Outcome) -> Iterator[Outcome]:
    """Yield the sections of a long clip, or the clip itself if it is not long.

    A recording whose length cannot be told beforehand counts as not long.
    """
    info, rate_hz = backbone.info, backbone.info.rate_hz
    seconds = clip_seconds(whole.clip, whole.source)
    if seconds <= LONG_S:
        yield whole
        return
    length = int(SECTION_S * rate_hz) // info.hop * info.hop
    count = max(2, round(seconds * rate_hz / length))  # the last has half a section to one and half
    ends = [*(length * k for k in range(1, count)), None]
    plan = [Section(length * k, end) for k, end in enumerate(ends)]
    if backbone.normalises:
        try:
            moments = _moments(whole, options, info, plan)
        except AudioError:  # damaged: what is there is found out by reading all of it
            yield whole
            return
        plan = [replace(section, moments=moments) for section in plan]
    for section in plan:
        yield Outcome(whole.clip, source=whole.source, section=section, whole=whole)


def clip_seconds(clip: Clip, source: bytes | Path | None = None) -> float:
    """Return how long a clip is by its header, 0 where that takes more than a look."""
    source = clip.path if source is None else source
    try:
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        if size < LONG_BYTES:
            return 0.0
        with open_source(source) as file, libsndfile.open_recording(file, 0.0) as (header, _):
            if header.is_cut or header.promised > header.frames:
                return 0.0
            end = header.frames / header.rate_hz
    except Exception:  # decoders raise what they like; reading it says what is wrong
        return 0.0
    return min(end, clip.end or end) - (clip.start or 0.0)


def _moments(
    whole: Outcome, options: AudioOptions, info: BackboneInfo, plan: list[Section]
) -> tuple[float, float]:
    """Return mean and variance of all samples of a long clip, reading it once."""
    count, total, squares = 0, 0.0, 0.0
    for section in plan:
        from_s = section.first // info.rate_hz
        x, _ = _stretch(whole, options, info, from_s, section.last)
        begin = section.first - from_s * info.rate_hz
        length = len(x) if section.last is None else section.last - section.first
        part = x[begin : begin + length].astype(np.float64)
        count += len(part)
        total += float(part.sum())
        squares += float(part @ part)
    mean = total / count
    return mean, max(0.0, squares / count - mean * mean)
