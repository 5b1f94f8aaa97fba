"""Read recordings as waveforms: decode, mix to mono, resample.

The content of a recording decides how it is read, never its name. libsndfile tries first; FFmpeg's
libraries (PyAV) read what libsndfile does not recognise. Levels beyond full scale and offsets (DC)
are not corrected.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Generator, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext

import numpy as np

from earmark.audio import joined, printed
from earmark.audio.blocks import PrintedBlocks, check_came
from earmark.audio.decoded import DecodedSource
from earmark.audio.decoder import BLOCK_SAMPLES, Block, Header, Opened, Refusal, Samples, reason
from earmark.audio.fetching import fetch
from earmark.audio.mixing import columns_of, is_sound, mean_of
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
from earmark.audio.stretch import (
    ENDLESS_S,
    Stretch,
    check_rate,
    header_s,
    limit_of,
    missing_of,
    stretch_of,
)
from earmark.audio.uri import Ranged, UriSource
from earmark.errors import AudioError, amount


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

    Parameters
    ----------
    source : str, Path, bytes or Source
        A path, or the bytes of a file.
    rate_hz : int, optional
        Sample rate of the result; by default that of the recording.
    start, end : float, optional
        Seconds; by default the whole recording.
    options : AudioOptions
        Which channel to read instead of the mean of all, and more.
    name : str, optional
        Name of the recording in errors, if ``source`` is bytes.

    Returns
    -------
    Sound
        Samples (n,) float32; warnings about what is missing or was changed. Memory is needed for
        one channel only, however many the recording has.

    Raises
    ------
    AudioError
        As :func:`read_channels`, and for a clip shorter than one sample at ``rate_hz``.
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
    is_endless: bool = False,
) -> Iterator[Stream]:
    """Open a recording to read it as :func:`read` does, but block by block.

    The length is limited by ``EARMARK_MAX_SECONDS`` and, if ``limit_hz`` is given, by
    ``EARMARK_MAX_BYTES``: the bytes of one channel at that rate, or at the rate of the recording if
    that is higher. With ``is_endless`` it is not limited. Iterating over the blocks may raise
    AudioError too.
    """
    source = as_source(source, name)
    with _naming(source), _opened(source, start, end) as (header, blocks, start_s):
        per_s = None if limit_hz is None else max(header.rate_hz, limit_hz)
        limit_s = ENDLESS_S if is_endless else limit_of(per_s)
        stretch = stretch_of(header, start_s, end, limit_s)
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
    """Open a recording to read it as :func:`read_channels` does, but block by block."""
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

    Full scale is -1..1; lossy and float formats may exceed it. A stretch is exact to the sample,
    and only the stretch takes time and memory, with two exceptions: WebM, Matroska and WMA store
    times only to a millisecond, and formats without an index (AMR, raw AAC) are decoded from their
    beginning, 2,000 times faster than real time. An ``end`` up to 50 ms after the end of the
    recording is moved there.

    If a recording is cut short or damaged, everything before that place is returned, with a warning
    that says how much is missing. Nothing after the damage is read.

    Raises
    ------
    AudioError
        If the file cannot be read, is not recognised, is empty or is damaged before the stretch; if
        the stretch is not inside the recording; if it is longer than ``EARMARK_MAX_SECONDS`` or
        takes more than ``EARMARK_MAX_BYTES`` in memory; if the rate is below ``MIN_RATE_HZ`` or
        above ``MAX_RATE_HZ``; if the channel does not exist; and if samples are NaN, infinite or
        beyond ``MAX_PEAK``, unless ``options`` allow that.
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
    """Return the samples (n,) of :func:`read`; its warnings are issued as ``AudioWarning``."""
    return _with_warnings(read(source, rate_hz, start, end, name=name), source, name).samples


def decode(
    source: Recording,
    start: float | None = None,
    end: float | None = None,
    *,
    name: str | None = None,
) -> tuple[Samples, int]:
    """Return the samples (n, channels) and rate of :func:`read_channels`; issue its warnings."""
    sound = _with_warnings(read_channels(source, start, end, name=name), source, name)
    return sound.samples, sound.rate_hz


def header_of(source: Recording, *, name: str | None = None) -> Header:
    """Return the header of a recording without decoding it: see :class:`Header`.

    Its ``frames`` is the length that decoding yields (codecs may drop up to ``slack`` frames), or
    0 if only decoding can tell. Raises AudioError as :func:`read_channels` does.
    """
    source = as_source(source, name)
    with _naming(source), _opened(source, None, None) as (header, *_):
        return header


def decode_ahead(
    source: Recording, most_s: float, most_bytes: int, *, name: str | None = None
) -> DecodedSource:
    """Decode a whole recording, so that another process can read it without a decoder.

    Reading the result gives the same samples and warnings as reading ``source``.

    Raises
    ------
    AudioError
        If the recording cannot be opened or has an impossible rate; of kind 'length' if it has more
        than ``most_s`` seconds, or if its samples take more than ``most_bytes``.
    """
    source = as_source(source, name)
    with _naming(source), _opened(source, None, None) as (header, blocks, _):
        check_rate(header.rate_hz)
        per_s = header.rate_hz * header.channels * 4
        limit_s = min(most_s, most_bytes / max(1, per_s))
        long = Refusal(f"longer than {limit_s:.4g} s, the most that is allowed", "length")
        if header.frames > limit_s * header.rate_hz:
            raise long
        kept, damage = list[Block](), None
        try:
            for block in blocks:
                kept.append(block)
                if block.position + len(block.samples) > limit_s * header.rate_hz:
                    raise long
        except Refusal:
            raise
        except Exception as error:
            damage = reason(error)
        version, decoder = source.version, decoder_version(source)
        return DecodedSource(
            header, tuple(kept), damage, tuple(blocks.texts), version, decoder, source.name
        )


def decoder_version(source: Source) -> int:
    """Return the version of the decoder for the store's key: 3 if version 3 read the same."""
    if isinstance(source, DecodedSource):
        return source.decoder
    if isinstance(source, (UriSource, Ranged)):
        return DECODER_VERSION
    is_old = isinstance(source, SampleSource) or joined.is_read_as_before(source)
    return 3 if is_old else DECODER_VERSION


