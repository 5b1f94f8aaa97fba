"""Long clips are computed section by section."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from earmark import audio
from earmark.audio import libsndfile
from earmark.audio.options import AudioOptions
from earmark.audio.source import SampleSource, Source
from earmark.backbones.base import Backbone
from earmark.backbones.info import BackboneInfo
from earmark.data.clip import Clip
from earmark.embeddings.stages import ClipSection, CutClip, Request
from earmark.errors import AudioError

LONG_S = 120.0  # longer clips are computed in sections, and never held as a whole
SECTION_S = 60.0
LONG_BYTES = 2**20  # smaller files are not looked at: 120 s at 70 kbit/s
MARGIN_S = 1  # read and resampled beyond a section: a resampler's filter is far shorter


def cut_section(
    backbone: Backbone, options: AudioOptions, request: Request, section: ClipSection
) -> CutClip:
    """Cut a section of a long clip into the windows that the whole clip has there.

    It is read from one full second of the clip to another. There the samples of both rates
    coincide, so that a resampler gives those of the whole clip.
    """
    info = backbone.info
    first, context = section.first, info.context
    from_s = max(0, (first - context) // info.rate_hz - MARGIN_S)
    end = None if section.last is None else section.last + info.window - info.hop
    x, warnings = _read_stretch(request, options, info, from_s, end)
    if section.moments is not None:
        x = backbone.prepare(x, section.moments)
    core = slice(
        first - from_s * info.rate_hz, None if end is None else end - from_s * info.rate_hz
    )
    before = x[max(0, core.start - context) : core.start]
    after = x[:0] if core.stop is None else x[core.stop : core.stop + context]
    if len(x[core]) == 0 or (core.stop is not None and len(x) < core.stop + context):
        raise AudioError(request.source.name, "is shorter than its header says", "damaged")
    last = first + len(x[core]) if section.last is None else section.last
    windows, valid = audio.window(
        x[core], info.window, info.hop, context, info.step, around=(before, after)
    )
    seconds = (last - first) / info.rate_hz
    return CutClip(request.without_bytes(), windows, valid, seconds, warnings)


def _read_stretch(
    request: Request, options: AudioOptions, info: BackboneInfo, from_s: int, end: int | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read from second ``from_s`` of a clip to its sample ``end`` and a margin, or to its end."""
    clip, start = request.clip, request.clip.start or 0.0
    to_s = clip.end
    if end is not None:
        to_s = start + math.ceil((end + info.context) / info.rate_hz) + MARGIN_S
    sound = audio.read(request.source, info.rate_hz, start + from_s, to_s, options)
    return sound.samples, sound.warnings


def plan_sections(backbone: Backbone, options: AudioOptions, whole: Request) -> Iterator[Request]:
    """Yield a request for each section of a long clip, or the clip's own if it is not long.

    A recording whose header does not say its length counts as not long.
    """
    info, rate_hz = backbone.info, backbone.info.rate_hz
    seconds = clip_seconds(whole.clip, whole.source)
    if seconds <= LONG_S:
        yield whole
        return
    length = int(SECTION_S * rate_hz) // info.hop * info.hop
    count = max(2, round(seconds * rate_hz / length))  # the last has half a section to one and half
    ends = [*(length * k for k in range(1, count)), None]
    plan = [ClipSection(length * k, end) for k, end in enumerate(ends)]
    if backbone.normalises:
        try:
            moments = _moments(whole, options, info, plan)
        except AudioError:  # damaged: only reading all of it shows what is there
            yield whole
            return
        plan = [replace(section, moments=moments) for section in plan]
    for section in plan:
        yield replace(whole, section=section)


def clip_seconds(clip: Clip, source: Source | None = None) -> float:
    """Return a clip's length by its header; 0 for small files and for headers in doubt."""
    source = source or clip.source
    try:
        if isinstance(source, SampleSource):
            end = len(source.samples) / source.rate_hz
        elif source.size < LONG_BYTES:
            return 0.0
        else:
            with source.open() as file, libsndfile.open_recording(file) as (header, _):
                if header.is_cut or header.promised > header.frames:
                    return 0.0
                end = header.frames / header.rate_hz
    except Exception:  # decoders raise what they like; reading it says what is wrong
        return 0.0
    return min(end, clip.end or end) - (clip.start or 0.0)


def _moments(
    whole: Request, options: AudioOptions, info: BackboneInfo, plan: list[ClipSection]
) -> tuple[float, float]:
    """Return mean and variance of all samples of a long clip, reading it once."""
    count, total, squares = 0, 0.0, 0.0
    for section in plan:
        from_s = section.first // info.rate_hz
        x, _ = _read_stretch(whole, options, info, from_s, section.last)
        begin = section.first - from_s * info.rate_hz
        length = len(x) if section.last is None else section.last - section.first
        part = x[begin : begin + length].astype(np.float64)
        count += len(part)
        total += float(part.sum())
        squares += float(part @ part)
    mean = total / count
    return mean, max(0.0, squares / count - mean * mean)
