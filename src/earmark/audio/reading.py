"""Recordings in, waveforms out: decode, mix to mono, resample.

Content decides how a recording is read, never its name: libsndfile gets the first look, FFmpeg's
libraries (PyAV) what libsndfile does not recognise. Nothing is corrected in passing: levels beyond
full scale and offsets (DC) stay as they are.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Generator, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext

import numpy as np

from earmark.audio import joined, printed
from earmark.audio.decoder import BLOCK_SAMPLES, Block, Header, Opened, Refusal, Samples, reason
from earmark.audio.options import (
    AS_IT_IS,
    DECODER_VERSION,
    LOUD_PEAK,
    MAX_PEAK,
    AudioOptions,
    AudioWarning,
    Sound,
    Stream,
    full_scale,
)
from earmark.audio.resampling import resampled
from earmark.audio.source import Recording, SampleSource, Source, as_source
from earmark.audio.stretch import Stretch, header_s, limit_of, missing_of, stretch_of
from earmark.errors import AudioError


def read(
    source: Recording,
    rate_hz: int | None = None,
    start: float | None = None,
    end: float | None = None,
    options: AudioOptions = AS_IT_IS,
    *,
    name: str | None = None,
) -> Sound:
    """Read a recording, or ``start..end`` (seconds) of it, as mono (n,) at ``rate_hz``.

    Mono is the mean of the channels, or the one of ``options``. Without ``rate_hz`` the rate is
    the recording's. ``source`` is a path or a file's bytes, and ``name`` stands for it in errors.
    Edges and errors are those of :func:`read_channels`; besides, AudioError for a clip shorter
    than one sample at ``rate_hz``. Memory is for one channel, whatever is recorded.
    """
    limit_hz = rate_hz or 0
    with open_stream(source, rate_hz, start, end, options, name=name, limit_hz=limit_hz) as stream:
        return stream.joined()


@contextmanager
def open_stream(
    source: Recording,
    rate_hz: int | None = None,
    start: float | None = None,
    end: float | None = None,
    options: AudioOptions = AS_IT_IS,
    *,
    name: str | None = None,
    limit_hz: int | None = None,
) -> Iterator[Stream]:
    """Open a recording to get what :func:`read` returns of it block by block.

    Only ``EARMARK_MAX_SECONDS`` limits it, unless ``limit_hz`` is given: then the samples that one
    channel has at that rate, or at the recording's if that is higher, may take no more than
    ``EARMARK_MAX_BYTES``. Errors in the recording are raised by the blocks, too.
    """
    source = as_source(source, name)
    with _naming(source), _opened(source, start, end) as (header, blocks, start_s):
        per_s = None if limit_hz is None else max(header.rate_hz, limit_hz)
        stretch = stretch_of(header, start_s, end, limit_of(per_s))
        stream = Stream(rate_hz or header.rate_hz, header_s(header, start_s, end))
        checked = _checked(header, blocks, stretch, options, stream)
        mono = _larger(_mono(checked, header, stream))
        with closing(resampled(mono, header.rate_hz, stream.rate_hz)) as stream.blocks:
            yield stream


@contextmanager
def open_channels(
    source: Recording,
    start: float | None = None,
    end: float | None = None,
    options: AudioOptions = AS_IT_IS,
    *,
    name: str | None = None,
    is_limited: bool = False,
) -> Iterator[Stream]:
    """Open a recording to get what :func:`read_channels` returns of it block by block."""
    source = as_source(source, name)
    with _naming(source), _opened(source, start, end) as (header, blocks, start_s):
        channels = 1 if options.channel else header.channels
        limit_s = limit_of(channels * header.rate_hz if is_limited else None)
        stream = Stream(header.rate_hz, header_s(header, start_s, end))
        stretch = stretch_of(header, start_s, end, limit_s)
        with closing(_larger(_checked(header, blocks, stretch, options, stream))) as stream.blocks:
            yield stream


def read_channels(
    source: Recording,
    start: float | None = None,
    end: float | None = None,
    options: AudioOptions = AS_IT_IS,
    *,
    name: str | None = None,
) -> Sound:
    """Decode a recording, or ``start..end`` (seconds) of it, into (n, channels) at its own rate.

    Full scale is -1..1, which lossy and float formats may exceed. A stretch takes memory and time
    for the stretch only, exact to the sample; of FFmpeg's formats, WebM, Matroska and WMA keep
    times to a millisecond only, and those without an index (AMR, raw AAC) are decoded up to the
    stretch, 2,000 times faster than real time. ``end`` up to 50 ms beyond the recording is clipped.

    A recording that was cut short or is damaged gives what is there up to that place and a warning
    that says how much is missing; nothing is taken from behind the damage.

    Raises AudioError, one sentence that begins with the path (or ``name``): not a readable file;
    not recognised, or damaged before the stretch; empty; a stretch that is not inside the
    recording; longer than ``EARMARK_MAX_SECONDS`` or of more than ``EARMARK_MAX_BYTES`` in memory;
    a rate below ``MIN_RATE_HZ`` or above ``MAX_RATE_HZ``; a channel that is not there; samples that
    are NaN, infinite or beyond ``MAX_PEAK``, unless ``options`` say otherwise.
    """
    with open_channels(source, start, end, options, name=name, is_limited=True) as stream:
        return stream.joined()


def load(
    source: Recording,
    rate_hz: int,
    start: float | None = None,
    end: float | None = None,
    *,
    name: str | None = None,
) -> Samples:
    """Return the samples of :func:`read`; its warnings are given as ``AudioWarning``."""
    return _with_warnings(read(source, rate_hz, start, end, name=name), source, name).samples


def decode(
    source: Recording,
    start: float | None = None,
    end: float | None = None,
    *,
    name: str | None = None,
) -> tuple[Samples, int]:
    """Return samples and rate of :func:`read_channels`; its warnings are ``AudioWarning``."""
    sound = _with_warnings(read_channels(source, start, end, name=name), source, name)
    return sound.samples, sound.rate_hz


def header_of(source: Recording, *, name: str | None = None) -> Header:
    """Return what is known of a recording without decoding it: see :class:`Header`.

    ``frames`` is then what one full decode yields (codecs may drop up to ``slack`` of them), or 0
    where only decoding can tell. Raises AudioError as :func:`read_channels` does.
    """
    source = as_source(source, name)
    with _naming(source), _opened(source, None, None) as (header, *_):
        return header


def decoder_version(source: Source) -> int:
    """Return the version of the decoder for the store's key: 3 where that one read the same."""
    is_old = isinstance(source, SampleSource) or joined.is_read_as_before(source)
    return 3 if is_old else DECODER_VERSION


