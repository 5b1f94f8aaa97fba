"""Cut a clip into windows while it is read; a long clip in sections, never all in memory.

The samples decide whether a clip is long, not the header. Some formats have no length in their
headers, and in damaged files it is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager

import numpy as np

from earmark import audio
from earmark.audio.decoder import Samples
from earmark.audio.options import AudioOptions, Stream
from earmark.backbones.base import Backbone
from earmark.backbones.info import BackboneInfo
from earmark.data.clip import Clip
from earmark.embeddings.stages import CutClip, Request, Section
from earmark.errors import AudioError

LONG_S = 120.0  # longer clips are computed in sections
SECTION_S = 60.0  # the last section has between half of that and one and a half


def cut_short(backbone: Backbone, options: AudioOptions, request: Request) -> CutClip | None:
    """Cut a clip into windows; None for a long clip, after reading at most ``LONG_S``.

    Raises AudioError.
    """
    with _open(backbone, options, request) as stream:
        if stream.seconds > LONG_S:
            return None
        x, is_last = next(_stretches(stream.blocks, backbone.info))
        if not is_last:
            return None
        return _cut(backbone, request, backbone.prepare(x), stream)


def cut_sections(backbone: Backbone, options: AudioOptions, request: Request) -> Iterator[CutClip]:
    """Yield the sections of a long clip while it is read, or a short clip as a whole.

    The windows are those of the whole clip, because a section includes the audio around it. If the
    backbone normalises whole clips, a long clip is read twice. Warnings come with the last section.
    Raises AudioError, possibly after some sections.
    """
    info, moments = backbone.info, None
    length, before = _section_length(info), np.zeros(0, np.float32)
    with _open(backbone, options, request) as stream:
        for number, (samples, is_last) in enumerate(_stretches(stream.blocks, info)):
            is_long = number > 0 or not is_last
            if is_long and moments is None and backbone.normalises:
                moments = _moments(backbone, options, request)
            x = backbone.prepare(samples, moments)
            section = Section(number, is_last) if is_long else None
            yield _cut(backbone, request, x, stream, section, before)
            before = x[max(0, length - info.context) : length].copy()


def clip_seconds(clip: Clip) -> float:
    """Return a clip's length in seconds from its header; 0 if it is missing or in doubt."""
    try:
        with audio.open_stream(clip.source, None, clip.start, clip.end) as stream:
            return stream.seconds
    except AudioError:  # reading the clip later reports it
        return 0.0


def _open(
    backbone: Backbone, options: AudioOptions, request: Request
) -> AbstractContextManager[Stream]:
    clip = request.clip
    return audio.open_stream(request.source, backbone.info.rate_hz, clip.start, clip.end, options)


def _section_length(info: BackboneInfo) -> int:
    return max(1, int(SECTION_S * info.rate_hz) // info.hop) * info.hop


def _stretches(blocks: Iterable[Samples], info: BackboneInfo) -> Iterator[tuple[Samples, bool]]:
    """Yield samples from the start of each section, and whether they are the last ones.

    They reach beyond the section at least as far as its windows and their context do.
    """
    length = _section_length(info)
    least = max(length * 3 // 2, length + info.window - info.hop + info.context)
    most = max(least, LONG_S * info.rate_hz)
    parts: list[Samples] = []
    count = 0
    for block in blocks:
        parts.append(block)
        count += len(block)
        while count > most:
            x = np.concatenate(parts)
            yield x, False
            parts, count, most = [x[length:]], count - length, least
    yield np.concatenate(parts), True


def _cut(
    backbone: Backbone,
    request: Request,
    x: Samples,
    stream: Stream,
    section: Section | None = None,
    before: Samples | None = None,
) -> CutClip:
    """Cut ``x`` into windows: a whole clip, or a section and the audio after it."""
    info, n = backbone.info, len(x)
    end = n
    if section is not None and not section.is_last:
        n = _section_length(info)
        end = n + info.window - info.hop
    around = None if before is None else (before, x[end : end + info.context])
    windows, valid = audio.window(
        x[:end], info.window, info.hop, info.context, info.step, around=around
    )
    seconds, warnings, notes = n / info.rate_hz, stream.warnings, stream.notes
    return CutClip(request.without_bytes(), windows, valid, seconds, warnings, section, notes)


def _moments(backbone: Backbone, options: AudioOptions, request: Request) -> tuple[float, float]:
    """Read a long clip once and return the mean and variance of its samples."""
    count, total, squares = 0, 0.0, 0.0
    with _open(backbone, options, request) as stream:
        for block in stream.blocks:
            x = block.astype(np.float64)
            count += len(x)
            total += float(x.sum())
            squares += float(x @ x)
    mean = total / count
    return mean, max(0.0, squares / count - mean * mean)
