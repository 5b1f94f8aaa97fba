"""Read, hash and decode a clip, and cut it into windows."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from earmark import audio
from earmark.audio.options import AudioOptions
from earmark.audio.source import FileSource
from earmark.backbones.base import Backbone
from earmark.data.clip import Clip
from earmark.embeddings.sections import cut_section
from earmark.embeddings.stages import CutClip, Failure, Request, UnreadSection
from earmark.errors import AudioError

WHOLE_FILE_BYTES = 32 * 2**20  # larger recordings are not held in memory while they wait


def request(backbone: Backbone, options: AudioOptions, clip: Clip) -> Request | Failure:
    """Read and hash the recording; keep its bytes only where all of it is wanted and not large."""
    source = clip.source
    try:
        is_whole = clip.start is None and clip.end is None
        if is_whole and isinstance(source, FileSource) and source.size <= WHOLE_FILE_BYTES:
            source = source.loaded()
        content = source.version
    except OSError as error:
        return Failure(clip, f"cannot be opened: {error.strerror}", "missing")
    what = f"{clip.start} {clip.end} {options} {audio.DECODER_VERSION} {backbone.fingerprint}"
    return Request(clip, source, hashlib.sha256(content + what.encode()).digest()[:16])


def cut(
    backbone: Backbone, options: AudioOptions, wanted: Request
) -> CutClip | UnreadSection | Failure:
    """Decode a clip, or a section of it, and cut it into the windows that ``backbone`` reads."""
    try:
        if wanted.section is None:
            return _cut_whole(backbone, options, wanted)
        piece = cut_section(backbone, options, wanted, wanted.section)
    except AudioError as error:
        if wanted.section is None:
            return Failure.of(wanted, error)
        return UnreadSection(_light(wanted))
    return UnreadSection(_light(wanted)) if piece.warnings else piece


def _cut_whole(backbone: Backbone, options: AudioOptions, wanted: Request) -> CutClip:
    info, clip = backbone.info, wanted.clip
    sound = audio.read(wanted.source, info.rate_hz, clip.start, clip.end, options)
    windows, valid = audio.window(
        backbone.prepare(sound.samples), info.window, info.hop, info.context, info.step
    )
    seconds = len(sound.samples) / info.rate_hz
    return CutClip(_light(wanted), windows, valid, seconds, sound.warnings)


def _light(wanted: Request) -> Request:
    """Let go of the bytes of a file that is decoded."""
    return replace(wanted, source=wanted.clip.source)