@contextmanager
def _opened(
    source: Source, start: float | None, end: float | None
) -> Iterator[tuple[Header, PrintedBlocks, float]]:
    """Open ``source`` with the first decoder that recognises it.

    Yields the header, the blocks, and the start in seconds.
    """
    start_s = 0.0 if start is None else start
    if not 0 <= start_s < (math.inf if end is None else end) or end == math.inf:
        raise Refusal(
            f"start is {start} and end is {end} (seconds); give 0 <= start < end", "stretch"
        )
    if isinstance(source, UriSource):
        source = fetch(source, is_stretch=start is not None or end is not None)
    refusals = []
    for decoder, opening in _openings(source, start_s, end):
        with ExitStack() as stack:
            try:
                with printed.caught() as texts:
                    header, blocks = stack.enter_context(opening)
            except Refusal:
                raise
            except Exception as error:  # decoders raise errors of many types, even AttributeError
                check_came(source)
                refusals.append(f"{decoder}: {reason(error)}")
                continue
            # The format is recognised, so any later error means damage. The other decoder is not
            # tried: it might skip the damage silently, and the recording would have a hole.
            if isinstance(source, DecodedSource):
                texts = [*texts, *source.texts]
            yield header, PrintedBlocks(blocks, texts, source), start_s
            return
    raise Refusal(
        f"cannot be read: not audio in a known format ({'; '.join(refusals)}); "
        "convert it to WAV or FLAC, or leave it out",
        "unreadable",
    )


