"""Read, hash and decode a clip, and cut it into windows."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import replace

from earmark import audio
from earmark.audio.copying import Copied, Fetched
from earmark.audio.decoder import Refusal
from earmark.audio.fetching import fetch
from earmark.audio.options import AudioOptions
from earmark.audio.reading import decoder_version
from earmark.audio.source import FileSource, Source
from earmark.audio.uri import Ranged, UriSource
from earmark.backbones.base import Backbone
from earmark.data.clip import Clip
from earmark.embeddings.hashes import KEY_BYTES, KnownVersions, status_of
from earmark.embeddings.objects import RecordingVersion
from earmark.embeddings.sections import cut_sections, cut_short
from earmark.embeddings.stages import CutClip, Failure, LongClip, Request
from earmark.errors import AudioError
from earmark.system.objects import ObjectStatus

WHOLE_FILE_BYTES = 2 * 2**20  # larger recordings are not kept in memory while they wait


def make_request(
    backbone: Backbone, options: AudioOptions, clip: Clip, known: KnownVersions | None = None
) -> Request | Failure:
    """Hash a clip's recording and return a request to embed it.

    The request keeps the bytes of a small recording if the clip is all of it. A recording whose
    version is ``known`` is not read.
    """
    try:
        with _one_at_a_time(clip, known):
            source, version, is_known = _version(clip, options, known)
    except AudioError as error:
        return Failure(clip, f"{error.reason}.", error.kind)
    except OSError as error:
        return Failure(clip, f"cannot be opened: {error.strerror}; check the path.", "missing")
    except Refusal as refusal:
        return Failure(clip, f"{refusal}.", refusal.kind)
    what = f"{clip.start} {clip.end} {options} {version.decoder} {backbone.fingerprint}"
    key = hashlib.sha256(version.content + what.encode()).digest()[:KEY_BYTES]
    return Request(clip, source, key, version.content, is_known)


def _one_at_a_time(
    clip: Clip, known: KnownVersions | None
) -> contextlib.AbstractContextManager[object]:
    """Return a lock, so that only one stretch of a recording elsewhere is the first to be read."""
    if known is None or not clip.is_remote:
        return contextlib.nullcontext()
    return known.objects.asking(clip.place)


def _version(
    clip: Clip, options: AudioOptions, known: KnownVersions | None
) -> tuple[Source, RecordingVersion, bool]:
    """Return the recording, its version, and whether that was known, so that it was not read."""
    source = clip.source
    version = known.get(source) if known is not None else None
    if version is not None:
        return source, version, True
    status: bytes | ObjectStatus = status_of(source)
    source, version = _hash(clip, options)
    if isinstance(source, (Fetched, Copied, Ranged)):
        status = source.status
    if known is not None:
        known.add(clip.source, status, version)
    return source, version, False


def _hash(clip: Clip, options: AudioOptions) -> tuple[Source, RecordingVersion]:
    """Return the recording and its version; with its bytes if it is small and the whole clip."""
    source = clip.source
    is_whole = clip.start is None and clip.end is None
    if isinstance(source, UriSource):
        source = fetch(source, is_stretch=not is_whole)
    elif is_whole and isinstance(source, FileSource) and source.size <= WHOLE_FILE_BYTES:
        source = source.loaded()
    if source.size > WHOLE_FILE_BYTES and not isinstance(
        source, Ranged
    ):  # hashing terabytes that are no audio would be a waste
        with audio.open_stream(source, None, clip.start, clip.end, options):
            pass
    return source, RecordingVersion(source.version, decoder_version(source))


def cut(
    backbone: Backbone, options: AudioOptions, request: Request
) -> CutClip | LongClip | Failure:
    """Decode a clip and cut it into the windows that ``backbone`` reads, unless it is long."""
    if request.is_known:  # the bytes that are decoded must be those that were hashed
        again = make_request(backbone, options, request.clip)
        if isinstance(again, Failure):
            return replace(again, key=request.key)
        if again.key != request.key:
            return _changed(request)
        request = again
    try:
        waiting = request if request.clip.is_remote else request.without_bytes()
        done = cut_short(backbone, options, request)
    except AudioError as error:
        return Failure.of(request, error)
    if done is None:
        return LongClip(waiting)
    return done if _is_as_hashed(request) else _changed(request)


def cut_long(
    backbone: Backbone, options: AudioOptions, request: Request
) -> Iterator[CutClip | Failure]:
    """Yield the sections of a clip while it is decoded; a failure may come after some of them."""
    try:
        for piece in cut_sections(backbone, options, request):
            is_last = piece.section is None or piece.section.is_last
            yield piece if not is_last or _is_as_hashed(request) else _changed(request)
    except AudioError as error:
        yield Failure.of(request, error)


def _is_as_hashed(request: Request) -> bool:
    """Return whether the file that was decoded still has the bytes that were hashed."""
    try:
        return not isinstance(request.source, FileSource) or (
            request.source.version == request.content  # hashed again only if its status is another
        )
    except (OSError, Refusal):
        return False


def _changed(request: Request) -> Failure:
    reason = "changed while it was read; run the same command again."
    return Failure(request.clip, reason, "missing", request.key)
