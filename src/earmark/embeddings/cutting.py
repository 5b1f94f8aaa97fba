"""Read, hash and decode a clip, and cut it into windows."""

from __future__ import annotations

import contextlib
import hashlib

from earmark import audio
from earmark.audio.decoder import Refusal
from earmark.audio.options import AudioOptions
from earmark.audio.reading import decoder_version
from earmark.audio.source import FileSource
from earmark.backbones.base import Backbone
from earmark.data.clip import Clip
from earmark.embeddings.sections import cut_section
from earmark.embeddings.stages import CutClip, Failure, Request, UnreadSection
from earmark.errors import AudioError

WHOLE_FILE_BYTES = 32 * 2**20  # larger recordings are not held in memory while they wait


def make_request(backbone: Backbone, options: AudioOptions, clip: Clip) -> Request | Failure:
    """Hash the recording; keep the bytes of a small one if the clip is all of it."""
    source = clip.source
    try:
        is_whole = clip.start is None and clip.end is None
        if is_whole and isinstance(source, FileSource) and source.size <= WHOLE_FILE_BYTES:
            source = source.loaded()
        content, version = source.version, decoder_version(source)
    except OSError as error:
        return Failure(clip, f"cannot be opened: {error.strerror}; check the path.", "missing")
    except Refusal as refusal:
        return Failure(clip, f"{refusal}.", refusal.kind)
    what = f"{clip.start} {clip.end} {options} {version} {backbone.fingerprint}"
    return Request(clip, source, hashlib.sha256(content + what.encode()).digest()[:16])


def cut(
    backbone: Backbone, options: AudioOptions, request: Request
) -> CutClip | UnreadSection | Failure:
    """Decode a clip, or a section of it, and cut it into the windows that ``backbone`` reads."""
    if request.section is None:
        try:
            return _cut_whole(backbone, options, request)
        except AudioError as error:
            return Failure.of(request, error)
    with contextlib.suppress(AudioError):
        piece = cut_section(backbone, options, request, request.section)
        if not piece.warnings:
            return piece
    return UnreadSection(request.without_bytes())


def _cut_whole(backbone: Backbone, options: AudioOptions, request: Request) -> CutClip:
    info, clip = backbone.info, request.clip
    sound = audio.read(request.source, info.rate_hz, clip.start, clip.end, options)
    windows, valid = audio.window(
        backbone.prepare(sound.samples), info.window, info.hop, info.context, info.step
    )
    seconds = len(sound.samples) / info.rate_hz
    return CutClip(request.without_bytes(), windows, valid, seconds, sound.warnings)