def _openings(
    source: Source, start_s: float, end_s: float | None
) -> Iterator[tuple[str, AbstractContextManager[Opened]]]:
    """Yield the name of each decoder, and a context manager that opens ``source`` with it."""
    if isinstance(source, SampleSource):
        frames, channels = source.samples.shape
        header = Header(source.rate_hz, channels, frames, frames)
        size = max(1, BLOCK_SAMPLES // channels)
        parts = (Block(at, source.samples[at : at + size]) for at in range(0, frames, size))
        yield "samples", nullcontext((header, parts))
        return
    if isinstance(source, DecodedSource):
        yield "decoded", nullcontext((source.header, source.replay()))
        return
    assert not isinstance(source, UriSource)  # it was fetched
    for name, decoder in joined.DECODERS.items():
        yield name, joined.open_recording(decoder, source, start_s, end_s)


def _checked(
    header: Header,
    blocks: PrintedBlocks,
    stretch: Stretch,
    options: AudioOptions,
    stream: Stream,
) -> Iterator[Samples]:
    """Yield the frames of a stretch, up to its end or to the first damage.

    At the end, either raises Refusal or sets the warnings, notes and remarks of ``stream``.
    """
    scale = options.full_scale if header.is_float else 1.0
    columns, zero = columns_of(header.channels, options.channel), options.non_finite == "zero"
    bad, position = 0, 0
    damage: Exception | None = None
    try:
        for at, samples in blocks:
            part = samples[max(0, stretch.first - at) : max(0, stretch.last - at), columns]
            if len(part) and not is_sound(part):
                good = np.abs(part) <= MAX_PEAK
                bad += part.size - int(np.count_nonzero(good))
                part = np.where(good, part, np.float32(0))
            if len(part) and (zero or not bad):
                yield part if scale == 1 else part / np.float32(scale)
            position = at + len(samples)
            if position >= stretch.last:
                break
    except Refusal:
        raise
    except Exception as error:
        damage = error
    missing, notes = missing_of(header, stretch, position, damage)
    are = "is" if bad == 1 else "are"
    what = f"{amount(bad, 'sample')} {are} NaN, infinite or beyond {MAX_PEAK:g}"
    if bad and not zero:
        raise Refusal(f"{what}; export it again or remove it", "samples") from damage
    zeroed = (f"{what}; they were set to zero.",) if bad else ()
    if header.unread and stretch.is_whole:
        missing += (
            f"the file has {header.unread} bytes after the end that its header states; these were"
            " not read.",
        )
    if header.tracks > 1:
        missing += (f"it has {header.tracks} parallel tracks of sound; only the first was read.",)
    damaged, stream.remarks = printed.remarks(blocks.texts)
    stream.warnings, stream.notes = (*missing, *zeroed, *damaged), notes


def _larger(blocks: Iterable[Samples]) -> Generator[Samples, None, None]:
    """Join small blocks: FFmpeg yields blocks of 20 ms, and each block has a fixed cost."""
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
    """Turn every Refusal into an AudioError that names the recording."""
    try:
        yield
    except Refusal as error:
        raise AudioError(source.name, str(error), error.kind) from error.__cause__


def _with_warnings(sound: Sound, source: Recording, name: str | None) -> Sound:
    for text in sound.warnings:
        warnings.warn(f"{as_source(source, name).name}: {text}", AudioWarning, stacklevel=3)
    return sound


def _mono(blocks: Iterable[Samples], header: Header, stream: Stream) -> Iterator[Samples]:
    """Mix blocks down to (n,); warn if samples are so large that full scale cannot be 1."""
    peak = 0.0
    for block in blocks:
        mono = mean_of(block)
        peak = max(peak, float(mono.max()), -float(mono.min()))
        yield mono
    if peak >= LOUD_PEAK and header.slack and not header.is_float:  # lossy formats such as MP3
        stream.warnings += (
            f"its samples reach {peak:.4g}, but full scale is 1; it may be damaged inside.",
        )
    elif peak >= LOUD_PEAK:
        scale = f"{full_scale(peak):.0f}"
        stream.warnings += (
            f"its samples reach {peak:.4g}, but full scale is 1; they may be integers stored as"
            f" floats. Divide them by {scale} and save it again, or train with --full-scale"
            f" {scale}.",
        )