@contextmanager
def _opened(
    source: Source, start: float | None, end: float | None
) -> Iterator[tuple[Header, _Blocks, float]]:
    """Open ``source`` with the first decoder that recognises it; yield the start (seconds), too."""
    start_s = 0.0 if start is None else start
    if not 0 <= start_s < (math.inf if end is None else end) or end == math.inf:
        raise Refusal(f"no stretch from {start} to {end} s; give 0 <= start < end", "stretch")
    refusals = []
    for decoder, opening in _openings(source, start_s, end):
        with ExitStack() as stack:
            try:
                with printed.caught() as texts:
                    header, blocks = stack.enter_context(opening)
            except Refusal:
                raise
            except Exception as error:  # decoders raise what they like, AttributeError included
                refusals.append(f"{decoder}: {reason(error)}")
                continue
            # Recognised: from here on an error is damage. The other decoder might step over it
            # without a word and give a recording with a hole.
            yield header, _Blocks(blocks, texts), start_s
            return
    raise Refusal(
        f"cannot be read: not audio in a known format ({'; '.join(refusals)}); "
        "convert it to WAV or FLAC, or leave it out",
        "unreadable",
    )


def _openings(
    source: Source, start_s: float, end_s: float | None
) -> Iterator[tuple[str, AbstractContextManager[Opened]]]:
    """Yield the decoders that may recognise ``source``, by name, each about to open it."""
    if isinstance(source, SampleSource):
        frames, channels = source.samples.shape
        header = Header(source.rate_hz, channels, frames, frames)
        size = max(1, BLOCK_SAMPLES // channels)
        parts = (Block(at, source.samples[at : at + size]) for at in range(0, frames, size))
        yield "samples", nullcontext((header, parts))
        return
    for name, decoder in joined.DECODERS.items():
        yield name, joined.open_recording(decoder, source, start_s, end_s)


class _Blocks:
    """The blocks of a decoder, which any thread may take, and ``texts``: what it printed."""

    def __init__(self, blocks: Iterator[Block], texts: list[str]) -> None:
        self.blocks, self.texts = blocks, list(texts)

    def __iter__(self) -> Iterator[Block]:
        while True:
            with printed.caught() as texts:
                block = next(self.blocks, None)
            self.texts += texts
            if block is None:
                return
            yield block


def _columns(header: Header, channel: int | None) -> slice:
    if channel is None:
        return slice(None)
    if channel > header.channels:
        raise Refusal(
            f"has no channel {channel}, only {header.channels}; ask for one that is there, or for"
            " the mean of all",
            "channel",
        )
    return slice(channel - 1, channel)


def _checked(
    header: Header,
    blocks: _Blocks,
    stretch: Stretch,
    options: AudioOptions,
    stream: Stream,
) -> Iterator[Samples]:
    """Yield the frames of a stretch, up to the end or to where they are damaged.

    The last thing is to raise Refusal, or to give ``stream`` its warnings, notes and remarks.
    """
    scale = options.full_scale if header.is_float else 1.0
    columns, zero = _columns(header, options.channel), options.non_finite == "zero"
    bad, position = 0, 0
    damage: Exception | None = None
    try:
        for at, samples in blocks:
            part = samples[max(0, stretch.first - at) : max(0, stretch.last - at), columns]
            if len(part) and not _is_sound(part):
                good = np.abs(part) <= MAX_PEAK
                bad += part.size - int(np.count_nonzero(good))
                part = np.where(good, part, np.float32(0))
            if len(part) and (zero or not bad):
                yield part if scale == 1 else part / np.float32(scale)
            position = at + len(samples)
            if position >= stretch.last:
                break
    except Exception as error:
        damage = error
    missing, notes = missing_of(header, stretch, position, damage)
    what = f"{bad} samples are NaN, infinite or beyond {MAX_PEAK:g}"
    if bad and not zero:
        raise Refusal(f"{what}; write it again or leave it out", "samples") from damage
    zeroed = (f"{what}; they were set to zero.",) if bad else ()
    if header.unread and stretch.is_whole:
        missing += (f"{header.unread} bytes behind the end by its header are not read.",)
    if header.tracks > 1:
        missing += (f"{header.tracks} tracks of sound lie side by side; only the first is read.",)
    damaged, stream.remarks = printed.remarks(blocks.texts)
    stream.warnings, stream.notes = (*missing, *zeroed, *damaged), notes


def _larger(blocks: Iterable[Samples]) -> Generator[Samples, None, None]:
    """Join small blocks: FFmpeg gives some of 20 ms, and each costs its handling."""
    parts: list[Samples] = []
    for block in blocks:
        parts.append(block)
        if sum(part.size for part in parts) >= BLOCK_SAMPLES // 4:
            yield parts[0] if len(parts) == 1 else np.concatenate(parts)
            parts = []
    if parts:
        yield parts[0] if len(parts) == 1 else np.concatenate(parts)


@contextmanager
def _naming(source: Source) -> Iterator[None]:
    """Make an AudioError, which names the recording, of every refusal."""
    try:
        yield
    except Refusal as error:
        raise AudioError(source.name, str(error), error.kind) from error.__cause__


def _with_warnings(sound: Sound, source: Recording, name: str | None) -> Sound:
    for text in sound.warnings:
        warnings.warn(f"{as_source(source, name).name}: {text}", AudioWarning, stacklevel=3)
    return sound


def _mono(blocks: Iterable[Samples], header: Header, stream: Stream) -> Iterator[Samples]:
    """Mix blocks down to (n,); warn of samples so far beyond full scale that it must be another."""
    peak = 0.0
    for block in blocks:
        mono = _mean(block)
        peak = max(peak, float(mono.max()), -float(mono.min()))
        yield mono
    if peak >= LOUD_PEAK and header.slack and not header.is_float:  # MP3 and its like
        stream.warnings += (
            f"its samples reach {peak:.4g}, where full scale is 1: damaged inside?",
        )
    elif peak >= LOUD_PEAK:
        scale = f"{full_scale(peak):.0f}"
        stream.warnings += (
            f"its samples reach {peak:.4g}, where full scale is 1: integers kept as floats? Divide"
            f" them by {scale} and write it again; to train on such recordings, give --full-scale"
            f" {scale}.",
        )


def _is_sound(x: Samples) -> bool:
    """Say if no sample is NaN, infinite or beyond ``MAX_PEAK``; two passes, and no copy."""
    return bool(x.max() <= MAX_PEAK and x.min() >= -MAX_PEAK)  # NaN is neither


def _mean(block: Samples) -> Samples:
    """Mix (n, channels) down to (n,), the mean of the channels."""
    if block.shape[1] == 1:
        return block[:, 0]
    total = block[:, 0] + block[:, 1]  # by columns: several times faster than by rows of two
    for channel in range(2, block.shape[1]):
        total += block[:, channel]
    return np.asarray(total / np.float32(block.shape[1]))
